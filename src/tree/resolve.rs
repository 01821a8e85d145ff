//! From a path to its node, as a task walks it: with search rights on each directory and Linux's checks at magic links
//! (`link_path_walk` in `fs/namei.c`).

use super::family::{Link, TREE};
use super::look::{Look, parse_number};
use super::open::{Access, check_access};
use super::{FileType, ROOT, Viewer, attr_of, cgroup, check_not_gone, is_alive, is_task_gone, lookup, root, structs};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::FileKind;
use crate::kernel::mount::flags::MountFlags;
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Node, Place, Top, View};
use crate::kernel::{FileId, Kernel, NsId, TaskId};

/// Longest name of a file, bytes.
const NAME_MAX: usize = 255;
/// Most links in one walk (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// The file a path of `task` leads to; a link at its end is followed if `follow_last`.
///
/// `/…`, `./…` and `../…` are in the task's own file tree. `proc/…` and the short form `<pid>/…` are the `proc` of
/// `view`, whose numbers they use; `kernel/…` is the lab's. `fd:<n>/…` starts at a descriptor; in the lab's view `..`
/// does not go above the start.
///
/// # Errors
/// ENOENT: no such file, or an empty path; ENOTDIR; EACCES: no right to search a directory or to follow a link; EBADF:
/// no such descriptor; ELOOP: too many links; ENAMETOOLONG; ESRCH: a directory of a task that is gone.
pub fn resolve(k: &Kernel, task: TaskId, view: View, path: &[u8], follow_last: bool) -> Result<Node> {
    let first = first_name(path);
    let (start, rest) = match first {
        b"" | b"." | b".." => start(k, task, path)?,
        _ if split_fd(path).is_some() => start(k, task, path)?,
        b"proc" | b"cgroup" | b"mqueue" => (top_of_view(k, task, view, first)?, &path[first.len()..]),
        b"kernel" => (ROOT, path),
        _ if parse_number::<i32>(first).is_some() => (Node { view, place: Place::Top(Top::Proc) }, path),
        _ => bail!(ENOENT, "no {} in the lab", String::from_utf8_lossy(first).into_owned()),
    };
    Walk::new(k, task, follow_last).run(start, rest)
}

fn first_name(path: &[u8]) -> &[u8] {
    path.split(|&byte| byte == b'/').next().unwrap_or_default()
}

fn top_of_view(k: &Kernel, task: TaskId, view: View, name: &[u8]) -> Result<Node> {
    let place = match name {
        b"cgroup" => Place::Cgroup(cgroup::root(&Look::now(k, Viewer(task), Node { view, ..ROOT })?), None),
        b"mqueue" => Place::Top(Top::Mqueue),
        _ => Place::Top(Top::Proc),
    };
    Ok(Node { view, place })
}

/// The file a path in the task's own file tree leads to, or below `proc/`, `cgroup/` or `mqueue/` in the lab's view. One
/// that starts with neither of these nor `/` nor `fd:<n>` starts at the working directory.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_file(k: &Kernel, task: TaskId, path: &[u8], follow_last: bool) -> Result<Node> {
    let (start, rest) = file_start(k, task, path)?;
    Walk::new(k, task, follow_last).run(start, rest)
}

/// The last part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last<'p> {
    Name(&'p [u8]),
    Dot,
    DotDot,
    /// The path has no names at all: `/`.
    Root,
}

/// The directory a path in the task's own file tree leads to but for its last part (`filename_parentat`).
///
/// # Errors
/// As [`resolve`].
pub fn resolve_parent<'p>(k: &Kernel, task: TaskId, path: &'p [u8]) -> Result<(Node, Last<'p>)> {
    if split_fd(path).is_some_and(|(_, rest)| rest.is_empty()) {
        bail!(ENOENT, "the path is empty behind the descriptor");
    }
    let (start, rest) = file_start(k, task, path)?;
    let end = rest.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
    let names = &rest[..end];
    let (dirs, last) = match names.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => names.split_at(slash + 1),
        None => names.split_at(0),
    };
    let walk = Walk::new(k, task, true);
    let dir = walk.run(start, dirs)?;
    let last = match last {
        b"" => Last::Root,
        b"." => Last::Dot,
        b".." => Last::DotDot,
        name => Last::Name(name),
    };
    // Nothing is looked up in the directory that a path of slashes leads to.
    if !matches!(last, Last::Root) {
        walk.check_search(dir)?;
    }
    Ok((dir, last))
}

/// The descriptor of `fd:<n>` and what comes after it, if the path has this form.
fn split_fd(path: &[u8]) -> Option<(i32, &[u8])> {
    let path = path.strip_prefix(b"fd:")?;
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    parse_number(&path[..end]).map(|fd| (fd, path[end..].strip_prefix(b"/").unwrap_or_default()))
}

/// Where a path for [`resolve_file`] starts, and the rest of it.
fn file_start<'p>(k: &Kernel, task: TaskId, path: &'p [u8]) -> Result<(Node, &'p [u8])> {
    let first = first_name(path);
    if matches!(first, b"proc" | b"cgroup" | b"mqueue") && first != path {
        let view = View::PidNs(k.task_active_pid_ns(task));
        return Ok((top_of_view(k, task, view, first)?, &path[first.len() + 1..]));
    }
    start(k, task, path)
}

/// Where a path in the task's own file tree starts, and the rest of it.
fn start<'p>(k: &Kernel, task: TaskId, path: &'p [u8]) -> Result<(Node, &'p [u8])> {
    if path.is_empty() {
        bail!(ENOENT, "the path is empty");
    }
    if let Some((number, rest)) = split_fd(path) {
        let Some(file) = k.file_at(task, number) else { bail!(EBADF, "descriptor {} is not open", number) };
        return match open_file(k, file) {
            Some(node) => Ok((node, rest)),
            None => bail!(ENOTDIR, "descriptor {} is a pidfd or a socket", number),
        };
    }
    let Some(fs) = k.fs_of(task) else { bail!(ESRCH, "pid {} is dead and has no file tree", k.task_nr(task)) };
    match path.strip_prefix(b"/") {
        Some(rest) => Ok((Node::from(fs.root.path()), rest)),
        None => Ok((Node::from(fs.pwd.path()), path)),
    }
}

/// The file that is open; `None`: a pidfd or a socket, which has no place in any tree.
fn open_file(k: &Kernel, file: FileId) -> Option<Node> {
    let file = &k.open_files[file];
    match &file.kind {
        FileKind::Node { bound, .. } => Some(bound.node),
        FileKind::Ns(id) => Some(match &file.path {
            Some(path) => Node::from(path.path()),
            None => Node { view: View::Caller, place: Place::NsFile(*id) },
        }),
        FileKind::Mqueue(open) => Some(Node { view: View::Caller, place: Place::Mqueue(open.queue.id()) }),
        FileKind::Pidfd { .. } | FileKind::Socket(_) => None,
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
    /// A path from the directory of the link, or from the root directory.
    Path(Vec<u8>),
}

impl<'k> Walk<'k> {
    fn new(k: &'k Kernel, task: TaskId, follow_last: bool) -> Walk<'k> {
        Walk { k, task, follow_last }
    }

    fn run(&self, start: Node, path: &[u8]) -> Result<Node> {
        let mut here = start;
        // The way back, for the lab's view; mounts and dentries know theirs.
        let mut way = Vec::new();
        let mut links = 0;
        let mut ahead: Vec<Vec<u8>> = components(path);
        while let Some(name) = ahead.pop() {
            self.check_search(here)?;
            match &name[..] {
                b"" | b"." => continue,
                b".." => {
                    here = if here.path().is_some() { self.parent(here)? } else { way.pop().unwrap_or(here) };
                    continue;
                }
                _ => {}
            }
            let found = self.child(here, &name)?;
            let follows = self.follow_last || !ahead.is_empty();
            let next = match self.follow(found).filter(|_| follows) {
                None => found,
                Some(target) => {
                    self.check_symfollow(found)?;
                    links += 1;
                    if links > LINKS_MAX {
                        bail!(ELOOP, "more than {} links on the way", LINKS_MAX);
                    }
                    match target? {
                        Target::Node(target) => target,
                        Target::Path(path) => {
                            if path.starts_with(b"/") {
                                here = self.root()?;
                            }
                            ahead.extend(components(path.strip_prefix(b"/").unwrap_or(&path)));
                            continue;
                        }
                    }
                }
            };
            way.push(std::mem::replace(&mut here, next));
        }
        Ok(here)
    }

    fn root(&self) -> Result<Node> {
        start(self.k, self.task, b"/").map(|(root, _)| root)
    }

    fn look(&self, node: Node) -> Result<Look<'k>> {
        Look::now(self.k, Viewer(self.task), node)
    }

    fn check_search(&self, dir: Node) -> Result<()> {
        let look = self.look(dir)?;
        check_not_gone(&look, dir)?;
        if !is_alive(&look, dir) && !is_task_gone(&look, dir) {
            bail!(ENOENT, "what this directory shows is gone");
        }
        let attr = attr_of(&look, dir)?;
        if attr.file_type != FileType::Directory {
            bail!(ENOTDIR, "{} is no directory", look.ask(dir.place, |dir| dir.path(&look)));
        }
        check_access(&look, dir, &attr, Access::EXEC)
    }

    /// `..`: not above the task's root directory; from the root of a mount to the directory above its mountpoint; and
    /// into what covers that (`follow_dotdot`).
    fn parent(&self, here: Node) -> Result<Node> {
        let Some(mut path) = here.path() else { return Ok(here) };
        let root = self.root()?.path();
        while Some(path) != root {
            if self.k.is_mount_root(path) {
                let Some((parent, site)) = self.k.vfs.mounts[path.mount].place_in_tree() else { break };
                path = Path { mount: parent, place: site.place };
                continue;
            }
            if let Some((_, dir)) = root::step_up(&self.look(Node::from(path))?, path) {
                path.place = dir;
            }
            break;
        }
        Ok(Node::from(self.k.topmost(path)))
    }

    /// As [`lookup`], without the hidden namespace files: a task goes through the links and their checks.
    fn child(&self, dir: Node, name: &[u8]) -> Result<Node> {
        if name.len() > NAME_MAX {
            bail!(ENAMETOOLONG, "a name of {} bytes, at most {} are possible", name.len(), NAME_MAX);
        }
        let node = lookup(self.k, Viewer(self.task), dir, name)?;
        if TREE.ask(dir.place, |dir| dir.hides_ns_files()) && TREE.ask(node.place, |file| file.ns()).is_some() {
            bail!(ENOENT, "no {} here", String::from_utf8_lossy(name).into_owned());
        }
        Ok(node)
    }

    /// `None`: no link.
    fn follow(&self, node: Node) -> Option<Result<Target>> {
        let link = self.look(node).and_then(|look| look.ask(node.place, |file| file.link(&look)));
        link.transpose().map(|link| self.target(node, link?))
    }

    fn target(&self, from: Node, link: Link) -> Result<Target> {
        Ok(match link {
            Link::Symlink(text) | Link::Relative(text) => Target::Path(text),
            Link::Tree(_, path) => Target::Node(Node::from(path)),
            Link::Program(..) => bail!(ENOENT, "the programs of tasks are no files of the lab"),
            Link::Ns(ns) => Target::Node(self.ns_file(from, ns)),
            Link::File { fd, file, .. } => match open_file(self.k, file) {
                Some(node) => match TREE.ask(node.place, |file| file.ns()) {
                    Some(ns) if node.view == View::Caller => Target::Node(self.ns_file(from, ns)),
                    _ => Target::Node(node),
                },
                None => bail!(ENXIO, "descriptor {} is a pidfd or a socket, which has no path", fd),
            },
            Link::Object(object) => Target::Node(Node { view: from.view, place: structs::root(object) }),
        })
    }

    /// The file of a namespace: in the file tree of a task it is reached through the kernel's own mount of nsfs.
    fn ns_file(&self, link: Node, ns: NsId) -> Node {
        let place = Place::NsFile(ns);
        match link.path() {
            Some(_) => Node::from(Path { mount: self.k.vfs.nsfs.id(), place }),
            None => Node { view: link.view, place },
        }
    }

    /// Whether links of a mount are followed, those of `proc` too.
    ///
    /// # Errors
    /// ELOOP: the mount has nosymfollow.
    fn check_symfollow(&self, link: Node) -> Result<()> {
        let mount = link.path().map(|path| &self.k.vfs.mounts[path.mount]);
        if mount.is_some_and(|mount| mount.flags.contains(MountFlags::NOSYMFOLLOW)) {
            bail!(ELOOP, "the mount has nosymfollow");
        }
        Ok(())
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
