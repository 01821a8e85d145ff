//! Time namespaces (`kernel/time/namespace.c`).

use super::{Holds, InstallCtx, NsKind, Owned, Slot, TimeNsId};
use crate::bail;
use crate::errno::Result;
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::{Current, Kernel};

/// Boot time of a lab that is not told otherwise, seconds since the epoch: 2026-01-01 00:00:00 UTC.
pub const BOOT_TIME: u64 = 1_767_225_600;
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Seconds and nanoseconds (0 to 999,999,999) added to a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offset {
    pub sec: i64,
    pub nsec: i64,
}

impl Offset {
    /// The same in nanoseconds.
    pub fn nanos(self) -> i128 {
        i128::from(self.sec) * i128::from(NSEC_PER_SEC) + i128::from(self.nsec)
    }

    /// A moment in nanoseconds with the offset added, 0 where that is before the start of the clock.
    pub fn add_to(self, nanos: u64) -> u64 {
        let total = i128::from(nanos) + self.nanos();
        u64::try_from(total.max(0)).unwrap_or(u64::MAX)
    }
}

impl Kernel {
    /// Wall clock time, seconds since the epoch (`ktime_get_real_seconds`).
    pub fn real_seconds(&self) -> u64 {
        self.machine.boot_time + self.clock.now() / NSEC_PER_SEC
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TimeNamespace {
    pub monotonic: Offset,
    pub boottime: Offset,
    /// A task is or was inside: offsets are fixed.
    pub frozen_offsets: bool,
}

impl TimeNamespace {
    /// The offset of a clock by its number (`include/uapi/linux/time.h`): time namespaces shift CLOCK_MONOTONIC, _RAW and
    /// _COARSE alike, and CLOCK_BOOTTIME and _ALARM.
    pub fn offset(&self, clock: i32) -> Offset {
        match clock {
            1 | 4 | 6 => self.monotonic,
            7 | 9 => self.boottime,
            _ => Offset::default(),
        }
    }

    /// Whether a clock in it shows another time than that of the machine.
    pub fn shifts(&self) -> bool {
        [self.monotonic, self.boottime] != [Offset::default(); 2]
    }
}

impl NsKind for TimeNamespace {
    const NAME: &'static str = "time";
    const CLONE_FLAG: u64 = 0x0000_0080;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWTIME";
    const INIT_INUM: u32 = 4_026_531_834;
    const INIT_NS_ID: u64 = 2;
    const UCOUNT: usize = 7;
    const UCOUNT_NAME: &'static str = "max_time_namespaces";
    const SLOT: Option<Slot> = Some(Slot::TimeForChildren);
    const HOLDS: Holds = Holds::Offsets;
    const SETNS_SLOT: Option<Slot> = Some(Slot::Time);

    fn initial() -> TimeNamespace {
        TimeNamespace { frozen_offsets: true, ..TimeNamespace::default() }
    }

    /// A copy of the creator's offsets for children, not frozen (`clone_time_ns`).
    fn create(k: &Kernel, task: Current) -> TimeNamespace {
        let current = k.current_nsproxy(task).time_ns_for_children();
        TimeNamespace { frozen_offsets: false, ..k.namespaces[current].clone() }
    }

    /// `timens_install`.
    ///
    /// # Errors
    /// EUSERS: the caller has other threads or shares its memory; EPERM: capabilities.
    fn check_install(k: &Kernel, ctx: &InstallCtx, target: TimeNsId) -> Result<()> {
        // A leader that is dead does not count (`current_is_single_threaded`).
        if k.signal_of(ctx.task).live != 1 || k.is_mm_shared(ctx.task) {
            bail!(EUSERS, "only a single-threaded task that shares its memory with nobody may join a time namespace");
        }
        super::check_install_admin(k, ctx, target)
    }
}

impl Owned for TimeNamespace {}

impl NsProxy {
    /// The time namespace.
    pub fn time_ns(&self) -> TimeNsId {
        self.typed(Slot::Time)
    }

    /// The time namespace the next child is born in.
    pub fn time_ns_for_children(&self) -> TimeNsId {
        self.typed(Slot::TimeForChildren)
    }
}
