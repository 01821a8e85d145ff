//! Time namespaces (`kernel/time/namespace.c`).

use super::{InstallCtx, NsOps, NsState, NsType, Slot};
use crate::bail;
use crate::errno::Result;
use crate::kernel::{Kernel, NsId, TaskId};

/// Boot time of every lab, seconds since the epoch: 2026-01-01 00:00:00 UTC.
pub const BOOT_TIME: u64 = 1_767_225_600;
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Seconds and nanoseconds (0 to 999,999,999) added to a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offset {
    pub sec: i64,
    pub nsec: i64,
}

impl Offset {
    /// A moment in nanoseconds with the offset added, 0 where that is before the start of the clock.
    pub fn add_to(self, nanos: u64) -> u64 {
        let total = i128::from(nanos) + i128::from(self.sec) * i128::from(NSEC_PER_SEC) + i128::from(self.nsec);
        u64::try_from(total.max(0)).unwrap_or(u64::MAX)
    }
}

impl Kernel {
    /// Wall clock time, seconds since the epoch (`ktime_get_real_seconds`).
    pub fn real_seconds(&self) -> u64 {
        BOOT_TIME + self.clock.now() / NSEC_PER_SEC
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TimeNamespace {
    pub monotonic: Offset,
    pub boottime: Offset,
    /// A task is or was inside: offsets are fixed.
    pub frozen_offsets: bool,
}

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Time,
    name: "time",
    clone_flag: 0x0000_0080,
    clone_flag_name: "CLONE_NEWTIME",
    init_inum: 4_026_531_834,
    init_ns_id: 2,
    initial: || NsState::Time(TimeNamespace { frozen_offsets: true, ..TimeNamespace::default() }),
    ucount: 7,
    ucount_name: "max_time_namespaces",
    slot: Some(Slot::TimeForChildren),
    setns_slot: Some(Slot::Time),
    extra_inums: 0,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    setup: super::no_setup,
    teardown: super::no_teardown,
    check_install,
};

/// A copy of the creator's offsets for children, not frozen (`clone_time_ns`).
fn create(k: &Kernel, task: TaskId) -> NsState {
    let current = k.task_ns(task, Slot::TimeForChildren).expect("the creator is alive");
    NsState::Time(TimeNamespace { frozen_offsets: false, ..k.namespaces[current].time().clone() })
}

/// `timens_install`.
///
/// # Errors
/// EUSERS: the caller has other threads or shares its memory; EPERM: capabilities.
fn check_install(k: &Kernel, ctx: &InstallCtx, target: NsId) -> Result<()> {
    // A leader that is dead does not count (`current_is_single_threaded`).
    if k.signal_of(ctx.task).live != 1 || k.is_mm_shared(ctx.task) {
        bail!(EUSERS, "joining a time namespace takes a single-threaded task that shares its memory with nobody");
    }
    super::check_install_admin(k, ctx, target)
}
