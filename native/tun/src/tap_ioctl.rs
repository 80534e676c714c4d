//! One queue of a TAP or TUN device, and what ioctl sets on it.

use std::mem;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::descriptors::owned;
use crate::errors::{Failure, Result, check, last_errno};

// From linux/if_tun.h; the headers of some distributions end before the newer ones.
pub const TUN_F_CSUM: u32 = 0x01;
pub const TUN_F_TSO4: u32 = 0x02;
pub const TUN_F_TSO6: u32 = 0x04;
/// TUN_F_USO4 and TUN_F_USO6, which the kernel takes only together.
pub const TUN_F_USO: u32 = 0x60;
pub const TUN_F_UDP_TUNNEL_GSO: u32 = 0x80;
/// Fail with EBUSY rather than attach to a device that exists.
const IFF_TUN_EXCL: i32 = 0x8000;

/// virtio_net_hdr with num_buffers, as virtio 1.0 has it; without, it has 10 bytes.
pub const VNET_LEN: i32 = 12;
/// virtio_net_hdr_v1_hash_tunnel, which offloads of UDP tunnels need.
pub const VNET_TUNNEL_LEN: i32 = 24;

/// How to attach to a device.
#[derive(Clone, Copy)]
pub struct Mode {
    pub tun: bool,
    pub vnet_hdr: bool,
    pub multi_queue: bool,
    /// The device must not exist yet.
    pub exclusive: bool,
}

pub struct Queue {
    fd: OwnedFd,
    /// The device's name, which the kernel completes ("tap%d").
    pub device: String,
}

impl Queue {
    /// Attaches to `device` in the namespace of the calling thread, or makes it.
    pub fn attach(device: &str, mode: Mode) -> Result<Self> {
        let path = c"/dev/net/tun";
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: `path` ends with NUL.
        let fd = owned(unsafe { libc::open(path.as_ptr(), flags) }, "open", "/dev/net/tun")?;
        let chosen = [
            (mode.tun, libc::IFF_TUN),
            (!mode.tun, libc::IFF_TAP),
            (mode.vnet_hdr, libc::IFF_VNET_HDR),
            (mode.multi_queue, libc::IFF_MULTI_QUEUE),
            (mode.exclusive, IFF_TUN_EXCL),
        ];
        let flags = chosen.into_iter().filter(|(wanted, _)| *wanted).fold(libc::IFF_NO_PI, |all, (_, flag)| all | flag);
        let mut request = interface_request(device);
        request.ifr_ifru.ifru_flags = flags as i16;
        // SAFETY: TUNSETIFF reads and writes an ifreq.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
        if mode.exclusive && result < 0 && last_errno() == libc::EBUSY {
            return Err(Failure::system(
                "ioctl TUNSETIFF",
                libc::EEXIST,
                format!("device {device}: it exists already"),
            ));
        }
        check(result, "ioctl TUNSETIFF", format!("device {device}"))?;
        Ok(Queue { fd, device: interface_name(&request) })
    }

    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub fn into_raw(self) -> RawFd {
        self.fd.into_raw_fd()
    }

    fn check(&self, result: i32, name: &str, detail: &str) -> Result<()> {
        check(result, &format!("ioctl {name}"), format!("device {}{detail}", self.device))?;
        Ok(())
    }

    /// An ioctl that takes a number as its argument.
    fn set(&self, request: libc::c_ulong, name: &str, value: u32) -> Result<()> {
        // SAFETY: the requests used below read no memory.
        let result = unsafe { libc::ioctl(self.raw(), request as _, libc::c_ulong::from(value)) };
        self.check(result, name, &format!(", value {value:#x}"))
    }

    /// An ioctl that reads an int.
    fn set_int(&self, request: libc::c_ulong, name: &str, value: i32) -> Result<()> {
        // SAFETY: the requests used below read one int.
        let result = unsafe { libc::ioctl(self.raw(), request as _, &raw const value) };
        self.check(result, name, &format!(", value {value}"))
    }

    /// Frames have a virtio-net header: a device that exists already decides itself.
    pub fn has_vnet_header(&self) -> Result<bool> {
        let mut request = interface_request("");
        // SAFETY: TUNGETIFF writes an ifreq.
        let result = unsafe { libc::ioctl(self.raw(), libc::TUNGETIFF as _, &raw mut request) };
        self.check(result, "TUNGETIFF", "")?;
        // SAFETY: TUNGETIFF filled in the flags.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok(flags & libc::IFF_VNET_HDR != 0)
    }

    pub fn vnet_header_len(&self) -> Result<i32> {
        let mut len = 0i32;
        // SAFETY: writes an int.
        let result = unsafe { libc::ioctl(self.raw(), libc::TUNGETVNETHDRSZ as _, &raw mut len) };
        self.check(result, "TUNGETVNETHDRSZ", "")?;
        Ok(len)
    }

    pub fn set_vnet_header_len(&self, len: i32) -> Result<()> {
        self.set_int(libc::TUNSETVNETHDRSZ as _, "TUNSETVNETHDRSZ", len)
    }

    pub fn set_vnet_little_endian(&self) -> Result<()> {
        self.set_int(libc::TUNSETVNETLE as _, "TUNSETVNETLE", 1)
    }

    /// What frames may leave to their reader: a mask of TUN_F_*.
    pub fn set_offloads(&self, mask: u32) -> Result<()> {
        self.set(libc::TUNSETOFFLOAD as _, "TUNSETOFFLOAD", mask)
    }

    pub fn set_owner(&self, uid: u32) -> Result<()> {
        self.set(libc::TUNSETOWNER as _, "TUNSETOWNER", uid)
    }

    pub fn set_group(&self, gid: u32) -> Result<()> {
        self.set(libc::TUNSETGROUP as _, "TUNSETGROUP", gid)
    }

    pub fn set_persist(&self, persist: bool) -> Result<()> {
        self.set(libc::TUNSETPERSIST as _, "TUNSETPERSIST", persist.into())
    }
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
