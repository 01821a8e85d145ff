//! The cgroup2 hierarchy (`kernel/cgroup/cgroup.c`): one tree of cgroups without controllers, and which task is in
//! which. A cgroup that was removed stays, dead, for as long as a zombie or a cgroup namespace refers to it.

pub mod domain;
pub mod file;

use std::collections::{BTreeMap, BTreeSet};

use super::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid};
use super::node::Place;
use super::refcount::{Counted, Forever, Held};
use super::table::{Id, Table};
use super::task::Task;
use super::task_list::TaskList;
use super::{CgroupNsId, Kernel, TaskId};
use file::{CgroupFile, FILES};

pub type CgroupId = Id<Cgroup>;

/// The hierarchy.
#[derive(Clone, Debug)]
pub struct CgroupRoot {
    pub table: Table<Cgroup>,
    /// The static reference to the root cgroup.
    root: Forever<Cgroup>,
    /// The removed cgroups that something still refers to.
    pub dead: BTreeSet<CgroupId>,
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
#[derive(Clone, Debug)]
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
    /// How far below the root it is.
    pub level: u32,
    pub children: BTreeMap<Vec<u8>, Held<Cgroup>>,
    /// The cgroups below it that are not removed.
    pub descendants: u32,
    /// What its children are.
    pub kinds: ChildKinds,
    /// Permissions of the directory.
    pub mode: u16,
    /// Removed by rmdir.
    pub is_dead: bool,
    /// The live tasks in it, in the order they came ([`Kernel::tasks_in`]).
    pub tasks: TaskList,
    /// The dead leaders of processes of which other threads may live.
    pub dying: BTreeSet<TaskId>,
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

/// How many of a cgroup's children are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildKinds {
    pub threaded: u32,
    /// Those with live tasks in them or below them.
    pub populated: u32,
    /// Those of them that are not threaded.
    pub populated_domains: u32,
}

impl Counted for Cgroup {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

impl Cgroup {
    fn new(name: Vec<u8>, parent: Option<(Held<Cgroup>, u32)>, mode: u16, owner: Owner) -> Cgroup {
        let (parent, level) = parent.map_or((None, 0), |(parent, level)| (Some(parent), level + 1));
        Cgroup {
            count: 0,
            paths: 0,
            name,
            parent,
            level,
            children: BTreeMap::new(),
            descendants: 0,
            kinds: ChildKinds::default(),
            mode,
            is_dead: false,
            tasks: TaskList::default(),
            dying: BTreeSet::new(),
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

    /// A live task is in it or below it (`cgroup_is_populated`).
    pub fn is_populated(&self) -> bool {
        !self.tasks.is_empty() || self.kinds.populated > 0
    }
}

impl Default for CgroupRoot {
    /// The root cgroup alone, without tasks.
    fn default() -> CgroupRoot {
        let mut table = Table::default();
        let root = table.insert_held(Cgroup::new(Vec::new(), None, 0o555, ROOT_OWNER));
        CgroupRoot { table, root: Forever::new(root), dead: BTreeSet::new(), ns_delegate: true }
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

    /// The cgroups below one, each before what is below it; removed ones are left out, and with one that is not `wanted`
    /// all that is below it.
    pub fn cgroups_below(&self, cgroup: CgroupId, wanted: impl Fn(&Cgroup) -> bool) -> Vec<CgroupId> {
        let mut found = Vec::new();
        let mut open = vec![cgroup];
        while let Some(next) = open.pop() {
            let children = self.cgroup.table[next].children.values().map(Held::id);
            let before = found.len();
            found.extend(children.filter(|&child| wanted(&self.cgroup.table[child])));
            open.extend(&found[before..]);
        }
        found
    }

    /// Removed cgroups below one that something still refers to.
    pub fn dying_cgroups_below(&self, cgroup: CgroupId) -> usize {
        let dying = self.cgroup.dead.iter().filter(|&&id| {
            let dead = &self.cgroup.table[id];
            dead.count > dead.paths && id != cgroup && self.is_cgroup_at_or_below(id, cgroup)
        });
        dying.count()
    }

    /// It or a cgroup above it is frozen, and so are the tasks in it (`CGRP_FREEZE`).
    pub fn is_cgroup_frozen(&self, cgroup: CgroupId) -> bool {
        self.cgroup_ancestors(cgroup).any(|id| self.cgroup.table[id].freeze)
    }

    /// The lowest cgroup that both are at or below.
    pub fn common_cgroup(&self, a: CgroupId, b: CgroupId) -> CgroupId {
        let level = |id: CgroupId| self.cgroup.table[id].level;
        let common_level = level(a).min(level(b));
        let up = |from: CgroupId| self.cgroup_ancestors(from).skip((level(from) - common_level) as usize);
        let common = up(a).zip(up(b)).find(|(a, b)| a == b);
        common.expect("all cgroups are below the root").0
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
        let above = (self.cgroup.table.hold(parent), self.cgroup.table[parent].level);
        let made = self.cgroup.table.insert_held(Cgroup::new(name.to_vec(), Some(above), mode, owner));
        self.cgroup.table[parent].children.insert(name.to_vec(), made);
        self.for_each_ancestor(parent, |above| above.descendants += 1);
    }

    fn for_each_ancestor(&mut self, first: CgroupId, change: impl Fn(&mut Cgroup)) {
        let mut next = Some(first);
        while let Some(id) = next {
            let cgroup = &mut self.cgroup.table[id];
            change(cgroup);
            next = cgroup.parent.as_ref().map(Held::id);
        }
    }

    /// The live tasks in a cgroup.
    pub fn tasks_in(&self, cgroup: CgroupId) -> impl Iterator<Item = TaskId> {
        self.cgroup.table[cgroup].tasks.iter(&self.tasks, |task| task.cg_list.next)
    }

    /// Changes the live tasks of a cgroup; those above it learn of it when the first comes or the last goes
    /// (`cgroup_update_populated`).
    fn change_tasks(&mut self, cgroup: CgroupId, change: impl FnOnce(&mut TaskList, &mut Table<Task>)) {
        let was_populated = self.cgroup.table[cgroup].is_populated();
        change(&mut self.cgroup.table[cgroup].tasks, &mut self.tasks);
        let mut next = Some((cgroup, was_populated));
        while let Some((id, was_populated)) = next {
            let changed = &self.cgroup.table[id];
            let (is_populated, is_threaded) = (changed.is_populated(), changed.is_threaded);
            let Some(parent) = changed.parent.as_ref().map(Held::id).filter(|_| is_populated != was_populated) else {
                return;
            };
            next = Some((parent, self.cgroup.table[parent].is_populated()));
            let kinds = &mut self.cgroup.table[parent].kinds;
            let step = |count: u32| if is_populated { count + 1 } else { count - 1 };
            kinds.populated = step(kinds.populated);
            if !is_threaded {
                kinds.populated_domains = step(kinds.populated_domains);
            }
        }
    }

    /// Makes a cgroup without tasks threaded, which it stays (`cgroup_enable_threaded`).
    pub(crate) fn set_threaded(&mut self, cgroup: CgroupId) {
        let changed = &mut self.cgroup.table[cgroup];
        if std::mem::replace(&mut changed.is_threaded, true) {
            return;
        }
        if let Some(parent) = changed.parent.as_ref().map(Held::id) {
            self.cgroup.table[parent].kinds.threaded += 1;
        }
    }

    /// Takes an empty cgroup out of the tree (`cgroup_destroy_locked`). What is mounted on its directory is detached.
    pub(crate) fn destroy_cgroup(&mut self, cgroup: CgroupId) {
        self.detach_mounts(Place::Cgroup(cgroup, None));
        let dying = &mut self.cgroup.table[cgroup];
        dying.is_dead = true;
        let Some(parent) = dying.parent.as_ref().map(Held::id) else { return };
        let (name, is_threaded) = (dying.name.clone(), dying.is_threaded);
        self.cgroup.dead.insert(cgroup);
        self.cgroup.table[parent].kinds.threaded -= u32::from(is_threaded);
        self.for_each_ancestor(parent, |above| above.descendants -= 1);
        if let Some(held) = self.cgroup.table[parent].children.remove(&name) {
            self.put_cgroup(held);
        }
    }

    /// Drops a reference; with the last one to a removed cgroup goes its own to its parent.
    pub(crate) fn put_cgroup(&mut self, held: Held<Cgroup>) {
        let mut next = Some(held);
        while let Some(held) = next {
            let id = held.id();
            next = self.cgroup.table.release(held).and_then(|freed| {
                self.cgroup.dead.remove(&id);
                freed.parent
            });
        }
    }

    /// A new task is in its parent's cgroup, or in the one it is cloned into (`cgroup_post_fork`).
    pub(crate) fn cgroup_post_fork(&mut self, child: TaskId) {
        let cgroup = self.cgroup_of(child);
        self.change_tasks(cgroup, |list, tasks| list.push(tasks, child, |task| &mut task.cg_list));
    }

    /// A dying task is in its cgroup by name only (`cgroup_exit`).
    pub(crate) fn cgroup_exit(&mut self, task: TaskId) {
        self.leave_cgroup(task);
        if self.is_leader(task) && self.signal_of(task).live > 0 {
            let cgroup = self.cgroup_of(task);
            self.cgroup.table[cgroup].dying.insert(task);
        }
    }

    fn leave_cgroup(&mut self, task: TaskId) {
        let cgroup = self.cgroup_of(task);
        self.change_tasks(cgroup, |list, tasks| list.remove(tasks, task, |task| &mut task.cg_list));
    }

    /// Drops the reference of a task that is released (`cgroup_release`).
    pub(crate) fn cgroup_release(&mut self, task: TaskId, held: Held<Cgroup>) {
        self.cgroup.table[held.id()].dying.remove(&task);
        self.put_cgroup(held);
    }

    /// Moves a live task; a dying one stays (`css_set_move_task`).
    pub(crate) fn move_to_cgroup(&mut self, task: TaskId, to: CgroupId) {
        if self.tasks[task].is_dead() || self.cgroup_of(task) == to {
            return;
        }
        self.leave_cgroup(task);
        let new = self.cgroup.table.hold(to);
        let old = std::mem::replace(&mut self.tasks[task].cgroup, new);
        if self.is_cgroup_frozen(old.id()) != self.is_cgroup_frozen(to) {
            self.freeze_programs(&[task]);
        }
        self.put_cgroup(old);
        self.cgroup_post_fork(task);
    }
}
