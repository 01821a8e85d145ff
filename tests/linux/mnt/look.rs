//! What cases read of mounts and files, on both sides.

use nslab::kernel::node::{Place, View};
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::{AnyCall, LabCall, Return, Stop, Syscall, dispatch};
use nslab::tree;

use super::encode::plain_path;
use super::observe::observe;
use crate::pair::{LabResult, Pair, Trouble};

/// Files whose text the comparison of all mounts covers, by their names below `proc/PID`.
const OBSERVED: [&str; 5] = ["mountinfo", "mounts", "mountstats", "cwd", "root"];

/// A call that reads what this area is about.
pub fn is_about_files(call: &AnyCall) -> bool {
    match call {
        AnyCall::Lab(LabCall::Read { path }) | AnyCall::Linux(Syscall::Readlink { path }) => {
            is_observed(path) || is_tree_path(path)
        }
        AnyCall::Linux(Syscall::Stat { path } | Syscall::Lstat { path }) | AnyCall::Lab(LabCall::Ls { path }) => {
            is_tree_path(path)
        }
        _ => false,
    }
}

fn is_tree_path(path: &[u8]) -> bool {
    path.starts_with(b"/") || path.starts_with(b".")
}

fn is_observed(path: &[u8]) -> bool {
    let text = String::from_utf8_lossy(path);
    text.contains("proc/") && OBSERVED.contains(&text.rsplit('/').next().unwrap_or_default())
}

/// Makes such a call on the lab and compares with what a worker reads, or with all there is.
///
/// # Errors
/// The two differ, or the text is the lab's own.
pub fn look(pair: &mut Pair, task: TaskId, call: &AnyCall) -> Result<LabResult, Trouble> {
    let (AnyCall::Lab(LabCall::Read { path } | LabCall::Ls { path })
    | AnyCall::Linux(Syscall::Readlink { path } | Syscall::Stat { path } | Syscall::Lstat { path })) = call
    else {
        return Err(Trouble::LabOnly);
    };
    if is_observed(path) {
        let lab = dispatch(&mut pair.k, task, call);
        return match lab {
            Ok(_) => observe(pair, None).map(|()| lab).map_err(Trouble::Differs),
            Err(_) => Err(Trouble::LabOnly),
        };
    }
    if !is_plain(&pair.k, task, call) {
        return Err(Trouble::LabOnly);
    }
    let real_path = pair.machine.in_context(&pair.k, task, |c| plain_path(c, path)).ok_or(Trouble::LabOnly)?;
    let lab = dispatch(&mut pair.k, task, call);
    let nr = pair.k.task_nr(task);
    let there = match call {
        AnyCall::Lab(LabCall::Read { .. }) => pair.machine.look(nr, &real_path, false),
        AnyCall::Linux(Syscall::Readlink { .. }) => pair.machine.look(nr, &real_path, true),
        AnyCall::Linux(Syscall::Stat { .. }) => pair.machine.stat(nr, &real_path, true),
        AnyCall::Linux(Syscall::Lstat { .. }) => pair.machine.stat(nr, &real_path, false),
        _ => pair.machine.list(nr, &real_path).map(|mut names| {
            names.sort_unstable();
            names.join("\n")
        }),
    };
    let answer = lab.as_ref().map(|value| comparable(call, value)).map_err(Stop::errno);
    if answer == there {
        return Ok(lab);
    }
    Err(Trouble::Differs(format!("{}: lab {answer:?}, machine {there:?}", String::from_utf8_lossy(path))))
}

/// The numbers of files are each kernel's own.
fn comparable(call: &AnyCall, value: &Return) -> String {
    let text = value.to_string();
    match call {
        AnyCall::Linux(Syscall::Stat { .. } | Syscall::Lstat { .. }) => {
            text.rsplit_once(' ').map_or(text.clone(), |(before, _)| before.to_owned())
        }
        _ => text,
    }
}

/// A file of a plain file system or of a namespace, or none at all.
fn is_plain(k: &Kernel, task: TaskId, call: &AnyCall) -> bool {
    let (path, follow) = match call {
        AnyCall::Linux(Syscall::Stat { path }) => (path, true),
        AnyCall::Linux(Syscall::Lstat { path } | Syscall::Readlink { path }) => (path, false),
        AnyCall::Lab(LabCall::Read { path } | LabCall::Ls { path }) => (path, true),
        _ => return false,
    };
    let node = tree::resolve(k, task, View::PidNs(k.task_active_pid_ns(task)), path, follow);
    node.map_or(true, |node| matches!(node.place, Place::Dentry(_) | Place::NsFile(_)))
}
