//! Opening raw IP sockets, for tunnels that have an IP protocol of their own: IPIP 4, 6in4 41, GRE 47.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::address::SocketAddress;
use crate::control::{Arguments, Module};
use crate::errors::{Result, last_errno};
use crate::netns;
use crate::socket::{self, BufferSizes, Settings};

struct Request {
    settings: Settings,
    protocol: i32,
}

impl Request {
    fn new(arguments: &Arguments) -> Result<Self> {
        let options = arguments.options(0)?;
        Ok(Request {
            settings: Settings::new(&options, "rawOpen")?,
            // With 255 (IPPROTO_RAW) the sender would write the IP header itself.
            protocol: options.integer("protocol", 1..=254)? as i32,
        })
    }

    /// Runs in the namespace of the socket.
    fn open(&self) -> Result<(OwnedFd, BufferSizes)> {
        let settings = &self.settings;
        let address = SocketAddress::parse("rawOpen", settings.v6, &settings.address, 0)?;
        let fd = settings.open(libc::SOCK_RAW, self.protocol, &format!("protocol {}", self.protocol))?;
        let socket = fd.as_raw_fd();
        // Until it is bound, a raw socket takes in what is meant for the machine's other addresses.
        socket::attach_sink(socket)?;
        socket::bind(socket, &address, format!("{} protocol {}", settings.address, self.protocol))?;
        empty(socket);
        if !settings.sink {
            socket::detach_sink(socket)?;
        }
        let sizes = socket::buffer_sizes(socket)?;
        Ok((fd, sizes))
    }
}

/// Takes out what came in before the filter was attached.
fn empty(socket: RawFd) {
    let mut byte = 0u8;
    // SAFETY: one byte is received into `byte`; the rest of a packet is dropped.
    while unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) } >= 0
        || last_errno() == libc::EINTR
    {}
}

fn raw_open(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let request = Request::new(arguments)?;
    let (fd, sizes) = netns::within(request.settings.netns.as_deref(), || request.open())?;
    let mut object = Object::new(arguments.env)?;
    object.set_named_property("rcvbuf", sizes.rcvbuf)?;
    object.set_named_property("sndbuf", sizes.sndbuf)?;
    object.set_named_property("fd", fd.into_raw_fd())?;
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("rawOpen", raw_open)
}
