//! The cgroup2 hierarchy (`kernel/cgroup/cgroup.c`): one tree of cgroups without controllers, and which task is in
//! which. A cgroup that was removed stays, dead, for as long as a zombie or a cgroup namespace refers to it.

pub mod domain;
pub mod file;

use std::collections::BTreeMap;

use super::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid};
use super::node::Place;
use super::refcount::{Counted, Held};
use super::table::{Id, Table};
use super::{CgroupNsId, Kernel, TaskId};
use file::{CgroupFile, FILES};

pub type CgroupId = Id<Cgroup>;

/// The hierarchy.
#[derive(Debug)]
pub struct CgroupRoot {
    pub table: Table<Cgroup>,
    /// The static reference to the root cgroup.
    root: Held<Cgroup>,
    /// How often a task has come into a cgroup.
    pub joins: u64,
    /// Namespace roots are borders of delegation (the mount option `nsdelegate`).
    pub ns_delegate: bool,
}

/// Who a directory or a file of a cgroup belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: Kuid,
    pub gid: Kgid,
}

const ROOT_OWNER: Owner = Owner { uid: GLOBAL_ROOT_UID, gid: GLOBAL_ROOT_GID };

/// One cgroup.
#[derive(Debug)]
pub struct Cgroup {
    /// References: the tree's own one while it is not removed, one of each child, of each task in it (zombies too), of
    /// each cgroup namespace rooted here, and [`Self::paths`].
    pub count: u32,
    /// Those of the references that mounts, root and working directories and open files have. On Linux they keep only
    /// the names.
    pub paths: u32,
    /// Empty for the root.
    pub name: Vec<u8>,
    pub parent: Option<Held<Cgroup>>,
    pub children: BTreeMap<Vec<u8>, Held<Cgroup>>,
    /// Permissions of the directory.
    pub mode: u16,
    /// Removed by rmdir.
    pub is_dead: bool,
    /// The live tasks in it, by their number among all that ever came into any cgroup.
    pub tasks: BTreeMap<u64, TaskId>,
    /// `cgroup.type` was set to `threaded`.
    pub is_threaded: bool,
    /// `cgroup.max.depth`; `None`: max.
    pub max_depth: Option<i32>,
    /// `cgroup.max.descendants`; `None`: max.
    pub max_descendants: Option<i32>,
    /// `cgroup.freeze`
    pub freeze: bool,
    /// How often all in it were killed, by `cgroup.kill` here or above.
    pub kill_seq: u32,
    /// `cgroup.pressure`
    pub pressure: bool,
    /// Of the directory, then of each file of [`FILES`].
    owners: [Owner; 1 + FILES.len()],
}

impl Counted for Cgroup {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

impl Cgroup {
    fn new(name: Vec<u8>, parent: Option<Held<Cgroup>>, mode: u16, owner: Owner) -> Cgroup {
        Cgroup {
            count: 0,
            paths: 0,
            name,
            parent,
            children: BTreeMap::new(),
            mode,
            is_dead: false,
            tasks: BTreeMap::new(),
            is_threaded: false,
            max_depth: None,
            max_descendants: None,
            freeze: false,
            kill_seq: 0,
            pressure: true,
            owners: [owner; 1 + FILES.len()],
        }
    }

    /// The owner of a file, or of the directory.
    pub fn owner(&self, file: Option<CgroupFile>) -> Owner {
        self.owners[file.map_or(0, |file| 1 + file as usize)]
    }

    pub(crate) fn owner_mut(&mut self, file: Option<CgroupFile>) -> &mut Owner {
        &mut self.owners[file.map_or(0, |file| 1 + file as usize)]
    }

    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }
}

impl Default for CgroupRoot {
    /// The root cgroup alone, without tasks.
    fn default() -> CgroupRoot {
        let mut table = Table::default();
        let root = table.insert_held(Cgroup::new(Vec::new(), None, 0o555, ROOT_OWNER));
        CgroupRoot { table, root, joins: 0, ns_delegate: true }
    }
}

impl CgroupRoot {
    pub fn root(&self) -> CgroupId {
        self.root.id()
    }
}

impl Kernel {
    /// The cgroup of a task; of a zombie the one it died in.
    pub fn cgroup_of(&self, task: TaskId) -> CgroupId {
        self.tasks[task].cgroup.id()
    }

    /// A cgroup and all above it, from below.
    pub fn cgroup_ancestors(&self, cgroup: CgroupId) -> impl Iterator<Item = CgroupId> {
        std::iter::successors(Some(cgroup), |&id| self.cgroup.table[id].parent.as_ref().map(Held::id))
    }

    /// Whether `cgroup` is `ancestor` or below it (`cgroup_is_descendant`).
    pub fn is_cgroup_at_or_below(&self, cgroup: CgroupId, ancestor: CgroupId) -> bool {
        self.cgroup_ancestors(cgroup).any(|id| id == ancestor)
    }

    /// The cgroups below one, each before what is below it; removed ones are left out.
    pub fn cgroup_descendants(&self, cgroup: CgroupId) -> Vec<CgroupId> {
        let mut found = Vec::new();
        let mut open = vec![cgroup];
        while let Some(next) = open.pop() {
            let children: Vec<_> = self.cgroup.table[next].children.values().map(Held::id).collect();
            found.extend(&children);
            open.extend(children);
        }
        found
    }

    /// Removed cgroups below one that something still refers to.
    pub fn dying_cgroups_below(&self, cgroup: CgroupId) -> usize {
        let dying = self.cgroup.table.iter().filter(|(_, other)| other.is_dead && other.count > other.paths);
        dying.filter(|&(id, _)| id != cgroup && self.is_cgroup_at_or_below(id, cgroup)).count()
    }

    /// A live task is in it or below it (`cgroup_is_populated`).
    pub fn is_cgroup_populated(&self, cgroup: CgroupId) -> bool {
        let is_used = |id: &CgroupId| !self.cgroup.table[*id].tasks.is_empty();
        is_used(&cgroup) || self.cgroup_descendants(cgroup).iter().any(is_used)
    }

    /// It or a cgroup above it is frozen, and so are the tasks in it (`CGRP_FREEZE`).
    pub fn is_cgroup_frozen(&self, cgroup: CgroupId) -> bool {
        self.cgroup_ancestors(cgroup).any(|id| self.cgroup.table[id].freeze)
    }

    /// The lowest cgroup that both are at or below.
    pub fn common_cgroup(&self, a: CgroupId, b: CgroupId) -> CgroupId {
        let common = self.cgroup_ancestors(a).find(|&id| self.is_cgroup_at_or_below(b, id));
        common.expect("all cgroups are below the root")
    }

    /// The root of a cgroup namespace.
    pub fn cgroup_ns_root(&self, ns: CgroupNsId) -> CgroupId {
        self.namespaces[ns].root()
    }

    /// Where a cgroup is as seen from `root`: `/`, `/x`, or up to the common ancestor with `/..` for each level and down
    /// from there (`kernfs_path_from_node`).
    pub fn cgroup_path(&self, cgroup: CgroupId, root: CgroupId) -> Vec<u8> {
        let common = self.common_cgroup(cgroup, root);
        let until_common = |from| self.cgroup_ancestors(from).take_while(|&id| id != common).collect::<Vec<_>>();
        let mut path = b"/..".repeat(until_common(root).len());
        for id in until_common(cgroup).into_iter().rev() {
            path.push(b'/');
            path.extend(&self.cgroup.table[id].name);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// Makes a cgroup, whose name is free (`cgroup_mkdir`).
    pub(crate) fn create_cgroup(&mut self, parent: CgroupId, name: &[u8], mode: u16, owner: Owner) {
        let held = self.cgroup.table.hold(parent);
        let made = self.cgroup.table.insert_held(Cgroup::new(name.to_vec(), Some(held), mode, owner));
        self.cgroup.table[parent].children.insert(name.to_vec(), made);
    }

    /// Takes an empty cgroup out of the tree (`cgroup_destroy_locked`). What is mounted on its directory is detached.
    pub(crate) fn destroy_cgroup(&mut self, cgroup: CgroupId) {
        self.detach_mounts(Place::Cgroup(cgroup, None));
        let dying = &mut self.cgroup.table[cgroup];
        dying.is_dead = true;
        let Some(parent) = dying.parent.as_ref().map(Held::id) else { return };
        let name = dying.name.clone();
        if let Some(held) = self.cgroup.table[parent].children.remove(&name) {
            self.put_cgroup(held);
        }
    }

    /// Drops a reference; with the last one to a removed cgroup goes its own to its parent.
    pub(crate) fn put_cgroup(&mut self, held: Held<Cgroup>) {
        let mut next = Some(held);
        while let Some(held) = next {
            next = self.cgroup.table.release(held).and_then(|freed| freed.parent);
        }
    }

    /// A new task is in its parent's cgroup, or in the one it is cloned into (`cgroup_post_fork`).
    pub(crate) fn cgroup_post_fork(&mut self, child: TaskId) {
        let cgroup = self.cgroup_of(child);
        self.cgroup.joins += 1;
        self.tasks[child].cgroup_join = self.cgroup.joins;
        self.cgroup.table[cgroup].tasks.insert(self.cgroup.joins, child);
    }

    /// A dying task is in its cgroup by name only (`cgroup_exit`).
    pub(crate) fn cgroup_exit(&mut self, task: TaskId) {
        let cgroup = self.cgroup_of(task);
        self.cgroup.table[cgroup].tasks.remove(&self.tasks[task].cgroup_join);
    }

    /// Moves a live task; a dying one stays (`css_set_move_task`).
    pub(crate) fn move_to_cgroup(&mut self, task: TaskId, to: CgroupId) {
        if self.tasks[task].is_dead() || self.cgroup_of(task) == to {
            return;
        }
        self.cgroup_exit(task);
        let new = self.cgroup.table.hold(to);
        let old = std::mem::replace(&mut self.tasks[task].cgroup, new);
        self.put_cgroup(old);
        self.cgroup_post_fork(task);
    }
}
