//! The table itself: which number an inode gets, where its name is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;

use super::{Identity, ROOT_INO, Told};
use crate::fuse::text::Texts;
use crate::kernel::node::{Node, Top, View};
use crate::kernel::{NsId, TaskId};
use crate::lab::FILES;
use crate::tree::Family;

/// The numbers of inodes that do not have their file's.
pub(super) const HASHED: u64 = 1 << 52;

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) identity: Identity,
    /// How often the kernel was told of it and has not yet forgotten.
    pub(super) lookups: u64,
    /// Counts the files that had this number while the kernel knew it.
    pub(super) generation: u64,
    /// Where its own name is: directory and name.
    pub(super) name: Option<(u64, OsString)>,
    /// The directories in which it has a name of kind [`Name::Linked`].
    pub(super) linked_in: BTreeSet<u64>,
    /// What was last told of it, which holds on once its task is gone.
    pub(super) told: Told,
}

/// What can be gone, and takes along all that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Task(TaskId),
    Ns(NsId),
}

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Boxed: the numbers are hashes, so that each search goes another way through the tree, which is better small.
    pub(super) inodes: BTreeMap<u64, Box<Inode>>,
    /// The inodes that show something of a task, are seen through its eyes, or are a namespace's.
    pub(super) by_subject: BTreeSet<(Subject, u64)>,
    /// Directories, and inodes that have a name of kind [`Name::Linked`] there.
    pub(super) linked: BTreeSet<(u64, u64)>,
    /// Links that may lead elsewhere after any change, and whose text the kernel may have.
    pub(super) read_links: BTreeSet<u64>,
    /// Where the kernel is next made to forget, so that each inode has its turn.
    pub(super) next_pruned: u64,
    /// What versions of files read as.
    pub(super) texts: Texts,
    /// Where the top directory is in the lab.
    pub(super) top_path: &'static [u8],
}

impl Inode {
    pub(super) fn new(identity: Identity, told: Told) -> Inode {
        Inode { identity, lookups: 0, generation: 0, name: None, linked_in: BTreeSet::new(), told }
    }
}

impl Table {
    /// The number the kernel has or gets for an inode: the file's own unless another inode of the file has it.
    pub(super) fn number(&self, identity: &Identity, file: u64) -> u64 {
        let is_ns = FILES.ask(identity.node.place, |file| file.ns()).is_some();
        if is_ns && identity.node.view == View::Caller {
            // An inum may be used again: then the number gets another generation.
            return file;
        }
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let mut ino = if is_ns { HASHED | hasher.finish() >> 12 } else { file };
        while self.inodes.get(&ino).is_some_and(|other| other.identity != *identity) {
            ino = if ino == file { HASHED | hasher.finish() >> 12 } else { HASHED | ino.wrapping_add(1) };
        }
        ino
    }

    /// Whether the file that an inode shows is so.
    pub(super) fn asks(&self, ino: u64, question: impl FnOnce(&dyn Family) -> bool) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| FILES.ask(inode.identity.node.place, question))
    }

    pub(super) fn full_path(&self, ino: u64) -> Vec<u8> {
        self.path_below(ino, |dir| dir == ROOT_INO)
    }

    /// The path of `ino` from the nearest directory above it that `is_top`.
    pub(super) fn path_below(&self, ino: u64, is_top: impl Fn(u64) -> bool) -> Vec<u8> {
        let (mut names, mut at) = (Vec::new(), ino);
        while let Some((parent, name)) = self.inodes.get(&at).and_then(|inode| inode.name.as_ref()) {
            names.push(name.as_bytes());
            at = *parent;
            if is_top(at) {
                break;
            }
        }
        if at == ROOT_INO && !self.top_path.is_empty() {
            names.push(self.top_path);
        }
        names.reverse();
        names.join(&b'/')
    }

    /// How many directories a name is in; one of many names is below them all.
    pub(super) fn depth(&self, ino: u64) -> usize {
        let dir = |ino: &u64| self.inodes.get(ino)?.name.as_ref().map(|(dir, _)| *dir);
        match dir(&ino) {
            None => usize::MAX,
            first => std::iter::successors(first, dir).count(),
        }
    }
}

/// Where a top directory is in the lab.
pub(super) fn path_of(top: Top) -> &'static [u8] {
    match top {
        Top::Lab => b"",
        Top::Proc => b"proc",
        Top::Mqueue => b"mqueue",
    }
}

/// What `node` is gone with or changes with: the task it shows, the one that looks, its namespace.
pub(super) fn subjects(node: &Node) -> impl Iterator<Item = Subject> + use<> {
    let ns = FILES.ask(node.place, |file| file.ns()).map(Subject::Ns);
    node.task().into_iter().chain(node.view.viewer()).map(Subject::Task).chain(ns)
}
