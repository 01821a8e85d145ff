//! The real processes, as the supervisor has them: [`Processes`]. They are children of this process ([`Here`]), or of another one,
//! which is asked over a socket ([`There`](super::there::There)).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid, setpgid};

use super::stage::Child;
use super::sys::{self, RawRegs, RawSiginfo, Resume, Tid};
use super::tracee::Stop;
use super::walk;
use crate::kernel::signal::SIGSTOP;

/// Rings the bell, from any thread.
pub type Ring = Box<dyn Fn() + Send + Sync>;

/// What is done to real processes, and asked about them. A thread that is gone gives ESRCH, sooner or later: of what has no
/// result, the error may be lost.
pub trait Processes: Debug {
    /// Waits until a thread stops or ends; its number and status word. `None`: somebody has rung.
    ///
    /// # Errors
    /// ECHILD: there is none; who has the processes is gone.
    fn wait(&self) -> io::Result<Option<(Tid, i32)>>;

    /// How [`Processes::wait`] is made to return.
    ///
    /// # Errors
    /// None that a machine with memory gives.
    fn ring(&self) -> io::Result<Ring>;

    /// Traces a child from now on, which is killed when we end.
    ///
    /// # Errors
    /// EPERM: the host does not allow it.
    fn seize(&self, tid: Tid) -> io::Result<()>;

    /// Lets the first child become its program.
    ///
    /// # Errors
    /// EPIPE: it is gone.
    fn begin(&self) -> io::Result<()>;

    /// The first program has ended, with this status word.
    fn has_ended(&self, status: i32);

    /// Lets a stopped thread go on, with a signal or 0.
    ///
    /// # Errors
    /// ESRCH
    fn resume(&self, tid: Tid, how: Resume, signal: i32) -> io::Result<()>;

    /// Makes a running thread stop.
    ///
    /// # Errors
    /// ESRCH
    fn interrupt(&self, tid: Tid) -> io::Result<()>;

    /// What belongs to the event that a thread is stopped at.
    ///
    /// # Errors
    /// ESRCH
    fn event_message(&self, tid: Tid) -> io::Result<u64>;

    /// # Errors
    /// ESRCH
    fn registers(&self, tid: Tid) -> io::Result<RawRegs>;

    /// # Errors
    /// ESRCH
    fn set_registers(&self, tid: Tid, regs: RawRegs) -> io::Result<()>;

    /// What belongs to the signal that a thread is about to get.
    ///
    /// # Errors
    /// ESRCH
    fn siginfo(&self, tid: Tid) -> io::Result<RawSiginfo>;

    /// # Errors
    /// ESRCH
    fn set_siginfo(&self, tid: Tid, info: RawSiginfo) -> io::Result<()>;

    /// # Errors
    /// EFAULT: not all of it can be read; ESRCH.
    fn read_memory(&self, tid: Tid, addr: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// # Errors
    /// EFAULT: not all of it can be written; ESRCH.
    fn write_memory(&self, tid: Tid, addr: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes a word to memory of a stopped thread that it cannot write to itself.
    ///
    /// # Errors
    /// EIO: there is no memory, or it is shared; ESRCH.
    fn poke(&self, tid: Tid, addr: u64, word: u64) -> io::Result<()>;

    /// Sends a signal to a process.
    ///
    /// # Errors
    /// ESRCH
    fn kill(&self, pid: Tid, signal: i32) -> io::Result<()>;

    /// Sends a signal with what belongs to it: to the process `tgid`, or to its thread `tid`.
    ///
    /// # Errors
    /// ESRCH; EAGAIN: too many signals are queued.
    fn queue(&self, tgid: Tid, tid: Option<Tid>, signal: i32, info: &RawSiginfo) -> io::Result<()>;

    /// A thread's file below the host's `/proc`, of those that the kernel gives whole to who has room for it.
    ///
    /// # Errors
    /// It is gone.
    fn proc_file(&self, tid: Tid, file: &str) -> io::Result<Vec<u8>>;

    /// A thread's link below the host's `/proc`, such as `cwd` and `fd/0`.
    ///
    /// # Errors
    /// There is none.
    fn link(&self, tid: Tid, name: &str) -> io::Result<Vec<u8>>;

    /// Where a path of the host leads into a directory of the task's own, from there on; `None`: nowhere. `follows`: a link at its end
    /// is followed.
    fn enters(&self, path: &[u8], follows: bool) -> Option<Vec<u8>>;

    /// The number of the inode of what a descriptor shows.
    ///
    /// # Errors
    /// EBADF
    fn inode(&self, tid: Tid, fd: i32) -> io::Result<u64>;

    /// The process group and session that the first program begins in: those of who has the processes.
    fn own_group(&self) -> (Tid, Tid);

    /// Moves a process to a group.
    fn set_group(&self, tgid: Tid, group: Tid);

    /// The first program was stopped by its terminal: who shares its process group `tgid` is, and waits for it, stops too.
    fn stop_with(&self, tgid: Tid);

    /// A process that does nothing until it is ended, or we end.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM: the host has no room for it.
    fn stand_in(&self) -> io::Result<Tid>;

    /// Ends such a process; when this returns it is gone, or will be before anybody goes on.
    fn end_stand_in(&self, tid: Tid);

    /// Calls that name files of the host are to stop, too: the lab has mounted something there.
    fn look_at_all(&self);

    /// Says a line to who has started the first program.
    fn say(&self, line: &str);
}

/// Children of this process, traced by this thread.
#[derive(Debug)]
pub struct Here {
    child: Child,
    bell: Tid,
    /// Who waits for the first program: this process, or the one that has made it.
    waits: Tid,
    stand_ins: RefCell<BTreeSet<Tid>>,
}

impl Here {
    pub fn new(child: Child, bell: Tid, waits: Option<Tid>) -> Here {
        let waits = waits.unwrap_or_else(|| getpid().as_raw());
        Here { child, bell, waits, stand_ins: RefCell::default() }
    }
}

impl Here {
    /// Ends all processes that stand in for others.
    pub fn end_stand_ins(&self) {
        self.stand_ins.take().into_iter().for_each(sys::end);
    }
}

impl Processes for Here {
    fn wait(&self) -> io::Result<Option<(Tid, i32)>> {
        let (tid, status) = sys::wait()?;
        if tid != self.bell {
            return Ok(Some((tid, status)));
        }
        if !matches!(Stop::of(status), Stop::Ended(_)) {
            sys::resume(tid, Resume::Cont, 0)?;
        }
        Ok(None)
    }

    fn ring(&self) -> io::Result<Ring> {
        sys::seize(self.bell, false)?;
        let bell = self.bell;
        Ok(Box::new(move || {
            // It is there as long as we are.
            let _ = sys::kill(bell, libc::SIGUSR1);
        }))
    }

    fn seize(&self, tid: Tid) -> io::Result<()> {
        sys::seize(tid, true)
    }

    fn begin(&self) -> io::Result<()> {
        self.child.go()
    }

    fn has_ended(&self, _: i32) {}

    fn resume(&self, tid: Tid, how: Resume, signal: i32) -> io::Result<()> {
        sys::resume(tid, how, signal)
    }

    fn interrupt(&self, tid: Tid) -> io::Result<()> {
        sys::interrupt(tid)
    }

    fn event_message(&self, tid: Tid) -> io::Result<u64> {
        sys::event_message(tid)
    }

    fn registers(&self, tid: Tid) -> io::Result<RawRegs> {
        sys::registers(tid)
    }

    fn set_registers(&self, tid: Tid, regs: RawRegs) -> io::Result<()> {
        sys::set_registers(tid, regs)
    }

    fn siginfo(&self, tid: Tid) -> io::Result<RawSiginfo> {
        sys::siginfo(tid)
    }

    fn set_siginfo(&self, tid: Tid, info: RawSiginfo) -> io::Result<()> {
        sys::set_siginfo(tid, info)
    }

    fn read_memory(&self, tid: Tid, addr: u64, bytes: &mut [u8]) -> io::Result<()> {
        sys::read_memory(tid, addr, bytes)
    }

    fn write_memory(&self, tid: Tid, addr: u64, bytes: &[u8]) -> io::Result<()> {
        sys::write_memory(tid, addr, bytes)
    }

    fn poke(&self, tid: Tid, addr: u64, word: u64) -> io::Result<()> {
        sys::poke(tid, addr, word)
    }

    fn kill(&self, pid: Tid, signal: i32) -> io::Result<()> {
        sys::kill(pid, signal)
    }

    fn queue(&self, tgid: Tid, tid: Option<Tid>, signal: i32, info: &RawSiginfo) -> io::Result<()> {
        sys::queue(tgid, tid, signal, info)
    }

    fn proc_file(&self, tid: Tid, file: &str) -> io::Result<Vec<u8>> {
        // Most are shorter, and come whole.
        let (mut bytes, mut file) = (vec![0; 4096], File::open(format!("/proc/{tid}/{file}"))?);
        let length = file.read(&mut bytes)?;
        if length == bytes.len() {
            file.read_to_end(&mut bytes)?;
        } else {
            bytes.truncate(length);
        }
        Ok(bytes)
    }

    fn link(&self, tid: Tid, name: &str) -> io::Result<Vec<u8>> {
        fs::read_link(format!("/proc/{tid}/{name}")).map(|link| link.into_os_string().into_vec())
    }

    fn enters(&self, path: &[u8], follows: bool) -> Option<Vec<u8>> {
        walk::enters(path, follows)
    }

    fn inode(&self, tid: Tid, fd: i32) -> io::Result<u64> {
        fs::metadata(format!("/proc/{tid}/fd/{fd}")).map(|metadata| metadata.ino())
    }

    fn own_group(&self) -> (Tid, Tid) {
        let group = getpgrp().as_raw();
        (group, getsid(None).map_or(group, Pid::as_raw))
    }

    fn set_group(&self, tgid: Tid, group: Tid) {
        // Where it is of another session it does so itself, as shells do, or stays where it is.
        let _ = setpgid(Pid::from_raw(tgid), Pid::from_raw(group));
    }

    fn stop_with(&self, tgid: Tid) {
        let group = |pid| getpgid(Some(Pid::from_raw(pid))).ok();
        if group(tgid) == group(self.waits) {
            // It is gone already, then nobody waits.
            let _ = sys::kill(self.waits, SIGSTOP);
        }
    }

    fn stand_in(&self) -> io::Result<Tid> {
        let tid = sys::stand_in()?;
        self.stand_ins.borrow_mut().insert(tid);
        Ok(tid)
    }

    fn end_stand_in(&self, tid: Tid) {
        if self.stand_ins.borrow_mut().remove(&tid) {
            sys::end(tid);
        }
    }

    /// They all do.
    fn look_at_all(&self) {}

    fn say(&self, line: &str) {
        eprintln!("nslab: {line}");
    }
}
