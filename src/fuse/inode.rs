//! The inodes the host's kernel knows, so that each can be found again when what it shows changes.
//!
//! The kernel calls an inode by the number its file has for users ([`tree::ino`]). Where one file is several inodes, as
//! different tasks see it, and should two files collide, the others get numbers of their own; users see the file's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kernel::TaskId;
use crate::kernel::change::Change;
use crate::kernel::node::{Node, Place, View};
use crate::tree::{self, FileType};

/// The number of the top directory (`FUSE_ROOT_ID`).
pub(super) const ROOT_INO: u64 = tree::ROOT_INO;
const HASHED: u64 = 1 << 52;

/// What an inode shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) node: Node,
    /// Makes a link with a fault another inode at each lookup, as the host's kernel keeps a link's text for as long as it
    /// knows the inode; 0 of all others.
    pub(super) salt: u64,
}

/// The part a name plays for the inode it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The file's one name.
    Own,
    /// The same, but it leads elsewhere for those who see the lab with other eyes: it is asked for anew each time.
    Viewed,
    /// `type:[inum]` in a task's `ns/`, true for as long as a link there reads so.
    Linked,
    /// One that is asked for anew each time it is used.
    Passing,
}

#[derive(Debug)]
struct Inode {
    identity: Identity,
    is_dir: bool,
    /// How often the kernel was told of it and has not yet forgotten.
    lookups: u64,
    /// Counts the files that had this number while the kernel knew it.
    generation: u64,
    /// Where its own name is: directory and name.
    name: Option<(u64, OsString)>,
    /// Names of kind [`Name::Linked`] in this directory.
    linked: BTreeSet<OsString>,
    /// What was last told of it, which holds on once its task is gone.
    told: Option<Told>,
}

/// What an inode keeps when the file behind it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) file_type: FileType,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) ino: u64,
}

/// Names: each a directory and a name in it.
type Names = BTreeSet<(u64, OsString)>;

/// What the caches of the host's kernel have to be told, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    /// Names that no longer lead where they did.
    pub(super) dropped: Names,
    /// Directories that stay where they are, with other attributes: dropping the name of a directory would take it
    /// away from those whose working directory it is.
    pub(super) expired: Names,
    /// Inodes whose attributes or link text changed.
    pub(super) inodes: BTreeSet<u64>,
}

/// The table of inodes. Entries are made under the state's read lock and before the reply, so whoever changed the
/// state afterwards finds here all that may have been answered from the old one.
#[derive(Debug)]
pub(super) struct Inodes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    inodes: BTreeMap<u64, Inode>,
    /// The inodes that show something of a task or are seen through its eyes.
    by_task: BTreeSet<(TaskId, u64)>,
    /// Links that may lead elsewhere after any change, and whose text the kernel may have.
    read_links: BTreeSet<u64>,
}

impl Inodes {
    pub(super) fn new() -> Inodes {
        let mut table = Table::default();
        let identity = Identity { node: tree::ROOT, salt: 0 };
        table.inodes.insert(ROOT_INO, Inode::new(identity, true));
        Inodes(Mutex::new(table))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Notes what an inode was told to be.
    pub(super) fn tell(&self, ino: u64, told: Told) {
        if let Some(inode) = self.table().inodes.get_mut(&ino) {
            inode.told = Some(told);
        }
    }

    /// What an inode was last told to be.
    pub(super) fn told(&self, ino: u64) -> Option<Told> {
        self.table().inodes.get(&ino).and_then(|inode| inode.told)
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
        let mut table = self.table();
        let known = table.inodes.keys().copied().collect::<Vec<_>>().into_iter();
        let inos: Vec<u64> = known.filter(|ino| table.full_path(*ino) == path.as_bytes()).collect();
        let mut stale = Stale::default();
        table.stale_all(&inos, &mut stale, |stale| &mut stale.expired);
        stale
    }

    /// Counts one more answer that tells the kernel of `identity` under `name` in `parent`, and what it is told; gives the
    /// number the kernel has for it and the generation to reply.
    pub(super) fn insert(
        &self,
        identity: Identity,
        told: Told,
        (parent, name, kind): (u64, &OsStr, Name),
    ) -> (u64, u64) {
        let mut table = self.table();
        let ino = table.number(&identity, told.ino);
        table.by_task.extend(tasks_of(&identity.node).map(|task| (task, ino)));
        let is_dir = told.file_type == FileType::Directory;
        let inode = table.inodes.entry(ino).or_insert_with(|| Inode::new(identity.clone(), is_dir));
        if inode.identity != identity {
            inode.identity = identity;
            inode.generation += 1;
        }
        inode.lookups += 1;
        inode.told = Some(told);
        let generation = inode.generation;
        match kind {
            Name::Own | Name::Viewed => inode.name = Some((parent, name.to_owned())),
            Name::Linked => {
                if let Some(dir) = table.inodes.get_mut(&parent) {
                    dir.linked.insert(name.to_owned());
                }
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
        if let Some(inode) = table.inodes.remove(&ino) {
            for task in tasks_of(&inode.identity.node) {
                table.by_task.remove(&(task, ino));
            }
        }
    }

    /// What `changes` made stale. `init` is the task whose eyes serve those who have no others.
    pub(super) fn stale(&self, changes: &[Change], init: TaskId) -> Stale {
        let mut table = self.table();
        let mut stale = Stale { inodes: std::mem::take(&mut table.read_links), ..Stale::default() };
        for change in changes {
            match *change {
                Change::Born(_) => {}
                Change::Links(task) => table.stale_links(task, &mut stale),
                Change::Attrs(task) => {
                    let inos = table.about(task, init);
                    table.stale_all(&inos, &mut stale, |stale| &mut stale.expired);
                }
                Change::Gone(task) => {
                    let inos = table.of_task(task);
                    table.stale_all(&inos, &mut stale, |stale| &mut stale.dropped);
                }
            }
        }
        stale
    }
}

impl Inode {
    fn new(identity: Identity, is_dir: bool) -> Inode {
        Inode { identity, is_dir, lookups: 0, generation: 0, name: None, linked: BTreeSet::new(), told: None }
    }

    fn take_linked(&mut self, ino: u64, stale: &mut Stale) {
        stale.dropped.extend(std::mem::take(&mut self.linked).into_iter().map(|name| (ino, name)));
    }
}

impl Table {
    /// The number the kernel has or gets for an inode: the file's own unless another inode of the file has it.
    fn number(&self, identity: &Identity, file: u64) -> u64 {
        if matches!(identity.node.place, Place::NsFile(_)) && identity.node.view == View::Caller {
            // An inum may be used again: then the number gets another generation.
            return file;
        }
        let is_own = !matches!(identity.node.place, Place::NsFile(_)) && identity.salt == 0;
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let mut ino = if is_own { file } else { HASHED | hasher.finish() >> 12 };
        while self.inodes.get(&ino).is_some_and(|other| other.identity != *identity) {
            ino = HASHED | ino.wrapping_add(1);
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

    fn of_task(&self, task: TaskId) -> Vec<u64> {
        self.by_task.range((task, 0)..=(task, u64::MAX)).map(|(_, ino)| *ino).collect()
    }

    /// The namespace links of `task`, and the names they led through.
    fn stale_links(&mut self, task: TaskId, stale: &mut Stale) {
        for ino in self.of_task(task) {
            let Some(inode) = self.inodes.get_mut(&ino) else { continue };
            if inode.identity.node.task() == Some(task) {
                inode.take_linked(ino, stale);
                if matches!(inode.identity.node.place, Place::NsLink { .. }) {
                    stale.inodes.insert(ino);
                }
            }
        }
    }

    /// All that shows `task` and all that it is the viewer of.
    fn about(&self, task: TaskId, init: TaskId) -> Vec<u64> {
        let mut inos = self.of_task(task);
        if task == init {
            inos.extend(self.seen_by_caller());
        }
        inos
    }

    /// Everything about `inos`; `dirs` says what becomes of the names of directories.
    fn stale_all(&mut self, inos: &[u64], stale: &mut Stale, dirs: fn(&mut Stale) -> &mut Names) {
        for &ino in inos {
            let Some(inode) = self.inodes.get_mut(&ino) else { continue };
            inode.take_linked(ino, stale);
            let names = if inode.is_dir { dirs(stale) } else { &mut stale.dropped };
            // A name of kind `Viewed` is in no cache, and dropping it would take away what it leads others to.
            if !matches!(inode.identity.node.view, View::Attached(_)) || !is_at_top(inode) {
                names.extend(inode.name.clone());
            }
            stale.inodes.insert(ino);
        }
    }

    fn seen_by_caller(&self) -> Vec<u64> {
        let seen = self.inodes.iter().filter(|(_, inode)| inode.identity.node.view.viewer().is_none());
        seen.map(|(ino, _)| *ino).collect()
    }
}

fn is_at_top(inode: &Inode) -> bool {
    matches!(inode.name, Some((ROOT_INO, _)))
}

/// The tasks whose changes matter to `node`: the one it shows and the one that looks.
fn tasks_of(node: &Node) -> impl Iterator<Item = TaskId> + use<> {
    node.task().into_iter().chain(node.view.viewer())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn identity(place: Place) -> Identity {
        Identity { node: Node { view: View::Caller, place }, salt: 0 }
    }

    fn told(file_type: FileType, ino: u64) -> Told {
        Told { file_type, mode: 0o444, uid: 0, gid: 0, ino }
    }

    /// The number of a file other than a namespace's.
    fn number(place: Place) -> u64 {
        tree::ino(&Kernel::boot(), place)
    }

    fn dir(inodes: &Inodes, place: Place, parent: u64, name: &str) -> u64 {
        inodes
            .insert(identity(place), told(FileType::Directory, number(place)), (parent, OsStr::new(name), Name::Own))
            .0
    }

    fn link(inodes: &Inodes, task: TaskId, parent: u64) -> u64 {
        let place = Place::NsLink { task, entry: 0, thread: false };
        inodes.insert(identity(place), told(FileType::Symlink, number(place)), (parent, OsStr::new("net"), Name::Own)).0
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
        assert_eq!(number(Place::Pid(init(), 0)), first);
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
        let [first, second] = [kernel.init.user_ns.any(), kernel.init.pid_ns.any()];
        let inodes = Inodes::new();
        let file = told(FileType::File, 4_026_532_177);
        let name = (7, OsStr::new("net:[4026532177]"), Name::Passing);
        assert_eq!(inodes.insert(identity(Place::NsFile(first)), file, name), (4_026_532_177, 0));
        assert_eq!(inodes.insert(identity(Place::NsFile(first)), file, name), (4_026_532_177, 0));
        assert_eq!(inodes.insert(identity(Place::NsFile(second)), file, name), (4_026_532_177, 1));
        assert_eq!(inodes.get(4_026_532_177), Some(identity(Place::NsFile(second))));
    }

    #[test]
    fn the_texts_of_links_that_were_read_are_dropped_at_any_change() {
        let inodes = Inodes::new();
        let net = link(&inodes, init(), 78);
        inodes.link_is_read(net);
        assert_eq!(inodes.stale(&[], init()), Stale { inodes: [net].into(), ..Stale::default() });
        assert_eq!(inodes.stale(&[], init()), Stale::default());
    }

    #[test]
    fn one_file_is_as_many_inodes_as_there_are_ways_to_see_it() {
        let inodes = Inodes::new();
        let place = Place::Pid(init(), 0);
        let file = told(FileType::Directory, number(place));
        let views = [View::Caller, View::As(other()), View::As(init())];
        let numbers: BTreeSet<u64> = views
            .map(|view| {
                inodes
                    .insert(
                        Identity { node: Node { view, place }, salt: 0 },
                        file,
                        (ROOT_INO, OsStr::new("1"), Name::Own),
                    )
                    .0
            })
            .into();
        assert_eq!((numbers.len(), numbers.contains(&file.ino)), (3, true));
    }

    #[test]
    fn changed_links_drop_their_texts_and_the_names_they_led_through() {
        let inodes = Inodes::new();
        let ns = dir(&inodes, Place::Pid(other(), 3), 77, "ns");
        let net = link(&inodes, other(), ns);
        link(&inodes, init(), 78);
        let namespace = Kernel::boot().init.pid_ns.any();
        inodes.insert(
            identity(Place::NsFile(namespace)),
            told(FileType::File, 4_026_531_836),
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
        let identity = Identity { node, salt: 0 };
        let file = told(FileType::Directory, number(node.place));
        let (ino, _) = inodes.insert(identity, file, (77, OsStr::new("1"), Name::Own));
        assert_eq!(inodes.stale(&[Change::Attrs(other())], init()).inodes, [ino].into());
    }

    #[test]
    fn a_change_of_init_reaches_all_that_is_seen_with_its_eyes() {
        let inodes = Inodes::new();
        let ino = dir(&inodes, Place::Pid(other(), 0), 77, "2");
        assert_eq!(inodes.stale(&[Change::Attrs(init())], init()).inodes, [ROOT_INO, ino].into());
    }
}
