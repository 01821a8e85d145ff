//! What of a difference is the machine's own: the order in which tasks die that were told to at once, the sender of a
//! signal from another namespace.

use std::collections::BTreeMap;

use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::{AnyCall, Syscall};

#[derive(Default)]
pub struct Disorder {
    calls: u32,
    /// Tasks that got another parent by a call that several tasks died of, and which call: the order in which they came to
    /// that parent is the machine's own.
    adopted: BTreeMap<i32, u32>,
    /// A signal went to several processes that are in several namespaces.
    has_crossed: bool,
}

impl Disorder {
    /// Notes a call that is about to be made.
    pub fn before(&mut self, k: &Kernel, call: &AnyCall) {
        let goes_to_many = matches!(call, AnyCall::Linux(Syscall::Kill { pid, .. }) if pid.number() <= 0);
        self.has_crossed |= goes_to_many && has_several_namespaces(k);
    }

    /// Notes a call that was made: how many tasks died of it, and the parents there were before.
    pub fn after(&mut self, k: &Kernel, died: usize, parents: &[(TaskId, TaskId)]) {
        self.calls += 1;
        if died <= 1 {
            return;
        }
        for &(task, parent) in parents.iter().filter(|(task, _)| k.tasks.contains(*task)) {
            if k.real_parent_of(task) != parent {
                self.adopted.insert(k.task_nr(task), self.calls);
            }
        }
    }

    /// Whether two answers may differ as they do.
    pub fn explains(&self, lab: &str, real: &str) -> bool {
        self.came_together(lab, real) || self.has_crossed && differ_in_sender(lab, real)
    }

    /// Two answers of wait that name tasks which were adopted by the same call.
    fn came_together(&self, lab: &str, real: &str) -> bool {
        let [lab, real] = [lab, real].map(|answer| {
            let (nr, _status) = answer.split_once(' ')?;
            self.adopted.get(&nr.parse().ok()?)
        });
        lab.is_some() && lab == real
    }
}

/// Whether tasks are in more than one user or pid namespace.
fn has_several_namespaces(k: &Kernel) -> bool {
    let place = |task| (k.cred_of(task).user_ns.id(), k.task_active_pid_ns(task));
    let first = place(k.init.task);
    k.tasks.iter().any(|(task, _)| place(task) != first)
}

/// Two answers of sigwaitinfo that are the same but for `pid` and `uid`.
fn differ_in_sender(lab: &str, real: &str) -> bool {
    let rest = |answer: &str| {
        let words = answer.split(' ').filter(|word| !word.starts_with("pid=") && !word.starts_with("uid="));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    lab.starts_with("signo=") && rest(lab) == rest(real)
}
