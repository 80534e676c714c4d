//! What UDP and raw sockets have in common: options of the socket layer and of IP.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::address::SocketAddress;
use crate::arguments::Options;
use crate::descriptors::owned;
use crate::errors::{Failure, Result, check};

// Not in the headers of every distribution; from linux/in6.h.
const IPV6_DONTFRAG: i32 = 62;

/// The part of a request that every socket has.
pub struct Settings {
    pub netns: Option<String>,
    pub v6: bool,
    pub address: String,
    device: Option<String>,
    recv_tos: bool,
    rcvbuf: i32,
    sndbuf: i32,
    pub sink: bool,
    ttl: Option<i32>,
    tos: Option<i32>,
    pmtudisc_probe: bool,
    recv_err: bool,
    rxq_ovfl: bool,
}

/// Bytes as the kernel accounts them.
pub struct BufferSizes {
    pub rcvbuf: i32,
    pub sndbuf: i32,
}

impl Settings {
    pub fn new(options: &Options, function: &str) -> Result<Self> {
        let family = options.integer("family", 4..=6)?;
        if family == 5 {
            return Err(Failure::Range(format!("{function}: family must be 4 or 6")));
        }
        let number = |key, range| Ok::<_, Failure>(options.optional_integer(key, range)?.map(|value| value as i32));
        Ok(Settings {
            netns: options.optional_text("netns")?,
            v6: family == 6,
            address: options.text("address")?,
            device: options.optional_device("device")?,
            recv_tos: options.flag("recvTos")?,
            rcvbuf: number("rcvbuf", 0..=i64::from(i32::MAX / 2))?.unwrap_or(0),
            sndbuf: number("sndbuf", 0..=i64::from(i32::MAX / 2))?.unwrap_or(0),
            sink: options.flag("sink")?,
            ttl: number("ttl", 1..=255)?,
            tos: number("tos", 0..=255)?,
            pmtudisc_probe: options.flag("pmtudiscProbe")?,
            recv_err: options.flag("recvErr")?,
            rxq_ovfl: options.flag("rxqOvfl")?,
        })
    }

    /// A socket of `kind` and `protocol`, not bound yet. Runs in its namespace.
    pub fn open(&self, kind: i32, protocol: i32, what: &str) -> Result<OwnedFd> {
        let domain = if self.v6 { libc::AF_INET6 } else { libc::AF_INET };
        let flags = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let version = if self.v6 { 6 } else { 4 };
        // SAFETY: takes three integers.
        let fd =
            owned(unsafe { libc::socket(domain, flags, protocol) }, "socket", format!("{what} over IPv{version}"))?;
        self.set_all(fd.as_raw_fd())?;
        Ok(fd)
    }

    /// All that must hold for the first datagram already, or that bind looks at.
    fn set_all(&self, socket: RawFd) -> Result<()> {
        if self.sink {
            attach_sink(socket)?;
        }
        if let Some(device) = &self.device {
            bind_to_device(socket, device)?;
        }
        set_buffer(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, self.rcvbuf, "SO_RCVBUF")?;
        set_buffer(socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, self.sndbuf, "SO_SNDBUF")?;
        if self.rxq_ovfl {
            set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1, "SO_RXQ_OVFL")?;
        }
        if self.v6 { self.set_ipv6(socket) } else { self.set_ipv4(socket) }
    }

    fn set_ipv4(&self, socket: RawFd) -> Result<()> {
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

pub fn bind(socket: RawFd, address: &SocketAddress, what: String) -> Result<()> {
    // SAFETY: `storage` holds at least `length` bytes.
    let bound = unsafe { libc::bind(socket, (&raw const address.storage).cast(), address.length) };
    check(bound, "bind", what)?;
    Ok(())
}

pub fn buffer_sizes(socket: RawFd) -> Result<BufferSizes> {
    Ok(BufferSizes {
        rcvbuf: option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF)?,
        sndbuf: option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF)?,
    })
}

pub fn set(socket: RawFd, level: i32, option: i32, value: i32, name: &str) -> Result<()> {
    // SAFETY: an int is passed with its size.
    let result =
        unsafe { libc::setsockopt(socket, level, option, (&raw const value).cast(), mem::size_of::<i32>() as u32) };
    check(result, "setsockopt", format!("{name} = {value}"))?;
    Ok(())
}

pub fn option(socket: RawFd, level: i32, option: i32) -> Result<i32> {
    let (mut value, mut size) = (0i32, mem::size_of::<i32>() as u32);
    // SAFETY: an int receives the value, with its size.
    let result = unsafe { libc::getsockopt(socket, level, option, (&raw mut value).cast(), &mut size) };
    check(result, "getsockopt", "")?;
    Ok(value)
}

/// The forced variant passes the machine's limit (net.core.rmem_max) and needs CAP_NET_ADMIN. 0 bytes: as it is.
pub fn set_buffer(socket: RawFd, forced: i32, plain: i32, bytes: i32, name: &str) -> Result<()> {
    if bytes == 0 || set(socket, libc::SOL_SOCKET, forced, bytes, name).is_ok() {
        return Ok(());
    }
    set(socket, libc::SOL_SOCKET, plain, bytes, name)
}

/// A filter that accepts no byte of any datagram: what comes in for a sending socket is dropped unseen.
pub fn attach_sink(socket: RawFd) -> Result<()> {
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

pub fn detach_sink(socket: RawFd) -> Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0, "SO_DETACH_FILTER")
}

fn bind_to_device(socket: RawFd, device: &str) -> Result<()> {
    // SAFETY: the name is passed with its length.
    let result = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_ptr().cast(), device.len() as u32)
    };
    check(result, "setsockopt", format!("SO_BINDTODEVICE = {device}"))?;
    Ok(())
}
