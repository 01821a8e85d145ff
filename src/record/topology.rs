//! What a recording consists of, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::ipc::{Ipc, Sort};
use super::net::{Listening, Net};
use super::userns;
use crate::kernel::ns::NsType;
use crate::kernel::profile::Profile;
use crate::kernel::signal::Rlimit;
use crate::syscall::Resource;

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
    Net(Net),
    Ipc(Ipc),
    Plain,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Who made it, in ids of the initial user namespace.
    pub owner: u32,
    pub group: u32,
    pub uid_map: Vec<Extent>,
    pub gid_map: Vec<Extent>,
    pub denies_setgroups: bool,
    /// How many namespaces of each kind a user may have in it; those that are not known are left out.
    pub limits: userns::Limits,
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
    /// What its descriptors keep, by their numbers.
    pub open: BTreeMap<i32, Open>,
    /// Segments of System V memory that it has attached, each with whether it may only be read.
    pub attached: Vec<(i32, bool)>,
    /// From the root of the hierarchy on.
    pub cgroup: Option<Vec<u8>>,
    /// Of a process, those that a lab has; none: unknown.
    pub rlimits: Vec<(Resource, Rlimit)>,
    /// Root and working directory, from the top of the mount namespace on; `None`: unknown.
    pub root: Option<Vec<u8>>,
    pub cwd: Option<Vec<u8>>,
}

/// What a descriptor keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    Ns(NsType, u32),
    /// A socket that waits for others.
    Listening(Listening),
    /// A socket of which no more than the inode is known yet.
    Socket(u64),
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

    /// Whether its files show what there is in the namespace that this link shows. Of time namespaces they do so for that of
    /// its children (`timens_offsets_show`).
    pub fn tells_of(&self, link: &str) -> bool {
        match link {
            "pid_for_children" => false,
            // Mounts that are not below its root directory are not shown.
            "mnt" => self.root.as_ref().is_none_or(|root| root == b"/"),
            "time" => {
                self.namespaces.get("time_for_children").is_none_or(|inum| self.namespaces.get(link) == Some(inum))
            }
            _ => true,
        }
    }

    /// It has no memory and no namespaces of its own any more.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, State::Zombie(_) | State::Exiting(_))
    }
}

impl Open {
    /// The namespace that it keeps, by inum.
    pub fn ns(&self) -> Option<u32> {
        match self {
            Open::Ns(_, inum) => Some(*inum),
            Open::Listening(socket) => Some(socket.net),
            Open::Socket(_) => None,
        }
    }
}

impl Topology {
    /// What was seen of a network namespace.
    pub fn net(&self, inum: u32) -> Option<&Net> {
        match &self.namespaces.get(&inum)?.own {
            Own::Net(net) => Some(net),
            _ => None,
        }
    }

    /// What was seen of an IPC namespace.
    pub fn ipc(&self, inum: u32) -> Option<&Ipc> {
        match &self.namespaces.get(&inum)?.own {
            Own::Ipc(ipc) => Some(ipc),
            _ => None,
        }
    }

    /// The identifiers of the segments of System V memory in an IPC namespace.
    pub fn segments(&self, inum: u32) -> BTreeSet<i32> {
        let objects = self.ipc(inum).into_iter().flat_map(|ipc| &ipc.objects);
        objects.filter(|object| matches!(object.sort, Sort::Shm(_))).map(|object| object.id).collect()
    }

    /// The network namespaces, the initial one first.
    pub fn nets(&self) -> Vec<(u32, &Net)> {
        let initial = self.initial(NsType::Net);
        let mut all: Vec<_> = self.namespaces.keys().filter_map(|inum| Some((*inum, self.net(*inum)?))).collect();
        all.sort_by_key(|(inum, _)| (Some(*inum) != initial, *inum));
        all
    }

    /// The namespace that owns those that nobody made, if it was seen.
    pub fn initial(&self, ns_type: NsType) -> Option<u32> {
        self.profile.inums.get(&ns_type).copied()
    }

    /// Leaves out namespaces that nothing would keep: no task is in them or has them open, no mount shows them, and nothing
    /// that stays is owned by them or nested in them.
    pub fn prune(&mut self) {
        let mut kept: BTreeSet<u32> = BTreeSet::new();
        let mut queue: Vec<u32> = self.profile.inums.values().copied().collect();
        for task in self.tasks.values() {
            queue.extend(task.namespaces.values().copied().chain(task.open.values().filter_map(Open::ns)));
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
        for ns in self.namespaces.values_mut() {
            let Own::Net(net) = &mut ns.own else { continue };
            net.ids.retain(|_, inum| kept.contains(inum));
            let before = net.devices.len();
            net.devices.retain(|device| device.peer.is_none_or(|(inum, _)| kept.contains(&inum)));
            for _ in net.devices.len()..before {
                self.missing.note("a device whose other end is in a namespace that is not recorded");
            }
        }
    }

    /// The cgroups that something is in, and those above them, outermost first.
    pub fn cgroups(&self) -> BTreeSet<Vec<u8>> {
        let of_tasks = self.tasks.values().filter_map(|task| task.cgroup.as_ref());
        let of_roots = self.namespaces.values().filter_map(|ns| match &ns.own {
            Own::Cgroup { root } => root.as_ref(),
            _ => None,
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
