//! Memory that an access to waits for.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

/// Memory that no access to ends before this is dropped.
pub struct SlowMemory {
    faults: Option<OwnedFd>,
    start: usize,
}

pub const PAGE: usize = 4096;

impl SlowMemory {
    pub fn new() -> Option<SlowMemory> {
        const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
        const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
        const UFFD_API: u64 = 0xaa;
        const MODE_MISSING: u64 = 1;
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, a new descriptor, and structs as linux/userfaultfd.h has them.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_WRITE, private, -1, 0);
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
            if start == libc::MAP_FAILED || fd < 0 {
                return None;
            }
            let faults = OwnedFd::from_raw_fd(i32::try_from(fd).ok()?);
            let mut api = [UFFD_API, 0, 0];
            let mut register = [start as u64, PAGE as u64, MODE_MISSING, 0];
            let is_ready = libc::ioctl(faults.as_raw_fd(), UFFDIO_API, &mut api) == 0
                && libc::ioctl(faults.as_raw_fd(), UFFDIO_REGISTER, &mut register) == 0;
            is_ready.then_some(SlowMemory { faults: Some(faults), start: start as usize })
        }
    }

    /// Runs `use_it` in a thread, and lets the memory come at the end.
    pub fn hold(mut self, is_over: impl Fn() -> bool, use_it: impl FnOnce(*mut libc::c_void) + Send) {
        let start = self.start;
        thread::scope(|scope| {
            scope.spawn(move || use_it(start as *mut libc::c_void));
            while !is_over() {
                thread::sleep(Duration::from_millis(20));
            }
            self.faults.take();
        });
        // SAFETY: nothing uses the mapping any more.
        unsafe { libc::munmap(self.start as *mut libc::c_void, PAGE) };
    }
}
