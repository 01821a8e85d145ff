//! A new mount of a file system (`do_new_mount`).

use super::super::cwd::is_directory;
use super::super::namei;
use super::{MountArgs, check_own, lock_mount, site_of};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::mount::propagation::Attaching;
use crate::kernel::mount::sb::{Asks, SbPlan, fs_type};
use crate::kernel::mount::site::Path;
use crate::kernel::{Current, Kernel};

/// Mounts a file system on `target`.
///
/// # Errors
/// EINVAL: no type, its options, a target in another namespace, a type of the kernel's own; ENODEV: no such type; EPERM:
/// the capability the type asks for, or a mount that would reveal what is hidden from the caller; ENOENT, ENOTBLK: the
/// device; ENOENT: the target is gone; EBUSY: the same file system is there already; ENOTDIR: a directory and a file;
/// ENOSPC: mount-max.
pub(super) fn mount(k: &mut Kernel, me: Current, target: Path, args: &MountArgs) -> Result<()> {
    let Some(name) = &args.fs_type else { bail!(EINVAL, "a new mount needs a type of file system") };
    let Some(fs) = fs_type(name) else {
        bail!(ENODEV, "there is no file system type {}", String::from_utf8_lossy(name).into_owned());
    };
    let plan = k.plan_sb(me, fs, &args.data, args.flags)?;
    if !k.ns_capable(*me, plan.user_ns, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, which a mount of {} takes", k.ns_arg(plan.user_ns), fs.name);
    }
    if fs.on_device {
        find_device(k, me, args.source.as_deref())?;
    }
    let ns = k.current_nsproxy(me).mnt_ns();
    let Some(flags) = k.unrevealing_flags(ns, fs, args.flags.mount_flags()) else {
        bail!(EPERM, "every mount of {} in {} shows less than the new one would show", fs.name, k.ns_arg(ns));
    };
    let target = lock_mount(k, target)?;
    check_own(k, me, target.mount, "the target")?;
    check_target(k, me, target, &plan)?;
    let site = site_of(k, me, target)?;
    // A root that is not made yet has not been removed.
    let attaching = Attaching { new: 1, copied: 1, is_mnt_ns_file: false, top: target.place };
    k.check_attach(target.mount, &site, attaching)?;
    let options = plan.options.clone();
    let sb = k.get_sb(plan);
    k.apply_cgroup_options(*me, sb.id(), options);
    let root = k.root_for(*me, sb.id());
    let source = args.source.as_deref().map(Into::into);
    let mount = k.new_mount(sb, &root, source, flags);
    k.attach_tree(mount.id(), vec![mount], target.mount, &site);
    Ok(())
}

/// No block device is simulated, so the source is none.
fn find_device(k: &mut Kernel, me: Current, source: Option<&[u8]>) -> Result<()> {
    let Some(source) = source else { bail!(EINVAL, "the file system is on a device, and no source is given") };
    namei::find(k, me, source, true)?;
    bail!(ENOTBLK, "{} is no block device", String::from_utf8_lossy(source).into_owned())
}

fn check_target(k: &Kernel, me: Current, target: Path, plan: &SbPlan) -> Result<()> {
    if k.is_mount_root(target) && plan.existing == Some(k.vfs.sb_of(target.mount)) {
        bail!(EBUSY, "this file system is mounted there already");
    }
    if plan.fs.asks == Asks::Kernel {
        bail!(EINVAL, "{} is the kernel's own", plan.fs.name);
    }
    if !is_directory(k, me, target)? {
        bail!(ENOTDIR, "the target is no directory");
    }
    Ok(())
}
