//! Files and directories of plain file systems. A name leads to one file only, so a dentry is its inode too
//! (`struct dentry`, `struct inode`).

use std::collections::BTreeMap;

use super::sb::SuperBlock;
use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::net::SocketId;
use crate::kernel::node::Place;
use crate::kernel::refcount::{Counted, Held};
use crate::kernel::table::Id;
use crate::kernel::{DentryId, Kernel};

/// A file or directory. Its name counts as one reference, an open file, a working directory or a mount as one each; it
/// holds its parent, so that the way up stays known after it is unlinked.
#[derive(Clone, Debug)]
pub struct Dentry {
    pub count: u32,
    pub sb: Id<SuperBlock>,
    /// `None`: the root.
    pub parent: Option<Held<Dentry>>,
    pub name: Box<[u8]>,
    /// Its directory still has it under its name.
    pub is_linked: bool,
    pub mode: u16,
    pub uid: Kuid,
    pub gid: Kgid,
    pub content: Content,
    /// How many of the entries of a directory are directories.
    pub subdirs: u32,
    /// A directory that only ever serves to be mounted on (`is_empty_dir_inode`).
    pub is_mount_stub: bool,
}

#[derive(Clone, Debug)]
pub enum Content {
    Directory(BTreeMap<Box<[u8]>, Held<Dentry>>),
    File(Vec<u8>),
    Symlink(Box<[u8]>),
    /// A socket file; nobody listens any more once the socket is gone.
    Socket(Option<SocketId>),
}

impl Counted for Dentry {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

impl Dentry {
    /// The entries of a directory.
    pub fn entries(&self) -> Option<&BTreeMap<Box<[u8]>, Held<Dentry>>> {
        match &self.content {
            Content::Directory(entries) => Some(entries),
            Content::File(_) | Content::Symlink(_) | Content::Socket(_) => None,
        }
    }

    fn entries_mut(&mut self) -> &mut BTreeMap<Box<[u8]>, Held<Dentry>> {
        match &mut self.content {
            Content::Directory(entries) => entries,
            Content::File(_) | Content::Symlink(_) | Content::Socket(_) => panic!("only a directory has entries"),
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory(_))
    }
}

/// What a new file is.
#[derive(Debug)]
pub struct NewDentry {
    pub content: Content,
    pub mode: u16,
    pub uid: Kuid,
    pub gid: Kgid,
}

impl NewDentry {
    /// A directory of root with nothing in it.
    pub fn directory(mode: u16) -> NewDentry {
        let content = Content::Directory(BTreeMap::new());
        NewDentry {
            content,
            mode,
            uid: crate::kernel::cred::GLOBAL_ROOT_UID,
            gid: crate::kernel::cred::GLOBAL_ROOT_GID,
        }
    }
}

impl Kernel {
    /// The file called `name` in a directory.
    pub fn child_dentry(&self, dir: DentryId, name: &[u8]) -> Option<DentryId> {
        self.vfs.dentries[dir].entries()?.get(name).map(Held::id)
    }

    /// Whether `dentry` is `top` or below it (`is_subdir`).
    pub fn is_dentry_below(&self, dentry: DentryId, top: DentryId) -> bool {
        let up = |&id: &DentryId| self.vfs.dentries[id].parent.as_ref().map(Held::id);
        std::iter::successors(Some(dentry), up).any(|id| id == top)
    }

    /// The root directory of a new superblock.
    pub(super) fn new_root_dentry(&mut self, sb: Id<SuperBlock>, new: NewDentry) -> Held<Dentry> {
        self.vfs.dentries.insert_held(new.into_dentry(sb, None, Box::default()))
    }

    /// Makes a file in a directory that has none of this name.
    pub(crate) fn create_dentry(&mut self, dir: DentryId, name: &[u8], new: NewDentry) -> DentryId {
        let sb = self.vfs.dentries[dir].sb;
        let parent = self.vfs.dentries.hold(dir);
        let made = self.vfs.dentries.insert_held(new.into_dentry(sb, Some(parent), name.into()));
        let id = made.id();
        self.add_entry(dir, name, made);
        id
    }

    fn add_entry(&mut self, dir: DentryId, name: &[u8], held: Held<Dentry>) {
        let is_directory = self.vfs.dentries[held.id()].is_directory();
        let dir = &mut self.vfs.dentries[dir];
        dir.subdirs += u32::from(is_directory);
        dir.entries_mut().insert(name.into(), held);
    }

    fn take_entry(&mut self, dir: DentryId, name: &[u8]) -> Option<Held<Dentry>> {
        let held = self.vfs.dentries[dir].entries_mut().remove(name)?;
        let is_directory = self.vfs.dentries[held.id()].is_directory();
        self.vfs.dentries[dir].subdirs -= u32::from(is_directory);
        Some(held)
    }

    /// Takes a file out of its directory; it lives on for those who use it. What is mounted on it anywhere is detached
    /// (`d_delete`, `detach_mounts`).
    pub(crate) fn unlink_dentry(&mut self, dentry: DentryId) {
        self.detach_mounts(Place::Dentry(dentry));
        self.remove_name(dentry);
    }

    fn remove_name(&mut self, dentry: DentryId) {
        let unlinked = &mut self.vfs.dentries[dentry];
        unlinked.is_linked = false;
        let parent = unlinked.parent.as_ref().expect("a root has no name to remove").id();
        let name = unlinked.name.clone();
        if let Some(held) = self.take_entry(parent, &name) {
            self.put_dentry(held);
        }
    }

    /// Gives a file another name and directory, whose file of that name, if there is one, is unlinked. Mounts on it
    /// follow it (`d_move`).
    pub(crate) fn rename_dentry(&mut self, dentry: DentryId, dir: DentryId, name: &[u8]) {
        if let Some(replaced) = self.child_dentry(dir, name) {
            self.unlink_dentry(replaced);
        }
        let new_parent = self.vfs.dentries.hold(dir);
        let moved = &mut self.vfs.dentries[dentry];
        let old_name = std::mem::replace(&mut moved.name, name.into());
        let old_parent = moved.parent.replace(new_parent).expect("a root is not renamed");
        let held = self.take_entry(old_parent.id(), &old_name).expect("a directory has what it names");
        self.add_entry(dir, name, held);
        self.put_dentry(old_parent);
    }

    /// Drops a reference; with the last one goes the file, and with a root all that is below it.
    pub(crate) fn put_dentry(&mut self, held: Held<Dentry>) {
        let mut dropped = Some(held);
        while let Some(held) = dropped {
            dropped = self.vfs.dentries.release(held).and_then(|freed| freed.parent);
        }
    }

    /// Drops the root of a superblock and all files below it, which nobody uses any more.
    pub(super) fn put_dentry_tree(&mut self, root: Held<Dentry>) {
        let mut dropped = vec![root];
        while let Some(held) = dropped.pop() {
            if let Content::Directory(entries) = &mut self.vfs.dentries[held.id()].content {
                dropped.extend(std::mem::take(entries).into_values());
                self.vfs.dentries[held.id()].subdirs = 0;
            }
            self.put_dentry(held);
        }
    }
}

impl NewDentry {
    fn into_dentry(self, sb: Id<SuperBlock>, parent: Option<Held<Dentry>>, name: Box<[u8]>) -> Dentry {
        let NewDentry { content, mode, uid, gid } = self;
        Dentry {
            count: 0,
            sb,
            parent,
            name,
            is_linked: true,
            mode,
            uid,
            gid,
            content,
            subdirs: 0,
            is_mount_stub: false,
        }
    }
}
