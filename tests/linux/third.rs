//! The third way: the same random programs once more, but the machine is a lab. All of this runs as a program of one, under
//! `nslab exec`: the workers' calls go through registers and memory to the lab, and what they and the controller look at are
//! the lab's files. What a program asks is then compared with what the language asks, and that with Linux.

use std::process::Command;

use nslab::fuse::open_device;
use nslab::kernel::file::FileKind;
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::lab::Target;
use nslab::syscall::{AnyCall, LabCall, PidArg, Syscall};

use crate::options::Options;

/// Whether programs of an area run so: of `core` always, of two others where they are asked for by name. The rest is about file
/// trees and packets, which programs of a lab have of the host.
pub fn has(area: &str, is_any: bool) -> bool {
    area == "core" || !is_any && matches!(area, "ipc" | "cgroup")
}

/// Lines of `status` that are those of the real process, which the lab does not know.
const OF_PROCESS: [&str; 3] = ["SigBlk", "SigPnd", "ShdPnd"];

pub fn is_of_process(line: &str) -> bool {
    OF_PROCESS.contains(&line)
}

/// Calls that a program of a lab cannot make as Linux has them: a pidfd of a zombie, whose real process is gone, or of a
/// process out of sight; a write of nothing, which the real kernel does not pass on to a file system; a restart.
pub fn is_impossible(k: &Kernel, me: TaskId, call: &AnyCall) -> bool {
    let is_zombie = |pid: PidArg| k.find_task(pid.number()).is_some_and(|task| k.tasks[task].is_dead());
    let is_hidden = |fd: i32| {
        let file = k.file_at(me, fd).map(|file| &k.open_files[file].kind);
        matches!(file, Some(FileKind::Pidfd { pid, .. }) if k.pids[pid.id()].nr_in(k.task_active_pid_ns(me)).is_none())
    };
    match call {
        AnyCall::Linux(Syscall::PidfdOpen { pid, .. }) => is_zombie(*pid),
        AnyCall::Lab(LabCall::Setns { target: Target::Pidfd(pid), .. }) => is_zombie(*pid),
        AnyCall::Lab(LabCall::Write { bytes, .. }) => bytes.is_empty(),
        AnyCall::Linux(Syscall::Setns { fd, .. } | Syscall::Ioctl { fd, .. } | Syscall::PidfdSendSignal { fd, .. }) => {
            is_hidden(*fd)
        }
        AnyCall::Linux(Syscall::Reboot { .. }) => true,
        _ => false,
    }
}

/// Runs programs of these areas once more as programs of a lab.
///
/// # Errors
/// Programs differ there, or cannot be run.
pub fn run(options: &Options) -> Result<(), String> {
    if let Err(error) = open_device() {
        println!("linux: in a lab: skipped: {error}");
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|error| format!("own program: {error}"))?;
    let mut nslab = Command::new(env!("CARGO_BIN_EXE_nslab"));
    nslab.args(["exec", "--"]).arg(own).env("NSLAB_LINUX_IN_LAB", "1").env("NSLAB_LINUX_RUNS", &options.lab_runs);
    let status = nslab.status().map_err(|error| format!("nslab exec: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("linux: in a lab: {status}")) }
}
