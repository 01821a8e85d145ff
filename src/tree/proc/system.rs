//! The files of `proc` about the whole machine. The lab has two idle processors and 4 GiB of memory nobody uses.

use std::fmt::Write as _;

use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::TaskId;
use crate::kernel::mount::sb::{FS_TYPES, FsType};
use crate::kernel::ns::time::{NSEC_PER_SEC, Offset};
use crate::kernel::nsproxy::NsProxy;
use crate::tree::look::Look;

/// Nanoseconds of a clock tick (`USER_HZ` is 100).
const NANOS_PER_TICK: u64 = NSEC_PER_SEC / 100;
/// Processors of the machine.
pub(super) const CPUS: u64 = 2;

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

/// The controllers, of which there are none (`proc_cgroupstats_show`).
pub(in crate::tree) fn cgroups(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_vec())
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
             stepping\t: 0\ncpu MHz\t\t: 1000.000\ncache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: {CPUS}\n\
             core id\t\t: {cpu}\ncpu cores\t: {CPUS}\napicid\t\t: {cpu}\ninitial apicid\t: {cpu}\nfpu\t\t: yes\n\
             fpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\nflags\t\t: fpu tsc msr cx8 cmov fxsr sse sse2 syscall nx \
             lm constant_tsc\nbugs\t\t:\nbogomips\t: 2000.00\nclflush size\t: 64\ncache_alignment\t: 64\n\
             address sizes\t: 48 bits physical, 48 bits virtual\npower management:\n\n"
        );
    }
    Ok(text.into_bytes())
}

/// The one disk, with the root file system, which nobody has read or written.
pub(in crate::tree) fn diskstats(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(format!(" 254       0 vda{}\n", " 0".repeat(17)).into_bytes())
}

/// As mount(2) knows them (`filesystems_proc_show`).
pub(in crate::tree) fn filesystems(_: &Look<'_>) -> Result<Vec<u8>> {
    let line = |fs: &FsType| format!("{}\t{}\n", if fs.on_device { "" } else { "nodev" }, fs.name);
    Ok(FS_TYPES.iter().map(line).collect::<String>().into_bytes())
}

pub(in crate::tree) fn partitions(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"major minor  #blocks  name\n\n 254        0    8388608 vda\n".to_vec())
}

pub(in crate::tree) fn swaps(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec())
}

/// The last field is the last number given out in the reader's own pid namespace, whatever the view
/// (`loadavg_proc_show`).
pub(in crate::tree) fn loadavg(look: &Look<'_>) -> Result<Vec<u8>> {
    let k = look.k;
    let last_pid = k.namespaces[k.task_active_pid_ns(look.reader)].last_pid();
    Ok(format!("0.00 0.00 0.00 1/{} {last_pid}\n", k.tasks.len()).into_bytes())
}

pub(in crate::tree) fn meminfo(_: &Look<'_>) -> Result<Vec<u8>> {
    const LINES: [(&str, u64); 33] = [
        ("MemTotal", 4_194_304),
        ("MemFree", 3_932_160),
        ("MemAvailable", 3_997_696),
        ("Buffers", 1_024),
        ("Cached", 131_072),
        ("SwapCached", 0),
        ("Active", 65_536),
        ("Inactive", 65_536),
        ("Active(anon)", 8_192),
        ("Inactive(anon)", 8_192),
        ("Active(file)", 57_344),
        ("Inactive(file)", 57_344),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", 16_384),
        ("Mapped", 8_192),
        ("Shmem", 4_096),
        ("KReclaimable", 16_384),
        ("Slab", 32_768),
        ("SReclaimable", 16_384),
        ("SUnreclaim", 16_384),
        ("KernelStack", 1_024),
        ("PageTables", 2_048),
        ("CommitLimit", 2_097_152),
        ("Committed_AS", 65_536),
        ("VmallocTotal", 34_359_738_367),
        ("VmallocUsed", 8_192),
        ("VmallocChunk", 0),
        ("Percpu", 1_024),
    ];
    let mut text = String::new();
    for (name, kib) in LINES {
        let _ = writeln!(text, "{:<15} {kib:>8} kB", format!("{name}:"));
    }
    Ok(text.into_bytes())
}

/// Counters of pages that agree with [`meminfo`]: nothing was ever read, written or swapped.
pub(in crate::tree) fn vmstat(_: &Look<'_>) -> Result<Vec<u8>> {
    const LINES: [(&str, u64); 13] = [
        ("nr_free_pages", 983_040),
        ("nr_inactive_anon", 2_048),
        ("nr_active_anon", 2_048),
        ("nr_inactive_file", 14_336),
        ("nr_active_file", 14_336),
        ("nr_dirty", 0),
        ("nr_writeback", 0),
        ("pgpgin", 0),
        ("pgpgout", 0),
        ("pswpin", 0),
        ("pswpout", 0),
        ("pgfault", 0),
        ("pgmajfault", 0),
    ];
    Ok(LINES.iter().map(|(name, count)| format!("{name} {count}\n")).collect::<String>().into_bytes())
}

/// Columns of the processors (`show_interrupts`, `show_softirqs`).
fn per_cpu(indent: usize, rows: &[(&str, &str)]) -> Vec<u8> {
    let mut text = " ".repeat(indent);
    let columns = |cell: &dyn Fn(u64) -> String| (0..CPUS).map(cell).collect::<String>();
    text.push_str(&columns(&|cpu| format!("{:<11}", format!("CPU{cpu}"))));
    text.push('\n');
    for (name, what) in rows {
        let _ = writeln!(text, "{name}:{}{what}", columns(&|_| format!(" {:>10}", 0)));
    }
    text.into_bytes()
}

/// Nothing interrupts the machine.
pub(in crate::tree) fn interrupts(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(per_cpu(11, &[("NMI", "   Non-maskable interrupts"), ("LOC", "   Local timer interrupts")]))
}

pub(in crate::tree) fn softirqs(_: &Look<'_>) -> Result<Vec<u8>> {
    const NAMES: [&str; 10] =
        ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];
    let names = NAMES.map(|name| format!("{name:>12}"));
    Ok(per_cpu(20, &names.each_ref().map(|name| (name.as_str(), ""))))
}

/// Nobody ever waits for a processor, memory or a disk (`psi_show`).
pub(in crate::tree) fn pressure(_: &Look<'_>) -> Result<Vec<u8>> {
    let line = |who: &str| format!("{who} avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    Ok((line("some") + &line("full")).into_bytes())
}

/// The header alone: no cache is modelled (`print_slabinfo_header`).
pub(in crate::tree) fn slabinfo(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : \
        tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
        .to_vec())
}

/// Packets that each processor has handled, a line each (`softnet_seq_show`).
pub(super) fn softnet_stat() -> Vec<u8> {
    let line = |cpu| format!("{}{cpu:08x} 00000000 00000000\n", "00000000 ".repeat(12));
    (0..CPUS).map(line).collect::<String>().into_bytes()
}

/// The processors' times are all idle; `btime` is the boot time by the reader's clock (`show_stat`).
pub(in crate::tree) fn stat(look: &Look<'_>) -> Result<Vec<u8>> {
    let idle = look.k.clock.now() / NANOS_PER_TICK;
    let mut text = format!("cpu  0 0 0 {} 0 0 0 0 0 0\n", idle * CPUS);
    for cpu in 0..CPUS {
        let _ = writeln!(text, "cpu{cpu} 0 0 0 {idle} 0 0 0 0 0 0");
    }
    let offset = boottime_offset(look.k, look.reader);
    let btime = look.k.machine.boot_time.cast_signed() - offset.sec - i64::from(offset.nsec > 0);
    let init_pid_ns = &look.k.namespaces[look.k.init.pid_ns];
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
    let up = hundredths(boottime(look.k, look.reader, look.k.clock.now()));
    let idle = hundredths(look.k.clock.now() * CPUS);
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
    k.nsproxy_of(task).map(NsProxy::time_ns).map(|ns| k.namespaces[ns].boottime).unwrap_or_default()
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
