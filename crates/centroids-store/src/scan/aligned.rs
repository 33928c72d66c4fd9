//! Memory that starts at a page and asks for large ones.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A large page of x86-64 and of most others.
const LARGE_PAGE: usize = 2 << 20;

/// A vector of plain numbers that begins at a large page.
///
/// Going once through hundreds of megabytes in pages of 4 KiB costs a fifth of the time in address
/// translation. Linux gives large pages to those who ask (`madvise`), before the first touch.
pub(super) struct Aligned<T> {
    pointer: NonNull<T>,
    len: usize,
    capacity: usize,
}

// SAFETY: it owns its memory, which holds plain numbers only (see `Number`).
unsafe impl<T: Send> Send for Aligned<T> {}
// SAFETY: shared access gives out shared slices only.
unsafe impl<T: Sync> Sync for Aligned<T> {}

impl<T: Copy> Aligned<T> {
    pub(super) fn new() -> Self {
        Self { pointer: NonNull::dangling(), len: 0, capacity: 0 }
    }

    /// Appends numbers.
    pub(super) fn extend_from_slice(&mut self, values: &[T]) {
        let len = self.len + values.len();
        if len > self.capacity {
            self.grow(len.max(self.capacity + self.capacity / 2));
        }
        // SAFETY: `capacity` numbers are allocated, of which those from `self.len` to `len` are
        // written; `values` is another object, for `self` is borrowed exclusively.
        unsafe {
            let end = self.pointer.as_ptr().add(self.len);
            end.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
        self.len = len;
    }

    /// Drops the numbers from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `additional` numbers more.
    pub(super) fn reserve(&mut self, additional: usize) {
        let len = self.len + additional;
        if len > self.capacity {
            self.grow(len);
        }
    }

    fn grow(&mut self, capacity: usize) {
        let layout = layout::<T>(capacity);
        // SAFETY: `capacity` is above `self.capacity`, so the size is not zero.
        let memory = unsafe { alloc(layout) };
        let Some(pointer) = NonNull::new(memory.cast::<T>()) else { handle_alloc_error(layout) };
        ask_for_large_pages(memory, layout.size());
        // SAFETY: both hold at least `self.len` numbers and do not overlap.
        unsafe { pointer.as_ptr().copy_from_nonoverlapping(self.pointer.as_ptr(), self.len) };
        self.release();
        (self.pointer, self.capacity) = (pointer, capacity);
    }
}

impl<T> Aligned<T> {
    fn release(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated in `grow` with this layout.
            unsafe { dealloc(self.pointer.as_ptr().cast(), layout::<T>(self.capacity)) };
        }
    }
}

impl<T> Drop for Aligned<T> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` numbers were written; without any the pointer is dangling, but aligned.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.len) }
    }
}

/// # Panics
/// If that many numbers are more than an address space holds.
fn layout<T>(capacity: usize) -> Layout {
    let array = Layout::array::<T>(capacity).and_then(|array| array.align_to(64));
    let array = array.expect("a matrix that fits into memory");
    // Small ones need no page of their own.
    let align = if array.size() >= LARGE_PAGE { LARGE_PAGE } else { 64 };
    array.align_to(align).expect("a matrix that fits into memory")
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(memory: *mut u8, bytes: usize) {
    if bytes >= LARGE_PAGE {
        // SAFETY: the range was just allocated and is ours. A refusal changes nothing but speed.
        unsafe { libc::madvise(memory.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_memory: *mut u8, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_while_it_grows() {
        let mut numbers = Aligned::new();
        assert!(numbers.is_empty());
        for block in 0..3000_u32 {
            numbers.extend_from_slice(&[block; 300]);
        }
        assert_eq!(numbers.len(), 900_000);
        assert!(numbers.chunks(300).zip(0..).all(|(block, i)| block == [i; 300]));
        assert_eq!(numbers.as_ptr() as usize % LARGE_PAGE, 0);
        numbers.truncate(5);
        numbers[4] = 9;
        assert_eq!(*numbers, [0, 0, 0, 0, 9]);
    }
}
