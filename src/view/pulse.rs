//! How those who look at a lab hear that something happened.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::host::lock;

/// Counts what happened.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: Mutex<u64>,
    changed: Condvar,
}

impl Pulse {
    pub fn beat(&self) {
        *lock(&self.beats) += 1;
        self.changed.notify_all();
    }

    /// Waits until there were more beats than `seen`, at most for `time`; how many there were.
    pub fn wait(&self, seen: u64, time: Duration) -> u64 {
        let waited = self.changed.wait_timeout_while(lock(&self.beats), time, |beats| *beats <= seen);
        waited.map_or(seen, |(beats, _)| *beats)
    }
}
