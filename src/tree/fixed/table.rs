//! The table of the files that belong to no object.

use super::super::census::Census;
use super::super::look::Look;
use super::super::proc::{machine, sys, system, sysvipc};
use super::super::structs::Collection;
use super::super::{NetSysctl, Special, Sysctl, graph, json, outline, trace};
use crate::errno::Result;
use crate::kernel::node::Top;
use crate::kernel::ns::ipc::IpcSysctl;

/// One file.
pub(in crate::tree) struct Row {
    pub path: &'static str,
    pub mode: u16,
    pub kind: Kind,
}

pub(in crate::tree) enum Kind {
    Dir(Dir),
    File(Render),
    /// Programs keep it open and read it again from the start.
    Live(Render),
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

pub(in crate::tree) type Render = fn(&Look<'_>) -> Result<Vec<u8>>;

/// What a directory holds besides the rows below it.
#[derive(Clone, Copy)]
pub(in crate::tree) enum Dir {
    Plain,
    /// The top of a tree: of the lab, the trees of the view besides; of `proc`, the processes of the view's pid
    /// namespace; of `mqueue`, the queues of the reader's IPC namespace.
    Top(Top),
    /// `proc/sys/user`: a limit for each kind of namespace.
    MaxNamespaces,
    /// `proc/sys/net/ipv4/conf`: a directory for each device.
    NetConf,
    /// `as`: every process.
    As,
    /// A directory of `kernel/`: all objects of a kind.
    Objects(Collection),
}

const fn dir(path: &'static str, dir: Dir) -> Row {
    Row { path, mode: 0o555, kind: Kind::Dir(dir) }
}

const fn file(path: &'static str, render: Render) -> Row {
    Row { path, mode: 0o444, kind: Kind::File(render) }
}

const fn live(path: &'static str, render: Render) -> Row {
    Row { path, mode: 0o444, kind: Kind::Live(render) }
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

pub(in crate::tree) static ROWS: &[Row] = &[
    dir("", Dir::Top(Top::Lab)),
    dir("proc", Dir::Top(Top::Proc)),
    Row { path: "mqueue", mode: 0o1777, kind: Kind::Dir(Dir::Top(Top::Mqueue)) },
    link("proc/self", system::self_link),
    link("proc/thread-self", system::thread_self_link),
    link("proc/net", |_| Ok("self/net".to_owned())),
    link("proc/mounts", |_| Ok("self/mounts".to_owned())),
    file("proc/buddyinfo", machine::buddyinfo),
    file("proc/cgroups", system::cgroups),
    file("proc/cmdline", system::cmdline),
    file("proc/cpuinfo", system::cpuinfo),
    file("proc/devices", machine::devices),
    live("proc/diskstats", system::diskstats),
    file("proc/filesystems", system::filesystems),
    live("proc/interrupts", system::interrupts),
    live("proc/loadavg", system::loadavg),
    file("proc/locks", |_| Ok(Vec::new())),
    live("proc/meminfo", system::meminfo),
    file("proc/misc", machine::misc),
    file("proc/partitions", system::partitions),
    dir("proc/pressure", Dir::Plain),
    live("proc/pressure/cpu", system::pressure),
    live("proc/pressure/io", system::pressure),
    live("proc/pressure/memory", system::pressure),
    live("proc/schedstat", machine::schedstat),
    Row { path: "proc/slabinfo", mode: 0o400, kind: Kind::File(system::slabinfo) },
    live("proc/softirqs", system::softirqs),
    live("proc/stat", system::stat),
    file("proc/swaps", system::swaps),
    live("proc/uptime", system::uptime),
    file("proc/version", sys::linux_version),
    live("proc/vmstat", system::vmstat),
    file("proc/zoneinfo", machine::zoneinfo),
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
    dir("proc/sys/kernel/pty", Dir::Plain),
    sysctl("proc/sys/kernel/pty/max", 0o644, machine::pty_max),
    sysctl("proc/sys/kernel/pty/nr", 0o444, machine::pty_nr),
    sysctl("proc/sys/kernel/pty/reserve", 0o644, machine::pty_reserve),
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
    sysctl("proc/sys/fs/dentry-state", 0o444, machine::dentry_state),
    sysctl("proc/sys/fs/file-max", 0o644, sys::file_max),
    sysctl("proc/sys/fs/file-nr", 0o444, sys::file_nr),
    sysctl("proc/sys/fs/inode-nr", 0o444, machine::inode_nr),
    sysctl("proc/sys/fs/inode-state", 0o444, machine::inode_state),
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
