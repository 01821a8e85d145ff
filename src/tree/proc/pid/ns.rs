//! `proc/<pid>/ns`: the links and the hidden files they lead to (`fs/proc/namespaces.c`, `fs/nsfs.c`).
//!
//! A symbolic link of the mount cannot be magic. So each link's text, `<kind>:[<inum>]`, is also the name of a file in
//! the same directory that no listing shows, whose inode number is the inum.

use super::{Dir, directory};
use crate::errno::{Error, Result};
use crate::kernel::node::{Place, TaskDir};
use crate::kernel::ns::{ENTRIES, NS_TABLE};
use crate::kernel::{Kernel, NsId, TaskId};
use crate::tree::family::{Family, Link, Up};
use crate::tree::fixed::index_u8;
use crate::tree::look::{Look, parse_number};
use crate::tree::{Attr, Cacheable, FileType};
use crate::{bail, err};

fn place(dir: TaskDir, entry: usize) -> Place {
    Place::NsLink(dir, index_u8(entry))
}

pub(super) fn lookup(dir: TaskDir, name: &[u8]) -> Option<Place> {
    ENTRIES.iter().position(|entry| entry.name.as_bytes() == name).map(|entry| place(dir, entry))
}

/// The same ten entries for every task, whatever can be read of them.
pub(super) fn readdir(dir: TaskDir) -> Vec<(String, Place)> {
    ENTRIES.iter().enumerate().map(|(index, entry)| (entry.name.to_owned(), place(dir, index))).collect()
}

/// The file of a live namespace by the text of its links.
pub(super) fn hidden_file(k: &Kernel, name: &[u8]) -> Option<Place> {
    let colon = name.iter().position(|&byte| byte == b':')?;
    let ops = NS_TABLE.into_iter().find(|ops| ops.name.as_bytes() == &name[..colon])?;
    let inum = parse_number(name[colon + 1..].strip_prefix(b"[")?.strip_suffix(b"]")?)?;
    k.find_ns(ops.ns_type, inum).map(Place::NsFile)
}

/// The namespace behind a link, for a reader (`proc_ns_get_link`, `proc_ns_readlink`).
///
/// # Errors
/// EACCES: no ptrace access. ENOENT: the task has no such namespace (any more), or it is a pid namespace without init.
fn follow(look: &Look<'_>, task: TaskId, entry: u8) -> Result<NsId> {
    look.check_ptrace(task)?;
    let entry = &ENTRIES[usize::from(entry)];
    match look.k.ns_entry(task, entry) {
        Some(ns) => Ok(ns),
        None if look.k.tasks[task].live.is_none() => {
            bail!(ENOENT, "pid {} is a zombie and has no {} any more", look.k.task_nr(task), entry.name)
        }
        None => bail!(ENOENT, "{} of pid {} has no init yet", entry.name, look.k.task_nr(task)),
    }
}

/// A link in `proc/<pid>/ns`: an entry of [`ENTRIES`].
pub(in crate::tree) struct NsLink {
    pub dir: TaskDir,
    pub entry: u8,
}

impl NsLink {
    fn name(&self) -> &'static str {
        ENTRIES[usize::from(self.entry)].name
    }
}

impl Family for NsLink {
    fn is_alive(&self, k: &Kernel) -> bool {
        k.tasks.contains(self.dir.task)
    }

    fn file_type(&self, _: &Kernel) -> Option<FileType> {
        Some(FileType::Symlink)
    }

    fn path(&self, look: &Look<'_>) -> String {
        self.dir.below(look, &format!("ns/{}", self.name()))
    }

    fn attr(&self, look: &Look<'_>, plain: Attr) -> Result<Attr> {
        let mode = 0o777;
        Ok(if self.is_alive(look.k) { plain.of_task(look.k, self.dir.task, mode) } else { Attr { mode, ..plain } })
    }

    fn caching(&self) -> Cacheable {
        Cacheable { name: true, attr: true }
    }

    fn link(&self, look: &Look<'_>) -> Result<Option<Link>> {
        follow(look, self.dir.task, self.entry).map(|ns| Some(Link::Ns(ns)))
    }

    fn up(&self, _: &Look<'_>) -> Up {
        Up::To(self.name().into(), self.dir.entry(directory(Dir::Ns)))
    }

    fn is_ns_link(&self) -> bool {
        true
    }

    fn outlived(&self) -> Option<TaskId> {
        Some(self.dir.task)
    }

    fn link_error_when_gone(&self) -> Error {
        err!(EACCES, "the task this link belongs to is gone")
    }
}
