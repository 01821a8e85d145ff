//! Tasks that are real processes of the host. A host program runs as such a task: its dispositions, masks and pending signals
//! are the host's, and it dies and stops when its process does. What the lab wants of the process is an [`Effect`].

use std::collections::BTreeMap;
use std::mem;

use super::ipc::mqueue::{Cookie, MqueueFile};
use super::signal::{SIGKILL, SIGSTOP, Siginfo};
use super::waiting::Waiting;
use super::work::Work;
use super::{Kernel, MqueueId, NsId, TaskId};

/// What has to happen to a real process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It gets a signal: the process if `to_group`, else the thread.
    Signal {
        task: TaskId,
        to_group: bool,
        info: Siginfo,
        /// Only if the process blocks the signal: it is the init of a pid namespace, and has no handler for it.
        if_blocked: bool,
    },
    /// Its threads that wait for children look again.
    Wake(TaskId),
    /// What the thread waits for is there.
    Ready(TaskId),
    /// A netlink socket of its process gets a cookie.
    Tell { task: TaskId, cookie: Cookie },
    /// Whether the thread is frozen has changed.
    Freezes(TaskId),
    /// The task is dead, and not because its process is.
    Kill(TaskId),
}

impl Effect {
    /// Whom it is about.
    pub fn task(&self) -> TaskId {
        match *self {
            Effect::Signal { task, .. }
            | Effect::Tell { task, .. }
            | Effect::Wake(task)
            | Effect::Ready(task)
            | Effect::Freezes(task)
            | Effect::Kill(task) => task,
        }
    }
}

/// What is known of the programs of a lab.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    is_served: bool,
    effects: Vec<Effect>,
    /// How often programs hold a namespace open by a real descriptor.
    pub pins: BTreeMap<NsId, u32>,
    /// What programs have message queues open by.
    pub queues: BTreeMap<MqueueId, Vec<MqueueFile>>,
    /// Those that wait in a call.
    pub waiting: Waiting,
}

/// The references that programs hold end with the kernel, as those in tables do.
#[cfg(debug_assertions)]
impl Drop for Programs {
    fn drop(&mut self) {
        super::refcount::teardown::during(|| self.queues.clear());
    }
}

impl Programs {
    /// Notes effects from now on, for somebody who takes them after each call.
    pub fn serve(&mut self) {
        self.is_served = true;
    }

    /// Hands over the effects noted since the last time.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        mem::take(&mut self.effects)
    }

    pub(super) fn note(&mut self, effect: Effect) {
        if self.is_served {
            self.effects.push(effect);
        }
    }
}

impl Kernel {
    /// Whether a task is a real process, or a thread of one.
    pub fn is_program(&self, task: TaskId) -> bool {
        self.tasks.get(task).is_some_and(|task| task.is_program)
    }

    /// Whether a task is dead, with all threads of its process if it is the first of them, or gone: what poll(2) tells of a pidfd
    /// (`pidfd_poll`).
    pub fn is_over(&self, task: TaskId) -> bool {
        let is_last = |k: &Kernel| !k.is_leader(task) || k.signal_of(task).live == 0;
        self.tasks.get(task).is_none_or(|found| found.is_dead() && is_last(self))
    }

    /// A signal to a real process, which the rules of the lab let through; `dropped`: unless it is blocked there.
    pub(super) fn signal_program(&mut self, info: Siginfo, dropped: bool, task: TaskId, to_group: bool) {
        let if_blocked = dropped && !matches!(info.signo, SIGKILL | SIGSTOP);
        if !dropped || if_blocked {
            self.programs.note(Effect::Signal { task, to_group, info, if_blocked });
        }
    }

    /// Who waits for children of a process looks again.
    pub(super) fn wake_waiters(&mut self, parent: TaskId) {
        if self.is_program(parent) {
            self.programs.note(Effect::Wake(parent));
        }
    }

    /// Tasks may be frozen, or not be frozen any more.
    pub(crate) fn freeze_programs(&mut self, tasks: &[TaskId]) {
        for &task in tasks {
            if self.is_program(task) {
                self.programs.note(Effect::Freezes(task));
            }
        }
    }

    /// The real process has stopped.
    pub(crate) fn program_stopped(&mut self, task: TaskId, signo: i32) {
        self.stop_group(self.tasks[task].signal, signo);
    }

    /// The real process goes on.
    pub(crate) fn program_continued(&mut self, task: TaskId) {
        self.continue_group(self.tasks[task].signal);
    }

    /// The real thread is gone; the status word is that of its process if it was the last.
    pub(crate) fn program_ended(&mut self, task: TaskId, status: i32) {
        self.tasks[task].is_program = false;
        self.work.push_back(Work::Exit(task, status));
    }

    /// There is no real thread for a task that was just made: nobody hears of its death.
    pub(crate) fn program_never_ran(&mut self, task: TaskId) {
        let unborn = &mut self.tasks[task];
        unborn.is_program = false;
        unborn.exit_signal = if unborn.exit_signal < 0 { -1 } else { 0 };
        self.work.push_back(Work::Exit(task, 0));
        self.work.push_back(Work::Reap(task));
    }

    /// A thread exits; its process has to, unless that is why.
    pub(super) fn kill_program(&mut self, task: TaskId) {
        if self.is_program(task) {
            self.tasks[task].is_program = false;
            self.programs.note(Effect::Kill(task));
        }
    }
}
