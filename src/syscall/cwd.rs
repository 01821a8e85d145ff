//! Root and working directory: chroot(2), chdir(2), fchdir(2), getcwd(2) (`fs/open.c`).

use super::{Outcome, Return, fd, namei};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::file::FsStruct;
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::table::Id;
use crate::kernel::{Current, Kernel};
use crate::tree::{self, DirUse, FileType, Viewer};

fn own_fs(k: &Kernel, me: Current) -> Id<FsStruct> {
    k.live(me).fs.id()
}

/// A directory the caller may enter.
///
/// # Errors
/// ENOTDIR, EACCES
fn check_enter(k: &Kernel, me: Current, path: Path) -> Result<()> {
    let node = Node::from(path);
    if tree::attr(k, Viewer(*me), node)?.file_type != FileType::Directory {
        bail!(ENOTDIR, "this is no directory");
    }
    tree::may_access_dir(k, Viewer(*me), node, DirUse::Search)
}

/// Makes a directory the root directory; the working directory stays.
///
/// # Errors
/// Those of finding the directory and of searching it; EPERM: CAP_SYS_CHROOT missing in the caller's user namespace.
pub fn sys_chroot(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    let path = namei::find(k, me, path, true)?;
    check_enter(k, me, path)?;
    let user_ns = k.cred_of(*me).user_ns.id();
    if !k.ns_capable(*me, user_ns, Cap::SYS_CHROOT) {
        bail!(EPERM, "CAP_SYS_CHROOT missing in {}, the user namespace of the caller", k.ns_arg(user_ns));
    }
    k.set_fs_root(own_fs(k, me), path);
    Ok(Return::DONE)
}

/// Makes a directory the working directory.
///
/// # Errors
/// Those of finding the directory and of searching it.
pub fn sys_chdir(k: &mut Kernel, me: Current, path: &[u8]) -> Outcome {
    let path = namei::find(k, me, path, true)?;
    check_enter(k, me, path)?;
    k.set_fs_pwd(own_fs(k, me), path);
    Ok(Return::DONE)
}

/// As [`sys_chdir`], with an open directory.
///
/// # Errors
/// EBADF; ENOTDIR: also a directory opened in the lab's view, which is in no file tree; EACCES.
pub fn sys_fchdir(k: &mut Kernel, me: Current, number: i32) -> Outcome {
    let file = fd::file_at(k, *me, number)?;
    let Some(path) = k.open_files[file].path.as_ref().map(|path| path.path()) else {
        bail!(ENOTDIR, "descriptor {} is no directory of a file tree", number);
    };
    check_enter(k, me, path)?;
    k.set_fs_pwd(own_fs(k, me), path);
    Ok(Return::DONE)
}

/// The path of the working directory; `(unreachable)` comes first where it is not below the root directory.
///
/// # Errors
/// ENOENT: it has been removed.
pub fn sys_getcwd(k: &Kernel, me: Current) -> Outcome {
    Ok(Return::Bytes(tree::getcwd(k, *me)?))
}

/// Whether a path of open(2) and friends is in the task's own file tree.
pub(super) fn is_tree_path(path: &[u8]) -> bool {
    matches!(path.split(|&byte| byte == b'/').next(), Some(b"" | b"." | b".."))
}

/// The view in which `proc/…` has the task's own numbers.
pub(super) fn own_view(k: &Kernel, me: Current) -> View {
    View::PidNs(k.task_active_pid_ns(*me))
}

/// A directory, by the mount it is reached through.
pub(super) fn is_directory(k: &Kernel, me: Current, path: Path) -> Result<bool> {
    if let Place::NsFile(_) = path.place {
        return Ok(false);
    }
    Ok(tree::attr(k, Viewer(*me), Node::from(path))?.file_type == FileType::Directory)
}
