//! `proc/<pid>/status` (`proc_pid_status` in `fs/proc/array.c`).

use std::fmt::Write as _;

use crate::errno::Result;
use crate::kernel::file::FilesStruct;
use crate::kernel::pid::Pid;
use crate::kernel::signal::sigmask;
use crate::kernel::sigpending::SigPending;
use crate::kernel::task::TaskState;
use crate::kernel::{Kernel, TaskId};
use crate::tree::look::Look;
use crate::tree::proc::pid::{image, limits};

/// More bytes than most of these files have.
const USUAL_LEN: usize = 2048;

pub(super) fn render(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(USUAL_LEN);
    write_name(&mut out, look.k.name_of(task));
    let mut text = String::with_capacity(USUAL_LEN);
    write_identity(&mut text, look, task);
    write_ids(&mut text, look, task);
    write_levels(&mut text, look, task);
    if look.k.mm_of(task).is_some() {
        write_memory(&mut text);
    }
    write_signals(&mut text, look.k, task);
    write_capabilities(&mut text, look.k, task);
    write_machine(&mut text);
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

/// Newline and backslash are escaped here, unlike in `comm` and `stat` (`proc_task_name`).
fn write_name(out: &mut Vec<u8>, comm: &[u8]) {
    out.extend_from_slice(b"Name:\t");
    for &byte in comm {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ => out.push(byte),
        }
    }
    out.push(b'\n');
}

fn write_identity(text: &mut String, look: &Look<'_>, id: TaskId) {
    let k = look.k;
    let task = &k.tasks[id];
    if let Some(fs) = k.fs_of(id) {
        let _ = writeln!(text, "Umask:\t{:04o}", fs.umask);
    }
    let _ = writeln!(text, "State:\t{}", state_of(k, id));
    let _ = writeln!(text, "Tgid:\t{}\nNgid:\t0\nPid:\t{}", look.tgid(id), look.nr(id));
    let tracer = task.tracer.map_or(0, |tracer| look.nr(tracer));
    let _ = writeln!(text, "PPid:\t{}\nTracerPid:\t{tracer}", k.task_ppid_nr_ns(id, look.pid_ns));
}

/// `S (sleeping)`; all tasks that live and are not stopped sleep.
pub(in crate::tree) fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Running | TaskState::Zapping => "S (sleeping)",
        TaskState::Stopped => "T (stopped)",
        TaskState::Zombie => "Z (zombie)",
    }
}

/// As [`state`]; of kernel threads some are idle.
pub(super) fn state_of(k: &Kernel, task: TaskId) -> &'static str {
    let is_idle = k.kthreads.table.get(&task).is_some_and(|kthread| kthread.idle);
    if is_idle { "I (idle)" } else { state(k.tasks[task].state) }
}

fn write_ids(text: &mut String, look: &Look<'_>, task: TaskId) {
    let cred = look.k.cred_of(task);
    let ids = &cred.ids;
    let uids = [ids.uid, ids.euid, ids.suid, ids.fsuid].map(|id| look.uid(id).to_string());
    let gids = [ids.gid, ids.egid, ids.sgid, ids.fsgid].map(|id| look.gid(id).to_string());
    let _ = writeln!(text, "Uid:\t{}\nGid:\t{}", uids.join("\t"), gids.join("\t"));
    let files = look.k.files_of(task);
    let _ = write!(text, "FDSize:\t{}\nGroups:\t", files.map_or(0, fd_size));
    if cred.groups.is_empty() {
        text.push(' ');
    }
    for &group in cred.groups.iter() {
        let _ = write!(text, "{} ", look.gid(group));
    }
    text.push('\n');
}

/// Slots of the descriptor table: 64, doubled as needed (`alloc_fdtable`).
fn fd_size(files: &FilesStruct) -> u32 {
    let used = files.fds.highest().map_or(0, |highest| highest.unsigned_abs() + 1);
    used.next_power_of_two().max(64)
}

/// The numbers of process, thread, group and session from the namespace of the view inwards, 0 where it has none.
fn write_levels(text: &mut String, look: &Look<'_>, task: TaskId) {
    let k = look.k;
    let signal = k.signal_of(task);
    let pids = [k.pid_of(k.leader_of(task)), k.pid_of(task), signal.pgrp.id(), signal.session.id()];
    let own = &k.pids[k.pid_of(task)];
    for (name, pid) in ["NStgid", "NSpid", "NSpgid", "NSsid"].into_iter().zip(pids) {
        let _ = writeln!(text, "{name}:{}", levels(&k.pids[pid], own, look));
    }
    let _ = writeln!(text, "Kthread:\t{}", u8::from(k.is_kthread(task)));
}

fn levels(pid: &Pid, own: &Pid, look: &Look<'_>) -> String {
    let inwards = own.numbers().skip_while(|(ns, _)| *ns != look.pid_ns);
    inwards.map(|(ns, _)| format!("\t{}", pid.nr_in(ns).unwrap_or(0))).collect()
}

fn write_memory(text: &mut String) {
    let sizes = [
        ("VmPeak", image::VM_SIZE),
        ("VmSize", image::VM_SIZE),
        ("VmLck", 0),
        ("VmPin", 0),
        ("VmHWM", image::VM_RSS),
        ("VmRSS", image::VM_RSS),
        ("RssAnon", image::RSS_ANON),
        ("RssFile", image::RSS_FILE),
        ("RssShmem", 0),
        ("VmData", image::VM_DATA),
        ("VmStk", image::VM_STACK),
        ("VmExe", image::VM_EXE),
        ("VmLib", image::VM_LIB),
        ("VmPTE", image::VM_PTE),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ];
    for (name, kib) in sizes {
        let _ = writeln!(text, "{name}:\t{kib:>8} kB");
    }
    text.push_str("CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\n");
}

fn write_signals(text: &mut String, k: &Kernel, id: TaskId) {
    let task = &k.tasks[id];
    let signal = k.signal_of(id);
    let sighand = &k.sighands[task.sighand.id()];
    let queued = task.pending.len() + signal.shared_pending.len();
    let _ = writeln!(text, "Threads:\t{}\nSigQ:\t{queued}/{}", signal.nr_threads, limits::sigpending(k.threads_max));
    let masks = [
        ("SigPnd", pending_mask(&task.pending)),
        ("ShdPnd", pending_mask(&signal.shared_pending)),
        ("SigBlk", task.blocked),
        ("SigIgn", sighand.ignored),
        ("SigCgt", sighand.handled),
    ];
    for (name, mask) in masks {
        let _ = writeln!(text, "{name}:\t{mask:016x}");
    }
}

/// The signals that wait as a mask.
pub(super) fn pending_mask(pending: &SigPending) -> u64 {
    pending.numbers().fold(0, |mask, signo| mask | sigmask(signo))
}

fn write_capabilities(text: &mut String, k: &Kernel, task: TaskId) {
    let cred = k.cred_of(task);
    let sets = [
        ("CapInh", cred.inheritable),
        ("CapPrm", cred.permitted),
        ("CapEff", cred.effective),
        ("CapBnd", cred.bset),
        ("CapAmb", cred.ambient),
    ];
    for (name, set) in sets {
        let _ = writeln!(text, "{name}:\t{:016x}", set.bits());
    }
    let _ = writeln!(text, "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0", u8::from(k.tasks[task].no_new_privs));
}

/// What depends on the machine alone: two processors, one memory node.
fn write_machine(text: &mut String) {
    let mems = ["00000000"; 31].join(",");
    let _ = write!(
        text,
        "Speculation_Store_Bypass:\tvulnerable\n\
         SpeculationIndirectBranch:\talways enabled\n\
         Cpus_allowed:\t3\n\
         Cpus_allowed_list:\t0-1\n\
         Mems_allowed:\t{mems},00000001\n\
         Mems_allowed_list:\t0\n\
         voluntary_ctxt_switches:\t0\n\
         nonvoluntary_ctxt_switches:\t0\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::node::{ITSELF, Node, TaskDir, View};
    use crate::tree::Viewer;

    /// What Linux 6.18 shows of a process, in order.
    const LINES: &str = "Name Umask State Tgid Ngid Pid PPid TracerPid Uid Gid FDSize Groups NStgid NSpid NSpgid NSsid \
        Kthread VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap \
        HugetlbPages CoreDumping THP_enabled untag_mask Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm \
        CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters Speculation_Store_Bypass SpeculationIndirectBranch \
        Cpus_allowed Cpus_allowed_list Mems_allowed Mems_allowed_list voluntary_ctxt_switches \
        nonvoluntary_ctxt_switches";

    #[test]
    fn lines_are_those_of_linux() {
        let k = Kernel::boot();
        let node = Node { view: View::Caller, place: TaskDir::process(k.init.task).entry(ITSELF) };
        let look = Look::now(&k, Viewer(k.init.task), node).unwrap();
        let text = String::from_utf8(render(&look, k.init.task).unwrap()).unwrap();
        let names: Vec<&str> = text.lines().map(|line| line.split_once(":\t").unwrap().0).collect();
        assert_eq!(names, LINES.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn a_name_is_escaped() {
        let mut out = Vec::new();
        write_name(&mut out, b"a\\b\nc d");
        assert_eq!(out, b"Name:\ta\\\\b\\nc d\n");
    }

    #[test]
    fn memory_lines_stand_in_a_column() {
        let mut text = String::new();
        write_memory(&mut text);
        assert!(text.starts_with("VmPeak:\t    2920 kB\nVmSize:\t    2920 kB\nVmLck:\t       0 kB\n"));
    }
}
