//! The threads that read what shows all of a large lab. It may take seconds to draw, in which the threads that answer the
//! host's kernel would answer nobody else; and as each does one after another, a write waits for no more than two of them to
//! look at the state. There are two, so that those who may not write never keep the others waiting: theirs also finds names, opens
//! files and lists directories for them, which may take as long.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::handle::lock;
use super::point::{Point, Watch};

/// A read, and the answer to who asked for it.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The ways to these threads.
#[derive(Debug)]
pub(super) struct Drawers([Mutex<Sender<Job>>; 2]);

/// The other ends.
pub(super) type Jobs = [Receiver<Job>; 2];

impl Drawers {
    pub(super) fn new() -> (Drawers, Jobs) {
        let [(writers, first), (others, second)] = [mpsc::channel(), mpsc::channel()];
        (Drawers([Mutex::new(writers), Mutex::new(others)]), [first, second])
    }

    /// Has `job` done for a reader who may write, or one who may not. How many wait is bounded by who asks: each is a read
    /// that has no answer yet.
    pub(super) fn hand_over(&self, may_write: bool, job: Job) {
        // The threads live longer than the session; should they not, the dropped reply answers EIO.
        let _ = lock(&self.0[usize::from(!may_write)]).send(job);
    }
}

/// Starts the threads. They end with the last way to them.
///
/// # Errors
/// The host has no room for threads.
pub(super) fn start(jobs: Jobs, point: &Point) -> io::Result<()> {
    for (name, jobs) in ["drawer", "drawer-others"].into_iter().zip(jobs) {
        let watch = Watch::new(point);
        let work = move || {
            let _watch = watch;
            jobs.iter().for_each(|job| job());
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
    }
    Ok(())
}
