//! Mounts and trees of mounts: making, copying, attaching.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::flags::MountFlags;
use super::sb::SuperBlock;
use super::site::{HeldSite, Path, Site};
use crate::kernel::file::FsStruct;
use crate::kernel::node::Place;
use crate::kernel::ns::NsType;
use crate::kernel::refcount::{Counted, Held};
use crate::kernel::table::Id;
use crate::kernel::{Kernel, MntNsId, MountId, TreeId};

/// `struct mount`
#[derive(Clone, Debug)]
pub struct Mount {
    /// One of its tree, or of the mount it stays connected to after a lazy umount; and one of each that uses it.
    pub count: u32,
    /// What mountinfo shows; used again once free.
    pub mnt_id: u32,
    /// Never used again; the order of mountinfo (`mnt_id_unique`).
    pub unique_id: u64,
    pub sb: Held<SuperBlock>,
    /// What of the superblock it shows.
    pub root: HeldSite,
    /// The string given to mount(2), `None` for NULL.
    pub source: Option<Arc<[u8]>>,
    pub flags: MountFlags,
    /// Where it is mounted; `None` for the root of a tree and what was cut off one.
    pub attached: Option<Attached>,
    /// Mounts on this one, by the turn they were attached in.
    pub children: BTreeMap<u64, MountId>,
    /// The same by what of this mount they cover.
    pub at: BTreeMap<Place, MountId>,
    /// Mounts that stay connected although neither is in a tree any more.
    pub kept: Vec<Held<Mount>>,
    /// The tree it is in; `None` once taken off.
    pub tree: Option<TreeId>,
    /// Peer group; 0: not shared.
    pub group: u32,
    /// The ring of its peers, itself alone if it has none.
    pub next_peer: MountId,
    pub previous_peer: MountId,
    /// The mount whose group it receives from.
    pub master: Option<MountId>,
    pub first_slave: Option<MountId>,
    /// Its neighbours in the list of its master's slaves.
    pub previous_slave: Option<MountId>,
    pub next_slave: Option<MountId>,
    /// Open files that may write through it.
    pub writers: u32,
    /// Unused since umount2(MNT_EXPIRE) asked for it.
    pub is_expiring: bool,
}

/// A mount's place below another.
#[derive(Clone, Debug)]
pub struct Attached {
    pub parent: MountId,
    /// In the parent's superblock.
    pub mountpoint: HeldSite,
    turn: u64,
}

impl Counted for Mount {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

/// The mounts of a namespace, or of an open_tree(2) descriptor.
#[derive(Clone, Debug)]
pub struct MountTree {
    /// `None`: an anonymous one, which no task is in.
    pub ns: Option<MntNsId>,
    /// The namespace an anonymous one was first copied from (`seq_origin`).
    pub origin: Option<MntNsId>,
    pub root: MountId,
    /// By unique id.
    pub mounts: BTreeMap<u64, Held<Mount>>,
    /// Changes so far.
    pub event: u64,
}

impl Mount {
    /// In no tree and no group; `id` is the one it will have.
    pub(super) fn new(
        id: MountId,
        sb: Held<SuperBlock>,
        root: HeldSite,
        source: Option<Arc<[u8]>>,
        flags: MountFlags,
        (mnt_id, unique_id): (u32, u64),
    ) -> Mount {
        Mount {
            count: 0,
            mnt_id,
            unique_id,
            sb,
            root,
            source,
            flags,
            attached: None,
            children: BTreeMap::new(),
            at: BTreeMap::new(),
            kept: Vec::new(),
            tree: None,
            group: 0,
            next_peer: id,
            previous_peer: id,
            master: None,
            first_slave: None,
            previous_slave: None,
            next_slave: None,
            writers: 0,
            is_expiring: false,
        }
    }

    pub fn is_shared(&self) -> bool {
        self.group != 0
    }

    pub fn parent(&self) -> Option<MountId> {
        self.attached.as_ref().map(|attached| attached.parent)
    }

    /// The mount it is on, and where.
    pub fn place_in_tree(&self) -> Option<(MountId, Site)> {
        self.attached.as_ref().map(|attached| (attached.parent, attached.mountpoint.site()))
    }

    /// It covers the whole of the mount below it.
    fn covers(&self, parent: &Mount) -> bool {
        self.attached.as_ref().is_some_and(|attached| attached.mountpoint.place() == parent.root.place())
    }
}

bitflags::bitflags! {
    /// How a copy is made (`CL_*` in `fs/pnode.h`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Copying: u32 {
        /// A slave of the original.
        const SLAVE = 1;
        /// Shared: a peer of the original, or of a new group.
        const MAKE_SHARED = 1 << 1;
        /// Copies of shared mounts are their slaves: the owners of the two namespaces differ.
        const SHARED_TO_SLAVE = 1 << 2;
        /// Unbindable mounts too.
        const UNBINDABLE = 1 << 3;
        /// Binds of mount namespace files too.
        const MNT_NS_FILES = 1 << 4;
    }
}

/// The mounts a copy of a tree consists of, parents first, each with the index of its parent.
pub type TreePlan = Vec<(MountId, usize)>;

impl Kernel {
    /// A mount of a superblock, in no tree yet.
    pub(crate) fn new_mount(
        &mut self,
        sb: Held<SuperBlock>,
        root: &Site,
        source: Option<Arc<[u8]>>,
        flags: MountFlags,
    ) -> Held<Mount> {
        if let Place::NsFile(ns) = root.place {
            self.pin_ns(ns);
        }
        let id = self.vfs.mounts.next_id();
        let root = self.hold_site(root);
        self.vfs.next_unique_id += 1;
        let (mnt_id, unique_id) = (self.vfs.mount_ids.alloc(), self.vfs.next_unique_id - 1);
        self.vfs.mounts.insert_held(Mount::new(id, sb, root, source, flags, (mnt_id, unique_id)))
    }

    /// A copy of one mount that shows `root` of its superblock (`clone_mnt`).
    pub(crate) fn clone_mount(&mut self, old: MountId, root: &Site, how: Copying) -> Held<Mount> {
        let original = &self.vfs.mounts[old];
        let (sb, source) = (original.sb.id(), original.source.clone());
        let flags = original.flags - MountFlags::INTERNAL;
        let sb = self.vfs.sbs.hold(sb);
        let copy = self.new_mount(sb, root, source, flags);
        self.relate_copy(old, copy.id(), how);
        copy
    }

    /// The mounts below the one directory, parents first, as a copy takes them: without those that cannot be bound and
    /// those of mount namespace files, unless asked for, and what is on them (`copy_tree`).
    pub fn plan_copy(&self, from: MountId, root: Place, how: Copying) -> TreePlan {
        let mut plan = vec![(from, 0)];
        let mut todo: Vec<(MountId, usize)> = Vec::new();
        let mounts = &self.vfs.mounts;
        let mut index = 0;
        loop {
            let first = todo.len();
            for &child in mounts[plan[index].0].children.values() {
                let is_below = index > 0 || self.is_child_below(child, root);
                if is_below && self.is_copied(child, how) {
                    todo.push((child, index));
                }
            }
            todo[first..].reverse();
            let Some(next) = todo.pop() else { return plan };
            plan.push(next);
            index = plan.len() - 1;
        }
    }

    fn is_copied(&self, mount: MountId, how: Copying) -> bool {
        let mount = &self.vfs.mounts[mount];
        (how.contains(Copying::UNBINDABLE) || !mount.flags.contains(MountFlags::UNBINDABLE))
            && (how.contains(Copying::MNT_NS_FILES) || !self.is_mnt_ns_file(mount.root.place()))
    }

    /// A file of a mount namespace (`is_mnt_ns_file`).
    pub fn is_mnt_ns_file(&self, place: Place) -> bool {
        matches!(place, Place::NsFile(ns) if self.namespaces[ns].ns_type() == NsType::Mnt)
    }

    /// The child is mounted on `top` of its parent or below that.
    pub fn is_child_below(&self, child: MountId, top: Place) -> bool {
        let attached = self.vfs.mounts[child].attached.as_ref().expect("a child is attached");
        self.is_site_below(&attached.mountpoint.site(), top)
    }

    /// Copies the mounts of a plan, the first one showing `root`. The copies are attached to each other, not yet to
    /// anything else; locks stay on all but the first.
    pub(crate) fn copy_tree(&mut self, plan: &TreePlan, root: &Site, how: Copying) -> Vec<Held<Mount>> {
        let mut copies: Vec<Held<Mount>> = Vec::with_capacity(plan.len());
        for (index, &(old, parent)) in plan.iter().enumerate() {
            if index == 0 {
                copies.push(self.clone_mount(old, root, how));
                continue;
            }
            let original = &self.vfs.mounts[old];
            let (site, lock) = (original.root.site(), original.flags & MountFlags::LOCKED);
            let (_, mountpoint) = original.place_in_tree().expect("only the first of a tree has no parent");
            let copy = self.clone_mount(old, &site, how);
            self.vfs.mounts[copy.id()].flags |= lock;
            self.attach(copy.id(), copies[parent].id(), &mountpoint);
            copies.push(copy);
        }
        copies
    }

    /// A mount and all that is on it, parents first (`next_mnt`).
    pub fn subtree(&self, top: MountId) -> Vec<MountId> {
        let how = Copying::UNBINDABLE | Copying::MNT_NS_FILES;
        self.plan_copy(top, self.vfs.mounts[top].root.place(), how).into_iter().map(|(mount, _)| mount).collect()
    }

    /// Puts a mount on a place of another where nothing is mounted (`attach_mnt`).
    pub(crate) fn attach(&mut self, child: MountId, parent: MountId, mountpoint: &Site) {
        let mountpoint = self.hold_site(mountpoint);
        let place = mountpoint.place();
        let turn = self.vfs.next_turn;
        self.vfs.next_turn += 1;
        self.vfs.mounts[child].attached = Some(Attached { parent, mountpoint, turn });
        self.vfs.mounts[parent].children.insert(turn, child);
        self.vfs.mounts[parent].at.insert(place, child);
        self.vfs.mountpoints.insert(place, child);
    }

    /// Takes a mount off its place (`umount_mnt`).
    pub(crate) fn unhook(&mut self, child: MountId) {
        let Some(attached) = self.vfs.mounts[child].attached.take() else { return };
        let place = attached.mountpoint.place();
        if let Some(parent) = self.vfs.mounts.get_mut(attached.parent) {
            parent.children.remove(&attached.turn);
            parent.at.remove(&place);
        }
        self.vfs.mountpoints.remove(place, child);
        self.put_place(attached.mountpoint.file);
    }

    /// Puts mounts into a tree, which holds them from now on (`mnt_add_to_ns`).
    pub(crate) fn join_tree(&mut self, tree: TreeId, mounts: Vec<Held<Mount>>) {
        self.vfs.trees[tree].event += 1;
        for held in mounts {
            let mount = &mut self.vfs.mounts[held.id()];
            mount.tree = Some(tree);
            let unique_id = mount.unique_id;
            self.vfs.trees[tree].mounts.insert(unique_id, held);
        }
    }

    /// The uppermost of the mounts that cover the whole of `mount` (`topmost_overmount`).
    pub(super) fn topmost_overmount(&self, mut mount: MountId) -> MountId {
        while let Some(&over) = self.vfs.mounts[mount].at.get(&self.vfs.mounts[mount].root.place()) {
            mount = over;
        }
        mount
    }

    /// The one mount that covers the whole of `mount`, if nothing else is on it (`find_topper`).
    pub(super) fn only_overmount(&self, mount: MountId) -> Option<MountId> {
        let below = &self.vfs.mounts[mount];
        let mut children = below.children.values();
        match (children.next(), children.next()) {
            (Some(&child), None) => self.vfs.mounts[child].covers(below).then_some(child),
            _ => None,
        }
    }

    /// Drops references to mounts; with the last one of a mount go its files, its place and what stays connected to it.
    pub(crate) fn put_mounts(&mut self, mut dropped: Vec<Held<Mount>>) {
        while let Some(held) = dropped.pop() {
            if let Some(freed) = self.vfs.mounts.release(held) {
                dropped.extend(self.free_mount(freed));
            }
        }
    }

    pub(crate) fn put_mount(&mut self, held: Held<Mount>) {
        if let Some(freed) = self.vfs.mounts.release(held) {
            let kept = self.free_mount(freed);
            self.put_mounts(kept);
        }
    }

    /// Lets go of what a freed mount had; the mounts that it kept are given back, to be dropped.
    fn free_mount(&mut self, freed: Mount) -> Vec<Held<Mount>> {
        for kept in &freed.kept {
            self.unhook(kept.id());
        }
        self.vfs.mount_ids.free(freed.mnt_id);
        if let Place::NsFile(ns) = freed.root.place() {
            self.unpin_ns(ns);
        }
        self.put_place(freed.root.file);
        self.put_sb(freed.sb);
        freed.kept
    }

    /// The mount at the same place of another tree, a copy of the one `mount` has to be in.
    fn counterpart(&self, mount: MountId, old: TreeId, copy: TreeId) -> Option<MountId> {
        if self.vfs.mounts[mount].tree != Some(old) {
            return None;
        }
        let mut way = Vec::new();
        let mut at = mount;
        while let Some(attached) = &self.vfs.mounts[at].attached {
            way.push(attached.mountpoint.place());
            at = attached.parent;
        }
        let root = self.vfs.trees[copy].root;
        way.iter().rev().try_fold(root, |at, place| self.vfs.mounts[at].at.get(place).copied())
    }

    /// Moves a root and working directory from one tree to its copy, where that has their mounts (`copy_mnt_ns`).
    pub(crate) fn enter_copied_tree(&mut self, fs: Id<FsStruct>, old: TreeId, copy: TreeId) {
        let (root, pwd) = (self.fs[fs].root.path(), self.fs[fs].pwd.path());
        if let Some(mount) = self.counterpart(root.mount, old, copy) {
            self.set_fs_root(fs, Path { mount, ..root });
        }
        if let Some(mount) = self.counterpart(pwd.mount, old, copy) {
            self.set_fs_pwd(fs, Path { mount, ..pwd });
        }
    }

    /// The tree of a mount namespace.
    pub fn tree_of(&self, ns: MntNsId) -> TreeId {
        self.namespaces[ns].tree.expect("a mount namespace has its tree from the start")
    }

    /// The directory on top of the root of a mount namespace: what setns(2) enters.
    pub fn topmost_root(&self, ns: MntNsId) -> Path {
        let mount = self.vfs.trees[self.tree_of(ns)].root;
        self.topmost(Path { mount, place: self.vfs.mounts[mount].root.place() })
    }
}
