//! Tables of kernel objects behind typed ids that are never reused, and the two id allocators Linux has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

use super::runs::Runs;

/// A name for one `T` of a [`Table`]: copying it counts nothing, and it never names another object, even when the
/// slot is used again.
pub struct Id<T> {
    index: u32,
    generation: NonZeroU32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The id as one number, unique among all ids of its table for ever.
    pub fn serial(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.index)
    }

    /// The same object as a `U`: for those who know that it is one.
    pub(super) fn cast<U>(self) -> Id<U> {
        Id { index: self.index, generation: self.generation, kind: PhantomData }
    }

    /// A small number that names this object among the live ones of its table, as an address would.
    pub fn index(self) -> u32 {
        self.index
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.serial() == other.serial()
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.serial().hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

/// A slab of `T`. Freed slots are used again last-in first-out under a new generation, so ids stay unique and the
/// order of iteration depends only on what was done, never on addresses.
#[derive(Clone, Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { slots: Vec::new(), free: Vec::new() }
    }
}

#[cfg(debug_assertions)]
impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        super::refcount::teardown::during(|| self.slots.clear());
    }
}

impl<T> Table<T> {
    pub fn insert(&mut self, value: T) -> Id<T> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot { generation: NonZeroU32::MIN, value: None });
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 objects fit in memory")
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        Id { index, generation: slot.generation, kind: PhantomData }
    }

    /// The id the next [`Table::insert`] will give.
    pub fn next_id(&self) -> Id<T> {
        let (index, generation) = match self.free.last() {
            Some(&index) => (index, self.slots[index as usize].generation),
            None => (u32::try_from(self.slots.len()).unwrap_or(u32::MAX), NonZeroU32::MIN),
        };
        Id { index, generation, kind: PhantomData }
    }

    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = self.slots.get_mut(id.index as usize).filter(|s| s.generation == id.generation)?;
        let value = slot.value.take()?;
        // A slot whose generations are used up is never used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.index);
        }
        Some(value)
    }

    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.slots.get(id.index as usize).filter(|s| s.generation == id.generation)?.value.as_ref()
    }

    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.slots.get_mut(id.index as usize).filter(|s| s.generation == id.generation)?.value.as_mut()
    }

    /// The id of the live object with this [`Id::index`].
    pub fn id_at(&self, index: u32) -> Option<Id<T>> {
        let slot = self.slots.get(index as usize).filter(|s| s.value.is_some())?;
        Some(Id { index, generation: slot.generation, kind: PhantomData })
    }

    pub fn contains(&self, id: Id<T>) -> bool {
        self.get(id).is_some()
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All objects, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let id = Id { index, generation: slot.generation, kind: PhantomData };
            slot.value.as_ref().map(|value| (id, value))
        })
    }
}

impl<T> Index<Id<T>> for Table<T> {
    type Output = T;
    /// Panics on a stale id: the kernel keeps ids only of objects it holds.
    fn index(&self, id: Id<T>) -> &T {
        self.get(id).expect("an id held by the kernel names a live object")
    }
}

impl<T> IndexMut<Id<T>> for Table<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        self.get_mut(id).expect("an id held by the kernel names a live object")
    }
}

/// Gives out the lowest free number, as Linux's ida does for inums (`proc_alloc_inum`).
#[derive(Clone, Debug)]
pub struct LowestFree {
    /// All numbers from here on are free, but for those ahead.
    next: u32,
    holes: BTreeSet<u32>,
    /// Numbers from `next` on that were asked for.
    ahead: BTreeSet<u32>,
}

impl LowestFree {
    pub fn starting_at(first: u32) -> LowestFree {
        LowestFree { next: first, holes: BTreeSet::new(), ahead: BTreeSet::new() }
    }

    pub fn alloc(&mut self) -> u32 {
        self.holes.pop_first().unwrap_or_else(|| {
            while self.ahead.remove(&self.next) {
                self.next += 1;
            }
            self.next += 1;
            self.next - 1
        })
    }

    /// Whether a number could be taken.
    pub fn is_free(&self, number: u32) -> bool {
        if number < self.next { self.holes.contains(&number) } else { !self.ahead.contains(&number) }
    }

    /// Takes this number, if it is free.
    pub fn take(&mut self, number: u32) {
        if number < self.next {
            self.holes.remove(&number);
        } else {
            self.ahead.insert(number);
        }
    }

    pub fn free(&mut self, number: u32) {
        if self.ahead.remove(&number) {
            return;
        }
        self.holes.insert(number);
        while self.next > 0 && self.holes.remove(&(self.next - 1)) {
            self.next -= 1;
        }
    }
}

/// Numbers in use, with what each stands for, and a moving cursor, as Linux's idr has them for pids and System V IPC
/// (`idr_alloc_cyclic`).
#[derive(Clone, Debug)]
pub struct Cyclic<V> {
    used: BTreeMap<i32, V>,
    /// The numbers in use.
    runs: Runs,
    /// Where the next search starts; one more than the last automatic number.
    pub cursor: i32,
}

impl<V> Default for Cyclic<V> {
    fn default() -> Self {
        Cyclic { used: BTreeMap::new(), runs: Runs::default(), cursor: 0 }
    }
}

impl<V> Cyclic<V> {
    /// The number a cyclic allocation in `[min, max)` would take: the first free one from the cursor on, else the
    /// first free one from `min`. `None` when the range is full.
    pub fn next_free(&self, min: i32, max: i32) -> Option<i32> {
        let start = self.cursor.max(min);
        self.first_free(start, max).or_else(|| self.first_free(min, max.min(start)))
    }

    /// The lowest free number in `[from, to)`.
    pub fn first_free(&self, from: i32, to: i32) -> Option<i32> {
        Some(self.runs.first_free(from)).filter(|&free| free < to)
    }

    /// Gives a number a value; the one it had before is returned.
    pub fn insert(&mut self, number: i32, value: V) -> Option<V> {
        let old = self.used.insert(number, value);
        if old.is_none() {
            self.runs.insert(number);
        }
        old
    }

    pub fn remove(&mut self, number: i32) -> Option<V> {
        let old = self.used.remove(&number)?;
        self.runs.remove(number);
        Some(old)
    }

    pub fn peek(&self, number: i32) -> Option<&V> {
        self.used.get(&number)
    }

    pub fn peek_mut(&mut self, number: i32) -> Option<&mut V> {
        self.used.get_mut(&number)
    }

    /// The highest number in use.
    pub fn highest(&self) -> Option<i32> {
        self.used.last_key_value().map(|(&number, _)| number)
    }

    pub fn len(&self) -> usize {
        self.used.len()
    }

    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// All numbers with their values, by number.
    pub fn entries(&self) -> impl Iterator<Item = (i32, &V)> {
        self.used.iter().map(|(&number, value)| (number, value))
    }

    /// All values, by number.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.used.values()
    }

    /// As [`Cyclic::values`], given away.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.used.into_values()
    }
}

impl<V: Copy> Cyclic<V> {
    pub fn get(&self, number: i32) -> Option<V> {
        self.used.get(&number).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (i32, V)> {
        self.used.iter().map(|(&n, &v)| (n, v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_names_a_second_object() {
        let mut table = Table::default();
        let first = table.insert("a");
        table.remove(first);
        assert_eq!(table.next_id(), table.clone().insert("c"));
        let second = table.insert("b");
        assert_ne!(first, second);
        assert_eq!(table.get(first), None);
        assert_eq!(table[second], "b");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn lowest_free_fills_the_holes_first() {
        let mut ida = LowestFree::starting_at(10);
        let all: Vec<u32> = (0..6).map(|_| ida.alloc()).collect();
        assert_eq!(all, [10, 11, 12, 13, 14, 15]);
        ida.free(11);
        ida.free(13);
        assert_eq!((ida.alloc(), ida.alloc(), ida.alloc()), (11, 13, 16));
    }

    #[test]
    fn a_number_asked_for_is_not_given_out_again() {
        let mut ida = LowestFree::starting_at(10);
        ida.take(11);
        ida.take(u32::MAX);
        assert!(!ida.is_free(11) && ida.is_free(12) && !ida.is_free(9), "below the first all numbers are taken");
        assert_eq!((ida.alloc(), ida.alloc()), (10, 12));
        ida.free(11);
        assert!(ida.is_free(11));
        assert_eq!((ida.alloc(), ida.alloc()), (11, 13));
        ida.take(15);
        ida.free(15);
        assert_eq!((ida.alloc(), ida.alloc()), (14, 15));
    }

    #[test]
    fn the_first_free_number_is_that_of_a_search() {
        let mut idr = Cyclic::default();
        for step in 0..2000 {
            let number = step * 7919 % 41;
            let _ = if step % 3 == 0 { idr.remove(number) } else { idr.insert(number, ()) };
            for (from, to) in [(0, 41), (5, 20), (number, 41), (number, number)] {
                let searched = (from..to).find(|&number| idr.peek(number).is_none());
                assert_eq!(idr.first_free(from, to), searched, "{idr:?} {from}..{to}");
            }
        }
    }

    #[test]
    fn cyclic_goes_on_from_the_cursor_and_wraps() {
        let mut idr = Cyclic::default();
        for number in [1, 2, 3] {
            idr.insert(number, ());
        }
        idr.cursor = 4;
        assert_eq!(idr.next_free(1, 5), Some(4));
        idr.insert(4, ());
        idr.cursor = 5;
        idr.remove(2);
        assert_eq!(idr.next_free(1, 5), Some(2));
        idr.insert(2, ());
        assert_eq!(idr.next_free(1, 5), None);
    }
}
