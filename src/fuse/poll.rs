//! poll(2), select(2), epoll(7): which programs wait for a change of a file, and when they are woken.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound as From;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Mutex, Weak};
use std::thread;

use fuser::{PollEvents, PollNotifier};

use super::answer::{Connection, Shared, viewer};
use super::handle::{Handle, lock};
use super::point::{Point, Watch};
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

/// Those that wait, by the number of their open file. A thread of its own looks which of them a change is for: there may be
/// hundreds of thousands, of users who have no right to keep anybody waiting.
#[derive(Debug)]
pub(super) struct Pollers {
    waiting: Mutex<BTreeMap<u64, PollNotifier>>,
    /// Whether there is any.
    is_any: AtomicBool,
    bell: SyncSender<()>,
}

/// Files that are looked at in one go, before others get their turn.
const AT_ONCE: usize = 256;

impl Pollers {
    /// Nobody waits yet. What comes through the receiver says that something has changed.
    pub(super) fn new() -> (Pollers, Receiver<()>) {
        // One word more than is being dealt with says it all.
        let (bell, rung) = mpsc::sync_channel(1);
        (Pollers { waiting: Mutex::default(), is_any: AtomicBool::new(false), bell }, rung)
    }

    pub(super) fn forget(&self, fh: u64) {
        lock(&self.waiting).remove(&fh);
    }
}

/// Starts the thread that wakes pollers. It ends with the lab.
///
/// # Errors
/// The host has no room for threads.
pub(super) fn start(shared: Weak<Shared>, rung: Receiver<()>, point: &Point) -> io::Result<()> {
    let watch = Watch::new(point);
    let wake = move || {
        let _watch = watch;
        while rung.recv().is_ok() {
            let Some(shared) = shared.upgrade() else { break };
            shared.wake_pollers();
        }
    };
    thread::Builder::new().name("pollers".to_owned()).spawn(wake).map(drop)
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
            lock(&self.shared.pollers.waiting).insert(fh, waiter);
            self.shared.pollers.is_any.store(true, Ordering::SeqCst);
        }
        let now = self.shared.lab.read(|k| polled_at(k, &handle.file))?;
        // Of what is gone there is nothing to wait for.
        Ok(now.map_or(READABLE | CHANGED, |now| handle.seen.poll(now)))
    }
}

impl Shared {
    /// Something has changed: those who wait for that are woken, in a moment.
    pub(super) fn ring_pollers(&self) {
        if self.pollers.is_any.load(Ordering::SeqCst) {
            match self.pollers.bell.try_send(()) {
                // It is about to look; or the lab is about to end.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }

    /// Wakes those who wait for what has changed. None of this waits for anybody: the host's kernel only marks them.
    fn wake_pollers(&self) {
        let mut from = From::Unbounded;
        loop {
            let mut waiting = lock(&self.pollers.waiting);
            self.pollers.is_any.store(!waiting.is_empty(), Ordering::SeqCst);
            let some: Vec<u64> = waiting.range((from, From::Unbounded)).map(|(fh, _)| *fh).take(AT_ONCE).collect();
            let Some(last) = some.last() else { return };
            from = From::Excluded(*last);
            for fh in some {
                let handle = self.handles.get(fh);
                if handle.as_ref().is_some_and(|handle| !self.has_changed(handle)) {
                    continue;
                }
                if let Some(waiter) = waiting.remove(&fh).filter(|_| handle.is_some()) {
                    // An error says that the lab is unmounted.
                    let _ = waiter.notify();
                }
            }
        }
    }

    fn has_changed(&self, handle: &Handle) -> bool {
        let is_new = |k: &Kernel| polled_at(k, &handle.file).map_or(true, |now| handle.seen.is_new(now));
        self.lab.read(is_new).unwrap_or(true)
    }
}

/// # Errors
/// What the file shows is gone.
pub(super) fn polled_at(k: &Kernel, file: &Bound) -> Result<Polled> {
    tree::polled(k, viewer(k, file.node)?, file)
}
