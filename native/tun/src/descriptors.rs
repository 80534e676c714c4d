//! File descriptors as plain numbers, and the eventfd that serves as doorbell.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::bound::{INVALID, index};
use crate::control::{Arguments, Module};
use crate::errors::{Failure, Result, check, last_errno};

/// Takes over a descriptor that a system call just returned.
pub fn owned(result: i32, syscall: &str, detail: impl std::fmt::Display) -> Result<OwnedFd> {
    let fd = check(result, syscall, detail)?;
    // SAFETY: the kernel made it for this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn eventfd(_: &(), _: &Arguments) -> Result<i32> {
    // SAFETY: takes two integers.
    check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) }, "eventfd", "")
}

/// Rings a doorbell. It stays rung until it is drained, so a full counter (EAGAIN) is a success.
pub fn ring(fd: RawFd) -> i32 {
    let one = 1u64;
    loop {
        // SAFETY: eight bytes are read from `one`.
        if unsafe { libc::write(fd, (&raw const one).cast(), 8) } >= 0 {
            return 0;
        }
        match last_errno() {
            libc::EINTR => {}
            libc::EAGAIN => return 0,
            errno => return -errno,
        }
    }
}

/// Silences a doorbell; 0 also when it was silent.
pub fn silence(fd: RawFd) -> i32 {
    let mut rung = 0u64;
    loop {
        // SAFETY: eight bytes are written to `rung`.
        if unsafe { libc::read(fd, (&raw mut rung).cast(), 8) } >= 0 {
            return 0;
        }
        match last_errno() {
            libc::EINTR => {}
            libc::EAGAIN => return 0,
            errno => return -errno,
        }
    }
}

fn on_descriptor([fd]: [f64; 1], action: fn(RawFd) -> i32) -> i32 {
    index(fd, i32::MAX as usize).map_or(INVALID, |fd| action(fd as RawFd))
}

fn close(_: &(), arguments: &Arguments) -> Result<()> {
    let fd = arguments.descriptor(0)?;
    // SAFETY: the number is JavaScript's own; no Rust value owns it.
    let result = unsafe { libc::close(fd) };
    // Linux has released the number also when close was interrupted.
    if result < 0 && last_errno() != libc::EINTR {
        return Err(Failure::last("close", format!("descriptor {fd}")));
    }
    Ok(())
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("eventfd", eventfd)?;
    module.export_bound("wake", (), |_, fd| on_descriptor(fd, ring))?;
    module.export_bound("drain", (), |_, fd| on_descriptor(fd, silence))?;
    module.export("close", close)
}
