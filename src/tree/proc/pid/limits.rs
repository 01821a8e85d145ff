//! `proc/<pid>/limits` (`proc_pid_limits`).

use std::fmt::Write as _;

use crate::errno::Result;
use crate::kernel::TaskId;
use crate::kernel::signal::Rlimit;
use crate::tree::look::Look;

const fn fixed(soft: u64, hard: u64) -> Rlimit {
    Rlimit { soft, hard }
}

pub(super) fn render(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let rlimits = &look.k.signal_of(task).rlimits;
    let pending = sigpending(look.k.threads_max);
    let unlimited = fixed(u64::MAX, u64::MAX);
    let zero = fixed(0, 0);
    let rows = [
        ("Max cpu time", unlimited, "seconds"),
        ("Max file size", unlimited, "bytes"),
        ("Max data size", unlimited, "bytes"),
        ("Max stack size", fixed(8 << 20, u64::MAX), "bytes"),
        ("Max core file size", fixed(0, u64::MAX), "bytes"),
        ("Max resident set", unlimited, "bytes"),
        ("Max processes", rlimits.nproc, "processes"),
        ("Max open files", rlimits.nofile, "files"),
        ("Max locked memory", fixed(8 << 20, 8 << 20), "bytes"),
        ("Max address space", unlimited, "bytes"),
        ("Max file locks", unlimited, "locks"),
        ("Max pending signals", fixed(pending, pending), "signals"),
        ("Max msgqueue size", rlimits.msgqueue, "bytes"),
        ("Max nice priority", zero, ""),
        ("Max realtime priority", zero, ""),
        ("Max realtime timeout", unlimited, "us"),
    ];
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (name, limit, unit) in rows {
        let _ = write!(text, "{name:<25} {:<20} {:<20} ", show(limit.soft), show(limit.hard));
        let _ = if unit.is_empty() { writeln!(text) } else { writeln!(text, "{unit:<10}") };
    }
    Ok(text.into_bytes())
}

/// RLIMIT_SIGPENDING, which nothing changes: half of what there may be of threads.
pub(super) fn sigpending(threads_max: u32) -> u64 {
    u64::from(threads_max) / 2
}

fn show(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}
