//! Who may open what, and what an open decides.

use super::family::TREE;
use super::look::Look;
use super::{Attr, Eyes, FileType, Viewer, WriteTarget, attr_of, check_not_gone, is_alive, is_task_gone};
use crate::bail;
use crate::errno::{Errno, Error, Result};
use crate::kernel::capability::Cap;
use crate::kernel::cred::Rights;
use crate::kernel::file::{About, Bound, OpenFlags};
use crate::kernel::mount::flags::MountFlags;
use crate::kernel::node::Node;
use crate::kernel::{Kernel, NsId, TaskId};

bitflags::bitflags! {
    /// What is done with a file, as the bits of a mode.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Access: u16 {
        const READ = 4;
        const WRITE = 2;
        const EXEC = 1;
    }
}

impl Access {
    /// All of it is granted by the last three bits of `mode`.
    pub fn is_within(self, mode: u16) -> bool {
        self.bits() & !mode == 0
    }

    fn of(flags: OpenFlags) -> Access {
        let mut access = Access::empty();
        access.set(Access::READ, flags.contains(OpenFlags::READ));
        access.set(Access::WRITE, flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNC));
        access
    }
}

/// Whether `viewer` may use a directory so (`inode_permission`).
///
/// # Errors
/// EACCES
pub fn may_access_dir(k: &Kernel, viewer: Viewer, dir: Node, writes: DirUse) -> Result<()> {
    let look = Look::now(k, viewer, dir)?;
    check_not_gone(&look, dir)?;
    let access = if writes == DirUse::Change { Access::WRITE | Access::EXEC } else { Access::EXEC };
    check_access(&look, dir, &attr_of(&look, dir)?, access)
}

/// What is done with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirUse {
    /// Names in it are looked up.
    Search,
    /// Names come and go.
    Change,
}

/// What a write to `node` changes, `None` where Linux has no write operation.
pub fn write_target(node: Node) -> Option<WriteTarget> {
    TREE.ask(node.place, |file| file.write_target())
}

/// Why a write to `node` fails where Linux has no write operation.
pub fn write_error(node: Node) -> Error {
    TREE.ask(node.place, |file| file.write_error())
}

/// What an open of `node` by `viewer` decides; one with O_PATH decides nothing.
///
/// # Errors
/// ESRCH: the viewer is gone.
pub fn bind(k: &Kernel, eyes: impl Into<Eyes>, node: Node, flags: OpenFlags) -> Result<Bound> {
    let look = Look::now(k, eyes, node)?;
    let about =
        if flags.contains(OpenFlags::PATH) { About::Itself } else { look.ask(node.place, |file| file.about(&look)) };
    Ok(Bound { node, opener: k.cred_of(look.reader).values(), about })
}

/// Opens `node` for `viewer`.
///
/// # Errors
/// Those of [`may_open`].
pub fn open(k: &Kernel, eyes: impl Into<Eyes>, node: Node, flags: OpenFlags) -> Result<Bound> {
    let eyes = eyes.into();
    may_open(k, eyes, node, flags)?;
    bind(k, eyes, node, flags)
}

/// Whether `viewer` may open `node` this way: open(2) from `do_open` in `fs/namei.c` on.
///
/// # Errors
/// EEXIST: `excl`. EISDIR, ENOTDIR: the type. ELOOP: a link, without `path`. EPERM: a namespace file, to write.
/// ENXIO: a socket file.
/// EACCES: mode bits, the rules of sysctl tables, of setgroups, of the memory of another task. ESRCH, EINVAL: the
/// file of a task that is gone or a zombie.
pub fn may_open(k: &Kernel, eyes: impl Into<Eyes>, node: Node, flags: OpenFlags) -> Result<()> {
    let look = Look::now(k, eyes, node)?;
    let is_gone = is_task_gone(&look, node);
    if !is_gone && !is_alive(&look, node) {
        bail!(ENOENT, "the task of this file is gone");
    }
    let attr = attr_of(&look, node)?;
    check_type(attr.file_type, flags)?;
    if flags.contains(OpenFlags::PATH) {
        return Ok(());
    }
    check_not_gone(&look, node)?;
    if is_gone {
        check_access(&look, node, &attr, Access::of(flags))?;
        return look.ask(node.place, |file| file.check_open_when_gone());
    }
    let writes =
        flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNC) && !look.ask(node.place, |file| file.is_immutable());
    if writes {
        // Emptying a file asks the mount first, writing last.
        if flags.contains(OpenFlags::TRUNC) {
            check_writable(k, node)?;
        }
        check_sb_writable(k, node)?;
    }
    check_access(&look, node, &attr, Access::of(flags))?;
    if writes {
        check_writable(k, node)?;
    }
    if attr.file_type == FileType::Socket {
        bail!(ENXIO, "socket files are for bind and connect");
    }
    look.ask(node.place, |file| file.check_open(&look, flags))
}

/// Whether the mount a file is seen through lets it be written (`mnt_want_write`).
///
/// # Errors
/// EROFS
pub fn check_writable(k: &Kernel, node: Node) -> Result<()> {
    let Some(path) = node.path() else { return Ok(()) };
    let mount = &k.vfs.mounts[path.mount];
    if mount.flags.contains(MountFlags::READONLY) {
        bail!(EROFS, "mount {} is read-only", mount.mnt_id);
    }
    check_sb_writable(k, node)
}

/// `sb_permission`
fn check_sb_writable(k: &Kernel, node: Node) -> Result<()> {
    let Some(path) = node.path() else { return Ok(()) };
    let sb = &k.vfs.sbs[k.vfs.sb_of(path.mount)];
    if sb.read_only {
        bail!(EROFS, "the {} file system {}:{} is read-only", sb.fs_name().to_owned(), sb.device.0, sb.device.1);
    }
    Ok(())
}

fn check_type(file_type: FileType, flags: OpenFlags) -> Result<()> {
    let is_dir = file_type == FileType::Directory;
    if !is_dir && flags.contains(OpenFlags::DIRECTORY) {
        bail!(ENOTDIR, "this is no directory");
    }
    if flags.contains(OpenFlags::PATH) {
        return Ok(());
    }
    if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
        bail!(EEXIST, "the file exists and O_EXCL is given");
    }
    if file_type == FileType::Symlink {
        bail!(ELOOP, "this is a symbolic link and O_NOFOLLOW is given without O_PATH");
    }
    if is_dir && flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNC | OpenFlags::CREAT) {
        bail!(EISDIR, "this is a directory");
    }
    Ok(())
}

/// Whether the reader may use the file so (`inode_permission`).
///
/// # Errors
/// EACCES; EPERM: writing a namespace file; ESRCH: searching the directory of a task that is gone.
pub(super) fn check_access(look: &Look<'_>, node: Node, attr: &Attr, access: Access) -> Result<()> {
    look.ask(node.place, |file| match file.rule(look) {
        Some(rule) => rule.check(look.k, look.reader, attr.mode, access),
        None => file.check_access(look, attr, access),
    })
}

/// Whether the reader may use an open file so, as far as it is a sysctl: that is asked again at each read and write
/// (`proc_sys_call_handler`).
///
/// # Errors
/// EPERM
pub(super) fn check_sysctl_use(look: &Look<'_>, node: Node, access: Access) -> Result<()> {
    let Some(rule) = look.ask(node.place, |file| file.rule(look)) else { return Ok(()) };
    let mode = attr_of(look, node)?.mode;
    rule.check(look.k, look.reader, mode, access).map_err(|refusal| Error { errno: Errno::EPERM, ..refusal })
}

/// Whether `task` may write now to a sysctl that is open, of the namespace it is bound to.
///
/// # Errors
/// EPERM
pub fn may_write_sysctl(k: &Kernel, task: TaskId, node: Node, bound: Option<NsId>) -> Result<()> {
    let look = Look { bound, ..Look::now(k, Viewer(task), node)? };
    check_sysctl_use(&look, node, Access::WRITE)
}

/// Whether credentials grant writing to a file, by its mode (`inode_permission`).
///
/// # Errors
/// EACCES; ENOENT: the file is gone.
pub fn may_write_as(k: &Kernel, cred: Rights<'_>, node: Node) -> Result<()> {
    let look = Look::now(k, Viewer(k.init.task), node)?;
    check_mode(k, cred, &attr_of(&look, node)?, Access::WRITE)
}

/// Mode bits by file system ids, then CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which count in the credentials' own user
/// namespace if it maps the file's owner (`generic_permission`, `capable_wrt_inode_uidgid`).
pub(crate) fn check_mode(k: &Kernel, cred: Rights<'_>, attr: &Attr, access: Access) -> Result<()> {
    let bits = if cred.ids.fsuid == attr.uid {
        attr.mode >> 6
    } else if cred.ids.fsgid == attr.gid || cred.groups.contains(&attr.gid) {
        attr.mode >> 3
    } else {
        attr.mode
    };
    if access.is_within(bits) {
        return Ok(());
    }
    let ns = cred.user_ns;
    if !k.namespaces.contains(ns.any()) {
        bail!(EACCES, "the user namespace of the opener is gone");
    }
    let capable = |cap| k.capable_wrt_inode_uidgid(cred, (attr.uid, attr.gid), cap);
    let is_dir = attr.file_type == FileType::Directory;
    let only_reads = access == Access::READ || is_dir && !access.contains(Access::WRITE);
    let may_execute = is_dir || !access.contains(Access::EXEC) || attr.mode & 0o111 != 0;
    if only_reads && capable(Cap::DAC_READ_SEARCH) || may_execute && capable(Cap::DAC_OVERRIDE) {
        return Ok(());
    }
    bail!(
        EACCES,
        "mode {} of kuid {} kgid {}, and no CAP_DAC_OVERRIDE in {} that maps them",
        format!("{:04o}", attr.mode),
        attr.uid.0,
        attr.gid.0,
        k.ns_arg(ns),
    )
}
