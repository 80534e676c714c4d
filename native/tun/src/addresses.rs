//! Addresses of network devices.

use std::net::IpAddr;

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::control::{Arguments, Module, detached};
use crate::errors::{Failure, Result};
use crate::link;
use crate::netlink::{Netlink, Request, attributes};
use crate::netns;
use crate::prefix::{family, from_bytes, octets, parse};
use crate::routes::device_names;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 0x02;
/// Bytes of ifaddrmsg, the header in front of an address's attributes.
const INFO_LEN: usize = 8;

#[derive(PartialEq)]
pub struct Address {
    pub index: i32,
    pub ip: IpAddr,
    pub prefix_len: u8,
}

impl Address {
    pub fn parse(reply: &[u8]) -> Option<Self> {
        let prefix_len = *reply.get(1)?;
        let index = i32::from_ne_bytes(reply.get(4..8)?.try_into().ok()?);
        let mut ip = None;
        for (kind, value) in attributes(reply.get(INFO_LEN..)?) {
            // On a point-to-point device IFA_ADDRESS is the other end; IFA_LOCAL, where present, is ours.
            if kind == IFA_LOCAL || (kind == IFA_ADDRESS && ip.is_none()) {
                ip = from_bytes(value).or(ip);
            }
        }
        Some(Address { index, ip: ip?, prefix_len })
    }
}

fn list(netlink: &mut Netlink) -> Result<Vec<Address>> {
    let request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; INFO_LEN], "RTM_GETADDR", "");
    Ok(netlink.call(request)?.iter().filter_map(|reply| Address::parse(reply)).collect())
}

/// What is said of one address on one device.
struct Change {
    name: String,
    ip: IpAddr,
    prefix_len: u8,
    no_dad: bool,
}

impl Change {
    fn new(arguments: &Arguments) -> Result<(Option<String>, Self)> {
        let options = arguments.options(0)?;
        let (path, name, text) = (options.optional_text("netns")?, options.device("name")?, options.text("address")?);
        let no_dad = options.flag("noDad")?;
        let (ip, prefix_len) = parse(&text).ok_or_else(|| {
            Failure::Range(format!(
                "{}: address must be an IP address with its prefix length (10.0.0.1/24), not '{text}'",
                arguments.function
            ))
        })?;
        Ok((path, Change { name, ip, prefix_len, no_dad }))
    }

    /// RTM_NEWADDR or RTM_DELADDR, and the index of the device.
    fn request(&self, netlink: &mut Netlink, kind: u16, what: &'static str, flags: i32) -> Result<(Request, i32)> {
        let Change { name, ip, prefix_len, no_dad } = self;
        let Some(link) = link::get(netlink, name)? else {
            return Err(Failure::system(format!("netlink {what}"), libc::ENODEV, format!("device {name}")));
        };
        let mut fixed = [0; INFO_LEN];
        fixed[0] = family(ip) as u8;
        fixed[1] = *prefix_len;
        fixed[2] = if *no_dad { IFA_F_NODAD } else { 0 };
        fixed[4..8].copy_from_slice(&link.index.to_ne_bytes());
        let about = format!("{ip}/{prefix_len} on {name}");
        let mut request = Request::new(kind, flags | libc::NLM_F_ACK, &fixed, what, about);
        request.attribute(IFA_LOCAL, &octets(ip));
        request.attribute(IFA_ADDRESS, &octets(ip));
        Ok((request, link.index))
    }

    fn add(&self, netlink: &mut Netlink) -> Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let (request, index) = self.request(netlink, libc::RTM_NEWADDR, "RTM_NEWADDR", flags)?;
        match netlink.call(request) {
            Err(failure) if failure.errno() == libc::EEXIST => {
                let wanted = Address { index, ip: self.ip, prefix_len: self.prefix_len };
                if list(netlink)?.contains(&wanted) { Ok(()) } else { Err(failure) }
            }
            other => other.map(|_| ()),
        }
    }

    fn delete(&self, netlink: &mut Netlink) -> Result<()> {
        let (request, _) = self.request(netlink, libc::RTM_DELADDR, "RTM_DELADDR", 0)?;
        netlink.call(request).map(|_| ())
    }
}

fn address_add(_: &(), arguments: &Arguments) -> Result<()> {
    let (path, change) = Change::new(arguments)?;
    netns::within(path.as_deref(), || change.add(&mut Netlink::open()?))
}

fn address_delete(_: &(), arguments: &Arguments) -> Result<()> {
    let (path, change) = Change::new(arguments)?;
    netns::within(path.as_deref(), || change.delete(&mut Netlink::open()?))
}

fn address_list(_: &(), arguments: &Arguments) -> Result<Vec<Object<'static>>> {
    let path = arguments.optional_options(0)?.map(|options| options.optional_text("netns")).transpose()?.flatten();
    let (addresses, names) = netns::within(path.as_deref(), || {
        let mut netlink = Netlink::open()?;
        Ok((list(&mut netlink)?, device_names(&mut netlink)?))
    })?;
    let to_object = |address: &Address| {
        let mut object = Object::new(arguments.env)?;
        object.set_named_property("index", address.index)?;
        object.set_named_property("name", names.get(&address.index).map_or("", String::as_str))?;
        object.set_named_property("address", address.ip.to_string())?;
        object.set_named_property("prefixLen", u32::from(address.prefix_len))?;
        object.set_named_property("family", if address.ip.is_ipv4() { 4 } else { 6 })?;
        Ok(detached(arguments.env, &object))
    };
    addresses.iter().map(to_object).collect()
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("addressAdd", address_add)?;
    module.export("addressDelete", address_delete)?;
    module.export("addressList", address_list)
}
