//! Paths of programs. Most files are the host's; `/proc`, `/sys/fs/cgroup`, `/dev/mqueue` and `/run/netns` are those of the
//! task, whose file tree the lab shows below `as/<pid>/root`. Of its own directory in `/proc` a program sees what is its real
//! process's: descriptors, memory, the program itself.

use std::io;
use std::os::unix::ffi::OsStrExt;

use super::Supervisor;
use super::regs::{MMAP, Regs};
use super::sys::{Resume, Tid};
use super::tracee::{Doing, SCRATCH, Then};
use super::walk;
use crate::abi::{Call, Memory, PathAt, call};
use crate::kernel::{Kernel, TaskId};

/// Directories of the task's own file tree.
pub(super) const OF_TASK: [&[u8]; 5] = [b"/proc", b"/sys/fs/cgroup", b"/dev/mqueue", b"/run/netns", b"/var/run/netns"];

/// Links of the host that lead there.
const LINKS: [(&[u8], &[u8]); 2] = [(b"/etc/mtab", b"/proc/self/mounts"), (b"/var/run/netns", b"/run/netns")];

/// Entries of a process's own directory that are the real one's.
const OF_HOST: [&[u8]; 14] = [
    b"fd",
    b"fdinfo",
    b"exe",
    b"maps",
    b"mem",
    b"auxv",
    b"environ",
    b"cwd",
    b"root",
    b"pagemap",
    b"smaps",
    b"map_files",
    b"cmdline",
    b"attr",
];

/// Files of `/proc` that tell of the machine, which nobody can write to, and which the lab does not have.
const OF_MACHINE: [&[u8]; 4] = [b"config.gz", b"modules", b"kallsyms", b"timer_list"];

/// Bytes of a path, its 0 included, at most (`PATH_MAX`).
const PATH_MAX: u64 = 4096;
pub(super) const AT_FDCWD: i32 = -100;

/// Whether a path is a directory or below it.
pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Whether a path without `.`, `..` and doubled slashes is in a directory of the task's own.
pub(super) fn is_of_task(path: &[u8]) -> bool {
    OF_TASK.iter().any(|dir| is_below(path, dir))
}

/// Whether a path, as it is written, leads to a file of the host and to none of the task's: most do.
pub(super) fn is_of_host(path: &[u8]) -> bool {
    let links = LINKS.iter().map(|(from, _)| *from);
    path.starts_with(b"/")
        && !path.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
        && !OF_TASK.into_iter().chain(links).any(|dir| is_below(path, dir))
}

/// Whether a path of the task leads to a file that the lab has made, and to none of its views.
pub(super) fn is_of_tree(path: &[u8]) -> bool {
    is_below(path, b"/run/netns")
}

/// A path without `.`, `..` and doubled slashes; a slash at the end, which asks for a directory, stays.
pub(super) fn plain(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let mut plain = names.iter().fold(Vec::new(), |path, name| [&path, &b"/"[..], name].concat());
    if plain.is_empty() || path.ends_with(b"/") {
        plain.push(b'/');
    }
    plain
}

impl Supervisor {
    /// A call that names files by paths.
    pub(super) fn rewrite_paths(&mut self, tid: Tid, regs: Regs, paths: &[PathAt]) -> io::Result<()> {
        if matches!(call(regs.number()), Some(Call::Execve | Call::Execveat)) {
            let task = self.task(tid)?;
            if let Err(error) = self.lab.read(|k| k.check_exec(task)).and_then(|may| may) {
                return self.refuse(tid, regs, &error);
            }
        }
        if let Some((fd, cloexec)) = self.opens_fdinfo(tid, &regs, paths)
            && self.open_fdinfo(tid, regs, fd, cloexec)?.is_some()
        {
            return Ok(());
        }
        let mut args = regs.args();
        let mut texts = Vec::new();
        for at in paths {
            let dir = at.dir.map_or(AT_FDCWD, |index| args[index] as i32);
            // What is no path is refused by the real kernel.
            let Ok(path) = (&self.memory(tid) as &dyn Memory).path(args[at.path]) else { continue };
            let follows = walk::follows(&regs.call(), at.path, |how| self.open_how(tid, how));
            if let Some(text) =
                self.rewritten(tid, dir, &path, follows).or_else(|| self.changed_in(tid, &regs, dir, &path))
            {
                texts.push((at.path, text));
            }
        }
        if texts.is_empty() {
            return match self.reads_own_link(tid, &regs) {
                true => self.detour(tid, regs, regs, Then::Link),
                false => self.host.resume(tid, Resume::Cont, 0),
            };
        }
        if let Some((_, long)) = texts.iter().find(|(_, text)| text.len() as u64 >= PATH_MAX) {
            let error = crate::err!(ENAMETOOLONG, "the path in the lab has {} bytes", long.len());
            return self.refuse(tid, regs, &error);
        }
        let bytes: Vec<u8> = texts.iter().flat_map(|(_, text)| [&text[..], b"\0"].concat()).collect();
        let Some(scratch) = self.with_scratch(tid, regs, &bytes)? else { return Ok(()) };
        let Some(regs) = self.change_tree(tid, regs, &paths_of(&texts))? else { return Ok(()) };
        args = regs.args();
        let magic = self.seen(&texts[0].1).map_or(0, |seen| self.magic(tid, &seen));
        let mut addr = scratch;
        for (index, text) in texts {
            args[index] = addr;
            addr += text.len() as u64 + 1;
        }
        let then = match call(regs.number()) {
            Some(Call::Readlink | Call::Readlinkat) => Then::Link,
            Some(Call::Statfs) => Then::FileSystem { addr: args[1], magic },
            _ => Then::Keep,
        };
        self.detour(tid, regs, regs.with(regs.number(), args), then)
    }

    /// `flags` and `resolve` of a `struct open_how`, 0 where it cannot be read.
    fn open_how(&self, tid: Tid, how: u64) -> [u64; 2] {
        let memory: &dyn Memory = &self.memory(tid);
        [0, 16].map(|at| memory.u64(how.wrapping_add(at)).unwrap_or(0))
    }

    /// Where a path leads that starts at a directory of the program; `None`: where it says. `follows`: a link at its end is
    /// followed.
    fn rewritten(&self, tid: Tid, dir: i32, path: &[u8], follows: bool) -> Option<Vec<u8>> {
        if path.is_empty() {
            return None;
        }
        let (whole, base) = if path[0] == b'/' {
            (path.to_vec(), None)
        } else {
            let link = match dir {
                AT_FDCWD => "cwd".to_owned(),
                dir => format!("fd/{dir}"),
            };
            let base = self.host.link(tid, &link).ok()?;
            let seen = self.seen(&base).unwrap_or_else(|| base.clone());
            ([&seen[..], b"/", path].concat(), Some(base))
        };
        if let Some(hidden) = self.hidden(&plain(&whole), base.as_deref()) {
            return Some(hidden);
        }
        if base.is_none() && is_of_host(&whole) && self.lab.programs.elsewhere().is_none() {
            let entered = self.host.enters(&whole, follows)?;
            return self.real(tid, &self.behind_own_links(tid, plain(&entered)));
        }
        let goes_up = base.is_none() && walk::goes_up(&whole);
        let whole = self.behind_own_links(tid, plain(&whole));
        let real = self.real(tid, &whole).or_else(|| {
            let entered = self.host.enters(&whole, follows).filter(|_| !is_of_task(&whole))?;
            self.real(tid, &self.behind_own_links(tid, plain(&entered)))
        });
        let real = real.or_else(|| goes_up.then(|| whole.clone()));
        match (real, base) {
            (real, None) => real,
            // The same file without our help, unless it is seen with the eyes of another.
            (Some(real), Some(base)) => (plain(&[&base[..], b"/", path].concat()) != real).then_some(real),
            // Out of the directories of the task, by `..` or a link of its own. The other directories that the lab shows stay its
            // own, however a program has come there: the host has some of the same names.
            (None, Some(base)) => self.seen(&base).filter(|seen| self.is_of(tid, &plain(seen))).map(|_| whole),
        }
    }

    /// Where a path leads instead that goes, from outside, to the file trees in the mount of the lab: nowhere. They are there
    /// for calls of ours; who walks through the mount to remove what is in it means none of the files seen there.
    fn hidden(&self, whole: &[u8], base: Option<&[u8]>) -> Option<Vec<u8>> {
        let trees = [self.dir(), b"/as"].concat();
        let is_inside = base.is_some_and(|base| is_below(base, &trees));
        (is_below(whole, &trees) && !is_inside).then(|| [&trees[..], b"/0"].concat())
    }

    /// Whether a plain path is in a directory of the task's own, or in one of those mounted elsewhere.
    fn is_of(&self, tid: Tid, path: &[u8]) -> bool {
        is_of_task(path) || self.tracees.get(&tid).is_some_and(|tracee| self.is_elsewhere(tracee.task, path))
    }

    /// The path, where it goes on behind links of the caller's own directory in `/proc`.
    fn behind_own_links(&self, tid: Tid, mut path: Vec<u8>) -> Vec<u8> {
        const LINKS_MAX: usize = 40;
        for _ in 0..LINKS_MAX {
            let Some(next) = self.behind_own_link(tid, &path) else { break };
            path = next;
        }
        path
    }

    fn behind_own_link(&self, tid: Tid, path: &[u8]) -> Option<Vec<u8>> {
        let rest = path.strip_prefix(b"/proc/")?;
        let first = rest.split(|&byte| byte == b'/').next()?;
        let below = rest[first.len()..].strip_prefix(b"/")?;
        if !self.is_own(self.tracees.get(&tid)?.task, first) {
            return None;
        }
        walk::behind_own_link(below, |link| {
            let target = self.host.link(tid, link).ok()?;
            Some(self.seen(&target).unwrap_or(target))
        })
    }

    /// What a program would call a file of its task's tree, by its path on the host.
    pub(super) fn seen(&self, path: &[u8]) -> Option<Vec<u8>> {
        let below = path.strip_prefix(self.dir())?.strip_prefix(b"/as/")?;
        let number = below.iter().take_while(|byte| byte.is_ascii_digit()).count();
        below[number..].strip_prefix(b"/root").map(<[u8]>::to_vec)
    }

    /// The directory of the lab on the host.
    fn dir(&self) -> &[u8] {
        self.served.point().path().as_os_str().as_bytes()
    }

    /// Where the file is that a program means by an absolute path; `None`: it is the host's.
    fn real(&self, tid: Tid, path: &[u8]) -> Option<Vec<u8>> {
        let path = LINKS
            .iter()
            .find(|(from, _)| is_below(path, from))
            .map_or_else(|| path.to_vec(), |(from, to)| [to, &path[from.len()..]].concat());
        if !self.is_of(tid, &path) {
            return None;
        }
        let tracee = self.tracees.get(&tid)?;
        if let Some(rest) = path.strip_prefix(b"/proc/") {
            let first = rest.split(|&byte| byte == b'/').next().unwrap_or_default();
            let below = &rest[first.len()..];
            let is_own = self.is_own(tracee.task, first);
            let name = below.strip_prefix(b"/").and_then(|below| below.split(|&byte| byte == b'/').next());
            if let Some(real) = name.filter(|_| !is_own).and_then(|name| self.of_other(tracee.task, first, name, below))
            {
                return Some(real);
            }
            if is_own && name.is_some_and(|name| OF_HOST.contains(&name)) {
                return match first {
                    // The real kernel finds them itself.
                    b"self" | b"thread-self" => None,
                    _ => Some([format!("/proc/{}", tracee.tgid).as_bytes(), below].concat()),
                };
            }
            // What is written to another one would be written to the host's.
            if OF_MACHINE.contains(&rest) {
                return None;
            }
        }
        Some(self.in_tree(tracee.task, &path))
    }

    fn in_tree(&self, task: TaskId, path: &[u8]) -> Vec<u8> {
        let number = self.lab.read(|k| k.task_nr(task)).unwrap_or(0);
        [self.dir(), format!("/as/{number}/root").as_bytes(), path].concat()
    }

    /// Whether a name in `/proc` is that of the task's own process.
    pub(super) fn is_own(&self, task: TaskId, name: &[u8]) -> bool {
        let number = |k: &Kernel| k.task_tgid_nr_ns(task, k.task_active_pid_ns(task)).to_string();
        matches!(name, b"self" | b"thread-self") || self.lab.read(number).is_ok_and(|number| number.as_bytes() == name)
    }

    /// A link of the real process, which may lead into the lab.
    fn reads_own_link(&self, tid: Tid, regs: &Regs) -> bool {
        let path = match call(regs.number()) {
            Some(Call::Readlink) => regs.args()[0],
            Some(Call::Readlinkat) => regs.args()[1],
            _ => return false,
        };
        let path = (&self.memory(tid) as &dyn Memory).path(path);
        path.is_ok_and(|path| path.starts_with(b"/proc/"))
    }

    /// The text of a link or of a working directory that is in the lab, as the program would see it; how long it is.
    pub(super) fn own_text(&self, tid: Tid, addr: u64, room: u64, length: i64, ends: bool) -> i64 {
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut memory = self.memory(tid);
        if memory.read(addr, &mut text).is_err() {
            return length;
        }
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let name = text.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let is_ns = text.starts_with(self.dir()) && name.contains(&b'[');
        let seen = if is_ns { Some(name.to_vec()) } else { self.seen(text).or_else(|| below_root(text)) };
        let Some(mut seen) = seen else { return length };
        if seen.is_empty() {
            seen.push(b'/');
        }
        if ends {
            seen.push(0);
        }
        seen.truncate(usize::try_from(room).unwrap_or(0));
        match memory.write(addr, &seen) {
            Ok(()) => seen.len() as i64,
            Err(_) => length,
        }
    }

    /// fstatfs: what the lab's files are of is no FUSE.
    pub(super) fn statfs(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let [fd, addr, ..] = regs.args();
        let link = self.host.link(tid, &format!("fd/{}", fd as i32)).unwrap_or_default();
        if !link.starts_with(self.dir()) {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let magic = self.magic(tid, &self.seen(&link).unwrap_or(link));
        self.detour(tid, regs, regs, Then::FileSystem { addr, magic })
    }

    /// Writes to memory of the program that is ours, and gives its address. `None`: there was none, or the program has taken it
    /// away; there is other now, and the call begins anew.
    pub(super) fn with_scratch(&mut self, tid: Tid, regs: Regs, bytes: &[u8]) -> io::Result<Option<u64>> {
        if let Some(scratch) = self.tracee(tid)?.scratch {
            match self.host.write_memory(tid, scratch, bytes) {
                Ok(()) => return Ok(Some(scratch)),
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => self.tracee(tid)?.scratch = None,
                Err(error) => return Err(error),
            }
        }
        self.map_scratch(tid, regs).map(|()| None)
    }

    /// The number of the file system of a path in the task's tree.
    fn magic(&self, tid: Tid, path: &[u8]) -> u64 {
        let name = self.tracees.get(&tid).and_then(|tracee| self.elsewhere(tracee.task, path));
        match name {
            Some(name) if !is_namespace(path) => magic(format!("/{name}").as_bytes()),
            _ => magic(path),
        }
    }

    /// Gets memory of the program for us; the call that it wanted to make begins anew.
    fn map_scratch(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let tracee = self.tracee(tid)?;
        tracee.is_again = true;
        if let Some(piece) = tracee.space.take() {
            tracee.scratch = Some(piece);
            return self.call_begins(tid);
        }
        tracee.doing = Doing::Mapping(Box::new(regs));
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let args = [0, SCRATCH, protection as u64, flags as u64, u64::MAX, 0];
        self.host.set_registers(tid, regs.with(MMAP, args).0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    pub(super) fn has_scratch(&mut self, tid: Tid, regs: Regs, wanted: Regs) -> io::Result<()> {
        let piece = regs.result();
        if piece < 0 {
            self.tracee(tid)?.is_again = false;
            let regs = regs.as_wanted(&wanted).with_result(-i64::from(libc::ENOMEM));
            self.host.set_registers(tid, regs.0)?;
            return self.host.resume(tid, Resume::Cont, 0);
        }
        self.tracee(tid)?.scratch = Some(piece.cast_unsigned());
        self.host.set_registers(tid, wanted.again().0)?;
        self.host.resume(tid, Resume::Cont, 0)
    }
}

/// What is below the root of a task, by the text of a link of the lab that leads there.
fn below_root(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text.strip_prefix(b"../")?;
    while let Some(up) = rest.strip_prefix(b"../") {
        rest = up;
    }
    let below = rest.strip_prefix(b"as/")?;
    let number = below.iter().take_while(|byte| byte.is_ascii_digit()).count();
    below[number..].strip_prefix(b"/root").map(<[u8]>::to_vec)
}

/// The paths of a call, without where they stand.
fn paths_of(texts: &[(usize, Vec<u8>)]) -> Vec<&[u8]> {
    texts.iter().map(|(_, text)| &text[..]).collect()
}

/// Whether a path is that of a namespace file.
fn is_namespace(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    path.ends_with(&[b"/ns/", name].concat()) || name.contains(&b'[')
}

/// The number of the file system of a path in the task's tree, as statfs(2) has it.
fn magic(path: &[u8]) -> u64 {
    const PROC: u64 = 0x9fa0;
    const NSFS: u64 = 0x6e73_6673;
    const CGROUP2: u64 = 0x6367_7270;
    const MQUEUE: u64 = 0x1980_0202;
    const TMPFS: u64 = 0x0102_1994;
    match path {
        _ if is_namespace(path) => NSFS,
        _ if is_below(path, b"/proc") => PROC,
        _ if is_below(path, b"/sys/fs/cgroup") || path == b"/cgroup2" => CGROUP2,
        _ if is_below(path, b"/dev/mqueue") || path == b"/mqueue" => MQUEUE,
        _ => TMPFS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        for (path, expected) in [
            ("/proc/../etc//passwd", "/etc/passwd"),
            ("/a/./b/", "/a/b/"),
            ("/..", "/"),
            ("//proc/self", "/proc/self"),
            ("/", "/"),
        ] {
            assert_eq!(plain(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn paths_of_the_host_are_told_as_they_are_written() {
        for path in ["/", "/usr/lib/libc.so.6", "/process", "/etc/mtab.old", "/sys/fs"] {
            assert!(is_of_host(path.as_bytes()), "{path}");
        }
        let others = ["", "a", "/proc", "/proc/self", "/usr/../proc", "//proc", "/./proc", "/etc/mtab", "/run/netns/a"];
        for path in others {
            assert!(!is_of_host(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_directory_is_more_than_the_start_of_a_name() {
        assert!(is_below(b"/proc", b"/proc") && is_below(b"/proc/1", b"/proc"));
        assert!(!is_below(b"/process", b"/proc"));
    }
}
