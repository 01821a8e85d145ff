//! Mount namespaces (`fs/namespace.c`): a tree of mounts and the right to change it.

use std::collections::BTreeMap;

use super::{Holds, InstallCtx, MntNsId, NsKind, Owned, Slot};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::mount::tree::{Copying, MountTree};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::refcount::Held;
use crate::kernel::work::Work;
use crate::kernel::{Current, Kernel, TaskId, TreeId};

#[derive(Clone, Debug, Default)]
pub struct MntNamespace {
    /// `None` only while the namespace is made.
    pub tree: Option<TreeId>,
}

impl NsKind for MntNamespace {
    const NAME: &'static str = "mnt";
    const CLONE_FLAG: u64 = 0x0002_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWNS";
    const INIT_INUM: u32 = 4_026_531_832;
    const INIT_NS_ID: u64 = 4;
    const UCOUNT: usize = 5;
    const UCOUNT_NAME: &'static str = "max_mnt_namespaces";
    const SLOT: Option<Slot> = Some(Slot::Mnt);
    const HOLDS: Holds = Holds::Mounts;

    fn initial() -> MntNamespace {
        MntNamespace::default()
    }

    fn create(_k: &Kernel, _task: Current) -> MntNamespace {
        MntNamespace::default()
    }

    /// Copies the whole tree of the namespace `task` is in (`copy_mnt_ns`): unbindable mounts too, binds of mount namespace
    /// files not. For another owner all is locked, and shared mounts become slaves. The initial one has its tree from boot.
    fn setup(k: &mut Kernel, ns: MntNsId, task: TaskId) {
        let (None, Some(old)) = (k.namespaces[ns].tree, k.mnt_ns_of(task)) else { return };
        let is_other_owner = k.ns_owner(old) != k.ns_owner(ns);
        let how = if is_other_owner { Copying::UNBINDABLE | Copying::SHARED_TO_SLAVE } else { Copying::UNBINDABLE };
        let root = k.vfs.trees[k.tree_of(old)].root;
        let site = k.vfs.mounts[root].root.site();
        let plan = k.plan_copy(root, site.place, how);
        let copies = k.copy_tree(&plan, &site, how);
        if is_other_owner {
            k.lock_tree(&copies.iter().map(Held::id).collect::<Vec<_>>());
        }
        let tree = MountTree { ns: Some(ns), origin: None, root: copies[0].id(), mounts: BTreeMap::new(), event: 0 };
        let tree = k.vfs.trees.insert(tree);
        k.namespaces[ns].tree = Some(tree);
        k.join_tree(tree, copies);
    }

    /// The tree goes before the call returns. Not at once: what it holds may be further mount namespaces, as deep as one
    /// likes.
    fn teardown(self, k: &mut Kernel, _ns: MntNsId) {
        let Some(tree) = self.tree else { return };
        k.vfs.trees[tree].ns = None;
        k.work.push_back(Work::DropMounts(tree));
    }

    /// `mntns_install`.
    ///
    /// # Errors
    /// EPERM: CAP_SYS_ADMIN over the owner of the target, CAP_SYS_CHROOT and CAP_SYS_ADMIN in the caller's; EINVAL: the
    /// fs_struct is shared.
    fn check_install(k: &Kernel, ctx: &InstallCtx, target: MntNsId) -> Result<()> {
        super::check_install_admin(k, ctx, target)?;
        if !k.ns_capable(ctx.task, ctx.user_ns, Cap::SYS_CHROOT) {
            bail!(EPERM, "CAP_SYS_CHROOT missing in {}, the user namespace of the caller", k.ns_arg(ctx.user_ns));
        }
        if !ctx.private_fs && k.is_fs_shared(ctx.task) {
            bail!(EINVAL, "root and working directory are shared with another task (CLONE_FS)");
        }
        Ok(())
    }
}

impl Owned for MntNamespace {}

impl NsProxy {
    /// The mount namespace.
    pub fn mnt_ns(&self) -> MntNsId {
        self.typed(Slot::Mnt)
    }
}

impl Kernel {
    /// The mount namespace a task is in; `None` for a zombie.
    pub fn mnt_ns_of(&self, task: TaskId) -> Option<MntNsId> {
        self.nsproxy_of(task).map(NsProxy::mnt_ns)
    }
}
