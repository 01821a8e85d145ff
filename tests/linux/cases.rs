//! Case files on the machine: a pair of lab and machine is a [`Lab`] whose answers are those both give.

use nslab::err;
use nslab::errno::{Errno, Error, Result};
use nslab::kernel::TaskId;
use nslab::script::{Call, Lab};
use nslab::syscall::{Return, Syscall, dispatch};

use crate::cgroup;
use crate::machine::SYS_RESOURCE;
use crate::mnt;
use crate::net::view::{Tcp, masked_file};
use crate::observe::status_lines;
use crate::pair::{Pair, Trouble};

/// The errno that stands for "the machine does otherwise" in the outcome of a case.
pub const DIFFERS: Errno = Errno::EREMOTEIO;

impl Lab for Pair {
    /// ENOSYS, so that the case counts as one that cannot run here, where a call has no counterpart.
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        let task = self.k.find_task(pid).ok_or_else(|| err!(ESRCH, "no task has the number {}", pid))?;
        if task == self.k.init.task {
            if matches!(call.syscall, Syscall::Exit { .. } | Syscall::ExitGroup { .. }) {
                return Err(lab_only(call));
            }
            self.is_init_dirty |=
                !matches!(call.syscall, Syscall::Wait { .. } | Syscall::Kill { .. } | Syscall::Read { .. });
        }
        let mut answer = match &call.syscall {
            look if self.is_sandboxed && mnt::look::is_about_files(look) => mnt::look::look(self, task, look),
            Syscall::Read { .. } | Syscall::Readlink { .. } => self.look(task, &call.syscall),
            Syscall::Capset { effective, permitted, inheritable } => {
                // Root of this pair never has it; "all but one" in a case means all but these two.
                let without = |set: u64| if set.count_ones() > 20 { set & !(1 << SYS_RESOURCE) } else { set };
                let [effective, permitted, inheritable] =
                    [effective, permitted, inheritable].map(|set| set.map(without));
                Pair::call(self, task, &Syscall::Capset { effective, permitted, inheritable })
            }
            syscall => Pair::call(self, task, syscall)
                .and_then(|answer| self.compare_nets(Tcp::Skipped).map(|()| answer).map_err(Trouble::Differs)),
        };
        if self.is_sandboxed && answer.is_ok() {
            let seen = mnt::observe::observe(self, Some((task, &call.syscall)));
            answer = seen.map_err(Trouble::Differs).and(answer);
        }
        match answer {
            Ok(result) => result.map(|value| match value {
                Return::Num(number) => number.to_string().into_bytes(),
                Return::Text(text) => text,
            }),
            Err(Trouble::LabOnly) => Err(lab_only(call)),
            Err(Trouble::Differs(why) | Trouble::Unordered(why)) => {
                Err(Error { errno: DIFFERS, ..err!(EIO, "{}", why) })
            }
        }
    }
}

fn lab_only(call: &Call) -> Error {
    err!(ENOSYS, "{} {} has no counterpart on the machine", call.verb.name, call.line())
}

/// Files whose text is compared, by the last part of the path.
const COMPARED: [&str; 5] = ["uid_map", "gid_map", "projid_map", "setgroups", "status"];

impl Pair {
    /// read and readlink by the task, on both sides.
    fn look(&mut self, task: TaskId, syscall: &Syscall) -> std::result::Result<Result<Return>, Trouble> {
        let (path, is_link) = match syscall {
            Syscall::Read { path } => (path, false),
            Syscall::Readlink { path } => (path, true),
            _ => return Err(Trouble::LabOnly),
        };
        let text = String::from_utf8_lossy(path).into_owned();
        let name = text.rsplit('/').next().unwrap_or_default();
        let mask = masked_file(&text);
        let is_own = || crate::ipc::observe::is_compared(&self.k, task, &text);
        let is_compared = if is_link {
            text.contains("/ns/")
        } else {
            COMPARED.contains(&name)
                || mask.is_some()
                || text.contains("proc/sys/net/")
                || text.contains("cgroup")
                || is_own()
        };
        let in_initial = self.k.task_active_pid_ns(task) == self.k.init.pid_ns;
        if !is_compared || name == "status" && !in_initial {
            return Err(Trouble::LabOnly);
        }
        let real_path = match cgroup::real_path(&self.k, task, path) {
            Some(path) => Some(path.into_bytes()),
            None => self.machine.numbers.path(&self.k, self.k.task_active_pid_ns(task), path),
        };
        let real_path = real_path.ok_or(Trouble::LabOnly)?;
        let lab = dispatch(&mut self.k, task, syscall);
        let there = self.machine.look(self.k.task_nr(task), &real_path, is_link);
        let there = there.map(|there| crate::ipc::observe::in_lab_terms(self, task, &text, there));
        // Signals that nobody will take any more are not part of the lab.
        let lines = |text: &str, map: &dyn Fn(i32) -> Option<i32>| {
            let mut lines = status_lines(text, map);
            let is_dead = text.contains("State:\tZ");
            lines.retain(|(name, _)| !is_dead || !name.ends_with("Pnd"));
            lines
        };
        let same = match (&lab, &there) {
            (Err(lab), Err(there)) => lab.errno == *there,
            // The numbers are compared with all other links of the task when it is looked at.
            (Ok(_), Ok(_)) if is_link => true,
            (Ok(lab), Ok(there)) if name == "status" => {
                lines(&lab.to_string(), &Some) == lines(there, &|nr| self.lab_number(nr))
            }
            (Ok(lab), Ok(there)) if name == "cgroup" => cgroup::place(&lab.to_string()) == cgroup::place(there),
            (Ok(lab), Ok(there)) if cgroup::is_list(name) => {
                let map = |nr| if in_initial { self.lab_number(nr) } else { Some(nr) };
                cgroup::numbers(&lab.to_string(), &Some) == cgroup::numbers(there, &map)
            }
            (Ok(lab), Ok(there)) => {
                let seen = |text: &str| mask.map_or_else(|| text.to_owned(), |mask| mask(text));
                seen(&lab.to_string()) == seen(there)
            }
            _ => false,
        };
        if same {
            Ok(lab)
        } else {
            Err(Trouble::Differs(format!("{text}: lab {:?}, machine {there:?}", lab.map(|value| value.to_string()))))
        }
    }
}
