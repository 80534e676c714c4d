//! Control messages (cmsg) of sendmsg and recvmsg.

use std::mem;
use std::ptr;

/// Room for the control messages of one datagram, aligned as cmsghdr demands.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct ControlBuffer<const BYTES: usize>([u8; BYTES]);

/// Received at most: sock_extended_err with an IPv6 offender (64 bytes with its header), or three integers (24 each).
pub const RECEIVED_MAX: usize = 128;
/// Sent at most: an int and a u16 (24 bytes each).
pub const SENT_MAX: usize = 48;

impl<const BYTES: usize> ControlBuffer<BYTES> {
    pub const EMPTY: Self = ControlBuffer([0; BYTES]);
}

/// Puts control messages into a buffer, one behind the other.
pub struct Writer<'a> {
    buffer: &'a mut ControlBuffer<SENT_MAX>,
    pub used: usize,
}

impl<'a> Writer<'a> {
    pub fn new(buffer: &'a mut ControlBuffer<SENT_MAX>) -> Self {
        Writer { buffer, used: 0 }
    }

    pub fn put<T: Copy>(&mut self, level: i32, kind: i32, value: T) {
        let size = mem::size_of::<T>() as u32;
        // SAFETY: both only compute sizes.
        let (space, length) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size) as usize) };
        assert!(self.used + space <= SENT_MAX);
        let header = libc::cmsghdr { cmsg_len: length, cmsg_level: level, cmsg_type: kind };
        // SAFETY: `space` bytes are left; every message starts at a multiple of 8, as does the buffer.
        unsafe {
            let at = self.buffer.0.as_mut_ptr().add(self.used);
            at.cast::<libc::cmsghdr>().write(header);
            at.add(mem::size_of::<libc::cmsghdr>()).cast::<T>().write_unaligned(value);
        }
        self.used += space;
    }
}

/// One received control message.
pub struct Received {
    pub level: i32,
    pub kind: i32,
    data: *const u8,
    len: usize,
}

impl Received {
    /// The value, if the message is long enough for it.
    pub fn value<T: Copy>(&self) -> Option<T> {
        if self.len < mem::size_of::<T>() {
            return None;
        }
        // SAFETY: `len` bytes lie at `data`; `T` is a plain integer or kernel structure of integers.
        Some(unsafe { self.data.cast::<T>().read_unaligned() })
    }

    /// An int, or the single byte that some options send in its place.
    pub fn integer(&self) -> Option<i32> {
        self.value::<i32>().or_else(|| self.value::<u8>().map(i32::from))
    }
}

/// Calls `each` for every control message of a received header.
///
/// # Safety
/// `msg_control` and `msg_controllen` of `header` must be as recvmsg left them, over live memory.
pub unsafe fn for_each(header: &libc::msghdr, mut each: impl FnMut(Received)) {
    // SAFETY: the caller vouches for the control buffer, which these walk within its length.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let (data, total) = (libc::CMSG_DATA(message), (*message).cmsg_len);
            let offset = data.offset_from(message.cast::<u8>()) as usize;
            let end = header.msg_control.cast::<u8>().add(header.msg_controllen);
            let left = end.offset_from(data).max(0) as usize;
            let len = total.saturating_sub(offset).min(left);
            each(Received { level: (*message).cmsg_level, kind: (*message).cmsg_type, data, len });
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// A header that addresses nothing yet.
pub fn blank_header() -> libc::msghdr {
    // SAFETY: a msghdr of zeros is valid: no name, no vectors, no control messages.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = ptr::null_mut();
    header
}
