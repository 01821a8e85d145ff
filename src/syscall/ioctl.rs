//! ioctl(2) on namespace files (`fs/nsfs.c`) and pidfds (`fs/pidfs.c`).

use super::fd::{Opened, open_ns_fd, opened, usable_file_at};
pub use super::socket::SIOCGSKNS;
use super::socket::socket_ioctl;
use super::{Outcome, Return};
use crate::bail;
use crate::errno::{Error, Result};
use crate::kernel::capability::Cap;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::ns::{ENTRIES, MntNamespace, NsEntry, NsKind, NsType, PidNamespace, Source, UserNamespace};
use crate::kernel::ptrace::PtraceMode;
use crate::kernel::table::Id;
use crate::kernel::{Current, Kernel, NsId, TaskId, UserNsId};

pub const NS_GET_USERNS: u32 = 0xb701;
pub const NS_GET_PARENT: u32 = 0xb702;
pub const NS_GET_NSTYPE: u32 = 0xb703;
pub const NS_GET_OWNER_UID: u32 = 0xb704;
pub const NS_GET_MNTNS_ID: u32 = 0x8008_b705;
pub const NS_GET_PID_FROM_PIDNS: u32 = 0x8004_b706;
pub const NS_GET_TGID_FROM_PIDNS: u32 = 0x8004_b707;
pub const NS_GET_PID_IN_PIDNS: u32 = 0x8004_b708;
pub const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709;
pub const NS_MNT_GET_INFO: u32 = 0x8010_b70a;
pub const NS_MNT_GET_NEXT: u32 = 0x8010_b70b;
pub const NS_MNT_GET_PREV: u32 = 0x8010_b70c;
pub const NS_GET_ID: u32 = 0x8008_b70d;

/// Where a request has the size of its struct (`include/uapi/asm-generic/ioctl.h`).
const IOC_SIZE_MASK: u32 = 0x3fff << 16;

/// The first of the pidfd requests that open a namespace of the task, one per entry of `/proc/<pid>/ns` in the order of
/// the alphabet (`include/uapi/linux/pidfd.h`).
pub const PIDFD_GET_NAMESPACE_FIRST: u32 = 0xff01;

/// The entries by the number of their PIDFD_GET_…_NAMESPACE request, from [`PIDFD_GET_NAMESPACE_FIRST`] on.
pub fn pidfd_entries() -> Vec<&'static NsEntry> {
    let mut entries: Vec<_> = ENTRIES.iter().collect();
    entries.sort_by_key(|entry| entry.name);
    entries
}

/// Asks a namespace file, a pidfd or a socket.
///
/// # Errors
/// EBADF: no such descriptor, or one opened with O_PATH; ENOTTY: no such request for that file; then those of the request.
pub(super) fn sys_ioctl(k: &mut Kernel, me: Current, fd: i32, request: u32, arg: Option<i64>) -> Outcome {
    match opened(k, usable_file_at(k, me, fd)?) {
        Opened::Ns(ns) => ns_ioctl(k, me, ns, request, arg.unwrap_or(0)),
        Opened::Pidfd { task, .. } => pidfd_ioctl(k, me, task, request, arg.unwrap_or(0)),
        Opened::Socket(socket) => socket_ioctl(k, me, socket, request),
        Opened::Node(_) => bail!(ENOTTY, "request {} is for namespace files and pidfds", format!("{request:#x}")),
    }
}

fn ns_ioctl(k: &mut Kernel, me: Current, ns: NsId, request: u32, arg: i64) -> Outcome {
    let ops = k.namespaces[ns].ops();
    match base_request(request) {
        NS_GET_USERNS => {
            let owner = visible_owner(k, me, ns)?;
            open_ns_fd(k, me, owner.any())
        }
        NS_GET_PARENT => {
            let parent = visible_parent(k, me, ns)?;
            open_ns_fd(k, me, parent)
        }
        NS_GET_NSTYPE => Ok(num(ops.clone_flag)),
        NS_GET_OWNER_UID => owner_uid(k, me, ns),
        NS_GET_MNTNS_ID | NS_MNT_GET_INFO => {
            require::<MntNamespace>(k, ns)?;
            Ok(num(k.namespaces[ns].common.ns_id))
        }
        NS_GET_ID => Ok(num(k.namespaces[ns].common.ns_id)),
        NS_GET_PID_FROM_PIDNS | NS_GET_TGID_FROM_PIDNS | NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS => {
            translate_pid(k, me, ns, request, arg)
        }
        NS_MNT_GET_NEXT | NS_MNT_GET_PREV => {
            let found = next_mnt_ns(k, me, ns, base_request(request) == NS_MNT_GET_NEXT)?;
            open_ns_fd(k, me, found)
        }
        _ => bail!(ENOTTY, "request {} is none of a namespace file", format!("{request:#x}")),
    }
}

/// Requests about mounts are the same with a larger struct (`extensible_ioctl_valid`).
fn base_request(request: u32) -> u32 {
    let (kind, size) = (request & !IOC_SIZE_MASK, request & IOC_SIZE_MASK);
    let is_of = |base: &u32| base & !IOC_SIZE_MASK == kind && size >= base & IOC_SIZE_MASK;
    [NS_MNT_GET_INFO, NS_MNT_GET_NEXT, NS_MNT_GET_PREV].into_iter().find(is_of).unwrap_or(request)
}

fn num(n: u64) -> Return {
    Return::Num(i64::try_from(n).unwrap_or(i64::MAX))
}

fn require<S: NsKind>(k: &Kernel, ns: NsId) -> Result<Id<S>> {
    match k.namespaces.typed(ns) {
        Some(ns) => Ok(ns),
        None => bail!(EINVAL, "{} is no {} namespace", k.ns_arg(ns), S::NAME),
    }
}

/// The owner, if it is the caller's user namespace or below it (`ns_get_owner`).
fn visible_owner(k: &Kernel, me: Current, ns: NsId) -> Result<UserNsId> {
    let own = k.cred_of(*me).user_ns.id();
    match k.ns_owner(ns) {
        Some(owner) if k.is_ns_at_or_below(owner, own) => Ok(owner),
        Some(owner) => {
            bail!(EPERM, "{}, owner of {}, is out of view from {}", k.ns_arg(owner), k.ns_arg(ns), k.ns_arg(own))
        }
        None => bail!(EPERM, "{} has no owner", k.ns_arg(ns)),
    }
}

/// The namespace this one is nested in, if the caller may see it (`pidns_get_parent`; user: the owner).
fn visible_parent(k: &Kernel, me: Current, ns: NsId) -> Result<NsId> {
    if !k.namespaces[ns].ops().has_parent {
        bail!(EINVAL, "{} is of a kind that does not nest", k.ns_arg(ns));
    }
    let Some(ns) = k.namespaces.typed::<PidNamespace>(ns) else { return visible_owner(k, me, ns).map(Id::any) };
    let active = k.task_active_pid_ns(*me);
    match k.ns_parent(ns) {
        Some(parent) if k.is_ns_at_or_below(parent, active) => Ok(parent.any()),
        Some(parent) => bail!(EPERM, "{} is out of view from {}", k.ns_arg(parent), k.ns_arg(active)),
        None => bail!(EPERM, "{} is the initial one", k.ns_arg(ns)),
    }
}

fn owner_uid(k: &Kernel, me: Current, ns: NsId) -> Outcome {
    let ns = require::<UserNamespace>(k, ns)?;
    let viewer_ns = k.cred_of(*me).user_ns.id();
    let owner = k.namespaces[ns].owner;
    Ok(num(u64::from(k.namespaces[viewer_ns].from_kuid(owner).unwrap_or(OVERFLOW_ID))))
}

/// Numbers from or into a pid namespace, raw: not those of the initial one.
fn translate_pid(k: &Kernel, me: Current, ns: NsId, request: u32, arg: i64) -> Outcome {
    let ns = require(k, ns)?;
    let active = k.task_active_pid_ns(*me);
    let inwards = matches!(request, NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS);
    let (from, to) = if inwards { (active, ns) } else { (ns, active) };
    let task = i32::try_from(arg).ok().and_then(|nr| k.find_task_by_pid_ns(nr, from));
    let Some(task) = task else { bail!(ESRCH, "no task {} in {}", arg, k.ns_arg(from)) };
    let nr = match request {
        NS_GET_PID_IN_PIDNS | NS_GET_PID_FROM_PIDNS => k.task_nr_ns(task, to),
        _ => k.task_tgid_nr_ns(task, to),
    };
    if nr == 0 {
        bail!(ESRCH, "task {} of {} has no number in {}", arg, k.ns_arg(from), k.ns_arg(to));
    }
    Ok(Return::Num(i64::from(nr)))
}

/// The mount namespace with the next higher or lower ns_id (`get_sequential_mnt_ns`).
fn next_mnt_ns(k: &Kernel, me: Current, ns: NsId, higher: bool) -> Result<NsId> {
    if k.task_active_pid_ns(*me) != k.init.pid_ns || !k.ns_capable(*me, k.init.user_ns, Cap::SYS_ADMIN) {
        bail!(
            EPERM,
            "walking mount namespaces takes CAP_SYS_ADMIN in {} and {}",
            k.ns_arg(k.init.user_ns),
            k.ns_arg(k.init.pid_ns)
        );
    }
    require::<MntNamespace>(k, ns)?;
    let current = k.namespaces[ns].common.ns_id;
    let others = k.namespaces.iter().filter(|(_, n)| n.ns_type() == NsType::Mnt);
    let ids = others.map(|(id, n)| (n.common.ns_id, id));
    let found =
        if higher { ids.filter(|(id, _)| *id > current).min() } else { ids.filter(|(id, _)| *id < current).max() };
    match found {
        Some((_, id)) => Ok(id),
        None => bail!(ENOENT, "{} is the {}", k.ns_arg(ns), if higher { "newest" } else { "oldest" }),
    }
}

/// PIDFD_GET_…_NAMESPACE: a descriptor of a namespace of the task, also of a pid namespace that has no init yet.
fn pidfd_ioctl(k: &mut Kernel, me: Current, task: Option<TaskId>, request: u32, arg: i64) -> Outcome {
    let at = request.checked_sub(PIDFD_GET_NAMESPACE_FIRST);
    let Some(entry) = at.and_then(|at| pidfd_entries().get(at as usize).copied()) else {
        bail!(ENOTTY, "request {} is none of a pidfd", format!("{request:#x}"));
    };
    let Some(task) = task else { bail!(ESRCH, "the task of the pidfd is gone") };
    if arg != 0 {
        bail!(EINVAL, "the argument of {} has to be 0, not {}", entry.name, arg);
    }
    if k.nsproxy_of(task).is_none() {
        bail!(ESRCH, "pid {} is dead: it has no nsproxy", k.task_nr(task));
    }
    k.ptrace_may_access(*me, task, PtraceMode::ReadFsCreds).map_err(Error::into_eacces)?;
    let ns = namespace_of_entry(k, task, entry);
    open_ns_fd(k, me, ns)
}

fn namespace_of_entry(k: &Kernel, task: TaskId, entry: &NsEntry) -> NsId {
    match entry.source {
        Source::Slot(slot) => k.task_ns(task, slot).expect("a task with an nsproxy"),
        Source::ThreadPid => k.task_active_pid_ns(task).any(),
        Source::Cred => k.cred_of(task).user_ns.id().any(),
    }
}
