//! Network devices over rtnetlink, in the namespace of the calling thread.

use std::os::fd::AsRawFd;

use crate::errors::{Failure, Result};
use crate::netlink::{Netlink, Request, attributes, find, read_long, read_text, read_word};
use crate::netns;

// Attributes of a link, from linux/if_link.h; those after 40 are too new for the headers of some distributions.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_GSO_MAX_SIZE: u16 = 41;
const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
/// Byte of tx_dropped in rtnl_link_stats64.
const TX_DROPPED: usize = 7 * 8;

/// Bytes of ifinfomsg, the header in front of a link's attributes.
const INFO_LEN: usize = 16;

#[derive(Clone, Debug)]
pub struct Link {
    pub index: i32,
    pub name: String,
    pub mac: String,
    pub mtu: u32,
    pub up: bool,
    pub running: bool,
    /// rtnetlink's kind ("veth", "vxlan"); "tap" and "tun" told apart; empty for a physical device or lo.
    pub kind: String,
    pub gso_max_size: u32,
    pub netnsid: Option<i32>,
    /// Of a TAP or TUN: it was made with IFF_MULTI_QUEUE.
    pub multi_queue: bool,
    /// Packets that the device did not take from the kernel: of a TAP or TUN, those that found its queue full. 0 in lists, which leave figures out.
    pub tx_dropped: u64,
}

impl Link {
    pub fn parse(reply: &[u8]) -> Option<Self> {
        let flags = read_word(reply, 8)? as i32;
        let mut link = Link {
            index: read_word(reply, 4)? as i32,
            name: String::new(),
            mac: String::new(),
            mtu: 0,
            up: flags & libc::IFF_UP != 0,
            running: flags & libc::IFF_RUNNING != 0,
            kind: String::new(),
            gso_max_size: 0,
            netnsid: None,
            multi_queue: false,
            tx_dropped: 0,
        };
        for (kind, value) in attributes(reply.get(INFO_LEN..)?) {
            match kind {
                IFLA_IFNAME => link.name = read_text(value),
                IFLA_ADDRESS if value.len() == 6 => link.mac = mac_text(value),
                IFLA_MTU => link.mtu = read_word(value, 0)?,
                IFLA_GSO_MAX_SIZE => link.gso_max_size = read_word(value, 0)?,
                IFLA_LINK_NETNSID => link.netnsid = Some(read_word(value, 0)? as i32),
                IFLA_LINKINFO => link.read_info(value),
                IFLA_STATS64 => link.tx_dropped = read_long(value, TX_DROPPED)?,
                _ => {}
            }
        }
        Some(link)
    }

    fn read_info(&mut self, info: &[u8]) {
        self.kind = find(info, IFLA_INFO_KIND).map(read_text).unwrap_or_default();
        if self.kind != "tun" {
            return;
        }
        let data = find(info, IFLA_INFO_DATA).unwrap_or_default();
        let byte = |kind| find(data, kind).and_then(|value| value.first().copied()).unwrap_or(0);
        if i32::from(byte(IFLA_TUN_TYPE)) == libc::IFF_TAP {
            self.kind = "tap".to_owned();
        }
        self.multi_queue = byte(IFLA_TUN_MULTI_QUEUE) != 0;
    }
}

/// The device `name` in the namespace of the calling thread.
pub fn get(netlink: &mut Netlink, name: &str) -> Result<Option<Link>> {
    let mut request = request(libc::RTM_GETLINK, "RTM_GETLINK", 0, 0, name);
    request.text(IFLA_IFNAME, name);
    match netlink.call(request) {
        Ok(replies) => Ok(replies.first().and_then(|reply| Link::parse(reply))),
        Err(failure) if failure.errno() == libc::ENODEV => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub fn list(netlink: &mut Netlink) -> Result<Vec<Link>> {
    let fixed = [0; INFO_LEN];
    let mut request = Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &fixed, "RTM_GETLINK", "");
    request.word(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    Ok(netlink.call(request)?.iter().filter_map(|reply| Link::parse(reply)).collect())
}

fn request(kind: u16, name: &'static str, flags: u32, change: u32, device: &str) -> Request {
    let mut fixed = [0; INFO_LEN];
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&change.to_ne_bytes());
    Request::new(kind, libc::NLM_F_ACK, &fixed, name, format!("device {device}"))
}

/// What to change of a device.
#[derive(Default)]
pub struct Change {
    pub up: Option<bool>,
    pub mtu: Option<u32>,
    pub mac: Option<[u8; 6]>,
    pub gso_max_size: Option<u32>,
    pub tx_queue_len: Option<u32>,
    pub new_name: Option<String>,
    pub move_to: Option<String>,
}

pub fn set(netlink: &mut Netlink, name: &str, change: &Change) -> Result<()> {
    let up = libc::IFF_UP as u32;
    let flags = if change.up == Some(true) { up } else { 0 };
    let mut request = request(libc::RTM_SETLINK, "RTM_SETLINK", flags, if change.up.is_some() { up } else { 0 }, name);
    // Selects the device when the index is 0, and so cannot also be its new name: that is a request of its own.
    request.text(IFLA_IFNAME, name);
    let namespace = change.move_to.as_deref().map(netns::open).transpose()?;
    if let Some(namespace) = &namespace {
        request.word(IFLA_NET_NS_FD, namespace.as_raw_fd() as u32);
    }
    if let Some(mtu) = change.mtu {
        request.word(IFLA_MTU, mtu);
    }
    if let Some(mac) = change.mac {
        request.attribute(IFLA_ADDRESS, &mac);
    }
    if let Some(len) = change.tx_queue_len {
        request.word(IFLA_TXQLEN, len);
    }
    if let Some(size) = change.gso_max_size {
        // A kernel without the variants passes over them.
        for attribute in [IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE] {
            request.word(attribute, size);
        }
    }
    netlink.call(request)?;
    Ok(())
}

pub fn rename(netlink: &mut Netlink, name: &str, new_name: &str) -> Result<()> {
    let Some(link) = get(netlink, name)? else {
        return Err(Failure::system("netlink RTM_GETLINK", libc::ENODEV, format!("device {name}")));
    };
    let mut fixed = [0; INFO_LEN];
    fixed[4..8].copy_from_slice(&link.index.to_ne_bytes());
    let about = format!("device {name}, new name {new_name}");
    let mut request = Request::new(libc::RTM_SETLINK, libc::NLM_F_ACK, &fixed, "RTM_SETLINK", about);
    request.text(IFLA_IFNAME, new_name);
    netlink.call(request)?;
    Ok(())
}

pub fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

pub fn delete(netlink: &mut Netlink, name: &str) -> Result<()> {
    let mut request = request(libc::RTM_DELLINK, "RTM_DELLINK", 0, 0, name);
    request.text(IFLA_IFNAME, name);
    netlink.call(request)?;
    Ok(())
}
