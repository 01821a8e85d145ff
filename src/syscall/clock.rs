//! clock_gettime(2) as time namespaces shift it (`kernel/time/posix-timers.c`, time_namespaces(7)), and the lab's own
//! `clock`, which moves time on.

use super::outcome::Time;
use super::{Outcome, Return};
use crate::bail;
use crate::kernel::clock::CLOCK_MAX;
use crate::kernel::ns::time::NSEC_PER_SEC;
use crate::kernel::{Current, Kernel};

/// Clock ids (`include/uapi/linux/time.h`).
pub const CLOCKS: &[(&str, i32)] = &[
    ("realtime", 0),
    ("monotonic", 1),
    ("process_cputime_id", 2),
    ("thread_cputime_id", 3),
    ("monotonic_raw", 4),
    ("realtime_coarse", 5),
    ("monotonic_coarse", 6),
    ("boottime", 7),
    ("realtime_alarm", 8),
    ("boottime_alarm", 9),
    ("tai", 11),
];

/// The time of a clock. Only the monotonic and the boottime clocks follow the caller's time
/// namespace; nobody uses a processor.
///
/// # Errors
/// EINVAL: no such clock.
pub(super) fn sys_clock_gettime(k: &Kernel, me: Current, clock: i32) -> Outcome {
    let ns = k.current_nsproxy(me).time_ns();
    let offsets = &k.namespaces[ns];
    let nanos = match clock {
        0 | 5 | 8 | 11 => k.machine.boot_time * NSEC_PER_SEC + k.clock.now(),
        1 | 4 | 6 | 7 | 9 => offsets.offset(clock).add_to(k.clock.now()),
        2 | 3 => 0,
        _ => bail!(EINVAL, "{} is no clock", clock),
    };
    Ok(time(nanos))
}

/// Moves the clock of the lab on; the result is the time since boot. No call of Linux's.
///
/// # Errors
/// EPERM: not by the init of the lab. ERANGE: beyond what a clock can show.
pub(super) fn sys_clock(k: &mut Kernel, me: Current, advance: u64) -> Outcome {
    if !k.is_same_thread_group(*me, k.init.task) {
        bail!(EPERM, "only pid 1, the init of the lab, moves its clock");
    }
    match k.clock.advance(advance) {
        Some(now) => Ok(time(now)),
        None => bail!(ERANGE, "the clock would go beyond {} s", CLOCK_MAX / NSEC_PER_SEC),
    }
}

fn time(nanos: u64) -> Return {
    Return::Time(Time { seconds: nanos / NSEC_PER_SEC, nanoseconds: (nanos % NSEC_PER_SEC) as u32 })
}
