//! Places inside superblocks and in the tree of mounts: names that count nothing, and what keeps them.

use std::sync::Arc;

use super::dentry::Dentry;
use super::tree::Mount;
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::cgroup::{Cgroup, CgroupId};
use crate::kernel::file::FsStruct;
use crate::kernel::node::{Backing, ITSELF, Place};
use crate::kernel::refcount::Held;
use crate::kernel::table::Id;
use crate::kernel::{Kernel, MountId, PidNsId, TaskId};

/// A file by the mount it is reached through and what it is inside the superblock (`struct path`). Counts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    pub mount: MountId,
    pub place: Place,
}

/// A file inside a superblock and the way up from it. Dentries know their way; of other files the directories above are
/// noted, as their place in the superblock never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub place: Place,
    /// Empty for a dentry.
    pub above: Arc<[Place]>,
}

/// A reference to a file inside a superblock; only dentries and cgroups are counted.
#[derive(Clone, Debug)]
pub enum HeldPlace {
    Dentry(Held<Dentry>),
    Cgroup(Held<Cgroup>, Option<CgroupFile>),
    Other(Place),
}

/// A path that keeps its mount and its file: a root or working directory, the path of an open file.
#[derive(Clone, Debug)]
pub struct HeldPath {
    pub mount: Held<Mount>,
    pub file: HeldPlace,
}

/// A site that keeps its file: the root of a mount, or what it is mounted on.
#[derive(Clone, Debug)]
pub struct HeldSite {
    pub file: HeldPlace,
    pub above: Arc<[Place]>,
}

/// What names a task some of whose files in `proc` are held: their paths keep their text when it is gone.
#[derive(Clone, Debug)]
pub struct TaskNames {
    /// How many hold one of its files.
    pub(in crate::kernel) holders: u32,
    leader: TaskId,
    /// Its numbers, and those of its process.
    own: Vec<(PidNsId, i32)>,
    process: Vec<(PidNsId, i32)>,
}

impl Site {
    /// A file that has nothing above it in its superblock, or knows what.
    pub fn of(place: Place) -> Site {
        Site { place, above: Arc::from([]) }
    }
}

impl HeldPlace {
    pub fn place(&self) -> Place {
        match self {
            HeldPlace::Dentry(dentry) => Place::Dentry(dentry.id()),
            HeldPlace::Cgroup(cgroup, file) => Place::Cgroup(cgroup.id(), *file),
            HeldPlace::Other(place) => *place,
        }
    }
}

impl HeldPath {
    pub fn path(&self) -> Path {
        Path { mount: self.mount.id(), place: self.file.place() }
    }
}

impl HeldSite {
    pub fn place(&self) -> Place {
        self.file.place()
    }

    pub fn site(&self) -> Site {
        Site { place: self.place(), above: Arc::clone(&self.above) }
    }
}

impl Kernel {
    pub(crate) fn hold_place(&mut self, place: Place) -> HeldPlace {
        match place.backing() {
            Backing::Dentry(dentry) => HeldPlace::Dentry(self.vfs.dentries.hold(dentry)),
            Backing::Cgroup(cgroup) => self.hold_cgroup_path(cgroup, None),
            Backing::CgroupFile(cgroup, file) => self.hold_cgroup_path(cgroup, Some(file)),
            Backing::Mqueue(_) | Backing::View => {
                if let Some(task) = place.task() {
                    self.hold_task_names(task);
                }
                HeldPlace::Other(place)
            }
        }
    }

    fn hold_cgroup_path(&mut self, cgroup: CgroupId, file: Option<CgroupFile>) -> HeldPlace {
        self.cgroup.table[cgroup].paths += 1;
        HeldPlace::Cgroup(self.cgroup.table.hold(cgroup), file)
    }

    pub(crate) fn put_place(&mut self, held: HeldPlace) {
        match held {
            HeldPlace::Dentry(dentry) => self.put_dentry(dentry),
            HeldPlace::Cgroup(cgroup, _) => {
                self.cgroup.table[cgroup.id()].paths -= 1;
                self.put_cgroup(cgroup);
            }
            HeldPlace::Other(place) => {
                if let Some(task) = place.task() {
                    self.put_task_names(task);
                }
            }
        }
    }

    fn hold_task_names(&mut self, task: TaskId) {
        if !self.vfs.task_names.contains_key(&task) {
            let leader = self.leader_of(task);
            let numbers = |task| self.pids[self.pid_of(task)].numbers().collect();
            let names = TaskNames { holders: 0, leader, own: numbers(task), process: numbers(leader) };
            self.vfs.task_names.insert(task, names);
        }
        if let Some(names) = self.vfs.task_names.get_mut(&task) {
            names.holders += 1;
        }
    }

    fn put_task_names(&mut self, task: TaskId) {
        let Some(names) = self.vfs.task_names.get_mut(&task) else { return };
        names.holders -= 1;
        if names.holders == 0 {
            self.vfs.task_names.remove(&task);
        }
    }

    /// The number of a task in the names of its files, 0 if it is outside `ns`; it is known of a task that is gone as long
    /// as one of the files is held.
    pub fn named_nr(&self, task: TaskId, ns: PidNsId) -> i32 {
        match self.tasks.contains(task) {
            true => self.task_nr_ns(task, ns),
            false => self.vfs.task_names.get(&task).map_or(0, |names| number_in(&names.own, ns)),
        }
    }

    /// As [`Kernel::named_nr`], of the task's process.
    pub fn named_tgid(&self, task: TaskId, ns: PidNsId) -> i32 {
        match self.tasks.contains(task) {
            true => self.task_tgid_nr_ns(task, ns),
            false => self.vfs.task_names.get(&task).map_or(0, |names| number_in(&names.process, ns)),
        }
    }

    /// The leader of a task's process; the task itself if it is gone and nobody holds one of its files.
    pub fn named_leader(&self, task: TaskId) -> TaskId {
        match self.tasks.contains(task) {
            true => self.leader_of(task),
            false => self.vfs.task_names.get(&task).map_or(task, |names| names.leader),
        }
    }

    pub(super) fn hold_site(&mut self, site: &Site) -> HeldSite {
        HeldSite { file: self.hold_place(site.place), above: Arc::clone(&site.above) }
    }

    pub(crate) fn hold_path(&mut self, path: Path) -> HeldPath {
        HeldPath { mount: self.vfs.mounts.hold(path.mount), file: self.hold_place(path.place) }
    }

    pub(crate) fn put_path(&mut self, held: HeldPath) {
        self.put_place(held.file);
        self.put_mount(held.mount);
    }

    /// Whether a site is `top` or below it in their superblock (`is_subdir`).
    pub fn is_site_below(&self, site: &Site, top: Place) -> bool {
        if site.place == top {
            return true;
        }
        if let (Place::Dentry(dentry), Place::Dentry(top)) = (site.place, top) {
            return self.is_dentry_below(dentry, top);
        }
        site.above.contains(&top)
    }

    /// Whether `site` of `mount` is `top` or below it in the tree of mounts (`is_path_reachable`).
    pub fn is_path_reachable(&self, mut mount: MountId, site: &Site, top: Path) -> bool {
        let mut site = site.clone();
        while mount != top.mount {
            let Some((parent, mountpoint)) = self.vfs.mounts[mount].place_in_tree() else { return false };
            (mount, site) = (parent, mountpoint);
        }
        self.is_site_below(&site, top.place)
    }

    /// What covers a path: the root of the topmost mount stacked on it, or the path itself (`follow_mount`).
    pub fn topmost(&self, mut path: Path) -> Path {
        while let Some(&mount) = self.vfs.mounts[path.mount].at.get(&path.place) {
            path = Path { mount, place: self.vfs.mounts[mount].root.place() };
        }
        path
    }

    /// The path is the root of its mount (`path_mounted`).
    pub fn is_mount_root(&self, path: Path) -> bool {
        self.vfs.mounts[path.mount].root.place() == path.place
    }

    /// A file that has lost its name (`d_unlinked`).
    pub fn is_unlinked(&self, place: Place) -> bool {
        match place.backing() {
            Backing::Dentry(dentry) => !self.vfs.dentries[dentry].is_linked,
            Backing::Cgroup(cgroup) | Backing::CgroupFile(cgroup, _) => {
                self.cgroup.table.get(cgroup).is_none_or(|cgroup| cgroup.is_dead)
            }
            // The directory of a task goes with it, what is in it keeps its name (`proc_flush_pid`).
            Backing::Mqueue(_) | Backing::View => {
                matches!(place, Place::Task(dir, ITSELF) if !self.tasks.contains(dir.task))
            }
        }
    }

    /// A file that has lost its name, or that is in a directory which has: nothing can be mounted on it, nor it elsewhere
    /// (`d_set_mounted`).
    pub fn is_cut_off(&self, place: Place) -> bool {
        self.is_unlinked(place) || place.task().is_some_and(|task| !self.tasks.contains(task))
    }

    /// Root and working directory of a task; `None` for a zombie.
    pub fn fs_of(&self, task: TaskId) -> Option<&FsStruct> {
        self.tasks[task].live.as_ref().map(|live| &self.fs[live.fs.id()])
    }

    /// Whether the root directory of a task is not the topmost one of its mount namespace (`current_chrooted`).
    pub fn is_chrooted(&self, task: TaskId) -> bool {
        let (Some(ns), Some(fs)) = (self.mnt_ns_of(task), self.fs_of(task)) else { return false };
        fs.root.path() != self.topmost_root(ns)
    }

    pub(crate) fn set_fs_root(&mut self, fs: Id<FsStruct>, path: Path) {
        let held = self.hold_path(path);
        let old = std::mem::replace(&mut self.fs[fs].root, held);
        self.put_path(old);
    }

    pub(crate) fn set_fs_pwd(&mut self, fs: Id<FsStruct>, path: Path) {
        let held = self.hold_path(path);
        let old = std::mem::replace(&mut self.fs[fs].pwd, held);
        self.put_path(old);
    }

    /// Drops a reference to a root and working directory.
    pub(crate) fn put_fs(&mut self, held: Held<FsStruct>) {
        if let Some(freed) = self.fs.release(held) {
            self.put_path(freed.root);
            self.put_path(freed.pwd);
        }
    }
}

fn number_in(numbers: &[(PidNsId, i32)], ns: PidNsId) -> i32 {
    numbers.iter().find(|(level, _)| *level == ns).map_or(0, |(_, nr)| *nr)
}
