//! Receiving datagrams and raw IP packets into the arena, many per system call.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::ptr;

use crate::address::{self, mapped, write_words};
use crate::bound::{INVALID, index};
use crate::control::Arguments;
use crate::control_message::{self, ControlBuffer, RECEIVED_MAX};
use crate::errors::{Failure, Result, last_errno};
use crate::layout::Io;
use crate::scratch::Scratch;
use crate::shared::{Arena, Column, Words};
use crate::socket;
use crate::tap_rx::TRUNCATED;
use crate::udp::UDP_GRO;

/// Counter word: the socket's own count of datagrams lost to a full receive buffer.
const RXQ_OVFL: usize = 0;
/// Pending errors to skip in one call. Each belongs to an earlier datagram and is cleared by being returned.
const PENDING_MAX: usize = 16;

/// Errors that ICMP leaves on a socket (IP_RECVERR): about something sent earlier, not about this call.
pub fn is_pending(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EMSGSIZE
            | libc::EOPNOTSUPP
            | libc::EACCES
    )
}

/// The IPv4 header without options, which the kernel delivers in front of what a raw socket receives.
const IPV4_HEADER: usize = 20;

pub struct Receiver {
    arena: Arena,
    fd: RawFd,
    at: Column,
    cap: Column,
    len: Column,
    gso: Column,
    source: Column,
    port: Column,
    tos: Column,
    flags: Column,
    counters: Column,
    /// Of raw sockets: bytes between place and payload.
    off: Option<Column>,
    scratch: RefCell<Buffers>,
    _io: Words,
}

pub struct Buffers {
    pub headers: Scratch<libc::mmsghdr>,
    /// Two a lane: the header in front, and the place in the arena.
    vectors: Scratch<libc::iovec>,
    fronts: Scratch<[u8; IPV4_HEADER]>,
    front_len: usize,
    pub names: Scratch<libc::sockaddr_in6>,
    controls: Scratch<ControlBuffer<RECEIVED_MAX>>,
}

impl Buffers {
    pub fn new(len: usize) -> Self {
        Self::with_front(len, 0)
    }

    /// The first `front_len` bytes of every datagram stay out of the arena: 0, or IPV4_HEADER.
    fn with_front(len: usize, front_len: usize) -> Self {
        let blank = libc::mmsghdr { msg_hdr: control_message::blank_header(), msg_len: 0 };
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut buffers = Buffers {
            headers: Scratch::new(len, blank),
            vectors: Scratch::new(2 * len, empty),
            fronts: Scratch::new(len, [0; IPV4_HEADER]),
            front_len,
            names: Scratch::new(len, address::EMPTY),
            controls: Scratch::new(len, ControlBuffer::EMPTY),
        };
        for i in 0..len {
            let front = libc::iovec { iov_base: buffers.fronts.pointer(i).cast(), iov_len: front_len };
            *buffers.vectors.entry(2 * i) = front;
            // A single vector costs the kernel less.
            let (first, count) = if front_len > 0 { (2 * i, 2) } else { (2 * i + 1, 1) };
            let (name, vectors, control) =
                (buffers.names.pointer(i), buffers.vectors.pointer(first), buffers.controls.pointer(i));
            let header = &mut buffers.headers.entry(i).msg_hdr;
            header.msg_name = name.cast();
            header.msg_iov = vectors;
            header.msg_iovlen = count;
            header.msg_control = control.cast();
        }
        buffers
    }

    /// Readies entry `i` to receive into `vector`: the kernel changed the lengths last time.
    pub fn ready(&mut self, i: usize, vector: libc::iovec) {
        *self.vectors.entry(2 * i + 1) = vector;
        let header = &mut self.headers.entry(i).msg_hdr;
        header.msg_namelen = address::SIZE_MAX;
        header.msg_controllen = RECEIVED_MAX;
        header.msg_flags = 0;
    }

    /// Bytes in front of the payload of lane `i`, of which `len` bytes lie in the arena: IPv4 options, -1 if they do not fit.
    fn options_len(&mut self, i: usize, len: i64) -> i32 {
        if self.front_len == 0 {
            return 0;
        }
        let header_len = i32::from(self.fronts.entry(i)[0] & 15) * 4;
        let options_len = header_len - self.front_len as i32;
        if (0..=len).contains(&i64::from(options_len)) { options_len } else { -1 }
    }
}

impl Receiver {
    /// Takes arena, io, layout and descriptor from the first four arguments.
    pub fn udp(arguments: &Arguments) -> Result<Self> {
        let io = Io::new(arguments, 1)?;
        let fd = arguments.descriptor(3)?;
        Self::over(arguments, io, fd, None, 0)
    }

    /// The same for a raw socket, which also says where the payload begins.
    pub fn raw(arguments: &Arguments) -> Result<Self> {
        let io = Io::new(arguments, 1)?;
        let off = io.column("rxOff", io.size("burst")?)?;
        let fd = arguments.descriptor(3)?;
        let about = || format!("bindRawRx: descriptor {fd}");
        if socket::option(fd, libc::SOL_SOCKET, libc::SO_TYPE)? != libc::SOCK_RAW {
            return Err(Failure::system("getsockopt", libc::EPROTOTYPE, about()));
        }
        let front_len = match socket::option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)? {
            libc::AF_INET => IPV4_HEADER,
            libc::AF_INET6 => 0,
            _ => return Err(Failure::system("getsockopt", libc::EAFNOSUPPORT, about())),
        };
        Self::over(arguments, io, fd, Some(off), front_len)
    }

    fn over(arguments: &Arguments, io: Io, fd: RawFd, off: Option<Column>, front_len: usize) -> Result<Self> {
        let burst = io.size("burst")?;
        Ok(Receiver {
            arena: Arena::new(arguments.env, arguments.raw(0))?,
            fd,
            at: io.column("rxAt", burst)?,
            cap: io.column("rxCap", burst)?,
            len: io.column("rxLen", burst)?,
            gso: io.column("rxGso", burst)?,
            source: io.column("rxSrc", burst * 4)?,
            port: io.column("rxPort", burst)?,
            tos: io.column("rxTos", burst)?,
            flags: io.column("rxFlags", burst)?,
            counters: io.counters()?,
            off,
            scratch: RefCell::new(Buffers::with_front(burst, front_len)),
            _io: io.words,
        })
    }

    /// Receives up to `max` datagrams; a count or a negative errno.
    pub fn receive(&self, max: f64) -> i32 {
        index(max, self.at.len()).map_or(INVALID, |max| self.receive_up_to(max))
    }

    fn receive_up_to(&self, max: usize) -> i32 {
        let mut buffers = self.scratch.borrow_mut();
        for lane in 0..max {
            let cap = self.cap.get(lane);
            let Some(iov_base) = self.arena.bytes(self.at.get(lane), cap) else { return INVALID };
            buffers.ready(lane, libc::iovec { iov_base, iov_len: cap as usize });
        }
        let mut pending = 0;
        let count = loop {
            let headers = buffers.headers.pointer(0);
            // SAFETY: `max` headers were readied above, over scratch and arena memory that stays alive.
            let count = unsafe { libc::recvmmsg(self.fd, headers, max as u32, libc::MSG_DONTWAIT, ptr::null_mut()) };
            if count >= 0 {
                break count as usize;
            }
            match last_errno() {
                libc::EINTR => {}
                libc::EAGAIN => return 0,
                errno if is_pending(errno) => {
                    pending += 1;
                    if pending == PENDING_MAX {
                        return 0;
                    }
                }
                errno => return -errno,
            }
        };
        for lane in 0..count {
            self.report(lane, &mut buffers);
        }
        count as i32
    }

    fn report(&self, lane: usize, buffers: &mut Buffers) {
        let (address, port) = mapped(buffers.names.entry(lane));
        let received = buffers.headers.entry(lane);
        let (mut gso, mut tos) = (0, -1);
        let each = |message: control_message::Received| match (message.level, message.kind) {
            (libc::SOL_UDP, UDP_GRO) => gso = message.integer().unwrap_or(0),
            (libc::SOL_IP, libc::IP_TOS) | (libc::SOL_IPV6, libc::IPV6_TCLASS) => tos = message.integer().unwrap_or(-1),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                if let Some(lost) = message.value::<i32>() {
                    self.counters.set(RXQ_OVFL, lost);
                }
            }
            _ => {}
        };
        // SAFETY: recvmmsg filled this header's control buffer, which lives in the scratch.
        unsafe { control_message::for_each(&received.msg_hdr, each) };
        let truncated = received.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        // Negative: less than an IPv4 header came, which the kernel does not deliver.
        let len = i64::from(received.msg_len) - buffers.front_len as i64;
        if let Some(off) = &self.off {
            off.set(lane, buffers.options_len(lane, len));
        }
        write_words(&self.source, lane * 4, &address);
        self.port.set(lane, i32::from(port));
        self.len.set(lane, len.max(0) as i32);
        self.gso.set(lane, gso);
        self.tos.set(lane, tos);
        self.flags.set(lane, if truncated { TRUNCATED } else { 0 });
    }
}
