//! Case files on the machine: a pair of lab and machine is a [`Lab`] whose answers are those both give.

use nslab::err;
use nslab::errno::{Errno, Error, Result};
use nslab::script::{Call, Machine};
use nslab::syscall::{AnyCall, LabCall, Syscall};

use crate::machine::SYS_RESOURCE;
use crate::mnt;
use crate::net::view::Tcp;
use crate::pair::{Pair, Trouble};

/// The errno that stands for "the machine does otherwise" in the outcome of a case.
pub const DIFFERS: Errno = Errno::EREMOTEIO;

impl Machine for Pair {
    /// ENOSYS, so that the case counts as one that cannot run here, where a call has no counterpart.
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        let task = self.k.find_task(pid).ok_or_else(|| err!(ESRCH, "no task has the number {}", pid))?;
        if task == self.k.init.task {
            if matches!(call.syscall, AnyCall::Linux(Syscall::Exit { .. } | Syscall::ExitGroup { .. })) {
                return Err(lab_only(call));
            }
            let is_harmless = matches!(call.syscall, AnyCall::Linux(Syscall::Wait { .. } | Syscall::Kill { .. }));
            self.is_init_dirty |= !is_harmless && !looks(&call.syscall);
        }
        let mut answer = match &call.syscall {
            look if self.is_sandboxed && mnt::look::is_about_files(look) => mnt::look::look(self, task, look),
            look if looks(look) => self.look(task, look),
            AnyCall::Linux(Syscall::Capset { pid, effective, permitted, inheritable }) => {
                // Root of this pair never has it; "all but one" in a case means all but these two.
                let without = |set: u64| if set.count_ones() > 20 { set & !(1 << SYS_RESOURCE) } else { set };
                let [effective, permitted, inheritable] =
                    [effective, permitted, inheritable].map(|set| set.map(without));
                Pair::call(self, task, &Syscall::Capset { pid: *pid, effective, permitted, inheritable }.into())
            }
            syscall => Pair::call(self, task, syscall)
                .and_then(|answer| self.compare_nets(Tcp::Skipped).map(|()| answer).map_err(Trouble::Differs)),
        };
        if self.is_sandboxed && answer.is_ok() {
            let seen = mnt::observe::observe(self, Some((task, &call.syscall)));
            answer = seen.map_err(Trouble::Differs).and(answer);
        }
        if answer.is_ok() {
            self.compared.insert(call.verb.name);
        }
        match answer {
            Ok(result) => nslab::control::answer(result),
            Err(Trouble::LabOnly) => Err(lab_only(call)),
            Err(Trouble::Differs(why) | Trouble::Unordered(why)) => {
                Err(Error { errno: DIFFERS, ..err!(EIO, "{}", why) })
            }
        }
    }
}

fn looks(call: &AnyCall) -> bool {
    matches!(
        call,
        AnyCall::Lab(LabCall::Read { .. } | LabCall::Ls { .. })
            | AnyCall::Linux(Syscall::Readlink { .. } | Syscall::Stat { .. } | Syscall::Lstat { .. })
    )
}

fn lab_only(call: &Call) -> Error {
    err!(ENOSYS, "{} {} has no counterpart on the machine", call.verb.name, call.line())
}
