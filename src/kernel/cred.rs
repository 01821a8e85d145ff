//! Credentials (`struct cred`) and the capability rule (`kernel/cred.c`, `security/commoncap.c`).

use std::ops::Deref;
use std::sync::Arc;

use super::capability::{Cap, CapSet};
use super::change::Change;
use super::ns::UserNamespace;
use super::refcount::{Counted, Held};
use super::trace::Step;
use super::ucounts::{UcountRlimit, Ucounts};
use super::{Kernel, TaskId, UserNsId};

/// A user id as the kernel stores it: in the initial user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kuid(pub u32);
/// A group id as the kernel stores it: in the initial user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kgid(pub u32);

pub const GLOBAL_ROOT_UID: Kuid = Kuid(0);
pub const GLOBAL_ROOT_GID: Kgid = Kgid(0);
/// What an id without a mapping shows as (`/proc/sys/kernel/overflowuid`).
pub const OVERFLOW_ID: u32 = 65534;

pub const SECBIT_NOROOT: u32 = 1;
pub const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
pub const SECBIT_KEEP_CAPS: u32 = 1 << 4;
pub const SECBIT_KEEP_CAPS_LOCKED: u32 = 1 << 5;
pub const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
/// The locks: each a bit above what it locks.
pub const SECBITS_LOCKS: u32 = 0xaaa;
/// Bits anyone may set: they only restrict what exec and interpreters do (`SECURE_ALL_UNPRIVILEGED` and their locks).
pub const SECBITS_UNPRIVILEGED: u32 = 0xf00;
/// All bits prctl(PR_SET_SECUREBITS) knows in 6.18 (four pairs of bit and lock, then exec restrict and deny pairs).
pub const SECBITS_KNOWN: u32 = 0xfff;

/// A set of credentials, with references to what it names. Never changed in place: a change makes a new one (prepare,
/// commit). Its values are read through it.
#[derive(Clone, Debug)]
pub struct Cred {
    pub usage: u32,
    /// Those of a new process and of files it opens are the same.
    values: Arc<NewCred>,
    pub user_ns: Held<UserNamespace>,
    /// Where processes of (user_ns, uid) are counted.
    pub ucounts: Held<Ucounts>,
}

/// The eight ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub uid: Kuid,
    pub gid: Kgid,
    pub suid: Kuid,
    pub sgid: Kgid,
    pub euid: Kuid,
    pub egid: Kgid,
    pub fsuid: Kuid,
    pub fsgid: Kgid,
}

/// Credentials as plain data that holds nothing: in the making (`prepare_creds`), or as they were when a file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCred {
    pub ids: Ids,
    pub groups: Arc<[Kgid]>,
    pub securebits: u32,
    pub inheritable: CapSet,
    pub permitted: CapSet,
    pub effective: CapSet,
    pub bset: CapSet,
    pub ambient: CapSet,
    pub user_ns: UserNsId,
}

impl NewCred {
    /// The same ids in user namespace `ns`, newly made or joined: all capabilities there, nothing inheritable or
    /// ambient, default securebits (`set_cred_user_ns`).
    pub fn in_user_ns(self, ns: UserNsId) -> NewCred {
        NewCred {
            securebits: 0,
            inheritable: CapSet::EMPTY,
            permitted: CapSet::FULL,
            effective: CapSet::FULL,
            bset: CapSet::FULL,
            ambient: CapSet::EMPTY,
            user_ns: ns,
            ..self
        }
    }

    pub fn has_securebit(&self, bit: u32) -> bool {
        self.securebits & bit != 0
    }

    /// Whether files of group `gid` are the task's as a member (`in_group_p`).
    pub fn is_in_group(&self, gid: Kgid) -> bool {
        self.ids.fsgid == gid || self.groups.contains(&gid)
    }
}

/// What of credentials decides about rights.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    pub ids: &'a Ids,
    pub groups: &'a [Kgid],
    pub effective: CapSet,
    pub user_ns: UserNsId,
}

impl Deref for Cred {
    type Target = NewCred;
    fn deref(&self) -> &NewCred {
        &self.values
    }
}

impl Cred {
    /// The values as they are now, for who keeps them.
    pub fn values(&self) -> Arc<NewCred> {
        Arc::clone(&self.values)
    }
}

impl NewCred {
    pub fn rights(&self) -> Rights<'_> {
        let NewCred { ids, groups, effective, user_ns, .. } = self;
        Rights { ids, groups, effective: *effective, user_ns: *user_ns }
    }
}

impl Counted for Cred {
    fn count(&mut self) -> &mut u32 {
        &mut self.usage
    }
}

impl Kernel {
    /// Whether `task` has `cap` over user namespace `ns`, by its effective set (`ns_capable`).
    pub fn ns_capable(&self, task: TaskId, ns: UserNsId, cap: Cap) -> bool {
        self.cred_capable(self.cred_of(task).rights(), ns, cap)
    }

    /// Whether `cred` has `cap` over user namespace `ns` (`cap_capable`): from `ns` upwards, the set decides in the
    /// cred's own namespace, and the owner of a child of it has all capabilities there and below.
    pub fn cred_capable(&self, cred: Rights<'_>, ns: UserNsId, cap: Cap) -> bool {
        self.owner_rule(cred, ns).unwrap_or_else(|| cred.effective.has(cap))
    }

    /// Whether `cred` has `cap` over a file with these owners: in its own user namespace, if that maps them
    /// (`capable_wrt_inode_uidgid`).
    pub fn capable_wrt_inode_uidgid(&self, cred: Rights<'_>, (uid, gid): (Kuid, Kgid), cap: Cap) -> bool {
        let Some(user) = self.namespaces.state(cred.user_ns) else { return false };
        let is_mapped = user.from_kuid(uid).is_some() && user.from_kgid(gid).is_some();
        is_mapped && self.cred_capable(cred, cred.user_ns, cap)
    }

    /// The walk of `cap_capable`: `None` when the capability set of `cred` decides. Whose user namespace is gone has no
    /// rights in others.
    fn owner_rule(&self, cred: Rights<'_>, mut ns: UserNsId) -> Option<bool> {
        let own = cred.user_ns;
        let Some(own_ns) = self.namespaces.state(own) else { return Some(false) };
        let own_level = own_ns.level;
        loop {
            if ns == own {
                return None;
            }
            let user = &self.namespaces[ns];
            if user.level <= own_level {
                return Some(false);
            }
            let Some(parent) = self.ns_parent(ns) else { return Some(false) };
            if parent == own && user.owner == cred.ids.euid {
                return Some(true);
            }
            ns = parent;
        }
    }

    /// A copy of the task's credentials to change (`prepare_creds`).
    pub fn prepare_creds(&self, task: TaskId) -> NewCred {
        NewCred::clone(self.cred_of(task))
    }

    /// The kuid of id 0 in a user namespace, if mapped.
    pub fn root_of(&self, user_ns: UserNsId) -> Option<Kuid> {
        self.namespaces[user_ns].make_kuid(0)
    }

    /// The credentials of a new thread of `task`: the same object, one more process counted (`copy_creds`).
    pub(crate) fn copy_creds_for_thread(&mut self, task: TaskId) -> Held<Cred> {
        let cred = self.creds.hold(self.tasks[task].cred.id());
        self.add_rlimit(self.creds[cred.id()].ucounts.id(), UcountRlimit::Nproc, 1);
        cred
    }

    /// The credentials of a new process: an object of its own, one more process counted (`copy_creds`).
    pub(crate) fn copy_creds_for_process(&mut self, values: Arc<NewCred>) -> Held<Cred> {
        let cred = self.insert_cred(values);
        self.add_rlimit(self.creds[cred.id()].ucounts.id(), UcountRlimit::Nproc, 1);
        cred
    }

    /// Makes `new` the credentials of `task` (`commit_creds`).
    pub(crate) fn commit_creds(&mut self, task: TaskId, new: NewCred) {
        let cred = self.insert_cred(Arc::new(new));
        self.install_cred(task, cred);
    }

    /// As [`Kernel::commit_creds`] after a change of user: the next exec is refused when the new user has more
    /// processes than RLIMIT_NPROC allows, unless it is kuid 0 (`flag_nproc_exceeded`).
    pub(crate) fn commit_user_creds(&mut self, task: TaskId, new: NewCred) {
        let cred = self.insert_cred(Arc::new(new));
        let new = &self.creds[cred.id()];
        let limit = self.signal_of(task).rlimits.nproc.soft;
        let exceeded = self.is_rlimit_overlimit(new.user_ns.id(), new.ids.uid, UcountRlimit::Nproc, limit, 0)
            && new.ids.uid != GLOBAL_ROOT_UID;
        // A change that keeps the uid keeps the mark.
        if new.ucounts.id() != self.cred_of(task).ucounts.id() {
            self.tasks[task].nproc_exceeded = exceeded;
        }
        self.install_cred(task, cred);
    }

    /// The object for these values, with its references.
    fn insert_cred(&mut self, values: Arc<NewCred>) -> Held<Cred> {
        let ucounts = self.get_ucounts(values.user_ns, values.ids.uid);
        let user_ns = self.get_ns(values.user_ns);
        self.creds.insert_held(Cred { usage: 0, values, user_ns, ucounts })
    }

    /// Puts `cred` in place of the task's credentials; counts its process where it belongs now.
    fn install_cred(&mut self, task: TaskId, cred: Held<Cred>) {
        let (old, new) = (self.cred_of(task), &self.creds[cred.id()]);
        let owner = |ids: &Ids| (ids.euid, ids.egid);
        let fs_owner = |ids: &Ids| (ids.fsuid, ids.fsgid);
        let owner_changes = owner(&old.ids) != owner(&new.ids);
        let user_ns_changes = old.user_ns.id() != new.user_ns.id();
        let rights = |cred: &Cred| (cred.ids, cred.permitted, cred.effective, Arc::clone(&cred.groups));
        let rights_change = user_ns_changes || rights(old) != rights(new);
        let is_risky = owner_changes || fs_owner(&old.ids) != fs_owner(&new.ids) || !self.is_cred_subset(new, old);
        let (from, to) = (old.ucounts.id(), new.ucounts.id());
        if from != to {
            self.add_rlimit(to, UcountRlimit::Nproc, 1);
            self.add_rlimit(from, UcountRlimit::Nproc, -1);
        }
        let old = std::mem::replace(&mut self.tasks[task].cred, cred);
        self.record(|k| {
            let new = k.cred_of(task);
            let (euid, egid) = (new.ids.euid.0, new.ids.egid.0);
            Step::CommitCreds { pid: k.task_nr(task), euid, egid, user_ns: k.ns_name(new.user_ns.id()) }
        });
        self.put_cred(old);
        if is_risky {
            self.set_dumpable(task, false);
            self.tasks[task].pdeath_signal = 0;
        }
        if rights_change {
            self.changes.note(Change::Attrs(task));
        }
        if user_ns_changes {
            self.changes.note(Change::Links(task));
        }
    }

    /// Whether `new` can do nothing `old` could not: fewer capabilities in the same user namespace, or a namespace at or
    /// below one that `old` made (`cred_cap_issubset`).
    fn is_cred_subset(&self, new: &Cred, old: &Cred) -> bool {
        let old_ns = old.user_ns.id();
        if new.user_ns.id() == old_ns {
            return new.permitted.is_subset(old.permitted);
        }
        std::iter::successors(Some(new.user_ns.id()), |&ns| self.ns_parent(ns))
            .any(|ns| self.ns_parent(ns) == Some(old_ns) && self.namespaces[ns].owner == old.ids.euid)
    }

    /// Whether the task's mm is dumpable (`get_dumpable`).
    pub fn is_dumpable(&self, task: TaskId) -> bool {
        self.mm_of(task).is_some_and(|mm| mm.dumpable)
    }

    /// Sets the dumpability of the task's mm; files of all that use it may change owner (`set_dumpable`).
    pub(crate) fn set_dumpable(&mut self, task: TaskId, dumpable: bool) {
        let Some(mm) = self.mm_id_of(task) else { return };
        if std::mem::replace(&mut self.mms[mm].dumpable, dumpable) == dumpable {
            return;
        }
        let is_shared = self.mms[mm].users > 1;
        self.changes.note(if is_shared { Change::AllAttrs } else { Change::Attrs(task) });
    }

    pub(crate) fn put_cred(&mut self, held: Held<Cred>) {
        if let Some(freed) = self.creds.release(held) {
            self.put_ucounts(freed.ucounts);
            self.put_ns(freed.user_ns);
        }
    }
}
