//! Reading frames from a TAP or TUN device into the arena.

use std::os::fd::RawFd;

use napi::bindgen_prelude::Unknown;

use crate::arguments::unknown;
use crate::bound::{self, INVALID, index};
use crate::control::{Arguments, Module};
use crate::errors::{Failure, Result, last_errno};
use crate::layout::Io;
use crate::shared::{Arena, Column, Words};

/// Bytes from one virtio-net header to the next in the arena.
const VNET_STRIDE: i32 = 16;
/// rxFlags: the frame was longer than its place and has been cut.
pub const TRUNCATED: i32 = 1;

struct TapRx {
    arena: Arena,
    fd: RawFd,
    vnet_at: i32,
    vnet_len: i32,
    at: Column,
    cap: Column,
    len: Column,
    flags: Column,
    _io: Words,
}

impl TapRx {
    /// Where lane `lane` goes: header, frame, and one byte that only a frame too long reaches.
    fn place(&self, lane: usize, spare: &mut u8) -> Option<[libc::iovec; 3]> {
        let header = self.arena.bytes(self.vnet_at.checked_add(lane as i32 * VNET_STRIDE)?, self.vnet_len)?;
        let cap = self.cap.get(lane);
        let frame = self.arena.bytes(self.at.get(lane), cap)?;
        Some([
            libc::iovec { iov_base: header, iov_len: self.vnet_len as usize },
            libc::iovec { iov_base: frame, iov_len: cap as usize },
            libc::iovec { iov_base: (&raw mut *spare).cast(), iov_len: 1 },
        ])
    }

    fn read(&self, max: usize, byte_limit: f64) -> i32 {
        let mut spare = 0u8;
        // All places are checked before the first read, so that no frame is lost to a wrong one behind it.
        if (0..max).any(|lane| self.place(lane, &mut spare).is_none()) {
            return INVALID;
        }
        let mut total = 0.0;
        let mut lane = 0;
        while lane < max && total < byte_limit {
            let Some(vectors) = self.place(lane, &mut spare) else { return INVALID };
            // SAFETY: the vectors point into the arena, which is kept alive, and to `spare`.
            let count = unsafe { libc::readv(self.fd, vectors.as_ptr(), 3) };
            if count < 0 {
                match last_errno() {
                    libc::EINTR => continue,
                    libc::EAGAIN => break,
                    errno if lane == 0 => return -errno,
                    // The next call meets the same error as its first.
                    _ => break,
                }
            }
            let frame_len = (count as i64 - i64::from(self.vnet_len)).max(0);
            let cap = vectors[1].iov_len as i64;
            self.flags.set(lane, if frame_len > cap { TRUNCATED } else { 0 });
            self.len.set(lane, frame_len.min(cap) as i32);
            total += frame_len as f64;
            lane += 1;
        }
        lane as i32
    }
}

fn bind_tap_rx(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let env = arguments.env;
    let arena = Arena::new(env, arguments.raw(0))?;
    let io = Io::new(arguments, 1)?;
    let fd = arguments.descriptor(3)?;
    let vnet_len = arguments.integer(5, "vnetHdrLen", 0..=VNET_STRIDE as i64)? as i32;
    let vnet_at = arguments.integer(4, "vnetAt", 0..=i64::from(i32::MAX))? as i32;
    let burst = io.size("burst")?;
    let headers_len = i32::try_from(burst).ok().and_then(|burst| burst.checked_mul(VNET_STRIDE));
    if headers_len.and_then(|len| arena.bytes(vnet_at, len)).is_none() {
        return Err(Failure::Range(format!(
            "bindTapRx: vnetAt {vnet_at} leaves no room for {burst} headers in the arena"
        )));
    }
    let context = TapRx {
        fd,
        vnet_at,
        vnet_len,
        at: io.column("rxAt", burst)?,
        cap: io.column("rxCap", burst)?,
        len: io.column("rxLen", burst)?,
        flags: io.column("rxFlags", burst)?,
        arena,
        _io: io.words,
    };
    let function = bound::create(env, "tapRx", context, |rx: &TapRx, [max, byte_limit]: [f64; 2]| {
        index(max, rx.at.len()).map_or(INVALID, |max| rx.read(max, byte_limit))
    })?;
    unknown(env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindTapRx", bind_tap_rx)
}
