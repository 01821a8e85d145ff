//! Clocks of programs in time namespaces. The clocks are the host's; in a namespace with offsets these are added to what a call
//! gives, and taken off times that it waits until. Only programs in such a namespace, and those that make others in one, have
//! the filter that stops these calls; there the vDSO makes calls too ([`super::vdso`]).

use std::io;

use super::Supervisor;
use super::filter;
use super::regs::Regs;
use super::sys::{self, Resume, Tid};
use super::tracee::{Doing, Then};
use crate::abi::{Call, Memory, Registers, call};
use crate::kernel::ns::TimeNamespace;
use crate::kernel::ns::time::{NSEC_PER_SEC, Offset};
use crate::kernel::profile::Profile;
use crate::kernel::{Kernel, TaskId, TimeNsId};
use crate::script::Setup;
use crate::syscall::{AnyCall, CloneFlags};

/// Latest time of a clock, nanoseconds (`KTIME_MAX`).
const TIME_MAX: i128 = i64::MAX as i128;

/// What time namespaces are to a task that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hours {
    /// Its clocks are those of the machine.
    Same,
    /// After the call it, or its child, may have others.
    Soon,
    /// It has others.
    Shifted,
}

pub(super) fn hours(k: &Kernel, task: TaskId, made: &Registers) -> Hours {
    let Some(own) = k.tasks.get(task).and_then(|_| k.nsproxy_of(task)) else { return Hours::Same };
    let shifts = |ns: TimeNsId| k.namespaces[ns].shifts();
    match () {
        () if shifts(own.time_ns()) => Hours::Shifted,
        () if shifts(own.time_ns_for_children()) || may_enter(k, made) => Hours::Soon,
        () => Hours::Same,
    }
}

/// Whether a call is a setns to what may be a time namespace with offsets.
fn may_enter(k: &Kernel, made: &Registers) -> bool {
    let kinds = CloneFlags::from_bits_retain(made.args[1]);
    call(made.number) == Some(Call::Setns)
        && (kinds.is_empty() || kinds.contains(CloneFlags::NEWTIME))
        && k.namespaces.of_kind::<TimeNamespace>().any(|(_, ns)| ns.shifts())
}

/// The clocks of this machine: how long it is up, and since when.
///
/// # Errors
/// None that a Linux with time namespaces gives.
pub fn machine_of_host() -> io::Result<Profile> {
    let (up, now) = (sys::time(libc::CLOCK_BOOTTIME)?, sys::time(libc::CLOCK_REALTIME)?);
    Ok(Profile { uptime: Some(up), btime: Some(now.saturating_sub(up) / NSEC_PER_SEC), ..Profile::default() })
}

impl Supervisor {
    /// The clock of a lab that goes with real time is that of the host, once it has programs: it moves on to where that is. A
    /// clock that is ahead of the host's stays so.
    pub(super) fn follow_host_clock(&mut self) {
        if !self.lab.is_in_real_time() {
            return;
        }
        let (Ok(host), Ok(lab)) = (sys::time(libc::CLOCK_BOOTTIME), self.lab.read(|k| k.clock.now())) else { return };
        let nanos = host.saturating_sub(lab);
        if nanos > 0 {
            let line = Setup::Tick { nanos }.to_string();
            // Of a lab that is broken everything fails.
            let _ = self.served.perform(|k| Ok(k.init.task), &AnyCall::Tick { nanos }, |_, _| line);
            self.served.settle();
        }
    }

    /// A thread that has other clocks than the machine, or is about to, gets what it takes. True: its call begins anew after
    /// that.
    pub(super) fn prepare_clock(&mut self, tid: Tid, regs: &Regs, hours: Hours) -> io::Result<bool> {
        if hours == Hours::Shifted {
            self.ask_time(tid)?;
        }
        let tracee = self.tracee(tid)?;
        if tracee.has_clock || !matches!(tracee.doing, Doing::Running) {
            return Ok(false);
        }
        self.get_clock_filter(tid, *regs).map(|()| true)
    }

    fn get_clock_filter(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(()) };
        if !self.lab.is_in_real_time() && self.told.insert("time namespaces") {
            self.host.say(
                "the clock of this lab stands still, so that /proc/uptime and ps tell other times than the clocks of \
                 programs in time namespaces: mount it with -o realtime",
            );
        }
        let real = self.filtering(tid, regs, scratch, &filter::clock())?;
        self.tracee(tid)?.doing = Doing::Filtering(Box::new(regs));
        self.host.set_registers(tid, real.0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    /// The thread has the filter, and so have the others of its process; or it fails with EAGAIN, as one of them has a filter of
    /// its own.
    pub(super) fn has_clock_filter(&mut self, tid: Tid, regs: Regs, wanted: Regs) -> io::Result<()> {
        let given = regs.result();
        if given == 0 {
            self.threads_with(tid)?.for_each(|tracee| tracee.has_clock = true);
            self.host.set_registers(tid, wanted.again().0)?;
        } else {
            let error = if given > 0 { -i64::from(libc::EAGAIN) } else { given };
            self.host.set_registers(tid, regs.as_wanted(&wanted).with_result(error).0)?;
        }
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// A thread may have come into another time namespace.
    pub(super) fn keep_time(&mut self, tid: Tid) -> io::Result<()> {
        let task = self.task(tid)?;
        let offsets = self.lab.read(|k| offsets(k, task).shifts());
        if offsets.unwrap_or(false) { self.ask_time(tid) } else { Ok(()) }
    }

    /// Has the vDSO of a thread, which is stopped, make calls to tell the time.
    fn ask_time(&mut self, tid: Tid) -> io::Result<()> {
        if self.tracee(tid)?.space.asks_time.replace(true) {
            return Ok(());
        }
        let asks = self.vdso.ask_time(&*self.host, tid);
        if let Err(error) = &asks
            && self.told.insert("vdso")
        {
            self.host.say(&format!("programs in time namespaces may see the clocks of the host: {error}"));
        }
        Ok(())
    }

    /// A call that tells a time, or waits until one.
    pub(super) fn on_clock(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let (task, args) = (self.task(tid)?, regs.args());
        let ns = self.lab.read(|k| offsets(k, task)).unwrap_or_default();
        let clock = |id: u64| ns.offset(id as i32);
        match call(regs.number()) {
            _ if !ns.shifts() => self.host.resume(tid, Resume::Cont, 0),
            Some(Call::ClockGettime) => {
                self.detour(tid, regs, regs, Then::Time { addr: args[1], offset: clock(args[0]) })
            }
            Some(Call::Sysinfo) => self.detour(tid, regs, regs, Then::Uptime(args[0])),
            Some(Call::ClockNanosleep) => self.until(tid, regs, (2, 0), clock(args[0])),
            Some(Call::Futex) => self.until(tid, regs, (3, 0), ns.monotonic),
            Some(Call::FutexWaitv) => self.until(tid, regs, (3, 0), ns.monotonic),
            Some(Call::FutexWait) => self.until(tid, regs, (4, 0), ns.monotonic),
            // `struct itimerspec` has the interval first.
            Some(Call::TimerSettime) => self.until(tid, regs, (2, 16), clock(self.timer_clock(tid, args[0]))),
            Some(Call::TimerfdSettime) => self.until(tid, regs, (2, 16), clock(self.timerfd_clock(tid, args[0]))),
            _ => self.host.resume(tid, Resume::Cont, 0),
        }
    }

    /// Makes a call with another time to wait until, which stands `at` some bytes behind the address that is argument `index`:
    /// that of the host's clock (`timens_ktime_to_host`). What is no time, or 0, which stops a timer, the real kernel judges.
    fn until(&mut self, tid: Tid, regs: Regs, (index, at): (usize, usize), offset: Offset) -> io::Result<()> {
        let mut args = regs.args();
        let mut bytes = vec![0; at + 16];
        let time = self.memory(tid).read(args[index], &mut bytes).ok().and_then(|()| moment(&bytes[at..]));
        let Some(time) = time.filter(|time| *time > 0 && offset != Offset::default()) else {
            return self.host.resume(tid, Resume::Cont, 0);
        };
        // What is past is so at once, and no timer that is stopped.
        bytes[at..].copy_from_slice(&timespec((time - offset.nanos()).clamp(1, TIME_MAX)));
        let Some(scratch) = self.with_scratch(tid, regs, &bytes)? else { return Ok(()) };
        args[index] = scratch;
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    /// The clock of a timer of timer_create(2), or 0.
    fn timer_clock(&self, tid: Tid, timer: u64) -> u64 {
        let timers = self.host.proc_file(tid, "timers").unwrap_or_default();
        let timers = String::from_utf8_lossy(&timers);
        let mut lines = timers.lines().skip_while(|line| line.strip_prefix("ID: ") != Some(&timer.to_string()));
        lines.find_map(|line| line.strip_prefix("ClockID: ")?.parse().ok()).unwrap_or(0)
    }

    /// The clock of a timer of timerfd_create(2), or 0.
    fn timerfd_clock(&self, tid: Tid, fd: u64) -> u64 {
        let info = self.host.proc_file(tid, &format!("fdinfo/{}", fd as i32)).unwrap_or_default();
        let info = String::from_utf8_lossy(&info);
        info.lines().find_map(|line| line.strip_prefix("clockid: ")?.parse().ok()).unwrap_or(0)
    }

    /// A time that the real kernel has told becomes that of the program's clock.
    pub(super) fn shift_time(&self, tid: Tid, addr: u64, offset: Offset) {
        let (mut memory, mut bytes) = (self.memory(tid), [0; 16]);
        if memory.read(addr, &mut bytes).is_ok()
            && let Some(time) = moment(&bytes)
        {
            // It could be written a moment ago.
            let _ = memory.write(addr, &timespec((time + offset.nanos()).clamp(0, TIME_MAX)));
        }
    }

    /// `struct sysinfo` has the uptime first, in seconds that have begun (`do_sysinfo`): as `/proc/uptime`, by the lab's clock.
    pub(super) fn own_uptime(&mut self, tid: Tid, addr: u64) {
        let Ok(task) = self.task(tid) else { return };
        let up = self.lab.read(|k| offsets(k, task).boottime.add_to(k.clock.now()).div_ceil(NSEC_PER_SEC));
        if let Ok(up) = up {
            // It could be written a moment ago.
            let _ = self.memory(tid).write(addr, &up.to_ne_bytes());
        }
    }
}

/// The time namespace of a task; of one that is dead, no offsets.
fn offsets(k: &Kernel, task: TaskId) -> TimeNamespace {
    let own = k.tasks.get(task).and_then(|_| k.nsproxy_of(task));
    own.map(|own| k.namespaces[own.time_ns()].clone()).unwrap_or_default()
}

/// Nanoseconds of a `struct timespec`; `None`: it is no time.
fn moment(bytes: &[u8]) -> Option<i128> {
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(i64::from_ne_bytes);
    let (sec, nsec) = (word(0)?, word(8)?);
    (sec >= 0 && (0..NSEC_PER_SEC.cast_signed()).contains(&nsec))
        .then(|| i128::from(sec) * i128::from(NSEC_PER_SEC) + i128::from(nsec))
}

fn timespec(nanos: i128) -> [u8; 16] {
    let second = i128::from(NSEC_PER_SEC);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&((nanos / second) as i64).to_ne_bytes());
    bytes[8..].copy_from_slice(&((nanos % second) as i64).to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_nanoseconds_and_back() {
        for nanos in [0, 1, 999_999_999, 1_000_000_000, TIME_MAX] {
            assert_eq!(moment(&timespec(nanos)), Some(nanos));
        }
        let words = |words: [i64; 2]| words.map(i64::to_ne_bytes).concat();
        for wrong in [[-1, 0], [0, -1], [0, 1_000_000_000]] {
            assert_eq!(moment(&words(wrong)), None, "{wrong:?}");
        }
    }
}
