//! Pid namespaces (`kernel/pid_namespace.c`).

use super::{Holds, InstallCtx, NsKind, Owned, PidNsId, Slot, UserNsId};
use crate::bail;
use crate::errno::Result;
use crate::kernel::memory::ENTRY;
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::pid::PID_MAX_LIMIT;
use crate::kernel::table::Cyclic;
use crate::kernel::{Current, Kernel, PidId, TaskId};

/// Deepest level of a pid namespace; the initial one is 0 (`MAX_PID_NS_LEVEL`).
pub const PID_NS_LEVEL_MAX: u32 = 32;

#[derive(Clone, Debug)]
pub struct PidNamespace {
    pub idr: Cyclic<PidId>,
    /// Numbers in use.
    pub pid_allocated: u32,
    /// New numbers are given out (PIDNS_ADDING); cleared for ever when the init begins to exit.
    pub adding: bool,
    /// The init. Set by the first task and never cleared; the task itself may be long gone.
    pub child_reaper: Option<TaskId>,
    pub level: u32,
    /// Exclusive upper bound of numbers.
    pub pid_max: i32,
    /// Signal that reboot(2) left for the init's status; 0: none.
    pub reboot: i32,
}

impl PidNamespace {
    pub fn new(level: u32) -> PidNamespace {
        PidNamespace {
            idr: Cyclic::default(),
            pid_allocated: 0,
            adding: true,
            child_reaper: None,
            level,
            pid_max: PID_MAX_LIMIT,
            reboot: 0,
        }
    }

    /// The last automatic number (`ns_last_pid`); -1 before the first.
    pub fn last_pid(&self) -> i32 {
        self.idr.cursor - 1
    }
}

impl NsKind for PidNamespace {
    const NAME: &'static str = "pid";
    const CLONE_FLAG: u64 = 0x2000_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWPID";
    const INIT_INUM: u32 = 4_026_531_836;
    const INIT_NS_ID: u64 = 8;
    const UCOUNT: usize = 1;
    const UCOUNT_NAME: &'static str = "max_pid_namespaces";
    const SLOT: Option<Slot> = Some(Slot::PidForChildren);
    const HOLDS: Holds = Holds::PidNumbers;
    const HAS_PARENT: bool = true;

    fn bytes(&self) -> usize {
        ENTRY * self.idr.len()
    }

    fn initial() -> PidNamespace {
        PidNamespace::new(0)
    }

    /// What forbids a new pid namespace besides privilege and limits (`create_pid_namespace`, `copy_pid_ns`).
    ///
    /// # Errors
    /// EINVAL: the task's `pid_for_children` is not its active one, or the user namespace that will own the new one is not
    /// the owner of the parent or below it; ENOSPC: nested too deep.
    fn check_create(k: &Kernel, task: Current, owner: Option<UserNsId>) -> Result<()> {
        let active = k.task_active_pid_ns(*task);
        let for_children = k.current_nsproxy(task).pid_ns_for_children();
        if for_children != active {
            bail!(EINVAL, "pid_for_children is {}, not the active {}", k.ns_arg(for_children), k.ns_arg(active));
        }
        // A user namespace made by this call is a child of the creator's, so the creator's decides for it.
        let owner = owner.unwrap_or_else(|| k.cred_of(*task).user_ns.id());
        let parent_owner = k.owner_of(active);
        if !k.is_ns_at_or_below(owner, parent_owner) {
            bail!(
                EINVAL,
                "{} is not at or below {}, owner of {}",
                k.ns_arg(owner),
                k.ns_arg(parent_owner),
                k.ns_arg(active)
            );
        }
        let level = k.namespaces[active].level;
        if level >= PID_NS_LEVEL_MAX {
            bail!(ENOSPC, "pid namespaces nest {} deep at most", PID_NS_LEVEL_MAX);
        }
        Ok(())
    }

    fn create(k: &Kernel, task: Current) -> PidNamespace {
        PidNamespace::new(k.namespaces[k.task_active_pid_ns(*task)].level + 1)
    }

    fn parent(k: &Kernel, task: Current) -> Option<PidNsId> {
        Some(k.task_active_pid_ns(*task))
    }

    /// `pidns_install`.
    ///
    /// # Errors
    /// EPERM: capabilities; EINVAL: the target is not the active pid namespace nor below it.
    fn check_install(k: &Kernel, ctx: &InstallCtx, target: PidNsId) -> Result<()> {
        super::check_install_admin(k, ctx, target)?;
        let active = k.task_active_pid_ns(ctx.task);
        if !k.is_ns_at_or_below(target, active) {
            bail!(EINVAL, "{} is not the active {} nor below it", k.ns_arg(target), k.ns_arg(active));
        }
        Ok(())
    }
}

impl Owned for PidNamespace {}

impl NsProxy {
    /// The pid namespace the next child is born in.
    pub fn pid_ns_for_children(&self) -> PidNsId {
        self.typed(Slot::PidForChildren)
    }
}
