//! A mount that a file of lines describes: of any type, as it was seen on another machine.

use super::{MountArgs, check_own, lock_mount, site_of};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::mount::flags::MsFlags;
use crate::kernel::mount::propagation::Attaching;
use crate::kernel::mount::recorded::RecordedMount;
use crate::kernel::mount::site::{Path, Site};
use crate::kernel::node::Place;
use crate::kernel::{Current, Kernel};
use crate::syscall::{Outcome, Return, namei};

/// Mounts what was seen, whatever that takes: on `/` in place of all that the namespace has, elsewhere on what is there.
/// Directories of the target that are missing are made.
///
/// # Errors
/// EINVAL: a target that is no whole path, or is in another namespace, a type that is no name; ENOENT: a target in a file
/// system that makes its own files, no group to receive from; ENOSPC: mount-max.
pub(in crate::syscall) fn sys_mount_as(k: &mut Kernel, me: Current, args: &MountArgs, seen: &RecordedMount) -> Outcome {
    if !RecordedMount::is_type(&seen.fs) {
        bail!(EINVAL, "{} is no name of a type", seen.fs.clone());
    }
    if let Some(group) = seen.master.filter(|&group| k.find_peer(group).is_none()) {
        bail!(ENOENT, "no mount is in the group {} that it receives from", group);
    }
    let (dir, missing) = deepest(k, me, &args.target)?;
    let ns = k.current_nsproxy(me).mnt_ns();
    let top = k.topmost_root(ns);
    let top = if args.target == b"/" { Some(top) } else { None };
    let dir = lock_mount(k, dir)?;
    check_own(k, me, dir.mount, "the target")?;
    let place = site_of(k, me, dir)?;
    let attaching = Attaching { new: 1, copied: 1, is_mnt_ns_file: false, top: dir.place };
    k.check_attach(dir.mount, &place, attaching)?;
    let (sb, root) = k.get_recorded_sb(me, seen)?;
    let mut site = place;
    if let (Place::Dentry(top), Some(last)) = (dir.place, missing.len().checked_sub(1)) {
        let make = |dir, (at, name): (usize, &Vec<u8>)| k.mountpoint_in(dir, name, at == last && seen.ns.is_some());
        site = Site::of(Place::Dentry(missing.iter().enumerate().fold(top, make)));
    }
    // What was seen without a word about times of access has none.
    let atime = if args.flags.intersects(MsFlags::NOATIME | MsFlags::RELATIME) {
        MsFlags::empty()
    } else {
        MsFlags::STRICTATIME
    };
    let flags = (args.flags | atime).mount_flags();
    let mount = k.new_mount(sb, &root, args.source.as_deref().map(Into::into), flags);
    k.relate_recorded(mount.id(), seen);
    if Some(dir) == top {
        k.replace_root(ns, mount);
        return Ok(Return::DONE);
    }
    // Each mount that was seen has a line of its own: nothing propagates.
    k.attach_under(mount.id(), dir.mount, &site);
    if let Some(tree) = k.vfs.mounts[dir.mount].tree {
        k.join_tree(tree, vec![mount]);
    }
    Ok(Return::DONE)
}

/// The deepest directory of a path that is there, and the names below it that are missing.
fn deepest(k: &mut Kernel, me: Current, path: &[u8]) -> Result<(Path, Vec<Vec<u8>>)> {
    if !path.starts_with(b"/") {
        bail!(EINVAL, "the target of a mount that was recorded is a whole path");
    }
    let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    let mut there = names.len();
    loop {
        let above = [b"/", &names[..there].join(&b'/')[..]].concat();
        match namei::find(k, me, &above, true) {
            Err(error) if error.errno == Errno::ENOENT && there > 0 => there -= 1,
            Err(error) => return Err(error),
            Ok(found) if there == names.len() || matches!(found.place, Place::Dentry(_)) => {
                return Ok((found, names[there..].iter().map(|name| name.to_vec()).collect()));
            }
            Ok(_) => bail!(ENOENT, "{} is in a file system that makes its own files", lossy(path)),
        }
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
