//! Cutting one message into single datagrams where the kernel does not (no UDP_SEGMENT on this socket or route).

use std::os::fd::RawFd;
use std::ptr;

use crate::control_message;
use crate::errors::last_errno;
use crate::messages::EXTENTS_MAX;
use crate::receiver::is_pending;
use crate::scratch::Scratch;

/// Datagrams of one sendmmsg.
const DATAGRAMS_MAX: usize = 64;

/// How a message would be cut.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Bytes of a datagram; the last one may be shorter.
    pub size: u16,
    pub segments: u64,
    /// Bytes of control messages in front of UDP_SEGMENT: those that a single datagram keeps.
    pub control_len: usize,
}

pub struct Datagrams {
    headers: Scratch<libc::mmsghdr>,
    /// Enough for all extents of a message, each cut further by the ends of datagrams.
    vectors: Scratch<libc::iovec>,
}

impl Datagrams {
    pub fn new() -> Self {
        let header = libc::mmsghdr { msg_hdr: control_message::blank_header(), msg_len: 0 };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Datagrams {
            headers: Scratch::new(DATAGRAMS_MAX, header),
            vectors: Scratch::new(EXTENTS_MAX + DATAGRAMS_MAX, vector),
        }
    }

    /// Sends the bytes of `whole` in datagrams; how many bytes went, or the error that stopped it on the way.
    ///
    /// # Safety
    /// Name, vectors and control messages of `whole` must point at live memory; at most EXTENTS_MAX vectors.
    pub unsafe fn send(&mut self, socket: RawFd, whole: &libc::msghdr, cut: Cut) -> std::result::Result<i32, i32> {
        let size = usize::from(cut.size);
        let (mut datagrams, mut start, mut used, mut room, mut total) = (0, 0, 0, size, 0u64);
        for extent in 0..whole.msg_iovlen {
            // SAFETY: within the vectors of `whole`, which the caller vouches for.
            let libc::iovec { iov_base: mut base, iov_len: mut left } = unsafe { *whole.msg_iov.add(extent) };
            while left > 0 {
                let len = left.min(room);
                *self.vectors.entry(used) = libc::iovec { iov_base: base, iov_len: len };
                used += 1;
                total += len as u64;
                left -= len;
                room -= len;
                // SAFETY: not behind the end of the extent.
                base = unsafe { base.byte_add(len) };
                if room == 0 {
                    self.close(datagrams, start..used, whole, cut);
                    (datagrams, start, room) = (datagrams + 1, used, size);
                }
                if datagrams == DATAGRAMS_MAX {
                    // SAFETY: the datagrams closed above consist of pieces of `whole`.
                    unsafe { self.flush(socket, datagrams) }?;
                    (datagrams, start, used) = (0, 0, 0);
                }
            }
        }
        if used > start {
            self.close(datagrams, start..used, whole, cut);
            datagrams += 1;
        }
        // SAFETY: as above.
        unsafe { self.flush(socket, datagrams) }?;
        Ok(i32::try_from(total).unwrap_or(i32::MAX))
    }

    fn close(&mut self, datagram: usize, vectors: std::ops::Range<usize>, whole: &libc::msghdr, cut: Cut) {
        let header = &mut self.headers.entry(datagram).msg_hdr;
        *header = *whole;
        header.msg_iov = self.vectors.pointer(vectors.start);
        header.msg_iovlen = vectors.len();
        header.msg_controllen = cut.control_len;
    }

    unsafe fn flush(&mut self, socket: RawFd, datagrams: usize) -> std::result::Result<(), i32> {
        let mut at = 0;
        let mut retried = None;
        while at < datagrams {
            let headers = self.headers.pointer(at);
            // SAFETY: the caller vouches for what the headers point at.
            let count = unsafe { libc::sendmmsg(socket, headers, (datagrams - at) as u32, libc::MSG_DONTWAIT) };
            if count > 0 {
                at += count as usize;
                continue;
            }
            match if count < 0 { last_errno() } else { libc::EIO } {
                libc::EINTR => {}
                errno if is_pending(errno) && retried != Some(at) => retried = Some(at),
                errno => return Err(errno),
            }
        }
        Ok(())
    }
}
