//! The files of `proc` about the whole machine. The lab has two idle processors and 4 GiB of memory nobody uses.

use std::fmt::Write as _;

use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::TaskId;
use crate::kernel::ns::Slot;
use crate::kernel::ns::time::{BOOT_TIME, NSEC_PER_SEC, Offset};
use crate::tree::look::Look;

/// Nanoseconds of a clock tick (`USER_HZ` is 100).
const NANOS_PER_TICK: u64 = NSEC_PER_SEC / 100;
const CPUS: u64 = 2;

/// `proc/self`: the reader's process.
///
/// # Errors
/// ENOENT: it has no number in this view.
pub(in crate::tree) fn self_link(look: &Look<'_>) -> Result<String> {
    match look.tgid(look.reader) {
        0 => bail!(ENOENT, "the reader has no number in the pid namespace of this view"),
        tgid => Ok(tgid.to_string()),
    }
}

/// `proc/thread-self`: the reading thread.
///
/// # Errors
/// As [`self_link`].
pub(in crate::tree) fn thread_self_link(look: &Look<'_>) -> Result<String> {
    Ok(format!("{}/task/{}", self_link(look)?, look.nr(look.reader)))
}

pub(in crate::tree) fn cmdline(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"root=/dev/vda rw\n".to_vec())
}

pub(in crate::tree) fn cpuinfo(_: &Look<'_>) -> Result<Vec<u8>> {
    let mut text = String::new();
    for cpu in 0..CPUS {
        let _ = write!(
            text,
            "processor\t: {cpu}\nvendor_id\t: nslab\ncpu family\t: 6\nmodel\t\t: 0\nmodel name\t: nslab simulated CPU\n\
             cpu MHz\t\t: 1000.000\nphysical id\t: 0\nsiblings\t: {CPUS}\ncore id\t\t: {cpu}\ncpu cores\t: {CPUS}\n\n"
        );
    }
    Ok(text.into_bytes())
}

pub(in crate::tree) fn filesystems(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\n\text4\nnodev\tmqueue\n".to_vec())
}

/// The last field is the last number given out in the reader's own pid namespace, whatever the view
/// (`loadavg_proc_show`).
pub(in crate::tree) fn loadavg(look: &Look<'_>) -> Result<Vec<u8>> {
    let k = look.k;
    let last_pid = k.namespaces[k.task_active_pid_ns(look.reader)].pid().last_pid();
    Ok(format!("0.00 0.00 0.00 1/{} {last_pid}\n", k.tasks.len()).into_bytes())
}

pub(in crate::tree) fn meminfo(_: &Look<'_>) -> Result<Vec<u8>> {
    const LINES: [(&str, u64); 20] = [
        ("MemTotal", 4_194_304),
        ("MemFree", 3_932_160),
        ("MemAvailable", 3_997_696),
        ("Buffers", 1_024),
        ("Cached", 131_072),
        ("SwapCached", 0),
        ("Active", 65_536),
        ("Inactive", 65_536),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", 16_384),
        ("Mapped", 8_192),
        ("Shmem", 4_096),
        ("Slab", 32_768),
        ("SReclaimable", 16_384),
        ("SUnreclaim", 16_384),
    ];
    let mut text = String::new();
    for (name, kib) in LINES {
        let _ = writeln!(text, "{:<15} {kib:>8} kB", format!("{name}:"));
    }
    Ok(text.into_bytes())
}

/// The processors' times are all idle; `btime` is the boot time by the reader's clock (`show_stat`).
pub(in crate::tree) fn stat(look: &Look<'_>) -> Result<Vec<u8>> {
    let idle = look.k.clock / NANOS_PER_TICK;
    let mut text = format!("cpu  0 0 0 {} 0 0 0 0 0 0\n", idle * CPUS);
    for cpu in 0..CPUS {
        let _ = writeln!(text, "cpu{cpu} 0 0 0 {idle} 0 0 0 0 0 0");
    }
    let offset = boottime_offset(look.k, look.reader);
    let btime = BOOT_TIME.cast_signed() - offset.sec - i64::from(offset.nsec > 0);
    let init_pid_ns = look.k.namespaces[look.k.init.pid_ns].pid();
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {btime}\nprocesses {}\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        init_pid_ns.last_pid()
    );
    Ok(text.into_bytes())
}

/// Seconds since boot by the reader's clock, and the idle time of all processors, which no offset touches
/// (`uptime_proc_show`).
pub(in crate::tree) fn uptime(look: &Look<'_>) -> Result<Vec<u8>> {
    let up = hundredths(boottime(look.k, look.reader, look.k.clock));
    let idle = hundredths(look.k.clock * CPUS);
    Ok(format!("{up} {idle}\n").into_bytes())
}

/// A moment in nanoseconds since boot as the task's own boottime clock has it (`timens_add_boottime_ns`).
pub(super) fn boottime(k: &Kernel, task: TaskId, nanos: u64) -> u64 {
    boottime_offset(k, task).add_to(nanos)
}

/// The same in clock ticks.
pub(super) fn boottime_ticks(k: &Kernel, task: TaskId, nanos: u64) -> u64 {
    boottime(k, task, nanos) / NANOS_PER_TICK
}

/// A zombie that reads (by a view of its own) has the clock of the machine.
fn boottime_offset(k: &Kernel, task: TaskId) -> Offset {
    k.task_ns(task, Slot::Time).map(|ns| k.namespaces[ns].time().boottime).unwrap_or_default()
}

fn hundredths(nanos: u64) -> String {
    format!("{}.{:02}", nanos / NSEC_PER_SEC, nanos % NSEC_PER_SEC / NANOS_PER_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_two_digits_of_fraction() {
        assert_eq!(hundredths(0), "0.00");
        assert_eq!(hundredths(12_345_678_901), "12.34");
    }
}
