//! Sets of numbers in which the lowest free one is found without a walk.

use std::collections::BTreeMap;

/// Numbers in use, as runs without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Where each run starts, and the first number behind it.
    ends: BTreeMap<i32, i32>,
}

impl Runs {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The lowest number from this one on that is not in use. `i32::MAX` is never in use.
    pub fn first_free(&self, from: i32) -> i32 {
        let run = self.ends.range(..=from).next_back().map(|(_, &end)| end);
        run.filter(|&end| end > from).unwrap_or(from)
    }

    /// Takes a number that is not in use.
    pub fn insert(&mut self, number: i32) {
        let behind = self.ends.remove(&(number + 1)).unwrap_or(number + 1);
        match self.ends.range_mut(..number).next_back().filter(|(_, end)| **end == number) {
            Some((_, end)) => *end = behind,
            None => drop(self.ends.insert(number, behind)),
        }
    }

    /// Gives back a number that is in use.
    pub fn remove(&mut self, number: i32) {
        let Some((&start, end)) = self.ends.range_mut(..=number).next_back() else { return };
        let behind = std::mem::replace(end, number);
        if start == number {
            self.ends.remove(&start);
        }
        if behind > number + 1 {
            self.ends.insert(number + 1, behind);
        }
    }
}
