//! Socket addresses: from text, from a destination row, and back into words.

use std::ffi::CString;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::errors::{Failure, Result};
use crate::shared::Column;

/// Large enough for IPv4 and IPv6; `length` says which.
#[derive(Clone, Copy)]
pub struct SocketAddress {
    pub storage: libc::sockaddr_in6,
    pub length: libc::socklen_t,
}

pub const SIZE_MAX: libc::socklen_t = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
/// Words of a row in the destination table: family, port, four address words, scope, reserved.
pub const ROW_WORDS: usize = 8;

pub const EMPTY: libc::sockaddr_in6 = libc::sockaddr_in6 {
    sin6_family: 0,
    sin6_port: 0,
    sin6_flowinfo: 0,
    sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
    sin6_scope_id: 0,
};

impl SocketAddress {
    pub fn v4(address: [u8; 4], port: u16) -> Self {
        let plain = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address) },
            sin_zero: [0; 8],
        };
        let mut storage = EMPTY;
        // SAFETY: a sockaddr_in is smaller than a sockaddr_in6, has the same alignment, and every bit pattern is valid.
        unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(plain) };
        SocketAddress { storage, length: mem::size_of::<libc::sockaddr_in>() as libc::socklen_t }
    }

    pub fn v6(address: [u8; 16], port: u16, scope: u32) -> Self {
        let storage = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: port.to_be(),
            sin6_addr: libc::in6_addr { s6_addr: address },
            sin6_scope_id: scope,
            ..EMPTY
        };
        SocketAddress { storage, length: SIZE_MAX }
    }

    /// Row `row` of a destination table.
    pub fn from_row(table: &Column, row: i32) -> Option<Self> {
        let at = usize::try_from(row).ok()?.checked_mul(ROW_WORDS)?;
        if at.checked_add(ROW_WORDS)? > table.len() {
            return None;
        }
        let port = u16::try_from(table.get(at + 1)).ok()?;
        match table.get(at) {
            4 => Some(Self::v4(table.get(at + 2).to_ne_bytes(), port)),
            6 => {
                let mut address = [0; 16];
                for (i, four) in address.chunks_exact_mut(4).enumerate() {
                    four.copy_from_slice(&table.get(at + 2 + i).to_ne_bytes());
                }
                Some(Self::v6(address, port, table.get(at + 6) as u32))
            }
            _ => None,
        }
    }

    /// An address to bind to: "198.18.0.1", "fd00::1", "fe80::1%eth0". Runs in the namespace of the device.
    pub fn parse(function: &str, v6: bool, address: &str, port: u16) -> Result<Self> {
        let (plain, scope) = match address.split_once('%') {
            Some((plain, device)) => (plain, scope_id(device)?),
            None => (address, 0),
        };
        match (v6, plain.parse::<IpAddr>()) {
            (false, Ok(IpAddr::V4(ip))) if scope == 0 => Ok(Self::v4(ip.octets(), port)),
            (true, Ok(IpAddr::V6(ip))) => Ok(Self::v6(ip.octets(), port, scope)),
            _ => {
                let family = if v6 { 6 } else { 4 };
                Err(Failure::Range(format!("{function}: address must be an IPv{family} address, not '{address}'")))
            }
        }
    }

    /// Host byte order. It lies at the same place in both families.
    pub fn port(&self) -> u16 {
        u16::from_be(self.storage.sin6_port)
    }
}

/// The address of a received or returned name as IPv6 bytes (IPv4 mapped, ::ffff:a.b.c.d), and the port.
pub fn mapped(name: &libc::sockaddr_in6) -> ([u8; 16], u16) {
    let port = u16::from_be(name.sin6_port);
    match i32::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: see `SocketAddress::v4`; the family says that it is a sockaddr_in.
            let plain = unsafe { (&raw const *name).cast::<libc::sockaddr_in>().read() };
            (Ipv4Addr::from(plain.sin_addr.s_addr.to_ne_bytes()).to_ipv6_mapped().octets(), port)
        }
        libc::AF_INET6 => (name.sin6_addr.s6_addr, port),
        _ => (Ipv6Addr::UNSPECIFIED.octets(), 0),
    }
}

/// Writes a mapped address into four words of `column`, as the raw bytes in memory.
pub fn write_words(column: &Column, at: usize, address: &[u8; 16]) {
    for (i, four) in address.chunks_exact(4).enumerate() {
        column.set(at + i, i32::from_ne_bytes([four[0], four[1], four[2], four[3]]));
    }
}

fn scope_id(device: &str) -> Result<u32> {
    let name = CString::new(device).map_err(|_| Failure::Type("device name with a NUL character".to_owned()))?;
    // SAFETY: `name` ends with NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(Failure::last("if_nametoindex", format!("device {device}"))),
        index => Ok(index),
    }
}
