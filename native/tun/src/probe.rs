//! What this kernel and this process can do, found out by trying.
//!
//! Everything is tried in a network namespace of its own, which ends with the thread that made it. Without
//! CAP_SYS_ADMIN there is none: the UDP features are then tried on loopback where the process is.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use napi::bindgen_prelude::{JsObjectValue, Object};

use crate::address::SocketAddress;
use crate::control::{Arguments, Module};
use crate::control_message::{self, ControlBuffer, RECEIVED_MAX};
use crate::descriptors::owned;
use crate::errors::{Failure, Result, check};
use crate::link::{self, Change};
use crate::netlink::Netlink;
use crate::netns;
use crate::socket::set;
use crate::tap_ioctl::{
    Mode, Queue, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_UDP_TUNNEL_GSO, TUN_F_USO, VNET_LEN, VNET_TUNNEL_LEN,
};
use crate::udp::{UDP_GRO, UDP_SEGMENT, local_port};

const FEATURES: [&str; 8] = ["tun", "vnetHdr", "tso4", "tso6", "uso", "tunnelGso", "udpSegment", "udpGro"];

#[derive(Default)]
struct Findings {
    found: Vec<&'static str>,
    reasons: Vec<(&'static str, String)>,
}

impl Findings {
    fn record(&mut self, feature: &'static str, result: Result<()>) -> bool {
        match result {
            Ok(()) => self.found.push(feature),
            Err(ref failure) => self.reasons.push((feature, failure.message())),
        }
        result.is_ok()
    }

    fn missing(&mut self, features: &[&'static str], reason: &str) {
        self.reasons.extend(features.iter().map(|feature| (*feature, reason.to_owned())));
    }
}

fn try_tap(findings: &mut Findings) {
    let mode = Mode { tun: false, vnet_hdr: true, multi_queue: false, exclusive: true };
    let queue = match Queue::attach("weftprobe", mode) {
        Ok(queue) => queue,
        Err(failure) => return findings.missing(&FEATURES[..6], &failure.message()),
    };
    findings.found.push("tun");
    if !findings.record("vnetHdr", queue.set_vnet_header_len(VNET_LEN)) {
        return findings.missing(&FEATURES[2..6], "no virtio-net header");
    }
    let tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    findings.record("tso4", queue.set_offloads(TUN_F_CSUM | TUN_F_TSO4));
    findings.record("tso6", queue.set_offloads(TUN_F_CSUM | TUN_F_TSO6));
    findings.record("uso", queue.set_offloads(tso | TUN_F_USO));
    let tunnel = queue
        .set_vnet_header_len(VNET_TUNNEL_LEN)
        .and_then(|()| queue.set_offloads(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_UDP_TUNNEL_GSO));
    findings.record("tunnelGso", tunnel);
}

/// Sends two segments as one message over loopback: GRO is whole if they arrive as one, with their size.
fn try_udp(findings: &mut Findings) -> Result<()> {
    const SEGMENT: usize = 100;
    let (receiver, sender) = (loopback_socket()?, loopback_socket()?);
    let gro = set(receiver.as_raw_fd(), libc::SOL_UDP, UDP_GRO, 1, "UDP_GRO");
    let segment = set(sender.as_raw_fd(), libc::SOL_UDP, UDP_SEGMENT, SEGMENT as i32, "UDP_SEGMENT");
    let bytes = [0u8; 2 * SEGMENT];
    let to = SocketAddress::v4([127, 0, 0, 1], local_port(receiver.as_raw_fd())?);
    let sent = segment.and_then(|()| {
        // SAFETY: bytes and address are passed with their lengths.
        let sent = unsafe {
            let address = (&raw const to.storage).cast();
            libc::sendto(sender.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, address, to.length)
        };
        check(sent as i32, "sendto", "UDP_SEGMENT over loopback").map(|_| ())
    });
    if !findings.record("udpSegment", sent) {
        findings.record("udpGro", gro);
        return Ok(());
    }
    let merged = gro.and_then(|()| match received_segment_size(receiver.as_raw_fd())? {
        Some(size) if size as usize == SEGMENT => Ok(()),
        _ => Err(Failure::system("recvmsg", libc::ENODATA, "segments arrived without their size")),
    });
    findings.record("udpGro", merged);
    Ok(())
}

fn loopback_socket() -> Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes three integers.
    let socket = owned(unsafe { libc::socket(libc::AF_INET, kind, 0) }, "socket", "UDP over IPv4")?;
    let address = SocketAddress::v4([127, 0, 0, 1], 0);
    // SAFETY: the address is passed with its length.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address.storage).cast(), address.length) };
    check(bound, "bind", "127.0.0.1")?;
    Ok(socket)
}

fn received_segment_size(socket: RawFd) -> Result<Option<i32>> {
    let mut bytes = [0u8; 512];
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = ControlBuffer::<RECEIVED_MAX>::EMPTY;
    let mut header = control_message::blank_header();
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = RECEIVED_MAX;
    // SAFETY: the header points at the locals above. Loopback delivers before sendto returns, so nothing waits here.
    let count = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT) };
    check(count as i32, "recvmsg", "UDP_GRO over loopback")?;
    let mut size = None;
    // SAFETY: recvmsg filled the control buffer.
    unsafe {
        control_message::for_each(&header, |message| {
            if (message.level, message.kind) == (libc::SOL_UDP, UDP_GRO) {
                size = message.integer();
            }
        });
    }
    Ok(size)
}

fn loopback_up() -> Result<()> {
    link::set(&mut Netlink::open()?, "lo", &Change { up: Some(true), ..Change::default() })
}

fn look() -> Findings {
    let mut findings = Findings::default();
    let isolated = netns::within_new(|| {
        let mut findings = Findings::default();
        loopback_up()?;
        try_tap(&mut findings);
        try_udp(&mut findings)?;
        Ok(findings)
    });
    match isolated {
        Ok(findings) => return findings,
        Err(failure) => findings.missing(&FEATURES[..6], &failure.message()),
    }
    if let Err(failure) = try_udp(&mut findings) {
        findings.missing(&FEATURES[6..], &failure.message());
    }
    findings
}

fn probe(_: &(), arguments: &Arguments) -> Result<Object<'static>> {
    let findings = look();
    let mut object = Object::new(arguments.env)?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    object.set_named_property("kernel", kernel.trim())?;
    for feature in FEATURES {
        object.set_named_property(feature, findings.found.contains(&feature))?;
    }
    let mut reasons = Object::new(arguments.env)?;
    for (feature, reason) in &findings.reasons {
        reasons.set_named_property(feature, reason.as_str())?;
    }
    object.set_named_property("reasons", reasons)?;
    Ok(arguments.returned(&object))
}

fn version(_: &(), _: &Arguments) -> Result<&'static str> {
    Ok(env!("CARGO_PKG_VERSION"))
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("version", version)?;
    module.export("probe", probe)
}
