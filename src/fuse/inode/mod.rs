//! The inodes the host's kernel knows, so that each can be found again when what it shows changes.
//!
//! The kernel calls an inode by the number its file has for users ([`Files::ino`](tree::Files::ino)). Where one file is several inodes, as
//! different tasks see it, and should two files collide, the others get numbers of their own; users see the file's.

mod stale;
mod table;

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kernel::node::{Node, Top};
use crate::tree::{self, FileType};
pub(super) use stale::Stale;
use table::{Inode, Table, path_of, subjects};

/// The number of the top directory (`FUSE_ROOT_ID`).
pub(super) const ROOT_INO: u64 = tree::ROOT_INO;

/// What an inode shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) node: Node,
    /// Makes each text of a file another inode, see [`super::text::version`], and a link with a fault one at each lookup: the
    /// host's kernel keeps the pages of a file and the text of a link for as long as it knows the inode. 0: the file has no
    /// other.
    pub(super) version: u64,
}

/// The part a name plays for the inode it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The file's one name.
    Own,
    /// The same, but it leads nowhere once a task is reaped that its directory is not about: `proc/7`.
    OfTask,
    /// The same, but it leads elsewhere for those who see the lab with other eyes: it is asked for anew each time.
    Viewed,
    /// `type:[inum]`, one of many that lead to a namespace file.
    Linked,
    /// One that is asked for anew each time it is used.
    Passing,
}

/// What an inode keeps when the file behind it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) file_type: FileType,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) ino: u64,
    pub(super) size: u64,
}

/// The table of inodes. Entries are made under the state's read lock and before the reply, so whoever changed the
/// state afterwards finds here all that may have been answered from the old one. One that is not here is not in any
/// cache, nor in an answer on its way to one.
#[derive(Debug)]
pub(super) struct Inodes {
    table: Mutex<Table>,
    /// Told whenever the kernel has forgotten an inode.
    forgotten: Condvar,
    /// How many the kernel may know before it is made to forget some.
    max: usize,
    /// It was not yet made to, since it was last seen that it knows more.
    is_shrinking: AtomicBool,
    /// The kernel may keep names: it can be made to drop them without waiting (Linux 6.18).
    keeps_names: AtomicBool,
    /// And those that lead nowhere when a task is reaped.
    keeps_task_names: AtomicBool,
    /// What the top directory is.
    top: Top,
}

/// Inodes that the kernel is made to forget at once. They take a moment under the lock of the table.
const PRUNED: usize = 4096;

impl Inodes {
    pub(super) fn new(max: u64, top: Top) -> Inodes {
        let mut table = Table { top_path: path_of(top), ..Table::default() };
        let identity = Identity { node: tree::top(top), version: 0 };
        let told = Told { file_type: FileType::Directory, mode: 0o555, uid: 0, gid: 0, ino: ROOT_INO, size: 0 };
        table.inodes.insert(ROOT_INO, Box::new(Inode::new(identity, told)));
        let [is_shrinking, keeps_names, keeps_task_names] = [false, false, true].map(AtomicBool::new);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Inodes {
            table: Mutex::new(table),
            forgotten: Condvar::new(),
            max,
            is_shrinking,
            keeps_names,
            keeps_task_names,
            top,
        }
    }

    /// What the top directory is.
    pub(super) fn top(&self) -> Top {
        self.top
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the kernel may keep names.
    pub(super) fn keep_names(&self) {
        self.keeps_names.store(true, Ordering::Relaxed);
    }

    /// Names of kind [`Name::OfTask`] are asked for at each use. One that somebody uses could only be dropped together with
    /// all others, and a name that is dropped is looked up under the lock of its directory, which any client can hold.
    pub(super) fn keep_no_task_names(&self) {
        self.keeps_task_names.store(false, Ordering::Relaxed);
    }

    pub(super) fn keeps_task_names(&self) -> bool {
        self.keeps_names() && self.keeps_task_names.load(Ordering::Relaxed)
    }

    /// As on kernels before Linux 6.18.
    #[cfg(test)]
    pub(super) fn keep_no_names(&self) {
        self.keeps_names.store(false, Ordering::Relaxed);
    }

    /// How many answers have told the kernel of `ino`.
    #[cfg(test)]
    pub(super) fn answers(&self, ino: u64) -> u64 {
        self.table().inodes.get(&ino).map_or(0, |inode| inode.lookups)
    }

    pub(super) fn keeps_names(&self) -> bool {
        self.keeps_names.load(Ordering::Relaxed)
    }

    /// How many inodes the kernel may know.
    pub(super) fn count(&self) -> usize {
        self.table().inodes.len()
    }

    /// Whether those who may not write have to wait until the kernel knows less.
    pub(super) fn is_full(&self) -> bool {
        self.count() > self.max.saturating_mul(2)
    }

    /// Whether the kernel has to be made to forget what nobody uses: the first who sees it sees to it.
    pub(super) fn has_to_shrink(&self) -> bool {
        self.keeps_names() && self.count() > self.max && !self.is_shrinking.swap(true, Ordering::Relaxed)
    }

    /// What the kernel is to forget if nobody uses it, names in a directory before the directory.
    pub(super) fn surplus(&self) -> Vec<u64> {
        self.is_shrinking.store(false, Ordering::Relaxed);
        let mut table = self.table();
        let start = table.next_pruned.max(ROOT_INO + 1);
        let mut inos: Vec<u64> = table.inodes.range(start..).map(|(ino, _)| *ino).take(PRUNED).collect();
        table.next_pruned = if inos.len() < PRUNED { 0 } else { inos[PRUNED - 1] + 1 };
        inos.sort_by_cached_key(|ino| Reverse(table.depth(*ino)));
        inos
    }

    /// Whether the kernel was told of `ino` and has not said that it forgot it.
    pub(super) fn is_known(&self, ino: u64) -> bool {
        self.table().inodes.contains_key(&ino)
    }

    /// What number `ino` shows, `None` if the kernel should not know it.
    pub(super) fn get(&self, ino: u64) -> Option<Identity> {
        self.table().inodes.get(&ino).map(|inode| inode.identity.clone())
    }

    /// Notes that the kernel gets the text of a link that the next change may make stale. Called under the state's read
    /// lock, so that whoever changes the state afterwards finds it.
    pub(super) fn link_is_read(&self, ino: u64) {
        self.table().read_links.insert(ino);
    }

    /// What a version of a file reads as; `None`: it was too much to keep.
    pub(super) fn text(&self, ino: u64) -> Option<Arc<[u8]>> {
        self.table().texts.get(ino)
    }

    /// Notes what an inode was told to be.
    pub(super) fn tell(&self, ino: u64, told: Told) {
        if let Some(inode) = self.table().inodes.get_mut(&ino) {
            inode.told = told;
        }
    }

    /// What an inode was last told to be.
    pub(super) fn told(&self, ino: u64) -> Option<Told> {
        self.table().inodes.get(&ino).map(|inode| inode.told)
    }

    /// The number of the directory that `ino` has its own name in.
    pub(super) fn parent(&self, ino: u64) -> u64 {
        let table = self.table();
        table.inodes.get(&ino).and_then(|inode| inode.name.as_ref()).map_or(ROOT_INO, |(parent, _)| *parent)
    }

    /// The path of `ino` in its view, `proc/self/comm`; empty for the top.
    pub(super) fn path(&self, ino: u64) -> Vec<u8> {
        let table = self.table();
        // `as/<pid>` is where a view begins.
        table.path_below(ino, |dir| dir == ROOT_INO || table.asks(dir, |file| file.is_view_top()))
    }

    /// The path of `ino` from the top of the lab, empty for a file that only links lead to.
    pub(super) fn full_path(&self, ino: u64) -> Vec<u8> {
        self.table().full_path(ino)
    }

    /// Counts one more answer that tells the kernel of `identity` under `name` in `parent`, and what it is told; gives the
    /// number the kernel has for it and the generation to reply. A version of a file comes with its text.
    pub(super) fn insert(
        &self,
        identity: Identity,
        told: Told,
        text: Option<Arc<[u8]>>,
        (parent, name, kind): (u64, &OsStr, Name),
    ) -> (u64, u64) {
        let mut table = self.table();
        let ino = table.number(&identity, told.ino);
        let Table { inodes, by_subject, linked, texts, .. } = &mut *table;
        if let Some(text) = text {
            texts.keep(ino, text);
        }
        let inode = inodes.entry(ino).or_insert_with(|| Box::new(Inode::new(identity.clone(), told)));
        let mut is_new = inode.lookups == 0;
        if inode.identity != identity {
            for subject in subjects(&inode.identity.node) {
                by_subject.remove(&(subject, ino));
            }
            inode.identity = identity;
            inode.generation += 1;
            is_new = true;
        }
        if is_new {
            by_subject.extend(subjects(&inode.identity.node).map(|subject| (subject, ino)));
        }
        inode.lookups += 1;
        inode.told = told;
        let generation = inode.generation;
        match kind {
            Name::Own | Name::OfTask | Name::Viewed => {
                if inode.name.as_ref().is_none_or(|(dir, known)| (*dir, &**known) != (parent, name)) {
                    inode.name = Some((parent, name.to_owned()));
                }
            }
            Name::Linked => {
                inode.linked_in.insert(parent);
                linked.insert((parent, ino));
            }
            Name::Passing => {}
        }
        (ino, generation)
    }

    /// The kernel forgot `count` answers about `ino`.
    pub(super) fn forget(&self, ino: u64, count: u64) {
        let mut table = self.table();
        let Some(inode) = table.inodes.get_mut(&ino).filter(|_| ino != ROOT_INO) else { return };
        inode.lookups = inode.lookups.saturating_sub(count);
        if inode.lookups > 0 {
            return;
        }
        table.read_links.remove(&ino);
        table.texts.drop(ino);
        if let Some(inode) = table.inodes.remove(&ino) {
            for subject in subjects(&inode.identity.node) {
                table.by_subject.remove(&(subject, ino));
            }
            for dir in inode.linked_in {
                table.linked.remove(&(dir, ino));
            }
        }
        drop(table);
        self.forgotten.notify_all();
    }

    /// Waits for the kernel to forget `ino`, for so long.
    pub(super) fn wait_forgotten(&self, ino: u64, time: Duration) {
        let is_known = |table: &mut Table| table.inodes.contains_key(&ino);
        drop(self.forgotten.wait_timeout_while(self.table(), time, is_known));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::table::HASHED;
    use super::*;
    use crate::kernel::node::{ITSELF, Place, TaskDir, View};
    use crate::kernel::{Kernel, TaskId};
    use crate::lab::FILES;

    pub(super) const CTL: Place = Place::Above { task: None, row: 0 };

    pub(super) fn identity(place: Place) -> Identity {
        Identity { node: Node { view: View::Caller, place }, version: 0 }
    }

    pub(super) fn told(file_type: FileType, ino: u64) -> Told {
        Told { file_type, mode: 0o444, uid: 0, gid: 0, ino, size: 0 }
    }

    /// The number of a file other than a namespace's.
    pub(super) fn number(place: Place) -> u64 {
        FILES.ino(&Kernel::boot(), place)
    }

    pub(super) fn dir(inodes: &Inodes, place: Place, parent: u64, name: &str) -> u64 {
        inodes
            .insert(
                identity(place),
                told(FileType::Directory, number(place)),
                None,
                (parent, OsStr::new(name), Name::Own),
            )
            .0
    }

    pub(super) fn link(inodes: &Inodes, task: TaskId, parent: u64) -> u64 {
        let place = Place::NsLink(TaskDir::process(task), 0);
        inodes
            .insert(
                identity(place),
                told(FileType::Symlink, number(place)),
                None,
                (parent, OsStr::new("net"), Name::Own),
            )
            .0
    }

    pub(super) fn init() -> TaskId {
        Kernel::boot().init.task
    }

    /// A task that is not init.
    pub(super) fn other() -> TaskId {
        Kernel::boot().tasks.next_id()
    }

    #[test]
    fn a_file_keeps_its_number_while_forgotten() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let first = dir(&inodes, TaskDir::process(init()).entry(ITSELF), ROOT_INO, "1");
        assert_eq!(number(TaskDir::process(init()).entry(ITSELF)), first);
        inodes.forget(first, 1);
        assert_eq!(inodes.get(first), None);
        assert_eq!(dir(&inodes, TaskDir::process(init()).entry(ITSELF), ROOT_INO, "1"), first);
        assert!(first >= HASHED);
    }

    #[test]
    fn paths_below_a_mounted_proc_are_those_of_the_lab() {
        let inodes = Inodes::new(1 << 20, Top::Proc);
        let task = dir(&inodes, TaskDir::process(other()).entry(ITSELF), ROOT_INO, "2");
        let ns = dir(&inodes, TaskDir::process(other()).entry(3), task, "ns");
        assert_eq!(
            [ROOT_INO, task, ns].map(|ino| inodes.full_path(ino)),
            ["proc", "proc/2", "proc/2/ns"].map(Vec::from)
        );
        assert_eq!(inodes.path(ns), b"proc/2/ns");
        assert_eq!(inodes.stale_at("proc/2").attrs, [task].into());
    }

    #[test]
    fn the_kernel_is_made_to_forget_in_turn() {
        let inodes = Inodes::new(3, Top::Lab);
        inodes.keep_names();
        let task = dir(&inodes, TaskDir::process(other()).entry(ITSELF), ROOT_INO, "2");
        let ns = dir(&inodes, TaskDir::process(other()).entry(3), task, "ns");
        assert!(!inodes.has_to_shrink() && !inodes.is_full());
        let net = link(&inodes, other(), ns);
        assert!(inodes.has_to_shrink() && !inodes.has_to_shrink());
        assert_eq!(inodes.surplus(), [net, ns, task]);
        assert!(inodes.has_to_shrink());
        inodes.forget(net, 1);
        inodes.surplus();
        assert!(!inodes.has_to_shrink());
    }

    #[test]
    fn an_inode_is_known_until_each_answer_is_forgotten() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let ino = dir(&inodes, CTL, ROOT_INO, "ctl");
        dir(&inodes, CTL, ROOT_INO, "ctl");
        inodes.forget(ino, 1);
        assert_eq!(inodes.get(ino), Some(identity(CTL)));
        inodes.forget(ino, 1);
        assert_eq!(inodes.get(ino), None);
        inodes.forget(ROOT_INO, 9);
        assert!(inodes.get(ROOT_INO).is_some());
    }

    #[test]
    fn the_next_namespace_with_an_inum_is_another_generation() {
        let kernel = Kernel::boot();
        let [first, second] = [kernel.init.user_ns.any(), kernel.init.pid_ns.any()];
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let file = told(FileType::File, 4_026_532_177);
        let name = (7, OsStr::new("net:[4026532177]"), Name::Passing);
        assert_eq!(inodes.insert(identity(Place::NsFile(first)), file, None, name), (4_026_532_177, 0));
        assert_eq!(inodes.insert(identity(Place::NsFile(first)), file, None, name), (4_026_532_177, 0));
        assert_eq!(inodes.insert(identity(Place::NsFile(second)), file, None, name), (4_026_532_177, 1));
        assert_eq!(inodes.get(4_026_532_177), Some(identity(Place::NsFile(second))));
    }

    #[test]
    fn one_file_is_as_many_inodes_as_there_are_ways_to_see_it() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let place = TaskDir::process(init()).entry(ITSELF);
        let file = told(FileType::Directory, number(place));
        let views = [View::Caller, View::As(other()), View::As(init())];
        let numbers: BTreeSet<u64> = views
            .map(|view| {
                inodes
                    .insert(
                        Identity { node: Node { view, place }, version: 0 },
                        file,
                        None,
                        (ROOT_INO, OsStr::new("1"), Name::Own),
                    )
                    .0
            })
            .into();
        assert_eq!((numbers.len(), numbers.contains(&file.ino)), (3, true));
    }
}
