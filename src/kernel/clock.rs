//! The lab's clock. Nothing here looks at the time: calls move it on, and who mounts a lab may let real time do so.

use std::sync::atomic::{AtomicU64, Ordering};

/// Latest moment: half of what a signed 64-bit number of nanoseconds can hold, as for offsets.
pub const CLOCK_MAX: u64 = i64::MAX as u64 / 2;

/// Nanoseconds since boot.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves on; `None`, and nothing happens, if that is beyond [`CLOCK_MAX`]. Only who shows the lab to others may do so
    /// while they look.
    pub fn advance(&self, nanos: u64) -> Option<u64> {
        let later = |now: u64| now.checked_add(nanos).filter(|&later| later <= CLOCK_MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).ok().and_then(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stops_before_its_end() {
        let clock = Clock::default();
        assert_eq!(
            (clock.advance(CLOCK_MAX - 1), clock.advance(2), clock.now()),
            (Some(CLOCK_MAX - 1), None, CLOCK_MAX - 1)
        );
    }
}
