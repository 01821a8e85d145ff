//! Recounts mounts, trees, groups, superblocks and dentries from their holders.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::differ;
use crate::kernel::cgroup::CgroupId;
use crate::kernel::file::FileKind;
use crate::kernel::mount::site::{HeldPath, HeldPlace};
use crate::kernel::mount::tree::Mount;
use crate::kernel::node::Place;
use crate::kernel::refcount::Held;
use crate::kernel::{DentryId, Kernel, MountId, NsId, SbId, TaskId};

/// How often each object is held.
#[derive(Default)]
struct Counts {
    mounts: BTreeMap<MountId, u32>,
    dentries: BTreeMap<DentryId, u32>,
    cgroups: BTreeMap<CgroupId, u32>,
    sbs: BTreeMap<SbId, u32>,
    tasks: BTreeMap<TaskId, u32>,
    writers: BTreeMap<MountId, u32>,
}

impl Counts {
    fn mount(&mut self, mount: &Held<Mount>) {
        *self.mounts.entry(mount.id()).or_default() += 1;
    }
    fn file(&mut self, file: &HeldPlace) {
        match file {
            HeldPlace::Dentry(dentry) => *self.dentries.entry(dentry.id()).or_default() += 1,
            HeldPlace::Cgroup(cgroup, _) => *self.cgroups.entry(cgroup.id()).or_default() += 1,
            HeldPlace::Other(place) => {
                if let Some(task) = place.task() {
                    *self.tasks.entry(task).or_default() += 1;
                }
            }
        }
    }
    fn path(&mut self, path: &HeldPath) {
        self.mount(&path.mount);
        self.file(&path.file);
    }
}

/// Checks the invariants of the small VFS.
pub(super) fn audit(k: &Kernel, wrong: &mut Vec<String>) {
    let mut counts = count(k);
    compare(wrong, k.vfs.mounts.iter().map(|(id, mount)| (id, mount.count)), &mut counts.mounts);
    compare(wrong, k.vfs.dentries.iter().map(|(id, dentry)| (id, dentry.count)), &mut counts.dentries);
    for (id, cgroup) in k.cgroup.table.iter() {
        differ(wrong, (id, "paths"), cgroup.paths, counts.cgroups.remove(&id).unwrap_or(0));
    }
    compare(wrong, k.vfs.sbs.iter().map(|(id, sb)| (id, sb.count)), &mut counts.sbs);
    compare(wrong, k.vfs.task_names.iter().map(|(task, names)| (*task, names.holders)), &mut counts.tasks);
    for (id, mount) in k.vfs.mounts.iter() {
        differ(wrong, (id, "writers"), mount.writers, counts.writers.remove(&id).unwrap_or(0));
        audit_place(k, id, mount, wrong);
        audit_groups(k, id, mount, wrong);
    }
    for (id, dentry) in k.vfs.dentries.iter() {
        let entries = dentry.entries().into_iter().flat_map(|entries| entries.values());
        let subdirs = entries.filter(|entry| k.vfs.dentries[entry.id()].is_directory()).count();
        differ(wrong, (id, "subdirs"), dentry.subdirs as usize, subdirs);
    }
    audit_numbers(k, wrong);
    audit_trees(k, wrong);
}

/// The mounts that pin each namespace.
pub(super) fn pins(k: &Kernel) -> BTreeMap<NsId, u32> {
    let mut pins = BTreeMap::new();
    for (_, mount) in k.vfs.mounts.iter() {
        if let Place::NsFile(ns) = mount.root.place() {
            *pins.entry(ns).or_default() += 1;
        }
    }
    pins
}

fn count(k: &Kernel) -> Counts {
    let mut counts = Counts::default();
    counts.mount(&k.vfs.nsfs);
    for (_, tree) in k.vfs.trees.iter() {
        tree.mounts.values().for_each(|mount| counts.mount(mount));
    }
    for (_, fs) in k.fs.iter() {
        counts.path(&fs.root);
        counts.path(&fs.pwd);
    }
    for (_, file) in k.open_files.iter() {
        if let Some(path) = &file.path {
            counts.path(path);
            if file.flags.writes() {
                *counts.writers.entry(path.mount.id()).or_default() += 1;
            }
        }
        if let FileKind::Node { kept, .. } = &file.kind {
            kept.root.iter().for_each(|root| counts.path(root));
        }
    }
    for (_, mount) in k.vfs.mounts.iter() {
        mount.kept.iter().for_each(|kept| counts.mount(kept));
        counts.file(&mount.root.file);
        if let Some(attached) = &mount.attached {
            counts.file(&attached.mountpoint.file);
        }
        *counts.sbs.entry(mount.sb.id()).or_default() += 1;
    }
    for kept in &k.vfs.kept_sbs {
        *counts.sbs.entry(kept.id()).or_default() += 1;
    }
    for (_, sb) in k.vfs.sbs.iter() {
        counts.file(&sb.root);
    }
    for (_, dentry) in k.vfs.dentries.iter() {
        for other in dentry.parent.iter().chain(dentry.entries().into_iter().flat_map(|entries| entries.values())) {
            *counts.dentries.entry(other.id()).or_default() += 1;
        }
    }
    counts
}

fn compare<Id: Ord + Debug>(
    wrong: &mut Vec<String>,
    shown: impl Iterator<Item = (Id, u32)>,
    held: &mut BTreeMap<Id, u32>,
) {
    for (id, count) in shown {
        let holders = held.remove(&id).unwrap_or(0);
        differ(wrong, (id, "count"), count, holders);
    }
    for leftover in held.keys() {
        wrong.push(format!("references to the freed {leftover:?} of the VFS"));
    }
}

/// A mount and what it is on know each other.
fn audit_place(k: &Kernel, id: MountId, mount: &Mount, wrong: &mut Vec<String>) {
    differ(wrong, (id, "children"), mount.children.values().collect::<BTreeSet<_>>(), mount.at.values().collect());
    for child in mount.children.values() {
        differ(wrong, (child, "parent"), k.vfs.mounts[*child].parent(), Some(id));
    }
    if let Some(attached) = &mount.attached {
        let place = attached.mountpoint.place();
        let at = k.vfs.mounts.get(attached.parent).and_then(|parent| parent.at.get(&place));
        differ(wrong, (id, "place"), at, Some(&id));
        let is_listed = k.vfs.mountpoints.at(place).any(|mount| mount == id);
        differ(wrong, (id, "in the list of mountpoints"), is_listed, true);
        let parent_tree = k.vfs.mounts.get(attached.parent).and_then(|parent| parent.tree);
        differ(wrong, (id, "tree of its parent"), parent_tree, mount.tree);
    }
}

/// Rings and lists lead forth and back; what is out of all trees is in none of them.
fn audit_groups(k: &Kernel, id: MountId, mount: &Mount, wrong: &mut Vec<String>) {
    differ(wrong, (id, "ring"), k.vfs.mounts[mount.next_peer].previous_peer, id);
    differ(wrong, (id, "group of its peer"), k.vfs.mounts[mount.next_peer].group, mount.group);
    let mut previous = None;
    for slave in k.slaves(id) {
        differ(wrong, (slave, "master"), k.vfs.mounts[slave].master, Some(id));
        differ(wrong, (slave, "previous slave"), k.vfs.mounts[slave].previous_slave, previous);
        previous = Some(slave);
    }
    if let Some(master) = mount.master {
        differ(wrong, (id, "is a slave"), k.slaves(master).any(|slave| slave == id), true);
    }
    if mount.first_slave.is_some() {
        differ(wrong, (id, "has slaves and is shared"), mount.is_shared(), true);
    }
    if mount.tree.is_none() {
        differ(wrong, (id, "propagates outside a tree"), (mount.group, mount.master), (0, None));
    }
}

/// Numbers are used once; a group is one ring.
fn audit_numbers(k: &Kernel, wrong: &mut Vec<String>) {
    let mut mnt_ids = BTreeSet::new();
    let mut groups: BTreeMap<u32, BTreeSet<MountId>> = BTreeMap::new();
    for (id, mount) in k.vfs.mounts.iter() {
        if !mnt_ids.insert(mount.mnt_id) {
            wrong.push(format!("mnt_id {} is used twice", mount.mnt_id));
        }
        if mount.is_shared() {
            groups.entry(mount.group).or_default().insert(id);
        }
    }
    for (group, members) in groups {
        let ring = members.first().map(|&first| k.peers(first).collect());
        differ(wrong, ("group", group), Some(members), ring);
    }
    for (place, mount) in k.vfs.mountpoints.iter() {
        let at = k.vfs.mounts.get(mount).and_then(|mount| mount.attached.as_ref()).map(|a| a.mountpoint.place());
        differ(wrong, (mount, "mountpoint"), at, Some(place));
    }
}

fn audit_trees(k: &Kernel, wrong: &mut Vec<String>) {
    for (id, tree) in k.vfs.trees.iter() {
        let below: BTreeSet<MountId> = k.subtree(tree.root).into_iter().collect();
        differ(wrong, (id, "mounts"), tree.mounts.values().map(Held::id).collect(), below);
        for (unique_id, mount) in &tree.mounts {
            differ(
                wrong,
                (id, unique_id),
                Some(&k.vfs.mounts[mount.id()]).map(|m| (m.unique_id, m.tree)),
                Some((*unique_id, Some(id))),
            );
        }
    }
}
