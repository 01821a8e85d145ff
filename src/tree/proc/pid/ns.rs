//! `proc/<pid>/ns`: the links and the hidden files they lead to (`fs/proc/namespaces.c`, `fs/nsfs.c`).
//!
//! A symbolic link of the mount cannot be magic. So each link's text, `<kind>:[<inum>]`, is also the name of a file in
//! the same directory that no listing shows, whose inode number is the inum.

use crate::bail;
use crate::errno::Result;
use crate::kernel::node::Place;
use crate::kernel::ns::{ENTRIES, NS_TABLE};
use crate::kernel::{Kernel, NsId, TaskId};
use crate::tree::fixed::index_u8;
use crate::tree::look::{Look, parse_number};
use crate::tree::proc::pid::TaskDir;

fn place(dir: TaskDir, entry: usize) -> Place {
    Place::NsLink { task: dir.task, entry: index_u8(entry), thread: dir.thread }
}

pub(in crate::tree) fn lookup(dir: TaskDir, name: &[u8]) -> Option<Place> {
    ENTRIES.iter().position(|entry| entry.name.as_bytes() == name).map(|entry| place(dir, entry))
}

/// The same ten entries for every task, whatever can be read of them.
pub(in crate::tree) fn readdir(dir: TaskDir) -> Vec<(String, Place)> {
    ENTRIES.iter().enumerate().map(|(index, entry)| (entry.name.to_owned(), place(dir, index))).collect()
}

/// The file of a live namespace by the text of its links.
pub(in crate::tree) fn hidden_file(k: &Kernel, name: &[u8]) -> Option<Place> {
    let colon = name.iter().position(|&byte| byte == b':')?;
    let ops = NS_TABLE.into_iter().find(|ops| ops.name.as_bytes() == &name[..colon])?;
    let inum = parse_number(name[colon + 1..].strip_prefix(b"[")?.strip_suffix(b"]")?)?;
    k.find_ns(ops.ns_type, inum).map(Place::NsFile)
}

/// The namespace behind a link, for a reader (`proc_ns_get_link`, `proc_ns_readlink`).
///
/// # Errors
/// EACCES: no ptrace access. ENOENT: the task has no such namespace (any more), or it is a pid namespace without init.
pub(in crate::tree) fn follow(look: &Look<'_>, task: TaskId, entry: u8) -> Result<NsId> {
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

/// `<kind>:[<inum>]`
pub(in crate::tree) fn text(k: &Kernel, ns: NsId) -> String {
    k.ns_arg(ns).to_string()
}
