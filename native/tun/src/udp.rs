//! Opening UDP sockets.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::address::{self, SocketAddress};
use crate::control::{Arguments, Module};
use crate::errors::{Result, check};
use crate::netns;
use crate::socket::{self, BufferSizes, Settings, set};

// Not in the headers of every distribution; from linux/udp.h.
pub const UDP_SEGMENT: i32 = 103;
pub const UDP_GRO: i32 = 104;
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_NO_CHECK6_RX: i32 = 102;

struct Request {
    settings: Settings,
    port: u16,
    reuse_port: bool,
    gro: bool,
    no_checksum: bool,
    accept_zero_checksum: bool,
}

struct Opened {
    fd: OwnedFd,
    port: u16,
    sizes: BufferSizes,
    gro: bool,
    segment: bool,
}

impl Request {
    fn new(arguments: &Arguments) -> Result<Self> {
        let options = arguments.options(0)?;
        let no_checksum = options.flag("noChecksum")?;
        Ok(Request {
            settings: Settings::new(&options, "udpOpen")?,
            port: options.integer("port", 0..=65535)? as u16,
            reuse_port: options.flag("reusePort")?,
            gro: options.flag("gro")?,
            no_checksum,
            accept_zero_checksum: options.optional_flag("acceptZeroChecksum")?.unwrap_or(no_checksum),
        })
    }

    /// Runs in the namespace of the socket.
    fn open(&self) -> Result<Opened> {
        let settings = &self.settings;
        let address = SocketAddress::parse("udpOpen", settings.v6, &settings.address, self.port)?;
        let fd = settings.open(libc::SOCK_DGRAM, 0, "UDP")?;
        let socket = fd.as_raw_fd();
        if settings.v6 {
            set(socket, libc::SOL_IPV6, libc::IPV6_V6ONLY, 1, "IPV6_V6ONLY")?;
        }
        if self.reuse_port {
            set(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1, "SO_REUSEPORT")?;
        }
        self.set_checksums(socket)?;
        socket::bind(socket, &address, format!("{} port {}", settings.address, self.port))?;
        Ok(Opened {
            port: local_port(socket)?,
            sizes: socket::buffer_sizes(socket)?,
            gro: self.gro && set(socket, libc::SOL_UDP, UDP_GRO, 1, "UDP_GRO").is_ok(),
            segment: !self.no_checksum && accepts_segment(socket),
            fd,
        })
    }

    fn set_checksums(&self, socket: RawFd) -> Result<()> {
        if !self.settings.v6 {
            // A zero checksum is always accepted over IPv4.
            return if self.no_checksum {
                set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1, "SO_NO_CHECK")
            } else {
                Ok(())
            };
        }
        if self.no_checksum {
            set(socket, libc::SOL_UDP, UDP_NO_CHECK6_TX, 1, "UDP_NO_CHECK6_TX")?;
        }
        if self.accept_zero_checksum {
            set(socket, libc::SOL_UDP, UDP_NO_CHECK6_RX, 1, "UDP_NO_CHECK6_RX")?;
        }
        Ok(())
    }
}

/// Whether the kernel knows UDP_SEGMENT (Linux 4.18).
fn accepts_segment(socket: RawFd) -> bool {
    set(socket, libc::SOL_UDP, UDP_SEGMENT, 1000, "UDP_SEGMENT").is_ok()
        && set(socket, libc::SOL_UDP, UDP_SEGMENT, 0, "UDP_SEGMENT").is_ok()
}

pub fn local_port(socket: RawFd) -> Result<u16> {
    let (mut name, mut size) = (address::EMPTY, address::SIZE_MAX);
    // SAFETY: `name` receives at most `size` bytes.
    check(unsafe { libc::getsockname(socket, (&raw mut name).cast(), &mut size) }, "getsockname", "")?;
    Ok(SocketAddress { storage: name, length: size }.port())
}

fn udp_open(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let request = Request::new(arguments)?;
    let opened = netns::within(request.settings.netns.as_deref(), || request.open())?;
    let mut object = Object::new(arguments.env)?;
    object.set_named_property("port", u32::from(opened.port))?;
    object.set_named_property("rcvbuf", opened.sizes.rcvbuf)?;
    object.set_named_property("sndbuf", opened.sizes.sndbuf)?;
    object.set_named_property("gro", opened.gro)?;
    object.set_named_property("segment", opened.segment)?;
    object.set_named_property("fd", opened.fd.into_raw_fd())?;
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("udpOpen", udp_open)
}
