//! What the writers have had acknowledged, for all processes to see.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The writes: each sets its number higher and higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The host name is `h` and the number.
    Hostname,
    /// The name of task 3 is `a` and the number.
    Comm,
    /// There is a cgroup `c` and the number, or with the next one.
    Made,
    /// There is no cgroup `c` and the number, or with a lower one.
    Removed,
    /// There is no task with this number: it was reaped last.
    Dead,
}

const WRITES: usize = 5;

/// A page that processes share.
#[derive(Debug)]
pub struct Acknowledged {
    numbers: &'static [AtomicU64; WRITES],
}

impl Acknowledged {
    pub fn create(path: &Path) -> io::Result<Acknowledged> {
        std::fs::write(path, [0; 4096])?;
        std::fs::set_permissions(path, Permissions::from_mode(0o644))?;
        Acknowledged::map(path, libc::PROT_READ | libc::PROT_WRITE)
    }

    pub fn open(path: &Path) -> io::Result<Acknowledged> {
        Acknowledged::map(path, libc::PROT_READ)
    }

    fn map(path: &Path, protection: i32) -> io::Result<Acknowledged> {
        let file = OpenOptions::new().read(true).write(protection & libc::PROT_WRITE != 0).open(path)?;
        // SAFETY: a new mapping of a file of a page, which stays until the process ends.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the page is aligned, has room for the numbers, and is only used through them.
        Ok(Acknowledged { numbers: unsafe { &*start.cast() } })
    }

    pub fn get(&self, write: Write) -> u64 {
        self.numbers[write as usize].load(Ordering::SeqCst)
    }

    pub fn set(&self, write: Write, number: u64) {
        self.numbers[write as usize].store(number, Ordering::SeqCst);
    }
}
