//! Thread groups (`struct signal_struct`), signal actions (`struct sighand_struct`), sending and delivering signals
//! as far as control needs them (`kernel/signal.c`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pid::{Numbers, Pid};
use super::refcount::{Counted, Held};
use super::sigpending::SigPending;
use super::task::TaskState;
use super::task_list::TaskList;
use super::{Kernel, SignalId, TaskId};
use crate::kernel::cred::OVERFLOW_ID;

pub const SIGHUP: i32 = 1;
pub const SIGINT: i32 = 2;
pub const SIGKILL: i32 = 9;
pub const SIGCHLD: i32 = 17;
pub const SIGCONT: i32 = 18;
pub const SIGSTOP: i32 = 19;
/// The highest signal number (`_NSIG`).
pub const SIGNAL_MAX: i32 = 64;

/// What a thread group shares.
#[derive(Clone, Debug)]
pub struct SignalStruct {
    pub leader: TaskId,
    /// All threads not yet released, the leader first ([`Kernel::threads_of`]).
    pub threads: TaskList,
    /// How many those are.
    pub nr_threads: u32,
    /// Threads that have not begun to exit.
    pub live: u32,
    pub pgrp: Held<Pid>,
    pub session: Held<Pid>,
    pub is_child_subreaper: bool,
    pub has_child_subreaper: bool,
    /// The init of a pid namespace (`SIGNAL_UNKILLABLE`).
    pub unkillable: bool,
    /// Set once the whole group is to die: its wait status word.
    pub group_exit: Option<i32>,
    /// The signal that stopped the group; `Kernel::set_stop_signal` sets it.
    pub stop_signal: Option<i32>,
    /// A stop not yet reported to wait (`WUNTRACED`).
    pub stop_unreported: bool,
    /// A continue not yet reported to wait (`WCONTINUED`).
    pub continued: bool,
    pub shared_pending: SigPending,
    /// Processes share them until one changes its own.
    pub rlimits: Arc<Rlimits>,
    pub oom: Oom,
    /// The number of its autogroup, which each session has one of; 0: none (`autogroup_default`).
    pub autogroup: u32,
}

impl SignalStruct {
    /// Of a process of one thread that nobody has sent a signal yet.
    pub(crate) fn new(leader: TaskId, pgrp: Held<Pid>, session: Held<Pid>, rlimits: Arc<Rlimits>) -> SignalStruct {
        SignalStruct {
            leader,
            threads: TaskList::default(),
            nr_threads: 0,
            live: 1,
            pgrp,
            session,
            is_child_subreaper: false,
            has_child_subreaper: false,
            unkillable: false,
            group_exit: None,
            stop_signal: None,
            stop_unreported: false,
            continued: false,
            shared_pending: SigPending::default(),
            rlimits,
            oom: Oom::default(),
            autogroup: 0,
        }
    }
}

/// How likely a process is chosen when there is no memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oom {
    /// -1000, never, to 1000 (`oom_score_adj`).
    pub score_adj: i16,
    /// What who has no CAP_SYS_RESOURCE may not go below (`oom_score_adj_min`).
    pub score_adj_min: i16,
}

/// `siginfo`: of a signal, queued or taken, and of a child. `pid` and `uid` are as the receiver sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Siginfo {
    pub signo: i32,
    /// SI_USER, CLD_EXITED and their like.
    pub code: i32,
    /// The process that sent it, or the child.
    pub pid: Numbers,
    pub uid: u32,
    /// Of a child: the exit code or the signal.
    pub status: i32,
    /// What the sender gave along (`si_value`).
    pub value: u64,
}

/// `siginfo_t` as a program gives it along with a signal (sigqueue(3)). Numbers are those of its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenInfo {
    pub code: i32,
    pub pid: i32,
    pub uid: u32,
    pub value: u64,
}

/// Who sends a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel itself (SEND_SIG_PRIV): reaches an init like a signal from an ancestor namespace.
    Kernel,
    Task(TaskId),
    /// A message of this task, to who asked to be told of it: no permission was asked (`__do_notify`).
    Message {
        task: TaskId,
        value: u64,
    },
}

/// `si_code` of SIGCHLD.
pub const CLD_EXITED: i32 = 1;
pub const CLD_KILLED: i32 = 2;
pub const CLD_STOPPED: i32 = 5;
pub const CLD_CONTINUED: i32 = 6;
const SI_KERNEL: i32 = 0x80;
const SI_USER: i32 = 0;
const SI_TIMER: i32 = -2;
const SI_MESGQ: i32 = -3;
const SI_SIGIO: i32 = -5;
pub const SI_TKILL: i32 = -6;

const SIGTSTP: i32 = 20;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;

/// No limit.
pub const RLIM_INFINITY: u64 = u64::MAX;

/// A resource limit (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    pub soft: u64,
    pub hard: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rlimits {
    pub nproc: Rlimit,
    pub nofile: Rlimit,
    pub msgqueue: Rlimit,
}

/// Actions per signal, shared under CLONE_SIGHAND. Bit n-1 stands for signal n.
#[derive(Clone, Debug, Default)]
pub struct Sighand {
    pub count: u32,
    pub ignored: u64,
    pub handled: u64,
    /// How often the handler of a signal ran.
    pub runs: BTreeMap<i32, u32>,
}

impl Counted for Sighand {
    fn count(&mut self) -> &mut u32 {
        &mut self.count
    }
}

/// Whether `siginfo_t` of such a signal has the ids of a process (`has_si_pid_and_uid`).
fn has_pid_and_uid(signo: i32, code: i32) -> bool {
    /// Codes up to this are those of SIGPOLL (`NSIGPOLL`).
    const NSIGPOLL: i32 = 6;
    const HARDWARE: [i32; 7] = [4, 5, 7, 8, 11, 29, 31];
    match code {
        SI_TIMER | SI_SIGIO => false,
        1..SI_KERNEL => signo == SIGCHLD || !HARDWARE.contains(&signo) && code > NSIGPOLL,
        _ => true,
    }
}

/// The bit of a signal in a mask.
pub fn sigmask(signo: i32) -> u64 {
    1 << (signo - 1)
}

fn is_stop(signo: i32) -> bool {
    matches!(signo, SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU)
}

/// Signals that no handler and no mask can touch (`sig_kernel_only`).
fn is_kernel_only(signo: i32) -> bool {
    matches!(signo, SIGKILL | SIGSTOP)
}

/// Signals whose default action is to do nothing (`sig_kernel_ignore`).
fn is_ignored_by_default(signo: i32) -> bool {
    matches!(signo, SIGCONT | SIGCHLD | SIGWINCH | SIGURG)
}

impl Sighand {
    fn is_default(&self, signo: i32) -> bool {
        (self.ignored | self.handled) & sigmask(signo) == 0
    }
}

impl Kernel {
    pub fn signal_of(&self, task: TaskId) -> &SignalStruct {
        &self.signals[self.tasks[task].signal]
    }

    pub fn sighand_of(&self, task: TaskId) -> &Sighand {
        &self.sighands[self.tasks[task].sighand.id()]
    }

    /// Sends a signal that is allowed: to the process when `to_group`, else to the thread (`send_signal_locked`).
    pub(crate) fn send_signal(&mut self, sender: Sender, target: TaskId, to_group: bool, signo: i32) {
        let info = match sender {
            Sender::Kernel => Siginfo { signo, code: SI_KERNEL, pid: Numbers::default(), uid: 0, status: 0, value: 0 },
            Sender::Task(task) if to_group => self.user_siginfo(task, target, signo, SI_USER),
            Sender::Task(task) => self.user_siginfo(task, target, signo, SI_TKILL),
            Sender::Message { task, value } => Siginfo { value, ..self.user_siginfo(task, target, signo, SI_MESGQ) },
        };
        let force = match sender {
            Sender::Kernel => true,
            Sender::Task(task) | Sender::Message { task, .. } => {
                self.task_nr_ns(task, self.task_active_pid_ns(target)) == 0
            }
        };
        self.queue_signal(info, force, target, to_group);
    }

    fn user_siginfo(&self, sender: TaskId, target: TaskId, signo: i32, code: i32) -> Siginfo {
        Siginfo {
            signo,
            code,
            pid: self.visible_tgid(sender, target),
            uid: self.visible_uid(sender, target),
            status: 0,
            value: 0,
        }
    }

    /// As [`Kernel::send_signal`] with what the sender gives along: ids are told as the receiver has them, a number of a
    /// process as it is, but none from a pid namespace above the receiver's (`__send_signal_locked`).
    pub(crate) fn send_given(&mut self, sender: TaskId, target: TaskId, to_group: bool, signo: i32, given: GivenInfo) {
        let GivenInfo { code, mut pid, mut uid, value } = given;
        let mut force = false;
        if has_pid_and_uid(signo, code) {
            let (own, other) = (self.cred_of(sender).user_ns.id(), self.cred_of(target).user_ns.id());
            if own != other {
                let kuid = self.namespaces[own].make_kuid(uid);
                uid = kuid.and_then(|kuid| self.namespaces[other].from_kuid(kuid)).unwrap_or(OVERFLOW_ID);
            }
            force = code == SI_KERNEL;
            if self.task_nr_ns(sender, self.task_active_pid_ns(target)) == 0 {
                (pid, force) = (0, true);
            }
        }
        let info = Siginfo { signo, code, pid: Numbers::given(pid), uid, status: 0, value };
        self.queue_signal(info, force, target, to_group);
    }

    /// The numbers of a process as the receiver sees them.
    fn visible_tgid(&self, process: TaskId, receiver: TaskId) -> Numbers {
        Numbers::of(self, receiver, self.pid_of(self.leader_of(process)))
    }

    /// The real uid of a task in the receiver's user namespace.
    fn visible_uid(&self, task: TaskId, receiver: TaskId) -> u32 {
        let user_ns = self.cred_of(receiver).user_ns.id();
        self.namespaces[user_ns].from_kuid(self.cred_of(task).ids.uid).unwrap_or(OVERFLOW_ID)
    }

    /// The exit signal of a dead process, for its parent.
    pub(crate) fn send_child_signal(&mut self, child: TaskId, signo: i32) {
        let status = self.exit_status(child);
        let (code, status) = match status & 0x7f {
            0 => (CLD_EXITED, status >> 8 & 0xff),
            killed => (CLD_KILLED, killed),
        };
        self.tell_parent(child, signo, code, status);
    }

    /// SIGCHLD for a stop or continue (`do_notify_parent_cldstop`).
    fn tell_parent_of_stop(&mut self, child: TaskId, code: i32, status: i32) {
        let parent = self.tasks[child].real_parent;
        self.wake_waiters(parent);
        if self.sighand_of(parent).ignored & sigmask(SIGCHLD) == 0 {
            self.tell_parent(child, SIGCHLD, code, status);
        }
    }

    fn tell_parent(&mut self, child: TaskId, signo: i32, code: i32, status: i32) {
        let parent = self.tasks[child].real_parent;
        let (pid, uid) = (self.visible_tgid(child, parent), self.visible_uid(child, parent));
        self.queue_signal(Siginfo { signo, code, pid, uid, status, value: 0 }, false, parent, true);
    }

    /// The wait status word of a dead process.
    pub fn exit_status(&self, leader: TaskId) -> i32 {
        self.signal_of(leader).group_exit.unwrap_or(self.tasks[leader].exit_code)
    }

    fn queue_signal(&mut self, info: Siginfo, force: bool, target: TaskId, to_group: bool) {
        let signo = info.signo;
        let program = self.is_program(target);
        let Some(is_ignored) = self.prepare_signal(target, signo, force) else { return };
        if program {
            return self.signal_program(info, is_ignored, target, to_group);
        }
        if is_ignored {
            return;
        }
        let signal = self.tasks[target].signal;
        let queue = if to_group { &mut self.signals[signal].shared_pending } else { &mut self.tasks[target].pending };
        queue.push(info);
        let takers = if to_group { self.threads_of(signal).collect() } else { Vec::new() };
        for thread in std::iter::once(target).chain(takers) {
            self.deliver(thread);
        }
    }

    /// Effects a signal has before anybody takes it, and whether it is ignored; `None`: the process is dying
    /// (`prepare_signal`).
    fn prepare_signal(&mut self, target: TaskId, signo: i32, force: bool) -> Option<bool> {
        let signal = self.tasks[target].signal;
        if self.signals[signal].group_exit.is_some() {
            return None;
        }
        if is_stop(signo) {
            self.flush_pending(signal, |pending| pending == SIGCONT);
        } else if signo == SIGCONT {
            self.flush_pending(signal, is_stop);
            self.continue_group(signal);
        }
        Some(self.is_signal_ignored(target, signo, force))
    }

    fn flush_pending(&mut self, signal: SignalId, flush: impl Fn(i32) -> bool) {
        self.signals[signal].shared_pending.flush(&flush);
        for thread in self.threads_of(signal).collect::<Vec<_>>() {
            self.tasks[thread].pending.flush(&flush);
        }
    }

    /// `sig_ignored`: blocked signals never are, since the action may change before they are unblocked.
    fn is_signal_ignored(&self, task: TaskId, signo: i32, force: bool) -> bool {
        if self.tasks[task].blocked & sigmask(signo) != 0 {
            return false;
        }
        let sighand = self.sighand_of(task);
        if self.signal_of(task).unkillable && sighand.is_default(signo) {
            let reaches = force && is_kernel_only(signo) && self.leader_of(task) != self.init.task;
            if !reaches {
                return true;
            }
        }
        if self.tasks[task].is_program {
            // Whether anything else is, its process says.
            return false;
        }
        sighand.ignored & sigmask(signo) != 0 || sighand.is_default(signo) && is_ignored_by_default(signo)
    }

    /// A stopped group runs again, and its parent learns of it.
    pub(super) fn continue_group(&mut self, signal: SignalId) {
        if self.set_stop_signal(signal, None).is_none() {
            return;
        }
        self.signals[signal].stop_unreported = false;
        self.signals[signal].continued = true;
        for thread in self.threads_of(signal).collect::<Vec<_>>() {
            if self.tasks[thread].state == TaskState::Stopped {
                self.tasks[thread].state = TaskState::Running;
            }
        }
        let leader = self.signals[signal].leader;
        self.tell_parent_of_stop(leader, CLD_CONTINUED, SIGCONT);
        for thread in self.threads_of(signal).collect::<Vec<_>>() {
            self.deliver(thread);
        }
    }

    /// A thread takes what is pending and not blocked, lowest number first (`get_signal`). A stopped one takes only
    /// SIGKILL.
    pub(crate) fn deliver(&mut self, task: TaskId) {
        while let Some(signo) = self.dequeue(task) {
            self.act(task, signo);
        }
    }

    fn dequeue(&mut self, task: TaskId) -> Option<i32> {
        let receiver = self.tasks.get(task)?;
        let signal = receiver.signal;
        if receiver.is_dead() || self.signals[signal].group_exit.is_some() {
            return None;
        }
        let stopped = receiver.state == TaskState::Stopped;
        let blocked = receiver.blocked;
        let takes = |signo: i32| signo == SIGKILL || !stopped && blocked & sigmask(signo) == 0;
        let taken = self.tasks[task].pending.take(takes).or_else(|| self.signals[signal].shared_pending.take(takes));
        taken.map(|taken| taken.signo)
    }

    fn act(&mut self, task: TaskId, signo: i32) {
        let signal = self.tasks[task].signal;
        let sighand = self.tasks[task].sighand.id();
        let actions = &mut self.sighands[sighand];
        if actions.handled & sigmask(signo) != 0 {
            *actions.runs.entry(signo).or_default() += 1;
            return;
        }
        if !actions.is_default(signo) || is_ignored_by_default(signo) {
            return;
        }
        if self.signals[signal].unkillable && !is_kernel_only(signo) {
            return;
        }
        if is_stop(signo) {
            let pgrp = self.signals[signal].pgrp.id();
            if signo == SIGSTOP || self.has_connection(pgrp, None) {
                self.stop_group(signal, signo);
            }
            return;
        }
        self.group_exit(signal, signo, None);
    }

    /// Notes by which signal a process is stopped, and counts it in its process group. What was noted before is returned.
    pub(super) fn set_stop_signal(&mut self, signal: SignalId, stop: Option<i32>) -> Option<i32> {
        let process = &mut self.signals[signal];
        let before = std::mem::replace(&mut process.stop_signal, stop);
        let stopped = &mut self.pids[process.pgrp.id()].attached.stopped;
        *stopped += u32::from(stop.is_some());
        *stopped -= u32::from(before.is_some());
        before
    }

    pub(super) fn stop_group(&mut self, signal: SignalId, signo: i32) {
        self.signals[signal].continued = false;
        if self.set_stop_signal(signal, Some(signo)).is_some() {
            return;
        }
        let group = &mut self.signals[signal];
        group.stop_unreported = true;
        let leader = group.leader;
        for thread in self.threads_of(signal).collect::<Vec<_>>() {
            if self.tasks[thread].state == TaskState::Running {
                self.tasks[thread].state = TaskState::Stopped;
            }
        }
        self.tell_parent_of_stop(leader, CLD_STOPPED, signo);
    }

    /// After an action became "ignore", or "default" where that does nothing: what is pending of it is dropped.
    pub(crate) fn discard_if_ignored(&mut self, task: TaskId, signo: i32) {
        let sighand = self.sighand_of(task);
        if sighand.ignored & sigmask(signo) != 0 || sighand.is_default(signo) && is_ignored_by_default(signo) {
            self.flush_pending(self.tasks[task].signal, |pending| pending == signo);
        }
    }

    /// Takes a blocked pending signal out of the queues, for sigwaitinfo.
    pub(crate) fn take_pending(&mut self, task: TaskId, signo: i32) -> Option<Siginfo> {
        let signal = self.tasks[task].signal;
        let is_it = |number: i32| number == signo;
        self.tasks[task].pending.take(is_it).or_else(|| self.signals[signal].shared_pending.take(is_it))
    }
}
