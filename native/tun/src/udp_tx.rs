//! Sending datagrams from the arena: many per system call, superframes cut by the kernel (UDP_SEGMENT).

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::os::fd::RawFd;

use napi::bindgen_prelude::Unknown;

use crate::address::{self, ROW_WORDS, SocketAddress};
use crate::arguments::{DESCRIPTOR, unknown};
use crate::bound::{self, INVALID};
use crate::control::{Arguments, Module};
use crate::control_message::{self, ControlBuffer, SENT_MAX, Writer};
use crate::datagrams::{Cut, Datagrams};
use crate::errors::{Failure, Result, last_errno};
use crate::layout::Io;
use crate::messages::{GSO_FALLBACKS, Messages};
use crate::receiver::is_pending;
use crate::scratch::Scratch;
use crate::shared::{Arena, Column, Words};
use crate::udp::UDP_SEGMENT;

/// Messages of one sendmmsg (UIO_MAXIOV).
const RUN_MAX: usize = 1024;
/// Segments that every kernel with UDP_SEGMENT takes in one message (UDP_MAX_SEGMENTS; 128 since Linux 6.9).
const SEGMENTS_MAX: u64 = 64;

struct UdpTx {
    sockets: Vec<RawFd>,
    table: Column,
    destination: Column,
    socket: Column,
    gso: Column,
    tos: Column,
    /// The kernel refused UDP_SEGMENT where single datagrams went through: messages are cut here from then on.
    gso_refused: Cell<bool>,
    buffers: RefCell<Buffers>,
    _destinations: Words,
}

struct Buffers {
    messages: Messages,
    headers: Scratch<libc::mmsghdr>,
    names: Scratch<libc::sockaddr_in6>,
    controls: Scratch<ControlBuffer<SENT_MAX>>,
    cuts: Scratch<Cut>,
    datagrams: Datagrams,
}

/// The device or the socket takes no more for now: what comes from this message on is left to the caller.
struct Full(usize);

impl UdpTx {
    fn send(&self, first: f64, count: f64) -> i32 {
        let mut buffers = self.buffers.borrow_mut();
        let buffers = &mut *buffers;
        let Some(range) = buffers.messages.range(first, count) else { return INVALID };
        let mut sent = 0;
        let mut at = range.start;
        while at < range.end {
            let Some(socket) = self.prepare(buffers, at) else {
                buffers.messages.invalid(at);
                at += 1;
                continue;
            };
            let end = self.run_end(buffers, at, range.end, socket);
            match self.send_run(buffers, at..end, socket, &mut sent) {
                Ok(()) => at = end,
                Err(Full(message)) => {
                    buffers.messages.refuse(message..range.end);
                    break;
                }
            }
        }
        sent
    }

    /// Fills header, name and control messages of `message`; its socket, or nothing when a column is wrong.
    fn prepare(&self, buffers: &mut Buffers, message: usize) -> Option<RawFd> {
        let socket = *self.sockets.get(usize::try_from(self.socket.get(message)).ok()?)?;
        let destination = SocketAddress::from_row(&self.table, self.destination.get(message))?;
        let gathered = buffers.messages.gather(message)?;
        let gso = u16::try_from(self.gso.get(message)).ok()?;
        let tos = self.tos.get(message);
        if !(-1..=255).contains(&tos) {
            return None;
        }
        let mut control = Writer::new(buffers.controls.entry(message));
        if tos >= 0 {
            let v6 = destination.length == address::SIZE_MAX;
            let (level, kind) = if v6 { (libc::SOL_IPV6, libc::IPV6_TCLASS) } else { (libc::SOL_IP, libc::IP_TOS) };
            control.put(level, kind, tos);
        }
        let cut_control_len = control.used;
        // What fits one segment goes as a plain datagram.
        let segments = if gso > 0 { gathered.bytes.div_ceil(u64::from(gso)) } else { 1 };
        if segments > 1 {
            control.put(libc::SOL_UDP, UDP_SEGMENT, gso);
        }
        let control_len = control.used;
        *buffers.cuts.entry(message) = Cut { size: gso, segments, control_len: cut_control_len };
        *buffers.names.entry(message) = destination.storage;
        let (name, control) = (buffers.names.pointer(message), buffers.controls.pointer(message));
        let header = &mut buffers.headers.entry(message).msg_hdr;
        header.msg_name = name.cast();
        header.msg_namelen = destination.length;
        header.msg_iov = gathered.vectors;
        header.msg_iovlen = gathered.count;
        header.msg_control = control.cast();
        header.msg_controllen = control_len;
        Some(socket)
    }

    /// The end of the run of messages from `at` on that go to one socket in one system call.
    fn run_end(&self, buffers: &mut Buffers, at: usize, limit: usize, socket: RawFd) -> usize {
        let limit = limit.min(at + RUN_MAX);
        let mut end = at + 1;
        while end < limit && self.prepare(buffers, end) == Some(socket) {
            end += 1;
        }
        end
    }

    /// Sends prepared messages. An error of one does not keep the next ones back.
    fn send_run(
        &self,
        buffers: &mut Buffers,
        run: Range<usize>,
        socket: RawFd,
        sent: &mut i32,
    ) -> std::result::Result<(), Full> {
        let mut at = run.start;
        let mut retried = None;
        while at < run.end {
            if self.gso_refused.get() && buffers.cuts.entry(at).segments > 1 {
                self.send_cut(buffers, at, socket, sent)?;
                at += 1;
                continue;
            }
            let end = if self.gso_refused.get() { at + 1 } else { run.end };
            let headers = buffers.headers.pointer(at);
            // SAFETY: the headers of the run were prepared over scratch and arena memory that stays alive.
            let count = unsafe { libc::sendmmsg(socket, headers, (end - at) as u32, libc::MSG_DONTWAIT) };
            if count > 0 {
                for message in at..at + count as usize {
                    buffers.messages.result.set(message, buffers.headers.entry(message).msg_len as i32);
                }
                *sent += count;
                at += count as usize;
                continue;
            }
            match if count < 0 { last_errno() } else { libc::EIO } {
                libc::EINTR => {}
                libc::EAGAIN | libc::ENOBUFS => return Err(Full(at)),
                errno if is_pending(errno) && retried != Some(at) => retried = Some(at),
                // Too long for the device says a kernel before 6.15 by EINVAL; only single datagrams leave its MTU in the error queue.
                errno @ (libc::EIO | libc::EINVAL | libc::EMSGSIZE) if buffers.cuts.entry(at).segments > 1 => {
                    let before = *sent;
                    self.send_cut(buffers, at, socket, sent)?;
                    let went = *sent > before;
                    let too_many = errno == libc::EINVAL && buffers.cuts.entry(at).segments > SEGMENTS_MAX;
                    if went && !too_many {
                        self.gso_refused.set(true);
                    }
                    at += 1;
                }
                errno => {
                    buffers.messages.fail(at, errno);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Sends one message as single datagrams, because the kernel does not cut it.
    fn send_cut(
        &self,
        buffers: &mut Buffers,
        message: usize,
        socket: RawFd,
        sent: &mut i32,
    ) -> std::result::Result<(), Full> {
        let cut = *buffers.cuts.entry(message);
        let whole = buffers.headers.entry(message).msg_hdr;
        // SAFETY: the header was prepared over scratch and arena memory that stays alive.
        match unsafe { buffers.datagrams.send(socket, &whole, cut) } {
            Ok(bytes) => {
                buffers.messages.counters.increment(GSO_FALLBACKS);
                buffers.messages.result.set(message, bytes);
                *sent += 1;
            }
            Err(libc::EAGAIN | libc::ENOBUFS) => return Err(Full(message)),
            Err(errno) => buffers.messages.fail(message, errno),
        }
        Ok(())
    }
}

fn bind_udp_tx(_: &(), arguments: &Arguments) -> Result<Unknown<'static>> {
    let env = arguments.env;
    let arena = Arena::new(env, arguments.raw(0))?;
    let io = Io::new(arguments, 1)?;
    let sockets = arguments.integers(3, "fds", DESCRIPTOR)?.into_iter().map(|fd| fd as RawFd).collect();
    let destinations = Words::new(env, arguments.raw(4), "destinations")?;
    let table_len = destinations.len() / ROW_WORDS * ROW_WORDS;
    if table_len == 0 {
        return Err(Failure::Range(format!("bindUdpTx: destinations must have room for a row of {ROW_WORDS} words")));
    }
    let rows = io.size("messages")?;
    let context = UdpTx {
        sockets,
        table: destinations.column(0, table_len),
        destination: io.column("msgDest", rows)?,
        socket: io.column("msgSocket", rows)?,
        gso: io.column("msgGso", rows)?,
        tos: io.column("msgTos", rows)?,
        gso_refused: Cell::new(false),
        buffers: RefCell::new(Buffers {
            messages: Messages::over(arena, io)?,
            headers: Scratch::new(rows, libc::mmsghdr { msg_hdr: control_message::blank_header(), msg_len: 0 }),
            names: Scratch::new(rows, address::EMPTY),
            controls: Scratch::new(rows, ControlBuffer::EMPTY),
            cuts: Scratch::new(rows, Cut { size: 0, segments: 1, control_len: 0 }),
            datagrams: Datagrams::new(),
        }),
        _destinations: destinations,
    };
    let function = bound::create(env, "udpTx", context, |tx: &UdpTx, [first, n]: [f64; 2]| tx.send(first, n))?;
    unknown(env, function)
}

pub fn register(module: &mut Module) -> napi::Result<()> {
    module.export("bindUdpTx", bind_udp_tx)
}
