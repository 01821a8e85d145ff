//! Counts per (user namespace, kuid), charged up the chain of user namespaces (`kernel/ucount.c`).

use std::collections::BTreeMap;

use super::cred::Kuid;
use super::ns::{NsOps, UserNamespace};
use super::refcount::{Counted, Held};
use super::table::{Id, Table};
use super::{Kernel, UserNsId};
use crate::bail;
use crate::errno::Result;

pub type UcountsId = Id<Ucounts>;

/// Kinds of namespace that are counted, as indices of [`Ucounts::ucount`] and of a user namespace's `ucount_max`.
pub const UCOUNT_KINDS: usize = 8;
/// The highest value of a `max_<kind>_namespaces` limit, and what a new user namespace starts with.
pub const UCOUNT_MAX: i64 = i32::MAX as i64;

/// Resources that are limited per user (`UCOUNT_RLIMIT_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UcountRlimit {
    /// Processes and threads.
    Nproc,
    /// Bytes of POSIX message queues.
    Msgqueue,
}

pub const UCOUNT_RLIMITS: usize = 2;

#[derive(Clone, Debug)]
pub struct Ucounts {
    pub count: u32,
    pub ns: Held<UserNamespace>,
    pub uid: Kuid,
    /// Live namespaces by kind, at the index its row in [`super::ns::NS_TABLE`] gives.
    pub ucount: [u32; UCOUNT_KINDS],
    /// What this user has here and in descendant user namespaces of each resource, at the index [`UcountRlimit`] gives.
    pub rlimit: [u64; UCOUNT_RLIMITS],
}

impl Counted for Ucounts {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

/// The one ucounts object of each (user namespace, kuid) in use.
#[derive(Clone, Debug, Default)]
pub struct UcountsTable {
    pub table: Table<Ucounts>,
    pub by_key: BTreeMap<(UserNsId, Kuid), Id<Ucounts>>,
}

impl Kernel {
    /// The ucounts object of (`ns`, `uid`), made if there is none (`alloc_ucounts`).
    pub(crate) fn get_ucounts(&mut self, ns: UserNsId, uid: Kuid) -> Held<Ucounts> {
        if let Some(&id) = self.ucounts.by_key.get(&(ns, uid)) {
            return self.ucounts.table.hold(id);
        }
        let ns_held = self.get_ns(ns);
        let ucounts = Ucounts { count: 0, ns: ns_held, uid, ucount: [0; UCOUNT_KINDS], rlimit: [0; UCOUNT_RLIMITS] };
        let held = self.ucounts.table.insert_held(ucounts);
        self.ucounts.by_key.insert((ns, uid), held.id());
        held
    }

    /// Drops a reference; the last one frees the object and lets go of its user namespace (`put_ucounts`).
    pub(crate) fn put_ucounts(&mut self, held: Held<Ucounts>) {
        if let Some(freed) = self.ucounts.table.release(held) {
            self.ucounts.by_key.remove(&(freed.ns.id(), freed.uid));
            self.put_ns(freed.ns);
        }
    }

    /// The objects a charge to `first` counts in: itself, then the one its user namespace is charged to, and so on to
    /// the top.
    pub fn ucounts_chain(&self, first: UcountsId) -> impl Iterator<Item = UcountsId> {
        std::iter::successors(Some(first), |&id| self.ucounts_above(id))
    }

    /// The object that the user namespace of one is charged to.
    fn ucounts_above(&self, id: UcountsId) -> Option<UcountsId> {
        let ns = self.ucounts.table[id].ns.id();
        self.namespaces[ns.any()].common.ucounts.as_ref().map(Held::id)
    }

    /// Whether one more namespace of the kind fits for (`ns`, `uid`) and in every user namespace above
    /// (`inc_ucount`).
    ///
    /// # Errors
    /// ENOSPC at the first level whose `max_…_namespaces` is reached.
    pub fn check_ucount(&self, ns: UserNsId, uid: Kuid, ops: &NsOps) -> Result<()> {
        let mut level = Some((ns, uid));
        while let Some((ns, uid)) = level {
            let used = self.ucounts.by_key.get(&(ns, uid)).map_or(0, |&id| self.ucounts.table[id].ucount[ops.ucount]);
            let max = self.namespaces[ns].ucount_max[ops.ucount];
            if i64::from(used) >= max {
                bail!(ENOSPC, "{} of {} is {} and uid {} has {}", ops.ucount_name, self.ns_arg(ns), max, uid.0, used);
            }
            level = self.level_above(ns);
        }
        Ok(())
    }

    /// Charges one namespace of the kind to (`ns`, `uid`) and up; [`Kernel::check_ucount`] said that it fits.
    pub(crate) fn charge_ucount(&mut self, ns: UserNsId, uid: Kuid, ops: &NsOps) -> Held<Ucounts> {
        let held = self.get_ucounts(ns, uid);
        let chain: Vec<_> = self.ucounts_chain(held.id()).collect();
        for id in chain {
            self.ucounts.table[id].ucount[ops.ucount] += 1;
        }
        held
    }

    /// Gives a charge back and drops the reference (`dec_ucount`).
    pub(crate) fn uncharge_ucount(&mut self, held: Held<Ucounts>, ops: &NsOps) {
        let chain: Vec<_> = self.ucounts_chain(held.id()).collect();
        for id in chain {
            self.ucounts.table[id].ucount[ops.ucount] -= 1;
        }
        self.put_ucounts(held);
    }

    /// Counts so much of a resource in or out at `first` and up (`inc_rlimit_ucounts`, `dec_rlimit_ucounts`).
    pub(crate) fn add_rlimit(&mut self, first: UcountsId, resource: UcountRlimit, delta: i64) {
        let mut level = Some(first);
        while let Some(id) = level {
            let used = &mut self.ucounts.table[id].rlimit[resource as usize];
            *used = used.checked_add_signed(delta).expect("what is counted out was counted in");
            level = self.ucounts_above(id);
        }
    }

    /// Whether more of a resource than allowed would be counted with `extra` more: than `rlimit` for (`ns`, `uid`), than
    /// the creator's limit at each user namespace boundary above (`is_rlimit_overlimit`).
    pub fn is_rlimit_overlimit(
        &self,
        ns: UserNsId,
        uid: Kuid,
        resource: UcountRlimit,
        rlimit: u64,
        extra: u64,
    ) -> bool {
        let (mut level, mut max) = (Some((ns, uid)), rlimit);
        while let Some((ns, uid)) = level {
            let used =
                self.ucounts.by_key.get(&(ns, uid)).map_or(0, |&id| self.ucounts.table[id].rlimit[resource as usize]);
            if used.saturating_add(extra) > max {
                return true;
            }
            max = self.namespaces[ns].rlimit_max[resource as usize];
            level = self.level_above(ns);
        }
        false
    }

    /// What the user namespace `ns` is charged to, in the one above.
    fn level_above(&self, ns: UserNsId) -> Option<(UserNsId, Kuid)> {
        let above = &self.ucounts.table[self.namespaces[ns.any()].common.ucounts.as_ref()?.id()];
        Some((above.ns.id(), above.uid))
    }
}
