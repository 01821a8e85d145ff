//! When there is no memory: the process is about to be aborted by Rust, and would leave a dead mount. The allocator of
//! the command takes the lab off first.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::mount::give_up;
use crate::fuse::Point;

/// The lab that this process serves.
static LAB: OnceLock<Point> = OnceLock::new();
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// The system's allocator, which unmounts the lab when there is no memory.
#[derive(Debug)]
pub struct Memory;

/// Takes this lab off should there be no memory.
pub fn guard(point: &Point) {
    // A process serves one lab.
    let _ = LAB.set(point.clone());
}

/// Called without memory: a small piece may still be had, and if not, the mount stays, dead.
#[cold]
fn end(size: usize) {
    if let Some(lab) = LAB.get()
        && !IS_ENDING.swap(true, Ordering::SeqCst)
    {
        give_up(lab, &format!("no memory for {size} bytes"));
    }
}

fn checked(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() {
        end(size);
    }
    memory
}

// SAFETY: each call is the system allocator's with the same arguments, and so is its result.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `GlobalAlloc`, which are those of `System`.
        checked(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as for `alloc`; `memory` is from `System`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`.
        checked(unsafe { System.realloc(memory, layout, size) }, size)
    }
}
