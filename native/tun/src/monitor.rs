//! What the kernel tells about devices, addresses and routes as they change: rtnetlink's multicast groups.
//!
//! A monitor is a descriptor that is read without blocking. Its socket holds the namespace: one that was deleted meanwhile
//! lives on until the monitor is closed.

use std::mem;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use napi::Env;
use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::addresses::Address;
use crate::control::{Arguments, Module, detached};
use crate::descriptors::owned;
use crate::errors::{Failure, Result, check, last_errno};
use crate::link::Link;
use crate::netlink::messages;
use crate::netns;
use crate::socket::set_buffer;

const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE;
/// Multicast messages are single ones; a link with many attributes has a few KiB.
const DATAGRAM_MAX: usize = 1 << 15;
/// Datagrams read by one call; what is left waits for the next.
const DATAGRAMS_MAX: usize = 1024;
/// Bytes of queue: a route daemon that writes its table anew must not overrun it between two reads.
const QUEUE_BYTES: i32 = 1 << 20;

enum Event {
    Link(Link, bool),
    Address(Address, bool),
}

#[derive(Default)]
struct Changes {
    events: Vec<Event>,
    /// Some route changed. Which one is not said: a full table of a route daemon would be a million objects.
    routes: bool,
    /// Messages were lost: everything may have changed.
    overrun: bool,
}

fn open(path: Option<&str>) -> Result<i32> {
    netns::within(path, || {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes three integers.
        let socket =
            owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }, "socket", "rtnetlink")?;
        let fd = socket.as_raw_fd();
        set_buffer(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, QUEUE_BYTES, "SO_RCVBUF")?;
        // SAFETY: a sockaddr_nl of zeros is valid.
        let mut name: libc::sockaddr_nl = unsafe { mem::zeroed() };
        name.nl_family = libc::AF_NETLINK as u16;
        name.nl_groups = GROUPS as u32;
        let size = mem::size_of::<libc::sockaddr_nl>() as u32;
        // SAFETY: the name is passed with its size.
        check(unsafe { libc::bind(fd, (&raw const name).cast(), size) }, "bind", "rtnetlink groups")?;
        Ok(socket.into_raw_fd())
    })
}

impl Changes {
    fn read(fd: RawFd) -> Result<Self> {
        let mut changes = Changes::default();
        let mut buffer = vec![0; DATAGRAM_MAX];
        for _ in 0..DATAGRAMS_MAX {
            // SAFETY: a sockaddr_nl of zeros is valid.
            let mut from: libc::sockaddr_nl = unsafe { mem::zeroed() };
            let mut size = mem::size_of::<libc::sockaddr_nl>() as u32;
            let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
            // SAFETY: buffer and name are passed with their sizes.
            let length = unsafe {
                libc::recvfrom(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags, (&raw mut from).cast(), &mut size)
            };
            if length < 0 {
                match last_errno() {
                    libc::EINTR => continue,
                    libc::EAGAIN => break,
                    libc::ENOBUFS => changes.overrun = true,
                    errno => return Err(Failure::system("recvfrom", errno, "rtnetlink groups")),
                }
                continue;
            }
            let length = length as usize;
            if length > buffer.len() {
                changes.overrun = true;
            } else if from.nl_pid == 0 {
                changes.take(&buffer[..length]);
            }
        }
        Ok(changes)
    }

    fn take(&mut self, datagram: &[u8]) {
        for (header, payload) in messages(datagram) {
            let event = match header.kind {
                // A device that leaves a bridge is "deleted" for that family alone.
                libc::RTM_NEWLINK | libc::RTM_DELLINK if payload.first() != Some(&(libc::AF_UNSPEC as u8)) => None,
                libc::RTM_NEWLINK => Link::parse(payload).map(|link| Event::Link(link, false)),
                libc::RTM_DELLINK => Link::parse(payload).map(|link| Event::Link(link, true)),
                libc::RTM_NEWADDR => Address::parse(payload).map(|address| Event::Address(address, false)),
                libc::RTM_DELADDR => Address::parse(payload).map(|address| Event::Address(address, true)),
                libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                    self.routes = true;
                    None
                }
                _ => None,
            };
            self.events.extend(event);
        }
    }
}

fn to_object(env: &Env, event: &Event) -> Result<Object<'static>> {
    let mut object = Object::new(env)?;
    match event {
        Event::Link(link, deleted) => {
            object.set_named_property("kind", "link")?;
            object.set_named_property("index", link.index)?;
            object.set_named_property("name", link.name.as_str())?;
            object.set_named_property("mac", link.mac.as_str())?;
            object.set_named_property("mtu", link.mtu)?;
            object.set_named_property("up", link.up)?;
            object.set_named_property("running", link.running)?;
            object.set_named_property("deleted", *deleted)?;
        }
        Event::Address(address, deleted) => {
            object.set_named_property("kind", "address")?;
            object.set_named_property("index", address.index)?;
            object.set_named_property("address", address.ip.to_string())?;
            object.set_named_property("prefixLen", u32::from(address.prefix_len))?;
            object.set_named_property("deleted", *deleted)?;
        }
    }
    Ok(detached(env, &object))
}

fn monitor_open(_: &(), arguments: &Arguments) -> Result<i32> {
    let path = arguments.optional_options(0)?.map(|options| options.optional_text("netns")).transpose()?.flatten();
    open(path.as_deref())
}

fn monitor_read(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let changes = Changes::read(arguments.descriptor(0)?)?;
    let env = arguments.env;
    let events: Vec<_> = changes.events.iter().map(|event| to_object(env, event)).collect::<Result<_>>()?;
    let mut object = Object::new(env)?;
    object.set_named_property("events", events)?;
    object.set_named_property("routes", changes.routes)?;
    object.set_named_property("overrun", changes.overrun)?;
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("monitorOpen", monitor_open)?;
    module.export("monitorRead", monitor_read)
}
