//! Families of files: what kinds of files differ in. [`Files::ask`] is the one place that tells which family a file is
//! of; all else asks the family.

use super::census::Census;
use super::cgroup::CgroupEntry;
use super::fixed::FixedFile;
use super::look::Look;
use super::mqueue::Queue;
use super::net_conf::Conf;
use super::nsfs::NsFile;
use super::open::{Access, check_mode};
use super::plain::Plain;
use super::proc::max_namespaces::MaxNamespaces;
use super::proc::pid::Format;
use super::proc::pid::entry::TaskFile;
use super::proc::pid::fd::Fd;
use super::proc::pid::ns::NsLink;
use super::proc::sys::Rule;
use super::seen_as::SeenAs;
use super::structs::family::{Element, Member, NsKindDir};
use super::unnamed::Unnamed;
use super::{Attr, Cacheable, Content, FileType, Polled, Special, WriteTarget, root};
use crate::errno::{Error, Result};
use crate::kernel::file::{About, OpenFlags};
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Node, Object, Place, View};
use crate::kernel::{FileId, Kernel, MqueueId, NsId, TaskId};
use crate::{bail, err};

/// A file of some family. What a family does not say is that of a file that is neither directory nor link, is about
/// nothing but itself, cannot be read or written, and is opened by its mode.
#[cfg_attr(not(feature = "fuse"), allow(dead_code, reason = "the mount alone asks some of these"))]
pub(crate) trait Family {
    /// What it shows is there.
    fn is_alive(&self, k: &Kernel) -> bool;

    /// Its type, if what it shows is there; `None`: it is gone, or no file of this tree.
    fn file_type(&self, k: &Kernel) -> Option<FileType>;

    /// The path below the top of the lab, or below `as/<pid>`.
    fn path(&self, look: &Look<'_>) -> String;

    /// `plain` with the mode, owner and links of this file. A file that outlives its task is asked too.
    ///
    /// # Errors
    /// ENOENT: it is gone.
    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr>;

    /// What a cache may keep of it.
    fn caching(&self) -> Cacheable;

    /// How its content changes for those who have it open.
    fn content(&self) -> Content {
        Content::Version
    }

    /// It is a directory that holds the same names for as long as its task is alive, or for ever.
    fn keeps_names(&self) -> bool {
        false
    }

    /// What it is about when it is opened now.
    fn about(&self, _look: &Look<'_>) -> About {
        About::Itself
    }

    /// What a write changes, `None` where Linux has no write operation.
    fn write_target(&self) -> Option<WriteTarget> {
        None
    }

    /// The file called `name` in this directory, in the same superblock.
    fn lookup(&self, _look: &Look<'_>, _name: &[u8]) -> Option<Place> {
        None
    }

    /// What this directory holds, in the same superblock.
    ///
    /// # Errors
    /// What Linux's own listing says.
    fn list(&self, _look: &Look<'_>) -> Result<Vec<(String, Place)>> {
        Ok(Vec::new())
    }

    /// The file called `name` in this directory seen through `view`: what is mounted there, if anything is.
    ///
    /// # Errors
    /// ESRCH: the task that looks is gone.
    fn child(&self, look: &Look<'_>, view: View, name: &[u8]) -> Result<Option<Node>> {
        Ok(self.lookup(look, name).map(|place| root::topmost(look.k, Node { view, place })))
    }

    /// The same of all that is in it.
    ///
    /// # Errors
    /// As [`Family::list`] and [`Family::child`].
    fn children(&self, look: &Look<'_>, view: View) -> Result<Vec<(String, Node)>> {
        let seen = |(name, place)| (name, root::topmost(look.k, Node { view, place }));
        Ok(self.list(look)?.into_iter().map(seen).collect())
    }

    /// The content. A file that outlives its task is asked too.
    ///
    /// # Errors
    /// What Linux says at a read.
    fn read(&self, _look: &Look<'_>) -> Result<Vec<u8>> {
        bail!(EINVAL, "this file cannot be read")
    }

    /// What poll(2) says of it.
    fn polled(&self, _look: &Look<'_>) -> Polled {
        Polled::Ready
    }

    /// Where it leads; `None`: no link.
    ///
    /// # Errors
    /// EACCES: no ptrace access to the task it belongs to. ENOENT: it leads nowhere.
    fn link(&self, _look: &Look<'_>) -> Result<Option<Link>> {
        Ok(None)
    }

    /// The way up from it.
    fn up(&self, _look: &Look<'_>) -> Up {
        Up::ByPath
    }

    /// The number that it has by itself, rather than a hash of what it is.
    fn ino(&self, _k: &Kernel) -> Option<u64> {
        None
    }

    /// The message queue that it is.
    fn queue(&self) -> Option<MqueueId> {
        None
    }

    /// What is special about its content, if anything.
    fn special(&self) -> Option<Special> {
        None
    }

    /// The rule of the table that it is in as a sysctl.
    fn rule(&self, _look: &Look<'_>) -> Option<Rule> {
        None
    }

    /// Whether the reader may use it so, if it is no sysctl (`inode_permission`).
    ///
    /// # Errors
    /// EACCES, and what the family says.
    fn check_access(&self, look: &Look<'_>, attr: &Attr, access: Access) -> Result<()> {
        check_mode(look.k, look.k.cred_of(look.reader).rights(), attr, access)
    }

    /// Whether the reader may look up names in this directory, as far as that is no matter of its mode.
    ///
    /// # Errors
    /// What the directory's `permission` says.
    fn check_search(&self, _look: &Look<'_>) -> Result<()> {
        Ok(())
    }

    /// What an open asks besides.
    ///
    /// # Errors
    /// What the file's `open` says.
    fn check_open(&self, _look: &Look<'_>, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }

    /// That nobody writes to it is asked before what its mount allows.
    fn is_immutable(&self) -> bool {
        false
    }

    /// It has no position: seeks are ESPIPE.
    fn is_unseekable(&self) -> bool {
        false
    }

    /// The task of the file. A program that has the file open can use it after the task has ended.
    fn outlived(&self) -> Option<TaskId> {
        None
    }

    /// Nothing can be looked up in it once its task is gone, be it `.`.
    fn is_closed_when_gone(&self) -> bool {
        false
    }

    /// It has no attributes once its task is gone, for those who have it open either.
    fn is_lost_when_gone(&self) -> bool {
        false
    }

    /// What an open says once its task is gone, its mode granted.
    ///
    /// # Errors
    /// EINVAL, ENXIO, ESRCH: it is about what the task had.
    fn check_open_when_gone(&self) -> Result<()> {
        Ok(())
    }

    /// Who has it open reads from it what he did before, once its task is gone.
    fn is_kept_when_gone(&self) -> bool {
        false
    }

    /// To read from it is an error once its task is gone, for who has it open too.
    fn fails_when_gone(&self) -> bool {
        false
    }

    /// What a listing says once its task is gone.
    fn list_error_when_gone(&self) -> Error {
        err!(ENOENT, "what this directory shows is gone")
    }

    /// What a read says once what it shows is gone, if it does not outlive that.
    fn read_error_when_gone(&self) -> Error {
        err!(ESRCH, "what this file shows is gone")
    }

    /// The same of a link.
    fn link_error_when_gone(&self) -> Error {
        err!(ENOENT, "the task this link belongs to is gone")
    }

    /// What a write says where there is no write operation.
    fn write_error(&self) -> Error {
        err!(EINVAL, "the file cannot be written")
    }

    /// What the name leads to in this directory depends on who asks.
    fn is_viewed(&self, _name: &[u8]) -> bool {
        false
    }

    /// How its content is drawn once the kernel has been looked at, of a picture of the whole lab.
    fn drawing(&self) -> Option<fn(&Census) -> Vec<u8>> {
        None
    }

    /// Which list of mounts it is.
    fn mounts_format(&self) -> Option<Format> {
        None
    }

    /// The path inside its superblock, where that depends on who looks or is none.
    fn path_in_sb(&self, _look: &Look<'_>) -> Option<Vec<u8>> {
        None
    }

    /// The namespace whose file it is.
    fn ns(&self) -> Option<NsId> {
        None
    }

    /// It leads to a namespace of its task.
    fn is_ns_link(&self) -> bool {
        false
    }

    /// It is kept by name in its superblock and knows what is above it there.
    fn is_dentry(&self) -> bool {
        false
    }

    /// Namespace files that no listing shows can be looked up in it.
    fn hides_ns_files(&self) -> bool {
        false
    }

    /// The order of what is in it is part of what Linux shows.
    fn is_listed_in_order(&self) -> bool {
        false
    }

    /// Paths of the lab start anew below it.
    fn is_view_top(&self) -> bool {
        false
    }

    /// Directories can be made and removed in it from outside the lab.
    fn takes_dirs(&self) -> bool {
        false
    }

    /// It may go while its task lives; those who have it open are then told what it was.
    fn is_told_when_gone(&self) -> bool {
        false
    }

    /// It loses its name when its task dies, before that is reaped.
    fn goes_with_life(&self) -> bool {
        false
    }
}

/// Where a link leads.
pub(crate) enum Link {
    /// A text that a file system keeps.
    Symlink(Vec<u8>),
    /// A text that stays in the lab.
    Relative(Vec<u8>),
    /// A file in the file tree of a task.
    Tree(TaskId, Path),
    /// A program, by its name below the root directory of its task; no such file is simulated.
    Program(Vec<u8>),
    Ns(NsId),
    /// An open file of a task, by its number there.
    File {
        task: TaskId,
        fd: i32,
        file: FileId,
    },
    Object(Object),
}

/// The way up from a file.
pub(crate) enum Up {
    /// Its name in its directory, and that.
    To(Vec<u8>, Place),
    /// It is the top of its superblock, or alone.
    Top,
    /// As its path below the top of its superblock says.
    ByPath,
}

/// The files there are: those of this tree, and those that a layer above puts into it.
pub struct Files {
    /// What that layer has at the top of the lab, by name.
    pub(crate) tops: &'static [(&'static str, Place)],
    /// The family of a file of that layer, by the task it is of and that layer's row.
    pub(crate) above: fn(Option<TaskId>, u16) -> Box<dyn Family>,
}

/// The files of this tree alone: what tasks see.
pub static TREE: Files = Files { tops: &[], above: |task, _| Box::new(Foreign(task)) };

impl Files {
    /// Asks the family that `place` is of. A new family has to be named here, and in `kernel::node`.
    pub(crate) fn ask<R>(&self, place: Place, question: impl FnOnce(&dyn Family) -> R) -> R {
        match place {
            Place::Dentry(id) => question(&Plain(id)),
            Place::Top(top) => question(&FixedFile::top(top)),
            Place::Fixed(row) => question(&FixedFile::at(row)),
            Place::MaxNamespaces(kind) => question(&MaxNamespaces(kind)),
            Place::As(task) => question(&SeenAs(task)),
            Place::Task(dir, row) => question(&TaskFile { dir, row }),
            Place::NsLink(dir, entry) => question(&NsLink { dir, entry }),
            Place::NsFile(ns) => question(&NsFile(ns)),
            Place::Fd { dir, fd, info } => question(&Fd { dir, fd, info }),
            Place::Unnamed(file) => question(&Unnamed(file)),
            Place::Mqueue(queue) => question(&Queue(queue)),
            Place::NsKind(kind) => question(&NsKindDir(kind)),
            Place::Struct(object, row) => question(&Member { object, row }),
            Place::StructItem(object, row, key) => question(&Element { object, row, key }),
            Place::Cgroup(cgroup, file) => question(&CgroupEntry { cgroup, file }),
            Place::NetConf(of, row) => question(&Conf { of, row }),
            Place::Above { task, row } => question(&*(self.above)(task, row)),
            Place::Nsfs => question(&Foreign(None)),
        }
    }
}

/// What is no file of this tree: a file of a layer above that is not there, or what no path leads to.
struct Foreign(Option<TaskId>);

impl Family for Foreign {
    fn is_alive(&self, k: &Kernel) -> bool {
        self.0.is_none_or(|task| k.tasks.contains(task))
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        None
    }

    fn path(&self, _: &Look<'_>) -> String {
        "a file of a layer above".to_owned()
    }

    fn attr(&self, _: &Look<'_>, plain: Attr) -> Result<Attr> {
        Ok(plain)
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: false, attr: false }
    }

    fn content(&self) -> Content {
        Content::Unsized
    }
}
