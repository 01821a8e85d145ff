//! When there is no memory: the process is about to be aborted by Rust, and would leave a dead mount. The allocator of
//! the command takes the lab off first.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::mount::give_up;
use crate::fuse::Point;

/// The lab that this process serves.
static LAB: OnceLock<Point> = OnceLock::new();
static IS_ENDING: AtomicBool = AtomicBool::new(false);
static RESERVE: Reserve = Reserve { used: AtomicUsize::new(0), bytes: UnsafeCell::new([0; RESERVED]) };

thread_local! {
    /// This thread takes the lab off.
    static IS_ENDING_HERE: Cell<bool> = const { Cell::new(false) };
}

/// What taking a lab off takes is some hundred bytes for each of its mounts.
const RESERVED: usize = 64 << 10;
/// How long a thread without memory waits for the one that takes the lab off, which may itself wait for something that the
/// first one holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The system's allocator, which unmounts the lab when there is no memory.
#[derive(Debug)]
pub struct Memory;

/// Takes this lab off should there be no memory.
pub fn guard(point: &Point) {
    // A process serves one lab.
    let _ = LAB.set(point.clone());
}

/// Memory for the thread that takes the lab off. It is never given back: the process ends then.
struct Reserve {
    used: AtomicUsize,
    bytes: UnsafeCell<[u8; RESERVED]>,
}

// SAFETY: each byte is given to one caller only, by `used`.
unsafe impl Sync for Reserve {}

impl Reserve {
    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    fn has(&self, memory: *mut u8) -> bool {
        let start = self.start() as usize;
        (start..start + RESERVED).contains(&(memory as usize))
    }

    fn take(&self, layout: Layout) -> *mut u8 {
        // Room for any alignment of the start.
        let room = layout.size() + layout.align();
        let from = self.used.fetch_add(room, Ordering::Relaxed);
        if from.saturating_add(room) > RESERVED {
            return ptr::null_mut();
        }
        // SAFETY: `from` and the offset to the next aligned place are within the bytes, which are this caller's alone.
        unsafe {
            let start = self.start().add(from);
            start.add(start.align_offset(layout.align()))
        }
    }
}

/// What a caller gets that the system has no memory for: the first one takes the lab off, with what is reserved; others
/// wait meanwhile, since Rust ends the process when they are told.
#[cold]
fn without_memory(layout: Layout) -> *mut u8 {
    if IS_ENDING_HERE.try_with(Cell::get).unwrap_or(false) {
        return RESERVE.take(layout);
    }
    let Some(lab) = LAB.get() else { return ptr::null_mut() };
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        thread::sleep(PATIENCE);
    } else if IS_ENDING_HERE.try_with(|is_here| is_here.set(true)).is_ok() {
        give_up(lab, &format!("no memory for {} bytes", layout.size()));
    }
    ptr::null_mut()
}

fn checked(memory: *mut u8, layout: Layout) -> *mut u8 {
    if memory.is_null() { without_memory(layout) } else { memory }
}

// SAFETY: each call is the system allocator's with the same arguments, and so is its result; or the result is from the
// reserve, which nobody else has, and which the system's allocator never sees.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `GlobalAlloc`, which are those of `System`.
        checked(unsafe { System.alloc(layout) }, layout)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !RESERVE.has(memory) {
            // SAFETY: as for `alloc`; `memory` is from `System`.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`. The reserve is zeroed, and given once.
        checked(unsafe { System.alloc_zeroed(layout) }, layout)
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the caller has asked for a size that makes a layout.
        let (moved, wanted) = unsafe {
            let is_reserved = RESERVE.has(memory);
            let moved = if is_reserved { ptr::null_mut() } else { System.realloc(memory, layout, size) };
            (moved, Layout::from_size_align_unchecked(size, layout.align()))
        };
        let moved_here = if moved.is_null() { without_memory(wanted) } else { return moved };
        if !moved_here.is_null() {
            // SAFETY: both have so many bytes, and the new ones are nobody else's.
            unsafe { ptr::copy_nonoverlapping(memory, moved_here, size.min(layout.size())) };
        }
        moved_here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_gives_each_byte_once() {
        let reserve = Reserve { used: AtomicUsize::new(0), bytes: UnsafeCell::new([0; RESERVED]) };
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        let [first, second] = [layout(5, 1), layout(100, 64)].map(|layout| reserve.take(layout));
        assert!(reserve.has(first) && reserve.has(second) && (second as usize).is_multiple_of(64));
        assert!(second as usize - first as usize >= 5);
        assert!(reserve.take(layout(RESERVED, 1)).is_null());
        assert!(!reserve.has(ptr::null_mut()));
    }
}
