//! Kernel threads (`kernel/kthread.c`): tasks without memory that the kernel makes for itself. The first one is kthreadd,
//! which the idle task makes; it makes all others, whoever asks.

use std::collections::BTreeMap;

use super::pid::{Attachments, Pid};
use super::refcount::Held;
use super::task::COMM_MAX;
use super::{Kernel, TaskId};

/// Bytes of a name that are shown (`tcomm` in `proc_task_name`).
const NAME_MAX: usize = 63;

/// All kernel threads that live.
#[derive(Clone, Debug, Default)]
pub struct Kthreads {
    /// The first; it never ends.
    pub kthreadd: Option<TaskId>,
    pub table: BTreeMap<TaskId, Kthread>,
}

/// What a kernel thread has that others have not (`struct kthread`).
#[derive(Clone, Debug)]
pub struct Kthread {
    /// The name, where it is longer than the name of a task may be.
    pub full_name: Option<Box<[u8]>>,
    /// It waits without counting for the load (`TASK_IDLE`): shown as `I (idle)`.
    pub idle: bool,
}

impl Kthread {
    pub fn new(name: &[u8], idle: bool) -> Kthread {
        let shown = &name[..name.len().min(NAME_MAX)];
        Kthread { full_name: (name.len() > COMM_MAX).then(|| shown.into()), idle }
    }
}

impl Kernel {
    /// `PF_KTHREAD`.
    pub fn is_kthread(&self, task: TaskId) -> bool {
        self.kthreads.table.contains_key(&task)
    }

    /// Whether the task is init or kthreadd: their parent is the idle task, which has no number.
    pub fn is_of_idle_task(&self, task: TaskId) -> bool {
        task == self.init.task || self.kthreads.kthreadd == Some(task)
    }

    /// The name that `proc` shows (`proc_task_name`).
    pub fn name_of(&self, task: TaskId) -> &[u8] {
        let full_name = self.kthreads.table.get(&task).and_then(|kthread| kthread.full_name.as_deref());
        full_name.unwrap_or(&self.tasks[task].comm)
    }

    /// The struct pid of the idle task, whose process group and session kernel threads are in. It has the number 0, by which
    /// nobody finds it (`init_struct_pid`).
    pub(crate) fn idle_pid(&mut self) -> Held<Pid> {
        if let Some(kthreadd) = self.kthreads.kthreadd {
            let pgrp = self.signal_of(kthreadd).pgrp.id();
            return self.pids.hold(pgrp);
        }
        let ns = self.get_ns(self.init.pid_ns);
        let pid =
            Pid { count: 0, ns, own_nr: 0, outer: Box::default(), attached: Attachments::default(), hashed: false };
        self.pids.insert_held(pid)
    }
}
