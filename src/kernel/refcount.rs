//! Counted references. A [`Held`] is one reference that counts; it cannot be copied, and only [`Table::hold`] makes it
//! and [`Table::release`] eats it, so that a count is the number of live `Held` values by construction.
//! A bare [`Id`] is a name and counts nothing.

use super::table::{Id, Table};

/// One counted reference to a `T`.
#[derive(Debug)]
#[must_use = "a counted reference has to be stored or released"]
pub struct Held<T>(Id<T>);

impl<T> Held<T> {
    pub fn id(&self) -> Id<T> {
        self.0
    }

    /// The same reference, to the object as a `U`: for those who know that it is one.
    pub(super) fn cast<U>(self) -> Held<U> {
        Held(self.0.cast())
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
        let count = self[held.0].count();
        *count -= 1;
        if *count == 0 { self.remove(held.0) } else { None }
    }
}
