//! `proc/sys`: values, and who may open which file for what (`fs/proc/proc_sysctl.c`).

use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid, OVERFLOW_ID};
use crate::kernel::net::conf::FORWARDING;
use crate::kernel::ns::ipc::{IpcSysctl, SysctlPlace};
use crate::kernel::ns::{NetNamespace, NsOps, NsType, Owned, UtsNamespace};
use crate::kernel::scan::until_nul;
use crate::kernel::table::Id;
use crate::kernel::{IpcNsId, Kernel, NetNsId, NsId, PidNsId, TaskId, UserNsId};
use crate::tree::fixed::{Kind, Row};
use crate::tree::look::Look;
use crate::tree::open::Access;
use crate::tree::{NetSysctl, Sysctl};

/// The names of the reader at this moment, even through a file opened in another namespace (`proc_do_uts_string`).
///
/// # Errors
/// ESRCH: the reader is a zombie.
fn names<'k>(look: &Look<'k>) -> Result<&'k UtsNamespace> {
    match look.k.nsproxy_of(look.reader) {
        Some(nsproxy) => Ok(&look.k.namespaces[nsproxy.uts_ns()]),
        None => bail!(ESRCH, "the reader is a zombie and has no names"),
    }
}

/// A string value, which ends at a NUL (`proc_dostring`).
fn line(value: &[u8]) -> Result<Vec<u8>> {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    Ok([&value[..end], b"\n"].concat())
}

fn number(value: impl Into<i64>) -> Result<Vec<u8>> {
    line(value.into().to_string().as_bytes())
}

pub(in crate::tree) fn arch(look: &Look<'_>) -> Result<Vec<u8>> {
    line(&names(look)?.machine)
}

pub(in crate::tree) fn domainname(look: &Look<'_>) -> Result<Vec<u8>> {
    line(until_nul(&names(look)?.domainname))
}

pub(in crate::tree) fn hostname(look: &Look<'_>) -> Result<Vec<u8>> {
    line(until_nul(&names(look)?.nodename))
}

pub(in crate::tree) fn osrelease(look: &Look<'_>) -> Result<Vec<u8>> {
    line(&names(look)?.release)
}

pub(in crate::tree) fn ostype(look: &Look<'_>) -> Result<Vec<u8>> {
    line(&names(look)?.sysname)
}

pub(in crate::tree) fn version(look: &Look<'_>) -> Result<Vec<u8>> {
    line(&names(look)?.version)
}

/// `proc/version` (`version_proc_show`).
pub(in crate::tree) fn linux_version(look: &Look<'_>) -> Result<Vec<u8>> {
    let names = names(look)?;
    Ok([&names.sysname[..], b" version ", &names.release, b" (nslab@nslab) (rustc) ", &names.version, b"\n"].concat())
}

/// The process that Ctrl-Alt-Del signals.
pub(in crate::tree) fn cad_pid(look: &Look<'_>) -> Result<Vec<u8>> {
    number(look.k.task_tgid_nr_ns(look.k.init.task, look.k.task_active_pid_ns(look.reader)))
}

pub(in crate::tree) fn cap_last_cap(look: &Look<'_>) -> Result<Vec<u8>> {
    number(look.k.machine.cap_last_cap)
}

/// Of the reader's own pid namespace, whatever the view (`pid_ns_ctl_handler`).
pub(in crate::tree) fn ns_last_pid(look: &Look<'_>) -> Result<Vec<u8>> {
    number(look.k.namespaces[look.k.task_active_pid_ns(look.reader)].last_pid())
}

/// Files the machine may have open: a tenth of its memory, at a kilobyte for each (`files_maxfiles_init`).
const FILE_MAX: i64 = 380_108;

/// The pool of random bits, in bits, and always full.
const POOL: i64 = 256;

pub(in crate::tree) fn file_max(_: &Look<'_>) -> Result<Vec<u8>> {
    number(FILE_MAX)
}

/// Open files, free ones (never any), and the limit (`proc_nr_files`).
pub(in crate::tree) fn file_nr(look: &Look<'_>) -> Result<Vec<u8>> {
    line(format!("{}\t0\t{FILE_MAX}", look.k.open_files.len()).as_bytes())
}

/// Every boot is the same.
pub(in crate::tree) fn boot_id(_: &Look<'_>) -> Result<Vec<u8>> {
    line(b"00000000-0000-4000-8000-000000000001")
}

pub(in crate::tree) fn entropy(_: &Look<'_>) -> Result<Vec<u8>> {
    number(POOL)
}

pub(in crate::tree) fn mount_max(look: &Look<'_>) -> Result<Vec<u8>> {
    number(look.k.vfs.mount_max)
}

pub(in crate::tree) fn overflow_id(_: &Look<'_>) -> Result<Vec<u8>> {
    number(OVERFLOW_ID)
}

/// Of the pid namespace the opener was in (`pid_table_root_lookup`).
pub(in crate::tree) fn pid_max(look: &Look<'_>) -> Result<Vec<u8>> {
    let ns = look.bound_to().unwrap_or_else(|| look.k.task_active_pid_ns(look.reader));
    number(look.k.namespaces[ns].pid_max)
}

pub(in crate::tree) fn threads_max(look: &Look<'_>) -> Result<Vec<u8>> {
    number(look.k.threads_max)
}

/// `proc/sys/user/max_<kind>_namespaces`, of the user namespace the opener was in (`set_lookup` in `kernel/ucount.c`).
pub(in crate::tree) fn max_namespaces(look: &Look<'_>, kind: &NsOps) -> Result<Vec<u8>> {
    let ns = look.bound_to().unwrap_or(look.user_ns);
    number(look.k.namespaces[ns].ucount_max[kind.ucount])
}

/// The reader's network namespace, or the one the file was opened in.
///
/// # Errors
/// ESRCH: the reader is a zombie.
fn net<'k>(look: &Look<'k>) -> Result<&'k NetNamespace> {
    match look.net_ns() {
        Some(ns) => Ok(&look.k.namespaces[ns]),
        None => bail!(ESRCH, "the reader is a zombie and in no network namespace"),
    }
}

pub(in crate::tree) fn ip_forward(look: &Look<'_>) -> Result<Vec<u8>> {
    number(net(look)?.conf.all[FORWARDING])
}

pub(in crate::tree) fn somaxconn(look: &Look<'_>) -> Result<Vec<u8>> {
    number(net(look)?.somaxconn)
}

/// One value for the whole machine.
pub(in crate::tree) fn rmem_max(look: &Look<'_>) -> Result<Vec<u8>> {
    number(look.k.namespaces[look.k.init_ns::<NetNamespace>()].rmem_max)
}

/// A sysctl of the IPC namespace the opener was in (`set_lookup` in `ipc/ipc_sysctl.c` and `ipc/mq_sysctl.c`).
///
/// # Errors
/// ESRCH: a zombie, which is in none.
pub(in crate::tree) fn ipc(look: &Look<'_>, sysctl: IpcSysctl) -> Result<Vec<u8>> {
    let Some(ns) = look.bound_to() else { bail!(ESRCH, "a zombie has no IPC namespace") };
    match look.k.ipc(ns).sysctl(sysctl) {
        SysctlPlace::Int(value) => number(*value),
        SysctlPlace::Long(value) => line(value.to_string().as_bytes()),
        SysctlPlace::Vector(values) => line(values.map(|value| value.to_string()).join("\t").as_bytes()),
        SysctlPlace::Nowhere => number(0),
    }
}

/// The rule of one table of sysctls.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// Mode bits for root of the initial user namespace, its group, and others.
    Root,
    /// Of a pid namespace: owner bits for who administers it or is root of its owner.
    PidNs(PidNsId),
    /// Of a user namespace: owner bits with CAP_SYS_RESOURCE over it.
    UserNs(UserNsId),
    /// Of a network namespace: owner bits with CAP_NET_ADMIN over its owner.
    Net(NetNsId),
    /// Of an IPC namespace: owner bits for root of its owner.
    IpcNs(IpcNsId),
    /// The three `…_next_id` of an IPC namespace: for who may checkpoint there, too.
    NextId(IpcNsId),
}

/// The rule for a row of the fixed table, of the namespace whose table it is, where it has one.
pub(in crate::tree) fn rule(look: &Look<'_>, row: &Row) -> Rule {
    let rule = match row.kind {
        Kind::Sysctl { write: Some(Sysctl::PidMax), .. } => look.bound_to().map(Rule::PidNs),
        Kind::Sysctl { write: Some(Sysctl::Net(_)), .. } => look.bound_to().map(Rule::Net),
        Kind::Ipc(sysctl) if sysctl.is_next_id() => look.bound_to().map(Rule::NextId),
        Kind::Ipc(_) => look.bound_to().map(Rule::IpcNs),
        Kind::Sysctl { .. }
        | Kind::Dir(_)
        | Kind::File(_)
        | Kind::Live(_)
        | Kind::Picture(_)
        | Kind::Link(_)
        | Kind::SysvIpc(_)
        | Kind::Special(..) => None,
    };
    rule.unwrap_or(Rule::Root)
}

/// The mode of a row: what only the initial network namespace can change is for reading elsewhere.
pub(in crate::tree) fn mode(k: &Kernel, row: &Row, bound: Option<NsId>) -> u16 {
    let is_initial_only = matches!(row.kind, Kind::Sysctl { write: Some(Sysctl::Net(NetSysctl::RmemMax)), .. });
    if is_initial_only && bound != Some(k.initial(NsType::Net)) { row.mode & 0o444 } else { row.mode }
}

impl Rule {
    /// Owner of the file: root, of the namespace's owner where that maps one (`pid_table_root_set_ownership`,
    /// `ipc_set_ownership`).
    pub fn owner(self, k: &Kernel) -> (Kuid, Kgid) {
        let (uid, gid) = match self {
            Rule::Root | Rule::UserNs(_) => (None, None),
            Rule::PidNs(ns) => ns_root(k, ns),
            Rule::Net(ns) => ns_root(k, ns),
            Rule::IpcNs(ns) | Rule::NextId(ns) => ns_root(k, ns),
        };
        (uid.unwrap_or(GLOBAL_ROOT_UID), gid.unwrap_or(GLOBAL_ROOT_GID))
    }

    /// May `task` use a file with this mode so? No capability overrides the mode (`sysctl_perm`).
    ///
    /// # Errors
    /// EACCES
    pub fn check(self, k: &Kernel, task: TaskId, mode: u16, access: Access) -> Result<()> {
        let bits = match self {
            Rule::Root => mode_for(k, task, mode, Some(GLOBAL_ROOT_UID), Some(GLOBAL_ROOT_GID)),
            Rule::PidNs(ns) => pid_ns_mode(k, task, mode, ns),
            Rule::Net(ns) if k.ns_capable(task, k.owner_of(ns), Cap::NET_ADMIN) => mode >> 6,
            Rule::Net(_) => mode_for(k, task, mode, Some(GLOBAL_ROOT_UID), Some(GLOBAL_ROOT_GID)),
            Rule::NextId(ns) if k.checkpoint_restore_capable(task, k.owner_of(ns)) => 0o6,
            Rule::IpcNs(ns) | Rule::NextId(ns) => {
                let (uid, gid) = Rule::IpcNs(ns).owner(k);
                mode_for(k, task, mode, Some(uid), Some(gid))
            }
            Rule::UserNs(ns) if k.ns_capable(task, ns, Cap::SYS_RESOURCE) => mode >> 6,
            Rule::UserNs(_) => mode,
        };
        if access.is_within(bits) {
            return Ok(());
        }
        let mode = format!("{mode:04o}");
        match self {
            Rule::UserNs(ns) => {
                bail!(EACCES, "mode {} of this sysctl, and CAP_SYS_RESOURCE missing in {}", mode, k.ns_arg(ns))
            }
            Rule::Net(ns) => bail!(EACCES, "mode {} of this sysctl of {}", mode, k.ns_arg(ns)),
            Rule::PidNs(ns) => bail!(
                EACCES,
                "mode {} of this sysctl, and neither root of the owner of {} nor CAP_SYS_ADMIN there",
                mode,
                k.ns_arg(ns)
            ),
            Rule::NextId(ns) => bail!(
                EACCES,
                "mode {} of this sysctl, and CAP_CHECKPOINT_RESTORE and CAP_SYS_ADMIN missing over {}",
                mode,
                k.ns_arg(ns)
            ),
            Rule::IpcNs(ns) => {
                bail!(EACCES, "mode {} of this sysctl, which is for root of the owner of {}", mode, k.ns_arg(ns))
            }
            Rule::Root => bail!(EACCES, "mode {} of this sysctl, which no capability overrides", mode),
        }
    }
}

/// The mode bits that count for a task, by its effective ids (`test_perm`). `None`: nobody is that owner, or in that group.
fn mode_for(k: &Kernel, task: TaskId, mode: u16, uid: Option<Kuid>, gid: Option<Kgid>) -> u16 {
    let cred = k.cred_of(task);
    if uid == Some(cred.ids.euid) {
        mode >> 6
    } else if gid.is_some_and(|gid| cred.ids.egid == gid || cred.groups.contains(&gid)) {
        mode >> 3
    } else {
        mode
    }
}

/// The same for `pid_max` (`pid_table_root_permissions`).
fn pid_ns_mode(k: &Kernel, task: TaskId, mode: u16, ns: PidNsId) -> u16 {
    if k.ns_capable(task, k.owner_of(ns), Cap::SYS_ADMIN) {
        return mode >> 6;
    }
    let (uid, gid) = ns_root(k, ns);
    mode_for(k, task, mode, uid, gid)
}

/// Id 0 of the user namespace that owns `ns`, where it is mapped.
fn ns_root<S: Owned>(k: &Kernel, ns: Id<S>) -> (Option<Kuid>, Option<Kgid>) {
    let owner = &k.namespaces[k.owner_of(ns)];
    (owner.make_kuid(0), owner.make_kgid(0))
}
