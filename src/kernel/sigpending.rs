//! Signals that wait to be taken (`struct sigpending`).

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::signal::Siginfo;

/// Signals below this are queued at most once.
const SIGRTMIN: i32 = 32;

/// The signals that a thread or a process has not taken yet.
#[derive(Clone, Debug, Default)]
pub struct SigPending {
    /// `None` when there is none, as almost always.
    queue: Option<Box<Queue>>,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    /// By number, then by arrival.
    signals: BTreeMap<(i32, u64), Siginfo>,
    /// How many have arrived since it was empty.
    arrivals: u64,
}

impl SigPending {
    /// Adds a signal. One below SIGRTMIN that is there already is lost (`legacy_queue`).
    pub(super) fn push(&mut self, signal: Siginfo) {
        let queue = self.queue.get_or_insert_default();
        if signal.signo < SIGRTMIN && queue.next_after(signal.signo - 1) == Some(signal.signo) {
            return;
        }
        queue.arrivals += 1;
        queue.signals.insert((signal.signo, queue.arrivals), signal);
    }

    /// Takes out the oldest signal of the lowest number that is wanted.
    pub(super) fn take(&mut self, is_wanted: impl Fn(i32) -> bool) -> Option<Siginfo> {
        let signo = self.numbers().find(|&signo| is_wanted(signo))?;
        let queue = self.queue.as_mut()?;
        let (&key, _) = queue.signals.range((signo, 0)..).next()?;
        let taken = queue.signals.remove(&key);
        if queue.signals.is_empty() {
            self.queue = None;
        }
        taken
    }

    /// Drops the signals of all numbers that are to go.
    pub(super) fn flush(&mut self, goes: impl Fn(i32) -> bool) {
        while self.take(&goes).is_some() {}
    }

    pub(super) fn clear(&mut self) {
        self.queue = None;
    }

    /// The numbers of the signals, each once, from below.
    pub fn numbers(&self) -> impl Iterator<Item = i32> {
        let queue = self.queue.as_deref();
        std::iter::successors(queue.and_then(|queue| queue.next_after(0)), move |&signo| queue?.next_after(signo))
    }

    /// All signals, the oldest first.
    pub fn by_arrival(&self) -> Vec<&Siginfo> {
        let mut all: Vec<_> = self.queue.iter().flat_map(|queue| &queue.signals).collect();
        all.sort_by_key(|((_, arrival), _)| *arrival);
        all.into_iter().map(|(_, signal)| signal).collect()
    }

    pub fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.signals.len())
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_none()
    }
}

impl Queue {
    /// The next higher number of which there is a signal.
    fn next_after(&self, signo: i32) -> Option<i32> {
        self.signals.range((Excluded((signo, u64::MAX)), Unbounded)).next().map(|(&(signo, _), _)| signo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::pid::Numbers;

    fn signal(signo: i32, status: i32) -> Siginfo {
        Siginfo { signo, code: 0, pid: Numbers::default(), uid: 0, status, value: 0 }
    }

    fn filled() -> SigPending {
        let mut pending = SigPending::default();
        for (signo, status) in [(40, 1), (17, 2), (40, 3), (17, 4), (9, 5)] {
            pending.push(signal(signo, status));
        }
        pending
    }

    #[test]
    fn lowest_numbers_come_first_and_of_one_number_the_oldest() {
        let mut pending = filled();
        assert_eq!(pending.numbers().collect::<Vec<_>>(), [9, 17, 40]);
        assert_eq!(pending.by_arrival(), [&signal(40, 1), &signal(17, 2), &signal(40, 3), &signal(9, 5)]);
        let taken: Vec<_> = std::iter::from_fn(|| pending.take(|signo| signo != 9)).map(|s| s.status).collect();
        assert_eq!((taken, pending.len()), (vec![2, 1, 3], 1));
        assert!(pending.take(|_| true).is_some() && pending.is_empty());
    }

    #[test]
    fn what_is_flushed_is_gone_with_all_of_its_number() {
        let mut pending = filled();
        pending.flush(|signo| signo == 40);
        assert_eq!(pending.by_arrival(), [&signal(17, 2), &signal(9, 5)]);
    }
}
