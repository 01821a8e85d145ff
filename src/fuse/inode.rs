//! The inodes the host's kernel knows, so that each can be found again when what it shows changes.
//!
//! A namespace file's number is its inum. Every other number is a hash of what the inode shows, 2^52 or more, so a
//! file keeps its number for as long as it lives, whether the kernel remembers it or not, and a file that comes later
//! has another one: what it is made from ([`Node`]) is never used again. Should two live files collide, the later one
//! takes the next number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kernel::change::Change;
use crate::kernel::node::{Node, Place};
use crate::kernel::{NsId, TaskId};
use crate::tree::{self, FileType};

/// The number of the top directory (`FUSE_ROOT_ID`).
pub(super) const ROOT_INO: u64 = 1;
const HASHED: u64 = 1 << 52;

/// What an inode shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) node: Node,
    /// The text of a symlink that may lead elsewhere at any time. The host's kernel keeps a link's text for as long as
    /// it knows the inode, so such a link is another inode for each text it has had.
    pub(super) text: Option<Arc<[u8]>>,
    /// Makes a link with a fault another inode at each lookup, for the same reason; 0 of all others.
    pub(super) salt: u64,
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
    file_type: FileType,
    /// How often the kernel was told of it and has not yet forgotten.
    lookups: u64,
    /// Counts the files that had this number while the kernel knew it.
    generation: u64,
    /// Where its own name is: directory and name.
    name: Option<(u64, OsString)>,
    /// The directories in which it has a name of kind [`Name::Linked`].
    linked_in: BTreeSet<u64>,
}

/// What the caches of the host's kernel have to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    /// Inodes whose attributes changed, no links.
    pub(super) attrs: BTreeSet<u64>,
    /// Links whose attributes or text changed.
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
}

#[derive(Debug, Default)]
struct Table {
    inodes: BTreeMap<u64, Inode>,
    /// The inodes that show something of a task, are seen through its eyes, or are a namespace's.
    by_subject: BTreeSet<(Subject, u64)>,
    /// Directories, and inodes that have a name of kind [`Name::Linked`] there.
    linked: BTreeSet<(u64, u64)>,
}

impl Inodes {
    pub(super) fn new() -> Inodes {
        let mut table = Table::default();
        let identity = Identity { node: tree::ROOT, text: None, salt: 0 };
        table.inodes.insert(ROOT_INO, Inode::new(identity, FileType::Directory));
        Inodes { table: Mutex::new(table), forgotten: Condvar::new() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What number `ino` shows, `None` if the kernel should not know it.
    pub(super) fn get(&self, ino: u64) -> Option<Identity> {
        self.table().inodes.get(&ino).map(|inode| inode.identity.clone())
    }

    /// The number `identity` has or would get; `fixed` is the one it must have.
    pub(super) fn number(&self, identity: &Identity, fixed: Option<u64>) -> u64 {
        self.table().number(identity, fixed)
    }

    /// The number of the directory that `ino` has its own name in.
    pub(super) fn parent(&self, ino: u64) -> u64 {
        let table = self.table();
        table.inodes.get(&ino).and_then(|inode| inode.name.as_ref()).map_or(ROOT_INO, |(parent, _)| *parent)
    }

    /// The path of `ino` in its view, `proc/self/comm`; empty for the top.
    pub(super) fn path(&self, ino: u64) -> Vec<u8> {
        let table = self.table();
        let (mut names, mut at) = (Vec::new(), ino);
        while let Some((parent, name)) = table.inodes.get(&at).and_then(|inode| inode.name.as_ref()) {
            at = *parent;
            // `as/<pid>` is where a view begins.
            if matches!(table.inodes.get(&at), Some(inode) if matches!(inode.identity.node.place, Place::As(_))) {
                at = ROOT_INO;
            }
            names.push(name.as_bytes());
        }
        names.reverse();
        names.join(&b'/')
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

    /// Counts one more answer that tells the kernel of `identity` under `name` in `parent`; gives the number, which is
    /// `fixed` if that is given, and the generation to reply.
    pub(super) fn insert(
        &self,
        identity: Identity,
        file_type: FileType,
        fixed: Option<u64>,
        (parent, name, kind): (u64, &OsStr, Name),
    ) -> (u64, u64) {
        let mut table = self.table();
        let ino = table.number(&identity, fixed);
        table.by_subject.extend(subjects(&identity.node).map(|subject| (subject, ino)));
        let inode = table.inodes.entry(ino).or_insert_with(|| Inode::new(identity.clone(), file_type));
        if inode.identity != identity {
            inode.identity = identity;
            inode.generation += 1;
        }
        inode.lookups += 1;
        let generation = inode.generation;
        match kind {
            Name::Own | Name::Viewed => inode.name = Some((parent, name.to_owned())),
            Name::Linked => {
                inode.linked_in.insert(parent);
                table.linked.insert((parent, ino));
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

    /// Waits for the kernel to forget `ino`, for so long; gives whether it has.
    pub(super) fn wait_forgotten(&self, ino: u64, time: Duration) -> bool {
        let is_known = |table: &mut Table| table.inodes.contains_key(&ino);
        let waited = self.forgotten.wait_timeout_while(self.table(), time, is_known);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// What `changes` made stale. `init` is the task whose eyes serve those who have no others.
    pub(super) fn stale(&self, changes: &[Change], init: TaskId) -> Stale {
        let table = self.table();
        let mut stale = Stale::default();
        for change in changes {
            match *change {
                Change::Born(_) => {}
                Change::Links(task) => table.changed(&table.links_of(task), &mut stale),
                Change::Attrs(task) => table.changed(&table.about(task, init), &mut stale),
                Change::Gone(task) => table.gone(Subject::Task(task), &mut stale),
                Change::NsGone(ns) => table.gone(Subject::Ns(ns), &mut stale),
            }
        }
        stale
    }
}

impl Inode {
    fn new(identity: Identity, file_type: FileType) -> Inode {
        Inode { identity, file_type, lookups: 0, generation: 0, name: None, linked_in: BTreeSet::new() }
    }
}

impl Table {
    fn number(&self, identity: &Identity, fixed: Option<u64>) -> u64 {
        if let Some(ino) = fixed {
            return ino;
        }
        if identity.node == tree::ROOT {
            return ROOT_INO;
        }
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let mut ino = HASHED | hasher.finish() >> 12;
        while self.inodes.get(&ino).is_some_and(|other| other.identity != *identity) {
            ino = HASHED | (ino + 1);
        }
        ino
    }

    fn full_path(&self, ino: u64) -> Vec<u8> {
        let (mut names, mut at) = (Vec::new(), ino);
        while let Some((parent, name)) = self.inodes.get(&at).and_then(|inode| inode.name.as_ref()) {
            at = *parent;
            names.push(name.as_bytes());
        }
        names.reverse();
        names.join(&b'/')
    }

    fn of(&self, subject: Subject) -> Vec<u64> {
        self.by_subject.range((subject, 0)..=(subject, u64::MAX)).map(|(_, ino)| *ino).collect()
    }

    /// The namespace links of `task`.
    fn links_of(&self, task: TaskId) -> Vec<u64> {
        let is_link = |place| matches!(place, Place::NsLink { task: of, .. } if of == task);
        let inos = self.of(Subject::Task(task)).into_iter();
        inos.filter(|ino| self.inodes.get(ino).is_some_and(|inode| is_link(inode.identity.node.place))).collect()
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
            let inos = if inode.file_type == FileType::Symlink { &mut stale.links } else { &mut stale.attrs };
            inos.insert(ino);
        }
    }

    fn gone(&self, subject: Subject, stale: &mut Stale) {
        let own = self.of(subject);
        self.changed(&own, stale);
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

    /// How many directories a name is in; one of many names is below them all.
    fn depth(&self, ino: u64) -> usize {
        let dir = |ino: &u64| self.inodes.get(ino)?.name.as_ref().map(|(dir, _)| *dir);
        match dir(&ino) {
            None => usize::MAX,
            first => std::iter::successors(first, dir).count(),
        }
    }
}

/// What `node` is gone with or changes with: the task it shows, the one that looks, its namespace.
fn subjects(node: &Node) -> impl Iterator<Item = Subject> + use<> {
    let ns = match node.place {
        Place::NsFile(ns) => Some(Subject::Ns(ns)),
        _ => None,
    };
    node.task().into_iter().chain(node.view.viewer()).map(Subject::Task).chain(ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn identity(place: Place) -> Identity {
        Identity { node: Node { view: View::Caller, place }, text: None, salt: 0 }
    }

    fn dir(inodes: &Inodes, place: Place, parent: u64, name: &str) -> u64 {
        inodes.insert(identity(place), FileType::Directory, None, (parent, OsStr::new(name), Name::Own)).0
    }

    fn link(inodes: &Inodes, task: TaskId, parent: u64) -> u64 {
        let place = Place::NsLink { task, entry: 0, thread: false };
        inodes.insert(identity(place), FileType::Symlink, None, (parent, OsStr::new("net"), Name::Own)).0
    }

    fn names(names: &[(u64, &str)]) -> Names {
        names.iter().map(|(parent, name)| (*parent, OsString::from(name))).collect()
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
        let inodes = Inodes::new();
        let first = dir(&inodes, Place::Pid(init(), 0), ROOT_INO, "1");
        assert_eq!(inodes.number(&identity(Place::Pid(init(), 0)), None), first);
        inodes.forget(first, 1);
        assert_eq!(inodes.get(first), None);
        assert_eq!(dir(&inodes, Place::Pid(init(), 0), ROOT_INO, "1"), first);
        assert!(first >= HASHED);
    }

    #[test]
    fn an_inode_is_known_until_each_answer_is_forgotten() {
        let inodes = Inodes::new();
        let ino = dir(&inodes, Place::CtlRoot, ROOT_INO, "ctl");
        dir(&inodes, Place::CtlRoot, ROOT_INO, "ctl");
        inodes.forget(ino, 1);
        assert_eq!(inodes.get(ino), Some(identity(Place::CtlRoot)));
        inodes.forget(ino, 1);
        assert_eq!(inodes.get(ino), None);
        inodes.forget(ROOT_INO, 9);
        assert!(inodes.get(ROOT_INO).is_some());
    }

    #[test]
    fn the_next_namespace_with_an_inum_is_another_generation() {
        let kernel = Kernel::boot();
        let [first, second] = [kernel.ns_owner(kernel.init.pid_ns), Some(kernel.init.pid_ns)].map(Option::unwrap);
        let inodes = Inodes::new();
        let inum = Some(4_026_532_177);
        let name = (7, OsStr::new("net:[4026532177]"), Name::Passing);
        assert_eq!(inodes.insert(identity(Place::NsFile(first)), FileType::File, inum, name), (4_026_532_177, 0));
        assert_eq!(inodes.insert(identity(Place::NsFile(first)), FileType::File, inum, name), (4_026_532_177, 0));
        assert_eq!(inodes.insert(identity(Place::NsFile(second)), FileType::File, inum, name), (4_026_532_177, 1));
        assert_eq!(inodes.get(4_026_532_177), Some(identity(Place::NsFile(second))));
    }

    #[test]
    fn a_link_with_another_text_is_another_inode() {
        let inodes = Inodes::new();
        let with = |text: &[u8]| Identity { text: Some(text.into()), ..identity(Place::Fixed(9)) };
        assert_ne!(inodes.number(&with(b"1"), None), inodes.number(&with(b"2"), None));
    }

    #[test]
    fn changed_links_drop_their_texts_and_the_names_they_led_through() {
        let inodes = Inodes::new();
        let ns = dir(&inodes, Place::Pid(other(), 3), 77, "ns");
        let net = link(&inodes, other(), ns);
        link(&inodes, init(), 78);
        let namespace = Kernel::boot().init.pid_ns;
        let inum = Some(4_026_531_836);
        inodes.insert(
            identity(Place::NsFile(namespace)),
            FileType::File,
            inum,
            (ns, OsStr::new("pid:[4026531836]"), Name::Linked),
        );
        let stale = inodes.stale(&[Change::Links(other())], init());
        let dropped = names(&[(ns, "pid:[4026531836]")]);
        assert_eq!(stale, Stale { dropped, inodes: [net].into(), ..Stale::default() });
        let again = inodes.stale(&[Change::Links(other())], init());
        assert_eq!(again.dropped, names(&[]));
    }

    #[test]
    fn changed_attributes_keep_the_names_of_directories() {
        let inodes = Inodes::new();
        let ns = dir(&inodes, Place::Pid(other(), 3), 77, "ns");
        let net = link(&inodes, other(), ns);
        let stale = inodes.stale(&[Change::Attrs(other())], init());
        let (dropped, expired) = (names(&[(ns, "net")]), names(&[(77, "ns")]));
        assert_eq!(stale, Stale { dropped, expired, inodes: [ns, net].into() });
    }

    #[test]
    fn of_a_task_that_is_gone_nothing_is_kept() {
        let inodes = Inodes::new();
        let ns = dir(&inodes, Place::Pid(other(), 3), 77, "ns");
        let stale = inodes.stale(&[Change::Gone(other())], init());
        assert_eq!(stale, Stale { dropped: names(&[(77, "ns")]), inodes: [ns].into(), ..Stale::default() });
    }

    #[test]
    fn what_a_changed_viewer_sees_is_stale_too() {
        let inodes = Inodes::new();
        let node = Node { view: View::As(other()), place: Place::Pid(init(), 0) };
        let identity = Identity { node, text: None, salt: 0 };
        let (ino, _) = inodes.insert(identity, FileType::Directory, None, (77, OsStr::new("1"), Name::Own));
        assert_eq!(inodes.stale(&[Change::Attrs(other())], init()).inodes, [ino].into());
    }

    #[test]
    fn a_change_of_init_reaches_all_that_is_seen_with_its_eyes() {
        let inodes = Inodes::new();
        let ino = dir(&inodes, Place::Pid(other(), 0), 77, "2");
        assert_eq!(inodes.stale(&[Change::Attrs(init())], init()).inodes, [ROOT_INO, ino].into());
    }
}
