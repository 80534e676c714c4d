//! Which queue of a device the kernel puts a packet on: by the packet's flow alone.
//!
//! Left to itself, the kernel sends a flow to the queue on which packets of it were last written. That is another one as
//! soon as answers come in at another worker, and what still waits on the first queue is overtaken. So the device gets a
//! program (TUNSETSTEERINGEBPF, Linux 4.16) that hashes addresses and ports. Both directions of a flow have one hash.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::control::{Arguments, Module};
use crate::descriptors::owned;
use crate::errors::{Result, check};

/// _IOR('T', 224, int) of linux/if_tun.h.
const TUNSETSTEERINGEBPF: libc::c_ulong = 0x8004_54e0;

// From linux/bpf.h and linux/filter.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
const LOAD_BYTE: u8 = 0x30;
const LOAD_HALF: u8 = 0x28;
const LOAD_WORD: u8 = 0x20;
const LOAD_WORD_INDEXED: u8 = 0x40;
const LOAD_MEMBER: u8 = 0x61;
const MOVE64: u8 = 0xbf;
const MOVE: u8 = 0xbc;
const MOVE_NUMBER: u8 = 0xb4;
const ADD: u8 = 0x0c;
const AND: u8 = 0x54;
const SHIFT_LEFT: u8 = 0x64;
const SHIFT_RIGHT: u8 = 0x74;
const MULTIPLY: u8 = 0x24;
const MODULO: u8 = 0x94;
const JUMP: u8 = 0x05;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_UNEQUAL: u8 = 0x55;
const JUMP_ANY_BIT: u8 = 0x45;
const EXIT: u8 = 0x95;

/// Offsets from here on count from the IP header (SKF_NET_OFF).
const NETWORK: i32 = -0x10_0000;
/// `protocol` of struct __sk_buff: the EtherType, in network order.
const SKB_PROTOCOL: i16 = 16;
const TCP: i32 = 6;
const UDP: i32 = 17;
/// More fragments, or an offset: only the first fragment has ports.
const FRAGMENT: i32 = 0x3fff;
/// 2^32 divided by the golden ratio: spreads what differs in low bits over the high ones.
const SPREAD: i32 = 0x9e37_79b1_u32 as i32;

#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    /// Destination below, source above.
    registers: u8,
    offset: i16,
    number: i32,
}

const fn with(code: u8, to: u8, from: u8, offset: i16, number: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, number }
}

/// Loads from the packet leave their value in register 0, and end the program with 0 where there is no such byte.
const fn load(code: u8, at: i32) -> Instruction {
    with(code, 0, 0, 0, NETWORK + at)
}

const fn number(code: u8, to: u8, value: i32) -> Instruction {
    with(code, to, 0, 0, value)
}

const fn both(code: u8, to: u8, from: u8) -> Instruction {
    with(code, to, from, 0, 0)
}

/// Skips `over` instructions when register `of` compares with `value`.
const fn skip(code: u8, of: u8, value: i32, over: i16) -> Instruction {
    with(code, of, 0, over, value)
}

/// Register 6: the packet, 9: the sum so far, 8: scratch. Sums are the same for both directions.
fn program(queues: i32) -> Vec<Instruction> {
    let mut code = vec![
        both(MOVE64, 6, 1),
        with(LOAD_MEMBER, 7, 6, SKB_PROTOCOL, 0),
        skip(JUMP_EQUAL, 7, i32::from(0x86dd_u16.to_be()), 18),
        skip(JUMP_EQUAL, 7, i32::from(0x0800_u16.to_be()), 2),
        number(MOVE_NUMBER, 0, 0),
        number(EXIT, 0, 0),
        // IPv4: addresses, and ports behind a header of any length.
        load(LOAD_WORD, 12),
        both(MOVE, 9, 0),
        load(LOAD_WORD, 16),
        both(ADD, 9, 0),
        load(LOAD_HALF, 6),
        skip(JUMP_ANY_BIT, 0, FRAGMENT, 34),
        load(LOAD_BYTE, 0),
        number(AND, 0, 15),
        number(SHIFT_LEFT, 0, 2),
        both(MOVE, 8, 0),
        load(LOAD_BYTE, 9),
        skip(JUMP_EQUAL, 0, TCP, 1),
        skip(JUMP_UNEQUAL, 0, UDP, 27),
        with(LOAD_WORD_INDEXED, 0, 8, 0, NETWORK),
        skip(JUMP, 0, 0, 20),
    ];
    // IPv6: addresses, and ports where they follow at once.
    for word in 0..8 {
        code.push(load(LOAD_WORD, 8 + 4 * word));
        code.push(both(if word == 0 { MOVE } else { ADD }, 9, 0));
    }
    code.extend([
        load(LOAD_BYTE, 6),
        skip(JUMP_EQUAL, 0, TCP, 1),
        skip(JUMP_UNEQUAL, 0, UDP, 6),
        load(LOAD_WORD, 40),
        // Both ports in register 0.
        both(MOVE, 8, 0),
        number(SHIFT_RIGHT, 8, 16),
        number(AND, 0, 0xffff),
        both(ADD, 9, 8),
        both(ADD, 9, 0),
        number(MULTIPLY, 9, SPREAD),
        both(MOVE, 0, 9),
        number(SHIFT_RIGHT, 0, 16),
        number(MODULO, 0, queues),
        number(EXIT, 0, 0),
    ]);
    code
}

/// The head of union bpf_attr for BPF_PROG_LOAD.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

fn load_program(queues: i32) -> Result<OwnedFd> {
    let code = program(queues);
    let license = c"Apache-2.0";
    let attributes = Load {
        kind: BPF_PROG_TYPE_SOCKET_FILTER,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `attributes` for its size, and the code and the license that it points to.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<Load>() as libc::c_long)
    };
    owned(result as i32, "bpf BPF_PROG_LOAD", "queue steering")
}

/// Arguments: a queue, and how many queues the kernel may choose; 0 gives the choice back to the kernel.
fn steer(_: &(), arguments: &Arguments) -> Result<()> {
    let queue: RawFd = arguments.descriptor(0)?;
    let queues = arguments.integer(1, "queues", 0..=256)? as i32;
    let program = if queues > 0 { Some(load_program(queues)?) } else { None };
    let descriptor = program.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    // SAFETY: reads one int. The device keeps the program, not its descriptor.
    let result = unsafe { libc::ioctl(queue, TUNSETSTEERINGEBPF as _, &raw const descriptor) };
    check(result, "ioctl TUNSETSTEERINGEBPF", format!("descriptor {queue}"))?;
    Ok(())
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("tapSteer", steer)
}
