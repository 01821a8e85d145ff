//! Clocks of the two sides: the lab's stands still, the machine's is compared by what a time namespace adds to it.

use nslab::kernel::TaskId;
use nslab::kernel::ns::time::NSEC_PER_SEC;

use super::observe::texts;
use crate::encode::Context;
use crate::observe::real_text;
use crate::pair::Pair;
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
        let ns = c.k.nsproxy_of(c.me)?.time_ns();
        let time = &c.k.namespaces[ns];
        let (offset, lab) = match clock {
            0 | 5 | 11 => (None, c.k.real_seconds() * NSEC_PER_SEC + c.k.clock.now() % NSEC_PER_SEC),
            1 | 4 | 6 => (Some(time.monotonic), time.monotonic.add_to(c.k.clock.now())),
            7 => (Some(time.boottime), time.boottime.add_to(c.k.clock.now())),
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

/// Clock ticks of `proc`, nanoseconds.
const TICK: i128 = 10_000_000;
const BOOTTIME: i32 = 7;

/// What a reader's time namespace adds to the uptime, takes from the boot time and adds to its own start time, each by
/// comparison with what the initial time namespace sees. Ticks and seconds are rounded, hence one more or less.
pub fn compare_files(pair: &mut Pair, reader: TaskId) -> Result<(), String> {
    let before = now(BOOTTIME) / TICK;
    let (lab, machine) = texts(pair, reader, "/proc/uptime");
    let after = now(BOOTTIME) / TICK;
    if lab.is_err() || machine.is_err() {
        return if lab == machine { Ok(()) } else { Err(format!("/proc/uptime: lab {lab:?}, machine {machine:?}")) };
    }
    let ticks = |text: &str| text.split(' ').next()?.replace('.', "").parse::<i128>().ok();
    let added =
        |text: Result<String, _>, plain: i128| text.ok().and_then(|text| ticks(&text)).map(|ticks| ticks - plain);
    let lab_adds = added(lab, i128::from(pair.k.clock.now()) / TICK).ok_or("the lab's uptime is no number")?;
    let machine_adds = added(machine, 0).ok_or("the machine's uptime is no number")? - lab_adds;
    if !(before - 1..=after + 1).contains(&machine_adds) {
        return Err(format!("/proc/uptime: the lab adds {lab_adds} ticks, the machine {} more", machine_adds - before));
    }
    let init = pair.k.init.task;
    let nr = pair.k.task_nr(reader);
    let lab_stat = format!("/proc/{nr}/stat");
    let real = pair.machine.numbers.real(nr).ok_or("a running task has a real number")?;
    let start = |text: &str| text.rsplit_once(')')?.1.split(' ').nth(START_TIME)?.parse::<i128>().ok();
    let boot = |text: &str| text.lines().find_map(|line| line.strip_prefix("btime "))?.parse::<i128>().ok();
    let lab_of = |pair: &mut Pair, task, path: &str| crate::ipc::observe::lab_reads(pair, task, path);
    let machine_of = |pair: &Pair, path: &str| pair.machine.look(nr, path.as_bytes(), false).unwrap_or_default();
    let (lab_own, lab_plain) = (lab_of(pair, reader, &lab_stat), lab_of(pair, init, &lab_stat));
    let real_stat = format!("/proc/{real}/stat");
    let plain = real_text(real, "stat").unwrap_or_default();
    compare("start time", [start(&lab_own), start(&lab_plain), start(&machine_of(pair, &real_stat)), start(&plain)])?;
    let (lab_own, lab_plain) = (lab_of(pair, reader, "/proc/stat"), lab_of(pair, init, "/proc/stat"));
    let plain = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    compare("btime", [boot(&lab_own), boot(&lab_plain), boot(&machine_of(pair, "/proc/stat")), boot(&plain)])
}

/// The place of the start time in `stat`, counted behind the name.
const START_TIME: usize = 20;

/// Two numbers that differ by as much on the lab as on the machine.
fn compare(what: &str, numbers: [Option<i128>; 4]) -> Result<(), String> {
    let [Some(lab), Some(lab_plain), Some(machine), Some(machine_plain)] = numbers else {
        return Err(format!("{what}: not a number: {numbers:?}"));
    };
    let (lab_adds, machine_adds) = (lab - lab_plain, machine - machine_plain);
    if (lab_adds - machine_adds).abs() <= 1 {
        Ok(())
    } else {
        Err(format!("{what}: the lab adds {lab_adds}, the machine {machine_adds}"))
    }
}
