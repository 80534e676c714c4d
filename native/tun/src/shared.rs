//! Memory shared with JavaScript: the arena's bytes and the io words.
//!
//! Other threads may write it at any time, so it is never seen through a Rust reference. Words are read and written
//! one by one, volatile; arena bytes are only ever handed to system calls as pointer and length.

use std::ffi::c_void;
use std::ptr;

use napi::{Env, check_status, sys};

use crate::errors::{Failure, Result};

/// A typed array over a SharedArrayBuffer, kept alive until this is dropped.
///
/// Such a buffer is never detached and never shrinks, so pointer and length stay good for as long.
struct Pinned {
    env: sys::napi_env,
    reference: sys::napi_ref,
    data: *mut c_void,
    length: usize,
}

impl Pinned {
    fn new(env: &Env, value: sys::napi_value, kind: i32, what: &str, expected: &str) -> Result<Self> {
        let wrong = || Failure::Type(format!("{what} must be {expected} over a SharedArrayBuffer"));
        let (mut actual, mut length, mut data) = (0, 0, ptr::null_mut());
        let mut buffer = ptr::null_mut();
        // SAFETY: all results have a place; a value that is no typed array gives an error status.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env.raw(),
                value,
                &mut actual,
                &mut length,
                &mut data,
                &mut buffer,
                ptr::null_mut(),
            )
        };
        if status != sys::Status::napi_ok || actual != kind {
            return Err(wrong());
        }
        let mut detachable = true;
        // SAFETY: `buffer` is the buffer of the array above. The answer is false for a SharedArrayBuffer.
        check_status!(unsafe { sys::napi_is_arraybuffer(env.raw(), buffer, &mut detachable) })?;
        if detachable {
            return Err(wrong());
        }
        if length > 0 && data.is_null() {
            return Err(wrong());
        }
        let mut reference = ptr::null_mut();
        // SAFETY: `value` is an object of this environment.
        check_status!(unsafe { sys::napi_create_reference(env.raw(), value, 1, &mut reference) })?;
        Ok(Pinned { env: env.raw(), reference, data, length })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: contexts are dropped by a finalizer, on the environment's thread, while it can still be used.
        unsafe { sys::napi_delete_reference(self.env, self.reference) };
    }
}

/// The arena: frames, read and written by the kernel alone from here.
pub struct Arena {
    memory: Pinned,
}

impl Arena {
    pub fn new(env: &Env, value: sys::napi_value) -> Result<Self> {
        let memory = Pinned::new(env, value, sys::TypedarrayType::uint8_array, "arena", "a Uint8Array")?;
        Ok(Arena { memory })
    }

    /// The address of `len` bytes at `at`, if they lie within the arena.
    pub fn bytes(&self, at: i32, len: i32) -> Option<*mut c_void> {
        let at = usize::try_from(at).ok()?;
        let end = at.checked_add(usize::try_from(len).ok()?)?;
        // SAFETY: `at` is not behind the end of the memory.
        (end <= self.memory.length).then(|| unsafe { self.memory.data.byte_add(at) })
    }
}

/// An Int32Array that JavaScript and the addon both write.
pub struct Words {
    memory: Pinned,
}

impl Words {
    pub fn new(env: &Env, value: sys::napi_value, what: &str) -> Result<Self> {
        let memory = Pinned::new(env, value, sys::TypedarrayType::int32_array, what, "an Int32Array")?;
        if !memory.data.cast::<i32>().is_aligned() {
            return Err(Failure::Type(format!("{what} must be aligned to 4 bytes")));
        }
        Ok(Words { memory })
    }

    pub fn len(&self) -> usize {
        self.memory.length
    }

    /// The address is a multiple of 8 bytes at word offset `at`.
    pub fn is_double_aligned(&self, at: usize) -> bool {
        (self.memory.data as usize + at * 4).is_multiple_of(8)
    }

    /// `len` words at word offset `at`. Both are configuration and were checked against `len()`.
    pub fn column(&self, at: usize, len: usize) -> Column {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.memory.length), "column outside of io");
        // SAFETY: `at` is not behind the end of the memory.
        Column { first: unsafe { self.memory.data.cast::<i32>().add(at) }, len }
    }
}

/// A run of words. Whoever holds a column also holds the [`Words`] that it lies in.
#[derive(Clone, Copy)]
pub struct Column {
    first: *mut i32,
    len: usize,
}

impl Column {
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn get(&self, index: usize) -> i32 {
        assert!(index < self.len);
        // SAFETY: within the column, which lies within memory that its holder keeps alive.
        unsafe { self.first.add(index).read_volatile() }
    }

    #[inline]
    pub fn set(&self, index: usize, value: i32) {
        assert!(index < self.len);
        // SAFETY: as in `get`.
        unsafe { self.first.add(index).write_volatile(value) }
    }

    pub fn increment(&self, index: usize) {
        self.set(index, self.get(index).wrapping_add(1));
    }

    /// Writes a double over the words `index` and `index + 1`, at an address that is a multiple of 8.
    #[inline]
    pub fn set_double(&self, index: usize, value: f64) {
        assert!(index + 1 < self.len);
        // SAFETY: as in `get`; the alignment was checked when the layout was read.
        unsafe { self.first.add(index).cast::<f64>().write_volatile(value) }
    }
}
