//! What goes with messages of sockets besides their text (`struct msghdr`): credentials, which are the program's own on the way
//! there and back, and pidfds. Receives stop for who has asked for such (SO_PASSCRED, SO_PASSPIDFD).

use std::io;

use super::Supervisor;
use super::filter;
use super::regs::Regs;
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Then};
use crate::abi::{Call, Memory, call};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::{Kernel, TaskId};

const SOL_SOCKET: u32 = 1;
/// Kinds of what goes with a message.
const SCM_CREDENTIALS: u32 = 2;
const SCM_PIDFD: u32 = 4;

/// Bytes of `struct msghdr`, where it has the address and the length of what goes with it, and of what stands before each part of
/// that (`struct cmsghdr`).
const MSGHDR: usize = 56;
const CONTROL: u64 = 32;
const CONTROL_LENGTH: u64 = 40;
const CMSGHDR: usize = 16;
/// Bytes of `struct ucred`.
const UCRED: usize = 12;
/// More than this no program sends.
const CONTROL_MAX: u64 = 4096;
/// Where in our memory the copy of it begins.
const COPY: usize = 64;

/// Where the data of each part of a kind begins.
fn parts(control: &[u8], kind: u32, room: usize) -> Vec<usize> {
    let word = |at: usize| control.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let mut found = Vec::new();
    let mut at = 0;
    while at + CMSGHDR <= control.len() {
        let length = word(at) as usize;
        if length < CMSGHDR || word(at + 4) != 0 || at + length > control.len() {
            break;
        }
        if word(at + 8) == SOL_SOCKET && word(at + 12) == kind && length >= CMSGHDR + room {
            found.push(at + CMSGHDR);
        }
        at += length.next_multiple_of(8);
    }
    found
}

impl Supervisor {
    /// A call about a socket that is none of netlink.
    pub(super) fn on_socket(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        const SO_PASSCRED: u64 = 16;
        const SO_PASSPIDFD: u64 = 76;
        let args = regs.args();
        match call(regs.number()) {
            Some(Call::Sendmsg) => self.send_message(tid, regs),
            Some(Call::Recvmsg) => self.detour(tid, regs, regs, Then::Message(args[1])),
            Some(Call::Setsockopt)
                if args[1] == u64::from(SOL_SOCKET) && matches!(args[2], SO_PASSCRED | SO_PASSPIDFD) =>
            {
                self.watch_sockets(tid, regs)
            }
            _ => self.host.resume(tid, Resume::Cont, 0),
        }
    }

    /// The calls about sockets stop from now on; the one that is under way is made afterwards.
    fn watch_sockets(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        if self.tracee(tid)?.has_netlink {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(()) };
        let real = self.filtering(tid, regs, scratch, &filter::netlink())?;
        self.tracee(tid)?.doing = Doing::Watching(Box::new(regs));
        self.host.set_registers(tid, real.0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    pub(super) fn watching_ends(&mut self, tid: Tid, wanted: Regs) -> io::Result<()> {
        // Where a thread has a filter of its own, ours is refused: then what the real kernel says stays.
        self.threads_with(tid)?.for_each(|tracee| tracee.has_netlink = true);
        self.host.set_registers(tid, wanted.again().0)?;
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// sendmsg: credentials that a program shows become those of its real process. Which the other end sees as the task's.
    fn send_message(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let at = regs.args()[1];
        let read = |memory: &dyn Memory| {
            let length = memory.u64(at.wrapping_add(CONTROL_LENGTH))?;
            if length == 0 || length > CONTROL_MAX {
                return Ok(Vec::new());
            }
            memory.bytes(memory.u64(at.wrapping_add(CONTROL))?, length as usize)
        };
        // What is no message, the real kernel says.
        let mut control = read(&self.memory(tid)).unwrap_or_default();
        let found = parts(&control, SCM_CREDENTIALS, UCRED);
        if found.is_empty() {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let (task, tgid) = (self.task(tid)?, self.tracee(tid)?.tgid);
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(()) };
        let (uid, gid) = self.real_ids(tid);
        for at in found {
            let field = |index: usize| {
                let bytes = control.get(at + 4 * index..at + 4 * index + 4).and_then(|word| word.try_into().ok());
                bytes.map_or(0, u32::from_ne_bytes)
            };
            let shown = [0, 1, 2].map(field);
            if let Err(error) = self.lab.read(|k| check_creds(k, task, shown)).and_then(|checked| checked) {
                return self.refuse(tid, regs, &error);
            }
            let real = [tgid.cast_unsigned(), uid, gid].map(u32::to_ne_bytes).concat();
            control[at..at + UCRED].copy_from_slice(&real);
        }
        let copied = (&self.memory(tid) as &dyn Memory).bytes(at, MSGHDR).and_then(|mut header| {
            let control_at = scratch + COPY as u64;
            header[CONTROL as usize..][..8].copy_from_slice(&control_at.to_ne_bytes());
            header.resize(COPY, 0);
            header.extend(&control);
            self.memory(tid).write(scratch, &header)
        });
        if let Err(error) = copied {
            return self.refuse(tid, regs, &error);
        }
        let mut args = regs.args();
        args[1] = scratch;
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    /// The ids that a program's process has on the host.
    fn real_ids(&self, tid: Tid) -> (u32, u32) {
        let status = self.host.proc_file(tid, "status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let first = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        };
        (first("Uid:").unwrap_or(0), first("Gid:").unwrap_or(0))
    }

    /// What came with a message that was received.
    pub(super) fn came_with_message(&mut self, tid: Tid, header: u64) {
        let read = |memory: &dyn Memory| {
            let at = memory.u64(header.wrapping_add(CONTROL))?;
            let length = memory.u64(header.wrapping_add(CONTROL_LENGTH))?.min(CONTROL_MAX);
            Ok::<_, crate::errno::Error>((at, memory.bytes(at, length as usize)?))
        };
        let Ok((at, control)) = read(&self.memory(tid)) else { return };
        for data in parts(&control, SCM_CREDENTIALS, UCRED) {
            self.own_credentials(tid, at + data as u64, false);
        }
        for data in parts(&control, SCM_PIDFD, size_of::<i32>()) {
            self.note_pidfd_at(tid, at + data as u64);
        }
    }
}

/// Whether a task may show credentials: pid, uid, gid (`scm_check_creds`).
///
/// # Errors
/// EINVAL: ids that its user namespace does not have; EPERM: those of another, without the capability for it; ESRCH: no such
/// process.
fn check_creds(k: &Kernel, me: TaskId, [pid, uid, gid]: [u32; 3]) -> Result<()> {
    let (cred, own_ns) = (k.cred_of(me), k.task_active_pid_ns(me));
    let user = cred.user_ns.id();
    let (Some(kuid), Some(kgid)) = (k.namespaces[user].make_kuid(uid), k.namespaces[user].make_kgid(gid)) else {
        bail!(EINVAL, "uid {} or gid {} has no mapping in {}", uid, gid, k.ns_arg(user));
    };
    let ids = &cred.ids;
    let is_own_pid = pid.cast_signed() == k.task_tgid_nr_ns(me, own_ns);
    if !is_own_pid && !k.ns_capable(me, k.owner_of(own_ns), Cap::SYS_ADMIN) {
        bail!(EPERM, "pid {} is not the sender's, and CAP_SYS_ADMIN is missing", pid);
    }
    if ![ids.uid, ids.euid, ids.suid].contains(&kuid) && !k.ns_capable(me, user, Cap::SETUID) {
        bail!(EPERM, "uid {} is not the sender's, and CAP_SETUID is missing in {}", uid, k.ns_arg(user));
    }
    if ![ids.gid, ids.egid, ids.sgid].contains(&kgid) && !k.ns_capable(me, user, Cap::SETGID) {
        bail!(EPERM, "gid {} is not the sender's, and CAP_SETGID is missing in {}", gid, k.ns_arg(user));
    }
    if k.find_pid_ns(pid.cast_signed(), own_ns).is_none() {
        bail!(ESRCH, "pid {} does not exist or is not visible", pid);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length: u64, level: u32, kind: u32, data: &[u8]) -> Vec<u8> {
        let mut part = [&length.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data].concat();
        part.resize(part.len().next_multiple_of(8), 0);
        part
    }

    #[test]
    fn parts_are_found_by_kind_and_only_whole_ones() {
        let rights = part(20, SOL_SOCKET, 1, &[9; 4]);
        let creds = part(28, SOL_SOCKET, SCM_CREDENTIALS, &[7; UCRED]);
        let other = part(28, 6, SCM_CREDENTIALS, &[7; UCRED]);
        let all = [rights.clone(), other, creds.clone(), creds.clone()].concat();
        assert_eq!(parts(&all, SCM_CREDENTIALS, UCRED), [72, 104]);
        assert_eq!(parts(&all[..110], SCM_CREDENTIALS, UCRED), [72]);
        assert_eq!(parts(&rights, 1, 4), [16]);
        let none: [usize; 0] = [];
        for bad in [part(8, 1, 2, &[0; 12]), part(1 << 40, 1, 2, &[0; 12]), part(20, 1, 2, &[0; 4]), Vec::new()] {
            assert_eq!(parts(&bad, SCM_CREDENTIALS, UCRED), none);
        }
    }
}
