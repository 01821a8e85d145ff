//! `proc/<pid>` and `proc/<pid>/task/<tid>`: one table for both (`tgid_base_stuff` and `tid_base_stuff` in
//! `fs/proc/base.c`).

pub(in crate::tree) mod entry;
pub(in crate::tree) mod fd;
mod id_map;
mod image;
mod limits;
pub(in crate::tree) mod link;
mod maps;
mod mounts;
mod net;
pub(in crate::tree) mod ns;
mod smaps;
mod snmp;
mod stat;
pub(in crate::tree) mod status;
pub(in crate::tree) mod text;

use crate::bail;
use crate::errno::Result;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID, Kgid, Kuid};
use crate::kernel::node::{ITSELF, Place, TaskDir};
use crate::kernel::uid_map::MapKind;
use crate::kernel::{Kernel, TaskId};
use crate::tree::look::{Look, parse_number};
use crate::tree::proc::system::softnet_stat;
use crate::tree::{Content, FileType, WriteTarget, rows, unnamed};
pub use mounts::unescape;

pub(in crate::tree) use mounts::{Format, line as mount_line, render as render_mounts};

/// One entry.
pub(in crate::tree) struct Row {
    pub path: &'static str,
    pub mode: u16,
    pub kind: Kind,
    scope: Scope,
    /// What open asks besides the mode.
    pub open: OpenCheck,
    pub write: Option<fn(TaskId) -> WriteTarget>,
    /// What a read of an open file gives once the task is gone: nothing rather than an error.
    pub is_empty_when_gone: bool,
    /// The same: what it gave before, as it is about memory that the open file keeps.
    pub is_kept_when_gone: bool,
    pub content: Content,
}

pub(in crate::tree) enum Kind {
    Dir(Dir),
    File(fn(&Look<'_>, TaskId) -> Result<Vec<u8>>),
    /// A magic link into the task's own file tree, `None` where there is nothing to point at.
    Link(fn(&Kernel, TaskId) -> Option<link::Target>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::tree) enum Dir {
    Task,
    Threads,
    Fd,
    FdInfo,
    Ns,
    Net,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Both,
    Process,
    Thread,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::tree) enum OpenCheck {
    Nothing,
    /// An address space the opener may read (`__mem_open`).
    Mm,
    /// The same, but a task without one has an empty file (`proc_maps_open`).
    MmIfAny,
    /// A task that still has a mount namespace, which the open file keeps (`mounts_open_common`).
    Mounts(Format),
    /// To write, CAP_SYS_ADMIN over the user namespace (`proc_setgroups_open`).
    Setgroups,
    /// Nobody writes, whatever the mode says (`seq_open_net`).
    NetList,
}

const fn row(path: &'static str, mode: u16, kind: Kind) -> Row {
    Row {
        path,
        mode,
        kind,
        scope: Scope::Both,
        open: OpenCheck::Nothing,
        write: None,
        is_empty_when_gone: false,
        is_kept_when_gone: false,
        content: Content::Version,
    }
}

const fn dir(path: &'static str, mode: u16, dir: Dir) -> Row {
    row(path, mode, Kind::Dir(dir))
}

const fn file(path: &'static str, mode: u16, render: fn(&Look<'_>, TaskId) -> Result<Vec<u8>>) -> Row {
    row(path, mode, Kind::File(render))
}

const fn link(path: &'static str, target: fn(&Kernel, TaskId) -> Option<link::Target>) -> Row {
    row(path, 0o777, Kind::Link(target))
}

impl Row {
    const fn only(self, scope: Scope) -> Row {
        Row { scope, ..self }
    }

    const fn empty_when_gone(self) -> Row {
        Row { is_empty_when_gone: true, ..self }
    }

    const fn kept_when_gone(self) -> Row {
        Row { is_kept_when_gone: true, ..self }
    }

    /// Programs keep it open and read it again from the start.
    const fn live(self) -> Row {
        Row { content: Content::Live, ..self }
    }

    const fn opens_with(self, open: OpenCheck) -> Row {
        Row { open, ..self }
    }

    const fn writes(self, target: fn(TaskId) -> WriteTarget) -> Row {
        Row { write: Some(target), ..self }
    }

    pub fn file_type(&self) -> FileType {
        match self.kind {
            Kind::Dir(_) => FileType::Directory,
            Kind::File(_) => FileType::File,
            Kind::Link(_) => FileType::Symlink,
        }
    }
}

static ROWS: &[Row] = &[
    dir("", 0o555, Dir::Task),
    dir("task", 0o555, Dir::Threads).only(Scope::Process),
    dir("fd", 0o500, Dir::Fd),
    dir("fdinfo", 0o555, Dir::FdInfo),
    dir("ns", 0o511, Dir::Ns),
    dir("net", 0o555, Dir::Net),
    file("net/arp", 0o444, snmp::arp).opens_with(OpenCheck::NetList).live(),
    file("net/dev", 0o444, net::dev).opens_with(OpenCheck::NetList).live(),
    file("net/if_inet6", 0o444, net::if_inet6).opens_with(OpenCheck::NetList).live(),
    file("net/netstat", 0o444, snmp::netstat).live(),
    file("net/route", 0o444, net::route).opens_with(OpenCheck::NetList).live(),
    file("net/protocols", 0o444, snmp::protocols).live(),
    file("net/snmp", 0o444, snmp::snmp).live(),
    file("net/snmp6", 0o444, snmp::snmp6).live(),
    file("net/sockstat", 0o444, snmp::sockstat).live(),
    file("net/sockstat6", 0o444, snmp::sockstat6).live(),
    file("net/softnet_stat", 0o444, |look, _| net::namespace(look).map(|_| softnet_stat())).live(),
    file("net/tcp", 0o444, net::tcp).opens_with(OpenCheck::NetList).live(),
    file("net/tcp6", 0o444, net::tcp6).opens_with(OpenCheck::NetList).live(),
    file("net/udp", 0o444, net::udp).opens_with(OpenCheck::NetList).live(),
    file("net/udp6", 0o444, net::udp6).opens_with(OpenCheck::NetList).live(),
    file("net/unix", 0o444, net::unix).opens_with(OpenCheck::NetList).live(),
    file("environ", 0o400, text::environ).opens_with(OpenCheck::Mm).empty_when_gone(),
    file("auxv", 0o400, text::auxv).opens_with(OpenCheck::Mm).kept_when_gone(),
    file("status", 0o444, status::render),
    file("limits", 0o444, limits::render),
    file("autogroup", 0o644, text::autogroup).only(Scope::Process),
    file("timens_offsets", 0o644, text::timens_offsets).only(Scope::Process).writes(WriteTarget::TimensOffsets),
    file("comm", 0o644, text::comm).writes(WriteTarget::Comm),
    file("cmdline", 0o444, text::cmdline),
    file("stat", 0o444, stat::render_process).only(Scope::Process),
    file("stat", 0o444, stat::render_thread).only(Scope::Thread),
    file("statm", 0o444, stat::render_memory),
    file("children", 0o444, text::children).only(Scope::Thread).empty_when_gone(),
    file("maps", 0o444, maps::render).opens_with(OpenCheck::MmIfAny),
    file("numa_maps", 0o444, maps::render_numa).opens_with(OpenCheck::MmIfAny),
    link("cwd", link::cwd),
    link("root", link::root),
    link("exe", link::exe),
    file("mounts", 0o444, mounts::mounts).opens_with(OpenCheck::Mounts(Format::Mounts)).live(),
    file("mountinfo", 0o444, mounts::mountinfo).opens_with(OpenCheck::Mounts(Format::Info)).live(),
    file("mountstats", 0o400, mounts::mountstats)
        .opens_with(OpenCheck::Mounts(Format::Stats))
        .only(Scope::Process)
        .live(),
    file("smaps", 0o444, smaps::render).opens_with(OpenCheck::MmIfAny),
    file("smaps_rollup", 0o444, smaps::render_sum).opens_with(OpenCheck::Mm),
    file("wchan", 0o444, text::wchan),
    file("schedstat", 0o444, text::schedstat),
    file("cgroup", 0o444, text::cgroup),
    file("oom_score", 0o444, text::oom_score),
    file("oom_score_adj", 0o644, text::oom_score_adj).writes(WriteTarget::OomScoreAdj),
    file("loginuid", 0o644, text::unset_id),
    file("sessionid", 0o444, text::unset_id),
    file("coredump_filter", 0o644, text::coredump_filter).only(Scope::Process),
    file("io", 0o400, text::io),
    file("uid_map", 0o644, |look, task| id_map::render(look, task, MapKind::Uid))
        .writes(|_| WriteTarget::Map(MapKind::Uid))
        .live(),
    file("gid_map", 0o644, |look, task| id_map::render(look, task, MapKind::Gid))
        .writes(|_| WriteTarget::Map(MapKind::Gid))
        .live(),
    file("projid_map", 0o644, |look, task| id_map::render(look, task, MapKind::Projid))
        .writes(|_| WriteTarget::Map(MapKind::Projid))
        .live(),
    file("setgroups", 0o644, id_map::setgroups)
        .opens_with(OpenCheck::Setgroups)
        .writes(|_| WriteTarget::Setgroups)
        .live(),
];

impl TaskDir {
    /// The path below the top of the lab of what is called `entry` in it.
    fn below(self, look: &Look<'_>, entry: &str) -> String {
        let separator = if entry.is_empty() { "" } else { "/" };
        let nr = look.nr(self.task);
        if self.thread {
            format!("proc/{}/task/{nr}{separator}{entry}", look.tgid(self.task))
        } else {
            format!("proc/{nr}{separator}{entry}")
        }
    }

    fn has(self, row: &Row) -> bool {
        match row.scope {
            Scope::Both => true,
            Scope::Process => !self.thread,
            Scope::Thread => self.thread,
        }
    }

    /// The rows directly in the directory at `base`.
    fn rows(self, base: &'static str) -> impl Iterator<Item = (u16, &'static str)> {
        let rows = rows::children(ROWS.iter().map(|row| row.path), base);
        rows.filter(move |(row, _)| self.has(row_at(*row)))
    }

    /// The entry called `name` in the sub-directory at `row`, or in the directory itself.
    fn lookup(self, look: &Look<'_>, row: u16, name: &[u8]) -> Option<Place> {
        let Kind::Dir(dir) = row_at(row).kind else { return None };
        match dir {
            // A zombie has no network namespace to show files of.
            Dir::Net if look.k.tasks[self.task].live.is_none() => None,
            Dir::Task | Dir::Net => {
                self.rows(row_at(row).path).find(|(_, child)| child.as_bytes() == name).map(|(row, _)| self.entry(row))
            }
            Dir::Threads => {
                let thread = look.find(name)?;
                let same_group = look.k.leader_of(thread) == look.k.leader_of(self.task);
                same_group.then_some(TaskDir::thread(thread).entry(ITSELF))
            }
            Dir::Fd | Dir::FdInfo => {
                let fd = parse_number(name).filter(|&fd| look.k.file_at(self.task, fd).is_some());
                let hidden = || ns::hidden_file(look.k, name).or_else(|| unnamed::find(look.k, self.task, name));
                fd.map(|fd| self.fd(fd, dir == Dir::FdInfo)).or_else(hidden)
            }
            Dir::Ns => ns::lookup(self, name).or_else(|| ns::hidden_file(look.k, name)),
        }
    }

    /// What the sub-directory at `row` holds, or the directory itself, in Linux's order.
    ///
    /// # Errors
    /// EINVAL: `net` of a zombie (`proc_tgid_net_readdir`).
    fn readdir(self, look: &Look<'_>, row: u16) -> Result<Vec<(String, Place)>> {
        let Kind::Dir(dir) = row_at(row).kind else { return Ok(Vec::new()) };
        Ok(match dir {
            Dir::Net if look.k.tasks[self.task].live.is_none() => {
                bail!(EINVAL, "pid {} is a zombie and in no network namespace", look.k.task_nr(self.task))
            }
            Dir::Task | Dir::Net => {
                self.rows(row_at(row).path).map(|(row, name)| (name.to_owned(), self.entry(row))).collect()
            }
            Dir::Threads => {
                let threads = look.k.threads_of(look.k.tasks[self.task].signal);
                threads.map(|thread| (look.nr(thread).to_string(), TaskDir::thread(thread).entry(ITSELF))).collect()
            }
            Dir::Fd | Dir::FdInfo => {
                let fds = fd::numbers(look.k, self.task);
                fds.map(|fd| (fd.to_string(), self.fd(fd, dir == Dir::FdInfo))).collect()
            }
            Dir::Ns => ns::readdir(self),
        })
    }

    fn fd(self, fd: i32, info: bool) -> Place {
        Place::Fd { dir: self, fd, info }
    }

    /// Hard links of the sub-directory at `row`; threads of a task that is gone are none.
    fn nlink(self, k: &Kernel, row: u16) -> u32 {
        let dirs = match row_at(row).kind {
            Kind::Dir(Dir::Task) => self.rows("").filter(|(row, _)| matches!(row_at(*row).kind, Kind::Dir(_))).count(),
            Kind::Dir(Dir::Threads) if k.tasks.contains(self.task) => k.signal_of(self.task).nr_threads as usize,
            Kind::Dir(_) => return 2,
            Kind::File(_) | Kind::Link(_) => return 1,
        };
        u32::try_from(dirs).unwrap_or(u32::MAX).saturating_add(2)
    }
}

/// The row of a directory.
fn directory(dir: Dir) -> u16 {
    let rows = (0..).zip(ROWS);
    let row = rows.filter(|(_, row)| matches!(row.kind, Kind::Dir(holds) if holds == dir)).map(|(row, _)| row).next();
    row.unwrap_or(ITSELF)
}

fn row_at(row: u16) -> &'static Row {
    &ROWS[usize::from(row)]
}

/// Owner of a file of a task: its effective ids. Files of a task that is not dumpable belong to root of the user
/// namespace of its last exec, those of one without memory to root; directories everybody may list are spared
/// (`task_dump_owner`).
fn owner(k: &Kernel, task: TaskId, file_type: FileType, mode: u16) -> (Kuid, Kgid) {
    let ids = &k.cred_of(task).ids;
    if file_type == FileType::Directory && mode == 0o555 {
        return (ids.euid, ids.egid);
    }
    let Some(mm) = k.mm_of(task) else {
        return (GLOBAL_ROOT_UID, GLOBAL_ROOT_GID);
    };
    if mm.dumpable {
        return (ids.euid, ids.egid);
    }
    let user = &k.namespaces[mm.user_ns.id()];
    (user.make_kuid(0).unwrap_or(GLOBAL_ROOT_UID), user.make_kgid(0).unwrap_or(GLOBAL_ROOT_GID))
}
