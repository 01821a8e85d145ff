//! What tasks of case files read, on both sides: files, links, attributes and directories of `proc`, `cgroup` and `mqueue`.

use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::{AnyCall, LabCall, Syscall, dispatch};

use crate::cgroup;
use crate::net::view::masked_file;
use crate::observe::status_lines;
use crate::pair::{LabResult, Pair, Trouble};

/// What of an answer is compared.
#[derive(Clone, Copy)]
enum How {
    /// All of it.
    Exact,
    /// That there is one: the numbers of namespaces are compared with all other links of the task when it is looked at.
    Link,
    /// All but digits: numbers are each kernel's own.
    Digits,
    /// All but the last word, which is the number of the file.
    Attributes,
    /// The lines of `proc/PID/status`.
    Status,
    /// The same, of numbers only the task's own in the innermost namespace: the machine's `proc` shows it to the initial
    /// one.
    InnerStatus,
    /// The place in the tree of cgroups.
    Cgroup,
    /// Numbers of tasks, in any order, as the reader's pid namespace has them.
    Tasks,
    /// Numbers of tasks, parts of a path or words, as `proc` has them: the machine's is of the initial pid namespace.
    ProcNumbers,
    Masked(fn(&str) -> String),
}

/// Files whose whole text is compared, by the last part of the path.
const EXACT: [&str; 7] =
    ["uid_map", "gid_map", "projid_map", "setgroups", "oom_score", "oom_score_adj", "coredump_filter"];
/// Lines of `status` that have no number of the reader's namespace in the machine's `proc`, or need not have one.
const OUTER: [&str; 6] = ["Tgid", "Pid", "PPid", "TracerPid", "NSpgid", "NSsid"];
/// Sysctls of the reader's pid namespace.
const PID_SYSCTLS: [&str; 2] = ["proc/sys/kernel/pid_max", "proc/sys/kernel/ns_last_pid"];
const UTS_SYSCTLS: [&str; 2] = ["proc/sys/kernel/hostname", "proc/sys/kernel/domainname"];

/// `None`: it is not compared, as it is the host's, or one of those files that a lab has less to say in.
fn how(pair: &Pair, task: TaskId, call: &AnyCall, path: &str) -> Option<How> {
    let k = &pair.k;
    let in_initial = k.task_active_pid_ns(task) == k.init.pid_ns;
    let name = path.rsplit('/').next().unwrap_or_default();
    match call {
        AnyCall::Linux(Syscall::Stat { .. } | Syscall::Lstat { .. }) if path.contains("proc/sys/") => None,
        AnyCall::Linux(Syscall::Stat { .. } | Syscall::Lstat { .. }) => Some(How::Attributes),
        AnyCall::Lab(LabCall::Ls { .. }) if name == "ns" => Some(How::Exact),
        AnyCall::Lab(LabCall::Ls { .. }) if name == "task" => Some(How::ProcNumbers),
        AnyCall::Linux(Syscall::Readlink { .. }) if path.contains("/ns/") => Some(How::Link),
        AnyCall::Linux(Syscall::Readlink { .. }) if path.contains("/fd/") => Some(How::Digits),
        AnyCall::Linux(Syscall::Readlink { .. }) if name == "net" => Some(How::Exact),
        AnyCall::Linux(Syscall::Readlink { .. }) if ["proc/self", "proc/thread-self"].contains(&path) => {
            Some(How::ProcNumbers)
        }
        AnyCall::Lab(LabCall::Read { .. }) => match name {
            "status" => Some(if in_initial { How::Status } else { How::InnerStatus }),
            "cgroup" => Some(How::Cgroup),
            "children" => Some(How::ProcNumbers),
            _ if cgroup::is_list(name) => Some(How::Tasks),
            _ if PID_SYSCTLS.contains(&path) => (!in_initial).then_some(How::Exact),
            _ if EXACT.contains(&name) || UTS_SYSCTLS.contains(&path) => Some(How::Exact),
            _ if path.contains("proc/sys/net/") || path.contains("cgroup") => Some(How::Exact),
            _ if crate::ipc::observe::is_compared(k, task, path) => Some(How::Exact),
            _ => masked_file(path).map(How::Masked),
        },
        _ => None,
    }
}

impl How {
    /// What is compared of a text; `map` gives the numbers that the initial pid namespace of the lab has for tasks.
    fn seen(self, text: &str, map: &dyn Fn(i32) -> Option<i32>) -> String {
        match self {
            How::Exact => text.to_owned(),
            How::Link => String::new(),
            How::Digits => text.chars().filter(|c| !c.is_ascii_digit()).collect(),
            How::Attributes => text.rsplit_once(' ').map_or(String::new(), |(before, _)| before.to_owned()),
            How::Status => {
                let mut lines = status_lines(text, map);
                // Signals that nobody will take any more are not part of the lab.
                let is_dead = text.contains("State:\tZ");
                lines.retain(|(name, _)| !is_dead || !name.ends_with("Pnd"));
                format!("{lines:?}")
            }
            How::InnerStatus => {
                let mut lines = status_lines(text, Some);
                lines.retain(|(name, _)| !OUTER.contains(name) && !name.ends_with("Pnd"));
                for (_, value) in lines.iter_mut().filter(|(name, _)| name.starts_with("NS")) {
                    *value = value.rsplit('\t').next().unwrap_or_default().to_owned();
                }
                format!("{lines:?}")
            }
            How::Cgroup => cgroup::place(text),
            How::Tasks => cgroup::numbers(text, map),
            How::ProcNumbers => {
                let number = |word: &str| match word.parse() {
                    Ok(nr) => map(nr).map_or_else(|| format!("unknown:{nr}"), |nr| nr.to_string()),
                    Err(_) => word.to_owned(),
                };
                let words = text.split(['/', ' ', '\n']).filter(|word| !word.is_empty());
                words.map(number).collect::<Vec<_>>().join(" ")
            }
            How::Masked(mask) => mask(text),
        }
    }
}

/// The number in the initial pid namespace of who has a number in the reader's.
fn initial_number(k: &Kernel, reader: TaskId, nr: i32) -> Option<i32> {
    k.find_pid_ns(nr, k.task_active_pid_ns(reader)).map(|pid| k.pids[pid].nr())
}

impl Pair {
    /// read, readlink, stat or ls by the task, on both sides.
    ///
    /// # Errors
    /// It is not compared, or the two differ.
    pub fn look(&mut self, task: TaskId, call: &AnyCall) -> Result<LabResult, Trouble> {
        let (AnyCall::Lab(LabCall::Read { path } | LabCall::Ls { path })
        | AnyCall::Linux(Syscall::Readlink { path } | Syscall::Stat { path } | Syscall::Lstat { path })) = call
        else {
            return Err(Trouble::LabOnly);
        };
        let text = String::from_utf8_lossy(path).into_owned();
        let how = how(self, task, call, &text).ok_or(Trouble::LabOnly)?;
        let own = self.k.task_active_pid_ns(task);
        let real_path = match cgroup::real_path(&self.k, task, path) {
            Some(path) => path.into_bytes(),
            None => self.machine.numbers.path(&self.k, own, path).ok_or(Trouble::LabOnly)?,
        };
        let lab = dispatch(&mut self.k, task, call);
        let nr = self.k.task_nr(task);
        let there = match call {
            AnyCall::Linux(Syscall::Stat { .. }) => self.machine.stat(nr, &real_path, true).map(|text| text + " 0"),
            AnyCall::Linux(Syscall::Lstat { .. }) => self.machine.stat(nr, &real_path, false).map(|text| text + " 0"),
            AnyCall::Lab(LabCall::Ls { .. }) => self.machine.list(nr, &real_path).map(|names| names.join("\n")),
            _ => self.machine.look(nr, &real_path, matches!(call, AnyCall::Linux(Syscall::Readlink { .. }))),
        };
        let there = there.map(|there| crate::ipc::observe::in_lab_terms(self, task, &text, there));
        let of_lab = |nr| if matches!(how, How::ProcNumbers) { initial_number(&self.k, task, nr) } else { Some(nr) };
        // A worker in a pid namespace of its own reads its numbers in lists of cgroups.
        let is_inner = matches!(how, How::Tasks) && own != self.k.init.pid_ns;
        let of_machine = |nr| if is_inner { Some(nr) } else { self.lab_number(nr) };
        let same = match (&lab, &there) {
            (Err(lab), Err(there)) => lab.errno() == *there,
            (Ok(lab), Ok(there)) => how.seen(&lab.to_string(), &of_lab) == how.seen(there, &of_machine),
            _ => false,
        };
        if same {
            Ok(lab)
        } else {
            Err(Trouble::Differs(format!("{text}: lab {:?}, machine {there:?}", lab.map(|value| value.to_string()))))
        }
    }
}
