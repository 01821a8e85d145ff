//! Layer 3: [`Host`], the only lock around a kernel: one writer or many readers. Nothing is printed, sent or waited
//! for while it is held; callers render into a buffer, let go, then reply.

use std::sync::RwLock;

use crate::errno::{Error, Result};
use crate::kernel::Kernel;
use crate::kernel::change::Change;

/// A kernel that threads share.
#[derive(Debug)]
pub struct Host {
    kernel: RwLock<Kernel>,
}

impl Host {
    pub fn new(kernel: Kernel) -> Host {
        Host { kernel: RwLock::new(kernel) }
    }

    /// Looks at the kernel.
    ///
    /// # Errors
    /// EIO once a writer has panicked: a half-made kernel is never shown.
    pub fn read<T>(&self, look: impl FnOnce(&Kernel) -> T) -> Result<T> {
        match self.kernel.read() {
            Ok(kernel) => Ok(look(&kernel)),
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
                let result = change(&mut kernel);
                Ok((result, kernel.take_changes()))
            }
            Err(_) => Err(broken()),
        }
    }
}

fn broken() -> Error {
    crate::err!(EIO, "the simulated kernel stopped at an internal error: unmount this lab and mount a new one")
}
