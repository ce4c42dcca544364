//! How much freed memory a process of ours keeps.

use std::hint::black_box;

/// The allocator (glibc) gives memory at the end of its heap back to the kernel at 128 KiB, and a transaction takes and
/// frees about as much: without this each paid for some twenty page faults. Once a larger block was freed, it keeps twice
/// as much as that one had. Other allocators are not disturbed.
pub(crate) fn keep() {
    const BLOCK: usize = 512 << 10;
    drop(black_box(Vec::<u8>::with_capacity(BLOCK)));
}
