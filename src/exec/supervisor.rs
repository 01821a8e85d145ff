//! [`Supervisor`]: waits for the stops of all threads of all programs, and knows what each is in the midst of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::netlink::Netlinks;
use super::pidfd::Pidfds;
use super::processes::Processes;
use super::segment::Segments;
use super::sys::{Resume, Tid};
use super::tracee::{Doing, ProgramMemory, Space, Stop, Then, Tracee, mask};
use super::vdso::Vdso;
use crate::err;
use crate::errno::{Result, describe};
use crate::fuse::Served;
use crate::host::Lab;
use crate::host::programs::Server;
use crate::kernel::program::Effect;
use crate::kernel::signal::{SIGNAL_MAX, sigmask};
use crate::kernel::{Kernel, MqueueId, PidId, TaskId};
use crate::syscall::program::Program;
use crate::syscall::{AnyCall, CloneArgs, LabCall, Outcome, PidArg, Return, SigAction, Syscall, WNOHANG};

/// How programs are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Each call that fails is told on standard error, with the reason.
    pub explain: bool,
}

/// Runs programs as tasks of a lab. It belongs to the thread that has made it.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) served: Served,
    pub(super) lab: Arc<Lab>,
    /// What the lab calls us.
    server: Server,
    pub(super) host: Rc<dyn Processes>,
    /// The process group that the first program begins in.
    pub(super) own_group: Tid,
    pub(super) options: Options,
    pub(super) tracees: BTreeMap<Tid, Tracee>,
    pub(super) by_task: BTreeMap<TaskId, Tid>,
    /// Newborn threads that have ended before anybody knew of them.
    pub(super) early: BTreeSet<Tid>,
    /// Threads at a call that their tasks cannot make now, as they are stopped or frozen.
    pub(super) held: BTreeSet<Tid>,
    /// The host's numbers of process groups and sessions of the lab.
    pub(super) groups: BTreeMap<PidId, Tid>,
    pub(super) pidfds: Pidfds,
    /// Message queues by the numbers of their inodes.
    pub(super) queues: BTreeMap<u64, MqueueId>,
    /// The memory of shared segments.
    pub(super) segments: Arc<Segments>,
    pub(super) netlinks: Netlinks,
    pub(super) vdso: Vdso,
    /// What was refused and told of, by name.
    pub(super) told: BTreeSet<&'static str>,
    effects: Receiver<Vec<Effect>>,
    /// The first program's process, and its status word once it has ended.
    pub(super) first: Tid,
    status: Option<i32>,
    has_told_end: bool,
    /// Processes that were sent a signal which ends them, by their numbers, with the last such signal.
    pub(super) condemned: BTreeMap<Tid, i32>,
}

impl Supervisor {
    /// Of the lab that is served; all supervisors of a lab have the same segments.
    ///
    /// # Errors
    /// EIO: the lab is broken; EPERM: this host does not allow to trace.
    pub fn new(
        served: Served,
        host: Rc<dyn Processes>,
        options: Options,
        segments: Arc<Segments>,
    ) -> io::Result<Supervisor> {
        let lab = Arc::clone(served.lab());
        let (sender, effects) = mpsc::channel();
        let (own, ring) = (thread::current().id(), host.ring()?);
        let server = lab.serve_programs(Box::new(move |effects| {
            // Nobody waits for them once the supervisor has ended.
            let _ = sender.send(effects);
            if thread::current().id() != own {
                ring();
            }
        }));
        Ok(Supervisor {
            served,
            server: server.map_err(io::Error::other)?,
            lab,
            own_group: host.own_group().0,
            host,
            options,
            tracees: BTreeMap::new(),
            by_task: BTreeMap::new(),
            early: BTreeSet::new(),
            held: BTreeSet::new(),
            groups: BTreeMap::new(),
            pidfds: Pidfds::default(),
            queues: BTreeMap::new(),
            segments,
            netlinks: Netlinks::default(),
            vdso: Vdso::default(),
            told: BTreeSet::new(),
            effects,
            first: 0,
            status: None,
            has_told_end: false,
            condemned: BTreeMap::new(),
        })
    }

    /// Makes `child` a new child of the task that `parent` finds, and lets it become its program.
    ///
    /// # Errors
    /// What the lab says: no such task, no room for another; EPERM: this host does not allow to trace.
    pub fn start(&mut self, child: Tid, parent: impl FnOnce(&Kernel) -> Result<TaskId>) -> io::Result<()> {
        self.host.seize(child)?;
        self.follow_host_clock();
        let parent = self.lab.read(parent).and_then(|parent| parent).map_err(io::Error::other)?;
        let task = self.make_task(parent, CloneArgs::default()).map_err(|stop| io::Error::other(stop.to_string()))?;
        self.first = child;
        self.bind(child, child, task, Rc::new(Space::default()));
        self.note_groups(task);
        self.inherit_actions(task);
        self.host.begin()
    }

    /// The actions of signals that the program starts with are those that we were started with.
    fn inherit_actions(&mut self, task: TaskId) {
        let Ok(status) = self.host.proc_file(self.first, "status") else { return };
        let ignored = mask(&status, "SigIgn:").unwrap_or(0);
        for signo in (1..=SIGNAL_MAX).filter(|&signo| ignored & sigmask(signo) != 0 && signo != libc::SIGPIPE) {
            let call = Syscall::Sigaction { signo, action: Some(SigAction::Ignore) };
            // The kernel ignores none for which that is an error.
            let _ = self.perform(task, &call.into());
        }
    }

    /// The host's group and session that the first program has begun in are those of its task.
    fn note_groups(&mut self, task: TaskId) {
        let (own, session) = self.host.own_group();
        let groups = self.lab.read(|k| (k.signal_of(task).pgrp.id(), k.signal_of(task).session.id()));
        if let Ok((group, sid)) = groups {
            self.groups.insert(sid, session);
            self.groups.insert(group, own);
        }
    }

    /// A child or thread of a task, which is to be a real one.
    pub(super) fn make_task(&mut self, parent: TaskId, args: CloneArgs) -> Outcome<TaskId> {
        let Return::Pid(numbers) = self.perform(parent, &Syscall::Clone(args).into())? else {
            unreachable!("clone gives numbers")
        };
        let task = self.lab.read(|k| k.find_task(numbers.initial()))?;
        // Somebody else was faster to end it.
        let task = task.ok_or_else(|| err!(ESRCH, "the new task is gone"))?;
        self.lab.programs.join(self.server, task);
        self.perform(task, &LabCall::Program(Program::Runs).into())?;
        Ok(task)
    }

    pub(super) fn bind(&mut self, tid: Tid, tgid: Tid, task: TaskId, space: Rc<Space>) {
        self.lab.programs.bind(tid.unsigned_abs(), task);
        self.by_task.insert(task, tid);
        let doing = Doing::Running;
        self.tracees.insert(
            tid,
            Tracee {
                tid,
                tgid,
                task,
                space,
                scratch: None,
                doing,
                is_stopped: false,
                kept: None,
                is_woken: false,
                is_again: false,
                has_netlink: false,
                has_clock: false,
                heeds: Vec::new(),
                clear_child_tid: 0,
            },
        );
    }

    /// Makes a call of the lab; when it returns, nobody sees what was before.
    pub(super) fn perform(&mut self, task: TaskId, call: &AnyCall) -> Outcome {
        // What programs have closed by now pins nothing any more.
        self.forget_netlinks();
        if self.has_other_pins() {
            self.served.catch_up();
        }
        self.perform_now(task, call)
    }

    /// As [`Supervisor::perform`], whatever programs have closed.
    pub(super) fn perform_now(&mut self, task: TaskId, call: &AnyCall) -> Outcome {
        let outcome = self.served.perform(|_| Ok(task), call, |k, task| super::call::line(k, task, call));
        self.served.settle();
        // Before the program that made the call goes on: it may be the one that a signal is for.
        self.take_effects();
        outcome
    }

    /// Runs programs until the first has ended, and those with it that a signal has condemned by then; its wait status word.
    ///
    /// # Errors
    /// The real kernel does not let us wait: there is no program.
    pub fn run(&mut self) -> io::Result<i32> {
        loop {
            if let Some(status) = self.status
                && !self.is_one_dying()
            {
                return Ok(status);
            }
            self.next()?;
        }
    }

    /// Ends all programs that are left.
    ///
    /// # Errors
    /// As [`Supervisor::run`].
    pub fn end_all(&mut self) -> io::Result<()> {
        for tid in self.tracees.values().map(|tracee| tracee.tgid).collect::<Vec<_>>() {
            // It may have died meanwhile.
            let _ = self.host.kill(tid, libc::SIGKILL);
        }
        while !self.tracees.is_empty() {
            self.next()?;
        }
        self.end_stand_ins();
        Ok(())
    }

    /// Runs programs until none is left.
    ///
    /// # Errors
    /// Who has the processes is gone: so are they.
    pub fn serve(&mut self) -> io::Result<()> {
        let mut served = Ok(());
        while served.is_ok() && !self.tracees.is_empty() {
            served = self.next();
            self.tell_end();
        }
        self.tell_end();
        self.gives_up();
        served
    }

    /// The programs are gone, or will be at once.
    pub fn gives_up(&mut self) {
        for tid in self.tracees.keys().copied().collect::<Vec<_>>() {
            self.ended(tid, libc::SIGKILL);
        }
        self.end_stand_ins();
        self.netlinks.close_all();
        self.forget_netlinks();
        self.lab.programs_are_gone(self.server);
    }

    pub(super) fn server(&self) -> Server {
        self.server
    }

    fn next(&mut self) -> io::Result<()> {
        let stopped = self.host.wait()?;
        if let Some((tid, status)) = stopped {
            match self.stopped(tid, Stop::of(status)).map_err(|error| (error.raw_os_error(), error)) {
                // A thread that is killed while we look at it answers ESRCH to all; that it has ended comes next.
                Ok(()) | Err((Some(libc::ESRCH), _)) => {}
                // It has made impossible what it needs, and nobody else.
                Err((Some(libc::EFAULT | libc::EINVAL | libc::EIO | libc::EPERM), error)) => {
                    self.give_up(tid, &error)?
                }
                Err((_, error)) => return Err(error),
            }
        }
        self.take_effects();
        if self.lab.programs.elsewhere().is_some() {
            self.host.look_at_all();
        }
        self.segments.drop_unused(&self.lab);
        Ok(())
    }

    /// Ends the process of a thread with which nothing more can be done.
    fn give_up(&mut self, tid: Tid, error: &io::Error) -> io::Result<()> {
        let tgid = self.tracees.get(&tid).map_or(tid, |tracee| tracee.tgid);
        self.host
            .say(&format!("a program is killed, as its memory or its registers are out of reach: {}", describe(error)));
        match self.host.kill(tgid, libc::SIGKILL) {
            // It is gone.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            killed => killed,
        }
    }

    fn stopped(&mut self, tid: Tid, stop: Stop) -> io::Result<()> {
        self.netlinks.receives_no_more(tid);
        if !self.tracees.contains_key(&tid) {
            return match stop {
                Stop::Ended(_) => {
                    self.early.insert(tid);
                    Ok(())
                }
                _ => self.stranger_stops(tid),
            };
        }
        match stop {
            Stop::Ended(status) => {
                self.ended(tid, status);
                Ok(())
            }
            Stop::Filter => self.call_begins(tid),
            Stop::Exec => self.has_become_another(tid),
            Stop::Event(signal) => self.event(tid, signal),
            Stop::Exit => self.call_ends(tid),
            Stop::Signal(signal) => self.signal(tid, signal),
        }
    }

    pub(super) fn ended(&mut self, tid: Tid, status: i32) {
        let Some(tracee) = self.tracees.remove(&tid) else { return };
        self.held.remove(&tid);
        self.note_end(tracee.task, status);
        self.condemned.remove(&tid);
        self.lab.programs.unbind(tid.unsigned_abs());
        self.by_task.remove(&tracee.task);
        if let Some(piece) = tracee.scratch {
            tracee.space.leave(piece);
        }
        if let Doing::Call(detour) = &tracee.doing
            && let Then::StandIn { task, host } = detour.then
        {
            self.opened_stand_in(tid, -1, task, host);
        }
        if let Doing::Birth(parent) = tracee.doing
            && !parent.is_born
        {
            self.undo_birth(parent.child);
        }
        let dead = self.lab.read(|k| dead_in(k, tracee.task)).unwrap_or_default();
        // The lab may have ended the task before, by the hand of another.
        let _ = self.perform(tracee.task, &LabCall::Program(Program::Ended { status }).into());
        self.lab.programs.leave(tracee.task);
        dead.into_iter().for_each(|task| self.reap(task));
        if tid == self.first {
            self.status = Some(status);
        }
    }

    /// Says that the first program has ended, once those have too that die with it: who looks then finds what is left.
    fn tell_end(&mut self) {
        if let Some(status) = self.status.filter(|_| !self.has_told_end && !self.is_one_dying()) {
            self.has_told_end = true;
            self.host.has_ended(status);
        }
    }

    /// Waits for a dead process in place of its parent, where that is no program and nobody else would: the lab's init as it
    /// boots, and the task that the first program is a child of.
    fn reap(&mut self, task: TaskId) {
        let parent = |k: &Kernel| {
            let parent = k.tasks.get(task).map(|_| k.real_parent_of(task)).filter(|parent| !k.is_program(*parent))?;
            Some((parent, k.task_nr_ns(task, k.task_active_pid_ns(parent))))
        };
        if let Ok(Some((parent, number))) = self.lab.read(parent) {
            let call = Syscall::Wait { pid: PidArg::Own(number), options: WNOHANG };
            // It may not be dead yet, as another of its threads is not; then that is the last.
            let _ = self.perform(parent, &call.into());
        }
    }

    fn take_effects(&mut self) {
        while let Ok(effects) = self.effects.try_recv() {
            for effect in effects {
                match effect {
                    Effect::Signal { task, to_group, info, if_blocked } => {
                        self.send(task, to_group, &info, if_blocked);
                    }
                    Effect::Kill(task) => match self.of_task(task).map(|tracee| tracee.tgid) {
                        Some(tgid) => {
                            self.condemned.insert(tgid, libc::SIGKILL);
                            drop(self.host.kill(tgid, libc::SIGKILL));
                        }
                        None => self.end_stand_in(task),
                    },
                    Effect::Tell { cookie, .. } => self.tell_socket(cookie.socket, cookie.bytes.to_vec()),
                    Effect::Wake(task) => self.wake(task),
                    Effect::Ready(task) => self.ready(task),
                    Effect::Freezes(task) => self.freezes(task),
                }
            }
        }
    }

    pub(super) fn of_task(&self, task: TaskId) -> Option<&Tracee> {
        self.tracees.get(self.by_task.get(&task)?)
    }

    pub(super) fn memory(&self, tid: Tid) -> ProgramMemory {
        ProgramMemory { host: Rc::clone(&self.host), tid }
    }

    /// The thread that is stopped.
    pub(super) fn tracee(&mut self, tid: Tid) -> io::Result<&mut Tracee> {
        self.tracees.get_mut(&tid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    pub(super) fn task(&mut self, tid: Tid) -> io::Result<TaskId> {
        self.tracee(tid).map(|tracee| tracee.task)
    }

    /// What the thread was doing, which is over.
    pub(super) fn take_doing(&mut self, tid: Tid) -> io::Result<Doing> {
        self.tracee(tid).map(|tracee| std::mem::replace(&mut tracee.doing, Doing::Running))
    }

    /// The process of `tid` has become another program; the call came from a thread that had another number before.
    fn has_become_another(&mut self, tid: Tid) -> io::Result<()> {
        let former = self.host.event_message(tid)? as Tid;
        if former != tid {
            self.take_over(former, tid);
        }
        let comm = self.host.proc_file(tid, "comm").unwrap_or_default();
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec();
        let line = self.host.proc_file(tid, "cmdline").unwrap_or_default();
        let line = line.strip_suffix(b"\0").unwrap_or(&line);
        let argv = line.split(|&byte| byte == 0).skip(1).map(<[u8]>::to_vec).collect();
        let task = self.task(tid)?;
        let tracee = self.tracee(tid)?;
        tracee.space = Rc::new(Space::default());
        (tracee.scratch, tracee.clear_child_tid) = (None, 0);
        tracee.doing = Doing::Running;
        // What it may be refused for was asked before it became another.
        let _ = self.perform(task, &Syscall::Exec { comm, argv }.into());
        self.keep_time(tid)?;
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// A thread gets the number of its process, whose first thread is gone.
    fn take_over(&mut self, former: Tid, tid: Tid) {
        if let Some(leader) = self.tracees.remove(&tid) {
            self.by_task.remove(&leader.task);
        }
        self.lab.programs.unbind(former.unsigned_abs());
        if let Some(tracee) = self.tracees.remove(&former) {
            self.lab.programs.bind(tid.unsigned_abs(), tracee.task);
            self.by_task.insert(tracee.task, tid);
            self.tracees.insert(tid, Tracee { tid, ..tracee });
        }
    }
}

/// The process of a thread that ends, and those of its children that are dead and that nobody has waited for: they get another
/// parent now.
fn dead_in(k: &Kernel, task: TaskId) -> Vec<TaskId> {
    if !k.tasks.contains(task) {
        return Vec::new();
    }
    let children = k.children_of(task).filter(|child| k.tasks[*child].is_dead());
    children.chain([k.leader_of(task)]).collect()
}
