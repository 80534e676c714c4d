//! Messages to send: each a list of extents of the arena, described by columns of the io words.

use std::ops::Range;
use std::ptr;

use crate::bound::{INVALID, index};
use crate::control::Arguments;
use crate::errors::Result;
use crate::layout::Io;
use crate::scratch::Scratch;
use crate::shared::{Arena, Column, Words};

/// Most extents that the kernel takes in one message (UIO_MAXIOV).
pub const EXTENTS_MAX: usize = 1024;

/// Word offsets within the counters.
pub const GSO_FALLBACKS: usize = 1;
pub const LAST_ERRNO: usize = 2;

pub struct Messages {
    arena: Arena,
    first: Column,
    count: Column,
    pub result: Column,
    extent_at: Column,
    extent_len: Column,
    pub counters: Column,
    vectors: Scratch<libc::iovec>,
    _io: Words,
}

/// A message's extents as the kernel takes them. They lie in the scratch.
#[derive(Clone, Copy)]
pub struct Gathered {
    pub vectors: *mut libc::iovec,
    pub count: usize,
    pub bytes: u64,
}

impl Messages {
    /// Takes arena, io and layout from the first three arguments, for `gather_one`: there is a binding for each port, and a row for each
    /// extent would be 128 KiB of it.
    pub fn one_by_one(arguments: &Arguments) -> Result<Self> {
        let arena = Arena::new(arguments.env, arguments.raw(0))?;
        Self::new(arena, Io::new(arguments, 1)?, EXTENTS_MAX)
    }

    /// For `gather`.
    pub fn over(arena: Arena, io: Io) -> Result<Self> {
        let extents = io.size("extents")?;
        Self::new(arena, io, extents)
    }

    fn new(arena: Arena, io: Io, vectors: usize) -> Result<Self> {
        let (messages, extents) = (io.size("messages")?, io.size("extents")?);
        Ok(Messages {
            arena,
            first: io.column("msgFirst", messages)?,
            count: io.column("msgCount", messages)?,
            result: io.column("msgResult", messages)?,
            extent_at: io.column("extAt", extents)?,
            extent_len: io.column("extLen", extents)?,
            counters: io.counters()?,
            vectors: Scratch::new(vectors, libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }),
            _io: io.words,
        })
    }

    pub fn len(&self) -> usize {
        self.result.len()
    }

    /// The messages `first` to `first + count`, if there are so many.
    pub fn range(&self, first: f64, count: f64) -> Option<Range<usize>> {
        let first = index(first, self.len())?;
        let count = index(count, self.len() - first)?;
        Some(first..first + count)
    }

    /// The vectors of `message`, which stay until the same extents are gathered again; none if it has no extents, too many, or one outside of
    /// io or arena.
    pub fn gather(&mut self, message: usize) -> Option<Gathered> {
        let extents = self.extents(message)?;
        self.put(extents.start, extents)
    }

    /// The same, until the next message is gathered.
    pub fn gather_one(&mut self, message: usize) -> Option<Gathered> {
        let extents = self.extents(message)?;
        self.put(0, extents)
    }

    fn extents(&self, message: usize) -> Option<Range<usize>> {
        let first = usize::try_from(self.first.get(message)).ok()?;
        let count = usize::try_from(self.count.get(message)).ok()?;
        let valid = (1..=EXTENTS_MAX).contains(&count) && first.checked_add(count)? <= self.extent_at.len();
        valid.then_some(first..first + count)
    }

    fn put(&mut self, at: usize, extents: Range<usize>) -> Option<Gathered> {
        let count = extents.len();
        let mut bytes = 0;
        for (row, extent) in extents.enumerate() {
            let len = self.extent_len.get(extent);
            let iov_base = self.arena.bytes(self.extent_at.get(extent), len)?;
            *self.vectors.entry(at + row) = libc::iovec { iov_base, iov_len: len as usize };
            bytes += len as u64;
        }
        Some(Gathered { vectors: self.vectors.pointer(at), count, bytes })
    }

    /// Marks messages that can be tried again later.
    pub fn refuse(&self, messages: Range<usize>) {
        for message in messages {
            self.result.set(message, -libc::EAGAIN);
        }
    }

    pub fn fail(&self, message: usize, errno: i32) {
        self.result.set(message, -errno);
        self.counters.set(LAST_ERRNO, errno);
    }

    pub fn invalid(&self, message: usize) {
        self.result.set(message, INVALID);
    }
}
