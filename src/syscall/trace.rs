//! The first and the last step of each call.

use std::fmt::{self, Write as _};

use super::{Outcome, Return, Syscall};
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, TaskId};

pub(super) fn enter(k: &mut Kernel, task: TaskId, call: &Syscall) {
    k.record_enter(task, || Step::Enter { call: name(call), flags: flags(call) });
}

pub(super) fn exit(k: &mut Kernel, call: &Syscall, outcome: &Outcome) {
    k.record(|_| {
        let result = match outcome {
            Ok(Return::Num(number)) => Ok(Some(*number)),
            Ok(Return::Fd(fd)) => Ok(Some(i64::from(*fd))),
            Ok(Return::Pid(numbers)) => Ok(Some(i64::from(numbers.initial()))),
            Ok(_) => Ok(None),
            Err(stop) => Err(stop.error().clone()),
        };
        Step::Exit { call: name(call), result }
    });
}

fn flags(call: &Syscall) -> u64 {
    match call {
        Syscall::Clone(args) => args.flags,
        Syscall::Unshare { flags } | Syscall::Setns { flags, .. } => *flags,
        _ => 0,
    }
}

/// The call's name from that of its variant: `PidfdSendSignal` is `pidfd_send_signal`. The calls of a family have
/// theirs in front: `msg_get`.
fn name(call: &Syscall) -> Box<str> {
    let mut head = Head(String::new());
    // An error says only that there was more than enough.
    let _ = write!(head, "{call:?}");
    let is_family = matches!(call, Syscall::Msg(_) | Syscall::Sem(_) | Syscall::Shm(_) | Syscall::Mq(_));
    let mut names = head.0.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words = names.next().into_iter().chain(names.next().filter(|_| is_family));
    words.map(snake_case).collect::<Vec<_>>().join("_").into()
}

/// The start of a text: arguments may be long, and are not wanted.
struct Head(String);

impl fmt::Write for Head {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > 40 { Err(fmt::Error) } else { Ok(()) }
    }
}

fn snake_case(word: &str) -> String {
    let mut text = String::new();
    for c in word.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::ns::NsType;
    use crate::kernel::trace::Count;
    use crate::syscall::dispatch;

    fn steps(calls: &[Syscall]) -> Vec<Step> {
        let mut k = Kernel::boot();
        k.trace.start(4096);
        for call in calls {
            let init = k.init.task;
            let _ = dispatch(&mut k, init, call);
        }
        k.trace.after(0).map(|record| record.step.clone()).collect()
    }

    #[test]
    fn a_call_is_named_as_linux_names_it() {
        assert_eq!(&*name(&Syscall::PidfdSendSignal { fd: 1, signo: 2 }), "pidfd_send_signal");
        assert_eq!(&*name(&Syscall::Setsid), "setsid");
    }

    #[test]
    fn each_count_in_a_trace_follows_the_one_before() {
        let flags = crate::kernel::nsproxy::nsproxy_flags();
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
