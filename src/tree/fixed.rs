//! The files that belong to no object: the directories at the top, `proc/*` and `proc/sys/**`.

use super::census::Census;
use super::look::Look;
use super::mqueue;
use super::proc::{sys, system, sysvipc};
use super::structs::Collection;
use super::{FileType, NetSysctl, Special, Sysctl, cgroup, graph, json, net_conf, outline, rows, trace};
use crate::errno::Result;
use crate::kernel::TaskId;
use crate::kernel::node::Place;
use crate::kernel::ns::NS_TABLE;
use crate::kernel::ns::ipc::IpcSysctl;

/// One file.
pub(super) struct Row {
    pub path: &'static str,
    pub mode: u16,
    pub kind: Kind,
}

pub(super) enum Kind {
    Dir(Dir),
    File(Render),
    /// A picture of the whole lab, drawn without the kernel.
    Picture(fn(&Census) -> Vec<u8>),
    Link(fn(&Look<'_>) -> Result<String>),
    Sysctl {
        render: Render,
        write: Option<Sysctl>,
    },
    /// A sysctl of the IPC namespace.
    Ipc(IpcSysctl),
    /// A table of System V objects, of the IPC namespace the opener was in.
    SysvIpc(Render),
    /// Its content is that of whoever serves the tree; what it has here is for those who have only the tree.
    Special(Special, Render),
}

pub(super) type Render = fn(&Look<'_>) -> Result<Vec<u8>>;

/// What a directory holds besides the rows below it.
#[derive(Clone, Copy)]
pub(super) enum Dir {
    Plain,
    /// The top: the trees of the view besides `proc`.
    Top,
    /// `proc`: the processes of the view's pid namespace.
    Proc,
    /// `proc/sys/user`: a limit for each kind of namespace.
    MaxNamespaces,
    /// `proc/sys/net/ipv4/conf`: a directory for each device.
    NetConf,
    /// `as`: every process.
    As,
    /// `mqueue`: the queues of the reader's IPC namespace.
    Mqueue,
    /// A directory of `kernel/`: all objects of a kind.
    Objects(Collection),
}

const fn dir(path: &'static str, dir: Dir) -> Row {
    Row { path, mode: 0o555, kind: Kind::Dir(dir) }
}

const fn file(path: &'static str, render: Render) -> Row {
    Row { path, mode: 0o444, kind: Kind::File(render) }
}

const fn picture(path: &'static str, draw: fn(&Census) -> Vec<u8>) -> Row {
    Row { path, mode: 0o444, kind: Kind::Picture(draw) }
}

const fn link(path: &'static str, text: fn(&Look<'_>) -> Result<String>) -> Row {
    Row { path, mode: 0o777, kind: Kind::Link(text) }
}

const fn sysctl(path: &'static str, mode: u16, render: Render) -> Row {
    Row { path, mode, kind: Kind::Sysctl { render, write: None } }
}

const fn writable(path: &'static str, mode: u16, render: Render, target: Sysctl) -> Row {
    Row { path, mode, kind: Kind::Sysctl { render, write: Some(target) } }
}

const fn ipc(path: &'static str, mode: u16, sysctl: IpcSysctl) -> Row {
    Row { path, mode, kind: Kind::Ipc(sysctl) }
}

const fn sysv_ipc(path: &'static str, render: Render) -> Row {
    Row { path, mode: 0o444, kind: Kind::SysvIpc(render) }
}

pub(super) static ROWS: &[Row] = &[
    dir("", Dir::Top),
    // These two are also the tops of file systems: PROC_ROOT and MQUEUE_ROOT.
    dir("proc", Dir::Proc),
    Row { path: "mqueue", mode: 0o1777, kind: Kind::Dir(Dir::Mqueue) },
    link("proc/self", system::self_link),
    link("proc/thread-self", system::thread_self_link),
    link("proc/net", |_| Ok("self/net".to_owned())),
    link("proc/mounts", |_| Ok("self/mounts".to_owned())),
    file("proc/cgroups", system::cgroups),
    file("proc/cmdline", system::cmdline),
    file("proc/cpuinfo", system::cpuinfo),
    file("proc/diskstats", system::diskstats),
    file("proc/filesystems", system::filesystems),
    file("proc/interrupts", system::interrupts),
    file("proc/loadavg", system::loadavg),
    file("proc/locks", |_| Ok(Vec::new())),
    file("proc/meminfo", system::meminfo),
    file("proc/partitions", system::partitions),
    dir("proc/pressure", Dir::Plain),
    file("proc/pressure/cpu", system::pressure),
    file("proc/pressure/io", system::pressure),
    file("proc/pressure/memory", system::pressure),
    Row { path: "proc/slabinfo", mode: 0o400, kind: Kind::File(system::slabinfo) },
    file("proc/softirqs", system::softirqs),
    file("proc/stat", system::stat),
    file("proc/swaps", system::swaps),
    file("proc/uptime", system::uptime),
    file("proc/version", sys::linux_version),
    file("proc/vmstat", system::vmstat),
    dir("proc/sys", Dir::Plain),
    dir("proc/sys/dev", Dir::Plain),
    dir("proc/sys/kernel", Dir::Plain),
    sysctl("proc/sys/kernel/arch", 0o444, sys::arch),
    sysctl("proc/sys/kernel/cad_pid", 0o600, sys::cad_pid),
    sysctl("proc/sys/kernel/cap_last_cap", 0o444, sys::cap_last_cap),
    writable("proc/sys/kernel/domainname", 0o644, sys::domainname, Sysctl::Domainname),
    writable("proc/sys/kernel/hostname", 0o644, sys::hostname, Sysctl::Hostname),
    writable("proc/sys/kernel/ns_last_pid", 0o666, sys::ns_last_pid, Sysctl::NsLastPid),
    sysctl("proc/sys/kernel/osrelease", 0o444, sys::osrelease),
    sysctl("proc/sys/kernel/ostype", 0o444, sys::ostype),
    sysctl("proc/sys/kernel/overflowgid", 0o644, sys::overflow_id),
    sysctl("proc/sys/kernel/overflowuid", 0o644, sys::overflow_id),
    writable("proc/sys/kernel/pid_max", 0o644, sys::pid_max, Sysctl::PidMax),
    dir("proc/sys/kernel/random", Dir::Plain),
    sysctl("proc/sys/kernel/random/boot_id", 0o444, sys::boot_id),
    sysctl("proc/sys/kernel/random/entropy_avail", 0o444, sys::entropy),
    sysctl("proc/sys/kernel/random/poolsize", 0o444, sys::entropy),
    sysctl("proc/sys/kernel/threads-max", 0o644, sys::threads_max),
    sysctl("proc/sys/kernel/version", 0o444, sys::version),
    dir("proc/sys/net", Dir::Plain),
    dir("proc/sys/net/core", Dir::Plain),
    writable("proc/sys/net/core/rmem_max", 0o644, sys::rmem_max, Sysctl::Net(NetSysctl::RmemMax)),
    writable("proc/sys/net/core/somaxconn", 0o644, sys::somaxconn, Sysctl::Net(NetSysctl::Somaxconn)),
    dir("proc/sys/net/ipv4", Dir::Plain),
    dir("proc/sys/net/ipv4/conf", Dir::NetConf),
    writable("proc/sys/net/ipv4/ip_forward", 0o644, sys::ip_forward, Sysctl::Net(NetSysctl::IpForward)),
    ipc("proc/sys/kernel/auto_msgmni", 0o644, IpcSysctl::AutoMsgmni),
    ipc("proc/sys/kernel/msg_next_id", 0o444, IpcSysctl::MsgNextId),
    ipc("proc/sys/kernel/msgmax", 0o644, IpcSysctl::Msgmax),
    ipc("proc/sys/kernel/msgmnb", 0o644, IpcSysctl::Msgmnb),
    ipc("proc/sys/kernel/msgmni", 0o644, IpcSysctl::Msgmni),
    ipc("proc/sys/kernel/sem", 0o644, IpcSysctl::Sem),
    ipc("proc/sys/kernel/sem_next_id", 0o444, IpcSysctl::SemNextId),
    ipc("proc/sys/kernel/shm_next_id", 0o444, IpcSysctl::ShmNextId),
    ipc("proc/sys/kernel/shm_rmid_forced", 0o644, IpcSysctl::ShmRmidForced),
    ipc("proc/sys/kernel/shmall", 0o644, IpcSysctl::Shmall),
    ipc("proc/sys/kernel/shmmax", 0o644, IpcSysctl::Shmmax),
    ipc("proc/sys/kernel/shmmni", 0o644, IpcSysctl::Shmmni),
    dir("proc/sys/fs", Dir::Plain),
    sysctl("proc/sys/fs/file-max", 0o644, sys::file_max),
    sysctl("proc/sys/fs/file-nr", 0o444, sys::file_nr),
    writable("proc/sys/fs/mount-max", 0o644, sys::mount_max, Sysctl::MountMax),
    dir("proc/sys/fs/mqueue", Dir::Plain),
    ipc("proc/sys/fs/mqueue/msg_default", 0o644, IpcSysctl::MqMsgDefault),
    ipc("proc/sys/fs/mqueue/msg_max", 0o644, IpcSysctl::MqMsgMax),
    ipc("proc/sys/fs/mqueue/msgsize_default", 0o644, IpcSysctl::MqMsgsizeDefault),
    ipc("proc/sys/fs/mqueue/msgsize_max", 0o644, IpcSysctl::MqMsgsizeMax),
    ipc("proc/sys/fs/mqueue/queues_max", 0o644, IpcSysctl::MqQueuesMax),
    dir("proc/sys/user", Dir::MaxNamespaces),
    dir("proc/sys/vm", Dir::Plain),
    dir("proc/sysvipc", Dir::Plain),
    sysv_ipc("proc/sysvipc/msg", sysvipc::msg),
    sysv_ipc("proc/sysvipc/sem", sysvipc::sem),
    sysv_ipc("proc/sysvipc/shm", sysvipc::shm),
    dir("as", Dir::As),
    dir("kernel", Dir::Plain),
    dir("kernel/task", Dir::Objects(Collection::Tasks)),
    dir("kernel/nsproxy", Dir::Objects(Collection::NsProxies)),
    dir("kernel/ns", Dir::Objects(Collection::NsKinds)),
    dir("kernel/ops", Dir::Objects(Collection::Ops)),
    Row { path: "kernel/trace", mode: 0o444, kind: Kind::Special(Special::Trace, trace::render) },
    Row { path: "kernel/faults", mode: 0o644, kind: Kind::Special(Special::Faults, |_| Ok(Vec::new())) },
    picture("kernel/tree", outline::draw),
    picture("kernel/tree.json", json::draw),
    picture("kernel/graph.dot", graph::dot),
    picture("kernel/graph.svg", graph::svg),
];

fn paths() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.path)
}

pub(super) fn row(row: u16) -> &'static Row {
    &ROWS[usize::from(row)]
}

/// How a picture of the whole lab is drawn, if the file is one.
pub(super) fn drawn_by(place: Place) -> Option<fn(&Census) -> Vec<u8>> {
    let Place::Fixed(row) = place else { return None };
    match self::row(row).kind {
        Kind::Picture(draw) => Some(draw),
        _ => None,
    }
}

impl Row {
    fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir(_))
    }

    /// Links to the reader itself, and files owned by who owns a namespace of the reader. All else in the table has the
    /// same shape for all, for ever.
    pub fn depends_on_reader(&self) -> bool {
        match self.kind {
            Kind::Link(_) | Kind::Ipc(_) | Kind::Dir(Dir::Mqueue) => true,
            Kind::Sysctl { write, .. } => matches!(write, Some(Sysctl::PidMax | Sysctl::Net(_))),
            Kind::Dir(_) | Kind::File(_) | Kind::Picture(_) | Kind::SysvIpc(_) | Kind::Special(..) => false,
        }
    }

    pub fn file_type(&self) -> FileType {
        match self.kind {
            Kind::Dir(_) => FileType::Directory,
            Kind::File(_)
            | Kind::Picture(_)
            | Kind::Sysctl { .. }
            | Kind::Ipc(_)
            | Kind::SysvIpc(_)
            | Kind::Special(..) => FileType::File,
            Kind::Link(_) => FileType::Symlink,
        }
    }
}

/// The file called `name` in a directory; `None` too if the row is no directory.
pub(super) fn lookup(look: &Look<'_>, dir: u16, name: &[u8]) -> Option<Place> {
    let Kind::Dir(holds) = row(dir).kind else { return None };
    if let Some(child) = rows::child(paths(), row(dir).path, name) {
        return Some(Place::Fixed(child));
    }
    match holds {
        Dir::Plain => None,
        Dir::Top => view_trees(look).into_iter().find(|(tree, _)| tree.as_bytes() == name).map(|(_, place)| place),
        Dir::Proc => look.find(name).map(|task| Place::Pid(task, 0)),
        Dir::MaxNamespaces => {
            let kind = NS_TABLE.iter().position(|ops| ops.ucount_name.as_bytes() == name)?;
            Some(Place::MaxNamespaces(index_u8(kind)))
        }
        Dir::NetConf => net_conf::lookup(look, name),
        Dir::As => look.find(name).map(Place::As),
        Dir::Mqueue => mqueue::lookup(look, name),
        Dir::Objects(collection) => collection.lookup(look.k, name),
    }
}

/// What a directory holds, in the order of the tables and of the numbers.
pub(super) fn readdir(look: &Look<'_>, dir: u16) -> Vec<(String, Place)> {
    let Kind::Dir(holds) = row(dir).kind else { return Vec::new() };
    let mut entries: Vec<_> =
        rows::children(paths(), row(dir).path).map(|(child, name)| (name.to_owned(), Place::Fixed(child))).collect();
    match holds {
        Dir::Plain => {}
        Dir::Top => entries.extend(view_trees(look).map(|(name, place)| (name.to_owned(), place))),
        Dir::Proc => entries.extend(processes(look).map(|(nr, task)| (nr.to_string(), Place::Pid(task, 0)))),
        Dir::MaxNamespaces => entries
            .extend((0..).zip(NS_TABLE).map(|(kind, ops)| (ops.ucount_name.to_owned(), Place::MaxNamespaces(kind)))),
        Dir::NetConf => entries.extend(net_conf::readdir(look)),
        Dir::As => entries.extend(processes(look).map(|(nr, task)| (nr.to_string(), Place::As(task)))),
        Dir::Mqueue => entries.extend(mqueue::readdir(look)),
        Dir::Objects(collection) => entries.extend(collection.readdir(look.k)),
    }
    entries
}

/// Hard links of a directory: one for each sub-directory and two for itself; 1, "not counted", where tasks come and go.
pub(super) fn nlink(dir: u16) -> u32 {
    let trees = match row(dir).kind {
        Kind::Dir(Dir::Plain | Dir::MaxNamespaces) => 0,
        Kind::Dir(Dir::Top) => VIEW_TREES,
        _ => return 1,
    };
    2 + trees + rows::children(paths(), row(dir).path).map(|(child, _)| u32::from(row(child).is_dir())).sum::<u32>()
}

/// The processes a view's `proc` lists: group leaders, by number.
fn processes<'k>(look: &Look<'k>) -> impl Iterator<Item = (i32, TaskId)> {
    let k = look.k;
    let numbers = k.namespaces.state(look.pid_ns).map(|ns| ns.idr.iter());
    numbers.into_iter().flatten().filter_map(move |(nr, pid)| {
        let task = k.pids[pid].attached.task?;
        k.is_leader(task).then_some((nr, task))
    })
}

/// How many trees a view has besides its fixed directories.
const VIEW_TREES: u32 = 1;

/// The trees of a view whose tops depend on who looks, by name.
pub(super) fn view_trees(look: &Look<'_>) -> [(&'static str, Place); VIEW_TREES as usize] {
    [("cgroup", Place::Cgroup(cgroup::root(look), None))]
}

/// The directories at the top that `as/<pid>` holds once more, as that task sees them.
pub(super) fn as_dirs() -> impl Iterator<Item = (u16, &'static str)> {
    let is_seen = |row: u16| matches!(self::row(row).kind, Kind::Dir(Dir::Proc | Dir::Mqueue));
    rows::children(paths(), "").filter(move |(row, _)| is_seen(*row))
}

/// An index into a table of at most 256 rows.
pub(super) fn index_u8(index: usize) -> u8 {
    u8::try_from(index).expect("the tables of kinds have less than 256 rows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::node::{MQUEUE_ROOT, PROC_ROOT};

    #[test]
    fn the_tops_of_file_systems_are_where_the_kernel_has_them() {
        let path = |place| match place {
            Place::Fixed(row) => self::row(row).path,
            other => panic!("{other:?} is not in the table"),
        };
        assert_eq!((path(PROC_ROOT), path(MQUEUE_ROOT)), ("proc", "mqueue"));
    }
}
