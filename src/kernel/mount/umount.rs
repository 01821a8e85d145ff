//! Taking mounts away, here and wherever that propagates to (`umount_tree` in `fs/namespace.c`, `propagate_umount` in
//! `fs/pnode.c`).

use std::collections::{BTreeMap, BTreeSet};

use super::flags::MountFlags;
use super::tree::Mount;
use crate::kernel::node::Place;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, MountId, TaskId, TreeId};

/// Why a tree of mounts is taken away, which decides what becomes of its inner connections and of other trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Umounting {
    /// umount2(2) of one mount nobody uses.
    Plain,
    /// umount2(MNT_DETACH): propagates too.
    Lazy,
    /// What it was mounted on is gone, or the descriptor of an anonymous tree: all stays connected.
    Connected,
    /// Its namespace is gone.
    Namespace,
}

/// Mounts on their way out, in order.
#[derive(Debug, Default)]
struct Going {
    order: Vec<MountId>,
    set: BTreeSet<MountId>,
}

impl Going {
    fn push(&mut self, mount: MountId) {
        if self.set.insert(mount) {
            self.order.push(mount);
        }
    }
}

impl Kernel {
    /// Takes a mount and all that is on it out of their tree. Who uses one of them keeps it alive.
    pub(crate) fn umount_tree(&mut self, top: MountId, why: Umounting) {
        let propagates = matches!(why, Umounting::Plain | Umounting::Lazy);
        if propagates {
            self.unlock_counterparts(top);
        }
        let mut going = Going::default();
        for mount in self.subtree(top) {
            going.push(mount);
        }
        if propagates {
            for mount in self.umount_candidates(&going) {
                going.push(mount);
            }
            self.save_overmounts(&going);
        }
        self.make_private(&going.order, |mount| going.set.contains(&mount));
        let mut dropped = Vec::new();
        for &mount in &going.order {
            let Some(held) = self.leave_tree(mount) else { continue };
            if self.stays_connected(mount, &going, why) {
                let parent = self.vfs.mounts[mount].parent().expect("it is connected to something");
                self.vfs.mounts[parent].kept.push(held);
            } else {
                self.unhook(mount);
                dropped.push(held);
            }
        }
        self.put_mounts(dropped);
    }

    /// `disconnect_mount`, the other way round.
    fn stays_connected(&self, mount: MountId, going: &Going, why: Umounting) -> bool {
        let parent_goes = self.vfs.mounts[mount].parent().is_some_and(|parent| going.set.contains(&parent));
        let is_locked = self.vfs.mounts[mount].flags.contains(MountFlags::LOCKED);
        parent_goes && why != Umounting::Plain && (why == Umounting::Connected || is_locked)
    }

    /// Takes a mount out of the books of its tree, which goes with its last mount if it is anonymous.
    fn leave_tree(&mut self, mount: MountId) -> Option<Held<Mount>> {
        let leaving = &mut self.vfs.mounts[mount];
        let (id, unique_id) = (leaving.tree.take()?, leaving.unique_id);
        let tree = &mut self.vfs.trees[id];
        tree.event += 1;
        let held = tree.mounts.remove(&unique_id);
        if tree.mounts.is_empty() {
            self.vfs.trees.remove(id);
        }
        held
    }

    /// Takes all mounts out of an anonymous tree, to be put into another.
    pub(crate) fn dissolve_tree(&mut self, tree: TreeId) -> Vec<Held<Mount>> {
        let Some(gone) = self.vfs.trees.remove(tree) else { return Vec::new() };
        let mounts: Vec<_> = gone.mounts.into_values().collect();
        for mount in &mounts {
            self.vfs.mounts[mount.id()].tree = None;
        }
        mounts
    }

    /// What was propagated from a place can always be taken off from there (`propagate_mount_unlock`).
    fn unlock_counterparts(&mut self, top: MountId) {
        for counterpart in self.counterparts_of(top) {
            self.vfs.mounts[counterpart].flags -= MountFlags::LOCKED;
        }
    }

    /// What is mounted at the same place on the mounts that receive from the parent.
    fn counterparts_of(&self, mount: MountId) -> Vec<MountId> {
        let Some((parent, site)) = self.vfs.mounts[mount].place_in_tree() else { return Vec::new() };
        let receivers = self.all_receivers(parent);
        receivers.into_iter().filter_map(|receiver| self.vfs.mounts[receiver].at.get(&site.place).copied()).collect()
    }

    /// The mounts elsewhere that go with `going`: its counterparts but those with something else on them and those
    /// locked to a mount that stays.
    fn umount_candidates(&self, going: &Going) -> Vec<MountId> {
        let candidates = self.gather_candidates(going);
        let mut remaining: BTreeSet<MountId> = candidates.iter().copied().collect();
        self.trim_protected(going, &candidates, &mut remaining);
        self.trim_locked(going, &mut remaining);
        self.in_order_of_leaving(going, &candidates, &remaining)
    }

    /// What has nothing on it and no lock goes first, the last one found before the others; then each of the rest with
    /// what it is on (`trim_one`, `handle_locked`). It is the order in which what covers them sinks.
    fn in_order_of_leaving(
        &self,
        going: &Going,
        candidates: &[MountId],
        remaining: &BTreeSet<MountId>,
    ) -> Vec<MountId> {
        let mut leaving = Going::default();
        for &mount in candidates.iter().rev().filter(|mount| remaining.contains(mount)) {
            let this = &self.vfs.mounts[mount];
            let has_gone = |child: &MountId| going.set.contains(child) || leaving.set.contains(child);
            if !this.flags.contains(MountFlags::LOCKED) && this.children.values().all(has_gone) {
                leaving.push(mount);
            }
        }
        for &mount in candidates.iter().rev() {
            let up = |&below: &MountId| self.vfs.mounts[below].parent();
            let way = std::iter::successors(Some(mount), up);
            for mount in way.take_while(|mount| remaining.contains(mount)) {
                leaving.push(mount);
            }
        }
        leaving.order
    }

    fn gather_candidates(&self, going: &Going) -> Vec<MountId> {
        let mut receivers: BTreeMap<MountId, Vec<MountId>> = BTreeMap::new();
        let mut candidates = Going::default();
        for &mount in &going.order {
            let Some((parent, site)) = self.vfs.mounts[mount].place_in_tree() else { continue };
            let receivers = receivers.entry(parent).or_insert_with(|| self.all_receivers(parent));
            for receiver in receivers.iter() {
                if let Some(&candidate) = self.vfs.mounts[*receiver].at.get(&site.place)
                    && !going.set.contains(&candidate)
                {
                    candidates.push(candidate);
                }
            }
        }
        candidates.order
    }

    /// A mount that stays protects what it is on, unless it covers that as a whole: then it will sink to what is below,
    /// and protects that (`trim_one`, `trim_ancestors`).
    fn trim_protected(&self, going: &Going, candidates: &[MountId], remaining: &mut BTreeSet<MountId>) {
        let mut todo: Vec<MountId> = candidates.to_vec();
        while let Some(mount) = todo.pop() {
            let this = &self.vfs.mounts[mount];
            let root = this.root.place();
            let goes = |child| going.set.contains(&child) || remaining.contains(&child);
            let is_protected = this.at.iter().any(|(&place, &child)| place != root && self.leaves_cover(child, goes));
            if is_protected && remaining.remove(&mount) {
                let up = |&below: &MountId| self.vfs.mounts[below].parent().filter(|parent| remaining.contains(parent));
                todo.extend(std::iter::successors(up(&mount), up));
            }
        }
    }

    /// Whether something is still there when a mount has gone: itself, or one of the stack that covers it.
    fn leaves_cover(&self, mount: MountId, goes: impl Fn(MountId) -> bool) -> bool {
        let cover = |&below: &MountId| {
            let below = &self.vfs.mounts[below];
            below.at.get(&below.root.place()).copied()
        };
        std::iter::successors(Some(mount), cover).any(|mount| !goes(mount))
    }

    /// A locked mount goes only with what it is on.
    fn trim_locked(&self, going: &Going, remaining: &mut BTreeSet<MountId>) {
        let mut todo: Vec<MountId> = remaining.iter().copied().collect();
        while let Some(mount) = todo.pop() {
            let this = &self.vfs.mounts[mount];
            let parent_goes = this.parent().is_some_and(|p| going.set.contains(&p) || remaining.contains(&p));
            if this.flags.contains(MountFlags::LOCKED) && !parent_goes && remaining.remove(&mount) {
                todo.extend(this.children.values().filter(|child| remaining.contains(child)));
            }
        }
    }

    /// What covers a mount that goes and does not go itself sinks to where that was mounted (`reparent`).
    fn save_overmounts(&mut self, going: &Going) {
        for &mount in &going.order {
            let this = &self.vfs.mounts[mount];
            let Some(&over) = this.at.get(&this.root.place()).filter(|over| !going.set.contains(over)) else {
                continue;
            };
            let up = |&below: &MountId| self.vfs.mounts[below].parent().filter(|parent| going.set.contains(parent));
            let Some(below) = std::iter::successors(Some(mount), up).last() else { continue };
            let Some((parent, site)) = self.vfs.mounts[below].place_in_tree() else { continue };
            self.unhook(over);
            // The bottom of the stack gives way at once, so that a place never has two mounts.
            self.unhook(below);
            self.attach(over, parent, &site);
        }
    }

    /// Whether a plain umount has to wait for somebody: who uses the mount or a counterpart that would go with it
    /// (`propagate_mount_busy`).
    pub fn is_mount_busy(&self, mount: MountId) -> bool {
        let is_used = |mount: MountId| self.vfs.mounts[mount].count > 1;
        if !self.vfs.mounts[mount].children.is_empty() || is_used(mount) {
            return true;
        }
        self.counterparts_of(mount).into_iter().any(|counterpart| {
            let has_others = !self.vfs.mounts[counterpart].children.is_empty();
            (self.only_overmount(counterpart).is_some() || !has_others) && is_used(counterpart)
        })
    }

    /// The file is something a mount of this tree is on (`is_local_mountpoint`).
    pub fn is_mountpoint_in(&self, place: Place, tree: TreeId) -> bool {
        self.vfs.mountpoints.at(place).any(|mount| self.vfs.mounts[mount].tree == Some(tree))
    }

    /// Takes away what is mounted on a file in any namespace (`__detach_mounts`).
    pub(in crate::kernel) fn detach_mounts(&mut self, place: Place) {
        for mount in self.vfs.mountpoints.at(place).collect::<Vec<_>>() {
            // One that was already taken off but stayed connected is cut off now, and kept by whoever uses it.
            let kept_by = self.vfs.mounts.get(mount).filter(|mount| mount.tree.is_none()).and_then(|m| m.parent());
            match kept_by {
                None if self.vfs.mounts.contains(mount) => self.umount_tree(mount, Umounting::Connected),
                None => {}
                Some(parent) => {
                    let kept = &mut self.vfs.mounts[parent].kept;
                    let held = kept.iter().position(|held| held.id() == mount).map(|at| kept.swap_remove(at));
                    self.unhook(mount);
                    self.put_mounts(held.into_iter().collect());
                }
            }
        }
    }

    /// Takes away what is mounted on files of `proc` that a task had (`proc_flush_pid`).
    pub(crate) fn detach_mounts_of_task(&mut self, task: TaskId) {
        for place in self.vfs.mountpoints.of_task(task).collect::<Vec<_>>() {
            self.detach_mounts(place);
        }
    }
}
