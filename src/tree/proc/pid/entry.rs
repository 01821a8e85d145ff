//! The files of the table of a task, as a family.

use super::fd;
use super::{Dir, Format, Kind, OpenCheck, ROWS, Row, directory, owner, row_at};
use crate::errno::{Error, Result};
use crate::kernel::capability::Cap;
use crate::kernel::cred::{GLOBAL_ROOT_GID, GLOBAL_ROOT_UID};
use crate::kernel::file::{About, OpenFlags};
use crate::kernel::mount::options::HidePid;
use crate::kernel::node::{ITSELF, Place, TaskDir, Top};
use crate::kernel::ns::Slot;
use crate::kernel::{Kernel, TaskId};
use crate::tree::family::{Family, Link, Up};
use crate::tree::look::Look;
use crate::tree::open::{Access, check_mode};
use crate::tree::proc::pid::link::Target;
use crate::tree::proc::sys::Rule;
use crate::tree::{Attr, Cacheable, Content, FileType, WriteTarget};
use crate::{bail, err};

pub(in crate::tree) struct TaskFile {
    pub dir: TaskDir,
    pub row: u16,
}

impl TaskFile {
    fn entry(&self) -> &'static Row {
        row_at(self.row)
    }

    /// A file of `net/`, which is about the task's network namespace.
    fn is_net_file(&self) -> bool {
        self.entry().path.starts_with("net/")
    }
}

impl Attr {
    /// Of a task: its mode and, by that, its owner.
    pub(crate) fn of_task(self, k: &Kernel, task: TaskId, mode: u16) -> Attr {
        let (uid, gid) = owner(k, task, self.file_type, mode);
        Attr { mode, uid, gid, ..self }
    }
}

impl Family for TaskFile {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.tasks.contains(self.dir.task)
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(self.entry().file_type())
    }

    fn path(&self, look: &Look<'_>) -> String {
        self.dir.below(look, self.entry().path)
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let k = look.k;
        let mode = self.entry().mode;
        let plain = Attr { mode, nlink: self.dir.nlink(k, self.row), ..plain };
        if !self.is_alive(k) {
            return Ok(plain);
        }
        // `pid_getattr`
        if self.row == ITSELF && look.hides(self.dir.task, HidePid::Invisible) {
            bail!(ENOENT, "this proc hides pid {} from the reader", k.task_nr(self.dir.task));
        }
        let plain = match self.entry().kind {
            // `proc_fd_getattr`
            Kind::Dir(Dir::Fd) => Attr { size: fd::numbers(k, self.dir.task).count() as u64, ..plain },
            Kind::Dir(_) | Kind::File(_) | Kind::Link(_) => plain,
        };
        if self.is_net_file() {
            let owner = look.bound_to().map(|net| Rule::Net(net).owner(k));
            let (uid, gid) = owner.unwrap_or((GLOBAL_ROOT_UID, GLOBAL_ROOT_GID));
            return Ok(Attr { uid, gid, ..plain });
        }
        Ok(plain.of_task(k, self.dir.task, mode))
    }

    fn caching(&self) -> Cacheable {
        // A zombie has none, and the owner is that of the network namespace of a task.
        if self.is_net_file() {
            return Cacheable { name: false, attr: false };
        }
        // The links into the task's file tree lead elsewhere when that changes, and descriptors come and go.
        let changes = matches!(self.entry().kind, Kind::Link(_) | Kind::Dir(Dir::Fd));
        Cacheable { name: true, attr: !changes }
    }

    fn content(&self) -> Content {
        self.entry().content
    }

    fn is_immutable(&self) -> bool {
        // `proc_pid_instantiate`
        self.row == ITSELF
    }

    fn keeps_names(&self) -> bool {
        matches!(self.entry().kind, Kind::Dir(Dir::Ns))
    }

    fn about(&self, look: &Look<'_>) -> About {
        let k = look.k;
        let task = self.dir.task;
        if !k.tasks.contains(task) {
            return About::Itself;
        }
        if self.is_net_file() {
            return k.task_ns(task, Slot::Net).map_or(About::Itself, About::Ns);
        }
        if let OpenCheck::Mounts(_) = self.entry().open {
            let mounts = k.mnt_ns_of(task).zip(k.fs_of(task));
            return mounts.map_or(About::Itself, |(ns, fs)| About::Mounts { ns, root: fs.root.path() });
        }
        match self.write_target() {
            Some(WriteTarget::Map(_) | WriteTarget::Setgroups) => About::Ns(k.cred_of(task).user_ns.id().any()),
            Some(
                WriteTarget::Comm(_)
                | WriteTarget::OomScoreAdj(_)
                | WriteTarget::TimensOffsets(_)
                | WriteTarget::Sysctl(_)
                | WriteTarget::Cgroup(..)
                | WriteTarget::File(_),
            )
            | None => About::Itself,
        }
    }

    fn write_target(&self) -> Option<WriteTarget> {
        self.entry().write.map(|target| target(self.dir.task))
    }

    fn lookup(&self, look: &Look<'_>, name: &[u8]) -> Option<Place> {
        self.dir.lookup(look, self.row, name)
    }

    fn list(&self, look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        self.dir.readdir(look, self.row)
    }

    fn read(&self, look: &Look<'_>) -> Result<Vec<u8>> {
        match self.entry().kind {
            // What it is about was fixed at the open and may outlive the task.
            Kind::File(render) if self.is_alive(look.k) || look.bound.is_some() => render(look, self.dir.task),
            Kind::File(_) if self.entry().is_empty_when_gone => Ok(Vec::new()),
            Kind::File(_) => bail!(ESRCH, "the task of this file is gone"),
            Kind::Dir(_) | Kind::Link(_) => bail!(EINVAL, "this file cannot be read"),
        }
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        let Kind::Link(target) = self.entry().kind else { return Ok(None) };
        let task = self.dir.task;
        look.check_ptrace(task)?;
        match target(look.k, task) {
            Some(Target::Path(path)) => Ok(Some(Link::Tree(task, path))),
            Some(Target::Program(program)) => Ok(Some(Link::Program(program))),
            None => bail!(ENOENT, "pid {} is dead and has no {}", look.k.task_nr(task), self.entry().path),
        }
    }

    fn up(&self, look: &Look<'_>) -> Up {
        let k = look.k;
        match (self.row, self.dir) {
            (ITSELF, TaskDir { task, thread: false }) => Up::To(number(look, task), Place::Top(Top::Proc)),
            (ITSELF, TaskDir { task, thread: true }) => {
                let process = TaskDir::process(k.named_leader(task));
                Up::To(number(look, task), process.entry(directory(Dir::Threads)))
            }
            (_, dir) => {
                let (parent, name) = self.entry().path.rsplit_once('/').unwrap_or(("", self.entry().path));
                let row = (0..).zip(ROWS).find(|(_, row)| row.path == parent).map_or(ITSELF, |(row, _)| row);
                Up::To(name.into(), dir.entry(row))
            }
        }
    }

    fn check_access(&self, look: &Look<'_>, attr: &Attr, access: Access) -> Result<()> {
        let (k, task) = (look.k, self.dir.task);
        if k.tasks.contains(task) {
            let own = k.leader_of(task) == k.leader_of(look.reader);
            let entry = self.entry();
            self.check_search(look)?;
            match entry.kind {
                Kind::Dir(Dir::FdInfo) => return look.check_ptrace(task),
                Kind::Dir(Dir::Fd) if own => return Ok(()),
                Kind::File(_) if own && self.dir.thread && entry.path == "comm" && !access.contains(Access::EXEC) => {
                    return Ok(());
                }
                Kind::Dir(_) | Kind::File(_) | Kind::Link(_) => {}
            }
        }
        check_mode(k, k.cred_of(look.reader).rights(), attr, access)
    }

    /// `proc_pid_permission`
    fn check_search(&self, look: &Look<'_>) -> Result<()> {
        let (k, task) = (look.k, self.dir.task);
        if self.row == ITSELF && !self.dir.thread && k.tasks.contains(task) && look.hides(task, HidePid::NoAccess) {
            if look.hide_pid().hide_pid == HidePid::Invisible {
                bail!(ENOENT, "this proc hides pid {} from the reader", k.task_nr(task));
            }
            bail!(EPERM, "this proc hides what is in the directory of pid {} from the reader", k.task_nr(task));
        }
        Ok(())
    }

    fn check_open(&self, look: &Look<'_>, flags: OpenFlags) -> Result<()> {
        let (k, task) = (look.k, self.dir.task);
        match self.entry().open {
            OpenCheck::Nothing => Ok(()),
            OpenCheck::MmIfAny if k.mm_of(task).is_none() => Ok(()),
            OpenCheck::Mm if k.mm_of(task).is_none() => {
                bail!(ESRCH, "pid {} has no memory", k.task_nr(task))
            }
            OpenCheck::Mm | OpenCheck::MmIfAny => look.check_ptrace(task),
            OpenCheck::Mounts(_) if k.tasks[task].live.is_none() => {
                bail!(EINVAL, "pid {} is a zombie and in no mount namespace", k.task_nr(task))
            }
            OpenCheck::Mounts(_) => Ok(()),
            OpenCheck::Setgroups | OpenCheck::NetList if !flags.contains(OpenFlags::WRITE) => Ok(()),
            OpenCheck::NetList => bail!(EACCES, "lists of a network namespace are not written to"),
            OpenCheck::Setgroups => {
                let ns = k.cred_of(task).user_ns.id();
                if !k.ns_capable(look.reader, ns, Cap::SYS_ADMIN) {
                    bail!(EACCES, "CAP_SYS_ADMIN missing in {}, whose setgroups this is", k.ns_arg(ns));
                }
                Ok(())
            }
        }
    }

    fn mounts_format(&self) -> Option<Format> {
        match self.entry().open {
            OpenCheck::Mounts(format) => Some(format),
            OpenCheck::Nothing | OpenCheck::NetList | OpenCheck::Mm | OpenCheck::MmIfAny | OpenCheck::Setgroups => None,
        }
    }

    fn hides_ns_files(&self) -> bool {
        true
    }

    fn is_listed_in_order(&self) -> bool {
        matches!(self.entry().kind, Kind::Dir(Dir::Ns))
    }

    fn outlived(&self) -> Option<TaskId> {
        Some(self.dir.task)
    }

    /// `proc_pid_permission`, `proc_fdinfo_permission`
    fn is_closed_when_gone(&self) -> bool {
        match self.entry().kind {
            Kind::Dir(Dir::Task) => !self.dir.thread,
            Kind::Dir(Dir::Threads | Dir::FdInfo) => true,
            Kind::Dir(Dir::Fd | Dir::Ns | Dir::Net) | Kind::File(_) | Kind::Link(_) => false,
        }
    }

    fn is_lost_when_gone(&self) -> bool {
        matches!(self.entry().kind, Kind::Dir(Dir::Fd))
    }

    fn is_kept_when_gone(&self) -> bool {
        self.entry().is_kept_when_gone
    }

    fn fails_when_gone(&self) -> bool {
        !self.entry().is_empty_when_gone && !self.entry().is_kept_when_gone
    }

    /// `proc_tgid_net_readdir`
    fn list_error_when_gone(&self) -> Error {
        match self.entry().kind {
            Kind::Dir(Dir::Net) => err!(EINVAL, "the task is gone and in no network namespace"),
            Kind::Dir(Dir::Task | Dir::Threads | Dir::Fd | Dir::FdInfo | Dir::Ns) | Kind::File(_) | Kind::Link(_) => {
                err!(ENOENT, "the task of this directory is gone")
            }
        }
    }

    fn check_open_when_gone(&self) -> Result<()> {
        if self.entry().file_type() != FileType::File {
            return Ok(());
        }
        match self.entry().open {
            OpenCheck::Mounts(_) | OpenCheck::Setgroups => bail!(EINVAL, "the task is gone, and what it had"),
            OpenCheck::NetList => bail!(ENXIO, "the task is gone and in no network namespace"),
            OpenCheck::Nothing | OpenCheck::Mm | OpenCheck::MmIfAny => bail!(ESRCH, "the task of this file is gone"),
        }
    }
}

fn number(look: &Look<'_>, task: TaskId) -> Vec<u8> {
    look.nr(task).to_string().into_bytes()
}
