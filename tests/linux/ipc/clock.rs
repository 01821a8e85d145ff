//! Clocks of the two sides: the lab's stands still, the machine's is compared by what a time namespace adds to it.

use nslab::kernel::ns::Slot;
use nslab::kernel::ns::time::NSEC_PER_SEC;

use crate::encode::Context;
use crate::raw;

/// A clock_gettime under way: the clock without any offset just before it, what the lab adds, and the lab's answer. All in
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    clock: i32,
    before: i128,
    offset: i128,
    lab: u64,
}

impl Asked {
    /// `None`: a clock whose value depends on the machine.
    pub fn new(c: &Context<'_>, clock: i32) -> Option<Asked> {
        let ns = c.k.task_ns(c.me, Slot::Time)?;
        let time = c.k.namespaces[ns].time();
        let (offset, lab) = match clock {
            0 | 5 | 11 => (None, c.k.real_seconds() * NSEC_PER_SEC + c.k.clock % NSEC_PER_SEC),
            1 | 4 | 6 => (Some(time.monotonic), time.monotonic.add_to(c.k.clock)),
            7 => (Some(time.boottime), time.boottime.add_to(c.k.clock)),
            _ => return None,
        };
        let offset =
            offset.map_or(0, |offset| i128::from(offset.sec) * i128::from(NSEC_PER_SEC) + i128::from(offset.nsec));
        Some(Asked { clock, before: now(clock), offset, lab })
    }

    /// The lab's answer if the machine's lies where it has to.
    pub fn text(self, seconds: u64, nanos: u64) -> String {
        let value = nanos_of(seconds, nanos) - self.offset;
        if (self.before..=now(self.clock)).contains(&value) {
            format!("{}.{:09}", self.lab / NSEC_PER_SEC, self.lab % NSEC_PER_SEC)
        } else {
            format!("without the offset {value} ns, {} just before", self.before)
        }
    }
}

fn nanos_of(seconds: u64, nanos: u64) -> i128 {
    i128::from(seconds.cast_signed()) * i128::from(NSEC_PER_SEC) + i128::from(nanos)
}

/// A clock of the controller, which is in the initial time namespace.
fn now(clock: i32) -> i128 {
    let time = [0u64; 2];
    raw::call(libc::SYS_clock_gettime, [clock as u64, (&raw const time) as u64, 0, 0, 0, 0]);
    // The call wrote into it.
    let [seconds, nanos] = std::hint::black_box(time);
    nanos_of(seconds, nanos)
}
