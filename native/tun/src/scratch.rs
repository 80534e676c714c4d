//! Memory for system calls, allocated once per binding and never moved.

use std::ptr::NonNull;

/// A fixed run of `T` whose addresses the kernel is given.
pub struct Scratch<T: Copy> {
    first: NonNull<T>,
    len: usize,
}

impl<T: Copy> Scratch<T> {
    pub fn new(len: usize, fill: T) -> Self {
        let entries = Box::leak(vec![fill; len].into_boxed_slice());
        Scratch { first: NonNull::from(entries).cast(), len }
    }

    /// The address of entry `index`; one behind the last is allowed.
    pub fn pointer(&self, index: usize) -> *mut T {
        assert!(index <= self.len);
        // SAFETY: not behind the end of the allocation.
        unsafe { self.first.as_ptr().add(index) }
    }

    pub fn entry(&mut self, index: usize) -> &mut T {
        assert!(index < self.len);
        // SAFETY: within the allocation; the kernel touches it only during system calls, when no reference is held.
        unsafe { &mut *self.first.as_ptr().add(index) }
    }
}

impl<T: Copy> Drop for Scratch<T> {
    fn drop(&mut self) {
        let entries = NonNull::slice_from_raw_parts(self.first, self.len);
        // SAFETY: leaked from such a box in `new`.
        drop(unsafe { Box::from_raw(entries.as_ptr()) });
    }
}
