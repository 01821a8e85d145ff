//! New threads and processes. The lab's clone comes first, and its refusal ends the call. The real one makes every process a
//! child of the supervisor, and takes no namespaces.

use std::io;
use std::rc::Rc;

use super::Supervisor;
use super::regs::{CLONE, CLONE3, Regs};
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Newborn, Parent};
use crate::abi::{Birth, Memory};
use crate::kernel::TaskId;
use crate::kernel::ns::NS_TABLE;
use crate::kernel::task::Task;
use crate::syscall::program::Program;
use crate::syscall::{CloneArgs, CloneFlags, LabCall, Stop};

/// What the real kernel does for a program besides the lab: it has no part in the task that the lab makes.
const REAL_ONLY: CloneFlags = CloneFlags::PIDFD
    .union(CloneFlags::VFORK)
    .union(CloneFlags::PTRACE)
    .union(CloneFlags::UNTRACED)
    .union(CloneFlags::SETTLS)
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_SETTID)
    .union(CloneFlags::CHILD_CLEARTID)
    .union(CloneFlags::IO);

/// What the real kernel is not asked: the lab has done it, we do, or it would take the child away from us.
const NOT_REAL: CloneFlags = CloneFlags::PTRACE
    .union(CloneFlags::UNTRACED)
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_SETTID)
    .union(CloneFlags::INTO_CGROUP);

/// Fields of `struct clone_args` that are used.
const CLONE_ARGS: usize = 8;
/// Fields of it by index.
const STACK: usize = 5;
const STACK_SIZE: usize = 6;
const TLS: usize = 7;

fn namespaces() -> CloneFlags {
    CloneFlags::from_bits_retain(NS_TABLE.iter().fold(0, |flags, ops| flags | ops.clone_flag))
}

impl Supervisor {
    /// A thread is at a call that makes another.
    pub(super) fn birth(&mut self, tid: Tid, regs: Regs, birth: Birth) -> io::Result<()> {
        let flags = CloneFlags::from_bits_retain(birth.call.flags);
        // What the lab has made is not made again: whether there is memory for the real call is asked before.
        if flags.contains(CloneFlags::CLEAR_SIGHAND) && self.with_scratch(tid, regs, &[0; 8 * CLONE_ARGS])?.is_none() {
            return Ok(());
        }
        let task = self.task(tid)?;
        let cgroup = match birth.call.cgroup.map(|fd| self.cgroup_descriptor(tid, task, fd)).transpose() {
            Ok(cgroup) => cgroup,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        let args = CloneArgs { flags: (flags - REAL_ONLY).bits(), cgroup, ..birth.call.clone() };
        let made = self.make_task(task, args);
        if let Some(fd) = cgroup {
            self.close(task, fd);
        }
        let child = match made {
            Ok(child) => child,
            Err(Stop::Failed(error) | Stop::Blocked { why: error, .. }) => return self.refuse(tid, regs, &error),
        };
        let number = self.lab.read(|k| k.task_nr_ns(child, k.task_active_pid_ns(task))).unwrap_or(0);
        let real = self.real_call(tid, &regs, &birth, flags)?;
        let addr = |flag, addr| flags.contains(flag).then_some(addr);
        self.tracee(tid)?.doing = Doing::Birth(Box::new(Parent {
            regs,
            child,
            is_born: false,
            flags: flags.bits(),
            parent_tid: addr(CloneFlags::PARENT_SETTID, birth.parent_tid),
            child_tid: addr(CloneFlags::CHILD_SETTID, birth.child_tid),
            pidfd: addr(CloneFlags::PIDFD, birth.pidfd),
            number,
        }));
        self.host.set_registers(tid, real.0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    /// The call of the real kernel: the old clone, unless it cannot say what is wanted. Neither looks at the last argument, which
    /// tells whose child it is: the child begins with its parent's registers.
    fn real_call(&mut self, tid: Tid, regs: &Regs, birth: &Birth, flags: CloneFlags) -> io::Result<Regs> {
        // The child is traced as its parent is.
        let mut real = (flags - NOT_REAL - namespaces()) | CloneFlags::PTRACE;
        if !flags.contains(CloneFlags::THREAD) {
            real |= CloneFlags::PARENT;
        }
        let field = |index: usize| {
            let bytes = birth.clone3.as_ref().and_then(|raw| raw.get(8 * index..8 * index + 8)?.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        if real.contains(CloneFlags::CLEAR_SIGHAND) {
            let words: [u64; CLONE_ARGS] =
                [real.bits(), birth.pidfd, birth.child_tid, 0, 0, field(STACK), field(STACK_SIZE), field(TLS)];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let scratch = self.tracee(tid)?.scratch.unwrap_or_default();
            self.host.write_memory(tid, scratch, &bytes)?;
            return Ok(regs.with(CLONE3, [scratch, bytes.len() as u64, 0, 0, 0, tid as u64]));
        }
        let pidfd = if flags.contains(CloneFlags::PIDFD) { birth.pidfd } else { 0 };
        let (stack, tls) = match &birth.clone3 {
            Some(_) => (field(STACK).wrapping_add(field(STACK_SIZE)), field(TLS)),
            // fork and vfork have no arguments.
            None if regs.number() == CLONE => (regs.args()[1], regs.args()[4]),
            None => (0, 0),
        };
        Ok(regs.with(CLONE, [real.bits(), stack, pidfd, birth.child_tid, tls, tid as u64]))
    }

    /// A thread that nobody knows yet has stopped, as newborns do before all else.
    pub(super) fn stranger_stops(&mut self, child: Tid) -> io::Result<()> {
        let parent = Regs(self.host.registers(child)?).args()[5] as Tid;
        match self.tracees.get_mut(&parent).map(|tracee| &mut tracee.doing) {
            Some(Doing::Birth(birth)) if !birth.is_born => {
                birth.is_born = true;
                let birth = **birth;
                self.child_is_born(parent, child, birth)?;
                self.begins_to_run(child)
            }
            // Who has made it is dead, and nobody will ever know it.
            _ => self.host.kill(child, libc::SIGKILL),
        }
    }

    /// The real kernel has made the child of a thread.
    fn child_is_born(&mut self, tid: Tid, child: Tid, parent: Parent) -> io::Result<()> {
        let Parent { regs, child: task, child_tid, number, .. } = parent;
        if let Some(addr) = parent.parent_tid {
            // Nobody is told of an address that is none.
            let _ = self.memory(tid).write(addr, &number.to_ne_bytes());
        }
        let flags = CloneFlags::from_bits_retain(parent.flags);
        let (is_thread, shares) = (flags.contains(CloneFlags::THREAD), flags.contains(CloneFlags::VM));
        let tracee = self.tracee(tid)?;
        let (tgid, scratch, filters) = (tracee.tgid, tracee.scratch, (tracee.has_netlink, tracee.has_clock));
        let heeds = tracee.heeds.clone();
        let space = if shares { Rc::clone(&tracee.space) } else { Rc::new(tracee.space.copy()) };
        self.bind(child, if is_thread { tgid } else { child }, task, space);
        let newborn = self.tracee(child)?;
        newborn.scratch = scratch.filter(|_| !shares);
        (newborn.has_netlink, newborn.has_clock) = filters;
        newborn.heeds = heeds;
        newborn.doing = Doing::Newborn(Box::new(Newborn { regs, child_tid }));
        // Somebody may have killed the task before there was a process.
        if self.lab.read(|k| k.tasks.get(task).is_none_or(Task::is_dead)).unwrap_or(false) {
            self.host.kill(child, libc::SIGKILL)?;
        }
        Ok(())
    }

    /// The first stop of a thread.
    pub(super) fn begins_to_run(&mut self, tid: Tid) -> io::Result<()> {
        if let Doing::Newborn(newborn) = &self.tracee(tid)?.doing {
            let (wanted, child_tid) = (newborn.regs, newborn.child_tid);
            self.take_doing(tid)?;
            let regs = Regs(self.host.registers(tid)?);
            self.host.set_registers(tid, regs.as_wanted(&wanted).0)?;
            let task = self.task(tid)?;
            let number = self.lab.read(|k| k.task_nr_ns(task, k.task_active_pid_ns(task))).unwrap_or(0);
            if let Some(addr) = child_tid {
                let _ = self.memory(tid).write(addr, &number.to_ne_bytes());
            }
            self.keep_time(tid)?;
        }
        if self.is_frozen(tid) {
            return self.keep(tid, 0);
        }
        self.go_on(tid)
    }

    /// A thread is at the end of the call that makes a child, which may have stopped before, or not yet.
    pub(super) fn birth_ends(&mut self, tid: Tid, regs: Regs, mut parent: Parent) -> io::Result<()> {
        let mut result = regs.result();
        let child = result as Tid;
        if child > 0 && !parent.is_born {
            parent.is_born = true;
            self.child_is_born(tid, child, parent)?;
            // Unless it was killed before it could stop.
            if self.early.remove(&child) && self.host.proc_file(child, "comm").is_err() {
                self.ended(child, libc::SIGKILL);
            }
        }
        if parent.is_born {
            result = parent.number.into();
            let mut fd = [0; 4];
            if let Some(addr) = parent.pidfd
                && self.memory(tid).read(addr, &mut fd).is_ok()
            {
                self.note_pidfd(tid, i32::from_ne_bytes(fd), parent.child);
            }
        } else {
            self.undo_birth(parent.child);
        }
        self.host.set_registers(tid, regs.as_wanted(&parent.regs).with_result(result).0)?;
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// The real kernel had no room for a child that the lab has made.
    pub(super) fn undo_birth(&mut self, child: TaskId) {
        // It may have been killed by now.
        let _ = self.perform(child, &LabCall::Program(Program::NeverRan).into());
        self.lab.programs.leave(child);
    }
}
