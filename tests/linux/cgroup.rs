//! Random programs about cgroups, in a sub-tree of the host's hierarchy that is removed after each program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nslab::errno::Errno;
use nslab::kernel::node::{Node, Place};
use nslab::kernel::task::TaskState;
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::{LabCall, Syscall, dispatch};

use crate::area::{Area, PLAIN};
use crate::encode::{Answer, Arg, Context, Encoded, IN_ARG, Job, id, with_data, zero_ended};
use crate::observe::{lab_file, lab_text, real_text as real_proc};
use crate::pair::Pair;
use crate::patience::Wait;
use crate::program::cgroup::{LAB_MOUNT, step};

pub const AREA: Area = Area {
    name: "cgroup",
    programs: 15,
    length: 60,
    prelude: &[
        (1, "clone"),
        (2, "mkdir /sys/fs/cgroup/G"),
        (2, "mkdir /sys/fs/cgroup/G/a"),
        (2, "mkdir /sys/fs/cgroup/G/b"),
        (2, "clone"),
        (2, "clone"),
        (2, "clone newuser"),
        (1, "write proc/5/uid_map \"0 0 10\""),
    ],
    step,
    observe: |pair: &mut Pair, _| pair.compare_cgroups(),
    ..PLAIN
};

/// The only cgroup below the root that programs use.
const TOP: &str = "G";

/// The mount point of the host's whole cgroup2 hierarchy, and whether namespace roots are borders there.
static HOST: LazyLock<Option<(PathBuf, bool)>> = LazyLock::new(|| {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let words: Vec<&str> = mount.split(' ').collect();
        let is_whole = filesystem.starts_with("cgroup2 ") && words.get(3) == Some(&"/");
        is_whole.then(|| (PathBuf::from(words[4]), filesystem.contains("nsdelegate")))
    })
});

/// The cgroup that stands for [`TOP`] on the host.
static HOST_TOP: LazyLock<String> = LazyLock::new(|| format!("{TOP_PREFIX}{}", std::process::id()));
const TOP_PREFIX: &str = "nslab-test-";

/// Why no cgroup programs can run here.
pub fn obstacle() -> Option<&'static str> {
    let Some((mount, _)) = &*HOST else { return Some("no whole cgroup2 hierarchy is mounted") };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if !own.lines().any(|line| line == "0::/") {
        return Some("this process is not in the root of the cgroup2 hierarchy, in which a lab begins");
    }
    remove_stale(mount);
    let top = mount.join(&*HOST_TOP);
    if fs::create_dir(&top).is_err() {
        return Some("cgroups cannot be made");
    }
    let _ = fs::remove_dir(&top);
    None
}

pub fn has_ns_delegate() -> bool {
    HOST.as_ref().is_none_or(|(_, has)| *has)
}

/// Removes what a program has made, when its tasks are dead.
pub fn clean() {
    let Some((mount, _)) = &*HOST else { return };
    let top = mount.join(&*HOST_TOP);
    let wait = Wait::start();
    while top.exists() && !wait.is_over(crate::patience::PATIENCE) {
        remove_tree(&top);
        wait.pause();
    }
}

/// Removes what runs have left that were killed.
fn remove_stale(mount: &Path) {
    for cgroup in children(mount) {
        let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
        let pid = name.strip_prefix(TOP_PREFIX).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove_tree(&cgroup);
        }
    }
}

fn remove_tree(cgroup: &Path) {
    for child in children(cgroup) {
        remove_tree(&child);
    }
    // Dying tasks may still be there: it is tried again.
    let _ = fs::remove_dir(cgroup);
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// The path on the host of a file or directory that a task may use: below [`TOP`], or the list of tasks of the root.
/// What freezes has no counterpart: a frozen worker does not answer.
pub fn real_path(k: &Kernel, me: TaskId, path: &[u8]) -> Option<String> {
    let (mount, _) = HOST.as_ref()?;
    let path = std::str::from_utf8(path).ok()?;
    let below = match path.strip_prefix("cgroup/") {
        Some(below) if k.nsproxy_of(me)?.cgroup_ns() == k.init_ns() => below,
        Some(_) => return None,
        None => path.strip_prefix(LAB_MOUNT)?.strip_prefix('/')?,
    };
    if below == "cgroup.procs" {
        return Some(mount.join(below).to_string_lossy().into_owned());
    }
    let rest = below.strip_prefix(TOP)?;
    let is_safe = rest.is_empty() || rest.starts_with('/') && !rest.contains("..") && !rest.contains("freeze");
    is_safe.then(|| format!("{}/{}{rest}", mount.display(), &*HOST_TOP))
}

/// What a program writes to a file of a cgroup: numbers of the initial pid namespace are the host's there. `None`: the
/// process that stands for init would move.
pub fn real_text(c: &Context<'_>, path: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let is_list = path.ends_with(b"cgroup.procs") || path.ends_with(b"cgroup.threads");
    let number = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let Some(number) = number.filter(|_| is_list && real_path(c.k, c.me, path).is_some()) else {
        return Some(bytes.to_vec());
    };
    let own = c.k.task_active_pid_ns(c.me);
    let named = if number == 0 { Some(c.me) } else { c.k.find_task_by_pid_ns(number, own) };
    if named == Some(c.k.init.task) {
        return None;
    }
    Some(c.numbers.raw_in(c.k, Some(own), number).to_string().into_bytes())
}

fn node_at(k: &Kernel, me: TaskId, fd: i32) -> Option<Node> {
    k.open_files[k.file_at(me, fd)?].kind.bound().map(|bound| bound.node)
}

/// Whether a descriptor is the directory of a cgroup.
pub fn is_directory(k: &Kernel, me: TaskId, fd: i32) -> bool {
    matches!(node_at(k, me, fd), Some(Node { place: Place::Cgroup(_, None), .. }))
}

/// Whether a child cloned into the cgroup of a descriptor dies at birth, and cannot report as a worker has to.
pub fn is_fatal(k: &Kernel, me: TaskId, fd: i32) -> bool {
    let kills = |cgroup| k.cgroup.table.get(cgroup).map(|cgroup| cgroup.kill_seq);
    match node_at(k, me, fd) {
        Some(Node { place: Place::Cgroup(id, None), .. }) => kills(id) != kills(k.cgroup_of(me)),
        _ => false,
    }
}

/// Whether a descriptor is a file of a cgroup.
pub fn is_file(k: &Kernel, me: TaskId, fd: i32) -> bool {
    matches!(node_at(k, me, fd), Some(Node { place: Place::Cgroup(_, Some(_)), .. }))
}

const COMPARED: [&str; 8] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.type",
    "cgroup.events",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cgroup.pressure",
    "cgroup.controllers",
];

impl Pair {
    /// Compares the sub-tree and where each task is, until they agree or patience ends.
    fn compare_cgroups(&mut self) -> Result<(), String> {
        let wait = Wait::start();
        loop {
            let (lab, there) = (self.lab_cgroups(), self.real_cgroups());
            let Some(at) = (0..lab.len().max(there.len())).find(|&at| lab.get(at) != there.get(at)) else {
                return Ok(());
            };
            if wait.is_over(self.patience()) {
                return Err(format!("cgroups: lab {:?}, machine {:?}", lab.get(at), there.get(at)));
            }
            wait.pause();
        }
    }

    fn lab_cgroups(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        let k = &self.k;
        let mut open = vec![TOP.to_owned()];
        while let Some(dir) = open.pop() {
            let read = |file: &str| {
                let text = lab_file(k, &format!("{LAB_MOUNT}/{dir}/{file}"), false);
                text.map(|text| String::from_utf8_lossy(&text).into_owned()).map_err(|error| error.errno)
            };
            if read("cgroup.type").is_err() {
                continue;
            }
            seen.extend(COMPARED.iter().map(|file| line(&dir, file, read(file), &Some)));
            let root = k.cgroup_ns_root(k.init_ns());
            let here = k
                .cgroups_below(root, |_| true)
                .into_iter()
                .find(|&id| k.cgroup_path(id, root) == format!("/{dir}").into_bytes());
            let Some(here) = here else { continue };
            let names = k.cgroup.table[here].children.keys().rev();
            open.extend(names.map(|name| format!("{dir}/{}", String::from_utf8_lossy(name))));
        }
        for (at, (task, reader)) in self.readers().into_iter().enumerate() {
            let path = format!("/proc/{}/cgroup", self.k.task_nr(task));
            let text = match reader {
                None => lab_text(&self.k, task, "cgroup"),
                Some(reader) => dispatch(&mut self.k, reader, &LabCall::Read { path: path.into_bytes() }.into())
                    .map(|text| text.to_string())
                    .map_err(|stop| stop.errno()),
            };
            seen.push(format!("{at} {:?}", text.map(|text| place(&text))));
        }
        seen
    }

    fn real_cgroups(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let Some((mount, _)) = &*HOST else { return seen };
        let mut open = vec![(TOP.to_owned(), mount.join(&*HOST_TOP))];
        while let Some((dir, path)) = open.pop() {
            if !path.exists() {
                continue;
            }
            let read = |file: &str| fs::read_to_string(path.join(file)).map_err(|error| errno(&error));
            seen.extend(COMPARED.iter().map(|file| line(&dir, file, read(file), &|nr| self.lab_number(nr))));
            let names = children(&path).into_iter().rev();
            open.extend(names.map(|path| {
                (format!("{dir}/{}", path.file_name().unwrap_or_default().to_string_lossy()), path.clone())
            }));
        }
        for (at, (task, reader)) in self.readers().into_iter().enumerate() {
            let Some(real) = self.machine.numbers.real(self.k.task_nr(task)) else { continue };
            let text = match reader {
                None => real_proc(real, "cgroup"),
                Some(reader) => {
                    self.machine.look(self.k.task_nr(reader), format!("/proc/{real}/cgroup").as_bytes(), false)
                }
            };
            seen.push(format!("{at} {:?}", text.map(|text| place(&text))));
        }
        seen
    }

    /// Each task, as seen by init, and by each task that has a cgroup namespace of its own.
    fn readers(&self) -> Vec<(TaskId, Option<TaskId>)> {
        let k = &self.k;
        let has_own = |id: &TaskId| {
            k.tasks[*id].state == TaskState::Running
                && k.nsproxy_of(*id).is_some_and(|nsproxy| nsproxy.cgroup_ns() != k.init_ns())
                && k.signal_of(*id).rlimits.nofile.soft > 64
        };
        let tasks: Vec<TaskId> = k.tasks.iter().map(|(id, _)| id).collect();
        let readers: Vec<TaskId> = tasks.iter().copied().filter(has_own).collect();
        let as_seen_by = |task| std::iter::once((task, None)).chain(readers.iter().map(move |&r| (task, Some(r))));
        tasks.iter().copied().flat_map(as_seen_by).collect()
    }
}

/// The line of the cgroup2 hierarchy, as the host may have others, with the lab's name for [`TOP`].
pub fn place(text: &str) -> String {
    text.lines().find(|line| line.starts_with("0::")).unwrap_or_default().replace(&*HOST_TOP, TOP)
}

/// The numbers of a list of tasks as the lab's, in order.
pub fn numbers(text: &str, map: &dyn Fn(i32) -> Option<i32>) -> String {
    let number = |line: &str| line.parse().ok().and_then(map).map_or_else(|| line.to_owned(), |nr| nr.to_string());
    let mut lines: Vec<String> = text.lines().map(number).collect();
    lines.sort();
    lines.join(" ")
}

/// A change of the directories of cgroups.
pub fn encode_name(c: &Context<'_>, call: &Syscall) -> Option<Encoded> {
    let (path, number, args) = match call {
        Syscall::Mkdir { path, mode } => (path, libc::SYS_mkdir, vec![IN_ARG, Arg::Value(u64::from(*mode))]),
        Syscall::Rmdir { path } => (path, libc::SYS_rmdir, vec![IN_ARG]),
        Syscall::Unlink { path } => (path, libc::SYS_unlink, vec![IN_ARG]),
        Syscall::Chown { path, uid, gid } => (path, libc::SYS_chown, vec![IN_ARG, id(*uid), id(*gid)]),
        _ => return None,
    };
    let path = real_path(c.k, c.me, path)?;
    Some((Job::Call(with_data(number, &args, zero_ended(path.as_bytes()))), Answer::Number))
}

pub fn is_list(file: &str) -> bool {
    matches!(file, "cgroup.procs" | "cgroup.threads")
}

/// One file as one line: numbers of tasks are the lab's, in order.
fn line(dir: &str, file: &str, text: Result<String, Errno>, map: &dyn Fn(i32) -> Option<i32>) -> String {
    let text = text.map(|text| if is_list(file) { numbers(&text, map) } else { text.replace('\n', " ") });
    format!("{dir}/{file} {text:?}")
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
