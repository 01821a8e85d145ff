//! What sockets of netlink(7) receive: a program sends itself what the kernel of the lab would.

use std::io;

use super::Supervisor;
use super::regs::Regs;
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Then};
use crate::abi::netlink::{ADDRESS_LEN, address};
use crate::abi::{Call, Memory, call, number};

/// A program that sends itself an answer.
#[derive(Debug)]
pub struct Telling {
    pub(super) regs: Regs,
    inode: u64,
    /// The datagram that is under way.
    datagram: Vec<u8>,
    /// The result of the send that it answers; `None`: the call is a receive, which is made afterwards.
    pub(super) result: Option<i64>,
}

impl Supervisor {
    /// Has the program send itself what is pending, a datagram at a time.
    pub(super) fn tell(&mut self, tid: Tid, regs: Regs, inode: u64, result: Option<i64>) -> io::Result<()> {
        const FLAGS: u64 = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u64;
        let scratch = self.tracee(tid)?.scratch;
        let datagram = self.netlinks.sockets.get_mut(&inode).and_then(|socket| socket.pending.pop_front());
        let (Some(scratch), Some(datagram)) = (scratch, datagram) else {
            self.tracee(tid)?.doing = Doing::Running;
            return match result {
                Some(result) => self.skip(tid, regs, result),
                None => self.netlink_receive(tid, regs, inode),
            };
        };
        self.host.write_memory(tid, scratch, &datagram)?;
        let args = [regs.args()[0], scratch, datagram.len() as u64, FLAGS, 0, 0];
        self.tracee(tid)?.doing = Doing::Telling(Box::new(Telling { regs, inode, datagram, result }));
        self.host.set_registers(tid, regs.with(number(Call::Sendto), args).0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    pub(super) fn telling_ends(&mut self, tid: Tid, regs: Regs, telling: Telling) -> io::Result<()> {
        let Telling { regs: wanted, inode, datagram, result } = telling;
        let is_full = regs.result() < 0;
        let left = self.netlinks.sockets.get_mut(&inode).map_or(0, |socket| {
            if is_full {
                socket.pending.push_front(datagram);
                socket.is_full = true;
            }
            socket.pending.len()
        });
        match result {
            Some(result) if is_full || left == 0 => {
                self.host.set_registers(tid, regs.as_wanted(&wanted).with_result(result).0)?;
            }
            _ => {
                if !is_full && left > 0 {
                    let telling = Telling { regs: wanted, inode, datagram: Vec::new(), result };
                    self.tracee(tid)?.doing = Doing::Telling(Box::new(telling));
                }
                self.host.set_registers(tid, wanted.again().0)?;
            }
        }
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// What there was no room for comes first; the sender is the kernel.
    pub(super) fn netlink_receive(&mut self, tid: Tid, regs: Regs, inode: u64) -> io::Result<()> {
        let Ok(socket) = self.netlinks.socket(inode) else { return self.host.resume(tid, Resume::Cont, 0) };
        let was_full = std::mem::take(&mut socket.is_full);
        if !socket.pending.is_empty() && !was_full {
            if self.with_scratch(tid, regs, &[0])?.is_none() {
                return Ok(());
            }
            return self.tell(tid, regs, inode, None);
        }
        let args = regs.args();
        let memory: &dyn Memory = &self.memory(tid);
        let (addr, length_at) = match call(regs.number()) {
            Some(Call::Recvfrom) => (args[4], args[5]),
            // In `struct msghdr`.
            _ => (memory.u64(args[1]).unwrap_or(0), args[1].wrapping_add(8)),
        };
        let room = memory.u32(length_at).unwrap_or(0);
        self.netlinks.receiving.insert(tid, inode);
        match addr {
            0 => self.host.resume(tid, Resume::Cont, 0),
            _ => self.detour(tid, regs, regs, Then::Kernel { addr, room, length_at }),
        }
    }

    /// A datagram has come from the kernel.
    pub(super) fn came_from_kernel(&self, tid: Tid, addr: u64, room: u32, length_at: u64) {
        let memory: &mut dyn Memory = &mut self.memory(tid);
        // They could be written a moment ago.
        let _ = memory.write(addr, &address(0, 0)[..ADDRESS_LEN.min(room as usize)]);
        let _ = memory.put_u32(length_at, ADDRESS_LEN as u32);
    }
}
