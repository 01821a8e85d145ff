//! Namespaces: what all kinds share, and [`NS_TABLE`], the one place where a kind is declared. clone, unshare, setns,
//! `/proc/<pid>/ns`, limits, teardown, the listing and the help all walk this table.

pub mod cgroup;
mod inum;
pub mod ipc;
pub mod kind;
pub mod mnt;
pub mod net;
pub mod pid;
pub mod time;
pub mod user;
pub mod uts;

use super::capability::Cap;
use super::change::Change;
use super::refcount::{Counted, Held};
use super::table::Id;
use super::trace::{Count, NsName, Step};
use super::ucounts::Ucounts;
use super::{Current, Kernel, NsId, TaskId};
use crate::bail;
use crate::errno::{Arg, Result};

pub use cgroup::CgroupNamespace;
pub use inum::Inums;
pub use ipc::IpcNamespace;
pub use kind::{
    CgroupNsId, Holds, IpcNsId, MntNsId, NetNsId, NsKind, NsState, NsType, Owned, PidNsId, TimeNsId, UserNsId, UtsNsId,
};
pub use mnt::MntNamespace;
pub use net::NetNamespace;
pub use pid::PidNamespace;
pub use time::TimeNamespace;
pub use user::UserNamespace;
pub use uts::{UTS_LEN, UtsEvents, UtsName, UtsNamespace};

/// A pointer of an nsproxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Mnt,
    Uts,
    Ipc,
    PidForChildren,
    Cgroup,
    Net,
    Time,
    TimeForChildren,
}

pub const SLOTS: usize = 8;

/// A namespace of any kind.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub common: NsCommon,
    pub state: NsState,
}

/// What all kinds share (`struct ns_common` and the owner every kind has).
#[derive(Clone, Debug)]
pub struct NsCommon {
    /// What `/proc` shows; used again once free.
    pub inum: u32,
    /// Never used again (NS_GET_ID).
    pub ns_id: u64,
    pub count: u32,
    /// The owning user namespace; `None` for user namespaces, whose owner is their parent.
    pub user_ns: Option<Held<UserNamespace>>,
    /// pid and user: the namespace this one is nested in; `None` for the initial ones.
    pub parent: Option<Held<Namespace>>,
    /// Where this namespace is charged; `None` for the initial ones.
    pub ucounts: Option<Held<Ucounts>>,
    /// Open descriptors and bind mounts that show this namespace.
    pub pins: u32,
    /// The nsfs inode's reference: held while there are pins.
    pub stashed: Option<Held<Namespace>>,
    /// Further numbers of the inum pool this namespace takes (net: its /proc/net entries).
    pub extra_inums: Vec<u32>,
}

impl Counted for Namespace {
    fn count(&mut self) -> &mut u32 {
        &mut self.common.count
    }
}

/// One row: a [`NsKind`] as data, for those who walk all kinds.
pub struct NsOps {
    pub ns_type: NsType,
    pub name: &'static str,
    pub clone_flag: u64,
    pub clone_flag_name: &'static str,
    pub init_inum: u32,
    pub init_ns_id: u64,
    pub initial: fn() -> NsState,
    pub ucount: usize,
    pub ucount_name: &'static str,
    pub slot: Option<Slot>,
    pub setns_slot: Option<Slot>,
    pub extra_inums: usize,
    pub holds: Holds,
    /// NS_GET_PARENT works.
    pub has_parent: bool,
    pub check_create: fn(&Kernel, Current, Option<UserNsId>) -> Result<()>,
    pub create: fn(&Kernel, Current) -> NsState,
    pub parent: fn(&Kernel, Current) -> Option<NsId>,
    pub setup: fn(&mut Kernel, NsId, TaskId),
    pub bytes: fn(&NsState) -> usize,
    pub teardown: fn(&mut Kernel, NsId, NsState),
    pub check_install: fn(&Kernel, &InstallCtx, NsId) -> Result<()>,
}

/// What an install check looks at (`struct nsset`).
pub struct InstallCtx {
    pub task: TaskId,
    /// The user namespace the task will be in after this call: its own, or the one joined by the same call.
    pub user_ns: UserNsId,
    /// The task checks a private copy of its fs_struct (several types at once).
    pub private_fs: bool,
}

/// The kinds, in the order of creation. The only list of kinds there is.
pub static NS_TABLE: [&NsOps; 8] = [
    &NsOps::of::<UserNamespace>(),
    &NsOps::of::<MntNamespace>(),
    &NsOps::of::<UtsNamespace>(),
    &NsOps::of::<IpcNamespace>(),
    &NsOps::of::<PidNamespace>(),
    &NsOps::of::<CgroupNamespace>(),
    &NsOps::of::<NetNamespace>(),
    &NsOps::of::<TimeNamespace>(),
];

/// An entry of `/proc/<pid>/ns` (`struct proc_ns_operations`).
pub struct NsEntry {
    pub name: &'static str,
    pub ns_type: NsType,
    pub source: Source,
}

/// Where an entry finds its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Slot(Slot),
    /// The namespace of the task's own struct pid.
    ThreadPid,
    Cred,
}

/// `/proc/<pid>/ns`, in readdir order (`ns_entries` in `fs/proc/namespaces.c`).
pub static ENTRIES: [NsEntry; 10] = [
    NsEntry { name: "net", ns_type: NsType::Net, source: Source::Slot(Slot::Net) },
    NsEntry { name: "uts", ns_type: NsType::Uts, source: Source::Slot(Slot::Uts) },
    NsEntry { name: "ipc", ns_type: NsType::Ipc, source: Source::Slot(Slot::Ipc) },
    NsEntry { name: "pid", ns_type: NsType::Pid, source: Source::ThreadPid },
    NsEntry { name: "pid_for_children", ns_type: NsType::Pid, source: Source::Slot(Slot::PidForChildren) },
    NsEntry { name: "user", ns_type: NsType::User, source: Source::Cred },
    NsEntry { name: "mnt", ns_type: NsType::Mnt, source: Source::Slot(Slot::Mnt) },
    NsEntry { name: "cgroup", ns_type: NsType::Cgroup, source: Source::Slot(Slot::Cgroup) },
    NsEntry { name: "time", ns_type: NsType::Time, source: Source::Slot(Slot::Time) },
    NsEntry { name: "time_for_children", ns_type: NsType::Time, source: Source::Slot(Slot::TimeForChildren) },
];

impl NsType {
    pub fn ops(self) -> &'static NsOps {
        NS_TABLE[self as usize]
    }

    /// The kind called `name` in links (`net`).
    pub fn from_name(name: &str) -> Option<NsType> {
        NS_TABLE.iter().find(|ops| ops.name == name).map(|ops| ops.ns_type)
    }
}

impl Namespace {
    pub fn ns_type(&self) -> NsType {
        self.state.ns_type()
    }

    /// The state, if it is of this kind.
    pub fn as_kind<S: NsKind>(&self) -> Option<&S> {
        S::of(&self.state)
    }

    pub fn ops(&self) -> &'static NsOps {
        self.ns_type().ops()
    }

    /// How a reason names this namespace: `type:[inum]`.
    pub fn arg(&self) -> Arg {
        Arg::Ns(self.ops().name, self.common.inum)
    }
}

impl Kernel {
    /// The live namespace with this kind and inum.
    pub fn find_ns(&self, ns_type: NsType, inum: u32) -> Option<NsId> {
        let ns = *self.ns_by_inum.get(&inum)?;
        (self.namespaces[ns].ns_type() == ns_type).then_some(ns)
    }

    /// The owning user namespace: for a user namespace its parent; `None` for the initial user namespace.
    pub fn ns_owner(&self, ns: impl Into<NsId>) -> Option<UserNsId> {
        let common = &self.namespaces[ns.into()].common;
        match &common.user_ns {
            Some(owner) => Some(owner.id()),
            None => common.parent.as_ref().and_then(|parent| self.namespaces.typed(parent.id())),
        }
    }

    /// The owning user namespace of a kind that always has one.
    pub fn owner_of<S: Owned>(&self, ns: Id<S>) -> UserNsId {
        self.ns_owner(ns).expect("only the initial user namespace has no owner")
    }

    /// The namespace an entry of `/proc/<pid>/ns` shows, `None` where Linux's `get` gives nothing: no nsproxy, or a
    /// `pid_for_children` without a child_reaper.
    pub fn ns_entry(&self, task: TaskId, entry: &NsEntry) -> Option<NsId> {
        match entry.source {
            Source::ThreadPid => Some(self.task_active_pid_ns(task).any()),
            Source::Cred => Some(self.cred_of(task).user_ns.id().any()),
            Source::Slot(slot) => {
                let nsproxy = self.nsproxy_of(task)?;
                let is_headless = self.namespaces[nsproxy.pid_ns_for_children()].child_reaper.is_none();
                (slot != Slot::PidForChildren || !is_headless).then(|| nsproxy.get(slot))
            }
        }
    }

    /// `type:[inum]` of a namespace, for reasons.
    pub fn ns_arg(&self, ns: impl Into<NsId>) -> Arg {
        self.namespaces[ns.into()].arg()
    }
}

/// The rule most kinds have for joining: CAP_SYS_ADMIN over the owner of the target and in the user namespace the
/// task will be in (`utsns_install` and its siblings).
///
/// # Errors
/// EPERM
pub fn check_install_admin<S: NsKind>(k: &Kernel, ctx: &InstallCtx, target: Id<S>) -> Result<()> {
    let owner = k.ns_owner(target).expect("only the initial user namespace has no owner");
    if !k.ns_capable(ctx.task, owner, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(target));
    }
    if !k.ns_capable(ctx.task, ctx.user_ns, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, the user namespace of the caller", k.ns_arg(ctx.user_ns));
    }
    Ok(())
}

impl Kernel {
    /// Whether `ns` is `ancestor` or nested in it (user and pid namespaces).
    pub fn is_ns_at_or_below<S>(&self, ns: Id<S>, ancestor: Id<S>) -> bool
    where
        Id<S>: Into<NsId>,
    {
        std::iter::successors(Some(ns), |&ns| self.ns_parent(ns)).any(|ns| ns == ancestor)
    }

    /// The namespace a pid or user namespace is nested in, which is of its kind.
    pub fn ns_parent<S>(&self, ns: Id<S>) -> Option<Id<S>>
    where
        Id<S>: Into<NsId>,
    {
        self.namespaces[ns.into()].common.parent.as_ref().map(|parent| parent.id().cast())
    }

    /// Makes a namespace of a kind for `task`, owned by user namespace `owner` and charged to the task's euid there. All
    /// that may refuse it was asked before.
    pub(crate) fn create_ns(&mut self, ops: &'static NsOps, task: Current, owner: UserNsId) -> Held<Namespace> {
        let state = (ops.create)(self, task);
        let euid = self.cred_of(*task).ids.euid;
        let parent = (ops.parent)(self, task);
        let user_ns = (parent != Some(owner.any())).then(|| self.get_ns(owner));
        let ucounts = Some(self.charge_ucount(owner, euid, ops));
        let common = NsCommon { user_ns, ucounts, ..self.new_ns_common(ops, parent) };
        let inum = common.inum;
        let made = self.namespaces.insert_held(Namespace { common, state });
        self.ns_by_inum.insert(inum, made.id());
        self.record(|k| Step::CreateNs { ns: k.ns_name(made.id()), owner: k.ns_name(owner) });
        (ops.setup)(self, made.id(), *task);
        made
    }

    /// Makes a user namespace for `task`, nested in its own; [`Kernel::check_create_user_ns`] said that it may.
    pub(crate) fn create_user_ns(&mut self, task: Current) -> Held<UserNamespace> {
        let parent = self.cred_of(*task).user_ns.id();
        self.create_ns(NsType::User.ops(), task, parent).cast()
    }

    /// Numbers for a new namespace: its inum and what else its kind takes, the lowest free ones; the next ns_id.
    pub(crate) fn new_ns_common(&mut self, ops: &NsOps, parent: Option<NsId>) -> NsCommon {
        let (inum, extra_inums) = self.inums.alloc(ops);
        let ns_id = self.next_ns_id;
        self.next_ns_id += 1;
        NsCommon {
            inum,
            ns_id,
            count: 0,
            user_ns: None,
            parent: parent.map(|parent| self.get_ns(parent)),
            ucounts: None,
            pins: 0,
            stashed: None,
            extra_inums,
        }
    }

    /// One more descriptor or bind mount shows the namespace; the first one makes the nsfs inode, which counts.
    pub(crate) fn pin_ns(&mut self, ns: NsId) {
        if self.namespaces[ns].common.pins == 0 {
            let held = self.get_ns(ns);
            self.namespaces[ns].common.stashed = Some(held);
        }
        self.namespaces[ns].common.pins += 1;
    }

    /// One pin less; the last one lets the nsfs inode go.
    pub(crate) fn unpin_ns(&mut self, ns: NsId) {
        let common = &mut self.namespaces[ns].common;
        common.pins -= 1;
        if common.pins == 0
            && let Some(held) = common.stashed.take()
        {
            self.put_ns(held);
        }
    }

    /// Takes one more reference to a namespace.
    pub(crate) fn get_ns<S>(&mut self, ns: Id<S>) -> Held<S>
    where
        Id<S>: Into<NsId>,
    {
        self.record(|k| {
            let before = k.namespaces[ns.into()].common.count;
            Step::GetNs(k.ns_name(ns), Count { before, after: before + 1 })
        });
        self.namespaces.hold_typed(ns)
    }

    /// Drops a reference to a namespace. The last one frees it at once, with all it holds: its numbers, its charge,
    /// its parent and its owner.
    pub(crate) fn put_ns(&mut self, held: impl Into<Held<Namespace>>) {
        let held = held.into();
        let id = held.id();
        self.record(|k| {
            let before = k.namespaces[id].common.count;
            Step::PutNs(k.ns_name(id), Count { before, after: before - 1 })
        });
        let Some(freed) = self.namespaces.release(held) else { return };
        let ops = freed.ops();
        let Namespace { common, state } = freed;
        self.record(|_| Step::FreeNs(NsName { kind: ops.name, inum: common.inum }));
        self.changes.note(Change::NsGone(id));
        (ops.teardown)(self, id, state);
        self.ns_by_inum.remove(&common.inum);
        for number in common.extra_inums.into_iter().chain([common.inum]) {
            self.inums.pool.free(number);
        }
        if let Some(ucounts) = common.ucounts {
            self.uncharge_ucount(ucounts, ops);
        }
        for held in [common.parent, common.user_ns.map(Held::from)].into_iter().flatten() {
            self.put_ns(held);
        }
    }
}
