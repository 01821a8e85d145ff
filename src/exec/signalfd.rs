//! signalfd(2). Signals of the lab are sent with codes that the real kernel lets through (see [`super::signal`]), and nobody sees
//! them on their way through such a descriptor. So for who has made one, reads from descriptors of about its number stop.

use std::io;

use super::Supervisor;
use super::filter;
use super::regs::Regs;
use super::signal::is_of_child;
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Then};
use crate::abi::Memory;

/// Bytes of `struct signalfd_siginfo`, and of the fields of it that are looked at: signal, errno, code, pid, uid … status, value
/// as a number, value.
const SIGINFO: usize = 128;
const FIELDS: usize = 56;
/// Where it has the status of a child, and the value that others send.
const STATUS: usize = 40;
const VALUE: usize = 44;

/// Reads stop from this many descriptors at once.
const BLOCK: i32 = 8;

/// A descriptor of signalfd is made, then reads from it are to stop.
#[derive(Debug)]
pub struct Heeding {
    regs: Regs,
    /// The descriptor, once it is made.
    fd: Option<i32>,
}

impl Supervisor {
    /// signalfd, signalfd4: a new descriptor, unless the first argument is one.
    pub(super) fn signalfd(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        if regs.args()[0] as i32 != -1 {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(()) };
        let made = match self.take_doing(tid)? {
            // Unless a handler of a signal has come between.
            Doing::Heeding(heeding) if heeding.regs.call() == regs.call() => heeding.fd,
            _ => None,
        };
        let real = match made {
            None => regs,
            Some(fd) => self.filtering(tid, regs, scratch, &filter::reads(fd - fd % BLOCK, BLOCK))?,
        };
        self.tracee(tid)?.doing = Doing::Heeding(Box::new(Heeding { regs, fd: made }));
        self.host.set_registers(tid, real.0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    pub(super) fn heeding_ends(&mut self, tid: Tid, regs: Regs, heeding: Heeding) -> io::Result<()> {
        let Heeding { regs: wanted, fd } = heeding;
        let given = regs.result();
        let made = fd.or_else(|| i32::try_from(given).ok().filter(|fd| *fd >= 0));
        let tracee = self.tracee(tid)?;
        let is_heeded = |fd: i32| tracee.heeds.contains(&(fd / BLOCK));
        match made {
            Some(made) if fd.is_none() && !is_heeded(made) => {
                tracee.doing = Doing::Heeding(Box::new(Heeding { regs: wanted, fd: Some(made) }));
                self.host.set_registers(tid, wanted.again().0)?;
            }
            made => {
                // Where a thread has a filter of its own, ours is refused: then the codes stay what was sent.
                if let Some(made) = made.filter(|_| fd.is_some() && given == 0) {
                    self.threads_with(tid)?.for_each(|tracee| tracee.heeds.push(made / BLOCK));
                }
                let result = made.map_or(given, i64::from);
                self.host.set_registers(tid, regs.as_wanted(&wanted).with_result(result).0)?;
            }
        }
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// A read from a descriptor that may be one of signalfd.
    pub(super) fn reads_signals(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let [fd, addr, ..] = regs.args();
        match self.host.link(tid, &format!("fd/{}", fd as i32)) {
            Ok(link) if link == b"anon_inode:[signalfd]" => self.detour(tid, regs, regs, Then::Signals(addr)),
            _ => self.host.resume(tid, Resume::Cont, 0),
        }
    }

    /// So many bytes of signals were read, which are made what the lab said.
    pub(super) fn own_signals(&self, tid: Tid, addr: u64, length: i64) {
        let mut memory = self.memory(tid);
        for at in (0..u64::try_from(length).unwrap_or(0)).step_by(SIGINFO) {
            let mut fields = [0; FIELDS];
            if memory.read(addr.wrapping_add(at), &mut fields).is_err() {
                return;
            }
            let word = |index: usize| {
                let bytes = fields[4 * index..4 * index + 4].try_into().unwrap_or_default();
                i32::from_ne_bytes(bytes)
            };
            let [code, pid, uid] = self.meant_by(tid, [word(2), word(3), word(4)]);
            let is_of_child = code != word(2) && is_of_child(code);
            fields[8..20].copy_from_slice(&[code, pid, uid].map(i32::to_ne_bytes).concat());
            if is_of_child {
                // It was sent where others have a value.
                fields.copy_within(VALUE..VALUE + 4, STATUS);
                fields[VALUE..].fill(0);
            }
            // It could be written a moment ago.
            let _ = memory.write(addr.wrapping_add(at), &fields);
        }
    }
}
