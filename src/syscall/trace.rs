//! The first and the last step of each call.

use super::lab::Target;
use super::mqueue::QueueFd;
use super::program::Program;
use super::{AnyCall, Outcome, PidArg, WaitidWhich};
use crate::errno::Arg;
use crate::kernel::ns::NsType;
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, TaskId};

/// Longest text that a step shows, in characters.
const TEXT_MAX: usize = 60;

pub(super) fn enter(k: &mut Kernel, task: TaskId, call: &AnyCall) {
    k.record_enter(task, || call.step());
}

impl AnyCall {
    /// The first step of it.
    pub fn step(&self) -> Step {
        Step::Enter { call: self.name(), args: self.shown(), flags: self.flags() }
    }
}

/// The words for the result are made in [`crate::control`].
pub(super) fn exit(k: &mut Kernel, call: &AnyCall, outcome: &Outcome) {
    k.record(|_| {
        let result = outcome.as_ref().map(|result| shortened(result.to_string().trim_end()).into());
        Step::Exit { call: call.name(), result: result.map_err(|stop| stop.error().clone()) }
    });
}

/// An argument as a step shows it.
pub(super) trait Shown {
    fn arg(self) -> Arg;
}

macro_rules! shown_as_number {
    ($($number:ty),*) => {
        $(impl Shown for &$number {
            fn arg(self) -> Arg {
                Arg::from(*self)
            }
        })*
    };
}

shown_as_number!(i32, u32, i64, u64);

impl Shown for &PidArg {
    fn arg(self) -> Arg {
        Arg::from(self.number())
    }
}

impl Shown for &Option<u32> {
    /// -1 leaves an id as it is.
    fn arg(self) -> Arg {
        self.map_or(Arg::Num(-1), Arg::from)
    }
}

impl Shown for &Vec<u8> {
    fn arg(self) -> Arg {
        Arg::from(shortened(&String::from_utf8_lossy(self)))
    }
}

impl Shown for &Target {
    fn arg(self) -> Arg {
        match self {
            Target::Ns { ns_type, inum } => (*ns_type, *inum).arg(),
            Target::Pidfd(pid @ PidArg::Held(_)) => Arg::from(format!("handed:{}", pid.number())),
            Target::Pidfd(pid) => Arg::from(format!("pidfd:{}", pid.number())),
            Target::Path(path) => path.arg(),
        }
    }
}

impl Shown for (NsType, u32) {
    fn arg(self) -> Arg {
        Arg::Ns(self.0.ops().name, self.1)
    }
}

impl Shown for &WaitidWhich {
    fn arg(self) -> Arg {
        match self {
            WaitidWhich::All => Arg::Name("all"),
            WaitidWhich::Pid(pid) => Arg::from(format!("pid {}", pid.number())),
            WaitidWhich::Pgid(pgid) => Arg::from(format!("pgid {}", pgid.number())),
            WaitidWhich::Pidfd(fd) => Arg::from(format!("pidfd {fd}")),
            WaitidWhich::Unknown(idtype) => Arg::from(*idtype),
        }
    }
}

impl Shown for &QueueFd {
    fn arg(self) -> Arg {
        match *self {
            QueueFd::Own(fd) => Arg::from(fd),
            QueueFd::Real { queue, .. } => Arg::from(format!("mqueue:{queue}")),
        }
    }
}

impl Shown for &Program {
    fn arg(self) -> Arg {
        match *self {
            Program::Runs => Arg::Name("runs"),
            Program::Wakes => Arg::Name("wakes"),
            Program::Ended { status } => Arg::from(format!("ended {status:#x}")),
            Program::NeverRan => Arg::Name("never_ran"),
            Program::Stopped { signo } => Arg::from(format!("stopped {signo}")),
            Program::Continued => Arg::Name("continued"),
            Program::Pins { ns_type, inum } => Arg::from(format!("pins {}:[{inum}]", ns_type.ops().name)),
            Program::Unpins { ns_type, inum } => Arg::from(format!("unpins {}:[{inum}]", ns_type.ops().name)),
            Program::PinsQueue(queue) => Arg::from(format!("pins mqueue:{queue}")),
            Program::UnpinsQueue(queue) => Arg::from(format!("unpins mqueue:{queue}")),
            Program::ClosesQueue(queue) => Arg::from(format!("closes mqueue:{queue}")),
        }
    }
}

/// The start of a text, on one line.
fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let start: String = chars.by_ref().take(TEXT_MAX).collect();
    if chars.next().is_some() { start + "…" } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::trace::Count;
    use crate::syscall::{Syscall, dispatch};

    fn steps(calls: &[Syscall]) -> Vec<Step> {
        let mut k = Kernel::boot();
        k.trace.start(4096);
        for call in calls {
            let init = k.init.task;
            let _ = dispatch(&mut k, init, &call.clone().into());
        }
        k.trace.after(0).map(|record| record.step.clone()).collect()
    }

    #[test]
    fn a_step_shows_the_start_of_a_text_on_one_line() {
        assert_eq!(shortened("a\nb"), "a b");
        assert_eq!(shortened(&"x".repeat(TEXT_MAX + 1)), "x".repeat(TEXT_MAX) + "…");
    }

    #[test]
    fn each_count_in_a_trace_follows_the_one_before() {
        let flags = crate::kernel::nsproxy::NSPROXY_FLAGS;
        let again = flags & !NsType::Pid.ops().clone_flag;
        let steps = steps(&[Syscall::Unshare { flags }, Syscall::Unshare { flags: again }]);
        let mut counts = std::collections::BTreeMap::new();
        for step in &steps {
            match step {
                Step::GetNs(ns, Count { before, after }) | Step::PutNs(ns, Count { before, after }) => {
                    if let Some(last) = counts.insert(ns.inum, *after) {
                        assert_eq!(last, *before, "{ns:?}");
                    }
                }
                Step::CreateNs { ns, .. } => drop(counts.insert(ns.inum, 1)),
                _ => {}
            }
        }
        assert!(steps.iter().any(|step| matches!(step, Step::FreeNsProxy(_))));
        assert!(steps.iter().any(|step| matches!(step, Step::FreeNs(_))));
    }

    #[test]
    fn a_refused_call_ends_with_its_error() {
        let steps = steps(&[Syscall::Unshare { flags: 1 }]);
        assert!(matches!(&steps[..], [Step::Enter { flags: 1, .. }, Step::Exit { result: Err(error), .. }]
            if error.errno == Errno::EINVAL));
    }
}
