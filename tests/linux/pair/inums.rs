//! Which number each namespace of the lab has on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nslab::kernel::{Kernel, NsId};

use crate::observe::creation_order;
use crate::patience::Wait;

/// A net namespace has up to so many numbers after its own.
const NET_NUMBERS: u32 = 68;
/// How long the machine may take to give the number of a dead namespace back.
const FREEING: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Inums {
    /// The real number of each namespace seen, by the lab's id.
    known: BTreeMap<NsId, u32>,
    /// Real numbers of namespaces that died a moment ago: the machine frees them in its own time.
    dying: Vec<(Wait, u32)>,
}

impl Inums {
    /// All that are known die: another lab comes.
    pub fn restart(&mut self) {
        self.dying.retain(|(since, _)| !since.is_over(FREEING));
        self.bury(|_| false);
    }

    /// Those die that are gone from the lab.
    pub fn follow(&mut self, k: &Kernel) {
        self.bury(|ns| k.namespaces.contains(ns));
    }

    fn bury(&mut self, lives: impl Fn(NsId) -> bool) {
        let now = Wait::start();
        let dead = self.known.extract_if(.., |ns, _| !lives(*ns));
        self.dying.extend(dead.map(|(_, number)| (now, number)));
    }

    /// The real number of a namespace that was seen before.
    pub fn get(&self, ns: NsId) -> Option<u32> {
        self.known.get(&ns).copied()
    }

    /// Notes the real number of a namespace; `false`: another one has it.
    pub fn learn(&mut self, ns: NsId, real: u32) -> bool {
        let is_new = !self.known.iter().any(|(other, number)| *number == real && *other != ns);
        if is_new {
            self.known.insert(ns, real);
        }
        is_new
    }

    /// Namespaces made by one call, those not in `before`, have ascending numbers in the order of creation, on both sides.
    ///
    /// # Errors
    /// They have not.
    pub fn check_order(&self, k: &Kernel, before: &BTreeSet<NsId>) -> Result<(), String> {
        let mut new: Vec<_> = self.known.iter().filter(|(ns, _)| !before.contains(ns)).collect();
        new.sort_by_key(|(ns, _)| creation_order(k.namespaces[**ns].ns_type()));
        let lab: Vec<u32> = new.iter().map(|(ns, _)| k.namespaces[**ns].common.inum).collect();
        let real: Vec<u32> = new.iter().map(|(_, number)| **number).collect();
        // A number below one taken just before was given back in between.
        let was_freed =
            |number: u32| self.dying.iter().any(|(_, dying)| (*dying..=*dying + NET_NUMBERS).contains(&number));
        let is_in_order = real.windows(2).all(|pair| pair[0] < pair[1] || was_freed(pair[1]));
        if lab.is_sorted() && is_in_order {
            return Ok(());
        }
        Err(format!("order of new numbers: lab {lab:?}, machine {real:?}"))
    }
}
