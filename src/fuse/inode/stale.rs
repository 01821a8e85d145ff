//! What a change of the lab made stale of that which the host's kernel knows.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Inodes;
use super::table::{Subject, Table};
use crate::kernel::TaskId;
use crate::kernel::change::Change;
use crate::tree::FileType;

/// What the caches of the host's kernel have to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::fuse) struct Stale {
    /// Inodes whose attributes changed, no links.
    pub(in crate::fuse) attrs: BTreeSet<u64>,
    /// Links whose attributes or text changed, and versions of files and listings of directories whose task is gone: no read
    /// gets their pages.
    pub(in crate::fuse) links: BTreeSet<u64>,
    /// Inodes of what is gone, and what keeps their names in the cache, each before the directory it is in.
    pub(in crate::fuse) gone: Vec<u64>,
    /// Those of them whose names are in directories that stay: each of these names leads nowhere now.
    pub(in crate::fuse) tops: Vec<u64>,
    /// Any name may lead elsewhere.
    pub(in crate::fuse) names: bool,
}

impl Inodes {
    /// All that the kernel knows at a path, to be dropped from its caches.
    pub(in crate::fuse) fn stale_at(&self, path: &str) -> Stale {
        let table = self.table();
        let known = table.inodes.keys().copied().collect::<Vec<_>>().into_iter();
        let inos: Vec<u64> = known.filter(|ino| table.full_path(*ino) == path.as_bytes()).collect();
        let mut stale = Stale { names: true, ..Stale::default() };
        table.changed(&inos, &mut stale);
        stale
    }

    /// What `changes` made stale. `init` is the viewer of processes that are attached to no task.
    pub(in crate::fuse) fn stale(&self, changes: &[Change], init: TaskId) -> Stale {
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

impl Table {
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
        let is_listing = |ino: &u64| self.asks(*ino, |file| file.keeps_names());
        stale.links.extend(own.iter().filter(|ino| is_version(ino) || is_listing(ino)));
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
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::tests::{dir, identity, init, link, number, other, told};
    use super::*;
    use crate::fuse::inode::{Identity, Inodes, Name, ROOT_INO};
    use crate::kernel::Kernel;
    use crate::kernel::node::{ITSELF, Node, Place, TaskDir, Top, View};
    use crate::lab;
    use crate::script::Session;
    use crate::tree;

    #[test]
    fn the_texts_of_links_that_were_read_are_dropped_at_any_change() {
        let inodes = Inodes::new(1 << 20, Top::Lab);
        let net = link(&inodes, init(), 78);
        inodes.link_is_read(net);
        assert_eq!(inodes.stale(&[], init()), Stale { links: [net].into(), ..Stale::default() });
        assert_eq!(inodes.stale(&[], init()), Stale::default());
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
        Session::default().batch(&mut k, b"1 clone\n").1.expect("init may clone");
        let task = k.find_task(2).expect("it was just made");
        let insert = |dir: Node, parent, name: &str| {
            let (node, attr) = tree::find(&k, lab::eyes(k.init.task), dir, name.as_bytes())
                .expect("the eyes of init see it")
                .expect("it is there");
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
