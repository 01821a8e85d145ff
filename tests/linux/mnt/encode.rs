//! Mount calls and calls on files as what a worker of a sandboxed machine does.

use nslab::errno::Result;
use nslab::kernel::mount::flags::{MsFlags, UmountFlags};
use nslab::kernel::mount::sb::fs_type;
use nslab::kernel::node::{Node, Place};
use nslab::kernel::ns::{NsType, Slot};
use nslab::syscall::Syscall;
use nslab::syscall::mount::{MountArgs, MoveMountFlags};
use nslab::tree;

use crate::encode::{Answer, Arg, Context, Encoded, Job, Opening, Raw, call, id, int};

/// Offset of the first text of a call.
const TEXTS: usize = 2048;
const CWD: Arg = Arg::Value(libc::AT_FDCWD as u64);
const NULL: Arg = Arg::Value(0);

/// An argument that may be a text.
enum Word<'a> {
    Plain(Arg),
    Text(&'a [u8]),
}

use Word::{Plain, Text};

/// A call whose texts lie one behind the other in the data.
fn with_texts(number: i64, words: &[Word<'_>]) -> Raw {
    let mut at = TEXTS;
    let mut raw = call(number, &[]);
    for word in words {
        match word {
            Plain(arg) => raw.args.push(*arg),
            Text(text) => {
                raw.args.push(Arg::Data(at as u64));
                raw.data.push((at, [text, &b"\0"[..]].concat()));
                at += text.len() + 1;
            }
        }
    }
    raw
}

/// A descriptor that a path starts from, and the path in the machine's numbers, for a worker's own file tree. `None` if
/// the path cannot be written down.
pub fn tree_path(c: &Context<'_>, path: &[u8]) -> Option<(Arg, Vec<u8>)> {
    let text = std::str::from_utf8(path).ok()?;
    let mut walked = 0;
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('/') {
        let is_descriptor = matches!(parts.last().map(String::as_str), Some("fd" | "fdinfo"));
        let number = part.parse::<i32>().ok().filter(|_| !is_descriptor);
        let start = if walked == 0 { "." } else { &text[..walked] };
        parts.push(number.map_or(part.to_owned(), |nr| number_below(c, start, nr).to_string()));
        walked += part.len() + 1;
    }
    let descriptor = parts[0].strip_prefix("fd:").map(|fd| fd.parse());
    match descriptor {
        Some(fd) => Some((int(fd.ok()?), parts[1..].join("/").into_bytes())),
        None => Some((CWD, parts.join("/").into_bytes())),
    }
}

/// A number as the name of a file in `dir`: in a `proc` of the initial pid namespace one of the machine's.
fn number_below(c: &Context<'_>, dir: &str, nr: i32) -> i32 {
    let node = tree::resolve_file(c.k, c.me, dir.as_bytes(), true);
    let mount = node.as_ref().ok().and_then(|node| node.path()).map(|path| path.mount);
    let pid_ns = mount.map(|mount| c.k.vfs.sbs[c.k.vfs.sb_of(mount)].pid_ns());
    match pid_ns {
        Some(Some(ns)) if ns != c.k.init.pid_ns => nr,
        Some(None) => nr,
        _ => c.numbers.path_number(c.k, c.k.init.pid_ns, nr),
    }
}

/// A path for calls that take no descriptor with it.
pub fn plain_path(c: &Context<'_>, path: &[u8]) -> Option<Vec<u8>> {
    tree_path(c, path).filter(|(dir, _)| *dir == CWD).map(|(_, path)| path)
}

/// The hidden root file system at the bottom of all mount namespaces is one for the whole machine.
pub fn is_at_the_bottom(c: &Context<'_>) -> bool {
    let is_hidden = |mount| c.k.vfs.sbs[c.k.vfs.sb_of(mount)].fs.name == "rootfs";
    c.k.fs_of(c.me).is_none_or(|fs| is_hidden(fs.root.mount.id()) || is_hidden(fs.pwd.mount.id()))
}

/// Files that a call may change: those of plain file systems, all of which the sandbox has for itself.
pub fn is_own_file(c: &Context<'_>, path: &[u8]) -> bool {
    let is_own = |found: Result<Node>| found.map_or(true, |node| matches!(node.place, Place::Dentry(_)));
    is_own(tree::resolve_file(c.k, c.me, path, true))
        && is_own(tree::resolve_parent(c.k, c.me, path).map(|(dir, _)| dir))
}

/// A call about mounts or the caller's place among them; `None` outside a sandbox and at its bottom.
fn inside(c: &Context<'_>, encode: impl FnOnce() -> Option<Raw>) -> Option<Encoded> {
    let raw = (c.is_sandboxed && !is_at_the_bottom(c)).then(encode)??;
    Some((Job::Call(raw), Answer::Number))
}

pub fn encode_mount(c: &Context<'_>, args: &MountArgs) -> Option<Encoded> {
    inside(c, || mount_call(c, args))
}

pub fn encode_umount(c: &Context<'_>, path: &[u8], flags: UmountFlags) -> Option<Encoded> {
    let flags = Arg::Value(u64::from(flags.bits()));
    inside(c, || Some(with_texts(libc::SYS_umount2, &[Text(&plain_path(c, path)?), Plain(flags)])))
}

pub fn encode_pivot_root(c: &Context<'_>, new_root: &[u8], put_old: &[u8]) -> Option<Encoded> {
    inside(c, || {
        let (new, old) = (plain_path(c, new_root)?, plain_path(c, put_old)?);
        Some(with_texts(libc::SYS_pivot_root, &[Text(&new), Text(&old)]))
    })
}

/// A call that takes a path alone.
pub fn encode_path(c: &Context<'_>, number: i64, path: &[u8]) -> Option<Encoded> {
    inside(c, || Some(with_texts(number, &[Text(&plain_path(c, path)?)])))
}

pub fn encode_fchdir(c: &Context<'_>, fd: i32) -> Option<Encoded> {
    inside(c, || Some(call(libc::SYS_fchdir, &[int(fd)])))
}

pub fn encode_getcwd(c: &Context<'_>) -> Option<Encoded> {
    let (job, _) = inside(c, || Some(call(libc::SYS_getcwd, &[Arg::Data(0), Arg::Value(2048)])))?;
    Some((job, Answer::Text))
}

pub fn encode_open_tree(c: &Context<'_>, path: &[u8]) -> Option<Encoded> {
    inside(c, || {
        let (dir, path) = tree_path(c, path)?;
        let flags = Arg::Value(OPEN_TREE_CLONE | empty(dir, &path, libc::AT_EMPTY_PATH as u64));
        Some(with_texts(libc::SYS_open_tree, &[Plain(dir), Text(&path), Plain(flags)]))
    })
}

pub fn encode_move_mount(c: &Context<'_>, from: &[u8], to: &[u8], flags: MoveMountFlags) -> Option<Encoded> {
    inside(c, || {
        let ((from_dir, from), (to_dir, to)) = (tree_path(c, from)?, tree_path(c, to)?);
        let empty = empty(from_dir, &from, F_EMPTY_PATH) | empty(to_dir, &to, T_EMPTY_PATH);
        let flags = F_SYMLINKS | T_SYMLINKS | empty | u64::from(flags.bits());
        let words = [Plain(from_dir), Text(&from), Plain(to_dir), Text(&to), Plain(Arg::Value(flags))];
        Some(with_texts(libc::SYS_move_mount, &words))
    })
}

pub fn encode_mount_setattr(c: &Context<'_>, path: &[u8], propagation: MsFlags) -> Option<Encoded> {
    inside(c, || {
        let (dir, path) = tree_path(c, path)?;
        let flags = Arg::Value(empty(dir, &path, libc::AT_EMPTY_PATH as u64));
        let attr = [0, 0, u64::from(propagation.bits()), 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let words = [Plain(dir), Text(&path), Plain(flags), Plain(Arg::Data(0)), Plain(Arg::Value(32))];
        let mut raw = with_texts(libc::SYS_mount_setattr, &words);
        raw.data.push((0, attr));
        Some(raw)
    })
}

const OPEN_TREE_CLONE: u64 = 1;
const F_SYMLINKS: u64 = 1;
const F_EMPTY_PATH: u64 = 4;
const T_SYMLINKS: u64 = 0x10;
const T_EMPTY_PATH: u64 = 0x40;

/// The flag that lets a descriptor alone be the path.
fn empty(dir: Arg, path: &[u8], flag: u64) -> u64 {
    if path.is_empty() && dir != CWD { flag } else { 0 }
}

fn mount_call(c: &Context<'_>, args: &MountArgs) -> Option<Raw> {
    let target = plain_path(c, &args.target)?;
    // The source is a path for binds and moves, else any text.
    let source = match &args.source {
        Some(source) if args.fs_type.is_none() => Some(plain_path(c, source)?),
        source => source.clone(),
    };
    if args.fs_type.as_deref().is_some_and(|name| !is_own_file_system(c, name)) {
        return None;
    }
    if args.flags.contains(MsFlags::REMOUNT) && !is_own_superblock(c, &args.target) {
        return None;
    }
    let text = |text: &Option<Vec<u8>>| text.clone().map_or(vec![], |text| text);
    let (source_text, type_text) = (text(&source), text(&args.fs_type));
    let word = |is_given: bool, text| if is_given { Text(text) } else { Plain(NULL) };
    let words = [
        word(source.is_some(), &source_text),
        Text(&target),
        word(args.fs_type.is_some(), &type_text),
        Plain(Arg::Value(u64::from(args.flags.bits()))),
        word(!args.data.is_empty(), &args.data),
    ];
    Some(with_texts(libc::SYS_mount, &words))
}

/// What is mounted there is not of a superblock that the whole machine uses, as that of namespace files is.
fn is_own_superblock(c: &Context<'_>, path: &[u8]) -> bool {
    let mount = tree::resolve_file(c.k, c.me, path, true).ok().and_then(|node| node.path()).map(|path| path.mount);
    mount.is_none_or(|mount| !["nsfs", "rootfs"].contains(&c.k.vfs.sbs[c.k.vfs.sb_of(mount)].fs.name))
}

/// A new mount of this type is of a superblock that the machine outside does not use.
fn is_own_file_system(c: &Context<'_>, name: &[u8]) -> bool {
    let is_initial = |slot, ns_type| c.k.task_ns(c.me, slot) == Some(c.k.initial(ns_type));
    match name {
        b"cgroup2" | b"devtmpfs" => false,
        b"sysfs" => !is_initial(Slot::Net, NsType::Net),
        b"mqueue" => !is_initial(Slot::Ipc, NsType::Ipc),
        _ => fs_type(name).is_some() || name.starts_with(b"bogus"),
    }
}

/// A change of names or owners: in a sandbox anywhere, elsewhere among the directories of cgroups.
pub fn encode_name(c: &Context<'_>, call: &Syscall) -> Option<Encoded> {
    if !c.is_sandboxed {
        return crate::cgroup::encode_name(c, call);
    }
    let job = (!is_at_the_bottom(c)).then(|| name_job(c, call))??;
    Some((job, Answer::Number))
}

/// As [`encode_name`], in a sandbox only.
pub fn encode_touch(c: &Context<'_>, path: &[u8]) -> Option<Encoded> {
    let job = (c.is_sandboxed && !is_at_the_bottom(c)).then(|| touch_job(c, path))??;
    Some((job, Answer::Number))
}

fn name_job(c: &Context<'_>, call: &Syscall) -> Option<Job> {
    let at = |path: &Vec<u8>| tree_path(c, path).filter(|_| is_own_file(c, path));
    let number = |value| Plain(Arg::Value(value));
    Some(Job::Call(match call {
        Syscall::Mkdir { path, mode } => {
            let (dir, path) = at(path)?;
            with_texts(libc::SYS_mkdirat, &[Plain(dir), Text(&path), number(u64::from(*mode))])
        }
        Syscall::Rmdir { path } => {
            let (dir, path) = at(path)?;
            with_texts(libc::SYS_unlinkat, &[Plain(dir), Text(&path), number(libc::AT_REMOVEDIR as u64)])
        }
        Syscall::Unlink { path } => {
            let (dir, path) = at(path)?;
            with_texts(libc::SYS_unlinkat, &[Plain(dir), Text(&path), number(0)])
        }
        Syscall::Rename { old, new } => {
            let ((old_dir, old), (new_dir, new)) = (at(old)?, at(new)?);
            with_texts(libc::SYS_renameat, &[Plain(old_dir), Text(&old), Plain(new_dir), Text(&new)])
        }
        Syscall::Symlink { text, path } => {
            let (dir, path) = at(path)?;
            with_texts(libc::SYS_symlinkat, &[Text(text), Plain(dir), Text(&path)])
        }
        Syscall::Chown { path, uid, gid } => {
            let (dir, path) = at(path)?;
            with_texts(libc::SYS_fchownat, &[Plain(dir), Text(&path), Plain(id(*uid)), Plain(id(*gid)), number(0)])
        }
        other => panic!("{other:?} changes no name"),
    }))
}

/// touch(1): opens the file, which makes it, and sets its times; sets those of what cannot be opened so.
fn touch_job(c: &Context<'_>, path: &[u8]) -> Option<Job> {
    let (dir, text) = tree_path(c, path).filter(|_| is_own_file(c, path))?;
    let now = |dir, text| with_texts(libc::SYS_utimensat, &[Plain(dir), text, Plain(NULL), Plain(NULL)]);
    if tree::resolve_file(c.k, c.me, path, true).is_ok() {
        return Some(Job::Call(now(dir, Text(&text))));
    }
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK;
    let words = [Plain(dir), Text(&text), Plain(int(flags)), Plain(Arg::Value(0o666))];
    Some(Job::Through(Opening::Call(with_texts(libc::SYS_openat, &words)), now(Arg::Opened, Plain(NULL))))
}
