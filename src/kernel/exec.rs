//! Credentials after execve(2) (`security/commoncap.c`, `fs/exec.c`). No file here has set-id bits or capabilities.

use super::capability::{Cap, CapSet};
use super::cred::{Ids, Kuid, NewCred, SECBIT_KEEP_CAPS, SECBIT_NOROOT};
use super::ucounts::UcountRlimit;
use super::{Current, Kernel, TaskId};
use crate::bail;
use crate::errno::Result;

/// What an exec that would gain privilege may not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExecRestraint {
    None,
    /// No capability it did not have.
    Caps,
    /// Nor an effective id other than the real one.
    CapsAndIds,
}

/// A task after an exec.
#[derive(Debug)]
pub struct ExecCreds {
    pub cred: NewCred,
    pub dumpable: bool,
    /// It can do more than its real user (`secureexec`).
    pub is_elevated: bool,
}

impl NewCred {
    /// What exec of a file without set-id bits and capabilities makes of these; `root` is the kuid of id 0 here
    /// (`cap_bprm_creds_from_file`).
    fn after_exec(&self, root: Option<Kuid>, restraint: ExecRestraint) -> NewCred {
        let mut new = NewCred { permitted: CapSet::EMPTY, ..self.clone() };
        let is_root = |id| root == Some(id) && !self.has_securebit(SECBIT_NOROOT);
        if is_root(self.ids.euid) || is_root(self.ids.uid) {
            new.permitted = self.bset | self.inheritable;
        }
        let id_changed = !self.is_in_group(self.ids.egid);
        let gained = !new.permitted.is_subset(self.permitted);
        if (id_changed || gained) && restraint != ExecRestraint::None {
            if restraint == ExecRestraint::CapsAndIds {
                (new.ids.euid, new.ids.egid) = (self.ids.uid, self.ids.gid);
            }
            new.permitted = new.permitted & self.permitted;
        }
        (new.ids.suid, new.ids.fsuid) = (new.ids.euid, new.ids.euid);
        (new.ids.sgid, new.ids.fsgid) = (new.ids.egid, new.ids.egid);
        if id_changed {
            new.ambient = CapSet::EMPTY;
        }
        new.permitted = new.permitted | new.ambient;
        new.effective = if is_root(self.ids.euid) { new.permitted } else { new.ambient };
        new.securebits &= !SECBIT_KEEP_CAPS;
        new
    }
}

impl Kernel {
    /// Whether a task may become another program: a set*id call may have taken its user over RLIMIT_NPROC, and an exec is
    /// where that is answered for (`do_execveat_common`).
    ///
    /// # Errors
    /// EAGAIN
    pub fn check_exec(&self, task: TaskId) -> Result<()> {
        let limit = self.signal_of(task).rlimits.nproc.soft;
        let cred = self.cred_of(task);
        let is_over = || self.is_rlimit_overlimit(cred.user_ns.id(), cred.ids.uid, UcountRlimit::Nproc, limit, 0);
        if self.tasks[task].nproc_exceeded && is_over() {
            bail!(EAGAIN, "RLIMIT_NPROC is {} and the set*id call before went over it", limit);
        }
        Ok(())
    }

    /// What an exec by `task` makes of it. The new mm gets the dumpability before the credentials are committed: the commit
    /// may take it away again (`begin_new_exec`).
    pub fn exec_creds(&self, task: Current) -> ExecCreds {
        let old = self.prepare_creds(*task);
        let cred = old.after_exec(self.root_of(old.user_ns), self.exec_restraint(task));
        let dumpable = old.ids.euid == old.ids.uid && old.ids.egid == old.ids.gid;
        let Ids { uid, gid, egid, .. } = old.ids;
        let is_elevated = (cred.ids.euid, cred.ids.egid) != (uid, gid) || !old.is_in_group(egid);
        ExecCreds { cred, dumpable, is_elevated }
    }

    /// Whether an exec is unsafe for gaining privilege: under no_new_privs, with an fs_struct shared beyond the process,
    /// or traced by one without CAP_SYS_PTRACE (`check_unsafe_exec`, `ptracer_capable`).
    fn exec_restraint(&self, task: Current) -> ExecRestraint {
        let this = &self.tasks[*task];
        let user_ns = self.cred_of(*task).user_ns.id();
        let fs = self.live(task).fs.id();
        let is_sharer = |&t: &TaskId| self.tasks[t].live.as_ref().is_some_and(|live| live.fs.id() == fs);
        let shares_fs =
            self.fs[fs].users as usize > self.threads_of(self.tasks[*task].signal).filter(is_sharer).count();
        let tracer_is_capable = this.tracer.is_none_or(|tracer| self.ns_capable(tracer, user_ns, Cap::SYS_PTRACE));
        if !this.no_new_privs && !shares_fs && tracer_is_capable {
            ExecRestraint::None
        } else if this.no_new_privs || !self.ns_capable(*task, user_ns, Cap::SETUID) {
            ExecRestraint::CapsAndIds
        } else {
            ExecRestraint::Caps
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kernel::cred::{GLOBAL_ROOT_UID, Kgid};
    use crate::kernel::table::Table;

    fn cred(uid: u32, permitted: CapSet) -> NewCred {
        let (uid, gid) = (Kuid(uid), Kgid(0));
        NewCred {
            ids: Ids { uid, gid, suid: uid, sgid: gid, euid: uid, egid: gid, fsuid: uid, fsgid: gid },
            groups: Arc::from([]),
            securebits: 0,
            inheritable: CapSet::EMPTY,
            permitted,
            effective: permitted,
            bset: CapSet::FULL,
            ambient: CapSet::EMPTY,
            user_ns: Table::default().next_id(),
        }
    }

    const ROOT: Option<Kuid> = Some(GLOBAL_ROOT_UID);
    const NET_RAW: CapSet = CapSet::EMPTY.with(Cap::NET_RAW);

    #[test]
    fn root_gets_the_bounding_set_back_at_exec() {
        let new = cred(0, CapSet::EMPTY).after_exec(ROOT, ExecRestraint::None);
        assert_eq!((new.permitted, new.effective), (CapSet::FULL, CapSet::FULL));
        let new = NewCred { securebits: SECBIT_NOROOT, ..cred(0, CapSet::FULL) }.after_exec(ROOT, ExecRestraint::None);
        assert_eq!((new.permitted, new.effective), (CapSet::EMPTY, CapSet::EMPTY));
    }

    #[test]
    fn no_new_privs_lets_exec_gain_nothing() {
        let new = cred(0, NET_RAW).after_exec(ROOT, ExecRestraint::CapsAndIds);
        assert_eq!((new.permitted, new.effective), (NET_RAW, NET_RAW));
    }

    #[test]
    fn others_keep_only_ambient_capabilities_at_exec() {
        let old = NewCred { ambient: NET_RAW, inheritable: NET_RAW, ..cred(1000, CapSet::FULL) };
        let new = old.after_exec(ROOT, ExecRestraint::None);
        assert_eq!((new.permitted, new.effective, new.ambient), (NET_RAW, NET_RAW, NET_RAW));
        let unmapped = old.after_exec(None, ExecRestraint::None);
        assert_eq!(unmapped.permitted, NET_RAW);
    }

    #[test]
    fn an_effective_group_the_task_is_no_member_of_cancels_ambient() {
        let mut old = NewCred { ambient: NET_RAW, ..cred(1000, CapSet::EMPTY) };
        old.ids.fsgid = Kgid(77);
        assert_eq!(old.after_exec(ROOT, ExecRestraint::None).ambient, CapSet::EMPTY);
    }

    #[test]
    fn real_root_alone_makes_capabilities_permitted_but_not_effective() {
        let mut old = cred(0, CapSet::FULL);
        old.ids.euid = Kuid(1000);
        let new = old.after_exec(ROOT, ExecRestraint::None);
        assert_eq!((new.permitted, new.effective), (CapSet::FULL, CapSet::EMPTY));
    }
}
