//! Which calls of whom a fault is about.

use std::fmt;

use crate::abi::{Call, Translate, Treatment};
use crate::control::lex::quote;
use crate::errno::Result;
use crate::kernel::task::Comm;
use crate::kernel::{Kernel, TaskId};
use crate::syscall::Syscall;
use crate::{bail, err};

/// A call, and the tasks whose calls are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallsOf {
    /// As [`name_of`] has it.
    pub(super) call: &'static str,
    /// A process, or one thread, by its number in the initial pid namespace.
    pid: Option<i32>,
    /// Names are cut as those of tasks are (`TASK_COMM_LEN`).
    comm: Option<Comm>,
}

/// Calls that the lab knows by one name, whichever of them a program makes.
const ALIASES: [(&str, &[&str]); 17] = [
    ("chown", &["lchown", "fchownat"]),
    ("clone", &["fork", "vfork", "clone3"]),
    ("exec", &["execve", "execveat"]),
    ("mkdir", &["mkdirat"]),
    ("mq_receive", &["mq_timedreceive"]),
    ("mq_send", &["mq_timedsend"]),
    ("open", &["openat", "openat2", "creat"]),
    ("prlimit", &["prlimit64", "getrlimit", "setrlimit"]),
    ("readlink", &["readlinkat"]),
    ("rename", &["renameat", "renameat2"]),
    ("semop", &["semtimedop"]),
    ("sigaction", &["rt_sigaction"]),
    ("stat", &["newfstatat", "statx"]),
    ("symlink", &["symlinkat"]),
    ("umount", &["umount2"]),
    ("unlink", &["unlinkat"]),
    ("wait", &["wait4"]),
];

/// Calls that nobody returns from.
const FINAL: [&str; 2] = ["exit", "exit_group"];

/// The name by which faults know a call of Linux's, if the lab hears of it: control files make it, or it stops in programs.
pub(super) fn name_of(call: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(_, others)| others.contains(&call)).map(|(name, _)| *name);
    let known = Syscall::NAMES.iter().copied().find(|name| *name == call);
    // Of some calls the lab hears only in a few programs: those that read signals, or are in a time namespace.
    let stops = |found: &&Call| match found.treatment() {
        Treatment::Passed | Treatment::Refused { .. } => false,
        Treatment::Translated(translate) => !matches!(translate, Translate::Signals | Translate::Clock(_)),
        Treatment::Emulated(_) | Treatment::Rewritten(_) => true,
    };
    let of_programs = || Call::ALL.iter().filter(stops).map(|found| found.name()).find(|name| *name == call);
    alias.or(known).or_else(of_programs).filter(|name| !FINAL.contains(name))
}

impl CallsOf {
    pub(super) fn new(call: &'static str) -> CallsOf {
        CallsOf { call, pid: None, comm: None }
    }

    /// Takes `pid=N` or `comm=NAME`; whether it was one of them.
    ///
    /// # Errors
    /// EINVAL: no number of a task, or no name.
    pub(super) fn take(&mut self, word: &str) -> Result<bool> {
        match word.split_once('=') {
            Some(("pid", number)) => match number.parse() {
                Ok(pid) if pid > 0 => self.pid = Some(pid),
                _ => bail!(EINVAL, "pid= wants the number of a task, not {}", quote(number.as_bytes())),
            },
            Some(("comm", "")) => bail!(EINVAL, "comm= wants the name of a program"),
            Some(("comm", name)) => self.comm = Some(Comm::new(name.as_bytes())),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether it is about all tasks.
    pub(super) fn is_about_all(&self) -> bool {
        self.pid.is_none() && self.comm.is_none()
    }

    /// Whether a call of a task is meant.
    pub(super) fn is_meant(&self, k: &Kernel, task: TaskId, call: &str) -> bool {
        let is_own = |pid: i32| [task, k.leader_of(task)].into_iter().any(|task| k.task_nr(task) == pid);
        let has_name = |comm: &Comm| k.tasks[task].comm == *comm;
        self.call == call && self.pid.is_none_or(is_own) && self.comm.as_ref().is_none_or(has_name)
    }
}

impl fmt::Display for CallsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        self.pid.map_or(Ok(()), |pid| write!(f, " pid={pid}"))?;
        self.comm.as_ref().map_or(Ok(()), |comm| write!(f, " comm={}", String::from_utf8_lossy(comm)))
    }
}

/// Says that nobody makes such a call.
pub(super) fn unknown(call: &str) -> crate::errno::Error {
    err!(EINVAL, "{} is no call that the lab hears of; usage: {}", quote(call.as_bytes()), super::fault::USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alias_is_a_call_of_programs_and_stands_for_one_of_the_lab() {
        for (name, others) in ALIASES {
            assert!(Syscall::NAMES.contains(&name), "{name}");
            for other in others {
                let call = Call::ALL.iter().find(|call| call.name() == *other).unwrap_or_else(|| panic!("{other}"));
                assert!(!matches!(call.treatment(), Treatment::Passed | Treatment::Refused { .. }), "{other}");
                assert_eq!(name_of(other), Some(name));
            }
        }
    }

    /// What control files and programs both make goes by one name.
    #[test]
    fn a_call_of_the_lab_that_programs_have_under_another_name_has_an_alias() {
        let of_programs = |name: &str| Call::ALL.iter().any(|call| call.name() == name);
        let others: Vec<_> = Syscall::NAMES
            .iter()
            .filter(|name| !of_programs(name) && !ALIASES.iter().any(|(alias, _)| alias == *name))
            .collect();
        assert_eq!(others, [&"sigprocmask", &"sigwaitinfo"]);
    }

    #[test]
    fn what_nobody_returns_from_or_the_lab_never_hears_of_cannot_fail() {
        for name in ["exit", "exit_group", "write", "read", "mmap", "program", "frob"] {
            assert_eq!(name_of(name), None, "{name}");
        }
        assert_eq!(name_of("unshare"), Some("unshare"));
    }
}
