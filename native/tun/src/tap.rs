//! Opening TAP and TUN devices.

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::control::{Arguments, Module};
use crate::errors::{Failure, Result};
use crate::link::{self, Link};
use crate::netlink::Netlink;
use crate::netns;
use crate::tap_ioctl::{Mode, Queue, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO, VNET_LEN};

/// What a virtio-net header of 12 bytes can describe. Offloads of UDP tunnels need one of 24.
const OFFLOADS_KNOWN: u32 = 0x7f;

struct Request {
    netns: Option<String>,
    name: String,
    create: bool,
    tun: bool,
    queues: usize,
    multi_queue: bool,
    vnet_hdr: bool,
    offloads: u32,
    owner: Option<u32>,
    group: Option<u32>,
    persist: Option<bool>,
}

struct Opened {
    queues: Vec<Queue>,
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
            multi_queue: options.flag("multiQueue")?,
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
        let existing = link::get(&mut netlink, &self.name)?;
        self.check_existing(existing.as_ref())?;
        let multi_queue = existing.as_ref().map_or(self.multi_queue || self.queues > 1, |link| link.multi_queue);
        let mode = Mode { tun: self.tun, vnet_hdr: self.vnet_hdr, multi_queue, exclusive: self.create };
        let first = Queue::attach(&self.name, mode)?;
        // The device may have vanished since it was looked up, and attaching have made another.
        let index = link::get(&mut netlink, &first.device)?.map(|link| link.index);
        let Some(index) = index.filter(|&index| existing.is_none_or(|link| link.index == index)) else {
            return Err(self.failure(libc::ENODEV, "it vanished while it was attached"));
        };
        let vnet_len = set_vnet_header(&first)?;
        let offloads = self.set_offloads(&first, vnet_len);
        let mut queues = vec![first];
        while multi_queue && queues.len() < self.queues {
            queues.push(Queue::attach(&queues[0].device, Mode { exclusive: false, ..mode })?);
        }
        self.set_ownership(&queues[0])?;
        Ok(Opened { queues, index, vnet_len, offloads, multi_queue })
    }

    fn failure(&self, errno: i32, why: &str) -> Failure {
        Failure::system("ioctl TUNSETIFF", errno, format!("device {}: {why}", self.name))
    }

    fn check_existing(&self, existing: Option<&Link>) -> Result<()> {
        let kind = if self.tun { "tun" } else { "tap" };
        match existing {
            Some(_) if self.create => Err(self.failure(libc::EEXIST, "it exists already")),
            None if !self.create => Err(self.failure(libc::ENODEV, "no such device")),
            Some(link) if link.kind != kind => {
                let actual = if link.kind.is_empty() { "another kind" } else { &link.kind };
                Err(self.failure(libc::EINVAL, &format!("it is no {kind} but of kind {actual}")))
            }
            _ => Ok(()),
        }
    }

    /// The largest part of the wanted offloads that the kernel takes. USO is the newest (Linux 6.2).
    fn set_offloads(&self, queue: &Queue, vnet_len: i32) -> u32 {
        if vnet_len == 0 {
            return 0;
        }
        let wanted = self.offloads & OFFLOADS_KNOWN;
        let plain = wanted & (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
        let masks = [wanted, wanted & !TUN_F_USO, plain, wanted & TUN_F_CSUM];
        masks.into_iter().find(|&mask| queue.set_offloads(mask).is_ok()).unwrap_or(0)
    }

    fn set_ownership(&self, queue: &Queue) -> Result<()> {
        if let Some(owner) = self.owner {
            queue.set_owner(owner)?;
        }
        if let Some(group) = self.group {
            queue.set_group(group)?;
        }
        // Last, so that a failure before leaves no device behind.
        if let Some(persist) = self.persist {
            queue.set_persist(persist)?;
        }
        Ok(())
    }
}

/// The length of the virtio-net header in front of every frame; 0 without.
fn set_vnet_header(queue: &Queue) -> Result<i32> {
    if !queue.has_vnet_header()? {
        return Ok(0);
    }
    // Refused, the length stays what it was, which is reported.
    let _ = queue.set_vnet_header_len(VNET_LEN);
    queue.set_vnet_little_endian()?;
    queue.vnet_header_len()
}

fn open_tap(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let request = Request::new(arguments)?;
    let opened = netns::within(request.netns.as_deref(), || request.open())?;
    let mut object = Object::new(arguments.env)?;
    object.set_named_property("name", opened.queues[0].device.as_str())?;
    object.set_named_property("ifindex", opened.index)?;
    object.set_named_property("vnetHdrLen", opened.vnet_len)?;
    object.set_named_property("offloads", opened.offloads)?;
    object.set_named_property("multiQueue", opened.multi_queue)?;
    let descriptors: Vec<i32> = opened.queues.iter().map(Queue::raw).collect();
    object.set_named_property("fds", descriptors)?;
    // From here on they are JavaScript's.
    for queue in opened.queues {
        let _ = queue.into_raw();
    }
    Ok(arguments.returned(&object))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("openTap", open_tap)
}
