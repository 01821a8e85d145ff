//! Mount namespaces (`fs/namespace.c`): identity, ownership and lifetime; mounts come with a later version.

use super::{InstallCtx, NsOps, NsState, NsType, Slot};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::{Kernel, NsId, TaskId};

#[derive(Debug, Default)]
pub struct MntNamespace;

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Mnt,
    name: "mnt",
    clone_flag: 0x0002_0000,
    clone_flag_name: "CLONE_NEWNS",
    init_inum: 4_026_531_832,
    init_ns_id: 4,
    initial: || NsState::Mnt(MntNamespace),
    ucount: 5,
    ucount_name: "max_mnt_namespaces",
    slot: Some(Slot::Mnt),
    setns_slot: None,
    extra_inums: 0,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    setup: super::no_setup,
    teardown: super::no_teardown,
    check_install,
};

fn create(_k: &Kernel, _task: TaskId) -> NsState {
    NsState::Mnt(MntNamespace)
}

/// `mntns_install`.
///
/// # Errors
/// EPERM: CAP_SYS_ADMIN over the owner of the target, CAP_SYS_CHROOT and CAP_SYS_ADMIN in the caller's; EINVAL: the
/// fs_struct is shared.
fn check_install(k: &Kernel, ctx: &InstallCtx, target: NsId) -> Result<()> {
    super::check_install_admin(k, ctx, target)?;
    if !k.ns_capable(ctx.task, ctx.user_ns, Cap::SYS_CHROOT) {
        bail!(EPERM, "CAP_SYS_CHROOT missing in {}, the user namespace of the caller", k.ns_arg(ctx.user_ns));
    }
    if !ctx.private_fs && k.is_fs_shared(ctx.task) {
        bail!(EINVAL, "root and working directory are shared with another task (CLONE_FS)");
    }
    Ok(())
}
