//! Neighbours (ARP and neighbour discovery) for JavaScript.

use std::net::IpAddr;

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::control::{Arguments, Module, detached};
use crate::errors::{Failure, Result};
use crate::link::{self, mac_text};
use crate::netlink::{Netlink, Reply, Request, attributes, read_word};
use crate::netns;
use crate::prefix::{family, from_bytes, octets};
use crate::routes::{device_names, set_text};

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// Bytes of ndmsg, the header in front of a neighbour's attributes.
const INFO_LEN: usize = 12;
/// Bit of ndm_flags.
const NTF_USE: u8 = 0x01;
/// Bits of ndm_state, from linux/neighbour.h.
const STATES: [(u16, &str); 8] = [
    (0x01, "incomplete"),
    (0x02, "reachable"),
    (0x04, "stale"),
    (0x08, "delay"),
    (0x10, "probe"),
    (0x20, "failed"),
    (0x40, "noarp"),
    (0x80, "permanent"),
];

struct Neighbour {
    index: i32,
    state: u16,
    ip: IpAddr,
    mac: String,
}

impl Neighbour {
    fn parse(reply: &Reply) -> Option<Self> {
        let (mut ip, mut mac) = (None, String::new());
        for (kind, value) in attributes(reply.get(INFO_LEN..)?) {
            match kind {
                NDA_DST => ip = from_bytes(value),
                NDA_LLADDR if value.len() == 6 => mac = mac_text(value),
                _ => {}
            }
        }
        let index = read_word(reply, 4)? as i32;
        let state = u16::from_ne_bytes(*reply.get(8..)?.first_chunk()?);
        Some(Neighbour { index, state, ip: ip?, mac })
    }

    fn state(&self) -> &'static str {
        STATES.iter().find(|(bit, _)| self.state & bit != 0).map_or("none", |(_, word)| word)
    }
}

fn neighbour_list(_: &(), arguments: &Arguments) -> Result<Vec<Object<'static>>> {
    let options = arguments.optional_options(0)?;
    let (mut path, mut device) = (None, None);
    if let Some(options) = &options {
        path = options.optional_text("netns")?;
        device = options.optional_device("device")?;
    }
    let (replies, names) = netns::within(path.as_deref(), || {
        let mut netlink = Netlink::open()?;
        let request = Request::new(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &[0; INFO_LEN], "RTM_GETNEIGH", "");
        Ok((netlink.call(request)?, device_names(&mut netlink)?))
    })?;
    let mut objects = Vec::new();
    for neighbour in replies.iter().filter_map(Neighbour::parse) {
        let name = names.get(&neighbour.index);
        if device.is_some() && device.as_ref() != name {
            continue;
        }
        let mut object = Object::new(arguments.env)?;
        object.set_named_property("family", if neighbour.ip.is_ipv4() { 4 } else { 6 })?;
        object.set_named_property("address", neighbour.ip.to_string())?;
        object.set_named_property("mac", neighbour.mac.as_str())?;
        set_text(&mut object, "device", name.cloned())?;
        object.set_named_property("state", neighbour.state())?;
        objects.push(detached(arguments.env, &object));
    }
    Ok(objects)
}

/// As a packet for it would: an unknown neighbour is asked for, a stale one whether it is still there.
fn neighbour_use(_: &(), arguments: &Arguments) -> Result<()> {
    let options = arguments.options(0)?;
    let path = options.optional_text("netns")?;
    let device = options.device("device")?;
    let text = options.text("address")?;
    let ip: IpAddr = text
        .parse()
        .map_err(|_| Failure::Range(format!("{}: address must be an IP address, not '{text}'", arguments.function)))?;
    netns::within(path.as_deref(), || {
        let mut netlink = Netlink::open()?;
        let about = format!("{ip} on {device}");
        let Some(link) = link::get(&mut netlink, &device)? else {
            return Err(Failure::system("netlink RTM_NEWNEIGH", libc::ENODEV, format!("device {device}")));
        };
        let mut fixed = [0; INFO_LEN];
        fixed[0] = family(&ip) as u8;
        fixed[4..8].copy_from_slice(&link.index.to_ne_bytes());
        fixed[10] = NTF_USE;
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE | libc::NLM_F_ACK;
        let mut request = Request::new(libc::RTM_NEWNEIGH, flags, &fixed, "RTM_NEWNEIGH", about);
        request.attribute(NDA_DST, &octets(&ip));
        netlink.call(request).map(|_| ())
    })
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("neighbourUse", neighbour_use)?;
    module.export("neighbourList", neighbour_list)
}
