//! Which socket of an SO_REUSEPORT group gets a packet: by the sender's address and port alone, among those that the node chooses.
//!
//! Left to itself, the kernel chooses among all sockets of a group. So one that is to be closed would get packets to the end, and they would be lost
//! with it. A program chooses among the others: what the socket has got by then can be read before it is closed.

use std::mem;
use std::os::fd::RawFd;

use crate::control::{Arguments, Module};
use crate::errors::{Failure, Result, check};
use crate::socket;

// From linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_HALF_INDEXED: u16 = 0x48;
/// The length of an IPv4 header into the index.
const LOAD_INDEX_HEADER: u16 = 0xb1;
const INDEX: u16 = 0x07;
const ADD_INDEX: u16 = 0x0c;
const MULTIPLY: u16 = 0x24;
const SHIFT_RIGHT: u16 = 0x74;
const MODULO: u16 = 0x94;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets from here on count from the IP header (SKF_NET_OFF).
const NETWORK: u32 = -0x10_0000_i32 as u32;
/// 2^32 divided by the golden ratio: spreads what differs in low bits over the high ones.
const SPREAD: u32 = 0x9e37_79b1;
const SOCKETS_MAX: usize = 256;

const fn instruction(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

/// The sender's port into the index, and the (last) word of its address into the accumulator.
fn load_sender(v6: bool) -> Vec<libc::sock_filter> {
    let port = if v6 {
        vec![instruction(LOAD_HALF, NETWORK + 40)]
    } else {
        vec![instruction(LOAD_INDEX_HEADER, NETWORK), instruction(LOAD_HALF_INDEXED, NETWORK)]
    };
    let address = NETWORK + if v6 { 20 } else { 12 };
    [port, vec![instruction(INDEX, 0), instruction(LOAD_WORD, address)]].concat()
}

fn program(v6: bool, sockets: &[i64]) -> Vec<libc::sock_filter> {
    let mut code = load_sender(v6);
    code.extend([
        instruction(ADD_INDEX, 0),
        instruction(MULTIPLY, SPREAD),
        instruction(SHIFT_RIGHT, 16),
        instruction(MODULO, sockets.len() as u32),
    ]);
    for (k, socket) in sockets.iter().enumerate() {
        code.push(libc::sock_filter { code: JUMP_EQUAL, jt: 0, jf: 1, k: k as u32 });
        code.push(instruction(RETURN, *socket as u32));
    }
    code.push(instruction(RETURN, 0));
    code
}

/// Arguments: a socket of the group, and the places in the group of those that may be chosen.
fn steer(_: &(), arguments: &Arguments) -> Result<()> {
    let fd: RawFd = arguments.descriptor(0)?;
    let sockets = arguments.integers(1, "sockets", 0..=SOCKETS_MAX as i64 - 1)?;
    if sockets.is_empty() || sockets.len() > SOCKETS_MAX {
        return Err(Failure::Range(format!("udpSteer: 1 to {SOCKETS_MAX} sockets, not {}", sockets.len())));
    }
    let v6 = socket::option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)? == libc::AF_INET6;
    let mut code = program(v6, &sockets);
    let filter = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    let size = mem::size_of::<libc::sock_fprog>() as u32;
    // SAFETY: the kernel copies the instructions during the call.
    let result = unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, (&raw const filter).cast(), size)
    };
    check(result, "setsockopt", "SO_ATTACH_REUSEPORT_CBPF")?;
    Ok(())
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("udpSteer", steer)
}
