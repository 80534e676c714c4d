//! Routes over rtnetlink, in the namespace of the calling thread.

use std::net::IpAddr;

use crate::errors::{Failure, Result};
use crate::link;
use crate::netlink::{Netlink, Reply, Request, attributes, read_word};
use crate::prefix::{bits, family, from_bytes, octets, unspecified};

/// Who made a route (rtm_protocol): marks ours, next to those of the kernel (2) and of administrators (3, 4). No routing
/// daemon has this number in iproute2's rt_protos.
pub const PROTOCOL: u8 = 199;
pub const TABLE_MAIN: u32 = 254;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTNH_F_ONLINK: u32 = 4;
const RTM_F_CLONED: u32 = 0x200;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
/// In a deletion: any.
const SCOPE_NOWHERE: u8 = 255;
const UNICAST: u8 = 1;
/// Bytes of rtmsg, the header in front of a route's attributes, and of rtnexthop.
const INFO_LEN: usize = 12;
const NEXT_HOP_LEN: usize = 8;

/// A route to add or to delete.
pub struct Wanted {
    pub ip: IpAddr,
    pub prefix_len: u8,
    pub device: Option<String>,
    pub via: Option<IpAddr>,
    pub onlink: bool,
    pub metric: Option<u32>,
    pub table: u32,
}

/// A route as the kernel has it.
pub struct Route {
    pub ip: IpAddr,
    pub prefix_len: u8,
    pub table: u32,
    pub protocol: u8,
    pub kind: u8,
    pub index: Option<i32>,
    pub via: Option<IpAddr>,
    pub source: Option<IpAddr>,
    pub metric: u32,
}

impl Route {
    fn parse(reply: &Reply) -> Option<Self> {
        let family = i32::from(*reply.first()?);
        // Multicast routes come along in a dump, under families of their own.
        if ![libc::AF_INET, libc::AF_INET6].contains(&family) || read_word(reply, 8)? & RTM_F_CLONED != 0 {
            return None;
        }
        let mut route = Route {
            ip: unspecified(family),
            prefix_len: *reply.get(1)?,
            table: u32::from(*reply.get(4)?),
            protocol: *reply.get(5)?,
            kind: *reply.get(7)?,
            index: None,
            via: None,
            source: None,
            metric: 0,
        };
        route.read(reply.get(INFO_LEN..)?);
        Some(route)
    }

    fn read(&mut self, bytes: &[u8]) {
        for (kind, value) in attributes(bytes) {
            match kind {
                RTA_DST => self.ip = from_bytes(value).unwrap_or(self.ip),
                RTA_OIF => self.index = read_word(value, 0).map(|index| index as i32),
                RTA_GATEWAY => self.via = from_bytes(value),
                // A gateway of the other family, behind its family.
                RTA_VIA => self.via = value.get(2..).and_then(from_bytes),
                RTA_PREFSRC => self.source = from_bytes(value),
                RTA_PRIORITY => self.metric = read_word(value, 0).unwrap_or(0),
                RTA_TABLE => self.table = read_word(value, 0).unwrap_or(self.table),
                RTA_MULTIPATH => self.read_first_hop(value),
                _ => {}
            }
        }
    }

    fn read_first_hop(&mut self, hops: &[u8]) {
        let len = hops.first_chunk().map_or(0, |len| usize::from(u16::from_ne_bytes(*len)));
        if let Some(attributes) = hops.get(NEXT_HOP_LEN..len) {
            self.index = read_word(hops, 4).map(|index| index as i32);
            self.read(attributes);
        }
    }
}

/// RTM_NEWROUTE or RTM_DELROUTE.
fn change(netlink: &mut Netlink, wanted: &Wanted, kind: u16, name: &'static str, flags: i32, scope: u8) -> Result<()> {
    let Wanted { ip, prefix_len, .. } = wanted;
    let about = format!("route {ip}/{prefix_len}");
    let index = match &wanted.device {
        None => None,
        Some(device) => match link::get(netlink, device)? {
            Some(link) => Some(link.index),
            None => {
                return Err(Failure::system(
                    format!("netlink {name}"),
                    libc::ENODEV,
                    format!("{about}: device {device}"),
                ));
            }
        },
    };
    let table = u8::try_from(wanted.table).unwrap_or(0);
    let mut fixed = [0; INFO_LEN];
    fixed[..8].copy_from_slice(&[family(ip) as u8, *prefix_len, 0, 0, table, PROTOCOL, scope, UNICAST]);
    fixed[8..].copy_from_slice(&if wanted.onlink { RTNH_F_ONLINK } else { 0 }.to_ne_bytes());
    let mut request = Request::new(kind, flags | libc::NLM_F_ACK, &fixed, name, about);
    if *prefix_len > 0 {
        request.attribute(RTA_DST, &octets(ip));
    }
    request.word(RTA_TABLE, wanted.table);
    if let Some(index) = index {
        request.word(RTA_OIF, index as u32);
    }
    if let Some(via) = &wanted.via {
        request.attribute(RTA_GATEWAY, &octets(via));
    }
    if let Some(metric) = wanted.metric {
        request.word(RTA_PRIORITY, metric);
    }
    netlink.call(request)?;
    Ok(())
}

pub fn add(netlink: &mut Netlink, wanted: &Wanted) -> Result<()> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let scope = if wanted.via.is_some() || wanted.ip.is_ipv6() { SCOPE_UNIVERSE } else { SCOPE_LINK };
    change(netlink, wanted, libc::RTM_NEWROUTE, "RTM_NEWROUTE", flags, scope)
}

/// Deletes a route that `add` made: others have another protocol.
pub fn delete(netlink: &mut Netlink, wanted: &Wanted) -> Result<()> {
    change(netlink, wanted, libc::RTM_DELROUTE, "RTM_DELROUTE", 0, SCOPE_NOWHERE)
}

pub fn list(netlink: &mut Netlink) -> Result<Vec<Route>> {
    let request = Request::new(libc::RTM_GETROUTE, libc::NLM_F_DUMP, &[0; INFO_LEN], "RTM_GETROUTE", "");
    Ok(netlink.call(request)?.iter().filter_map(Route::parse).collect())
}

/// The route that a packet to `ip` would take.
pub fn to(netlink: &mut Netlink, ip: &IpAddr) -> Result<Route> {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = family(ip) as u8;
    fixed[1] = bits(ip);
    let about = format!("route to {ip}");
    let mut request = Request::new(libc::RTM_GETROUTE, libc::NLM_F_ACK, &fixed, "RTM_GETROUTE", about.clone());
    request.attribute(RTA_DST, &octets(ip));
    // What is asked for is a clone for this one address.
    let found = netlink.call(request)?.into_iter().find_map(|mut reply| {
        reply.get_mut(8..12)?.fill(0);
        Route::parse(&reply)
    });
    found.ok_or_else(|| Failure::system("netlink RTM_GETROUTE", libc::ENETUNREACH, about))
}
