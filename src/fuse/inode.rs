//! The inodes the host's kernel knows, so that each can be found again when what it shows changes.
//!
//! The kernel calls an inode by the number its file has for users ([`Files::ino`](tree::Files::ino)). Where one file is several inodes, as
//! different tasks see it, and should two files collide, the others get numbers of their own; users see the file's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::text::Texts;
use crate::kernel::change::Change;
use crate::kernel::node::{Node, Top, View};
use crate::kernel::{NsId, TaskId};
use crate::lab::FILES;
use crate::tree::{self, Family, FileType};

/// The number of the top directory (`FUSE_ROOT_ID`).
pub(super) const ROOT_INO: u64 = tree::ROOT_INO;
const HASHED: u64 = 1 << 52;

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
    /// The same, but it leads elsewhere for those who see the lab with other eyes: it is asked for anew each time.
    Viewed,
    /// `type:[inum]`, one of many that lead to a namespace file.
    Linked,
    /// One that is asked for anew each time it is used.
    Passing,
}

#[derive(Debug)]
struct Inode {
    identity: Identity,
    /// How often the kernel was told of it and has not yet forgotten.
    lookups: u64,
    /// Counts the files that had this number while the kernel knew it.
    generation: u64,
    /// Where its own name is: directory and name.
    name: Option<(u64, OsString)>,
    /// The directories in which it has a name of kind [`Name::Linked`].
    linked_in: BTreeSet<u64>,
    /// What was last told of it, which holds on once its task is gone.
    told: Told,
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

/// What the caches of the host's kernel have to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    /// Inodes whose attributes changed, no links.
    pub(super) attrs: BTreeSet<u64>,
    /// Links whose attributes or text changed, and versions of files whose task is gone: no read gets their pages.
    pub(super) links: BTreeSet<u64>,
    /// Inodes of what is gone, and what keeps their names in the cache, each before the directory it is in.
    pub(super) gone: Vec<u64>,
    /// Those of them whose names are in directories that stay: each of these names leads nowhere now.
    pub(super) tops: Vec<u64>,
    /// Any name may lead elsewhere.
    pub(super) names: bool,
}

/// What can be gone, and takes along all that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Task(TaskId),
    Ns(NsId),
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
    /// What the top directory is.
    top: Top,
}

#[derive(Debug, Default)]
struct Table {
    inodes: BTreeMap<u64, Inode>,
    /// The inodes that show something of a task, are seen through its eyes, or are a namespace's.
    by_subject: BTreeSet<(Subject, u64)>,
    /// Directories, and inodes that have a name of kind [`Name::Linked`] there.
    linked: BTreeSet<(u64, u64)>,
    /// Links that may lead elsewhere after any change, and whose text the kernel may have.
    read_links: BTreeSet<u64>,
    /// Where the kernel is next made to forget, so that each inode has its turn.
    next_pruned: u64,
    /// What versions of files read as.
    texts: Texts,
    /// Where the top directory is in the lab.
    top_path: &'static [u8],
}

/// Inodes that the kernel is made to forget at once. They take a moment under the lock of the table.
const PRUNED: usize = 4096;

impl Inodes {
    pub(super) fn new(max: u64, top: Top) -> Inodes {
        let mut table = Table { top_path: path_of(top), ..Table::default() };
        let identity = Identity { node: tree::top(top), version: 0 };
        let told = Told { file_type: FileType::Directory, mode: 0o555, uid: 0, gid: 0, ino: ROOT_INO, size: 0 };
        table.inodes.insert(ROOT_INO, Inode::new(identity, told));
        let [is_shrinking, keeps_names] = [false; 2].map(AtomicBool::new);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Inodes { table: Mutex::new(table), forgotten: Condvar::new(), max, is_shrinking, keeps_names, top }
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

    /// All that the kernel knows at a path, to be dropped from its caches.
    pub(super) fn stale_at(&self, path: &str) -> Stale {
        let table = self.table();
        let known = table.inodes.keys().copied().collect::<Vec<_>>().into_iter();
        let inos: Vec<u64> = known.filter(|ino| table.full_path(*ino) == path.as_bytes()).collect();
        let mut stale = Stale { names: true, ..Stale::default() };
        table.changed(&inos, &mut stale);
        stale
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
        let inode = inodes.entry(ino).or_insert_with(|| Inode::new(identity.clone(), told));
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
            Name::Own | Name::Viewed => {
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

    /// What `changes` made stale. `init` is the task whose eyes serve those who have no others.
    pub(super) fn stale(&self, changes: &[Change], init: TaskId) -> Stale {
        let mut table = self.table();
        let mut stale = Stale { links: std::mem::take(&mut table.read_links), ..Stale::default() };
        for change in changes {
            match *change {
                Change::Born(_) => {}
                Change::Links(task) => table.changed(&table.links_of(task), &mut stale),
                Change::Attrs(task) => table.changed(&table.about(task, init), &mut stale),
                Change::AllAttrs => table.changed(&table.inodes.keys().copied().collect::<Vec<_>>(), &mut stale),
                Change::Dead(task) => {
                    table.changed(&table.about(task, init), &mut stale);
                    stale.gone.extend(table.verbs_of(task));
                }
                Change::Gone(task) => table.gone(Subject::Task(task), &mut stale),
                Change::NsGone(ns) => table.gone(Subject::Ns(ns), &mut stale),
            }
        }
        stale
    }
}

impl Inode {
    fn new(identity: Identity, told: Told) -> Inode {
        Inode { identity, lookups: 0, generation: 0, name: None, linked_in: BTreeSet::new(), told }
    }
}

impl Table {
    /// The number the kernel has or gets for an inode: the file's own unless another inode of the file has it.
    fn number(&self, identity: &Identity, file: u64) -> u64 {
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
    fn asks(&self, ino: u64, question: impl FnOnce(&dyn Family) -> bool) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| FILES.ask(inode.identity.node.place, question))
    }

    fn full_path(&self, ino: u64) -> Vec<u8> {
        self.path_below(ino, |dir| dir == ROOT_INO)
    }

    /// The path of `ino` from the nearest directory above it that `is_top`.
    fn path_below(&self, ino: u64, is_top: impl Fn(u64) -> bool) -> Vec<u8> {
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

    fn of(&self, subject: Subject) -> Vec<u64> {
        self.by_subject.range((subject, 0)..=(subject, u64::MAX)).map(|(_, ino)| *ino).collect()
    }

    /// The namespace links of `task`.
    fn links_of(&self, task: TaskId) -> Vec<u64> {
        let is_of = |ino: u64| self.inodes.get(&ino).is_some_and(|inode| inode.identity.node.task() == Some(task));
        let inos = self.of(Subject::Task(task)).into_iter();
        inos.filter(|ino| is_of(*ino) && self.asks(*ino, |file| file.is_ns_link())).collect()
    }

    /// All that shows `task` and all that it is the viewer of.
    fn about(&self, task: TaskId, init: TaskId) -> Vec<u64> {
        let mut inos = self.of(Subject::Task(task));
        if task == init {
            let seen = self.inodes.iter().filter(|(_, inode)| inode.identity.node.view.viewer().is_none());
            inos.extend(seen.map(|(ino, _)| *ino));
        }
        inos
    }

    fn changed(&self, inos: &[u64], stale: &mut Stale) {
        for (ino, inode) in inos.iter().filter_map(|ino| Some((*ino, self.inodes.get(ino)?))) {
            let inos = if inode.told.file_type == FileType::Symlink { &mut stale.links } else { &mut stale.attrs };
            inos.insert(ino);
        }
    }

    fn gone(&self, subject: Subject, stale: &mut Stale) {
        let own = self.of(subject);
        self.changed(&own, stale);
        let is_version = |ino: &u64| self.inodes.get(ino).is_some_and(|inode| inode.identity.version != 0);
        stale.links.extend(own.iter().filter(|ino| is_version(ino)));
        stale.attrs.retain(|ino| !stale.links.contains(ino));
        let mut all: BTreeSet<u64> = own.iter().copied().collect();
        for &dir in &own {
            all.extend(self.linked.range((dir, 0)..=(dir, u64::MAX)).map(|(_, ino)| *ino));
        }
        let is_top = |ino: &u64| {
            let name = self.inodes.get(ino).and_then(|inode| inode.name.as_ref());
            name.is_some_and(|(dir, _)| !all.contains(dir))
        };
        stale.tops.extend(own.into_iter().filter(is_top));
        let mut all: Vec<u64> = all.into_iter().collect();
        all.sort_by_cached_key(|ino| Reverse(self.depth(*ino)));
        stale.gone.extend(all);
    }

    /// The files of a task that go when it dies: its control files. One that is open keeps its name until it is closed: its reader gets the answer.
    fn verbs_of(&self, task: TaskId) -> Vec<u64> {
        self.of(Subject::Task(task)).into_iter().filter(|ino| self.asks(*ino, |file| file.goes_with_life())).collect()
    }

    /// How many directories a name is in; one of many names is below them all.
    fn depth(&self, ino: u64) -> usize {
        let dir = |ino: &u64| self.inodes.get(ino)?.name.as_ref().map(|(dir, _)| *dir);
        match dir(&ino) {
            None => usize::MAX,
            first => std::iter::successors(first, dir).count(),
        }
    }
}

/// Where a top directory is in the lab.
fn path_of(top: Top) -> &'static [u8] {
    match top {
        Top::Lab => b"",
        Top::Proc => b"proc",
        Top::Mqueue => b"mqueue",
    }
}

/// What `node` is gone with or changes with: the task it shows, the one that looks, its namespace.
fn subjects(node: &Node) -> impl Iterator<Item = Subject> + use<> {
    let ns = FILES.ask(node.place, |file| file.ns()).map(Subject::Ns);
    node.task().into_iter().chain(node.view.viewer()).map(Subject::Task).chain(ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::kernel::node::{ITSELF, Place, TaskDir};
    use crate::lab;
    use crate::script::Session;

    const CTL: Place = Place::Above { task: None, row: 0 };

    fn identity(place: Place) -> Identity {
        Identity { node: Node { view: View::Caller, place }, version: 0 }
    }

    fn told(file_type: FileType, ino: u64) -> Told {
        Told { file_type, mode: 0o444, uid: 0, gid: 0, ino, size: 0 }
    }

    /// The number of a file other than a namespace's.
    fn number(place: Place) -> u64 {
        FILES.ino(&Kernel::boot(), place)
    }

    fn dir(inodes: &Inodes, place: Place, parent: u64, name: &str) -> u64 {
        inodes
            .insert(
                identity(place),
                told(FileType::Directory, number(place)),
                None,
                (parent, OsStr::new(name), Name::Own),
            )
            .0
    }

    fn link(inodes: &Inodes, task: TaskId, parent: u64) -> u64 {
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

    fn init() -> TaskId {
        Kernel::boot().init.task
    }

    /// A task that is not init.
    fn other() -> TaskId {
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
    fn the_texts_of_links_that_were_read_are_dropped_at_any_change() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let net = link(&inodes, init(), 78);
        inodes.link_is_read(net);
        assert_eq!(inodes.stale(&[], init()), Stale { links: [net].into(), ..Stale::default() });
        assert_eq!(inodes.stale(&[], init()), Stale::default());
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

    #[test]
    fn changed_links_drop_their_texts() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let ns = dir(&inodes, TaskDir::process(other()).entry(3), 77, "ns");
        let net = link(&inodes, other(), ns);
        link(&inodes, init(), 78);
        let stale = inodes.stale(&[Change::Links(other())], init());
        assert_eq!(stale, Stale { links: [net].into(), ..Stale::default() });
    }

    #[test]
    fn changed_attributes_leave_names_alone() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let ns = dir(&inodes, TaskDir::process(other()).entry(3), 77, "ns");
        let net = link(&inodes, other(), ns);
        let stale = inodes.stale(&[Change::Attrs(other())], init());
        assert_eq!(stale, Stale { attrs: [ns].into(), links: [net].into(), ..Stale::default() });
    }

    #[test]
    fn a_task_that_dies_takes_the_names_of_its_control_files_along() {
        let (inodes, mut k) = (Inodes::new(1 << 20, Top::Lab), Kernel::boot());
        Session::default().batch(&mut k, b"1 clone\n").1.unwrap();
        let task = k.find_task(2).unwrap();
        let insert = |dir: Node, parent, name: &str| {
            let (node, attr) = tree::find(&k, lab::eyes(k.init.task), dir, name.as_bytes()).unwrap().unwrap();
            let told = told(attr.file_type, attr.ino);
            let name = (parent, OsStr::new(name), Name::Own);
            (node, inodes.insert(Identity { node, version: 0 }, told, None, name).0)
        };
        let (ctl, of_ctl) = insert(tree::ROOT, ROOT_INO, "ctl");
        let (dir, of_task) = insert(ctl, of_ctl, "2");
        let [(_, usage), (_, clone)] = ["usage", "clone"].map(|name| insert(dir, of_task, name));
        let stale = inodes.stale(&[Change::Dead(task)], k.init.task);
        assert_eq!(stale, Stale { attrs: [of_task, usage, clone].into(), gone: vec![clone], ..Stale::default() });
    }

    /// A namespace file that others lead to as well holds the directory of a task that is gone.
    #[test]
    fn what_is_gone_is_pruned_from_its_leaves() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let namespace = Kernel::boot().init.pid_ns.any();
        let task = dir(&inodes, TaskDir::process(other()).entry(ITSELF), 77, "2");
        let ns = dir(&inodes, TaskDir::process(other()).entry(3), task, "ns");
        let net = link(&inodes, other(), ns);
        let name = (ns, OsStr::new("pid:[4026531836]"), Name::Linked);
        let (file, _) =
            inodes.insert(identity(Place::NsFile(namespace)), told(FileType::File, 4_026_531_836), None, name);
        let stale = inodes.stale(&[Change::Gone(other())], init());
        let gone = vec![file, net, ns, task];
        let (attrs, links, tops) = ([task, ns].into(), [net].into(), vec![task]);
        assert_eq!(stale, Stale { attrs, links, gone, tops, names: false });
        inodes.forget(file, 1);
        assert_eq!(inodes.stale(&[Change::Gone(other())], init()).gone, [net, ns, task]);
    }

    #[test]
    fn the_file_of_a_namespace_goes_with_it() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let namespace = Kernel::boot().init.pid_ns.any();
        let name = (7, OsStr::new("pid:[4026531836]"), Name::Linked);
        let (file, _) =
            inodes.insert(identity(Place::NsFile(namespace)), told(FileType::File, 4_026_531_836), None, name);
        let stale = inodes.stale(&[Change::NsGone(namespace)], init());
        assert_eq!(stale, Stale { attrs: [file].into(), gone: vec![file], ..Stale::default() });
    }

    #[test]
    fn what_a_changed_viewer_sees_is_stale_too() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let node = Node { view: View::As(other()), place: TaskDir::process(init()).entry(ITSELF) };
        let identity = Identity { node, version: 0 };
        let file = told(FileType::Directory, number(node.place));
        let (ino, _) = inodes.insert(identity, file, None, (77, OsStr::new("1"), Name::Own));
        assert_eq!(inodes.stale(&[Change::Attrs(other())], init()).attrs, [ino].into());
    }

    #[test]
    fn a_change_of_all_tasks_reaches_every_inode() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let ino = dir(&inodes, TaskDir::process(other()).entry(ITSELF), 77, "2");
        let ns = link(&inodes, other(), ino);
        let stale = inodes.stale(&[Change::AllAttrs], init());
        assert_eq!(stale, Stale { attrs: [ROOT_INO, ino].into(), links: [ns].into(), ..Stale::default() });
    }

    #[test]
    fn a_change_of_init_reaches_all_that_is_seen_with_its_eyes() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let ino = dir(&inodes, TaskDir::process(other()).entry(ITSELF), 77, "2");
        assert_eq!(inodes.stale(&[Change::Attrs(init())], init()).attrs, [ROOT_INO, ino].into());
    }
}
