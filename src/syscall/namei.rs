//! Files and directories in the file tree of a task: mkdir(2), rmdir(2), unlink(2), rename(2), symlink(2), chown(2), and
//! what open(2) does with O_CREAT (`fs/namei.c`).

use super::{Return, cgroup, mqueue};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::capability::Cap;
use crate::kernel::cgroup::Owner as CgroupOwner;
use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::mount::dentry::{Content, NewDentry};
use crate::kernel::mount::site::Path;
use crate::kernel::node::{MQUEUE_ROOT, Node, Place, View};
use crate::kernel::{DentryId, Kernel, TaskId};
use crate::tree::{self, DirUse, FileType, Last, Viewer};

/// Longest name, bytes.
const NAME_MAX: usize = 255;
/// Permissions mkdir(1) asks for, before the umask.
const MKDIR_MODE: u16 = 0o777;
/// Others may delete only their own files in a directory with this mode bit.
const STICKY: u16 = 0o1000;

/// A call that makes, removes, renames or gives away a file in the task's file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameCall {
    Mkdir {
        path: Vec<u8>,
    },
    Rmdir {
        path: Vec<u8>,
    },
    /// What touch(1) does.
    Touch {
        path: Vec<u8>,
    },
    Unlink {
        path: Vec<u8>,
    },
    Rename {
        old: Vec<u8>,
        new: Vec<u8>,
    },
    Symlink {
        text: Vec<u8>,
        path: Vec<u8>,
    },
    /// Ids of the caller's user namespace; `None` leaves one as it is.
    Chown {
        path: Vec<u8>,
        uid: Option<u32>,
        gid: Option<u32>,
    },
}

/// # Errors
/// Those of the call.
pub fn sys_name(k: &mut Kernel, me: TaskId, call: &NameCall) -> Result<Return> {
    match call {
        NameCall::Mkdir { path } => mkdir(k, me, path),
        NameCall::Rmdir { path } => rmdir(k, me, path),
        NameCall::Touch { path } => touch(k, me, path),
        NameCall::Unlink { path } => unlink(k, me, path),
        NameCall::Rename { old, new } => rename(k, me, old, new),
        NameCall::Symlink { text, path } => symlink(k, me, text, path),
        NameCall::Chown { path, uid, gid } => chown(k, me, path, *uid, *gid),
    }
    .map(|()| Return::Num(0))
}

/// The path of a file in the task's file tree. Its mount is in use now, as umount2(MNT_EXPIRE) has it. Of the lab's view
/// only namespace files have a place there: other names that start like it are below the working directory.
///
/// # Errors
/// Those of [`tree::resolve_file`]; EINVAL: a descriptor that was not opened in a file tree.
pub(super) fn find(k: &mut Kernel, me: TaskId, path: &[u8], follow: bool) -> Result<Path> {
    let mut node = tree::resolve_file(k, me, path, follow)?;
    if matches!(node.view, View::PidNs(_)) && !matches!(node.place, Place::NsFile(_)) {
        node = tree::resolve_file(k, me, &[b"./", path].concat(), follow)?;
    }
    use_mount(k, node);
    path_of(k, node)
}

/// The mount of a file that was just used is not expiring any more (`mntput`).
pub(super) fn use_mount(k: &mut Kernel, node: Node) {
    if let Some(path) = node.path() {
        k.vfs.mounts[path.mount].is_expiring = false;
    }
}

/// Where a file is in the task's file tree.
///
/// # Errors
/// EINVAL: nowhere, it was opened in the lab's view.
pub(super) fn path_of(k: &Kernel, node: Node) -> Result<Path> {
    match (node.path(), node.place) {
        (Some(path), _) => Ok(path),
        (None, Place::NsFile(_)) => Ok(Path { mount: k.vfs.nsfs.id(), place: node.place }),
        (None, _) => bail!(EINVAL, "the file was opened in the lab's view and has no place in a file tree"),
    }
}

/// A directory that can get a new file of this name (`filename_create`, `may_create`).
///
/// # Errors
/// EEXIST, EROFS, EACCES; ENOENT: `proc` makes its own files, or the directory is removed; EOVERFLOW: the file system
/// cannot write down the caller's ids.
fn check_room_for(k: &Kernel, me: TaskId, dir: Node, name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        bail!(ENAMETOOLONG, "a name of {} bytes, at most {} are possible", name.len(), NAME_MAX);
    }
    if tree::lookup(k, Viewer(me), dir, name).is_ok() {
        bail!(EEXIST, "{} exists", String::from_utf8_lossy(name).into_owned());
    }
    check_room(k, me, dir)?;
    let Place::Dentry(id) = dir.place else { return Ok(()) };
    let ids = &k.cred_of(me).ids;
    let owner = k.namespaces[k.sb_user_ns(k.vfs.dentries[id].sb)].user();
    if owner.from_kuid(ids.fsuid).is_none() || owner.from_kgid(ids.fsgid).is_none() {
        bail!(EOVERFLOW, "the user namespace of the file system does not map the caller's ids");
    }
    Ok(())
}

/// What a directory of any kind asks of who adds a file.
fn check_room(k: &Kernel, me: TaskId, dir: Node) -> Result<()> {
    if !matches!(dir.place, Place::Dentry(_) | Place::Cgroup(_, None) | MQUEUE_ROOT) {
        bail!(ENOENT, "this file system makes its own files");
    }
    tree::check_writable(k, dir)?;
    if k.is_unlinked(dir.place) {
        bail!(ENOENT, "the directory has been removed");
    }
    tree::may_access_dir(k, Viewer(me), dir, DirUse::Change)
}

/// Makes a file in a directory that has room for it.
///
/// # Errors
/// EPERM: the file system makes no files of this type.
fn create(k: &mut Kernel, me: TaskId, dir: Node, name: &[u8], content: Content, mode: u16) -> Result<DentryId> {
    let Place::Dentry(dir) = dir.place else { bail!(EPERM, "this file system makes no files of this type") };
    let ids = &k.cred_of(me).ids;
    let (uid, gid) = (ids.fsuid, ids.fsgid);
    Ok(k.create_dentry(dir, name, NewDentry { content, mode, uid, gid }))
}

/// A mode less the umask.
fn masked(k: &Kernel, me: TaskId, mode: u16) -> u16 {
    mode & !(k.fs_of(me).map_or(0, |fs| fs.umask) as u16)
}

/// mkdir(2) with mode 0777 less the umask.
///
/// # Errors
/// Those of [`tree::resolve_parent`] and [`mkdir_at`].
fn mkdir(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<()> {
    let (dir, last) = tree::resolve_parent(k, me, path)?;
    let Last::Name(name) = last else { bail!(EEXIST, "the path ends in no name") };
    mkdir_at(k, me, dir, name, masked(k, me, MKDIR_MODE))
}

/// Makes a directory of this mode in `dir`.
///
/// # Errors
/// EEXIST, ENOENT, EROFS, EACCES, EOVERFLOW; of a cgroup: EINVAL, EAGAIN.
pub fn mkdir_at(k: &mut Kernel, me: TaskId, dir: Node, name: &[u8], mode: u16) -> Result<()> {
    check_room_for(k, me, dir, name)?;
    match dir.place {
        Place::Cgroup(parent, None) => cgroup::mkdir(k, me, parent, name, mode),
        _ => create(k, me, dir, name, Content::Directory(Default::default()), mode).map(drop),
    }
}

/// symlink(2)
///
/// # Errors
/// As [`mkdir`]; ENOENT: an empty text.
fn symlink(k: &mut Kernel, me: TaskId, text: &[u8], path: &[u8]) -> Result<()> {
    if text.is_empty() {
        bail!(ENOENT, "a symbolic link leads somewhere");
    }
    let (dir, name) = new_name(k, me, path)?;
    create(k, me, dir, name, Content::Symlink(text.into()), 0o777).map(drop)
}

/// Makes a socket file of mode 0777 less the umask.
///
/// # Errors
/// As [`mkdir`].
pub(super) fn create_socket(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<DentryId> {
    let (dir, name) = new_name(k, me, path)?;
    create(k, me, dir, name, Content::Socket(None), masked(k, me, 0o777))
}

/// Where a file that is no directory can be made, and its name.
fn new_name<'p>(k: &Kernel, me: TaskId, path: &'p [u8]) -> Result<(Node, &'p [u8])> {
    let (dir, last) = tree::resolve_parent(k, me, path)?;
    let Last::Name(name) = last else { bail!(EEXIST, "the path ends in no name") };
    check_room_for(k, me, dir, name)?;
    if path.ends_with(b"/") {
        bail!(ENOENT, "a slash at the end asks for a directory");
    }
    Ok((dir, name))
}

/// What touch(1) does: makes an empty file of mode 0666 less the umask, or does nothing to one that exists.
///
/// # Errors
/// Those of [`tree::resolve_file`] but ENOENT; EROFS; as [`create_file`].
fn touch(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<()> {
    match tree::resolve_file(k, me, path, true) {
        Ok(node) => tree::check_writable(k, node)?,
        Err(error) if error.errno == Errno::ENOENT => create_file(k, me, path)?,
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Makes an empty file (O_CREAT).
///
/// # Errors
/// As [`mkdir`]; EISDIR: the path ends in no name; EACCES: in the directory of a cgroup.
pub(super) fn create_file(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<()> {
    let (dir, last) = tree::resolve_parent(k, me, path)?;
    let Last::Name(name) = last else { bail!(EISDIR, "the path ends in no name") };
    if path.ends_with(b"/") {
        bail!(EISDIR, "a slash at the end asks for a directory");
    }
    if dir.place == MQUEUE_ROOT {
        check_room(k, me, dir)?;
        return mqueue::create_at(k, me, dir, name);
    }
    check_room_for(k, me, dir, name)?;
    if let Place::Cgroup(..) = dir.place {
        bail!(EACCES, "only the kernel makes files of cgroups");
    }
    create(k, me, dir, name, Content::File(Vec::new()), masked(k, me, 0o666)).map(drop)
}

/// What is expected to be deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Directory,
    Other,
}

/// A file that may be taken out of its directory (`may_delete`); its place there.
///
/// # Errors
/// EROFS, ENOENT, EACCES; EPERM: files of `proc`, or of others in a sticky directory; ENOTDIR, EISDIR; EBUSY: something
/// is mounted on it in the caller's mount namespace.
fn deletable(k: &Kernel, me: TaskId, dir: Node, name: &[u8], victim: Option<Victim>) -> Result<Place> {
    if !matches!(dir.place, Place::Dentry(_) | Place::Cgroup(_, None)) {
        tree::lookup(k, Viewer(me), dir, name)?;
        bail!(EPERM, "this file system keeps its files");
    }
    tree::check_writable(k, dir)?;
    let Some(place) = tree::child_place(k, Viewer(me), dir, name) else {
        bail!(ENOENT, "no {} there", String::from_utf8_lossy(name).into_owned());
    };
    tree::may_access_dir(k, Viewer(me), dir, DirUse::Change)?;
    if let (Place::Dentry(parent), Place::Dentry(id)) = (dir.place, place) {
        check_sticky(k, me, parent, id)?;
    }
    let is_directory = tree::attr(k, Viewer(me), Node { place, ..dir })?.file_type == FileType::Directory;
    match victim {
        Some(Victim::Directory) if !is_directory => bail!(ENOTDIR, "this is no directory"),
        Some(Victim::Other) if is_directory => bail!(EISDIR, "this is a directory"),
        _ => {}
    }
    let own = k.mnt_ns_of(me).expect("only a live task makes calls");
    if k.is_mountpoint_in(place, k.tree_of(own)) {
        bail!(EBUSY, "something is mounted on it in {}", k.ns_arg(own));
    }
    Ok(place)
}

/// In a sticky directory only the owners of the file and of the directory delete.
///
/// # Errors
/// EPERM
fn check_sticky(k: &Kernel, me: TaskId, parent: DentryId, id: DentryId) -> Result<()> {
    let (above, dentry) = (&k.vfs.dentries[parent], &k.vfs.dentries[id]);
    let fsuid = k.cred_of(me).ids.fsuid;
    let is_others = fsuid != dentry.uid && fsuid != above.uid;
    if above.mode & STICKY != 0 && is_others && !may_on(k, me, (dentry.uid, dentry.gid), Cap::FOWNER) {
        bail!(EPERM, "the directory is sticky and neither it nor the file is the caller's");
    }
    Ok(())
}

/// A capability in the caller's user namespace, if that maps the owners of the file (`capable_wrt_inode_uidgid`).
fn may_on(k: &Kernel, me: TaskId, (uid, gid): Owner, cap: Cap) -> bool {
    let ns = k.cred_of(me).user_ns.id();
    let user = k.namespaces[ns].user();
    user.from_kuid(uid).is_some() && user.from_kgid(gid).is_some() && k.ns_capable(me, ns, cap)
}

type Owner = (Kuid, Kgid);

/// rmdir(2). What is mounted on the directory in other mount namespaces is detached.
///
/// # Errors
/// EBUSY: `/`; those of finding the directory and of [`rmdir_at`].
fn rmdir(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<()> {
    let (dir, last) = tree::resolve_parent(k, me, path)?;
    match last {
        Last::Name(name) => rmdir_at(k, me, dir, name),
        Last::Dot => rmdir_at(k, me, dir, b"."),
        Last::DotDot => rmdir_at(k, me, dir, b".."),
        Last::Root => bail!(EBUSY, "the root directory"),
    }
}

/// Removes a directory from `dir`.
///
/// # Errors
/// EINVAL: `.`; ENOTEMPTY: `..`, or the directory is not empty; EROFS, ENOENT, EACCES, EPERM, ENOTDIR, EBUSY.
pub fn rmdir_at(k: &mut Kernel, me: TaskId, dir: Node, name: &[u8]) -> Result<()> {
    match name {
        b"." => bail!(EINVAL, "the last name is ."),
        b".." => bail!(ENOTEMPTY, "the last name is .."),
        _ => {}
    }
    match deletable(k, me, dir, name, Some(Victim::Directory))? {
        Place::Dentry(id) => {
            check_empty(k, id)?;
            k.unlink_dentry(id);
            Ok(())
        }
        Place::Cgroup(id, None) => cgroup::rmdir(k, id),
        _ => bail!(EPERM, "this file system keeps its files"),
    }
}

fn check_empty(k: &Kernel, id: DentryId) -> Result<()> {
    if k.vfs.dentries[id].entries().is_some_and(|entries| !entries.is_empty()) {
        bail!(ENOTEMPTY, "the directory is not empty");
    }
    Ok(())
}

/// unlink(2). What is mounted on the file in other mount namespaces is detached.
///
/// # Errors
/// EISDIR: a directory; those of finding and deleting it.
fn unlink(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<()> {
    let (dir, last) = tree::resolve_parent(k, me, path)?;
    let Last::Name(name) = last else { bail!(EISDIR, "the path ends in no name") };
    if dir.place == MQUEUE_ROOT {
        check_room(k, me, dir)?;
        mqueue::unlink_at(k, me, dir, name)?;
        return Ok(());
    }
    let Place::Dentry(id) = deletable(k, me, dir, name, Some(Victim::Other))? else {
        bail!(EPERM, "this file system keeps its files");
    };
    k.unlink_dentry(id);
    Ok(())
}

/// rename(2)
///
/// # Errors
/// EXDEV: two mounts; EBUSY: `.`, `..`, `/` or a mountpoint; EINVAL: a directory into itself; ENOTEMPTY, ENOTDIR,
/// EISDIR: what is replaced; those of finding, deleting and making.
fn rename(k: &mut Kernel, me: TaskId, old: &[u8], new: &[u8]) -> Result<()> {
    let (old_dir, old_last) = tree::resolve_parent(k, me, old)?;
    let (new_dir, new_last) = tree::resolve_parent(k, me, new)?;
    if old_dir.view != new_dir.view {
        bail!(EXDEV, "the directories are on two mounts");
    }
    let (Last::Name(old_name), Last::Name(new_name)) = (old_last, new_last) else {
        bail!(EBUSY, "a path ends in no name");
    };
    let (Some(Place::Dentry(id)), Place::Dentry(dir)) =
        (tree::child_place(k, Viewer(me), old_dir, old_name), new_dir.place)
    else {
        deletable(k, me, old_dir, old_name, None)?;
        tree::may_access_dir(k, Viewer(me), new_dir, DirUse::Change)?;
        bail!(EPERM, "this file system renames nothing");
    };
    if k.is_dentry_below(dir, id) {
        bail!(EINVAL, "a directory cannot be moved into itself");
    }
    let replaced = k.child_dentry(dir, new_name);
    if replaced == Some(id) {
        return tree::check_writable(k, old_dir);
    }
    if let (Some(replaced), Place::Dentry(from)) = (replaced, old_dir.place)
        && k.is_dentry_below(from, replaced)
    {
        bail!(ENOTEMPTY, "the target holds what is renamed");
    }
    deletable(k, me, old_dir, old_name, None)?;
    match replaced {
        None => check_room_for(k, me, new_dir, new_name)?,
        Some(replaced) => {
            let is_dir = k.vfs.dentries[id].is_directory();
            let victim = if is_dir { Victim::Directory } else { Victim::Other };
            deletable(k, me, new_dir, new_name, Some(victim))?;
            check_empty(k, replaced)?;
        }
    }
    k.rename_dentry(id, dir, new_name);
    Ok(())
}

/// chown(2), ids of the caller's user namespace; `None` leaves one as it is.
///
/// # Errors
/// EINVAL: an id without a mapping; EROFS; EPERM: not the caller's to give, or a file of `proc`.
fn chown(k: &mut Kernel, me: TaskId, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let node = tree::resolve_file(k, me, path, true)?;
    tree::check_writable(k, node)?;
    let user = k.namespaces[k.cred_of(me).user_ns.id()].user();
    let uid = uid.map(|uid| user.make_kuid(uid).ok_or_else(|| no_mapping(uid))).transpose()?;
    let gid = gid.map(|gid| user.make_kgid(gid).ok_or_else(|| no_mapping(gid))).transpose()?;
    let owner = match node.place {
        Place::Dentry(id) => (k.vfs.dentries[id].uid, k.vfs.dentries[id].gid),
        Place::Mqueue(id) => (k.mqueues[id].uid, k.mqueues[id].gid),
        Place::Cgroup(id, file) => {
            let owner = k.cgroup.table[id].owner(file);
            (owner.uid, owner.gid)
        }
        _ => bail!(EPERM, "this file system keeps its owners"),
    };
    check_chown(k, me, owner, uid, gid)?;
    let new = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
    match node.place {
        Place::Dentry(id) => (k.vfs.dentries[id].uid, k.vfs.dentries[id].gid) = new,
        Place::Mqueue(id) => (k.mqueues[id].uid, k.mqueues[id].gid) = new,
        Place::Cgroup(id, file) => *k.cgroup.table[id].owner_mut(file) = CgroupOwner { uid: new.0, gid: new.1 },
        _ => {}
    }
    Ok(())
}

fn no_mapping(id: u32) -> crate::errno::Error {
    crate::err!(EINVAL, "id {} has no mapping in the caller's user namespace", id)
}

/// `chown_ok`, `chgrp_ok`
fn check_chown(k: &Kernel, me: TaskId, owner: Owner, uid: Option<Kuid>, gid: Option<Kgid>) -> Result<()> {
    let cred = k.cred_of(me);
    let owns = cred.ids.fsuid == owner.0;
    let keeps_uid = uid.is_none_or(|uid| owns && uid == owner.0);
    let is_member = |gid: Kgid| gid == owner.1 || cred.ids.fsgid == gid || cred.groups.contains(&gid);
    let keeps_gid = gid.is_none_or(|gid| owns && is_member(gid));
    let may_keep = keeps_uid && keeps_gid;
    if !may_keep && !may_on(k, me, owner, Cap::CHOWN) {
        bail!(EPERM, "CAP_CHOWN missing in a user namespace that maps the owners of the file");
    }
    Ok(())
}
