//! May one task look into another? The check behind `/proc/<pid>/ns`, pidfds and ptrace (`__ptrace_may_access` in
//! `kernel/ptrace.c`, `cap_ptrace_access_check` in `security/commoncap.c`; ptrace(2), "Ptrace access mode checking").

use super::capability::Cap;
use super::cred::{Cred, Kgid, Kuid};
use super::{Kernel, TaskId, UserNsId};
use crate::bail;
use crate::errno::Result;

/// Which of the caller's credentials an access check uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PtraceMode {
    /// File system ids, effective set: procfs and the ioctls of a pidfd.
    ReadFsCreds,
    /// Real ids, permitted set: setns with a pidfd.
    ReadRealCreds,
    /// As [`PtraceMode::ReadRealCreds`], to control the target: ptrace, pidfd_getfd.
    AttachRealCreds,
}

impl Kernel {
    /// Whether `task` may access `target`.
    ///
    /// # Errors
    /// EPERM: the first rule that refuses; procfs answers EACCES instead.
    pub fn ptrace_may_access(&self, task: TaskId, target: TaskId, mode: PtraceMode) -> Result<()> {
        if self.is_same_thread_group(task, target) {
            return Ok(());
        }
        self.check_ptrace_ids(task, target, mode)?;
        self.check_ptrace_dumpable(task, target)?;
        self.check_ptrace_caps(task, target, mode)
    }

    /// The caller's ids are all those of the target, or it has CAP_SYS_PTRACE over it.
    fn check_ptrace_ids(&self, task: TaskId, target: TaskId, mode: PtraceMode) -> Result<()> {
        let ns = self.cred_of(target).user_ns.id();
        if self.has_only_ids(target, caller_ids(self.cred_of(task), mode)) || self.may_ptrace_in(task, ns) {
            return Ok(());
        }
        bail!(
            EPERM,
            "ids differ from those of pid {} and CAP_SYS_PTRACE missing in {}, its user namespace",
            self.task_nr(target),
            self.ns_arg(ns),
        );
    }

    /// Whether real, effective and saved ids of a task are all these.
    fn has_only_ids(&self, task: TaskId, (uid, gid): (Kuid, Kgid)) -> bool {
        let ids = &self.cred_of(task).ids;
        [ids.euid, ids.suid, ids.uid].iter().all(|&id| id == uid)
            && [ids.egid, ids.sgid, ids.gid].iter().all(|&id| id == gid)
    }

    /// Whether `task` may know and change the limits of `target` (`check_prlimit_permission`).
    ///
    /// # Errors
    /// EPERM
    pub fn check_prlimit(&self, task: TaskId, target: TaskId) -> Result<()> {
        let own = &self.cred_of(task).ids;
        let ns = self.cred_of(target).user_ns.id();
        if task == target
            || self.has_only_ids(target, (own.uid, own.gid))
            || self.ns_capable(task, ns, Cap::SYS_RESOURCE)
        {
            return Ok(());
        }
        bail!(
            EPERM,
            "ids differ from those of pid {} and CAP_SYS_RESOURCE missing in {}, its user namespace",
            self.task_nr(target),
            self.ns_arg(ns),
        );
    }

    /// A target that is not dumpable takes CAP_SYS_PTRACE over the user namespace of its last exec; one that was not
    /// when it died, over the initial one (`task_still_dumpable`).
    fn check_ptrace_dumpable(&self, task: TaskId, target: TaskId) -> Result<()> {
        let (dumpable, ns) = match self.mm_of(target) {
            Some(mm) => (mm.dumpable, mm.user_ns.id()),
            None => (self.tasks[target].was_dumpable, self.init.user_ns),
        };
        if dumpable || self.may_ptrace_in(task, ns) {
            return Ok(());
        }
        bail!(EPERM, "pid {} is not dumpable and CAP_SYS_PTRACE missing in {}", self.task_nr(target), self.ns_arg(ns),);
    }

    /// The target has no capability the caller lacks, or the caller has CAP_SYS_PTRACE over it.
    fn check_ptrace_caps(&self, task: TaskId, target: TaskId, mode: PtraceMode) -> Result<()> {
        let (caller, other) = (self.cred_of(task), self.cred_of(target));
        let caller_caps = match mode {
            PtraceMode::ReadFsCreds => caller.effective,
            PtraceMode::ReadRealCreds | PtraceMode::AttachRealCreds => caller.permitted,
        };
        let ns = other.user_ns.id();
        let is_subset = caller.user_ns.id() == ns && other.permitted.is_subset(caller_caps);
        if is_subset || self.may_ptrace_in(task, ns) {
            return Ok(());
        }
        if caller.user_ns.id() == ns {
            bail!(
                EPERM,
                "pid {} has capabilities the caller lacks and CAP_SYS_PTRACE missing in {}",
                self.task_nr(target),
                self.ns_arg(ns),
            );
        }
        bail!(
            EPERM,
            "pid {} is in another user namespace and CAP_SYS_PTRACE missing in {}",
            self.task_nr(target),
            self.ns_arg(ns),
        );
    }

    fn may_ptrace_in(&self, task: TaskId, ns: UserNsId) -> bool {
        self.ns_capable(task, ns, Cap::SYS_PTRACE)
    }
}

fn caller_ids(cred: &Cred, mode: PtraceMode) -> (Kuid, Kgid) {
    match mode {
        PtraceMode::ReadFsCreds => (cred.ids.fsuid, cred.ids.fsgid),
        PtraceMode::ReadRealCreds | PtraceMode::AttachRealCreds => (cred.ids.uid, cred.ids.gid),
    }
}
