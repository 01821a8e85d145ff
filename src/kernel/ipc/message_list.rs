//! The messages of a System V queue in the order of their arrival, found by type and by position without a walk. Linux
//! walks its list (`find_msg`), also where nothing is found.

use std::collections::{BTreeMap, BTreeSet};

/// `struct msg_msg`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub mtype: i64,
    pub text: Vec<u8>,
}

/// Which message a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    Any,
    Equal(i64),
    NotEqual(i64),
    /// The first of the lowest type up to this one.
    UpTo(i64),
    /// By position, from 0.
    Nth(i64),
}

/// Slots of messages that were taken are kept until they are more than those in use, and then so many.
const SPARE: usize = 16;

/// The messages. A slot is a number that [`MessageList::find`] gives; it holds until a message is taken.
#[derive(Clone, Debug, Default)]
pub struct MessageList {
    /// By arrival; `None`: it was taken.
    slots: Vec<Option<Message>>,
    /// A Fenwick tree: element `i` counts the messages in slots `i + 1 - lowest_bit(i + 1)` to `i`.
    counts: Vec<u32>,
    len: usize,
    /// The slots of each type.
    of_type: BTreeMap<i64, BTreeSet<usize>>,
    /// The first slot of each type.
    heads: BTreeSet<usize>,
}

fn lowest_bit(number: usize) -> usize {
    number & number.wrapping_neg()
}

impl MessageList {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Message> {
        self.slots.iter().flatten()
    }

    /// The message at a position, from 0.
    pub fn nth(&self, position: usize) -> Option<&Message> {
        self.get(self.slot_of(position)?)
    }

    pub fn get(&self, slot: usize) -> Option<&Message> {
        self.slots.get(slot)?.as_ref()
    }

    /// The slot of the message that a receiver gets (`find_msg`).
    pub fn find(&self, search: Search) -> Option<usize> {
        let first = |slots: &BTreeSet<usize>| slots.first().copied();
        match search {
            Search::Any => first(&self.heads),
            Search::Equal(mtype) => first(self.of_type.get(&mtype)?),
            Search::NotEqual(mtype) => {
                let of_type = self.find(Search::Equal(mtype));
                self.heads.iter().copied().find(|&slot| Some(slot) != of_type)
            }
            Search::UpTo(max) => first(self.of_type.range(..=max).next()?.1),
            Search::Nth(position) => self.slot_of(usize::try_from(position).ok()?),
        }
    }

    pub(super) fn push(&mut self, message: Message) {
        let slot = self.slots.len();
        self.enlist(message.mtype, slot);
        self.slots.push(Some(message));
        let (mut count, mut below) = (1, slot);
        while below > slot + 1 - lowest_bit(slot + 1) {
            count += self.counts[below - 1];
            below -= lowest_bit(below);
        }
        self.counts.push(count);
        self.len += 1;
    }

    pub(super) fn take(&mut self, slot: usize) -> Option<Message> {
        let message = self.slots.get_mut(slot)?.take()?;
        self.len -= 1;
        let mut above = slot + 1;
        while let Some(count) = self.counts.get_mut(above - 1) {
            *count -= 1;
            above += lowest_bit(above);
        }
        self.delist(message.mtype, slot);
        if self.slots.len() > 2 * self.len + SPARE {
            for message in std::mem::take(self).slots.into_iter().flatten() {
                self.push(message);
            }
        }
        Some(message)
    }

    /// The slot of the message at a position.
    fn slot_of(&self, position: usize) -> Option<usize> {
        if position >= self.len {
            return None;
        }
        let (mut slot, mut left) = (0, position);
        let mut step = self.counts.len().next_power_of_two();
        while step > 0 {
            match self.counts.get(slot + step - 1) {
                Some(&count) if count as usize <= left => {
                    left -= count as usize;
                    slot += step;
                }
                _ => {}
            }
            step /= 2;
        }
        Some(slot)
    }

    fn enlist(&mut self, mtype: i64, slot: usize) {
        let slots = self.of_type.entry(mtype).or_default();
        if slots.is_empty() {
            self.heads.insert(slot);
        }
        slots.insert(slot);
    }

    fn delist(&mut self, mtype: i64, slot: usize) {
        let Some(slots) = self.of_type.get_mut(&mtype) else { return };
        slots.remove(&slot);
        let next = slots.first().copied();
        if self.heads.remove(&slot) {
            self.heads.extend(next);
        }
        if next.is_none() {
            self.of_type.remove(&mtype);
        }
    }

    /// Whether all that finds messages agrees with the messages.
    pub(in crate::kernel) fn is_sound(&self) -> bool {
        let mut of_type: BTreeMap<i64, BTreeSet<usize>> = BTreeMap::new();
        let full = || (0..).zip(&self.slots).filter_map(|(slot, message)| Some((slot, message.as_ref()?)));
        for (slot, message) in full() {
            of_type.entry(message.mtype).or_default().insert(slot);
        }
        let heads = of_type.values().filter_map(BTreeSet::first).copied().collect();
        let are_found = (0..).zip(full()).all(|(position, (slot, _))| self.slot_of(position) == Some(slot));
        self.len == full().count() && self.of_type == of_type && self.heads == heads && are_found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(types: &[i64]) -> MessageList {
        let mut list = MessageList::default();
        types.iter().for_each(|&mtype| list.push(Message { mtype, text: Vec::new() }));
        list
    }

    #[test]
    fn a_negative_type_takes_the_first_of_the_lowest() {
        let list = list(&[3, 2, 5, 2]);
        assert_eq!(list.find(Search::UpTo(4)), Some(1));
        assert_eq!(list.find(Search::UpTo(1)), None);
        assert_eq!(list.find(Search::NotEqual(3)), Some(1));
        assert_eq!(list.find(Search::Equal(5)), Some(2));
        assert_eq!(list.find(Search::Nth(4)), None);
    }

    /// What is found is what a walk along the messages finds.
    #[test]
    fn a_search_finds_what_a_walk_finds() {
        let (mut list, mut walked) = (MessageList::default(), Vec::new());
        for step in 0_usize..3000 {
            let mtype = (step * 7919 % 5) as i64 + 1;
            let search = [
                Search::Any,
                Search::Equal(mtype),
                Search::NotEqual(mtype),
                Search::UpTo(mtype),
                Search::Nth((step % 7) as i64),
            ][step * 31 % 5];
            let first = |is_wanted: &dyn Fn(i64) -> bool| walked.iter().position(|&(_, other)| is_wanted(other));
            let position = match search {
                Search::Any => first(&|_| true),
                Search::Equal(mtype) => first(&|other| other == mtype),
                Search::NotEqual(mtype) => first(&|other| other != mtype),
                Search::UpTo(max) => {
                    let lowest = walked.iter().map(|&(_, other)| other).filter(|&other| other <= max).min();
                    lowest.and_then(|lowest| first(&|other| other == lowest))
                }
                Search::Nth(position) => Some(position as usize).filter(|&at| at < walked.len()),
            };
            // It grows, is emptied and grows again.
            if step / 500 % 2 == 1 || step % 3 == 0 {
                let slot = list.find(search);
                assert_eq!(slot.map(|slot| list.get(slot)), position.map(|at| list.nth(at)), "{step}: {search:?}");
                let taken = slot.and_then(|slot| list.take(slot));
                let expected = position.map(|at| walked.remove(at));
                assert_eq!(taken.map(|message| message.text), expected.map(|(text, _)| text), "{step}: {search:?}");
            } else {
                let text = step.to_string().into_bytes();
                list.push(Message { mtype, text: text.clone() });
                walked.push((text, mtype));
            }
            assert!(list.is_sound() && list.len() == walked.len(), "{step}: {list:?}");
        }
    }
}
