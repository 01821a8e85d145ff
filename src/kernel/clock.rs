//! The lab's clock. Nothing here looks at the time: calls move it on, and who shows the lab to others may let it run
//! ahead between them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Latest moment: half of what a signed 64-bit number of nanoseconds can hold, as for offsets.
pub const CLOCK_MAX: u64 = i64::MAX as u64 / 2;

/// Nanoseconds since boot.
#[derive(Default)]
pub struct Clock {
    moved: u64,
    /// What has passed since the clock was last moved: shown to readers, and no part of the state.
    ahead: AtomicU64,
}

impl Clock {
    /// The time as it is shown.
    pub fn now(&self) -> u64 {
        self.moved.saturating_add(self.ahead.load(Ordering::Relaxed)).min(CLOCK_MAX)
    }

    /// To where calls have moved it.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves on; `None`, and nothing happens, if that is beyond [`CLOCK_MAX`].
    pub fn advance(&mut self, nanos: u64) -> Option<u64> {
        self.moved = self.moved.checked_add(nanos).filter(|&later| later <= CLOCK_MAX)?;
        *self.ahead.get_mut() = 0;
        Some(self.moved)
    }

    /// Shows at least `nanos` more than calls have moved it, until the next one does.
    pub fn run_ahead(&self, nanos: u64) {
        self.ahead.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clone for Clock {
    fn clone(&self) -> Clock {
        Clock { moved: self.moved, ahead: AtomicU64::new(self.ahead.load(Ordering::Relaxed)) }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.moved).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stops_before_its_end() {
        let mut clock = Clock::default();
        assert_eq!(
            (clock.advance(CLOCK_MAX - 1), clock.advance(2), clock.now()),
            (Some(CLOCK_MAX - 1), None, CLOCK_MAX - 1)
        );
    }

    #[test]
    fn what_is_shown_ahead_is_moved_by_the_next_call() {
        let mut clock = Clock::default();
        clock.run_ahead(5);
        clock.run_ahead(3);
        assert_eq!((clock.now(), clock.moved()), (5, 0));
        assert_eq!((clock.advance(7), clock.now()), (Some(7), 7));
    }
}
