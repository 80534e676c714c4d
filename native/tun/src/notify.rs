//! Datagrams to a service manager (sd_notify). Node has no Unix datagram sockets.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::control::{Arguments, Module};
use crate::errors::{Failure, Result};

/// `/run/systemd/notify` or `@name` in the abstract namespace, as in $NOTIFY_SOCKET.
fn address(path: &str) -> std::io::Result<SocketAddr> {
    path.strip_prefix('@').map_or_else(|| SocketAddr::from_pathname(path), SocketAddr::from_abstract_name)
}

fn sd_notify(_: &(), arguments: &Arguments) -> Result<()> {
    let options = arguments.options(0)?;
    let (path, message) = (options.text("socket")?, options.text("message")?);
    // A path that is too long never reaches the kernel and has no error number.
    let failed = |syscall: &str, error: std::io::Error| {
        Failure::system(syscall, error.raw_os_error().unwrap_or(libc::ENAMETOOLONG), &path)
    };
    let to = address(&path).map_err(|error| failed("sendto", error))?;
    let socket = UnixDatagram::unbound().map_err(|error| failed("socket", error))?;
    // A manager that does not read must not hold the node up.
    socket.set_nonblocking(true).map_err(|error| failed("fcntl", error))?;
    socket.send_to_addr(message.as_bytes(), &to).map_err(|error| failed("sendto", error))?;
    Ok(())
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("sdNotify", sd_notify)
}
