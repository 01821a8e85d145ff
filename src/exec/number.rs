//! Numbers of processes, groups and sessions: the program's, and those of the host.

use std::io;

use super::Supervisor;
use super::regs::Regs;
use super::sys::{Resume, Tid};
use super::tracee::Then;
use crate::abi::{self, Call, Memory};
use crate::errno::Result;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::{Kernel, PidId, TaskId};
use crate::syscall::PidArg;
use crate::{bail, err};

/// What getpriority and setpriority call a process, a process group, a user.
const PRIO_PROCESS: u64 = 0;
const PRIO_PGRP: u64 = 1;
const PRIO_USER: u64 = 2;

/// What `struct f_owner_ex` calls a process group.
const F_OWNER_PGRP: u32 = 2;

impl Supervisor {
    /// The host's number of what the program calls so; `None`: nobody it can see is a program.
    fn host_tid(&self, task: TaskId, number: i32) -> Option<Tid> {
        let find = |k: &Kernel| k.find_task_by_pid_ns(number, k.task_active_pid_ns(task));
        self.lab.programs.thread(self.lab.read(find).ok()??)?.try_into().ok()
    }

    /// The program's number of a process or thread of the host, 0 if it cannot see it.
    pub(super) fn own_number(&self, tid: Tid, host: Tid) -> i32 {
        let Some((me, other)) = self.tracees.get(&tid).zip(self.task_of(host)) else { return 0 };
        self.lab
            .read(|k| if k.tasks.contains(other) { k.task_nr_ns(other, k.task_active_pid_ns(me.task)) } else { 0 })
            .unwrap_or(0)
    }

    /// The task that a thread of the host is, or was, here or of another supervisor.
    fn task_of(&self, host: Tid) -> Option<TaskId> {
        self.lab.programs.task_ever(u32::try_from(host).ok()?)
    }

    /// Arguments that are numbers of processes, 0 for the caller.
    pub(super) fn with_pids(&mut self, tid: Tid, regs: Regs, which: &[usize]) -> io::Result<()> {
        let task = self.task(tid)?;
        let mut args = regs.args();
        for &index in which {
            let number = args[index] as i32;
            if number <= 0 {
                continue;
            }
            match self.host_tid(task, number) {
                Some(host) => args[index] = host as u64,
                None => {
                    let error = err!(ESRCH, "no program is {} in the pid namespace of the caller", number);
                    return self.refuse(tid, regs, &error);
                }
            }
        }
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    /// getpriority and its like: the first argument says what the second is. What would reach processes that are not of the lab
    /// is refused.
    pub(super) fn with_who(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        // ioprio_set and ioprio_get count from 1.
        let first = u32::from(matches!(abi::call(regs.number()), Some(Call::IoprioSet | Call::IoprioGet)));
        let sets = matches!(abi::call(regs.number()), Some(Call::Setpriority | Call::IoprioSet));
        match u64::from((regs.args()[0] as u32).wrapping_sub(first)) {
            PRIO_PROCESS => self.with_pids(tid, regs, &[1]),
            PRIO_PGRP => {
                let (task, number) = (self.task(tid)?, regs.args()[1] as i32);
                let Some(host) = self.host_group(task, number) else {
                    return self.refuse(tid, regs, &err!(ESRCH, "no program is in process group {}", number));
                };
                if sets && host == self.own_group {
                    let error =
                        err!(EPERM, "processes of the host are in process group {} as well, as nslab itself", number);
                    return self.refuse(tid, regs, &error);
                }
                let mut args = regs.args();
                args[1] = host as u64;
                self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
            }
            PRIO_USER if sets => self.refuse(
                tid,
                regs,
                &err!(EPERM, "the processes of a user are the host's: name a process or a group"),
            ),
            _ => self.host.resume(tid, Resume::Cont, 0),
        }
    }

    /// fcntl about the receiver of SIGIO and the holder of a lock.
    pub(super) fn with_owner(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        const F_GETLK: u64 = 5;
        const F_SETOWN: u64 = 8;
        const F_GETOWN: u64 = 9;
        const F_SETOWN_EX: u64 = 15;
        const F_GETOWN_EX: u64 = 16;
        /// Where `struct flock` has the holder.
        const L_PID: u64 = 24;
        let (task, args) = (self.task(tid)?, regs.args());
        match args[1] {
            F_SETOWN => {
                let host = match self.host_owner(task, args[2] as i32) {
                    Ok(host) => host,
                    Err(error) => return self.refuse(tid, regs, &error),
                };
                let mut other = args;
                other[2] = host as i64 as u64;
                self.detour(tid, regs, regs.with(regs.number(), other), Then::Keep)
            }
            F_GETOWN => self.detour(tid, regs, regs, Then::Owner),
            F_GETLK => self.detour(tid, regs, regs, Then::ProcessAt(args[2].wrapping_add(L_PID))),
            F_SETOWN_EX => self.set_owner(tid, regs),
            F_GETOWN_EX => self.detour(tid, regs, regs, Then::OwnerAt(args[2])),
            _ => self.host.resume(tid, Resume::Cont, 0),
        }
    }

    /// The host's number of who is to get the signals of a descriptor: of a process, or of a group if it is negative.
    ///
    /// # Errors
    /// ESRCH: no program has the number; EPERM: nslab itself and others of the host are in the group as well.
    fn host_owner(&self, task: TaskId, number: i32) -> Result<Tid> {
        let host = match number {
            0 => Some(0),
            1.. => self.host_tid(task, number),
            _ => self.host_group(task, number.wrapping_neg()).map(|group| -group),
        };
        match host {
            Some(host) if host < 0 && -host == self.own_group => {
                bail!(EPERM, "processes of the host are in process group {} as well, as nslab itself", -number)
            }
            Some(host) => Ok(host),
            None => bail!(ESRCH, "no program has the number {}", number),
        }
    }

    /// FIOSETOWN and SIOCSPGRP of a socket: as F_SETOWN, the number being in memory.
    pub(super) fn set_owner_at(&mut self, tid: Tid, regs: Regs, addr: u64) -> io::Result<()> {
        let task = self.task(tid)?;
        let Ok(number) = (&self.memory(tid) as &dyn Memory).u32(addr) else {
            return self.host.resume(tid, Resume::Cont, 0);
        };
        let host = match self.host_owner(task, number.cast_signed()) {
            Ok(host) => host,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        let Some(scratch) = self.with_scratch(tid, regs, &host.to_ne_bytes())? else { return Ok(()) };
        let mut args = regs.args();
        args[2] = scratch;
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    /// F_SETOWN_EX, with a `struct f_owner_ex` of ours: what kind, and its number.
    fn set_owner(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let (task, mut args) = (self.task(tid)?, regs.args());
        let memory: &dyn Memory = &self.memory(tid);
        let (Ok(kind), Ok(number)) = (memory.u32(args[2]), memory.u32(args[2].wrapping_add(4))) else {
            return self.host.resume(tid, Resume::Cont, 0);
        };
        let number = number.cast_signed();
        let host = match kind {
            F_OWNER_PGRP => self.host_owner(task, number.wrapping_neg()).map(|group| -group),
            _ => self.host_owner(task, number),
        };
        let host = match host {
            Ok(host) => host,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        let owner = [kind.to_ne_bytes(), host.to_ne_bytes()].concat();
        let Some(scratch) = self.with_scratch(tid, regs, &owner)? else { return Ok(()) };
        args[2] = scratch;
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    /// The `struct f_owner_ex` at an address has the program's number.
    pub(super) fn own_owner_at(&self, tid: Tid, addr: u64) {
        let memory: &dyn Memory = &self.memory(tid);
        match memory.u32(addr) {
            Ok(F_OWNER_PGRP) => self.own_number_at(tid, addr.wrapping_add(4)),
            Ok(_) => self.own_process_at(tid, addr.wrapping_add(4)),
            Err(_) => {}
        }
    }

    /// The number of a process or thread at an address becomes the program's; a negative one is a group.
    pub(super) fn own_process_at(&self, tid: Tid, addr: u64) {
        let memory: &mut dyn Memory = &mut self.memory(tid);
        let Ok(host) = memory.u32(addr) else { return };
        // It could be written a moment ago.
        let _ = memory.put_u32(addr, self.own_owner(tid, host.cast_signed()).cast_unsigned());
    }

    /// The program's number of a process of the host, or of a group if it is negative. A lock of an open file has the holder -1.
    pub(super) fn own_owner(&self, tid: Tid, host: i32) -> i32 {
        match host {
            -1 => -1,
            0.. => self.own_number(tid, host),
            _ => self.tracees.get(&tid).map_or(0, |tracee| -self.own_group(tracee.task, host.wrapping_neg())),
        }
    }

    /// Credentials of who is at the other end of a socket.
    pub(super) fn with_peer(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        const SOL_SOCKET: u64 = 1;
        const SO_PEERCRED: u64 = 17;
        const SO_PEERPIDFD: u64 = 77;
        match (regs.args()[1], regs.args()[2]) {
            (SOL_SOCKET, SO_PEERCRED) => self.detour(tid, regs, regs, Then::Credentials(regs.args()[3])),
            (SOL_SOCKET, SO_PEERPIDFD) => self.detour(tid, regs, regs, Then::PidfdAt(regs.args()[3])),
            _ => self.host.resume(tid, Resume::Cont, 0),
        }
    }

    /// `struct ucred`: pid, uid, gid. The ids are those of the other end's task, effective or real ones, as the program's user
    /// namespace has them.
    pub(super) fn own_credentials(&self, tid: Tid, addr: u64, effective: bool) {
        let mut memory = self.memory(tid);
        let mut pid = [0; 4];
        if memory.read(addr, &mut pid).is_err() {
            return;
        }
        let host = i32::from_ne_bytes(pid);
        let Some((me, other)) = self.tracees.get(&tid).zip(self.task_of(host)) else {
            // Nobody whom the lab shows, who has no number here.
            let _ = memory.write(addr, &[0; 4]);
            return;
        };
        let ids = self.lab.read(|k| {
            let ids = k.tasks.contains(other).then(|| k.cred_of(other).ids)?;
            let ns = &k.namespaces[k.cred_of(me.task).user_ns.id()];
            let (uid, gid) = if effective { (ids.euid, ids.egid) } else { (ids.uid, ids.gid) };
            Some([ns.from_kuid(uid), ns.from_kgid(gid)].map(|id| id.unwrap_or(OVERFLOW_ID)))
        });
        let Ok(Some([uid, gid])) = ids else { return };
        let number = self.own_number(tid, host).cast_unsigned();
        let words = [number, uid, gid].map(u32::to_ne_bytes).concat();
        // It could be written a moment ago.
        let _ = memory.write(addr, &words);
    }

    /// The user of a process of the host that is of the lab, as the program's user namespace has it.
    pub(super) fn own_uid(&self, tid: Tid, host: Tid) -> Option<u32> {
        let (me, other) = self.tracees.get(&tid).zip(self.task_of(host))?;
        let uid = |k: &Kernel| {
            let kuid = k.tasks.contains(other).then(|| k.cred_of(other).ids.uid)?;
            k.namespaces[k.cred_of(me.task).user_ns.id()].from_kuid(kuid)
        };
        self.lab.read(uid).ok().flatten()
    }

    /// A timer that signals a certain thread.
    pub(super) fn with_sigevent(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        const SIGEV_THREAD_ID: i32 = 4;
        const NOTIFY: u64 = 12;
        const THREAD: u64 = 16;
        let event = regs.args()[1];
        let memory = self.memory(tid);
        let word = |at: u64| {
            let mut word = [0; 4];
            memory.read(event.wrapping_add(at), &mut word).map(|()| i32::from_ne_bytes(word))
        };
        if event == 0 || !matches!(word(NOTIFY), Ok(SIGEV_THREAD_ID)) {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let Ok(number) = word(THREAD) else { return self.host.resume(tid, Resume::Cont, 0) };
        let Some(host) = self.host_tid(self.tracees[&tid].task, number) else {
            return self.refuse(tid, regs, &err!(EINVAL, "{} is no thread of the caller", number));
        };
        let mut bytes = [0; 64];
        if let Err(error) = memory.read(event, &mut bytes) {
            return self.refuse(tid, regs, &error);
        }
        bytes[THREAD as usize..][..4].copy_from_slice(&host.to_ne_bytes());
        let Some(scratch) = self.with_scratch(tid, regs, &bytes)? else { return Ok(()) };
        let mut args = regs.args();
        args[1] = scratch;
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    /// The host's process group of a number that the program knows.
    pub(super) fn host_group(&self, task: TaskId, number: i32) -> Option<Tid> {
        let find = |k: &Kernel| match number {
            0 => Some(k.signal_of(task).pgrp.id()),
            _ => k.find_pid_ns(number, k.task_active_pid_ns(task)),
        };
        self.groups.get(&self.lab.read(find).ok()??).copied()
    }

    /// The program's number of a process group or session of the host, 0 if it cannot see it.
    pub(super) fn own_group(&self, task: TaskId, host: Tid) -> i32 {
        let group = self.groups.iter().find(|(_, number)| **number == host).map(|(group, _)| *group);
        let Some(group) = group else { return 0 };
        let number = |k: &Kernel| Some(k.pids.get(group)?.nr_in(k.task_active_pid_ns(task)).unwrap_or(0));
        self.lab.read(number).ok().flatten().unwrap_or(0)
    }

    pub(super) fn own_number_at(&self, tid: Tid, addr: u64) {
        let mut memory = self.memory(tid);
        let mut word = [0; 4];
        if memory.read(addr, &mut word).is_err() {
            return;
        }
        let Some(tracee) = self.tracees.get(&tid) else { return };
        let number = self.own_group(tracee.task, i32::from_ne_bytes(word));
        // It could be written a moment ago.
        let _ = memory.write(addr, &number.to_ne_bytes());
    }

    /// The lab has moved a process to a group: its real one moves too. A process does so itself where it is the caller; for
    /// another one the supervisor does, its parent.
    pub(super) fn move_to_group(&mut self, tid: Tid, regs: Regs, pid: PidArg) -> io::Result<()> {
        let task = self.task(tid)?;
        let target = self.lab.read(|k| match pid.number() {
            0 => Some(k.leader_of(task)),
            number => k.find_task_by_pid_ns(number, k.task_active_pid_ns(task)),
        });
        let target = target.ok().flatten().and_then(|target| self.of_task(target).map(|tracee| (target, tracee.tgid)));
        let Some((target, tgid)) = target else { return self.skip(tid, regs, 0) };
        let Some(group) = self.note_group(target, tgid) else { return self.skip(tid, regs, 0) };
        if tgid == self.tracee(tid)?.tgid {
            let args = [0, group as u64, 0, 0, 0, 0];
            return self.detour(tid, regs, regs.with(regs.number(), args), Then::Always(0));
        }
        self.host.set_group(tgid, group);
        self.skip(tid, regs, 0)
    }

    /// The host's number for the group that a process is in now.
    fn note_group(&mut self, task: TaskId, tgid: Tid) -> Option<Tid> {
        let (group, own) = self.lab.read(|k| (k.signal_of(task).pgrp.id(), k.pid_of(k.leader_of(task)))).ok()?;
        if group == own {
            self.forget_groups();
            self.groups.insert(group, tgid);
        }
        self.groups.get(&group).copied()
    }

    /// Groups that are no more have no number.
    fn forget_groups(&mut self) {
        let gone: Vec<PidId> = self
            .lab
            .read(|k| self.groups.keys().copied().filter(|id| !k.pids.contains(*id)).collect())
            .unwrap_or_default();
        for group in gone {
            self.groups.remove(&group);
        }
    }

    /// The caller leads a session and a group of its own.
    pub(super) fn leads_session(&mut self, tid: Tid) -> io::Result<()> {
        let tracee = self.tracee(tid)?;
        let (task, tgid) = (tracee.task, tracee.tgid);
        self.note_group(task, tgid);
        Ok(())
    }
}
