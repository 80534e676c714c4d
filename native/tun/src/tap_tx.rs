//! Writing frames from the arena to a TAP or TUN device.

use std::cell::RefCell;
use std::os::fd::RawFd;

use napi::bindgen_prelude::Unknown;

use crate::arguments::unknown;
use crate::bound::{self, INVALID};
use crate::control::{Arguments, Module};
use crate::errors::{Result, last_errno};
use crate::messages::Messages;

struct TapTx {
    fd: RawFd,
    messages: RefCell<Messages>,
}

impl TapTx {
    fn write(&self, first: f64, count: f64) -> i32 {
        let mut messages = self.messages.borrow_mut();
        let Some(range) = messages.range(first, count) else { return INVALID };
        let mut written = 0;
        for message in range.clone() {
            let Some(gathered) = messages.gather_one(message) else {
                messages.result.set(message, INVALID);
                continue;
            };
            match write_frame(self.fd, gathered.vectors, gathered.count) {
                // The device is congested: what comes later would overtake.
                Err(libc::EAGAIN) => {
                    messages.refuse(message..range.end);
                    break;
                }
                Err(errno) => messages.fail(message, errno),
                Ok(bytes) => {
                    messages.result.set(message, bytes);
                    written += 1;
                }
            }
        }
        written
    }
}

fn write_frame(fd: RawFd, vectors: *const libc::iovec, count: usize) -> std::result::Result<i32, i32> {
    loop {
        // SAFETY: `count` vectors, made by `Messages::gather_one`, point into the arena, which is kept alive.
        let bytes = unsafe { libc::writev(fd, vectors, count as i32) };
        if bytes >= 0 {
            return Ok(bytes as i32);
        }
        match last_errno() {
            libc::EINTR => {}
            errno => return Err(errno),
        }
    }
}

fn bind_tap_tx(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let env = arguments.env;
    let messages = Messages::one_by_one(arguments)?;
    let context = TapTx { fd: arguments.descriptor(3)?, messages: RefCell::new(messages) };
    let function = bound::create(env, "tapTx", context, |tx: &TapTx, [first, n]: [f64; 2]| tx.write(first, n))?;
    unknown(env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindTapTx", bind_tap_tx)
}
