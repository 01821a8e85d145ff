//! Steps about mounts, files and directories.

use nslab::kernel::node::{Node, Place, View};
use nslab::kernel::{Kernel, TaskId};
use nslab::tree::{self, FileType, Viewer};
use proptest::prelude::*;
use proptest::sample::select;

use super::walk::{Found, walk};
use super::{Step, filled_step, pick_number};

const TYPES: &[&str] = &["shared", "shared", "slave", "private", "unbindable"];
const MOUNT_FLAGS: &[&str] =
    &["ro", "rw", "nosuid", "nodev,ro", "noexec", "noatime", "relatime", "strictatime", "nosymfollow"];
const KINDS: &[&str] = &["mnt", "mnt", "net", "uts", "ipc", "pid", "user", "cgroup", "time", "pid_for_children"];
const MAPS: &[&str] = &["0 0 1", "0 0 1", "0 0 10", "0 41000 1", "1 0 1"];

pub fn step() -> BoxedStrategy<Step> {
    filled_step(fill, line()).boxed()
}

/// A place: mostly a directory there is.
fn place() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => any::<u16>().prop_map(|index| format!("{{dir:{index}}}")),
        6 => any::<u16>().prop_map(|index| format!("{{mount:{index}}}")),
        1 => any::<u16>().prop_map(|index| format!("{{file:{index}}}")),
        1 => select(vec!["/", ".", "..", "/w", "/none", "/w/a/x/y", "/proc", "/w/f/x", "\"\""]).prop_map(str::to_owned),
    ]
}

fn mounted() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => any::<u16>().prop_map(|index| format!("{{mount:{index}}}")),
        1 => place(),
    ]
}

/// A place found from a descriptor, which may be in a tree that no namespace has.
fn from_descriptor() -> impl Strategy<Value = String> {
    (0..4u8, select(vec!["", "", "", "/x", "/a", "/x/y", "/f", "/.", "/.."]))
        .prop_map(|(fd, path)| format!("fd:{fd}{path}"))
}

fn name() -> impl Strategy<Value = String> {
    let dir = prop_oneof![6 => any::<u16>().prop_map(|index| format!("{{dir:{index}}}/")), 1 => Just(String::new())];
    (dir, select(vec!["a", "b", "x", "y"])).prop_map(|(dir, name)| dir + name)
}

fn file() -> impl Strategy<Value = String> {
    any::<u16>().prop_map(|index| format!("{{file:{index}}}"))
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        60 => mounts(),
        25 => umounts(),
        15 => trees(),
        25 => names(),
        12 => namespaces(),
        16 => tasks(),
    ]
}

fn verb(verb: &'static str) -> impl Strategy<Value = String> {
    Just(verb.to_owned())
}

/// A verb and a place.
fn one(verb: &'static str) -> impl Strategy<Value = String> {
    place().prop_map(move |path| format!("{verb} {path}"))
}

/// A verb and a mount.
fn at_mount(verb: &'static str) -> impl Strategy<Value = String> {
    mounted().prop_map(move |path| format!("{verb} {path}"))
}

/// A verb, a mount and a place.
fn from_mount(verb: &'static str) -> impl Strategy<Value = String> {
    (mounted(), place()).prop_map(move |(a, b)| format!("{verb} {a} {b}"))
}

/// New mounts, copies and moves of them, and how they propagate.
fn mounts() -> impl Strategy<Value = String> {
    let two = |verb: &'static str| (place(), place()).prop_map(move |(a, b)| format!("{verb} {a} {b}"));
    prop_oneof![
        8 => one("mount tmpfs new"),
        1 => one("mount ramfs new"),
        2 => one("mount proc proc"),
        1 => one("mount mqueue mqueue"),
        1 => one("mount sysfs sysfs"),
        1 => one("mount bogus new"),
        1 => one("mount tmpfs new").prop_map(|line| line + " -o ro,size=1m,mode=700"),
        8 => two("mount --bind"),
        4 => from_mount("mount --bind"),
        5 => two("mount --rbind"),
        4 => from_mount("mount --rbind"),
        2 => (file(), file()).prop_map(|(from, to)| format!("mount --bind {from} {to}")),
        6 => from_mount("mount --move"),
        1 => two("mount --move"),
        16 => (select(vec!["", "", "r"]), select(TYPES.to_vec()), mounted())
            .prop_map(|(depth, new, path)| format!("mount --make-{depth}{new} {path}")),
        3 => (select(MOUNT_FLAGS.to_vec()), mounted()).prop_map(|(f, path)| format!("mount -o remount,bind,{f} {path}")),
        2 => (select(MOUNT_FLAGS.to_vec()), mounted()).prop_map(|(f, path)| format!("mount -o remount,{f} {path}")),
    ]
}

/// Mounts that go, and new roots.
fn umounts() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => at_mount("umount"),
        8 => at_mount("umount -l"),
        1 => at_mount("umount -f"),
        1 => at_mount("umount --nofollow"),
        1 => one("umount"),
        4 => from_mount("pivot_root"),
        1 => verb("pivot_root . ."),
    ]
}

/// Trees of mounts that descriptors hold, and descriptors.
fn trees() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => one("open_tree clone"),
        1 => from_descriptor().prop_map(|path| format!("open_tree clone {path}")),
        2 => (0..4u8, place()).prop_map(|(fd, to)| format!("move_mount fd:{fd} {to}")),
        1 => (from_descriptor(), place()).prop_map(|(from, to)| format!("move_mount {from} {to}")),
        2 => (mounted(), from_descriptor()).prop_map(|(from, to)| format!("move_mount {from} {to}")),
        1 => (from_descriptor(), from_descriptor()).prop_map(|(from, to)| format!("move_mount {from} {to}")),
        2 => from_mount("move_mount"),
        2 => from_mount("move_mount --beneath"),
        1 => (from_descriptor(), mounted()).prop_map(|(from, to)| format!("move_mount --beneath {from} {to}")),
        1 => (mounted(), from_descriptor()).prop_map(|(from, to)| format!("move_mount --beneath {from} {to}")),
        1 => (from_descriptor(), select(TYPES.to_vec())).prop_map(|(path, new)| format!("mount_setattr {path} {new}")),
        2 => (mounted(), select(TYPES.to_vec())).prop_map(|(path, new)| format!("mount_setattr {path} {new}")),
        1 => mounted().prop_map(|path| format!("mount_setattr {path} slave,shared")),
        2 => (place(), select(vec!["", "path", "directory", "rdwr", "nofollow"]))
            .prop_map(|(path, flags)| format!("open {path} {flags}")),
        2 => (file(), select(vec!["", "rdwr", "wronly"])).prop_map(|(path, flags)| format!("open {path} {flags}")),
        3 => (0..4u8).prop_map(|fd| format!("close {fd}")),
        1 => (0..4u8).prop_map(|fd| format!("fchdir {fd}")),
        1 => (from_descriptor(), select(vec!["", "path", "directory"])).prop_map(|(path, flags)| format!("open {path} {flags}")),
        1 => (select(vec!["mkdir", "rmdir"]), from_descriptor()).prop_map(|(verb, path)| format!("{verb} {path}")),
    ]
}

/// Names, and the caller's place among them.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => name().prop_map(|path| format!("mkdir {path}")),
        2 => name().prop_map(|path| format!("touch {path}")),
        5 => one("rmdir"),
        2 => file().prop_map(|path| format!("unlink {path}")),
        1 => one("unlink"),
        4 => (place(), name()).prop_map(|(old, new)| format!("rename {old} {new}")),
        1 => (place(), name()).prop_map(|(text, path)| format!("symlink {text} {path}")),
        1 => (select(vec!["0:0", "41000:41000", "5:-1"]), place()).prop_map(|(ids, path)| format!("chown {ids} {path}")),
        3 => one("chdir"),
        3 => one("chroot"),
        1 => verb("getcwd"),
    ]
}

/// Files of namespaces.
fn namespaces() -> impl Strategy<Value = String> {
    let who = any::<u16>;
    prop_oneof![
        3 => (who(), select(KINDS.to_vec()), file())
            .prop_map(|(task, kind, to)| format!("mount --bind /proc/{{task:{task}}}/ns/{kind} {to}")),
        1 => (file(), select(vec!["", "newns", "newuts"])).prop_map(|(from, flag)| format!("setns {from} {flag}")),
        3 => who().prop_map(|task| format!("setns /proc/{{task:{task}}}/ns/mnt newns")),
        1 => who().prop_map(|task| format!("setns pidfd:{{task:{task}}} newns,newuser")),
    ]
}

/// Tasks and their namespaces.
fn tasks() -> impl Strategy<Value = String> {
    let who = any::<u16>;
    prop_oneof![
        2 => verb("clone"),
        4 => verb("clone newns"),
        2 => verb("clone newuser,newns"),
        1 => verb("clone newuser,newns,newpid"),
        1 => verb("clone fs"),
        1 => verb("clone newns,newuts,newnet"),
        3 => verb("unshare newns"),
        1 => verb("unshare newuser,newns"),
        1 => verb("unshare newuser"),
        1 => verb("unshare newuser,newns,newipc,newnet"),
        3 => (who(), select(vec!["uid_map", "uid_map", "gid_map"]), select(MAPS.to_vec()))
            .prop_map(|(task, file, map)| format!("write /proc/{{task:{task}}}/{file} {map}")),
        2 => verb("exit 0"),
        1 => who().prop_map(|task| format!("kill {{task:{task}}} SIGKILL")),
        1 => verb("wait -1"),
        1 => verb("capset eff=none"),
        1 => verb("setresuid 41000 41000 41000"),
    ]
}

fn fill(k: &Kernel, me: TaskId, word: &str, index: usize) -> Option<String> {
    let pick = |from: Vec<String>| (!from.is_empty()).then(|| from[index % from.len()].clone());
    match word {
        "task" => Some(pick_number(k, index).to_string()),
        "dir" => pick(directories(k, me)),
        "file" => pick(files(k, me)),
        "mount" => pick(mountpoints(k, me)),
        _ => None,
    }
}

/// Where something is mounted below the root directory of a task.
fn mountpoints(k: &Kernel, me: TaskId) -> Vec<String> {
    let path = format!("proc/{}/mountinfo", k.task_nr(me));
    let node = tree::resolve(k, k.init.task, View::Caller, path.as_bytes(), true);
    let text = node.and_then(|node| tree::read(k, Viewer(k.init.task), node)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

/// Most directories and files looked at, and how deep they lie.
const MOST: usize = 40;
const DEEPEST: usize = 5;

/// The directories of plain file systems in the file tree of a task.
pub fn directories(k: &Kernel, me: TaskId) -> Vec<String> {
    files_of(k, me).into_iter().filter(|(_, is_directory)| *is_directory).map(|(path, _)| path).collect()
}

fn files(k: &Kernel, me: TaskId) -> Vec<String> {
    files_of(k, me).into_iter().filter(|(_, is_directory)| !is_directory).map(|(path, _)| path).collect()
}

/// Paths of the files in the tree of a task, nearest first, and which are directories of plain file systems.
fn files_of(k: &Kernel, me: TaskId) -> Vec<(String, bool)> {
    let Some(root) = k.fs_of(me).map(|fs| fs.root.path()) else { return Vec::new() };
    let counts = |seen: &Found| seen.file_type != FileType::Directory || is_plain(k, seen.node);
    let enters = |dir: &Found, found: &[Found]| {
        let depth = dir.path.matches('/').count();
        counts(dir) && depth < DEEPEST && found.iter().filter(|seen| counts(seen)).count() < MOST
    };
    let all = walk(k, Viewer(k.init.task).into(), Node::from(root), enters, |_, _| {});
    let all = all.into_iter().filter(counts);
    all.map(|seen| {
        (if seen.path.is_empty() { "/".to_owned() } else { seen.path }, seen.file_type == FileType::Directory)
    })
    .collect()
}

/// A file of a file system whose files are all made by programs.
fn is_plain(k: &Kernel, node: Node) -> bool {
    let fs = node.path().map(|path| k.vfs.sbs[k.vfs.sb_of(path.mount)].fs.name);
    matches!(node.place, Place::Dentry(_)) && matches!(fs, Some("tmpfs" | "ramfs"))
}
