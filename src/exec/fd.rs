//! Descriptors of programs, which are all real: what those of the lab's files and of processes stand for.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::Supervisor;
use super::path::is_of_tree;
use super::regs::{OPENAT, Regs};
use super::sys::{Resume, Tid};
use super::tracee::{Then, field};
use super::tty::{FIOGETOWN, FIOSETOWN, SIOCGPGRP, SIOCSPGRP, TIOCGPGRP, TIOCGSID, TIOCSPGRP};
use crate::abi::Memory;
use crate::abi::pidfd::info_size;
use crate::bail;
use crate::errno::{Errno, Error, Result};
use crate::kernel::file::{FileKind, O_RDONLY, OpenFlags};
use crate::kernel::ns::{NS_TABLE, NsType};
use crate::kernel::{Kernel, TaskId};
use crate::syscall::lab::Target;
use crate::syscall::{AnyCall, LabCall, PidArg, Return, Stop, Syscall, WaitidWhich, ioctl};

/// What a real descriptor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Ns(NsType, u32),
    /// A process of the lab, by its number in the initial pid namespace.
    Process(i32),
    /// A process that is not of the lab, or is gone.
    Stranger,
    Other,
}

impl Supervisor {
    /// # Errors
    /// EBADF
    pub(super) fn shown(&self, tid: Tid, fd: i32) -> Result<Shown> {
        let Ok(link) = self.host.link(tid, &format!("fd/{fd}")) else { bail!(EBADF, "descriptor {} is not open", fd) };
        let link = PathBuf::from(OsString::from_vec(link));
        let name = link.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if link.starts_with(self.served.point().path()) {
            if self.flags(tid, fd).contains(OpenFlags::PATH) {
                bail!(EBADF, "descriptor {} was opened with O_PATH", fd);
            }
            let shown = namespace(name).or_else(|| self.mounted_namespace(tid, fd, link.as_os_str().as_bytes()));
            return Ok(shown.map_or(Shown::Other, |(ns_type, inum)| Shown::Ns(ns_type, inum)));
        }
        let info = self.host.proc_file(tid, &format!("fdinfo/{fd}")).unwrap_or_default();
        let Some(pid) = field(&info, "Pid:") else { return Ok(Shown::Other) };
        self.shown_process(tid, fd, pid)
    }

    /// The namespace that is mounted on a file of a file tree, whose number is that of its inode: those of other files there are
    /// small.
    fn mounted_namespace(&self, tid: Tid, fd: i32, link: &[u8]) -> Option<(NsType, u32)> {
        self.seen(link).filter(|path| is_of_tree(path))?;
        let inum = u32::try_from(self.host.inode(tid, fd).ok()?).ok()?;
        let is_of = |k: &Kernel| NS_TABLE.iter().map(|ops| ops.ns_type).find(|kind| k.find_ns(*kind, inum).is_some());
        self.lab.read(is_of).ok()?.map(|ns_type| (ns_type, inum))
    }

    /// A call, its descriptors replaced by what they show; a descriptor of the lab that is to be closed after it, if it needs
    /// one.
    ///
    /// # Errors
    /// EBADF; EINVAL, ESRCH: it shows nothing that the call takes.
    pub(super) fn with_descriptors(&mut self, tid: Tid, task: TaskId, call: Syscall) -> Result<(AnyCall, Option<i32>)> {
        if let Syscall::Setns { fd, flags } = call {
            let target = match self.shown(tid, fd)? {
                Shown::Ns(ns_type, inum) => Target::Ns { ns_type, inum },
                Shown::Process(number) => Target::Pidfd(PidArg::Held(number)),
                Shown::Stranger => bail!(ESRCH, "the task of the pidfd is gone, or not of this lab"),
                Shown::Other => bail!(EINVAL, "the descriptor is neither a namespace file of the lab nor a pidfd"),
            };
            return Ok((LabCall::Setns { target, flags }.into(), None));
        }
        if let Syscall::Waitid { which: WaitidWhich::Pidfd(fd @ 0..), options } = call {
            // Of the program's own descriptors the lab has none: what it says first it says before EBADF.
            let which = match self.process(tid, fd) {
                Ok(pid) => WaitidWhich::Pid(pid),
                // Who is gone is nobody's child.
                Err(error) if error.errno == Errno::ESRCH => WaitidWhich::Pid(PidArg::Initial(i32::MAX)),
                Err(_) => WaitidWhich::Pidfd(fd),
            };
            return Ok((Syscall::Waitid { which, options }.into(), None));
        }
        if let Syscall::PidfdSendSignal { fd, signo, info, flags } = call {
            let pid = match self.process(tid, fd) {
                Ok(pid) => pid,
                Err(error) if error.errno != Errno::EBADF => return Err(error),
                Err(_) if let Some(pid) = self.process_of_dir(tid, fd)? => pid,
                Err(_) => return Ok((Syscall::PidfdSendSignal { fd, signo, info, flags }.into(), None)),
            };
            let of_thread = self.flags(tid, fd) & OpenFlags::THREAD;
            let fd = self.descriptor(task, &Syscall::PidfdOpen { pid, flags: of_thread }.into())?;
            return Ok((Syscall::PidfdSendSignal { fd, signo, info, flags }.into(), Some(fd)));
        }
        Ok((self.with_queue(tid, call)?.into(), None))
    }

    /// The flags of an open file, none where the descriptor is not open.
    pub(super) fn flags(&self, tid: Tid, fd: i32) -> OpenFlags {
        open_flags(&self.host.proc_file(tid, &format!("fdinfo/{fd}")).unwrap_or_default())
    }

    /// Whether a descriptor was opened with O_NONBLOCK.
    pub(super) fn is_nonblocking(&self, tid: Tid, fd: i32) -> bool {
        self.flags(tid, fd).contains(OpenFlags::NONBLOCK)
    }

    /// A descriptor of the lab for the cgroup that a real one shows; it is to be closed.
    ///
    /// # Errors
    /// EBADF: it shows none; as open(2).
    pub(super) fn cgroup_descriptor(&mut self, tid: Tid, task: TaskId, fd: i32) -> Result<i32> {
        let link = self.host.link(tid, &format!("fd/{fd}")).unwrap_or_default();
        let Some(path) = self.seen(&link) else {
            bail!(EBADF, "descriptor {} is no directory of a cgroup of the lab", fd);
        };
        self.descriptor(task, &Syscall::Open { path, flags: OpenFlags::DIRECTORY.bits(), mode: 0 }.into())
    }

    /// A request to a terminal, a namespace file or a pidfd.
    pub(super) fn ioctl(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let [fd, request, arg, ..] = regs.args();
        let (fd, request) = (fd as i32, request as u32);
        if let Some(size) = info_size(request) {
            return self.pidfd_info(tid, regs, size);
        }
        match request {
            TIOCGPGRP | TIOCGSID => self.detour(tid, regs, regs, Then::PidAt(arg)),
            TIOCSPGRP => self.set_foreground(tid, regs, arg),
            FIOSETOWN | SIOCSPGRP => self.set_owner_at(tid, regs, arg),
            FIOGETOWN | SIOCGPGRP => self.detour(tid, regs, regs, Then::ProcessAt(arg)),
            _ => match self.shown(tid, fd) {
                Ok(Shown::Ns(ns_type, inum)) => self.ns_ioctl(tid, regs, Target::Ns { ns_type, inum }),
                Ok(Shown::Process(number)) => self.ns_ioctl(tid, regs, Target::Pidfd(PidArg::Held(number))),
                Ok(Shown::Stranger | Shown::Other) | Err(_) => self.host.resume(tid, Resume::Cont, 0),
            },
        }
    }

    fn set_foreground(&mut self, tid: Tid, regs: Regs, arg: u64) -> io::Result<()> {
        let task = self.task(tid)?;
        let mut word = [0; 4];
        if self.memory(tid).read(arg, &mut word).is_err() {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let number = i32::from_ne_bytes(word);
        let Some(group) = self.host_group(task, number).filter(|_| number > 0) else {
            return self.refuse(tid, regs, &crate::err!(ESRCH, "there is no process group {}", number));
        };
        let Some(scratch) = self.with_scratch(tid, regs, &group.to_ne_bytes())? else { return Ok(()) };
        let mut args = regs.args();
        args[2] = scratch;
        self.detour(tid, regs, regs.with(regs.number(), args), Then::Keep)
    }

    fn ns_ioctl(&mut self, tid: Tid, regs: Regs, target: Target) -> io::Result<()> {
        let [_, request, arg, ..] = regs.args();
        let task = self.task(tid)?;
        let given = match self.ask(task, &target, request as u32, arg.cast_signed()) {
            Ok(given) => given,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        match given {
            Answered::Ns(ns_type, inum) => self.open_namespace(tid, regs, ns_type, inum),
            Answered::Number(number) => {
                let written = match request as u32 {
                    ioctl::NS_GET_OWNER_UID => self.memory(tid).write(arg, &(number as u32).to_ne_bytes()).map(|()| 0),
                    ioctl::NS_GET_MNTNS_ID | ioctl::NS_GET_ID => {
                        self.memory(tid).write(arg, &number.to_ne_bytes()).map(|()| 0)
                    }
                    _ => Ok(number),
                };
                match written {
                    Ok(result) => self.skip(tid, regs, result),
                    Err(error) => self.refuse(tid, regs, &error),
                }
            }
        }
    }

    /// Asks the lab by descriptors of the task's that are closed again.
    fn ask(&mut self, task: TaskId, target: &Target, request: u32, arg: i64) -> Result<Answered> {
        let open = match *target {
            Target::Ns { ns_type, inum } => LabCall::OpenNs { ns_type, inum, flags: O_RDONLY }.into(),
            Target::Pidfd(pid) => Syscall::PidfdOpen { pid, flags: OpenFlags::empty() }.into(),
            Target::Path(_) => bail!(EINVAL, "a descriptor is no path"),
        };
        let fd = self.descriptor(task, &open)?;
        let given = self.perform(task, &Syscall::Ioctl { fd, request, arg: Some(arg) }.into());
        let answer = match given {
            Ok(Return::Fd(opened)) => {
                let ns = self.lab.read(|k| {
                    let Some(FileKind::Ns(ns)) = k.file_at(task, opened).map(|file| &k.open_files[file].kind) else {
                        return None;
                    };
                    Some((k.namespaces[*ns].ns_type(), k.namespaces[*ns].common.inum))
                })?;
                self.close(task, opened);
                ns.map(|(ns_type, inum)| Answered::Ns(ns_type, inum)).ok_or_else(|| crate::err!(ENOTTY, "no namespace"))
            }
            Ok(Return::Num(number)) => Ok(Answered::Number(number)),
            Ok(_) => Err(crate::err!(ENOTTY, "the request gives no number")),
            Err(Stop::Failed(error) | Stop::Blocked { why: error, .. }) => Err(error),
        };
        self.close(task, fd);
        answer
    }

    pub(super) fn descriptor(&mut self, task: TaskId, open: &AnyCall) -> Result<i32> {
        match self.perform(task, open) {
            Ok(Return::Fd(fd)) => Ok(fd),
            Ok(_) => bail!(EBADF, "an open gives a descriptor"),
            Err(stop) => Err(stop.error().clone()),
        }
    }

    pub(super) fn close(&mut self, task: TaskId, fd: i32) {
        // It was opened a moment ago, by nobody else.
        let _ = self.perform(task, &Syscall::Close { fd }.into());
    }

    /// In place of the call, the program opens the file of a namespace of the lab.
    fn open_namespace(&mut self, tid: Tid, regs: Regs, ns_type: NsType, inum: u32) -> io::Result<()> {
        let path = format!("{}/proc/1/ns/{}:[{inum}]\0", self.served.point().path().display(), ns_type.ops().name);
        let Some(scratch) = self.with_scratch(tid, regs, path.as_bytes())? else { return Ok(()) };
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
        let args = [libc::AT_FDCWD as u64, scratch, flags, 0, 0, 0];
        self.detour(tid, regs, regs.with(OPENAT, args), Then::Keep)
    }

    /// Sockets of the host's network are for those who are in it; nobody gets one that speaks with the host's kernel.
    pub(super) fn socket(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        const AF_NETLINK: u64 = 16;
        const AF_PACKET: u64 = 17;
        if regs.args()[0] as u32 == AF_NETLINK as u32 {
            return self.netlink_socket(tid, regs);
        }
        let (task, family) = (self.task(tid)?, regs.args()[0]);
        let is_in_host = |k: &Kernel| {
            k.nsproxy_of(task).map(|own| own.net_ns()) == k.nsproxy_of(k.init.task).map(|own| own.net_ns())
        };
        let error: Error = match family {
            AF_PACKET => crate::err!(EAFNOSUPPORT, "no packets travel in a lab"),
            _ if self.lab.read(is_in_host).unwrap_or(false) => return self.host.resume(tid, Resume::Cont, 0),
            _ => crate::err!(EAFNOSUPPORT, "no packets travel in a network namespace of the lab"),
        };
        self.refuse(tid, regs, &error)
    }
}

/// The flags of an open file, as `fdinfo` has them.
pub(super) fn open_flags(info: &[u8]) -> OpenFlags {
    let text = String::from_utf8_lossy(info);
    let flags = text.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    OpenFlags::of_open(flags.unwrap_or(0))
}

/// What a request gives.
enum Answered {
    Ns(NsType, u32),
    Number(i64),
}

/// The parts of `type:[inum]`.
fn namespace(name: &str) -> Option<(NsType, u32)> {
    let (ns_type, inum) = name.strip_suffix(']')?.split_once(":[")?;
    Some((NsType::from_name(ns_type)?, inum.parse().ok()?))
}
