//! rtnetlink: requests built and replies parsed, byte by byte.
//!
//! Replies come from the kernel alone (the sender's port is checked) and are still parsed defensively: a length that
//! does not fit ends the parse.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::descriptors::owned;
use crate::errors::{Failure, Result, check, last_errno};

/// The kernel sends dumps in pieces of at most 32 KiB.
const REPLY_MAX: usize = 1 << 16;
const HEADER: usize = 16;
const SOL_NETLINK: i32 = 270;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The type of an attribute is in the lower 14 bits.
const TYPE_MASK: u16 = 0x3fff;
/// Attempts at a dump that changed while it was read.
const DUMP_ATTEMPTS: usize = 8;

/// A request while it is built.
pub struct Request {
    bytes: Vec<u8>,
    name: &'static str,
    about: String,
}

impl Request {
    /// `fixed` is the family's own header (ifinfomsg, ifaddrmsg); `name` and `about` are for errors.
    pub fn new(kind: u16, flags: i32, fixed: &[u8], name: &'static str, about: impl Into<String>) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut request = Request { bytes, name, about: about.into() };
        request.pad();
        request
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    pub fn word(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(&mut self, sequence: u32) {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

/// One reply's payload: the family's own header and attributes.
pub type Reply = Vec<u8>;

pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// In the namespace of the calling thread.
    pub fn open() -> Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes three integers.
        let socket =
            owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }, "socket", "rtnetlink")?;
        let fd = socket.as_raw_fd();
        // Both only make errors clearer and are missing in old kernels.
        let _ = crate::socket::set(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1, "NETLINK_CAP_ACK");
        let _ = crate::socket::set(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1, "NETLINK_EXT_ACK");
        let patience = libc::timeval { tv_sec: 5, tv_usec: 0 };
        let size = mem::size_of::<libc::timeval>() as u32;
        // SAFETY: a timeval is passed with its size.
        let result =
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const patience).cast(), size) };
        check(result, "setsockopt", "SO_RCVTIMEO")?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends a request and collects its replies, up to the acknowledgement.
    pub fn call(&mut self, mut request: Request) -> Result<Vec<Reply>> {
        for _ in 0..DUMP_ATTEMPTS {
            self.sequence += 1;
            request.finish(self.sequence);
            self.send(&request)?;
            if let Some(replies) = self.collect(&request)? {
                return Ok(replies);
            }
        }
        Err(Failure::system(format!("netlink {}", request.name), libc::EAGAIN, "changed at every attempt"))
    }

    fn send(&self, request: &Request) -> Result<()> {
        // SAFETY: the bytes are passed with their length. Without an address a message goes to the kernel.
        let sent =
            unsafe { libc::send(self.socket.as_raw_fd(), request.bytes.as_ptr().cast(), request.bytes.len(), 0) };
        check(sent as i32, "send", format!("netlink {}", request.name))?;
        Ok(())
    }

    /// The replies to the last request, or none if the tables changed under a dump.
    fn collect(&self, request: &Request) -> Result<Option<Vec<Reply>>> {
        let mut replies = Vec::new();
        let mut interrupted = false;
        let mut buffer = vec![0; REPLY_MAX];
        loop {
            let datagram = self.receive(&mut buffer, request)?;
            for (header, payload) in messages(datagram) {
                if header.sequence != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match i32::from(header.kind) {
                    libc::NLMSG_ERROR => {
                        acknowledged(&header, payload, request)?;
                        return Ok(Some(replies));
                    }
                    libc::NLMSG_DONE => return Ok((!interrupted).then_some(replies)),
                    libc::NLMSG_NOOP => {}
                    _ => replies.push(payload.to_vec()),
                }
            }
        }
    }

    fn receive<'a>(&self, buffer: &'a mut [u8], request: &Request) -> Result<&'a [u8]> {
        loop {
            // SAFETY: a sockaddr_nl of zeros is valid.
            let mut from: libc::sockaddr_nl = unsafe { mem::zeroed() };
            let mut size = mem::size_of::<libc::sockaddr_nl>() as u32;
            // SAFETY: buffer and name are passed with their sizes.
            let length = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_TRUNC,
                    (&raw mut from).cast(),
                    &mut size,
                )
            };
            if length < 0 {
                match last_errno() {
                    libc::EINTR => continue,
                    errno => return Err(Failure::system("recvfrom", errno, format!("netlink {}", request.name))),
                }
            }
            if from.nl_pid != 0 {
                continue;
            }
            let length = length as usize;
            if length > buffer.len() {
                return Err(Failure::system("recvfrom", libc::EMSGSIZE, format!("netlink {}", request.name)));
            }
            return Ok(&buffer[..length]);
        }
    }
}

pub struct Header {
    pub kind: u16,
    flags: u16,
    sequence: u32,
}

/// The messages of one datagram.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let length = read_word(bytes, 0)? as usize;
        let payload = bytes.get(HEADER..length)?;
        let header = Header { kind: read_half(bytes, 4)?, flags: read_half(bytes, 6)?, sequence: read_word(bytes, 8)? };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, payload))
    })
}

/// An NLMSG_ERROR: errno 0 is a success; otherwise the kernel may add its own words.
fn acknowledged(header: &Header, payload: &[u8], request: &Request) -> Result<()> {
    let errno = read_word(payload, 0).map_or(libc::EPROTO, |word| -(word as i32));
    if errno == 0 {
        return Ok(());
    }
    let echoed = if header.flags & NLM_F_CAPPED != 0 { HEADER } else { read_word(payload, 4).unwrap_or(0) as usize };
    let extended = if header.flags & NLM_F_ACK_TLVS != 0 { payload.get(4 + echoed..) } else { None };
    let words = extended.and_then(|bytes| find(bytes, NLMSGERR_ATTR_MSG)).map(read_text);
    let detail = match (request.about.as_str(), words) {
        (about, Some(words)) => format!("{about}: {words}"),
        (about, None) => about.to_owned(),
    };
    Err(Failure::system(format!("netlink {}", request.name), errno, detail))
}

/// The attributes in `bytes`: type and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(read_half(bytes, 0)?);
        let kind = read_half(bytes, 2)? & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

pub fn read_word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub fn read_long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn read_half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub fn read_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
