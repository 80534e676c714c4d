//! Receiving datagrams into the arena, many per system call.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::ptr;

use napi::bindgen_prelude::Unknown;

use crate::address::{self, mapped, write_words};
use crate::arguments::unknown;
use crate::bound::{self, INVALID, index};
use crate::control::{Arguments, Module};
use crate::control_message::{self, ControlBuffer, RECEIVED_MAX};
use crate::errors::{Result, last_errno};
use crate::layout::Io;
use crate::scratch::Scratch;
use crate::shared::{Arena, Column, Words};
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

struct UdpRx {
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
    scratch: RefCell<Buffers>,
    _io: Words,
}

pub struct Buffers {
    pub headers: Scratch<libc::mmsghdr>,
    vectors: Scratch<libc::iovec>,
    pub names: Scratch<libc::sockaddr_in6>,
    controls: Scratch<ControlBuffer<RECEIVED_MAX>>,
}

impl Buffers {
    pub fn new(len: usize) -> Self {
        let blank = libc::mmsghdr { msg_hdr: control_message::blank_header(), msg_len: 0 };
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let mut buffers = Buffers {
            headers: Scratch::new(len, blank),
            vectors: Scratch::new(len, empty),
            names: Scratch::new(len, address::EMPTY),
            controls: Scratch::new(len, ControlBuffer::EMPTY),
        };
        for i in 0..len {
            let (name, vector, control) =
                (buffers.names.pointer(i), buffers.vectors.pointer(i), buffers.controls.pointer(i));
            let header = &mut buffers.headers.entry(i).msg_hdr;
            header.msg_name = name.cast();
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.cast();
        }
        buffers
    }

    /// Readies entry `i` to receive into `vector`: the kernel changed the lengths last time.
    pub fn ready(&mut self, i: usize, vector: libc::iovec) {
        *self.vectors.entry(i) = vector;
        let header = &mut self.headers.entry(i).msg_hdr;
        header.msg_namelen = address::SIZE_MAX;
        header.msg_controllen = RECEIVED_MAX;
        header.msg_flags = 0;
    }
}

impl UdpRx {
    fn receive(&self, max: usize) -> i32 {
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
        write_words(&self.source, lane * 4, &address);
        self.port.set(lane, i32::from(port));
        self.len.set(lane, received.msg_len as i32);
        self.gso.set(lane, gso);
        self.tos.set(lane, tos);
        let truncated = received.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        self.flags.set(lane, if truncated { TRUNCATED } else { 0 });
    }
}

fn bind_udp_rx(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let env = arguments.env;
    let arena = Arena::new(env, arguments.raw(0))?;
    let io = Io::new(arguments, 1)?;
    let fd = arguments.descriptor(3)?;
    let burst = io.size("burst")?;
    let context = UdpRx {
        arena,
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
        scratch: RefCell::new(Buffers::new(burst)),
        _io: io.words,
    };
    let function = bound::create(env, "udpRx", context, |rx: &UdpRx, [max]: [f64; 1]| {
        index(max, rx.at.len()).map_or(INVALID, |max| rx.receive(max))
    })?;
    unknown(env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindUdpRx", bind_udp_rx)
}
