//! What a recording consists of, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::ns::NsType;
use crate::kernel::profile::Profile;

/// A machine or a lab at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub profile: Profile,
    /// The last number that was given out.
    pub last_pid: Option<i32>,
    /// By inum.
    pub namespaces: BTreeMap<u32, Namespace>,
    /// By number.
    pub tasks: BTreeMap<i32, Task>,
    pub missing: Missing,
}

/// What could not be seen and why, each once, with how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing(pub BTreeMap<String, usize>);

impl Missing {
    pub fn note(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub ns_type: NsType,
    /// The user namespace that owns it; of a user namespace its parent. `None`: the initial one, or unknown.
    pub owner: Option<u32>,
    /// Of a pid namespace: the one it is nested in.
    pub parent: Option<u32>,
    pub own: Own,
}

/// What a kind has of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    User(User),
    Names { node: Vec<u8>, domain: Vec<u8> },
    Mnt(Vec<Mount>),
    Time(Vec<Offset>),
    Cgroup { root: Option<Vec<u8>> },
    Plain,
}

/// What to look for in a namespace: what its kind has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    User,
    Names,
    Mounts,
    Offsets,
    CgroupRoot,
    Nothing,
}

impl Has {
    /// The one place of recordings that tells kinds apart.
    pub fn of(ns_type: NsType) -> Has {
        match ns_type {
            NsType::User => Has::User,
            NsType::Uts => Has::Names,
            NsType::Mnt => Has::Mounts,
            NsType::Time => Has::Offsets,
            NsType::Cgroup => Has::CgroupRoot,
            NsType::Ipc | NsType::Pid | NsType::Net => Has::Nothing,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Who made it, in ids of the initial user namespace.
    pub owner: u32,
    pub group: u32,
    pub uid_map: Vec<Extent>,
    pub gid_map: Vec<Extent>,
    pub denies_setgroups: bool,
}

/// A run of ids: the first inside, the first in the initial user namespace, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub first: u32,
    pub lower: u32,
    pub count: u32,
}

/// What a time namespace adds to a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    pub clock: String,
    pub seconds: i64,
    pub nanos: i64,
}

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    pub parent: u32,
    pub device: (u32, u32),
    pub root: Vec<u8>,
    pub point: Vec<u8>,
    pub options: String,
    pub shared: Option<u32>,
    pub master: Option<u32>,
    pub is_unbindable: bool,
    pub fs: String,
    pub source: Vec<u8>,
    pub super_options: String,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub tid: i32,
    pub tgid: i32,
    /// The process of its parent; 0: none that can be seen.
    pub ppid: i32,
    /// Its numbers, outermost pid namespace first.
    pub numbers: Vec<i32>,
    pub comm: Vec<u8>,
    /// Of the process; empty where there is none.
    pub argv: Vec<Vec<u8>>,
    pub state: State,
    pub is_kthread: bool,
    pub forked_no_exec: bool,
    /// Hundredths of a second after boot.
    pub start: u64,
    pub pgrp: i32,
    pub session: i32,
    /// The numbers of group and session in the pid namespaces of `numbers`.
    pub group_numbers: Vec<i32>,
    pub session_numbers: Vec<i32>,
    /// Real, effective, saved, of the file system; of the initial user namespace.
    pub uids: [u32; 4],
    pub gids: [u32; 4],
    pub groups: Vec<u32>,
    pub caps: Caps,
    pub no_new_privs: bool,
    pub securebits: Option<u32>,
    /// Its directory in `/proc` belongs to it.
    pub is_dumpable: bool,
    /// By the names of the links.
    pub namespaces: BTreeMap<&'static str, u32>,
    /// Namespaces that its descriptors show.
    pub open: Vec<(NsType, u32)>,
    /// From the root of the hierarchy on.
    pub cgroup: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Whatever it does at the moment.
    Alive,
    /// A kernel thread that waits without counting for the load.
    Idle,
    Stopped,
    /// The init of a pid namespace that waits for the last others, with the same.
    Exiting(i32),
    /// Dead, with the status that its parent will get.
    Zombie(i32),
}

impl Task {
    pub fn is_leader(&self) -> bool {
        self.tid == self.tgid
    }

    /// It has no memory and no namespaces of its own any more.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, State::Zombie(_) | State::Exiting(_))
    }
}

impl Topology {
    /// The namespace that owns those that nobody made, if it was seen.
    pub fn initial(&self, ns_type: NsType) -> Option<u32> {
        self.profile.inums.get(&ns_type).copied()
    }

    /// Leaves out namespaces that nothing would keep: no task is in them or has them open, no mount shows them, and nothing
    /// that stays is owned by them or nested in them.
    pub fn prune(&mut self) {
        let mut kept: BTreeSet<u32> = self.profile.inums.values().copied().collect();
        let mut queue: Vec<u32> = Vec::new();
        for task in self.tasks.values() {
            queue.extend(task.namespaces.values().copied().chain(task.open.iter().map(|(_, inum)| *inum)));
        }
        while let Some(inum) = queue.pop() {
            let Some(ns) = self.namespaces.get(&inum).filter(|_| kept.insert(inum)) else { continue };
            queue.extend(ns.owner.into_iter().chain(ns.parent));
            if let Own::Mnt(mounts) = &ns.own {
                queue.extend(
                    mounts.iter().filter(|mount| mount.fs == "nsfs").filter_map(|mount| super::read::inum(&mount.root)),
                );
            }
        }
        let before = self.namespaces.len();
        self.namespaces.retain(|inum, _| kept.contains(inum));
        for _ in self.namespaces.len()..before {
            self.missing.note("a namespace that only something keeps which is not recorded");
        }
    }

    /// The cgroups that something is in, and those above them, outermost first.
    pub fn cgroups(&self) -> BTreeSet<Vec<u8>> {
        let of_tasks = self.tasks.values().filter_map(|task| task.cgroup.as_ref());
        let of_roots = self.namespaces.values().filter_map(|ns| match &ns.own {
            Own::Cgroup { root } => root.as_ref(),
            Own::User(_) | Own::Names { .. } | Own::Mnt(_) | Own::Time(_) | Own::Plain => None,
        });
        let mut all = BTreeSet::new();
        for path in of_tasks.chain(of_roots) {
            let ends = path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0).map(|(at, _)| at);
            all.extend(ends.chain([path.len()]).map(|end| path[..end].to_vec()));
        }
        all.remove(&b"/"[..]);
        all.remove(&b""[..]);
        all
    }
}
