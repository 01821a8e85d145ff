//! poll(2), select(2), epoll(7): who waits for a file to change, and who is woken.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::{PollEvents, PollNotifier};

use super::answer::{Connection, Shared, viewer};
use super::handle::{Handle, lock};
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::file::Bound;
use crate::tree::{self, Polled};

const READABLE: PollEvents = PollEvents::POLLIN.union(PollEvents::POLLRDNORM);
const WRITABLE: PollEvents = PollEvents::POLLOUT.union(PollEvents::POLLWRNORM);
/// Something changed (`EPOLLERR | EPOLLPRI`).
const CHANGED: PollEvents = PollEvents::POLLERR.union(PollEvents::POLLPRI);

/// The number that an open file had at its last poll or, in a cgroup, at its last read.
#[derive(Debug, Default)]
pub(super) struct Seen(AtomicU64);

/// Those that wait, by the number of their open file.
#[derive(Debug, Default)]
pub(super) struct Pollers(Mutex<BTreeMap<u64, PollNotifier>>);

impl Pollers {
    pub(super) fn forget(&self, fh: u64) {
        lock(&self.0).remove(&fh);
    }
}

impl Seen {
    /// What there is to see when a file is opened. A cgroup file was never read then.
    pub(super) fn at_open(now: Polled) -> Seen {
        Seen(AtomicU64::new(match now {
            Polled::Ready => 0,
            Polled::Mounts(number) | Polled::Sysctl(number) => number,
            Polled::Cgroup(_) => u64::MAX,
            Polled::Queue { .. } => number(now),
        }))
    }

    pub(super) fn read(&self, now: Polled) {
        if let Polled::Cgroup(number) = now {
            self.0.store(number, Ordering::Relaxed);
        }
    }

    /// The answer to a poll, which the next one does not give again.
    fn poll(&self, now: Polled) -> PollEvents {
        match now {
            Polled::Ready => READABLE | WRITABLE,
            Polled::Mounts(number) if self.0.swap(number, Ordering::Relaxed) == number => READABLE,
            Polled::Mounts(_) => READABLE | CHANGED,
            Polled::Sysctl(number) if self.0.swap(number, Ordering::Relaxed) == number => READABLE | WRITABLE,
            Polled::Sysctl(_) => READABLE | CHANGED,
            Polled::Cgroup(_) if self.is_new(now) => READABLE | WRITABLE | CHANGED,
            Polled::Cgroup(_) => READABLE | WRITABLE,
            Polled::Queue { has_message, has_room } => {
                self.0.store(number(now), Ordering::Relaxed);
                let mut ready = PollEvents::empty();
                ready.set(READABLE, has_message);
                ready.set(WRITABLE, has_room);
                ready
            }
        }
    }

    fn is_new(&self, now: Polled) -> bool {
        match now {
            Polled::Ready => false,
            Polled::Mounts(_) | Polled::Sysctl(_) | Polled::Cgroup(_) | Polled::Queue { .. } => {
                self.0.load(Ordering::Relaxed) != number(now)
            }
        }
    }
}

/// The number of a state.
fn number(now: Polled) -> u64 {
    match now {
        Polled::Ready => 0,
        Polled::Mounts(number) | Polled::Sysctl(number) | Polled::Cgroup(number) => number,
        Polled::Queue { has_message, has_room } => u64::from(has_message) | u64::from(has_room) << 1,
    }
}

impl Connection {
    /// What an open file is ready for. `waiter` is told when that changes.
    ///
    /// # Errors
    /// EBADF
    pub(super) fn poll(&self, fh: u64, waiter: Option<PollNotifier>) -> Result<PollEvents> {
        let handle = self.handle(fh)?;
        // Before the look: a change after it finds the one that waits.
        if let Some(waiter) = waiter {
            lock(&self.shared.pollers.0).insert(fh, waiter);
        }
        let now = self.shared.lab.read(|k| polled_at(k, &handle.file))?;
        // Of what is gone there is nothing to wait for.
        Ok(now.map_or(READABLE | CHANGED, |now| handle.seen.poll(now)))
    }
}

impl Shared {
    /// Wakes those who wait for what has changed. None of this waits for anybody: the host's kernel only marks them.
    pub(super) fn wake_pollers(&self) {
        let mut pollers = lock(&self.pollers.0);
        if pollers.is_empty() {
            return;
        }
        let is_new =
            |k: &Kernel, handle: &Handle| polled_at(k, &handle.file).map_or(true, |now| handle.seen.is_new(now));
        pollers.retain(|fh, waiter| {
            let Some(handle) = self.handles.get(*fh) else { return false };
            if !self.lab.read(|k| is_new(k, &handle)).unwrap_or(true) {
                return true;
            }
            // An error says that the lab is unmounted.
            let _ = waiter.clone().notify();
            false
        });
    }
}

/// # Errors
/// What the file shows is gone.
pub(super) fn polled_at(k: &Kernel, file: &Bound) -> Result<Polled> {
    tree::polled(k, viewer(k, file.node)?, file)
}
