//! Opening UDP sockets.

use std::mem;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::address::{self, SocketAddress};
use crate::control::{Arguments, Module};
use crate::descriptors::owned;
use crate::errors::{Failure, Result, check};
use crate::netns;

// Not in the headers of every distribution; from linux/udp.h and linux/in6.h.
pub const UDP_SEGMENT: i32 = 103;
pub const UDP_GRO: i32 = 104;
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_NO_CHECK6_RX: i32 = 102;
const IPV6_DONTFRAG: i32 = 62;

struct Request {
    netns: Option<String>,
    family: i64,
    address: String,
    port: u16,
    device: Option<String>,
    reuse_port: bool,
    gro: bool,
    recv_tos: bool,
    rcvbuf: i32,
    sndbuf: i32,
    no_checksum: bool,
    sink: bool,
    ttl: Option<i32>,
    tos: Option<i32>,
    pmtudisc_probe: bool,
    recv_err: bool,
    rxq_ovfl: bool,
}

struct Opened {
    fd: OwnedFd,
    port: u16,
    rcvbuf: i32,
    sndbuf: i32,
    gro: bool,
    segment: bool,
}

impl Request {
    fn new(arguments: &Arguments) -> Result<Self> {
        let options = arguments.options(0)?;
        let family = options.integer("family", 4..=6)?;
        if family == 5 {
            return Err(Failure::Range("udpOpen: family must be 4 or 6".to_owned()));
        }
        let number = |key, range| Ok::<_, Failure>(options.optional_integer(key, range)?.map(|value| value as i32));
        Ok(Request {
            netns: options.optional_text("netns")?,
            family,
            address: options.text("address")?,
            port: options.integer("port", 0..=65535)? as u16,
            device: options.optional_device("device")?,
            reuse_port: options.flag("reusePort")?,
            gro: options.flag("gro")?,
            recv_tos: options.flag("recvTos")?,
            rcvbuf: number("rcvbuf", 0..=i64::from(i32::MAX / 2))?.unwrap_or(0),
            sndbuf: number("sndbuf", 0..=i64::from(i32::MAX / 2))?.unwrap_or(0),
            no_checksum: options.flag("noChecksum")?,
            sink: options.flag("sink")?,
            ttl: number("ttl", 1..=255)?,
            tos: number("tos", 0..=255)?,
            pmtudisc_probe: options.flag("pmtudiscProbe")?,
            recv_err: options.flag("recvErr")?,
            rxq_ovfl: options.flag("rxqOvfl")?,
        })
    }

    /// Runs in the namespace of the socket.
    fn open(&self) -> Result<Opened> {
        let v6 = self.family == 6;
        let domain = if v6 { libc::AF_INET6 } else { libc::AF_INET };
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let address = SocketAddress::parse(self.family, &self.address, self.port)?;
        // SAFETY: takes three integers.
        let fd = owned(unsafe { libc::socket(domain, kind, 0) }, "socket", format!("UDP over IPv{}", self.family))?;
        let socket = fd.as_raw_fd();
        self.set_before_bind(socket, v6)?;
        let what = format!("{} port {}", self.address, self.port);
        // SAFETY: `storage` holds at least `length` bytes.
        let bound = unsafe { libc::bind(socket, (&raw const address.storage).cast(), address.length) };
        check(bound, "bind", what)?;
        Ok(Opened {
            port: local_port(socket)?,
            rcvbuf: option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF)?,
            sndbuf: option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF)?,
            gro: self.gro && set(socket, libc::SOL_UDP, UDP_GRO, 1, "UDP_GRO").is_ok(),
            segment: !self.no_checksum && accepts_segment(socket),
            fd,
        })
    }

    /// All that must hold for the first datagram already, or that bind looks at.
    fn set_before_bind(&self, socket: RawFd, v6: bool) -> Result<()> {
        if self.sink {
            attach_sink(socket)?;
        }
        if let Some(device) = &self.device {
            bind_to_device(socket, device)?;
        }
        if v6 {
            set(socket, libc::SOL_IPV6, libc::IPV6_V6ONLY, 1, "IPV6_V6ONLY")?;
        }
        if self.reuse_port {
            set(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1, "SO_REUSEPORT")?;
        }
        set_buffer(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, self.rcvbuf, "SO_RCVBUF")?;
        set_buffer(socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, self.sndbuf, "SO_SNDBUF")?;
        if self.rxq_ovfl {
            set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1, "SO_RXQ_OVFL")?;
        }
        if v6 { self.set_ipv6(socket) } else { self.set_ipv4(socket) }
    }

    fn set_ipv4(&self, socket: RawFd) -> Result<()> {
        if self.no_checksum {
            set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1, "SO_NO_CHECK")?;
        }
        if self.recv_tos {
            set(socket, libc::SOL_IP, libc::IP_RECVTOS, 1, "IP_RECVTOS")?;
        }
        if let Some(ttl) = self.ttl {
            set(socket, libc::SOL_IP, libc::IP_TTL, ttl, "IP_TTL")?;
        }
        if let Some(tos) = self.tos {
            set(socket, libc::SOL_IP, libc::IP_TOS, tos, "IP_TOS")?;
        }
        if self.pmtudisc_probe {
            set(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER")?;
        }
        if self.recv_err {
            set(socket, libc::SOL_IP, libc::IP_RECVERR, 1, "IP_RECVERR")?;
        }
        Ok(())
    }

    fn set_ipv6(&self, socket: RawFd) -> Result<()> {
        if self.no_checksum {
            set(socket, libc::SOL_UDP, UDP_NO_CHECK6_TX, 1, "UDP_NO_CHECK6_TX")?;
            set(socket, libc::SOL_UDP, UDP_NO_CHECK6_RX, 1, "UDP_NO_CHECK6_RX")?;
        }
        if self.recv_tos {
            set(socket, libc::SOL_IPV6, libc::IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS")?;
        }
        if let Some(ttl) = self.ttl {
            set(socket, libc::SOL_IPV6, libc::IPV6_UNICAST_HOPS, ttl, "IPV6_UNICAST_HOPS")?;
        }
        if let Some(tos) = self.tos {
            set(socket, libc::SOL_IPV6, libc::IPV6_TCLASS, tos, "IPV6_TCLASS")?;
        }
        if self.pmtudisc_probe {
            set(socket, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER")?;
            // PROBE alone still fragments locally.
            set(socket, libc::SOL_IPV6, IPV6_DONTFRAG, 1, "IPV6_DONTFRAG")?;
        }
        if self.recv_err {
            set(socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1, "IPV6_RECVERR")?;
        }
        Ok(())
    }
}

pub fn set(socket: RawFd, level: i32, option: i32, value: i32, name: &str) -> Result<()> {
    // SAFETY: an int is passed with its size.
    let result =
        unsafe { libc::setsockopt(socket, level, option, (&raw const value).cast(), mem::size_of::<i32>() as u32) };
    check(result, "setsockopt", format!("{name} = {value}"))?;
    Ok(())
}

fn option(socket: RawFd, level: i32, option: i32) -> Result<i32> {
    let (mut value, mut size) = (0i32, mem::size_of::<i32>() as u32);
    // SAFETY: an int receives the value, with its size.
    let result = unsafe { libc::getsockopt(socket, level, option, (&raw mut value).cast(), &mut size) };
    check(result, "getsockopt", "")?;
    Ok(value)
}

/// The forced variant passes the machine's limit (net.core.rmem_max) and needs CAP_NET_ADMIN.
fn set_buffer(socket: RawFd, forced: i32, plain: i32, bytes: i32, name: &str) -> Result<()> {
    if bytes == 0 || set(socket, libc::SOL_SOCKET, forced, bytes, name).is_ok() {
        return Ok(());
    }
    set(socket, libc::SOL_SOCKET, plain, bytes, name)
}

/// Whether the kernel knows UDP_SEGMENT (Linux 4.18).
fn accepts_segment(socket: RawFd) -> bool {
    set(socket, libc::SOL_UDP, UDP_SEGMENT, 1000, "UDP_SEGMENT").is_ok()
        && set(socket, libc::SOL_UDP, UDP_SEGMENT, 0, "UDP_SEGMENT").is_ok()
}

/// A filter that accepts no byte of any datagram: what comes in for a sending socket is dropped unseen.
fn attach_sink(socket: RawFd) -> Result<()> {
    const RETURN_CONSTANT: u16 = 0x06;
    let mut instruction = libc::sock_filter { code: RETURN_CONSTANT, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut instruction };
    let size = mem::size_of::<libc::sock_fprog>() as u32;
    // SAFETY: the kernel copies the one instruction during the call.
    let result = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const program).cast(), size)
    };
    check(result, "setsockopt", "SO_ATTACH_FILTER")?;
    Ok(())
}

fn bind_to_device(socket: RawFd, device: &str) -> Result<()> {
    // SAFETY: the name is passed with its length.
    let result = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_ptr().cast(), device.len() as u32)
    };
    check(result, "setsockopt", format!("SO_BINDTODEVICE = {device}"))?;
    Ok(())
}

pub fn local_port(socket: RawFd) -> Result<u16> {
    let (mut name, mut size) = (address::EMPTY, address::SIZE_MAX);
    // SAFETY: `name` receives at most `size` bytes.
    check(unsafe { libc::getsockname(socket, (&raw mut name).cast(), &mut size) }, "getsockname", "")?;
    Ok(SocketAddress { storage: name, length: size }.port())
}

fn udp_open(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let request = Request::new(arguments)?;
    let opened = netns::within(request.netns.as_deref(), || request.open())?;
    let mut object = Object::new(arguments.env)?;
    object.set_named_property("port", u32::from(opened.port))?;
    object.set_named_property("rcvbuf", opened.rcvbuf)?;
    object.set_named_property("sndbuf", opened.sndbuf)?;
    object.set_named_property("gro", opened.gro)?;
    object.set_named_property("segment", opened.segment)?;
    object.set_named_property("fd", opened.fd.into_raw_fd())?;
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("udpOpen", udp_open)
}
