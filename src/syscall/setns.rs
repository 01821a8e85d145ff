//! setns(2) (`kernel/nsproxy.c`): prepare, validate kind by kind, commit. Nothing fails after validation.

use super::fd::{Opened, open_target, opened, usable_file_at};
use super::lab::Target;
use super::{CloneFlags, Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ns::{InstallCtx, IpcNamespace, NS_TABLE, NsKind, NsOps, NsType, TimeNamespace};
use crate::kernel::nsproxy::{NSPROXY_FLAGS, NsProxy};
use crate::kernel::ptrace::PtraceMode;
use crate::kernel::table::Id;
use crate::kernel::{Current, Kernel, NsId, TaskId};

/// The namespaces to join, in the order of the checks.
type Joins = Vec<(&'static NsOps, NsId)>;

/// Joins the namespace of a namespace file, or those of a pidfd's task that `flags` name.
///
/// # Errors
/// EBADF, EINVAL: the descriptor or the flags; ESRCH: the pidfd's task is gone or dead; EPERM: no right to look at it;
/// then what each kind says.
pub fn sys_setns(k: &mut Kernel, me: Current, fd: i32, flags: u64) -> Outcome {
    let opened = opened(k, usable_file_at(k, me, fd)?);
    join(k, me, opened, flags)
}

/// As [`sys_setns`], with a descriptor that is opened for it and closed again.
///
/// # Errors
/// Those of [`open_target`] and [`sys_setns`].
pub fn sys_setns_to(k: &mut Kernel, me: Current, target: &Target, flags: u64) -> Outcome {
    let opened = open_target(k, me, target)?;
    join(k, me, opened, flags)
}

fn join(k: &mut Kernel, me: Current, opened: Opened, flags: u64) -> Outcome {
    // setns takes an int.
    let flags = flags & u64::from(u32::MAX);
    let joins = match opened {
        Opened::Ns(ns) => join_one(k, ns, flags)?,
        Opened::Pidfd { task, .. } => join_of_task(k, me, task, flags)?,
        Opened::Socket(_) | Opened::Node(_) => bail!(EINVAL, "the descriptor is neither a namespace file nor a pidfd"),
    };
    let ctx = InstallCtx {
        task: *me,
        user_ns: joined(k, &joins).unwrap_or_else(|| k.cred_of(*me).user_ns.id()),
        private_fs: joins.len() > 1,
    };
    for (ops, ns) in &joins {
        (ops.check_install)(k, &ctx, *ns)?;
    }
    commit(k, me, &joins);
    Ok(Return::DONE)
}

fn joined<S: NsKind>(k: &Kernel, joins: &Joins) -> Option<Id<S>> {
    joins.iter().find_map(|(_, ns)| k.namespaces.typed(*ns))
}

fn join_one(k: &Kernel, ns: NsId, flags: u64) -> Result<Joins> {
    let ops = k.namespaces[ns].ops();
    if flags != 0 && flags != ops.clone_flag {
        bail!(EINVAL, "flags {} are not {} of {}", format!("{flags:#x}"), ops.clone_flag_name, k.ns_arg(ns));
    }
    Ok(vec![(ops, ns)])
}

fn join_of_task(k: &Kernel, me: Current, task: Option<TaskId>, flags: u64) -> Result<Joins> {
    let known = NSPROXY_FLAGS | CloneFlags::NEWUSER.bits();
    if flags == 0 || flags & !known != 0 {
        bail!(EINVAL, "a pidfd takes one or more CLONE_NEW* flags and nothing else, not {}", format!("{flags:#x}"));
    }
    let Some(task) = task else { bail!(ESRCH, "the task of the pidfd is gone") };
    k.ptrace_may_access(*me, task, PtraceMode::ReadRealCreds)?;
    let Some(nsproxy) = k.nsproxy_of(task) else {
        bail!(ESRCH, "pid {} is dead: it has no nsproxy", k.task_nr(task));
    };
    let wanted = NS_TABLE.iter().copied().filter(|ops| flags & ops.clone_flag != 0);
    Ok(wanted.map(|ops| (ops, namespace_of(k, task, nsproxy, ops))).collect())
}

/// The namespace a pidfd stands for: the active ones, not those for children.
fn namespace_of(k: &Kernel, task: TaskId, nsproxy: &NsProxy, ops: &NsOps) -> NsId {
    match (ops.setns_slot.or(ops.slot), ops.ns_type) {
        (None, _) => k.cred_of(task).user_ns.id().any(),
        (Some(_), NsType::Pid) => k.task_active_pid_ns(task).any(),
        (Some(slot), _) => nsproxy.get(slot),
    }
}

/// The point of no return: cred, then the nsproxy, always a new one.
fn commit(k: &mut Kernel, me: Current, joins: &Joins) {
    let slots = k.hold_slots(me);
    let nsproxy = k.new_nsproxy(slots);
    for (ops, ns) in joins {
        for slot in [ops.slot, ops.setns_slot].into_iter().flatten() {
            k.set_slot(&nsproxy, slot, *ns);
        }
    }
    if let Some(user_ns) = joined(k, joins) {
        let cred = k.prepare_creds(*me).in_user_ns(user_ns);
        k.commit_creds(*me, cred);
    }
    if joined::<IpcNamespace>(k, joins).is_some() {
        k.exit_sem(*me);
    }
    if let Some(time) = joined::<TimeNamespace>(k, joins) {
        k.namespaces[time].frozen_offsets = true;
    }
    k.switch_task_namespaces(me, nsproxy);
    if let Some(ns) = joined(k, joins) {
        // Whatever the root was: also the own namespace is entered at its top.
        let fs = k.live(me).fs.id();
        let top = k.topmost_root(ns);
        k.set_fs_root(fs, top);
        k.set_fs_pwd(fs, top);
    }
}
