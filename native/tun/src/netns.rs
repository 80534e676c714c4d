//! Doing something inside of another network namespace.
//!
//! setns changes the calling thread for good, so it happens only on a thread of its own, which ends afterwards.
//! Descriptors made there belong to the process and go on working.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;

use crate::errors::{Failure, Result, check};

/// Opens the namespace at `path` (/run/netns/NAME, /proc/PID/ns/net), for setns or to move a device there.
pub fn open(path: &str) -> Result<OwnedFd> {
    let file = File::options().read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK).open(path);
    let failure = |error: std::io::Error| {
        Failure::system("open", error.raw_os_error().unwrap_or(libc::EIO), format!("network namespace {path}"))
    };
    Ok(file.map_err(failure)?.into())
}

/// Runs `body` in the namespace at `path`, or right here when there is none.
pub fn within<T: Send>(path: Option<&str>, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(path) = path else { return body() };
    on_own_thread(|| {
        let namespace = open(path)?;
        // SAFETY: takes two integers; changes this thread alone.
        let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        check(result, "setns", format!("network namespace {path}"))?;
        body()
    })
}

/// Runs `body` in a new namespace that ends with it.
pub fn within_new<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_own_thread(|| {
        // SAFETY: takes an integer; changes this thread alone.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) }, "unshare", "new network namespace")?;
        body()
    })
}

fn on_own_thread<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let started = thread::Builder::new().name("weft-netns".to_owned()).spawn_scoped(scope, body);
        let thread = started.map_err(|error| {
            Failure::system("clone", error.raw_os_error().unwrap_or(libc::EAGAIN), "thread for a network namespace")
        })?;
        let panicked = |_| Failure::Node(napi::Error::from_reason("internal error in a network namespace's thread"));
        thread.join().map_err(panicked)?
    })
}
