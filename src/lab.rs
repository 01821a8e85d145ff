//! Layer 3: the whole file tree of a lab: what [`tree`] shows, and the family of `ctl/`, whose files are the verbs of
//! [`control`].

use crate::bail;
use crate::control::{self, VERBS};
use crate::errno::Result;
use crate::kernel::file::{Bound, OpenFlags};
use crate::kernel::node::{Node, Place};
use crate::kernel::{Kernel, TaskId};
use crate::tree::{
    self, Access, Attr, Cacheable, Content, Eyes, Family, FileType, Files, Link, Look, Special, parse_number,
};

/// A file of `ctl/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
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
    /// The file that row `row` of a task is, or of none.
    fn at(task: Option<TaskId>, row: u16) -> Control {
        match (task, row) {
            (None, row) => AT_TOP.get(usize::from(row).wrapping_sub(1)).map_or(Control::Root, |(_, file)| *file),
            (Some(task), 0) => Control::Task(task),
            (Some(task), 1) => Control::TaskUsage(task),
            (Some(task), row) => Control::Verb(task, row - FIRST_VERB),
        }
    }

    const fn place(self) -> Place {
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

    fn mode(self) -> u16 {
        match self {
            Control::Root | Control::Task(_) => 0o555,
            Control::Batch | Control::Verb(..) => 0o644,
            Control::Usage | Control::TaskUsage(_) => 0o444,
            Control::Own => 0o777,
        }
    }

    /// The task it is of.
    fn task(self) -> Option<TaskId> {
        match self {
            Control::Task(task) | Control::TaskUsage(task) | Control::Verb(task, _) => Some(task),
            Control::Root | Control::Batch | Control::Usage | Control::Own => None,
        }
    }
}

impl Family for Control {
    fn is_alive(&self, k: &Kernel) -> bool {
        self.task().is_none_or(|task| k.tasks.contains(task))
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(match self {
            Control::Root | Control::Task(_) => FileType::Directory,
            Control::Batch | Control::Usage | Control::TaskUsage(_) | Control::Verb(..) => FileType::File,
            Control::Own => FileType::Symlink,
        })
    }

    fn path(&self, look: &Look<'_>) -> String {
        let of = |task, name: &str| format!("ctl/{}{name}", look.k.task_nr(task));
        match *self {
            Control::Root => "ctl".to_owned(),
            Control::Batch => "ctl/batch".to_owned(),
            Control::Usage => "ctl/usage".to_owned(),
            Control::Own => "ctl/self".to_owned(),
            Control::Task(task) => of(task, ""),
            Control::TaskUsage(task) => of(task, "/usage"),
            Control::Verb(task, row) => of(task, &format!("/{}", VERBS[usize::from(row)].name)),
        }
    }

    /// What belongs to a task has the owner of its `proc/<pid>`.
    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let nlink = if matches!(self, Control::Task(_)) { 2 } else { 1 };
        let owned = match self.task() {
            Some(task) => {
                let dir = Attr { file_type: FileType::Directory, ..plain };
                dir.of_task(look.k, task, 0o555)
            }
            None => plain,
        };
        Ok(Attr { mode: self.mode(), nlink, uid: owned.uid, gid: owned.gid, ..plain })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: true, attr: *self != Control::Own }
    }

    fn content(&self) -> Content {
        match self {
            Control::Usage | Control::TaskUsage(_) => Content::Version,
            Control::Root | Control::Batch | Control::Own | Control::Task(_) | Control::Verb(..) => Content::Unsized,
        }
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        let k = look.k;
        let file = match *self {
            Control::Root => match AT_TOP.iter().find(|(known, _)| known.as_bytes() == name) {
                Some((_, file)) => *file,
                None => Control::Task(k.find_task(parse_number(name)?)?),
            },
            Control::Task(task) if name == b"usage" => Control::TaskUsage(task),
            Control::Task(task) => files(k, task).find(|(verb, _)| verb.as_bytes() == name)?.1,
            Control::Batch | Control::Usage | Control::Own | Control::TaskUsage(_) | Control::Verb(..) => return None,
        };
        Some(file.place())
    }

    /// Every task, threads too.
    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        let k = look.k;
        Ok(match *self {
            Control::Root => {
                let pids = k.namespaces[k.init.pid_ns].idr.iter();
                let tasks = pids.filter_map(|(number, pid)| Some((number, k.pids[pid].attached.task?)));
                let tasks = tasks.map(|(number, task)| (number.to_string(), Control::Task(task).place()));
                AT_TOP.iter().map(|(name, file)| ((*name).to_owned(), file.place())).chain(tasks).collect()
            }
            Control::Task(task) => {
                let files = files(k, task).chain([("usage", Control::TaskUsage(task))]);
                files.map(|(name, file)| (name.to_owned(), file.place())).collect()
            }
            Control::Batch | Control::Usage | Control::Own | Control::TaskUsage(_) | Control::Verb(..) => Vec::new(),
        })
    }

    /// A file that makes calls has no content of its own.
    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match *self {
            Control::Usage => Ok(usage(|_| true)),
            Control::TaskUsage(task) => {
                let names: Vec<_> = files(look.k, task).map(|(name, _)| name).collect();
                Ok(usage(|name| names.contains(&name)))
            }
            Control::Batch | Control::Verb(..) => Ok(Vec::new()),
            Control::Root | Control::Task(_) | Control::Own => bail!(EINVAL, "this file cannot be read"),
        }
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        let own = || Link::Relative(look.k.task_nr(look.reader).to_string().into_bytes());
        Ok((*self == Control::Own).then(own))
    }

    fn special(&self) -> Option<Special> {
        match *self {
            Control::Batch => Some(Special::Batch),
            Control::Verb(task, row) => Some(Special::Call(task, row)),
            Control::Root | Control::Usage | Control::Own | Control::Task(_) | Control::TaskUsage(_) => None,
        }
    }

    fn is_viewed(&self, name: &[u8]) -> bool {
        let is_own = |(known, file): &(&str, Control)| *file == Control::Own && known.as_bytes() == name;
        *self == Control::Root && AT_TOP.iter().any(is_own)
    }

    /// Control files are for everybody whom the host lets in.
    fn check_access(&self, _: &Look<'_>, attr: &Attr, access: Access) -> Result<()> {
        if access.contains(Access::WRITE) && attr.mode & 0o200 == 0 {
            bail!(EACCES, "usage is there to be read");
        }
        Ok(())
    }

    /// The control files of a task go when it dies; its directory and `usage` stay until it is reaped.
    fn check_open(&self, look: &Look<'_>, _: OpenFlags) -> Result<()> {
        if let (Control::Verb(..), Some(task)) = (self, self.task())
            && look.k.tasks[task].is_dead()
        {
            bail!(ENOENT, "the dead have no control files");
        }
        Ok(())
    }

    fn goes_with_life(&self) -> bool {
        matches!(self, Control::Verb(..))
    }
}

/// The files of the mount: those of the tree and `ctl/`.
pub static FILES: Files =
    Files { tops: &[("ctl", Control::Root.place())], above: |task, row| Box::new(Control::at(task, row)) };

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

/// The eyes of a task as the mount lends them: they see `ctl/` too.
pub fn eyes(task: TaskId) -> Eyes {
    Eyes { task, files: &FILES }
}

/// Opens `node` for the host's programs.
///
/// # Errors
/// Those of [`may_change`] and [`tree::open`].
pub fn open(k: &Kernel, eyes: Eyes, node: Node, flags: OpenFlags) -> Result<Bound> {
    if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNC) {
        may_change(node)?;
    }
    tree::open(k, eyes, node, flags)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Session;
    use crate::tree::Style;

    fn lab() -> (Kernel, Eyes) {
        let mut kernel = Kernel::boot();
        let (_, result) = Session::default().batch(&mut kernel, b"1 clone\n2 exit 0\n");
        result.unwrap();
        let eyes = eyes(kernel.init.task);
        (kernel, eyes)
    }

    fn find(k: &Kernel, eyes: Eyes, path: &str) -> Result<Node> {
        path.split('/').try_fold(tree::ROOT, |dir, name| tree::lookup(k, eyes, dir, name.as_bytes()))
    }

    fn content(k: &Kernel, eyes: Eyes, path: &str) -> Vec<u8> {
        let file = open(k, eyes, find(k, eyes, path).unwrap(), OpenFlags::READ).unwrap();
        tree::read_open(k, eyes, &file).unwrap()
    }

    fn names(k: &Kernel, eyes: Eyes, path: &str) -> Vec<String> {
        let dir = find(k, eyes, path).unwrap();
        tree::readdir(k, eyes, dir).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn a_zombie_has_no_control_file_but_usage() {
        let (k, eyes) = lab();
        assert_eq!(names(&k, eyes, "ctl"), ["batch", "usage", "self", "1", "2"]);
        assert_eq!(names(&k, eyes, "ctl/2"), ["usage"]);
        assert_eq!(find(&k, eyes, "ctl/2/clone").unwrap_err().errno, crate::errno::Errno::ENOENT);
        assert_eq!(content(&k, eyes, "ctl/2/usage"), b"");
    }

    #[test]
    fn each_file_has_a_place_of_its_own() {
        let task = lab().0.init.task;
        let files = [Control::Task(task), Control::TaskUsage(task), Control::Verb(task, 0), Control::Root];
        for file in files.into_iter().chain(AT_TOP.map(|(_, file)| file)) {
            let Place::Above { task, row } = file.place() else { panic!("{file:?}") };
            assert_eq!(Control::at(task, row), file);
        }
    }

    #[test]
    fn self_leads_to_the_directory_of_the_viewer() {
        let (k, eyes) = lab();
        let own = find(&k, eyes, "ctl/self").unwrap();
        assert_eq!(tree::readlink(&k, eyes, own, Style::Mount).unwrap(), b"1");
        assert!(FILES.is_viewed(find(&k, eyes, "ctl").unwrap(), b"self") && FILES.is_viewed(tree::ROOT, b"proc"));
    }

    #[test]
    fn what_is_listed_is_found_and_has_the_type_listed() {
        let (k, eyes) = lab();
        for path in ["ctl", "ctl/1", "ctl/2"] {
            let dir = find(&k, eyes, path).unwrap();
            for entry in tree::readdir(&k, eyes, dir).unwrap() {
                assert_eq!(tree::lookup(&k, eyes, dir, entry.name.as_bytes()).unwrap(), entry.node);
                assert_eq!(
                    tree::attr(&k, eyes, entry.node).unwrap().file_type,
                    entry.file_type,
                    "{path}/{}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn usage_has_a_line_for_each_control_file() {
        let (k, eyes) = lab();
        let usage = content(&k, eyes, "ctl/1/usage");
        assert_eq!(usage, content(&k, eyes, "ctl/usage"));
        let verbs = String::from_utf8(usage).unwrap();
        let verbs: Vec<_> = verbs.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!([verbs, vec!["usage"]].concat(), names(&k, eyes, "ctl/1"));
    }

    #[test]
    fn a_number_has_one_name() {
        let (k, eyes) = lab();
        for name in ["01", "+1", "1 ", "3", ""] {
            assert!(find(&k, eyes, &format!("ctl/{name}")).is_err(), "{name}");
        }
    }
}
