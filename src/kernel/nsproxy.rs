//! `struct nsproxy`: the set of namespaces a task uses, shared by all tasks that use the same ones
//! (`kernel/nsproxy.c`).
//!
//! Who may touch it: only the current task changes its own pointer; others read it and have to expect `None`, which
//! marks a zombie. An nsproxy is never changed while shared: a change makes a new one.

use super::capability::Cap;
use super::change::Change;
use super::ns::{NS_TABLE, Namespace, NsKind, NsOps, SLOTS, Slot, UserNsId};
use super::refcount::{Counted, Held};
use super::table::Id;
use super::trace::{Count, Step};
use super::{Current, Kernel, NsId, NsProxyId, TaskId};
use crate::bail;
use crate::errno::Result;

#[derive(Clone, Debug)]
pub struct NsProxy {
    /// Number of tasks whose pointer this is.
    pub count: u32,
    pub slots: [Held<Namespace>; SLOTS],
}

impl Counted for NsProxy {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

impl NsProxy {
    pub fn get(&self, slot: Slot) -> NsId {
        self.slots[slot as usize].id()
    }

    /// A slot as what it has: only namespaces of its kind go into it.
    pub(super) fn typed<S: NsKind>(&self, slot: Slot) -> Id<S> {
        self.get(slot).cast()
    }

    /// The namespaces by slot, as names.
    pub fn ids(&self) -> [NsId; SLOTS] {
        self.slots.each_ref().map(Held::id)
    }
}

impl Kernel {
    /// The namespace in `slot` of a live task's nsproxy; `None` for a zombie.
    pub fn task_ns(&self, task: TaskId, slot: Slot) -> Option<NsId> {
        self.nsproxy_of(task).map(|nsproxy| nsproxy.get(slot))
    }

    /// The nsproxy of the task that makes the call.
    pub fn current_nsproxy(&self, task: Current) -> &NsProxy {
        &self.nsproxies[self.live(task).nsproxy.id()]
    }
}

/// What unshare and clone may make anew besides a user namespace: the CLONE_NEW* flags with a slot in the nsproxy.
pub const NSPROXY_FLAGS: u64 = {
    let (mut flags, mut kind) = (0, 0);
    while kind < NS_TABLE.len() {
        if NS_TABLE[kind].slot.is_some() {
            flags |= NS_TABLE[kind].clone_flag;
        }
        kind += 1;
    }
    flags
};

impl Kernel {
    /// Whether `task` may have new namespaces made that `owner` will own.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN in `owner`.
    pub fn check_admin(&self, task: TaskId, owner: UserNsId) -> Result<()> {
        if !self.ns_capable(task, owner, Cap::SYS_ADMIN) {
            bail!(EPERM, "CAP_SYS_ADMIN missing in {}, which would own the new namespaces", self.ns_arg(owner));
        }
        Ok(())
    }

    /// Whether the namespaces in `flags` can be made by `task`, kind by kind in the order of creation. `owner` is the
    /// user namespace that will own them; `None`: the one the same call makes, whose limits are all unset.
    ///
    /// # Errors
    /// What the kinds say; ENOSPC over a limit.
    pub fn check_new_namespaces(&self, task: Current, flags: u64, owner: Option<UserNsId>) -> Result<()> {
        let cred = self.cred_of(*task);
        let charged = owner.unwrap_or_else(|| cred.user_ns.id());
        for ops in asked_for(flags) {
            (ops.check_create)(self, task, owner)?;
            self.check_ucount(charged, cred.ids.euid, ops)?;
        }
        Ok(())
    }

    /// A new nsproxy for `task`: new namespaces for `flags`, owned by `owner`, the task's own ones for the rest
    /// (`create_new_namespaces`).
    pub(crate) fn create_new_namespaces(&mut self, task: Current, flags: u64, owner: UserNsId) -> Held<NsProxy> {
        self.record(|k| Step::CreateNewNamespaces { flags, owner: k.ns_name(owner) });
        let mut slots = self.hold_slots(task);
        for ops in asked_for(flags) {
            let made = self.create_ns(ops, task, owner);
            if let Some(slot) = ops.slot {
                let old = std::mem::replace(&mut slots[slot as usize], made);
                self.put_ns(old);
            }
        }
        self.new_nsproxy(slots)
    }

    /// A new nsproxy with these references, and its first reference.
    pub(crate) fn new_nsproxy(&mut self, slots: [Held<Namespace>; SLOTS]) -> Held<NsProxy> {
        let held = self.nsproxies.insert_held(NsProxy { count: 0, slots });
        self.record_nsproxy(held.id(), Step::GetNsProxy, Count { before: 0, after: 1 });
        held
    }

    /// One more reference to an nsproxy (`get_nsproxy`).
    pub(crate) fn get_nsproxy(&mut self, id: NsProxyId) -> Held<NsProxy> {
        let before = self.nsproxies[id].count;
        self.record_nsproxy(id, Step::GetNsProxy, Count { before, after: before + 1 });
        self.nsproxies.hold(id)
    }

    /// References to all the namespaces of a live task's nsproxy.
    pub(crate) fn hold_slots(&mut self, task: Current) -> [Held<Namespace>; SLOTS] {
        let ids = self.current_nsproxy(task).ids();
        ids.map(|id| self.get_ns(id))
    }

    /// Moves an nsproxy into the time namespace its owner's children were to get, and freezes that one's offsets
    /// (`timens_on_fork`). The nsproxy must not be shared.
    pub(crate) fn enter_time_for_children(&mut self, nsproxy: &Held<NsProxy>) {
        let target = self.nsproxies[nsproxy.id()].time_ns_for_children();
        self.set_slot(nsproxy, Slot::Time, target.any());
        self.namespaces[target].frozen_offsets = true;
    }

    /// Points a slot of an unshared nsproxy to `ns`.
    pub(crate) fn set_slot(&mut self, nsproxy: &Held<NsProxy>, slot: Slot, ns: NsId) {
        let new = self.get_ns(ns);
        let old = std::mem::replace(&mut self.nsproxies[nsproxy.id()].slots[slot as usize], new);
        self.put_ns(old);
    }

    /// Whether the children of `task` get another time namespace than its own.
    pub fn is_time_switch_due(&self, task: TaskId) -> bool {
        self.task_ns(task, Slot::Time) != self.task_ns(task, Slot::TimeForChildren)
    }

    /// Gives a task another nsproxy and drops the old one (`switch_task_namespaces`).
    pub(crate) fn switch_task_namespaces(&mut self, task: Current, new: Held<NsProxy>) {
        let old = std::mem::replace(&mut self.live_mut(task).nsproxy, new);
        self.exit_task_namespaces(*task, old);
    }

    /// Drops the nsproxy a task had; it has another one, or none any more (`exit_task_namespaces`).
    pub(crate) fn exit_task_namespaces(&mut self, task: TaskId, old: Held<NsProxy>) {
        let from = Some(old.id().index());
        self.record(|k| {
            let to = k.nsproxy_id_of(task).map(NsProxyId::index);
            Step::SwitchTaskNamespaces { pid: k.task_nr(task), from, to }
        });
        self.changes.note(Change::Links(task));
        self.put_nsproxy(old);
    }

    /// Drops a reference; the last one drops those of all eight slots (`free_nsproxy`).
    pub(crate) fn put_nsproxy(&mut self, held: Held<NsProxy>) {
        let (id, before) = (held.id(), self.nsproxies[held.id()].count);
        self.record_nsproxy(id, Step::PutNsProxy, Count { before, after: before - 1 });
        if let Some(freed) = self.nsproxies.release(held) {
            self.record(|_| Step::FreeNsProxy(id.index()));
            for slot in freed.slots {
                self.put_ns(slot);
            }
        }
    }
}

/// The kinds asked for by `flags` that live in the nsproxy, in the order of creation.
fn asked_for(flags: u64) -> impl Iterator<Item = &'static NsOps> {
    NS_TABLE.iter().copied().filter(move |ops| ops.slot.is_some() && flags & ops.clone_flag != 0)
}
