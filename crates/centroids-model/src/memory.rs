//! Memory of the process.

/// Keeps freed memory in the process instead of giving it back to the system.
///
/// Every step of a training allocates and frees the same large feature maps; getting each of them
/// afresh costs a page fault for every 4 KiB. For programs to call once at their start; only glibc
/// is told anything. The peak stays, but it is held until the end.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes numbers only.
    unsafe {
        // Blocks of any size from the heap, which is never cut; one heap for all threads.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
