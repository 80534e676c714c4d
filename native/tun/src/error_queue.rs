//! What ICMP said about datagrams sent earlier: the error queues of sending sockets (IP_RECVERR, IPV6_RECVERR).

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::ptr;

use napi::bindgen_prelude::Unknown;

use crate::address::{mapped, write_words};
use crate::arguments::{DESCRIPTOR, unknown};
use crate::bound;
use crate::control::{Arguments, Module};
use crate::control_message;
use crate::errors::{Result, last_errno};
use crate::layout::Io;
use crate::receiver::Buffers;
use crate::shared::{Column, Words};

struct ErrorQueue {
    sockets: Vec<RawFd>,
    source: Column,
    port: Column,
    len: Column,
    gso: Column,
    flags: Column,
    buffers: RefCell<Buffers>,
    _io: Words,
}

impl ErrorQueue {
    fn read(&self) -> i32 {
        let mut buffers = self.buffers.borrow_mut();
        let mut count = 0;
        for &socket in &self.sockets {
            while count < self.len.len() {
                match self.read_one(socket, &mut buffers, count) {
                    Ok(true) => count += 1,
                    // Not an ICMP record (a timestamp, say): gone, and nothing to report.
                    Ok(false) => {}
                    Err(libc::EINTR) => {}
                    Err(_) => break,
                }
            }
        }
        count as i32
    }

    fn read_one(&self, socket: RawFd, buffers: &mut Buffers, record: usize) -> std::result::Result<bool, i32> {
        // The datagram that caused the error comes along; no room for it is made.
        buffers.ready(0, libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 });
        let header = &raw mut buffers.headers.entry(0).msg_hdr;
        // SAFETY: the header was readied above over scratch that stays alive.
        if unsafe { libc::recvmsg(socket, header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) } < 0 {
            return Err(last_errno());
        }
        let mut found = None;
        let each = |message: control_message::Received| {
            if matches!(
                (message.level, message.kind),
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
            ) {
                found = message.value::<libc::sock_extended_err>();
            }
        };
        // SAFETY: recvmsg filled this header's control buffer.
        unsafe { control_message::for_each(&*header, each) };
        let Some(error) = found else { return Ok(false) };
        let (address, port) = mapped(buffers.names.entry(0));
        write_words(&self.source, record * 4, &address);
        self.port.set(record, i32::from(port));
        self.len.set(record, error.ee_errno as i32);
        self.gso.set(record, error.ee_info as i32);
        self.flags.set(record, i32::from(error.ee_origin));
        Ok(true)
    }
}

fn bind_error_queue(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let env = arguments.env;
    let io = Io::new(arguments, 1)?;
    let burst = io.size("burst")?;
    let context = ErrorQueue {
        sockets: arguments.integers(3, "fds", DESCRIPTOR)?.into_iter().map(|fd| fd as RawFd).collect(),
        source: io.column("rxSrc", burst * 4)?,
        port: io.column("rxPort", burst)?,
        len: io.column("rxLen", burst)?,
        gso: io.column("rxGso", burst)?,
        flags: io.column("rxFlags", burst)?,
        buffers: RefCell::new(Buffers::new(1)),
        _io: io.words,
    };
    let function = bound::create(env, "errorQueue", context, |queue: &ErrorQueue, []: [f64; 0]| queue.read())?;
    unknown(env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindErrorQueue", bind_error_queue)
}
