//! Counted references. A [`Held`] is one reference that counts; only [`Table::hold`] makes it and [`Table::release`] eats
//! it, so that a count is the number of live `Held` values by construction. It is copied with the whole kernel, counts
//! included, and panics where it is copied alone.
//! A bare [`Id`] is a name and counts nothing.
//!
//! In debug builds a `Held` that goes out of scope panics: the count would stay too high for ever. Only those in a table
//! go with it, and a [`Forever`] with the kernel.

use std::mem::{self, ManuallyDrop};

use super::table::{Id, Table};

/// One counted reference to a `T`.
#[derive(Debug)]
#[must_use = "a counted reference has to be stored or released"]
pub struct Held<T>(Id<T>);

/// One that lasts as long as the kernel and is never released.
pub type Forever<T> = ManuallyDrop<Held<T>>;

impl<T> Held<T> {
    pub fn id(&self) -> Id<T> {
        self.0
    }

    /// The same reference, to the object as a `U`: for those who know that it is one.
    pub(super) fn cast<U>(self) -> Held<U> {
        Held(self.into_id().cast())
    }

    /// Ends the reference without [`Held`]'s drop, for who counts it.
    fn into_id(self) -> Id<T> {
        let id = self.0;
        mem::forget(self);
        id
    }
}

impl<T> Clone for Held<T> {
    /// Panics unless a whole kernel is copied: the count would be too low for ever.
    fn clone(&self) -> Held<T> {
        assert!(copying::is_on(), "{:?} is copied and not taken", self.0);
        Held(self.0)
    }
}

/// Whether this thread copies a whole kernel, with the references in it.
pub(super) mod copying {
    use std::cell::Cell;

    thread_local! {
        static IS_ON: Cell<bool> = const { Cell::new(false) };
    }

    pub fn is_on() -> bool {
        IS_ON.get()
    }

    pub fn during<R>(copy: impl FnOnce() -> R) -> R {
        IS_ON.set(true);
        let copied = copy();
        IS_ON.set(false);
        copied
    }
}

#[cfg(debug_assertions)]
impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        assert!(teardown::is_on() || std::thread::panicking(), "{:?} is dropped and not released", self.0);
    }
}

/// Whether this thread drops a whole table, with the references in it.
#[cfg(debug_assertions)]
pub(super) mod teardown {
    use std::cell::Cell;

    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }

    pub fn is_on() -> bool {
        DEPTH.get() > 0
    }

    pub fn during(drop: impl FnOnce()) {
        DEPTH.set(DEPTH.get() + 1);
        drop();
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// An object with a reference count.
pub trait Counted {
    fn count(&mut self) -> &mut u32;
}

impl<T: Counted> Table<T> {
    /// Adds an object and its first reference. The count in `value` must be 0.
    pub fn insert_held(&mut self, value: T) -> Held<T> {
        let id = self.insert(value);
        self.hold(id)
    }

    /// Takes one more reference to a live object.
    pub fn hold(&mut self, id: Id<T>) -> Held<T> {
        *self[id].count() += 1;
        Held(id)
    }

    /// Drops one reference; the object itself when that was the last one, for the caller to tear down.
    #[must_use = "the last reference hands over the object, which holds references of its own"]
    pub fn release(&mut self, held: Held<T>) -> Option<T> {
        let id = held.into_id();
        let count = self[id].count();
        *count -= 1;
        if *count == 0 { self.remove(id) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Object(u32);

    impl Counted for Object {
        fn count(&mut self) -> &mut u32 {
            &mut self.0
        }
    }

    #[test]
    fn the_last_reference_gives_the_object() {
        let mut table = Table::default();
        let first = table.insert_held(Object::default());
        let second = table.hold(first.id());
        assert!(table.release(first).is_none());
        assert!(table.release(second).is_some());
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "is dropped and not released")]
    fn a_reference_that_is_lost_panics() {
        drop(Table::default().insert_held(Object::default()));
    }

    #[test]
    #[should_panic(expected = "is copied and not taken")]
    fn a_reference_that_is_copied_alone_panics() {
        let forever = ManuallyDrop::new(Table::default().insert_held(Object::default()));
        let _copy = forever.clone();
    }

    #[test]
    fn references_in_a_table_go_with_it() {
        let mut objects = Table::default();
        let mut holders = Table::default();
        holders.insert(objects.insert_held(Object::default()));
        drop(holders);
    }
}
