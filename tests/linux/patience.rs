//! Waiting for the machine: deaths, signals and frees take their time there.
#![expect(clippy::disallowed_methods, reason = "the machine runs in real time, unlike the lab")]

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A wait that began when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Wait(Instant);

impl Wait {
    pub fn start() -> Wait {
        Wait(Instant::now())
    }

    pub fn is_over(&self, patience: Duration) -> bool {
        self.0.elapsed() > patience
    }

    /// What is left of so much time; `None` once it is over.
    pub fn left(&self, patience: Duration) -> Option<Duration> {
        patience.checked_sub(self.0.elapsed()).filter(|left| !left.is_zero())
    }

    /// A pause before the next look, longer the longer the wait is.
    pub fn pause(&self) {
        match self.0.elapsed().as_micros() {
            0..200 => std::thread::yield_now(),
            200..5000 => std::thread::sleep(Duration::from_micros(50)),
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
