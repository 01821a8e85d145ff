//! Files and directories in the file tree of a task: mkdir(2), rmdir(2), unlink(2), rename(2), symlink(2), and what open(2)
//! does with O_CREAT (`fs/namei.c`).

use super::{Outcome, Return, cgroup, mqueue};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::capability::Cap;
use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::mount::dentry::{Content, NewDentry};
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Backing, Node, Place, Top, View};
use crate::kernel::{Current, DentryId, Kernel};
use crate::tree::{self, DirUse, FileType, Last, Viewer};

/// Longest name, bytes.
pub(super) const NAME_MAX: usize = 255;
/// What open(2) takes of a mode (`S_IALLUGO`).
const ALL_MODE_BITS: u16 = 0o7777;
/// What mkdir(2) takes of a mode: permissions and the sticky bit (`vfs_mkdir`).
const MKDIR_BITS: u16 = 0o1777;
/// Others may delete only their own files in a directory with this mode bit.
const STICKY: u16 = 0o1000;

/// The path of a file in the task's file tree. Its mount is in use now, as umount2(MNT_EXPIRE) has it. Of the lab's view
/// only namespace files have a place there: other names that start like it are below the working directory.
///
/// # Errors
/// Those of [`tree::resolve_file`]; EINVAL: a descriptor that was not opened in a file tree.
pub(super) fn find(k: &mut Kernel, me: Current, path: &[u8], follow: bool) -> Result<Path> {
    let mut node = tree::resolve_file(k, *me, path, follow)?;
    if matches!(node.view, View::PidNs(_)) && !matches!(node.place, Place::NsFile(_)) {
        node = tree::resolve_file(k, *me, &[b"./", path].concat(), follow)?;
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
fn check_room_for(k: &Kernel, me: Current, dir: Node, name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        bail!(ENAMETOOLONG, "a name of {} bytes, at most {} are possible", name.len(), NAME_MAX);
    }
    if tree::lookup(k, Viewer(*me), dir, name).is_ok() {
        bail!(EEXIST, "{} exists", String::from_utf8_lossy(name).into_owned());
    }
    check_room(k, me, dir)
}

/// # Errors
/// EOVERFLOW
fn check_ids(k: &Kernel, me: Current, dir: Node) -> Result<()> {
    let Place::Dentry(id) = dir.place else { return Ok(()) };
    let ids = &k.cred_of(*me).ids;
    let owner = &k.namespaces[k.sb_user_ns(k.vfs.dentries[id].sb)];
    if owner.from_kuid(ids.fsuid).is_none() || owner.from_kgid(ids.fsgid).is_none() {
        bail!(EOVERFLOW, "the user namespace of the file system does not map the caller's ids");
    }
    Ok(())
}

/// What a directory of any kind asks of who adds a file.
fn check_room(k: &Kernel, me: Current, dir: Node) -> Result<()> {
    if !matches!(dir.place, Place::Dentry(_) | Place::Cgroup(_, None) | Place::Top(Top::Mqueue)) {
        bail!(ENOENT, "this file system makes its own files");
    }
    if k.is_unlinked(dir.place) {
        bail!(ENOENT, "the directory has been removed");
    }
    tree::check_writable(k, dir)?;
    check_ids(k, me, dir)?;
    tree::may_access_dir(k, Viewer(*me), dir, DirUse::Change)
}

/// Makes a file in a directory that has room for it.
///
/// # Errors
/// EPERM: the file system makes no files of this type.
fn create(k: &mut Kernel, me: Current, dir: Node, name: &[u8], content: Content, mode: u16) -> Result<DentryId> {
    let Place::Dentry(dir) = dir.place else { bail!(EPERM, "this file system makes no files of this type") };
    let ids = &k.cred_of(*me).ids;
    let (uid, gid) = (ids.fsuid, ids.fsgid);
    Ok(k.create_dentry(dir, name, NewDentry { content, mode, uid, gid }))
}

/// A mode less the umask.
fn masked(k: &Kernel, me: Current, mode: u16) -> u16 {
    mode & !(k.fs_of(*me).map_or(0, |fs| fs.umask) as u16)
}

/// mkdir(2): the directory has the mode less the umask.
///
/// # Errors
/// Those of [`tree::resolve_parent`] and [`mkdir_at`].
pub(super) fn sys_mkdir(k: &mut Kernel, me: Current, path: &[u8], mode: u16) -> Outcome {
    let (dir, last) = tree::resolve_parent(k, *me, path)?;
    let Last::Name(name) = last else { bail!(EEXIST, "the path ends in no name") };
    mkdir_at(k, me, dir, name, masked(k, me, mode & MKDIR_BITS))?;
    Ok(Return::DONE)
}

/// Makes a directory of this mode in `dir`.
///
/// # Errors
/// EEXIST, ENOENT, EROFS, EACCES, EOVERFLOW; of a cgroup: EINVAL, EAGAIN.
pub(super) fn mkdir_at(k: &mut Kernel, me: Current, dir: Node, name: &[u8], mode: u16) -> Result<()> {
    check_room_for(k, me, dir, name)?;
    match dir.place.backing() {
        Backing::Cgroup(parent) => cgroup::mkdir(k, me, parent, name, mode),
        Backing::Dentry(_) | Backing::CgroupFile(..) | Backing::Mqueue(_) | Backing::View => {
            create(k, me, dir, name, Content::Directory(Default::default()), mode).map(drop)
        }
    }
}

/// symlink(2)
///
/// # Errors
/// As [`sys_mkdir`]; ENOENT: an empty text.
pub(super) fn sys_symlink(k: &mut Kernel, me: Current, text: &[u8], path: &[u8]) -> Outcome {
    if text.is_empty() {
        bail!(ENOENT, "a symbolic link leads somewhere");
    }
    let (dir, name) = new_name(k, me, path)?;
    create(k, me, dir, name, Content::Symlink(text.into()), 0o777)?;
    Ok(Return::DONE)
}

/// Makes a socket file of mode 0777 less the umask.
///
/// # Errors
/// As [`sys_mkdir`].
pub(super) fn create_socket(k: &mut Kernel, me: Current, path: &[u8]) -> Result<DentryId> {
    let (dir, name) = new_name(k, me, path)?;
    create(k, me, dir, name, Content::Socket(None), masked(k, me, 0o777))
}

/// Where a file that is no directory can be made, and its name.
fn new_name<'p>(k: &Kernel, me: Current, path: &'p [u8]) -> Result<(Node, &'p [u8])> {
    let (dir, last) = tree::resolve_parent(k, *me, path)?;
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
/// Those of [`tree::resolve_file`] but ENOENT; EROFS; EACCES: the caller neither owns it nor may write to it; as
/// [`create_file`].
pub(super) fn sys_touch(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    match tree::resolve_file(k, *me, path, true) {
        Ok(node) => {
            tree::check_writable(k, node)?;
            check_touch(k, me, node)?;
        }
        Err(error) if error.errno == Errno::ENOENT => create_file(k, me, path, 0o666)?,
        Err(error) => return Err(error.into()),
    }
    Ok(Return::DONE)
}

/// Who may set the times of a file to now: its owner, and who may write to it (`setattr_prepare`).
fn check_touch(k: &Kernel, me: Current, node: Node) -> Result<()> {
    if let Place::Dentry(id) = node.place {
        let (uid, gid) = (k.vfs.dentries[id].uid, k.vfs.dentries[id].gid);
        if k.cred_of(*me).ids.fsuid != uid
            && !k.capable_wrt_inode_uidgid(k.cred_of(*me).rights(), (uid, gid), Cap::FOWNER)
        {
            return tree::may_write_as(k, k.cred_of(*me).rights(), node);
        }
    }
    Ok(())
}

/// Makes an empty file of this mode less the umask (O_CREAT); at the end of a symbolic link if there is one that leads nowhere yet.
///
/// # Errors
/// As [`sys_mkdir`]; EISDIR: the path ends in no name; EACCES: in the directory of a cgroup.
pub(super) fn create_file(k: &mut Kernel, me: Current, path: &[u8], mode: u16) -> Result<()> {
    let (dir, last) = tree::resolve_parent(k, *me, path)?;
    let Last::Name(name) = last else { bail!(EISDIR, "the path ends in no name") };
    if path.ends_with(b"/") {
        bail!(EISDIR, "a slash at the end asks for a directory");
    }
    if dir.place == Place::Top(Top::Mqueue) {
        check_room(k, me, dir)?;
        return mqueue::create_at(k, me, dir, name);
    }
    if let Some(text) = symlink_text(k, me, dir, name) {
        let before = &path[..path.len() - name.len()];
        let target = if text.starts_with(b"/") { text } else { relative(before, &text) };
        return create_file(k, me, &target, mode);
    }
    check_room_for(k, me, dir, name)?;
    if let Place::Cgroup(..) = dir.place {
        bail!(EACCES, "only the kernel makes files of cgroups");
    }
    create(k, me, dir, name, Content::File(Vec::new()), masked(k, me, mode & ALL_MODE_BITS)).map(drop)
}

/// The path a symbolic link's text is, from where the path of its directory starts.
fn relative(dir: &[u8], text: &[u8]) -> Vec<u8> {
    // What has no directory in front must not look as if it began with a descriptor.
    [if dir.is_empty() { b"./" } else { dir }, text].concat()
}

/// The text of a symbolic link in a directory.
fn symlink_text(k: &Kernel, me: Current, dir: Node, name: &[u8]) -> Option<Vec<u8>> {
    let Some(Place::Dentry(id)) = tree::child_place(k, Viewer(*me), dir, name) else { return None };
    match &k.vfs.dentries[id].content {
        Content::Symlink(text) => Some(text.to_vec()),
        Content::Directory(_) | Content::File(_) | Content::Socket(_) => None,
    }
}

/// What is expected to be deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Directory,
    Other,
}

/// A directory whose files are the kernel's.
fn is_fixed(dir: Node) -> bool {
    !matches!(dir.place, Place::Dentry(_) | Place::Cgroup(_, None))
}

/// A file that may be taken out of its directory (`may_delete`); its place there.
///
/// # Errors
/// EROFS, ENOENT, EACCES; EPERM: files of `proc`, or of others in a sticky directory; ENOTDIR, EISDIR.
fn deletable(k: &Kernel, me: Current, dir: Node, name: &[u8], victim: Option<Victim>) -> Result<Place> {
    if is_fixed(dir) {
        tree::lookup(k, Viewer(*me), dir, name)?;
        bail!(EPERM, "this file system keeps its files");
    }
    tree::check_writable(k, dir)?;
    let Some(place) = tree::child_place(k, Viewer(*me), dir, name) else {
        bail!(ENOENT, "no {} there", String::from_utf8_lossy(name).into_owned());
    };
    tree::may_access_dir(k, Viewer(*me), dir, DirUse::Change)?;
    if let (Place::Dentry(parent), Place::Dentry(id)) = (dir.place, place) {
        check_sticky(k, me, parent, id)?;
    }
    let is_directory = tree::attr(k, Viewer(*me), Node { place, ..dir })?.file_type == FileType::Directory;
    match victim {
        Some(Victim::Directory) if !is_directory => bail!(ENOTDIR, "this is no directory"),
        Some(Victim::Other) if is_directory => bail!(EISDIR, "this is a directory"),
        _ => {}
    }
    Ok(place)
}

/// # Errors
/// EBUSY: something is mounted on it in the caller's mount namespace.
fn check_no_mountpoint(k: &Kernel, me: Current, place: Place) -> Result<()> {
    let own = k.current_nsproxy(me).mnt_ns();
    if k.is_mountpoint_in(place, k.tree_of(own)) {
        bail!(EBUSY, "something is mounted on it in {}", k.ns_arg(own));
    }
    Ok(())
}

/// In a sticky directory only the owners of the file and of the directory delete.
///
/// # Errors
/// EPERM
fn check_sticky(k: &Kernel, me: Current, parent: DentryId, id: DentryId) -> Result<()> {
    let (above, dentry) = (&k.vfs.dentries[parent], &k.vfs.dentries[id]);
    let fsuid = k.cred_of(*me).ids.fsuid;
    let is_others = fsuid != dentry.uid && fsuid != above.uid;
    if above.mode & STICKY != 0
        && is_others
        && !k.capable_wrt_inode_uidgid(k.cred_of(*me).rights(), (dentry.uid, dentry.gid), Cap::FOWNER)
    {
        bail!(EPERM, "the directory is sticky and neither it nor the file is the caller's");
    }
    Ok(())
}

pub(super) type Owner = (Kuid, Kgid);

/// rmdir(2). What is mounted on the directory in other mount namespaces is detached.
///
/// # Errors
/// EBUSY: `/`; those of finding the directory and of [`rmdir_at`].
pub(super) fn sys_rmdir(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    let (dir, last) = tree::resolve_parent(k, *me, path)?;
    match last {
        Last::Name(name) => rmdir_at(k, me, dir, name),
        Last::Dot => rmdir_at(k, me, dir, b"."),
        Last::DotDot => rmdir_at(k, me, dir, b".."),
        Last::Root => bail!(EBUSY, "the root directory"),
    }?;
    Ok(Return::DONE)
}

/// Removes a directory from `dir`.
///
/// # Errors
/// EINVAL: `.`; ENOTEMPTY: `..`, or the directory is not empty; EROFS, ENOENT, EACCES, EPERM, ENOTDIR, EBUSY.
pub(super) fn rmdir_at(k: &mut Kernel, me: Current, dir: Node, name: &[u8]) -> Result<()> {
    match name {
        b"." => bail!(EINVAL, "the last name is ."),
        b".." => bail!(ENOTEMPTY, "the last name is .."),
        _ => {}
    }
    let place = deletable(k, me, dir, name, Some(Victim::Directory))?;
    check_no_mountpoint(k, me, place)?;
    match place.backing() {
        Backing::Dentry(id) => {
            check_empty(k, id)?;
            k.unlink_dentry(id);
            Ok(())
        }
        Backing::Cgroup(id) => cgroup::rmdir(k, id),
        Backing::CgroupFile(..) | Backing::Mqueue(_) | Backing::View => {
            bail!(EPERM, "this file system keeps its files")
        }
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
pub(super) fn sys_unlink(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    let (dir, last) = tree::resolve_parent(k, *me, path)?;
    let Last::Name(name) = last else { bail!(EISDIR, "the path ends in no name") };
    if dir.place == Place::Top(Top::Mqueue) {
        check_room(k, me, dir)?;
        mqueue::unlink_at(k, me, dir, name)?;
        return Ok(Return::DONE);
    }
    let Place::Dentry(id) = deletable(k, me, dir, name, Some(Victim::Other))? else {
        bail!(EPERM, "this file system keeps its files");
    };
    check_no_mountpoint(k, me, Place::Dentry(id))?;
    k.unlink_dentry(id);
    Ok(Return::DONE)
}

/// rename(2)
///
/// # Errors
/// EXDEV: two mounts; EBUSY: `.`, `..`, `/` or a mountpoint; EINVAL: a directory into itself; ENOTEMPTY, ENOTDIR,
/// EISDIR: what is replaced; those of finding, deleting and making.
pub(super) fn sys_rename(k: &mut Kernel, me: Current, old: &[u8], new: &[u8]) -> Outcome {
    let (old_dir, old_last) = tree::resolve_parent(k, *me, old)?;
    let (new_dir, new_last) = tree::resolve_parent(k, *me, new)?;
    if old_dir.view != new_dir.view {
        bail!(EXDEV, "the directories are on two mounts");
    }
    let (Last::Name(old_name), Last::Name(new_name)) = (old_last, new_last) else {
        bail!(EBUSY, "a path ends in no name");
    };
    tree::check_writable(k, old_dir)?;
    let (Some(Place::Dentry(id)), Place::Dentry(from), Place::Dentry(dir)) =
        (tree::child_place(k, Viewer(*me), old_dir, old_name), old_dir.place, new_dir.place)
    else {
        if is_fixed(old_dir) && old_dir.place != Place::Top(Top::Mqueue) {
            // Such a file system finds no name that is not there, not even one that is to be made.
            tree::lookup(k, Viewer(*me), old_dir, old_name)?;
            tree::lookup(k, Viewer(*me), new_dir, new_name)?;
        }
        deletable(k, me, old_dir, old_name, None)?;
        tree::may_access_dir(k, Viewer(*me), new_dir, DirUse::Change)?;
        bail!(EPERM, "this file system renames nothing");
    };
    if k.is_dentry_below(dir, id) {
        bail!(EINVAL, "a directory cannot be moved into itself");
    }
    let replaced = k.child_dentry(dir, new_name);
    if replaced == Some(id) {
        return Ok(Return::DONE);
    }
    if replaced.is_some_and(|replaced| k.is_dentry_below(from, replaced)) {
        bail!(ENOTEMPTY, "the target holds what is renamed");
    }
    deletable(k, me, old_dir, old_name, None)?;
    let is_dir = k.vfs.dentries[id].is_directory();
    match replaced {
        None => check_room_for(k, me, new_dir, new_name)?,
        Some(_) => {
            let victim = if is_dir { Victim::Directory } else { Victim::Other };
            deletable(k, me, new_dir, new_name, Some(victim))?;
        }
    }
    if is_dir && from != dir {
        // Its `..` changes.
        tree::may_write_as(k, k.cred_of(*me).rights(), Node { place: Place::Dentry(id), ..old_dir })?;
    }
    check_no_mountpoint(k, me, Place::Dentry(id))?;
    if let Some(replaced) = replaced {
        check_no_mountpoint(k, me, Place::Dentry(replaced))?;
        check_empty(k, replaced)?;
    }
    k.rename_dentry(id, dir, new_name);
    Ok(Return::DONE)
}
