//! Signals between the lab and real processes, and their stops.
//!
//! The real kernel lets nobody pretend to be another sender of kill(2), but any code below 0 may come with any sender. Codes of
//! the lab that it would refuse are sent as others, and put right before the program sees them.

use std::io;

use super::Supervisor;
use super::filter;
use super::sys::{RawSiginfo, Resume, Tid};
use super::tracee::mask;
use crate::abi::Memory;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::signal::{SIGCONT, SIGKILL, SIGSTOP, Siginfo, sigmask};
use crate::kernel::{Kernel, TaskId};
use crate::syscall::LabCall;
use crate::syscall::program::Program;

/// SI_TKILL, which the real kernel takes for its own.
const SI_TKILL: i32 = -6;
/// What is added to a code that it would not let through.
const MARK: i32 = i32::MIN / 2;

/// The code that is sent for a code of the lab.
fn sent(code: i32) -> i32 {
    if code >= 0 || code == SI_TKILL { MARK + code } else { code }
}

/// The code of the lab that was sent so.
fn meant(code: i32) -> i32 {
    if code < MARK / 2 { code - MARK } else { code }
}

fn is_job_control(signal: i32) -> bool {
    matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}

fn is_stop(signal: i32) -> bool {
    signal == SIGSTOP || is_job_control(signal)
}

/// The codes of SIGCHLD (`CLD_EXITED` to `CLD_CONTINUED`).
pub(super) fn is_of_child(code: i32) -> bool {
    (1..=6).contains(&code)
}

/// `siginfo_t` as it is sent.
fn raw(info: &Siginfo) -> RawSiginfo {
    let mut words = [0; 32];
    [words[0], words[2]] = [info.signo, sent(info.code)];
    [words[4], words[5]] = [info.pid.own(), info.uid.cast_signed()];
    // Of a child a status stands where others have a value.
    let [low, high] = [info.value as u32, (info.value >> 32) as u32].map(u32::cast_signed);
    [words[6], words[7]] = if is_of_child(info.code) { [info.status, 0] } else { [low, high] };
    RawSiginfo(words)
}

impl Supervisor {
    /// Sends a signal of the lab to a real process or thread.
    pub(super) fn send(&mut self, task: TaskId, to_group: bool, info: &Siginfo, if_blocked: bool) {
        if info.signo == SIGCONT && !self.held.is_empty() {
            self.release_held();
        }
        let Some(tracee) = self.of_task(task) else { return };
        let (tid, tgid) = (tracee.tid, tracee.tgid);
        let is_blocked = || {
            let set = self.host.proc_file(tid, "status").ok().and_then(|status| mask(&status, "SigBlk:"));
            set.is_some_and(|set| set & sigmask(info.signo) != 0)
        };
        if if_blocked && !is_blocked() {
            return;
        }
        if !if_blocked && self.lab.read(|k| ends(k, task, info.signo)).unwrap_or(false) {
            self.condemned.insert(tgid, info.signo);
        }
        // Errors: it is gone, or has as many signals waiting as it may.
        let _ = match info.signo {
            SIGKILL | SIGSTOP => self.host.kill(tgid, info.signo),
            signo => self.host.queue(tgid, (!to_group).then_some(tid), signo, &raw(info)),
        };
        if self.is_frozen(tid) && !is_blocked() {
            self.meets_end(tid, info.signo);
        }
    }

    /// A thread is about to get a signal.
    pub(super) fn signal(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        self.wait_ends(tid, true)?;
        let mut info = self.host.siginfo(tid)?;
        if let Some(number) = foreign(signal, &info) {
            return self.refuse_foreign(tid, number);
        }
        let own = self.meant_by(tid, [info.code(), info.0[4], info.0[5]]);
        if own != [info.code(), info.0[4], info.0[5]] {
            [info.0[2], info.0[4], info.0[5]] = own;
            self.host.set_siginfo(tid, info)?;
        }
        let task = self.task(tid)?;
        let ours = self.own_group;
        let is_of_host = |k: &Kernel| self.groups.get(&k.signal_of(task).pgrp.id()) == Some(&ours);
        let signal = self.lab.read(|k| delivered(k, task, signal, info.code(), is_of_host(k))).unwrap_or(signal);
        if self.is_frozen(tid) && !self.is_fatal(tid, signal) {
            return self.keep(tid, signal);
        }
        if signal == 0 {
            let tgid = self.tracee(tid)?.tgid;
            self.condemned.remove(&tgid);
        }
        self.host.resume(tid, Resume::Cont, signal)
    }

    /// Whether a process is about to end, by a signal that it was sent. One that blocks the signal, or is stopped, may live on
    /// for ever.
    pub(super) fn is_one_dying(&self) -> bool {
        self.condemned.iter().any(|(&tgid, &signal)| {
            let Some(leader) = self.tracees.get(&tgid) else { return false };
            let blocked = || self.host.proc_file(tgid, "status").ok().and_then(|status| mask(&status, "SigBlk:"));
            let may_wait = leader.is_stopped || self.held.contains(&tgid);
            signal == SIGKILL || !may_wait && blocked().is_some_and(|set| set & sigmask(signal) == 0)
        })
    }

    /// A thread has stopped: with its process, as a newborn, or because we asked for it.
    pub(super) fn event(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        if is_stop(signal) {
            return self.stops(tid, signal);
        }
        self.wait_ends(tid, false)?;
        if std::mem::take(&mut self.tracee(tid)?.is_stopped) {
            self.goes_on(tid)?;
        }
        self.begins_to_run(tid)
    }

    fn stops(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        self.wait_ends(tid, false)?;
        let tracee = self.tracee(tid)?;
        tracee.is_stopped = true;
        let (task, tgid) = (tracee.task, tracee.tgid);
        // The first of its threads tells of the process.
        let told = self.lab.read(|k| k.signal_of(task).stop_signal.is_some()).unwrap_or(true);
        if !told {
            let _ = self.perform(task, &LabCall::Program(Program::Stopped { signo: signal }).into());
        }
        self.host.resume(tid, Resume::Listen, 0)?;
        self.stop_with(tgid, signal);
        Ok(())
    }

    /// What was written to a `siginfo_t` by a call, as the lab meant it.
    pub(super) fn own_siginfo(&self, tid: Tid, addr: u64) {
        const CODE_AT: u64 = 8;
        const PID_AT: u64 = 16;
        let memory: &mut dyn Memory = &mut self.memory(tid);
        let word = |at: u64| memory.u32(addr.wrapping_add(at)).map(u32::cast_signed);
        let (Ok(code), Ok(pid), Ok(uid)) = (word(CODE_AT), word(PID_AT), word(PID_AT + 4)) else { return };
        let own = self.meant_by(tid, [code, pid, uid]);
        if own != [code, pid, uid] {
            // It could be written a moment ago.
            let _ = memory.put_u32(addr.wrapping_add(CODE_AT), own[0].cast_unsigned());
            let _ = memory.write(addr.wrapping_add(PID_AT), &[own[1], own[2]].map(i32::to_ne_bytes).concat());
        }
    }

    /// The code of a signal, its sender and the sender's user, as the lab meant them. What the real kernel sends in the name of a
    /// process, such as SIGPIPE, or somebody outside the lab, has numbers of the host.
    pub(super) fn meant_by(&self, tid: Tid, [code, pid, uid]: [i32; 3]) -> [i32; 3] {
        const SI_USER: i32 = 0;
        if meant(code) != code {
            return [meant(code), pid, uid];
        }
        if !matches!(code, SI_USER | SI_TKILL) || pid == 0 {
            return [code, pid, uid];
        }
        let own = self.own_number(tid, pid);
        [code, own, self.own_uid(tid, pid).unwrap_or(OVERFLOW_ID).cast_signed()]
    }

    /// The terminal has stopped the first program, with which we share a process group: who waits for us waits for that.
    fn stop_with(&self, tgid: Tid, signal: i32) {
        if tgid == self.first && signal != SIGCONT {
            self.host.stop_with(tgid);
        }
    }

    /// The process goes on, perhaps because somebody outside the lab wants it.
    fn goes_on(&mut self, tid: Tid) -> io::Result<()> {
        let task = self.task(tid)?;
        if self.lab.read(|k| k.signal_of(task).stop_signal.is_some()).unwrap_or(false) {
            let _ = self.perform(task, &LabCall::Program(Program::Continued).into());
        }
        self.release_held();
        Ok(())
    }
}

/// The call of another interface that our filter has taken from a thread, if that is what a signal says.
fn foreign(signal: i32, info: &RawSiginfo) -> Option<i32> {
    const SYS_SECCOMP: i32 = 1;
    let is_ours = info.code() == SYS_SECCOMP && info.0[1] == filter::FOREIGN;
    (signal == libc::SIGSYS && is_ours).then_some(info.0[6])
}

/// Whether a signal ends a process that gets it: it has no handler, and the default action is that.
fn ends(k: &Kernel, task: TaskId, signal: i32) -> bool {
    let Some(found) = k.tasks.get(task) else { return false };
    let is_default = (k.sighand_of(task).ignored | k.sighand_of(task).handled) & sigmask(signal) == 0;
    let survives = matches!(signal, 0 | SIGCONT | SIGSTOP | libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH)
        || is_job_control(signal)
        || k.signals[found.signal].unkillable && signal != SIGKILL;
    is_default && !survives
}

/// What becomes of a signal that the real kernel is about to deliver, 0 for nothing: the init of a pid namespace has no default
/// actions, and whether a stop of a terminal is one depends on the process group, which is the lab's, unless it is the one that we
/// are in.
fn delivered(k: &Kernel, task: TaskId, signal: i32, code: i32, is_of_host: bool) -> i32 {
    let Some(found) = k.tasks.get(task) else { return signal };
    let is_default = (k.sighand_of(task).ignored | k.sighand_of(task).handled) & sigmask(signal) == 0;
    let is_fault =
        matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP | libc::SIGSYS);
    if !is_default || is_fault && code > 0 {
        return signal;
    }
    if k.signals[found.signal].unkillable && !matches!(signal, SIGKILL | SIGSTOP) {
        return 0;
    }
    match is_job_control(signal) && !is_of_host {
        true if k.is_pgrp_orphaned(k.signals[found.signal].pgrp.id(), None) => 0,
        true => SIGSTOP,
        false => signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_come_back() {
        for code in [0, 1, 6, 0x80, SI_TKILL, -1, -3, -100] {
            assert!(sent(code) < 0 && sent(code) != SI_TKILL, "{code}");
            assert_eq!(meant(sent(code)), code);
        }
    }
}
