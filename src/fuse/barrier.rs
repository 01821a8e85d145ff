//! When all requests that the host's kernel has asked before have been answered, also by threads that are just at one: all
//! threads of a mount are kept at a request of our own for a moment.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use nix::sys::statfs::statfs;
use nix::unistd::gettid;

use super::handle::lock;

/// Where the threads of a mount meet.
#[derive(Debug)]
pub(super) struct Barrier {
    threads: usize,
    meeting: Mutex<Meeting>,
    is_over: Condvar,
}

#[derive(Debug, Default)]
struct Meeting {
    /// Threads of ours that ask, and how many there are or will be.
    askers: BTreeSet<u32>,
    asking: usize,
    /// How many threads of the mount are here.
    here: usize,
    /// How many meetings are over.
    over: u64,
}

impl Barrier {
    /// Of a mount that so many threads serve.
    pub(super) fn new(threads: usize) -> Barrier {
        Barrier { threads, meeting: Mutex::default(), is_over: Condvar::new() }
    }

    /// Returns when each thread that serves the mount on a directory has answered what it was asked before. Where the mount is
    /// gone meanwhile, nobody waits.
    pub(super) fn pass(&self, dir: &Path) {
        lock(&self.meeting).asking += self.threads;
        thread::scope(|scope| {
            for _ in 1..self.threads {
                let asks = thread::Builder::new().name("asks".to_owned()).spawn_scoped(scope, || self.ask(dir));
                if asks.is_err() {
                    self.leave(&mut lock(&self.meeting));
                }
            }
            self.ask(dir);
        });
    }

    fn ask(&self, dir: &Path) {
        let own = gettid().as_raw().unsigned_abs();
        let before = {
            let mut meeting = lock(&self.meeting);
            meeting.askers.insert(own);
            meeting.over
        };
        // Whatever it says: the lab was asked, or is gone.
        let _ = statfs(dir);
        let mut meeting = lock(&self.meeting);
        meeting.askers.remove(&own);
        if meeting.over == before {
            self.end(&mut meeting);
        }
        self.leave(&mut meeting);
    }

    /// There is one less that asks.
    fn leave(&self, meeting: &mut Meeting) {
        meeting.asking -= 1;
        if meeting.here > 0 && meeting.here >= meeting.asking {
            self.end(meeting);
        }
    }

    fn end(&self, meeting: &mut Meeting) {
        meeting.over += 1;
        meeting.here = 0;
        self.is_over.notify_all();
    }

    /// A thread of the mount is asked by a thread `tid` of the host.
    pub(super) fn meet(&self, tid: u32) {
        let mut meeting = lock(&self.meeting);
        if !meeting.askers.contains(&tid) {
            return;
        }
        let own = meeting.over;
        meeting.here += 1;
        if meeting.here >= self.threads.min(meeting.asking) {
            return self.end(&mut meeting);
        }
        while meeting.over == own {
            meeting = self.is_over.wait(meeting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
