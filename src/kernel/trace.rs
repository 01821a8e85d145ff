//! The steps the kernel takes, as data, in a bounded ring. Nothing is recorded, and nothing costs anything, before
//! [`Trace::start`]. The text of a step is made in [`crate::tree`].

use std::collections::VecDeque;

use super::{Kernel, NsId, NsProxyId, TaskId};
use crate::errno::{Arg, Error};

/// A namespace as steps name it; it may be gone when the step is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsName {
    pub kind: &'static str,
    pub inum: u32,
}

/// A reference count before and after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub before: u32,
    pub after: u32,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A task makes a call; the flags are those of clone, unshare and setns.
    Enter {
        call: &'static str,
        args: Vec<Arg>,
        flags: u64,
    },
    /// What the call gives, in words, or why it is refused.
    Exit {
        call: &'static str,
        result: Result<Box<str>, Error>,
    },
    /// The child of clone gets an nsproxy: new namespaces for `flags`; `shared`: its parent's one.
    CopyNamespaces {
        flags: u64,
        shared: bool,
    },
    CreateNewNamespaces {
        flags: u64,
        owner: NsName,
    },
    /// A namespace is made (`copy_net_ns`, `create_user_ns` and their siblings).
    CreateNs {
        ns: NsName,
        owner: NsName,
    },
    FreeNs(NsName),
    GetNs(NsName, Count),
    PutNs(NsName, Count),
    /// An nsproxy, by its number below `kernel/nsproxy`.
    GetNsProxy(u32, Count),
    PutNsProxy(u32, Count),
    FreeNsProxy(u32),
    /// A task, by its initial-namespace number, leaves one nsproxy for another, or for none.
    SwitchTaskNamespaces {
        pid: i32,
        from: Option<u32>,
        to: Option<u32>,
    },
    /// A task gets other credentials; effective user and group as the kernel stores them.
    CommitCreds {
        pid: i32,
        euid: u32,
        egid: u32,
        user_ns: NsName,
    },
}

/// A step and when it was taken.
#[derive(Clone, Debug)]
pub struct Record {
    /// Counts all steps from the start of the trace, from 1.
    pub number: u64,
    /// The initial-namespace number of the task that made the call.
    pub pid: i32,
    pub step: Step,
}

/// The last steps taken. Off until started.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    ring: VecDeque<Record>,
    /// Steps kept; 0: nothing is recorded.
    capacity: usize,
    taken: u64,
    pid: i32,
}

impl Trace {
    /// Records from now on and keeps the last `capacity` steps.
    pub fn start(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// The steps kept whose number is above `number`, oldest first.
    pub fn after(&self, number: u64) -> impl Iterator<Item = &Record> {
        self.ring.iter().skip_while(move |record| record.number <= number)
    }

    fn push(&mut self, step: Step) {
        if self.ring.len() >= self.capacity {
            self.ring.pop_front();
        }
        self.taken += 1;
        self.ring.push_back(Record { number: self.taken, pid: self.pid, step });
    }
}

impl Kernel {
    /// Records a step, which is made only if somebody wants to know.
    pub(crate) fn record(&mut self, step: impl FnOnce(&Kernel) -> Step) {
        if self.trace.is_on() {
            let step = step(self);
            self.trace.push(step);
        }
    }

    /// As [`Kernel::record`], of the first step of a call that `task` makes.
    pub(crate) fn record_enter(&mut self, task: TaskId, step: impl FnOnce() -> Step) {
        if self.trace.is_on() {
            self.trace.pid = if self.tasks.contains(task) { self.task_nr(task) } else { 0 };
            self.trace.push(step());
        }
    }

    pub(crate) fn ns_name(&self, ns: impl Into<NsId>) -> NsName {
        let namespace = &self.namespaces[ns.into()];
        NsName { kind: namespace.ops().name, inum: namespace.common.inum }
    }

    pub(crate) fn record_nsproxy(&mut self, id: NsProxyId, step: fn(u32, Count) -> Step, count: Count) {
        self.record(|_| step(id.index(), count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(trace: &Trace, after: u64) -> Vec<u64> {
        trace.after(after).map(|record| record.number).collect()
    }

    #[test]
    fn the_ring_keeps_the_last_steps_and_their_numbers() {
        let mut trace = Trace::default();
        trace.start(3);
        (0..5).for_each(|id| trace.push(Step::FreeNsProxy(id)));
        assert_eq!(numbers(&trace, 0), [3, 4, 5]);
        assert_eq!(numbers(&trace, 4), [5]);
        assert_eq!(numbers(&trace, 5), [0; 0]);
    }

    #[test]
    fn nothing_is_recorded_before_the_start() {
        let mut k = Kernel::boot();
        k.record(|_| Step::FreeNsProxy(1));
        assert_eq!(numbers(&k.trace, 0), [0; 0]);
    }
}
