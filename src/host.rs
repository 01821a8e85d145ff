//! Layer 3: [`Host`], the only lock around a kernel: one writer or many readers. Nothing is printed, sent or waited
//! for while it is held; callers render into a buffer, let go, then reply.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use crate::errno::{Error, Result};
use crate::kernel::Kernel;
use crate::kernel::change::Change;

/// A kernel that threads share.
#[derive(Debug)]
pub struct Host {
    kernel: RwLock<Kernel>,
    /// Until when real time has moved the clock of the lab, if it does.
    ticked: Option<Mutex<Instant>>,
}

impl Host {
    pub fn new(kernel: Kernel) -> Host {
        Host { kernel: RwLock::new(kernel), ticked: None }
    }

    /// A kernel whose clock goes on with real time, besides what calls move it.
    pub fn in_real_time(kernel: Kernel) -> Host {
        Host { kernel: RwLock::new(kernel), ticked: Some(Mutex::new(now())) }
    }

    /// Moves the clock on to where it is now; at its end it stands still.
    fn tick(&self, kernel: &Kernel) {
        let Some(ticked) = &self.ticked else { return };
        let mut ticked = ticked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let passed = now.saturating_duration_since(*ticked);
        let _ = kernel.clock.advance(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
        *ticked = now;
    }

    /// Looks at the kernel.
    ///
    /// # Errors
    /// EIO once a writer has panicked: a half-made kernel is never shown.
    pub fn read<T>(&self, look: impl FnOnce(&Kernel) -> T) -> Result<T> {
        match self.kernel.read() {
            Ok(kernel) => {
                self.tick(&kernel);
                Ok(look(&kernel))
            }
            Err(_) => Err(broken()),
        }
    }

    /// Changes the kernel and says what that changed for those who read before. A call that failed may have changed
    /// something too, a used-up pid number for example, so the changes stand beside the result.
    ///
    /// # Errors
    /// EIO once a writer has panicked.
    pub fn write<T>(&self, change: impl FnOnce(&mut Kernel) -> T) -> Result<(T, Vec<Change>)> {
        match self.kernel.write() {
            Ok(mut kernel) => {
                self.tick(&kernel);
                let result = change(&mut kernel);
                Ok((result, kernel.take_changes()))
            }
            Err(_) => Err(broken()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "here real time moves the lab's clock, for who asked for it")]
fn now() -> Instant {
    Instant::now()
}

fn broken() -> Error {
    crate::err!(EIO, "the simulated kernel stopped at an internal error: unmount this lab and mount a new one")
}
