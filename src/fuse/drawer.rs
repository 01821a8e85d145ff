//! The threads that draw pictures. It may take seconds, in which the threads that answer the host's kernel would answer
//! nobody else. There are two, so that those who may not write never keep the others waiting.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustix::process::setpriority_process;

use super::handle::lock;
use super::point::{Point, Watch};

/// How nice the threads are to all others.
const NICE: i32 = 10;

/// A picture to be drawn, and the answer to who reads it.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The ways to the threads that draw.
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
            // Drawing takes time from nobody who waits for less. Should it be refused, that is all.
            let _ = setpriority_process(None, NICE);
            jobs.iter().for_each(|job| job());
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
    }
    Ok(())
}
