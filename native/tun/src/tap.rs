//! Opening TAP and TUN devices.

use std::mem;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::control::{Arguments, Module};
use crate::descriptors::owned;
use crate::errors::{Failure, Result, check, last_errno};
use crate::links::{self, Link};
use crate::netlink::Netlink;
use crate::netns;

// From linux/if_tun.h; the headers of some distributions end before the newer ones.
pub const TUN_F_CSUM: u32 = 0x01;
pub const TUN_F_TSO4: u32 = 0x02;
pub const TUN_F_TSO6: u32 = 0x04;
/// TUN_F_USO4 and TUN_F_USO6, which the kernel takes only together.
pub const TUN_F_USO: u32 = 0x60;
pub const TUN_F_UDP_TUNNEL_GSO: u32 = 0x80;
/// What a virtio-net header of 12 bytes can describe. Offloads of UDP tunnels need one of 24.
const OFFLOADS_KNOWN: u32 = 0x7f;
/// Fail with EBUSY rather than attach to a device that exists.
const IFF_TUN_EXCL: i32 = 0x8000;
/// virtio_net_hdr with num_buffers, as virtio 1.0 has it, and the older form without.
pub const VNET_LEN: i32 = 12;
/// virtio_net_hdr_v1_hash_tunnel, which offloads of UDP tunnels need.
pub const VNET_TUNNEL_LEN: i32 = 24;

#[derive(Default)]
struct Request {
    netns: Option<String>,
    name: String,
    create: bool,
    tun: bool,
    queues: usize,
    vnet_hdr: bool,
    offloads: u32,
    owner: Option<u32>,
    group: Option<u32>,
    persist: Option<bool>,
}

struct Opened {
    queues: Vec<OwnedFd>,
    name: String,
    index: i32,
    vnet_len: i32,
    offloads: u32,
    multi_queue: bool,
}

impl Request {
    fn new(arguments: &Arguments) -> Result<Self> {
        let options = arguments.options(0)?;
        let kind = options.optional_text("kind")?;
        let tun = match kind.as_deref() {
            None | Some("tap") => false,
            Some("tun") => true,
            Some(other) => return Err(Failure::Range(format!("openTap: kind must be 'tap' or 'tun', not '{other}'"))),
        };
        let id = |key| Ok::<_, Failure>(options.optional_integer(key, 0..=i64::from(u32::MAX))?.map(|id| id as u32));
        Ok(Request {
            netns: options.optional_text("netns")?,
            name: options.device("name")?,
            create: options.flag("create")?,
            tun,
            queues: options.optional_integer("queues", 1..=256)?.unwrap_or(1) as usize,
            vnet_hdr: options.flag("vnetHdr")?,
            offloads: options.optional_integer("offloads", 0..=0xffff)?.unwrap_or(0) as u32,
            owner: id("owner")?,
            group: id("group")?,
            persist: options.optional_flag("persist")?,
        })
    }

    /// Runs in the namespace of the device.
    fn open(&self) -> Result<Opened> {
        let mut netlink = Netlink::open()?;
        let existing = links::get(&mut netlink, &self.name)?;
        self.check_existing(existing.as_ref())?;
        let multi_queue = existing.as_ref().map_or(self.queues > 1, |link| link.multi_queue);
        let queues = if multi_queue { self.queues } else { 1 };
        let (first, name) = self.attach(&self.name, multi_queue, self.create)?;
        // The device may have vanished since it was looked up, and attaching have made another.
        let index = links::get(&mut netlink, &name)?.map(|link| link.index);
        let Some(index) = index.filter(|&index| existing.is_none_or(|link| link.index == index)) else {
            return Err(self.failure("ioctl TUNSETIFF", libc::ENODEV, "it vanished while it was attached"));
        };
        let mut opened = Opened { queues: vec![first], name, index, vnet_len: 0, offloads: 0, multi_queue };
        while opened.queues.len() < queues {
            let (queue, _) = self.attach(&opened.name, multi_queue, false)?;
            opened.queues.push(queue);
        }
        let queue = opened.queues[0].as_raw_fd();
        opened.vnet_len = self.set_vnet_header(queue)?;
        opened.offloads = self.set_offloads(queue, opened.vnet_len);
        self.set_ownership(queue)?;
        Ok(opened)
    }

    fn failure(&self, syscall: &str, errno: i32, why: &str) -> Failure {
        Failure::system(syscall, errno, format!("device {}: {why}", self.name))
    }

    fn check_existing(&self, existing: Option<&Link>) -> Result<()> {
        match existing {
            Some(_) if self.create => Err(self.failure("ioctl TUNSETIFF", libc::EEXIST, "it exists already")),
            None if !self.create => Err(self.failure("ioctl TUNSETIFF", libc::ENODEV, "no such device")),
            Some(link) if link.kind != self.kind() => {
                let kind = if link.kind.is_empty() { "another kind" } else { &link.kind };
                let why = format!("it is no {} but of kind {kind}", self.kind());
                Err(self.failure("ioctl TUNSETIFF", libc::EINVAL, &why))
            }
            _ => Ok(()),
        }
    }

    fn kind(&self) -> &'static str {
        if self.tun { "tun" } else { "tap" }
    }

    /// One queue, and the name that the device has.
    fn attach(&self, name: &str, multi_queue: bool, exclusive: bool) -> Result<(OwnedFd, String)> {
        let path = c"/dev/net/tun";
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: `path` ends with NUL.
        let queue = owned(unsafe { libc::open(path.as_ptr(), flags) }, "open", "/dev/net/tun")?;
        let mut flags = libc::IFF_NO_PI | if self.tun { libc::IFF_TUN } else { libc::IFF_TAP };
        if self.vnet_hdr {
            flags |= libc::IFF_VNET_HDR;
        }
        if multi_queue {
            flags |= libc::IFF_MULTI_QUEUE;
        }
        if exclusive {
            flags |= IFF_TUN_EXCL;
        }
        let mut request = interface_request(name);
        request.ifr_ifru.ifru_flags = flags as i16;
        // SAFETY: TUNSETIFF reads and writes an ifreq.
        let result = unsafe { libc::ioctl(queue.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
        if exclusive && result < 0 && last_errno() == libc::EBUSY {
            return Err(self.failure("ioctl TUNSETIFF", libc::EEXIST, "it exists already"));
        }
        check(result, "ioctl TUNSETIFF", format!("device {name}"))?;
        Ok((queue, interface_name(&request)))
    }

    /// The length of the virtio-net header in front of every frame; 0 without.
    fn set_vnet_header(&self, queue: RawFd) -> Result<i32> {
        let mut request = interface_request("");
        // SAFETY: TUNGETIFF writes an ifreq.
        let result = unsafe { libc::ioctl(queue, libc::TUNGETIFF as _, &raw mut request) };
        check(result, "ioctl TUNGETIFF", format!("device {}", self.name))?;
        // SAFETY: TUNGETIFF filled in the flags.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        if flags & libc::IFF_VNET_HDR == 0 {
            return Ok(0);
        }
        // Refused, the length stays what it was, which is reported.
        let _ = try_vnet_header(queue, VNET_LEN);
        let little_endian = 1i32;
        // SAFETY: reads an int.
        let result = unsafe { libc::ioctl(queue, libc::TUNSETVNETLE as _, &raw const little_endian) };
        check(result, "ioctl TUNSETVNETLE", format!("device {}", self.name))?;
        let mut actual = 0i32;
        // SAFETY: writes an int.
        let result = unsafe { libc::ioctl(queue, libc::TUNGETVNETHDRSZ as _, &raw mut actual) };
        check(result, "ioctl TUNGETVNETHDRSZ", format!("device {}", self.name))?;
        Ok(actual)
    }

    /// The largest part of the wanted offloads that the kernel takes. USO is the newest (Linux 6.2).
    fn set_offloads(&self, queue: RawFd, vnet_len: i32) -> u32 {
        if vnet_len == 0 {
            return 0;
        }
        let wanted = self.offloads & OFFLOADS_KNOWN;
        let without_uso = wanted & !TUN_F_USO;
        let plain = wanted & (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
        let masks = [wanted, without_uso, plain, wanted & TUN_F_CSUM];
        masks.into_iter().find(|&mask| try_offloads(queue, mask).is_ok()).unwrap_or(0)
    }

    fn set_ownership(&self, queue: RawFd) -> Result<()> {
        let set = |request, name: &str, value: u32| {
            // SAFETY: these take their value as the argument.
            let result = unsafe { libc::ioctl(queue, request, libc::c_ulong::from(value)) };
            check(result, name, format!("device {}", self.name))
        };
        if let Some(owner) = self.owner {
            set(libc::TUNSETOWNER as _, "ioctl TUNSETOWNER", owner)?;
        }
        if let Some(group) = self.group {
            set(libc::TUNSETGROUP as _, "ioctl TUNSETGROUP", group)?;
        }
        if let Some(persist) = self.persist {
            set(libc::TUNSETPERSIST as _, "ioctl TUNSETPERSIST", persist.into())?;
        }
        Ok(())
    }
}

/// Sets the length of the virtio-net header.
pub fn try_vnet_header(queue: RawFd, len: i32) -> Result<()> {
    // SAFETY: reads an int.
    let result = unsafe { libc::ioctl(queue, libc::TUNSETVNETHDRSZ as _, &raw const len) };
    check(result, "ioctl TUNSETVNETHDRSZ", format!("{len} bytes"))?;
    Ok(())
}

/// Sets what frames may leave to their reader: a mask of TUN_F_*.
pub fn try_offloads(queue: RawFd, mask: u32) -> Result<()> {
    // SAFETY: takes the mask as its argument.
    let result = unsafe { libc::ioctl(queue, libc::TUNSETOFFLOAD as _, libc::c_ulong::from(mask)) };
    check(result, "ioctl TUNSETOFFLOAD", format!("mask {mask:#x}"))?;
    Ok(())
}

/// A TAP that ends with its descriptor, for trying things out.
pub fn open_for_probe() -> Result<OwnedFd> {
    let request = Request { name: "weftprobe".to_owned(), create: true, vnet_hdr: true, ..Request::default() };
    Ok(request.attach(&request.name, false, true)?.0)
}

fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // Names are at most 15 bytes, which leaves the NUL behind them.
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request
}

fn interface_name(request: &libc::ifreq) -> String {
    let bytes: Vec<u8> = request.ifr_name.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn open_tap(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let request = Request::new(arguments)?;
    let opened = netns::within(request.netns.as_deref(), || request.open())?;
    let mut object = Object::new(arguments.env)?;
    object.set_named_property("name", opened.name.as_str())?;
    object.set_named_property("ifindex", opened.index)?;
    object.set_named_property("vnetHdrLen", opened.vnet_len)?;
    object.set_named_property("offloads", opened.offloads)?;
    object.set_named_property("multiQueue", opened.multi_queue)?;
    let descriptors: Vec<i32> = opened.queues.iter().map(AsRawFd::as_raw_fd).collect();
    object.set_named_property("fds", descriptors)?;
    // From here on they are JavaScript's.
    for queue in opened.queues {
        let _ = queue.into_raw_fd();
    }
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("openTap", open_tap)
}
