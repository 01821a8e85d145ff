//! From a path to its node, as a task walks it: with search rights on each directory and Linux's checks at magic links
//! (`link_path_walk` in `fs/namei.c`).

use super::fixed::{self, PROC};
use super::look::{Look, parse_number};
use super::open::{Access, check_access};
use super::proc::pid::{self, fd, ns};
use super::{FileType, ROOT, Viewer, attr_of, cgroup, is_alive, lookup, structs};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::FileKind;
use crate::kernel::node::{Node, Object, Place, View};
use crate::kernel::{Kernel, TaskId};

/// The file a path of `task` leads to; a link at its end is followed if `follow_last`.
///
/// `proc/…` and the short form `<pid>/…` are the `proc` of `view`, whose numbers they use. `/proc/…` is the one mounted
/// there since boot, of the initial pid namespace. `kernel/…` is the lab's. `fd:<n>/…` starts at a descriptor, and
/// `..` does not go above it.
///
/// # Errors
/// ENOENT: no such file, or a part of the file system that is not simulated; ENOTDIR; EACCES: no right to search a
/// directory or to follow a link; EBADF: no such descriptor; ESRCH: a directory of a task that is gone.
pub fn resolve(k: &Kernel, task: TaskId, view: View, path: &[u8], follow_last: bool) -> Result<Node> {
    let (start, rest) = start(k, task, view, path)?;
    Walk { k, task, follow_last }.run(start, rest)
}

/// The descriptor of `fd:<n>` and what comes after it, if the path has this form.
fn split_fd(path: &[u8]) -> Option<(i32, &[u8])> {
    let path = path.strip_prefix(b"fd:")?;
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    parse_number(&path[..end]).map(|fd| (fd, path[end..].strip_prefix(b"/").unwrap_or_default()))
}

/// Where boot mounted the whole cgroup2 hierarchy.
const CGROUP_MOUNT: &[u8] = b"/sys/fs/cgroup";

/// Where a path starts, and the rest of it.
fn start<'p>(k: &Kernel, task: TaskId, view: View, path: &'p [u8]) -> Result<(Node, &'p [u8])> {
    if let Some((fd, rest)) = split_fd(path) {
        return Ok((open_file(k, task, fd)?, rest));
    }
    let proc = Node { view, place: Place::Fixed(PROC) };
    let cgroup = |id| Node { view, place: Place::Cgroup(id, None) };
    if let Some(rest) = path.strip_prefix(CGROUP_MOUNT).filter(|rest| rest.is_empty() || rest.starts_with(b"/")) {
        return Ok((cgroup(k.cgroup.root()), rest));
    }
    let (first, rest) = match path.iter().position(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, &b""[..]),
    };
    match first {
        b"" if rest == b"proc" || rest.starts_with(b"proc/") => Ok((ROOT, rest)),
        b"proc" => Ok((proc, rest)),
        b"cgroup" => Ok((cgroup(cgroup::root(&Look::now(k, Viewer(task), proc)?)), rest)),
        b"kernel" => Ok((ROOT, path)),
        b"mqueue" => Ok((Node { view, place: ROOT.place }, path)),
        _ if parse_number::<i32>(first).is_some() => Ok((proc, path)),
        b"" | b"." | b".." => bail!(ENOENT, "only /proc of the task's own file tree is simulated"),
        _ => bail!(ENOENT, "no {} in the lab", String::from_utf8_lossy(first).into_owned()),
    }
}

/// The file behind a descriptor.
///
/// # Errors
/// EBADF: it is closed. ENOTDIR: a pidfd, which has no place in the tree.
fn open_file(k: &Kernel, task: TaskId, fd: i32) -> Result<Node> {
    let Some(file) = k.file_at(task, fd) else { bail!(EBADF, "descriptor {} is not open", fd) };
    match &k.open_files[file].kind {
        FileKind::Node { node, .. } => Ok(*node),
        FileKind::Ns(id) => Ok(Node { view: View::Caller, place: Place::NsFile(*id) }),
        FileKind::Socket(_) => bail!(ENOTDIR, "descriptor {} is a socket", fd),
        FileKind::Mqueue(open) => Ok(Node { view: View::Caller, place: Place::Mqueue(open.queue.id()) }),
        FileKind::Pidfd { .. } => bail!(ENOTDIR, "descriptor {} is a pidfd", fd),
    }
}

struct Walk<'k> {
    k: &'k Kernel,
    task: TaskId,
    follow_last: bool,
}

/// Where a link leads.
enum Target {
    Node(Node),
    /// A path from the directory of the link.
    Path(String),
}

impl Walk<'_> {
    fn run(&self, start: Node, path: &[u8]) -> Result<Node> {
        let mut way = vec![start];
        let mut ahead: Vec<Vec<u8>> = components(path);
        while let Some(name) = ahead.pop() {
            let here = *way.last().unwrap_or(&start);
            self.check_search(here)?;
            match &name[..] {
                b"" | b"." => {}
                b".." if way.len() > 1 => drop(way.pop()),
                b".." => {}
                _ => {
                    let found = self.child(here, &name)?;
                    let follows = self.follow_last || !ahead.is_empty();
                    match self.follow(found).filter(|_| follows) {
                        Some(Ok(Target::Path(path))) => ahead.extend(components(path.as_bytes())),
                        Some(Ok(Target::Node(target))) => way.push(target),
                        Some(Err(refused)) => return Err(refused),
                        None => way.push(found),
                    }
                }
            }
        }
        Ok(*way.last().unwrap_or(&start))
    }

    fn look(&self, node: Node) -> Result<Look<'_>> {
        Look::now(self.k, Viewer(self.task), node)
    }

    fn check_search(&self, dir: Node) -> Result<()> {
        let look = self.look(dir)?;
        if !is_alive(self.k, dir) {
            match dir.place {
                Place::Pid(_, 0) | Place::Tid(_, 0) => bail!(ESRCH, "the task of this directory is gone"),
                _ => bail!(ENOENT, "what this directory shows is gone"),
            }
        }
        let attr = attr_of(&look, dir)?;
        if attr.file_type != FileType::Directory {
            bail!(ENOTDIR, "{} is no directory", super::name::path(&look, dir.place));
        }
        check_access(&look, dir, &attr, Access::EXEC)
    }

    /// As [`lookup`], without the hidden namespace files: a task goes through the links and their checks.
    fn child(&self, dir: Node, name: &[u8]) -> Result<Node> {
        match lookup(self.k, Viewer(self.task), dir, name)? {
            Node { place: Place::NsFile(_), .. } => {
                bail!(ENOENT, "no {} here", String::from_utf8_lossy(name).into_owned())
            }
            node => Ok(node),
        }
    }

    /// `None`: no link.
    fn follow(&self, node: Node) -> Option<Result<Target>> {
        let object =
            |target: Option<Object>| Some(Ok(Target::Node(Node { view: node.view, place: Place::Struct(target?, 0) })));
        match node.place {
            Place::Fixed(row) => match fixed::row(row).kind {
                fixed::Kind::Link(text) => Some(self.look(node).and_then(|look| text(&look)).map(Target::Path)),
                _ => None,
            },
            Place::Pid(task, row) | Place::Tid(task, row) => match pid::row_at(row).kind {
                pid::Kind::Link(text) => Some(self.follow_into_tree(node, task, text(self.k, task).is_some())),
                _ => None,
            },
            Place::NsLink { task, entry, .. } => {
                let place = self.look(node).and_then(|look| ns::follow(&look, task, entry)).map(Place::NsFile);
                Some(place.map(|place| Target::Node(Node { view: node.view, place })))
            }
            Place::Fd { task, fd, info: false, .. } => Some(self.follow_fd(node, task, fd)),
            Place::Struct(from, row) => object(structs::target(self.k, from, row)),
            Place::StructItem(from, row, key) => object(structs::item_target(self.k, from, row, key)),
            _ => None,
        }
    }

    fn follow_fd(&self, link: Node, task: TaskId, fd: i32) -> Result<Target> {
        self.look(link)?.check_ptrace(task)?;
        match &fd::file(self.k, task, fd)?.kind {
            FileKind::Ns(id) => Ok(Target::Node(Node { view: link.view, place: Place::NsFile(*id) })),
            FileKind::Node { node, .. } => Ok(Target::Node(*node)),
            FileKind::Socket(_) => bail!(ENXIO, "descriptor {} is a socket, which has no path", fd),
            FileKind::Mqueue(open) => Ok(Target::Node(Node { view: link.view, place: Place::Mqueue(open.queue.id()) })),
            FileKind::Pidfd { .. } => bail!(ENXIO, "descriptor {} is a pidfd, which has no path", fd),
        }
    }

    fn follow_into_tree(&self, link: Node, task: TaskId, leads_somewhere: bool) -> Result<Target> {
        self.look(link)?.check_ptrace(task)?;
        if leads_somewhere {
            bail!(ENOENT, "the file tree of pid {} is not simulated", self.k.task_nr(task));
        }
        bail!(ENOENT, "pid {} is dead and has no file tree", self.k.task_nr(task));
    }
}

/// The names of a path, last first. A slash at the end gives an empty last name, which asks for a directory.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    if path.is_empty() {
        return Vec::new();
    }
    path.rsplit(|&byte| byte == b'/').map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_may_start_a_path() {
        assert_eq!(split_fd(b"fd:3"), Some((3, &b""[..])));
        assert_eq!(split_fd(b"fd:12/ns/net"), Some((12, &b"ns/net"[..])));
        assert_eq!(split_fd(b"fd:x"), None);
        assert_eq!(split_fd(b"proc/3"), None);
    }
}
