//! Layer 3: the whole file tree of a lab: what [`tree`] shows, and `ctl/`, whose files are the verbs of [`control`].

use crate::control::{self, VERBS};
use crate::errno::Result;
use crate::kernel::file::{Bound, OpenFlags};
use crate::kernel::node::{Node, Place};
use crate::kernel::{Kernel, TaskId};
use crate::tree::{self, Attr, DirEntry, FileType, Viewer};
use crate::{bail, err};

/// The file called `name` in a directory.
///
/// # Errors
/// ENOENT: there is none; ENOTDIR; ESRCH: the viewer is gone.
pub fn lookup(k: &Kernel, viewer: Viewer, dir: Node, name: &[u8]) -> Result<Node> {
    let place = match dir.place {
        _ if dir == tree::ROOT && name == b"ctl" => Some(Place::CtlRoot),
        Place::CtlRoot => child_of_root(k, name),
        Place::CtlDir(task) => child_of_task(k, task, name),
        _ => return tree::lookup(k, viewer, dir, name),
    };
    let place = place.ok_or_else(|| err!(ENOENT, "no {} here", String::from_utf8_lossy(name).into_owned()))?;
    Ok(Node { view: dir.view, place })
}

fn child_of_root(k: &Kernel, name: &[u8]) -> Option<Place> {
    match name {
        b"batch" => Some(Place::CtlBatch),
        b"usage" => Some(Place::CtlUsage),
        _ => {
            let number: i32 = std::str::from_utf8(name).ok()?.parse().ok()?;
            // Only the one way of writing it.
            (number.to_string().as_bytes() == name).then(|| k.find_task(number))?.map(Place::CtlDir)
        }
    }
}

fn child_of_task(k: &Kernel, task: TaskId, name: &[u8]) -> Option<Place> {
    if name == b"usage" {
        return k.tasks.contains(task).then_some(Place::CtlTaskUsage(task));
    }
    files(k, task).find(|(verb, _)| verb.as_bytes() == name).map(|(_, place)| place)
}

/// The control files of a task by name; the dead have none.
fn files(k: &Kernel, task: TaskId) -> impl Iterator<Item = (&'static str, Place)> {
    let is_alive = k.tasks.get(task).is_some_and(|task| !task.is_dead());
    let rows = (0_u16..).zip(VERBS).filter(move |(_, verb)| is_alive && verb.is_file);
    rows.map(move |(row, verb)| (verb.name, Place::Ctl(task, row)))
}

/// What a directory holds, `.` and `..` left out. `ctl/` lists every task, threads too.
///
/// # Errors
/// ENOENT: the directory is gone; ENOTDIR; ESRCH: the viewer is gone.
pub fn readdir(k: &Kernel, viewer: Viewer, dir: Node) -> Result<Vec<DirEntry>> {
    let named = |name: &str, place| (name.to_owned(), place);
    let entries = match dir.place {
        Place::CtlRoot => {
            let fixed = [named("batch", Place::CtlBatch), named("usage", Place::CtlUsage)];
            let pids = k.namespaces[k.init.pid_ns].idr.iter();
            let tasks = pids.filter_map(|(number, pid)| Some((number, k.pids[pid].attached.task?)));
            fixed.into_iter().chain(tasks.map(|(nr, task)| (nr.to_string(), Place::CtlDir(task)))).collect()
        }
        Place::CtlDir(task) if !k.tasks.contains(task) => bail!(ENOENT, "the task of this directory is gone"),
        Place::CtlDir(task) => {
            let files = files(k, task).map(|(name, place)| named(name, place));
            files.chain([named("usage", Place::CtlTaskUsage(task))]).collect()
        }
        place if is_control(place) => bail!(ENOTDIR, "a control file is no directory"),
        _ if dir == tree::ROOT => vec![named("ctl", Place::CtlRoot)],
        _ => Vec::new(),
    };
    let entries = entries.into_iter().map(|(name, place)| {
        let file_type = file_type(place);
        DirEntry { name, node: Node { view: dir.view, place }, file_type, ino: tree::ino(k, place) }
    });
    let others = if is_control(dir.place) { Vec::new() } else { tree::readdir(k, viewer, dir)? };
    Ok(entries.chain(others).collect())
}

/// Whether a file is below `ctl/`, that itself included.
fn is_control(place: Place) -> bool {
    matches!(
        place,
        Place::CtlRoot | Place::CtlBatch | Place::CtlUsage | Place::CtlDir(_) | Place::CtlTaskUsage(_) | Place::Ctl(..)
    )
}

fn file_type(place: Place) -> FileType {
    match place {
        Place::CtlRoot | Place::CtlDir(_) => FileType::Directory,
        _ => FileType::File,
    }
}

/// Attributes of a file. What belongs to a task has the owner of its `proc/<pid>`.
///
/// # Errors
/// ENOENT: it is gone; ESRCH: the viewer is gone.
pub fn attr(k: &Kernel, viewer: Viewer, node: Node) -> Result<Attr> {
    if !is_control(node.place) {
        let attr = tree::attr(k, viewer, node)?;
        let ctl = u32::from(node == tree::ROOT);
        return Ok(Attr { nlink: attr.nlink + ctl, ..attr });
    }
    if matches!(node.place, Place::Ctl(task, _) if k.tasks[task].is_dead()) {
        bail!(ENOENT, "the dead have no control files");
    }
    let owned_as = match node.task() {
        Some(task) => Node { view: node.view, place: Place::Pid(task, 0) },
        None => tree::ROOT,
    };
    let owned_as = tree::attr(k, viewer, owned_as)?;
    let (mode, nlink) = match node.place {
        Place::CtlRoot => (0o555, 1),
        Place::CtlDir(_) => (0o555, 2),
        Place::CtlBatch | Place::Ctl(..) => (0o644, 1),
        _ => (0o444, 1),
    };
    Ok(Attr { file_type: file_type(node.place), mode, nlink, ino: tree::ino(k, node.place), ..owned_as })
}

/// Whether `viewer` may open `node` this way. Control files are for everybody whom the host lets in.
///
/// # Errors
/// EACCES: writing usage; ENOENT: the task is gone; those of [`may_change`] and [`tree::may_open`].
pub fn may_open(k: &Kernel, viewer: Viewer, node: Node, flags: OpenFlags) -> Result<()> {
    if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNC) {
        may_change(node)?;
    }
    if !is_control(node.place) {
        return tree::may_open(k, viewer, node, flags);
    }
    if node.task().is_some_and(|task| !k.tasks.contains(task)) {
        bail!(ENOENT, "the task of this file is gone");
    }
    let attr = attr(k, viewer, node)?;
    if flags.contains(OpenFlags::WRITE) && attr.mode & 0o200 == 0 {
        bail!(EACCES, "usage is there to be read");
    }
    Ok(())
}

/// Opens `node` for `viewer`.
///
/// # Errors
/// Those of [`may_open`].
pub fn open(k: &Kernel, viewer: Viewer, node: Node, flags: OpenFlags) -> Result<Bound> {
    may_open(k, viewer, node, flags)?;
    tree::bind(k, viewer, node, flags)
}

/// Whether the host's programs may change a file or directory, rights aside.
///
/// # Errors
/// EROFS: it is in the file tree of a task, which only tasks change.
pub fn may_change(node: Node) -> Result<()> {
    if node.path().is_some() {
        bail!(EROFS, "the file trees of tasks are read-only from outside: let a task do it by its control files");
    }
    Ok(())
}

/// The whole content of an open file. A control file has none of its own.
///
/// # Errors
/// Those of [`tree::read_open`]; EISDIR; ESRCH: its task is gone.
pub fn read(k: &Kernel, viewer: Viewer, file: &Bound) -> Result<Vec<u8>> {
    let node = file.node;
    match node.place {
        place if !is_control(place) => tree::read_open(k, viewer, file),
        _ if node.task().is_some_and(|task| !k.tasks.contains(task)) => bail!(ESRCH, "the task is gone"),
        Place::CtlRoot | Place::CtlDir(_) => bail!(EISDIR, "this is a directory"),
        Place::CtlUsage => Ok(usage(|_| true)),
        Place::CtlTaskUsage(task) => {
            let names: Vec<_> = files(k, task).map(|(name, _)| name).collect();
            Ok(usage(|name| names.contains(&name)))
        }
        _ => Ok(Vec::new()),
    }
}

/// A line for each control file that `is_shown`.
fn usage(is_shown: impl Fn(&str) -> bool) -> Vec<u8> {
    let verbs = VERBS.iter().filter(|verb| verb.is_file && is_shown(verb.name));
    verbs.map(|verb| control::usage_line(verb) + "\n").collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Session;

    fn lab() -> (Kernel, Viewer) {
        let mut kernel = Kernel::boot();
        let (_, result) = Session::default().batch(&mut kernel, b"1 clone\n2 exit 0\n");
        result.unwrap();
        let viewer = Viewer(kernel.init.task);
        (kernel, viewer)
    }

    fn find(k: &Kernel, viewer: Viewer, path: &str) -> Result<Node> {
        path.split('/').try_fold(tree::ROOT, |dir, name| lookup(k, viewer, dir, name.as_bytes()))
    }

    fn content(k: &Kernel, viewer: Viewer, path: &str) -> Vec<u8> {
        let file = open(k, viewer, find(k, viewer, path).unwrap(), OpenFlags::READ).unwrap();
        read(k, viewer, &file).unwrap()
    }

    fn names(k: &Kernel, viewer: Viewer, path: &str) -> Vec<String> {
        let dir = find(k, viewer, path).unwrap();
        readdir(k, viewer, dir).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn a_zombie_has_no_control_file_but_usage() {
        let (k, viewer) = lab();
        assert_eq!(names(&k, viewer, "ctl"), ["batch", "usage", "1", "2"]);
        assert_eq!(names(&k, viewer, "ctl/2"), ["usage"]);
        assert_eq!(find(&k, viewer, "ctl/2/clone").unwrap_err().errno, crate::errno::Errno::ENOENT);
        assert_eq!(content(&k, viewer, "ctl/2/usage"), b"");
    }

    #[test]
    fn what_is_listed_is_found_and_has_the_type_listed() {
        let (k, viewer) = lab();
        for path in ["ctl", "ctl/1", "ctl/2"] {
            let dir = find(&k, viewer, path).unwrap();
            for entry in readdir(&k, viewer, dir).unwrap() {
                assert_eq!(lookup(&k, viewer, dir, entry.name.as_bytes()).unwrap(), entry.node);
                assert_eq!(attr(&k, viewer, entry.node).unwrap().file_type, entry.file_type, "{path}/{}", entry.name);
            }
        }
    }

    #[test]
    fn usage_has_a_line_for_each_control_file() {
        let (k, viewer) = lab();
        let usage = content(&k, viewer, "ctl/1/usage");
        assert_eq!(usage, content(&k, viewer, "ctl/usage"));
        let verbs = String::from_utf8(usage).unwrap();
        let verbs: Vec<_> = verbs.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!([verbs, vec!["usage"]].concat(), names(&k, viewer, "ctl/1"));
    }

    #[test]
    fn a_number_has_one_name() {
        let (k, viewer) = lab();
        for name in ["01", "+1", "1 ", "3", ""] {
            assert!(find(&k, viewer, &format!("ctl/{name}")).is_err(), "{name}");
        }
    }
}
