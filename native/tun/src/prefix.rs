//! IP addresses and prefixes, as text and as rtnetlink has them.

use std::net::IpAddr;

/// "10.0.0.1/24": an address and the length of its prefix.
pub fn parse(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix_len) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let prefix_len: u8 = prefix_len.parse().ok()?;
    (prefix_len <= bits(&ip)).then_some((ip, prefix_len))
}

/// "10.0.0.0/24": the same with no bit set behind the prefix.
pub fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix_len) = parse(text)?;
    let host_bits = u32::from(bits(&ip) - prefix_len);
    let number = match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    (host_bits == 0 || number << (128 - host_bits) == 0).then_some((ip, prefix_len))
}

pub fn bits(ip: &IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The unspecified address of a family.
pub fn unspecified(family: i32) -> IpAddr {
    if family == libc::AF_INET { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) }
}

pub fn from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

pub fn octets(ip: &IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub fn family(ip: &IpAddr) -> i32 {
    if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }
}
