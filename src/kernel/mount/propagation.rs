//! Peer groups, masters and slaves, and what an attached mount does elsewhere (`fs/pnode.c`; mount_namespaces(7),
//! "Shared subtrees").

use std::collections::{BTreeMap, BTreeSet};

use super::flags::MountFlags;
use super::site::Site;
use super::tree::{Copying, Mount};
use crate::bail;
use crate::errno::Result;
use crate::kernel::memory::MOUNT;
use crate::kernel::node::Place;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, MountId, TreeId, UserNsId};

/// What make-shared and its siblings make of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationType {
    Shared,
    Slave,
    Private,
    Unbindable,
}

/// The mounts of one peer group that receive what happens on another mount.
#[derive(Debug)]
struct Receivers {
    mounts: Vec<MountId>,
    /// The group they receive through, by index; `None` for the peers of the mount itself.
    above: Option<usize>,
}

/// What is going to be attached.
#[derive(Clone, Copy, Debug)]
pub struct Attaching {
    /// New mounts in the namespace of the destination.
    pub new: usize,
    /// Mounts in each copy that propagation makes.
    pub copied: usize,
    /// Its root is a mount namespace file, of which propagation makes no copies.
    pub is_mnt_ns_file: bool,
    /// The root of the uppermost mount that covers it as a whole, which what is at the destination may come to lie on.
    pub top: Place,
}

impl Kernel {
    /// The peers of a mount, itself first, then along the ring.
    pub fn peers(&self, mount: MountId) -> impl Iterator<Item = MountId> {
        let after = move |&at: &MountId| Some(self.vfs.mounts[at].next_peer).filter(|&next| next != mount);
        std::iter::successors(Some(mount), after)
    }

    /// The mounts that receive from this one alone, in the order of its list.
    pub fn slaves(&self, mount: MountId) -> impl Iterator<Item = MountId> {
        std::iter::successors(self.vfs.mounts[mount].first_slave, |&slave| self.vfs.mounts[slave].next_slave)
    }

    /// Who receives from `origin`, group by group, depth first; `origin` itself is left out.
    fn receivers(&self, origin: MountId, is_receiver: impl Fn(MountId) -> bool) -> Vec<Receivers> {
        let mut groups = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![(origin, None)];
        while let Some((first, above)) = todo.pop() {
            if seen.contains(&first) {
                continue;
            }
            let members: Vec<MountId> = self.peers(first).collect();
            seen.extend(members.iter().copied());
            let index = groups.len();
            let before = todo.len();
            todo.extend(members.iter().flat_map(|&member| self.slaves(member)).map(|slave| (slave, Some(index))));
            todo[before..].reverse();
            let mounts = members.into_iter().filter(|&member| member != origin && is_receiver(member)).collect();
            groups.push(Receivers { mounts, above });
        }
        groups
    }

    /// All that receive from `origin` (`propagation_next`).
    pub(super) fn all_receivers(&self, origin: MountId) -> Vec<MountId> {
        self.receivers(origin, |_| true).into_iter().flat_map(|group| group.mounts).collect()
    }

    /// Those that get a copy of what is attached at `site` of `dest` (`propagate_mnt`).
    fn receivers_at(&self, dest: MountId, site: &Site) -> Vec<Receivers> {
        self.receivers(dest, |member| {
            let mount = &self.vfs.mounts[member];
            let is_in_namespace = mount.tree.is_some_and(|tree| self.vfs.trees[tree].ns.is_some());
            is_in_namespace && self.is_site_below(site, mount.root.place())
        })
    }

    /// Whether what is attached at `place` of `dest` would cover the whole of `mount`, which receives it
    /// (`propagation_would_overmount`).
    pub fn would_overmount(&self, dest: MountId, mount: MountId, place: Place) -> bool {
        let group = self.vfs.mounts[dest].group;
        let mut sources = std::iter::successors(Some(mount), |&mount| self.vfs.mounts[mount].master);
        group != 0
            && self.vfs.mounts[mount].root.place() == place
            && sources.any(|source| self.vfs.mounts[source].group == group)
    }

    /// Whether mounts may be attached at `site` of `dest`, with all that follows elsewhere (`attach_recursive_mnt`).
    ///
    /// # Errors
    /// ENOENT: the root of what is attached has been removed; ENOSPC: a namespace would have more than mount-max mounts;
    /// EINVAL: a mount namespace file would propagate; ENOMEM: the lab has no memory for all these mounts.
    pub(crate) fn check_attach(&mut self, dest: MountId, site: &Site, attaching: Attaching) -> Result<()> {
        if self.is_cut_off(attaching.top) {
            bail!(ENOENT, "the root of what is mounted has been removed");
        }
        let mut counts: BTreeMap<TreeId, usize> = BTreeMap::new();
        self.count_mounts(&mut counts, dest, attaching.new)?;
        let mut made = attaching.new;
        let is_shared = self.vfs.mounts[dest].is_shared();
        let receivers = if is_shared { self.receivers_at(dest, site) } else { Vec::new() };
        for receiver in receivers.into_iter().flat_map(|group| group.mounts) {
            if attaching.is_mnt_ns_file {
                bail!(EINVAL, "a mount namespace file is not propagated, and the target has peers or slaves");
            }
            self.count_mounts(&mut counts, receiver, attaching.copied)?;
            made += attaching.copied;
        }
        if made > 0 && !self.has_memory_for(made * MOUNT) {
            bail!(ENOMEM, "{} mounts would be made, and the memory of the lab is {} bytes", made, self.memory.max);
        }
        Ok(())
    }

    /// `count_mounts`
    fn count_mounts(&self, counts: &mut BTreeMap<TreeId, usize>, dest: MountId, new: usize) -> Result<()> {
        let Some(tree) = self.vfs.mounts[dest].tree else { return Ok(()) };
        let count = counts.entry(tree).or_insert_with(|| self.vfs.trees[tree].mounts.len());
        *count += new;
        if new > 0 && *count > self.vfs.mount_max as usize {
            bail!(ENOSPC, "fs.mount-max is {}, the namespace would have {} mounts", self.vfs.mount_max, *count);
        }
        Ok(())
    }

    /// Attaches a tree of mounts at `site` of `dest`, and copies of it wherever that propagates to. `fresh` holds the
    /// mounts of the tree if it is new in the namespace; a moved one is taken off its old place.
    pub(crate) fn attach_tree(&mut self, top: MountId, fresh: Vec<Held<Mount>>, dest: MountId, site: &Site) {
        let tree = self.vfs.mounts[dest].tree.expect("only what is in a namespace is mounted on");
        let copies = if self.vfs.mounts[dest].is_shared() { self.propagate(top, dest, site) } else { Vec::new() };
        self.unhook(top);
        self.attach_under(top, dest, site);
        self.join_tree(tree, fresh);
        let owner = self.owner_of_tree(tree);
        for (receiver, copy) in copies {
            let tree = self.vfs.mounts[receiver].tree.expect("only what is in a namespace gets copies");
            if self.owner_of_tree(tree) != owner {
                self.lock_tree(&copy.iter().map(Held::id).collect::<Vec<_>>());
            }
            self.attach_under(copy[0].id(), receiver, site);
            self.join_tree(tree, copy);
        }
    }

    /// Attaches a mount; what is mounted at the place already comes to lie on top of it.
    pub(crate) fn attach_under(&mut self, top: MountId, dest: MountId, site: &Site) {
        let over = self.vfs.mounts[dest].at.get(&site.place).copied();
        if let Some(over) = over {
            self.unhook(over);
        }
        self.attach(top, dest, site);
        if let Some(over) = over {
            self.change_mountpoint(over, self.topmost_overmount(top));
        }
    }

    /// Mounts `mount` on the root of `below`.
    pub(super) fn change_mountpoint(&mut self, mount: MountId, below: MountId) {
        self.unhook(mount);
        let root = self.vfs.mounts[below].root.site();
        self.attach(mount, below, &root);
    }

    /// The user namespace that owns a tree: that of its namespace.
    fn owner_of_tree(&self, tree: TreeId) -> Option<UserNsId> {
        self.vfs.trees[tree].ns.and_then(|ns| self.ns_owner(ns))
    }

    /// Locks copies that come from another user namespace; the first may be taken off with all the others
    /// (`lock_mnt_tree`).
    pub(crate) fn lock_tree(&mut self, mounts: &[MountId]) {
        for (index, &mount) in mounts.iter().enumerate() {
            let flags = &mut self.vfs.mounts[mount].flags;
            *flags = flags.with_locks();
            if index > 0 {
                *flags |= MountFlags::LOCKED;
            }
        }
    }

    /// Makes the tree shared, and a copy of it for each receiver (`invent_group_ids`, `propagate_mnt`).
    fn propagate(&mut self, top: MountId, dest: MountId, site: &Site) -> Vec<(MountId, Vec<Held<Mount>>)> {
        let groups = self.receivers_at(dest, site);
        // A mount may be moved to where it receives from: then it counts as what it was before.
        let receivers = groups.iter().flat_map(|group| &group.mounts).copied();
        let shared: BTreeSet<MountId> = receivers.filter(|&mount| self.vfs.mounts[mount].is_shared()).collect();
        for mount in self.subtree(top) {
            self.set_shared(mount);
        }
        let root = self.vfs.mounts[top].root.site();
        let mut made = Vec::new();
        // The copy made last in each group: the first of the next one becomes its slave.
        let mut last: Vec<MountId> = Vec::new();
        for group in groups {
            let mut source = group.above.map_or(top, |above| last[above]);
            let mut how = if group.above.is_some() { Copying::SLAVE } else { Copying::MAKE_SHARED };
            for receiver in group.mounts {
                if shared.contains(&receiver) {
                    how |= Copying::MAKE_SHARED;
                }
                let plan = self.plan_copy(source, root.place, how);
                let copy = self.copy_tree(&plan, &root, how);
                source = copy[0].id();
                how = Copying::MAKE_SHARED;
                made.push((receiver, copy));
            }
            last.push(source);
        }
        made
    }

    /// Puts a new copy into the group and the list of slaves it belongs to (`clone_mnt`).
    pub(super) fn relate_copy(&mut self, old: MountId, copy: MountId, how: Copying) {
        let (group, master) = (self.vfs.mounts[old].group, self.vfs.mounts[old].master);
        let to_slave = how.contains(Copying::SLAVE) || how.contains(Copying::SHARED_TO_SLAVE) && group != 0;
        if to_slave && group != 0 {
            self.become_slave(copy, old);
        } else {
            if group != 0 {
                self.join_peers(copy, old);
            }
            if let Some(master) = master {
                self.follow_slave(copy, old, master);
            }
        }
        if how.contains(Copying::MAKE_SHARED) {
            self.set_shared(copy);
        }
    }

    /// Enters the ring right behind a peer.
    pub(super) fn join_peers(&mut self, mount: MountId, peer: MountId) {
        let (group, next) = (self.vfs.mounts[peer].group, self.vfs.mounts[peer].next_peer);
        let new = &mut self.vfs.mounts[mount];
        (new.group, new.previous_peer, new.next_peer) = (group, peer, next);
        self.vfs.mounts[peer].next_peer = mount;
        self.vfs.mounts[next].previous_peer = mount;
    }

    /// Enters the list of `master`'s slaves as the first.
    pub(super) fn become_slave(&mut self, mount: MountId, master: MountId) {
        let first = self.vfs.mounts[master].first_slave.replace(mount);
        let slave = &mut self.vfs.mounts[mount];
        (slave.master, slave.previous_slave, slave.next_slave) = (Some(master), None, first);
        if let Some(first) = first {
            self.vfs.mounts[first].previous_slave = Some(mount);
        }
    }

    /// Enters a list of slaves right behind another one.
    fn follow_slave(&mut self, mount: MountId, other: MountId, master: MountId) {
        let next = self.vfs.mounts[other].next_slave.replace(mount);
        let slave = &mut self.vfs.mounts[mount];
        (slave.master, slave.previous_slave, slave.next_slave) = (Some(master), Some(other), next);
        if let Some(next) = next {
            self.vfs.mounts[next].previous_slave = Some(mount);
        }
    }

    fn leave_master(&mut self, mount: MountId) {
        let slave = &mut self.vfs.mounts[mount];
        let Some(master) = slave.master.take() else { return };
        let (previous, next) = (slave.previous_slave.take(), slave.next_slave.take());
        match previous {
            Some(previous) => self.vfs.mounts[previous].next_slave = next,
            None => self.vfs.mounts[master].first_slave = next,
        }
        if let Some(next) = next {
            self.vfs.mounts[next].previous_slave = previous;
        }
    }

    /// A mount without a group gets a new one (`set_mnt_shared`).
    pub(crate) fn set_shared(&mut self, mount: MountId) {
        if !self.vfs.mounts[mount].is_shared() {
            self.vfs.mounts[mount].group = self.vfs.group_ids.alloc();
        }
        self.vfs.mounts[mount].flags -= MountFlags::UNBINDABLE;
    }

    /// Changes how a mount propagates (`change_mnt_propagation`).
    pub(crate) fn set_propagation(&mut self, mount: MountId, new: PropagationType) {
        let heir = self.heirs(&[mount], |other| other == mount).remove(&mount).flatten();
        self.set_propagation_with(mount, new, heir);
    }

    /// Makes mounts private that are on their way out (`bulk_make_private`).
    pub(super) fn make_private(&mut self, mounts: &[MountId], is_going: impl Fn(MountId) -> bool) {
        let heirs = self.heirs(mounts, is_going);
        for &mount in mounts {
            self.set_propagation_with(mount, PropagationType::Private, heirs.get(&mount).copied().flatten());
        }
    }

    /// As [`Kernel::set_propagation`]; `heir` takes over from a mount that is shared now.
    fn set_propagation_with(&mut self, mount: MountId, new: PropagationType, heir: Option<MountId>) {
        if new == PropagationType::Shared {
            self.set_shared(mount);
            return;
        }
        let mut master = self.vfs.mounts[mount].master;
        if self.vfs.mounts[mount].is_shared() {
            master = heir;
            self.leave_group(mount);
            self.hand_over_slaves(mount, master);
        }
        self.leave_master(mount);
        match (new, master) {
            (PropagationType::Slave, Some(master)) => self.become_slave(mount, master),
            (PropagationType::Slave, None) => {}
            (PropagationType::Unbindable, _) => self.vfs.mounts[mount].flags |= MountFlags::UNBINDABLE,
            (PropagationType::Private | PropagationType::Shared, _) => {
                self.vfs.mounts[mount].flags -= MountFlags::UNBINDABLE;
            }
        }
    }

    /// Who takes the place of each of these mounts, once it is not shared any more: its next peer that stays, else its
    /// master, else who takes the master's place. It is the same whichever of them has left its group before, since
    /// only mounts that stay inherit. The way to an heir is walked once for all mounts on it (`trace_transfers`).
    fn heirs(&self, mounts: &[MountId], is_going: impl Fn(MountId) -> bool) -> BTreeMap<MountId, Option<MountId>> {
        let mut heirs: BTreeMap<MountId, Option<MountId>> = BTreeMap::new();
        for &mount in mounts {
            let mut way = Vec::new();
            let (mut at, mut first) = (mount, mount);
            let heir = loop {
                if let Some(&known) = heirs.get(&at) {
                    break known;
                }
                way.push(at);
                let mut next = Some(self.vfs.mounts[at].next_peer);
                if next == Some(first) {
                    // Peers have one master, so that it does not matter with which of them the ring began.
                    next = self.vfs.mounts[first].master;
                    first = next.unwrap_or(first);
                }
                match next {
                    Some(going) if is_going(going) => at = going,
                    _ => break next,
                }
            };
            heirs.extend(way.into_iter().map(|mount| (mount, heir)));
        }
        heirs
    }

    fn leave_group(&mut self, mount: MountId) {
        let leaving = &mut self.vfs.mounts[mount];
        let (group, previous, next) = (leaving.group, leaving.previous_peer, leaving.next_peer);
        (leaving.group, leaving.previous_peer, leaving.next_peer) = (0, mount, mount);
        if next == mount {
            self.vfs.group_ids.free(group);
            return;
        }
        self.vfs.mounts[previous].next_peer = next;
        self.vfs.mounts[next].previous_peer = previous;
    }

    /// The slaves of a mount go to the head of another's list, or have no master any more (`transfer_propagation`).
    fn hand_over_slaves(&mut self, from: MountId, to: Option<MountId>) {
        let slaves: Vec<MountId> = self.slaves(from).collect();
        for &slave in slaves.iter().rev() {
            self.leave_master(slave);
            if let Some(to) = to {
                self.become_slave(slave, to);
            }
        }
    }
}
