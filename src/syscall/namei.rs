//! Calls that change a directory: mkdir, rmdir, creat, unlink, rename, and chown (`fs/namei.c`, `fs/open.c`). What a
//! file system allows is asked after the directory's permissions.

use super::{Return, cgroup};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::capability::Cap;
use crate::kernel::cgroup::Owner;
use crate::kernel::cred::{Kgid, Kuid};
use crate::kernel::node::{Node, Place, View};
use crate::kernel::{Kernel, TaskId};
use crate::tree::{self, FileType, Viewer};

/// Permissions mkdir(1) asks for, before the umask.
const MKDIR_MODE: u16 = 0o777;

/// The directory of a path's last name, and that name.
fn parent<'p>(k: &Kernel, me: TaskId, path: &'p [u8]) -> Result<(Node, &'p [u8])> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let (dir, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => bail!(ENOENT, "nothing can be made in the root directory"),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => bail!(EPERM, "the top of the lab cannot be changed"),
    };
    Ok((resolve(k, me, dir)?, name))
}

fn resolve(k: &Kernel, me: TaskId, path: &[u8]) -> Result<Node> {
    tree::resolve(k, me, View::PidNs(k.task_active_pid_ns(me)), path, true)
}

/// The file called `name`, if the directory has one.
fn child(k: &Kernel, me: TaskId, dir: Node, name: &[u8]) -> Result<Option<Node>> {
    match tree::lookup(k, Viewer(me), dir, name) {
        Ok(node) => Ok(Some(node)),
        Err(error) if error.errno == Errno::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// mkdir(2).
///
/// # Errors
/// Those of finding the directory and of [`mkdir_at`].
pub fn sys_mkdir(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    let (dir, name) = parent(k, me, path)?;
    let umask = k.tasks[me].fs.as_ref().map_or(0, |fs| k.fs[fs.id()].umask);
    mkdir_at(k, me, dir, name, MKDIR_MODE & !(umask as u16))?;
    Ok(Return::Num(0))
}

/// Makes a directory in `dir`.
///
/// # Errors
/// EEXIST; EACCES; ENOENT: a file system whose names are all its own, as procfs; those of the file system.
pub fn mkdir_at(k: &mut Kernel, me: TaskId, dir: Node, name: &[u8], mode: u16) -> Result<()> {
    if matches!(name, b"." | b"..") || child(k, me, dir, name)?.is_some() {
        bail!(EEXIST, "the name is taken");
    }
    tree::may_change_dir(k, Viewer(me), dir)?;
    match dir.place {
        Place::Cgroup(parent, None) => cgroup::mkdir(k, me, parent, name, mode),
        _ => bail!(ENOENT, "directories cannot be made here"),
    }
}

/// rmdir(2).
///
/// # Errors
/// Those of finding the directory and of [`rmdir_at`].
pub fn sys_rmdir(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    let (dir, name) = parent(k, me, path)?;
    rmdir_at(k, me, dir, name)?;
    Ok(Return::Num(0))
}

/// Removes a directory from `dir`.
///
/// # Errors
/// ENOENT; EINVAL: the name is `.`; ENOTEMPTY: `..`; EACCES; ENOTDIR; EPERM: the file system removes nothing; those of
/// the file system.
pub fn rmdir_at(k: &mut Kernel, me: TaskId, dir: Node, name: &[u8]) -> Result<()> {
    match name {
        b"." => bail!(EINVAL, "the last name is ."),
        b".." => bail!(ENOTEMPTY, "the last name is .."),
        _ => {}
    }
    match victim(k, me, dir, name)?.place {
        Place::Cgroup(id, None) => cgroup::rmdir(k, id),
        Place::Cgroup(_, Some(_)) => bail!(ENOTDIR, "this is no directory"),
        _ => bail!(EPERM, "nothing can be removed here"),
    }
}

/// What is to be removed from a directory that may be changed (`may_delete`).
fn victim(k: &Kernel, me: TaskId, dir: Node, name: &[u8]) -> Result<Node> {
    let Some(node) = child(k, me, dir, name)? else {
        bail!(ENOENT, "no {} here", String::from_utf8_lossy(name).into_owned());
    };
    tree::may_change_dir(k, Viewer(me), dir)?;
    Ok(node)
}

/// creat(2) of what is not there: no file system of these can.
///
/// # Errors
/// EACCES
pub fn sys_touch(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    let (dir, name) = parent(k, me, path)?;
    if child(k, me, dir, name)?.is_some() {
        return Ok(Return::Num(0));
    }
    tree::may_change_dir(k, Viewer(me), dir)?;
    bail!(EACCES, "files cannot be made here")
}

/// unlink(2).
///
/// # Errors
/// ENOENT; EACCES; EISDIR; EPERM: the files of this file system stay.
pub fn sys_unlink(k: &mut Kernel, me: TaskId, path: &[u8]) -> Result<Return> {
    let (dir, name) = parent(k, me, path)?;
    let node = victim(k, me, dir, name)?;
    if tree::attr(k, Viewer(me), node)?.file_type == FileType::Directory {
        bail!(EISDIR, "this is a directory");
    }
    bail!(EPERM, "the files of this file system stay")
}

/// rename(2): these file systems have none.
///
/// # Errors
/// ENOENT; EACCES; EPERM
pub fn sys_rename(k: &mut Kernel, me: TaskId, old: &[u8], new: &[u8]) -> Result<Return> {
    let (from, name) = parent(k, me, old)?;
    let (to, _) = parent(k, me, new)?;
    victim(k, me, from, name)?;
    tree::may_change_dir(k, Viewer(me), to)?;
    bail!(EPERM, "this file system cannot rename")
}

/// chown(2); ids are those of the task's user namespace, `None` stays.
///
/// # Errors
/// Those of finding the file. EINVAL: an id that is not mapped. EPERM: the file is another's and CAP_CHOWN does not
/// count, or this file system keeps its owners.
pub fn sys_chown(k: &mut Kernel, me: TaskId, uid: Option<u32>, gid: Option<u32>, path: &[u8]) -> Result<Return> {
    let node = resolve(k, me, path)?;
    let user = k.namespaces[k.cred_of(me).user_ns.id()].user();
    let (kuid, kgid) = (uid.map(|uid| user.make_kuid(uid)), gid.map(|gid| user.make_kgid(gid)));
    if kuid == Some(None) || kgid == Some(None) {
        bail!(EINVAL, "the user namespace of the caller does not map the id");
    }
    let attr = tree::attr(k, Viewer(me), node)?;
    let owner = Owner { uid: kuid.flatten().unwrap_or(attr.uid), gid: kgid.flatten().unwrap_or(attr.gid) };
    check_chown(k, me, Owner { uid: attr.uid, gid: attr.gid }, owner)?;
    match node.place {
        Place::Cgroup(id, file) => *k.cgroup.table[id].owner_mut(file) = owner,
        _ => bail!(EPERM, "the owners of these files are fixed"),
    }
    Ok(Return::Num(0))
}

/// `chown_ok` and `chgrp_ok` in `fs/attr.c`.
fn check_chown(k: &Kernel, me: TaskId, old: Owner, new: Owner) -> Result<()> {
    let cred = k.prepare_creds(me);
    let user = k.namespaces[cred.user_ns].user();
    let is_mapped = |uid: Kuid, gid: Kgid| user.from_kuid(uid).is_some() && user.from_kgid(gid).is_some();
    let capable = is_mapped(old.uid, old.gid) && k.ns_capable(me, cred.user_ns, Cap::CHOWN);
    let owns = cred.ids.fsuid == old.uid;
    if !capable && !(owns && new.uid == old.uid && (new.gid == old.gid || cred.is_in_group(new.gid))) {
        bail!(EPERM, "the file is of kuid {} and CAP_CHOWN missing in {}", old.uid.0, k.ns_arg(cred.user_ns));
    }
    Ok(())
}
