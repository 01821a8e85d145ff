//! Layer 3: the whole file tree of a lab: what [`tree`] shows, and `ctl/`, whose files are the verbs of [`control`].

use crate::control::{self, VERBS};
use crate::errno::Result;
use crate::kernel::file::{Bound, OpenFlags};
use crate::kernel::node::{ITSELF, Node, Place, TaskDir};
use crate::kernel::{Kernel, TaskId};
use crate::tree::{self, Attr, Cacheable, Content, DirEntry, FileType, Polled, Rendering, Style, Viewer};
use crate::{bail, err};

/// A file of `ctl/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `ctl` itself.
    Root,
    /// `ctl/batch`
    Batch,
    /// `ctl/usage`
    Usage,
    /// `ctl/self`: a link to the viewer's directory.
    Own,
    /// `ctl/<pid>`
    Task(TaskId),
    /// `ctl/<pid>/usage`
    TaskUsage(TaskId),
    /// `ctl/<pid>/<verb>`, by row of [`VERBS`].
    Verb(TaskId, u16),
}

/// The first row of a task's verbs; the rows before it are the directory and its `usage`.
const FIRST_VERB: u16 = 2;

/// The files directly in `ctl` besides the directories of tasks, in the order of listing.
const AT_TOP: [(&str, Control); 3] = [("batch", Control::Batch), ("usage", Control::Usage), ("self", Control::Own)];

impl Control {
    /// The file of `ctl/` a place stands for.
    pub fn of(place: Place) -> Option<Control> {
        let Place::Above { task, row } = place else { return None };
        match (task, row) {
            (None, 0) => Some(Control::Root),
            (None, 1) => Some(Control::Batch),
            (None, 2) => Some(Control::Usage),
            (None, 3) => Some(Control::Own),
            (None, _) => None,
            (Some(task), 0) => Some(Control::Task(task)),
            (Some(task), 1) => Some(Control::TaskUsage(task)),
            (Some(task), row) => Some(Control::Verb(task, row - FIRST_VERB)),
        }
    }

    pub fn place(self) -> Place {
        let (task, row) = match self {
            Control::Root => (None, 0),
            Control::Batch => (None, 1),
            Control::Usage => (None, 2),
            Control::Own => (None, 3),
            Control::Task(task) => (Some(task), 0),
            Control::TaskUsage(task) => (Some(task), 1),
            Control::Verb(task, row) => (Some(task), row + FIRST_VERB),
        };
        Place::Above { task, row }
    }

    fn file_type(self) -> FileType {
        match self {
            Control::Root | Control::Task(_) => FileType::Directory,
            Control::Batch | Control::Usage | Control::TaskUsage(_) | Control::Verb(..) => FileType::File,
            Control::Own => FileType::Symlink,
        }
    }

    fn mode(self) -> u16 {
        match self {
            Control::Root | Control::Task(_) => 0o555,
            Control::Batch | Control::Verb(..) => 0o644,
            Control::Usage | Control::TaskUsage(_) => 0o444,
            Control::Own => 0o777,
        }
    }

    /// `None`: it is no directory, or nothing in it has this name.
    fn lookup(self, k: &Kernel, name: &[u8]) -> Option<Control> {
        match self {
            Control::Root => match AT_TOP.iter().find(|(known, _)| known.as_bytes() == name) {
                Some((_, file)) => Some(*file),
                None => {
                    let number: i32 = std::str::from_utf8(name).ok()?.parse().ok()?;
                    // Only the one way of writing it.
                    (number.to_string().as_bytes() == name).then(|| k.find_task(number))?.map(Control::Task)
                }
            },
            Control::Task(task) if name == b"usage" => k.tasks.contains(task).then_some(Control::TaskUsage(task)),
            Control::Task(task) => files(k, task).find(|(verb, _)| verb.as_bytes() == name).map(|(_, file)| file),
            Control::Batch | Control::Usage | Control::Own | Control::TaskUsage(_) | Control::Verb(..) => None,
        }
    }

    /// # Errors
    /// ENOENT: the directory is gone; ENOTDIR.
    fn list(self, k: &Kernel) -> Result<Vec<(String, Control)>> {
        match self {
            Control::Root => {
                let pids = k.namespaces[k.init.pid_ns].idr.iter();
                let tasks = pids.filter_map(|(number, pid)| Some((number, k.pids[pid].attached.task?)));
                let tasks = tasks.map(|(number, task)| (number.to_string(), Control::Task(task)));
                Ok(AT_TOP.iter().map(|(name, file)| ((*name).to_owned(), *file)).chain(tasks).collect())
            }
            Control::Task(task) if !k.tasks.contains(task) => bail!(ENOENT, "the task of this directory is gone"),
            Control::Task(task) => {
                let files = files(k, task).chain([("usage", Control::TaskUsage(task))]);
                Ok(files.map(|(name, file)| (name.to_owned(), file)).collect())
            }
            Control::Batch | Control::Usage | Control::Own | Control::TaskUsage(_) | Control::Verb(..) => {
                bail!(ENOTDIR, "a control file is no directory")
            }
        }
    }

    /// The content; a file that makes calls has none of its own.
    ///
    /// # Errors
    /// EISDIR; EINVAL: a link.
    fn read(self, k: &Kernel) -> Result<Vec<u8>> {
        match self {
            Control::Root | Control::Task(_) => bail!(EISDIR, "this is a directory"),
            Control::Own => bail!(EINVAL, "this is a symbolic link"),
            Control::Usage => Ok(usage(|_| true)),
            Control::TaskUsage(task) => {
                let names: Vec<_> = files(k, task).map(|(name, _)| name).collect();
                Ok(usage(|name| names.contains(&name)))
            }
            Control::Batch | Control::Verb(..) => Ok(Vec::new()),
        }
    }
}

/// The control files of a task by name; the dead have none.
fn files(k: &Kernel, task: TaskId) -> impl Iterator<Item = (&'static str, Control)> {
    let is_alive = k.tasks.get(task).is_some_and(|task| !task.is_dead());
    let rows = (0_u16..).zip(VERBS).filter(move |(_, verb)| is_alive && verb.is_file);
    rows.map(move |(row, verb)| (verb.name, Control::Verb(task, row)))
}

/// A line for each control file that `is_shown`.
fn usage(is_shown: impl Fn(&str) -> bool) -> Vec<u8> {
    let verbs = VERBS.iter().filter(|verb| verb.is_file && is_shown(verb.name));
    verbs.map(|verb| control::usage_line(verb) + "\n").collect::<String>().into_bytes()
}

/// Whether what a name leads to depends on who asks.
pub fn is_viewed(dir: Node, name: &[u8]) -> bool {
    match Control::of(dir.place) {
        Some(dir) => {
            dir == Control::Root && AT_TOP.iter().any(|(own, file)| *file == Control::Own && own.as_bytes() == name)
        }
        None => dir == tree::ROOT && tree::VIEWED.iter().any(|viewed| viewed.as_bytes() == name),
    }
}

/// The file called `name` in a directory.
///
/// # Errors
/// ENOENT: there is none; ENOTDIR; ESRCH: the viewer is gone.
pub fn lookup(k: &Kernel, viewer: Viewer, dir: Node, name: &[u8]) -> Result<Node> {
    let file = match Control::of(dir.place) {
        Some(dir) => dir.lookup(k, name),
        None if dir == tree::ROOT && name == b"ctl" => Some(Control::Root),
        None => return tree::lookup(k, viewer, dir, name),
    };
    let file = file.ok_or_else(|| err!(ENOENT, "no {} here", String::from_utf8_lossy(name).into_owned()))?;
    Ok(Node { view: dir.view, place: file.place() })
}

/// What a directory holds, `.` and `..` left out. `ctl/` lists every task, threads too.
///
/// # Errors
/// ENOENT: the directory is gone; ENOTDIR; ESRCH: the viewer is gone.
pub fn readdir(k: &Kernel, viewer: Viewer, dir: Node) -> Result<Vec<DirEntry>> {
    let entry = |(name, file): (String, Control)| {
        let place = file.place();
        DirEntry { name, node: Node { view: dir.view, place }, file_type: file.file_type(), ino: tree::ino(k, place) }
    };
    match Control::of(dir.place) {
        Some(dir) => Ok(dir.list(k)?.into_iter().map(entry).collect()),
        None => {
            let ctl = (dir == tree::ROOT).then(|| entry(("ctl".to_owned(), Control::Root)));
            Ok(ctl.into_iter().chain(tree::readdir(k, viewer, dir)?).collect())
        }
    }
}

/// Attributes of a file. What belongs to a task has the owner of its `proc/<pid>`.
///
/// # Errors
/// ENOENT: it is gone; ESRCH: the viewer is gone.
pub fn attr(k: &Kernel, viewer: Viewer, node: Node) -> Result<Attr> {
    let Some(file) = Control::of(node.place) else {
        let attr = tree::attr(k, viewer, node)?;
        let ctl = u32::from(node == tree::ROOT);
        return Ok(Attr { nlink: attr.nlink + ctl, ..attr });
    };
    let owned_as = match node.task() {
        Some(task) => Node { view: node.view, place: TaskDir::process(task).entry(ITSELF) },
        None => tree::ROOT,
    };
    let owned_as = tree::attr(k, viewer, owned_as)?;
    let nlink = if matches!(file, Control::Task(_)) { 2 } else { 1 };
    let ino = tree::ino(k, node.place);
    Ok(Attr { file_type: file.file_type(), mode: file.mode(), nlink, ino, size: 0, ..owned_as })
}

/// Whether `viewer` may open `node` this way. Control files are for everybody whom the host lets in.
///
/// # Errors
/// EACCES: writing usage; ENOENT: the task is gone; those of [`may_change`] and [`tree::may_open`].
pub fn may_open(k: &Kernel, viewer: Viewer, node: Node, flags: OpenFlags) -> Result<()> {
    if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNC) {
        may_change(node)?;
    }
    let Some(file) = Control::of(node.place) else { return tree::may_open(k, viewer, node, flags) };
    if node.task().is_some_and(|task| !k.tasks.contains(task)) {
        bail!(ENOENT, "the task of this file is gone");
    }
    check_makes_calls(k, file)?;
    if flags.contains(OpenFlags::WRITE) && file.mode() & 0o200 == 0 {
        bail!(EACCES, "usage is there to be read");
    }
    Ok(())
}

/// The control files of a task go when it dies; its directory and `usage` stay until it is reaped.
///
/// # Errors
/// ENOENT
fn check_makes_calls(k: &Kernel, file: Control) -> Result<()> {
    if let Control::Verb(task, _) = file
        && k.tasks.get(task).is_some_and(|task| task.is_dead())
    {
        bail!(ENOENT, "the dead have no control files");
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

/// The whole content of an open file.
///
/// # Errors
/// Those of [`tree::read_open`]; EISDIR; ESRCH: its task is gone.
pub fn read(k: &Kernel, viewer: Viewer, file: &Bound) -> Result<Vec<u8>> {
    take(k, viewer, file).map(Rendering::into_text)
}

/// The same, to be drawn later if it is a picture.
///
/// # Errors
/// As [`read`].
pub fn take(k: &Kernel, viewer: Viewer, file: &Bound) -> Result<Rendering> {
    match Control::of(file.node.place) {
        None => Rendering::take(k, viewer, file),
        Some(_) if file.node.task().is_some_and(|task| !k.tasks.contains(task)) => bail!(ESRCH, "the task is gone"),
        Some(control) => control.read(k).map(Rendering::Text),
    }
}

/// What poll(2) says of an open file.
///
/// # Errors
/// As [`read`].
pub fn polled(k: &Kernel, viewer: Viewer, file: &Bound) -> Result<Polled> {
    match Control::of(file.node.place) {
        None => tree::polled(k, viewer, file),
        Some(_) => Ok(Polled::Ready),
    }
}

/// The text of a link.
///
/// # Errors
/// Those of [`tree::readlink`].
pub fn readlink(k: &Kernel, viewer: Viewer, node: Node, style: Style) -> Result<Vec<u8>> {
    match Control::of(node.place) {
        None => tree::readlink(k, viewer, node, style),
        Some(Control::Own) => Ok(k.task_nr(viewer.0).to_string().into_bytes()),
        Some(_) => bail!(EINVAL, "this is no symbolic link"),
    }
}

/// What a cache may keep of a node.
pub fn cacheable(node: Node) -> Cacheable {
    match Control::of(node.place) {
        None => tree::cacheable(node),
        Some(file) => Cacheable { name: true, attr: file != Control::Own },
    }
}

/// How the content of a file changes for those who have it open.
pub fn content(node: Node) -> Content {
    match Control::of(node.place) {
        None => tree::content(node),
        Some(Control::Usage | Control::TaskUsage(_)) => Content::Version,
        Some(Control::Root | Control::Batch | Control::Own | Control::Task(_) | Control::Verb(..)) => Content::Unsized,
    }
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
        assert_eq!(names(&k, viewer, "ctl"), ["batch", "usage", "self", "1", "2"]);
        assert_eq!(names(&k, viewer, "ctl/2"), ["usage"]);
        assert_eq!(find(&k, viewer, "ctl/2/clone").unwrap_err().errno, crate::errno::Errno::ENOENT);
        assert_eq!(content(&k, viewer, "ctl/2/usage"), b"");
    }

    #[test]
    fn each_file_has_a_place_of_its_own() {
        let task = lab().0.init.task;
        let files = [Control::Task(task), Control::TaskUsage(task), Control::Verb(task, 0), Control::Root];
        for file in files.into_iter().chain(AT_TOP.map(|(_, file)| file)) {
            assert_eq!(Control::of(file.place()), Some(file));
        }
    }

    #[test]
    fn self_leads_to_the_directory_of_the_viewer() {
        let (k, viewer) = lab();
        let own = find(&k, viewer, "ctl/self").unwrap();
        assert_eq!(readlink(&k, viewer, own, Style::Mount).unwrap(), b"1");
        assert!(is_viewed(find(&k, viewer, "ctl").unwrap(), b"self") && is_viewed(tree::ROOT, b"proc"));
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
