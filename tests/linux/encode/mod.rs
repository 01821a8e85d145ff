//! One call as what a worker has to do: system call numbers, arguments, bytes in memory, and how to read the answer.

pub mod cred;
mod file;
mod signal;
mod task;

use nslab::kernel::{Kernel, PidNsId, TaskId};
use nslab::syscall::ip::Ip;
use nslab::syscall::{AnyCall, LabCall, PidArg, Syscall};

use crate::cgroup;
use crate::ipc::decode::Shape;
use crate::ipc::encode as ipc;
use crate::mnt::encode as mount;
use crate::net::call::{encode_ip, encode_socket};
use crate::numbers::Numbers;
use crate::raw::Handler;

/// An argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    Value(u64),
    /// The address of the data at this offset.
    Data(u64),
    /// What the first call gave: a descriptor.
    Opened,
}

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub number: i64,
    pub args: Vec<Arg>,
    /// Bytes to put into the data first, by offset.
    pub data: Vec<(usize, Vec<u8>)>,
}

/// How the first of two calls gets the descriptor that the second uses and that is closed afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Call(Raw),
    /// The controller hands over the namespace that this entry of this task shows.
    Handed {
        nr: i32,
        entry: &'static str,
    },
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    Call(Raw),
    /// Open, call, close.
    Through(Opening, Raw),
    /// A descriptor out of nowhere, kept.
    Hand {
        nr: i32,
        entry: &'static str,
    },
    /// clone3; the stack is still missing from the arguments.
    Clone {
        args: [u64; 11],
        set_tid: Vec<i32>,
    },
    Exec {
        name: Vec<u8>,
    },
    /// A message to rtnetlink.
    Netlink(Vec<u8>),
    /// What ip(8) lists.
    Listing(Ip),
    /// A new socket; the calls get it ready.
    Socket {
        open: Raw,
        calls: Vec<Raw>,
    },
    /// What the library refuses before there is a system call.
    Refused(i32),
}

/// What a worker does, and the form of the answer.
pub type Encoded = (Job, Answer);

/// How the result and the data make the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Number,
    /// A number of the caller's pid namespace.
    Pid,
    /// A number of the caller's pid namespace, which the lab gives as it stands.
    RawPid,
    /// wait4: the status word is at offset 0.
    Wait,
    /// waitid: siginfo at offset 0.
    Waitid,
    /// rt_sigaction that sets the action of a signal.
    NewAction(i32),
    /// rt_sigaction: the old action at offset 0.
    Action(i32),
    /// rt_sigtimedwait: siginfo at offset 0.
    Siginfo,
    /// A 32-bit word at offset 0.
    Word,
    /// A text at offset 0; the result is its length with the zero at its end.
    Text,
    /// A value of its own on each machine: only that it succeeded counts.
    Unlike,
    /// Of a call on System V objects, message queues or clocks.
    Ipc(Shape),
}

impl Answer {
    /// The errno of the lab: it has one for all calls that would block.
    pub fn errno(self, errno: i32) -> i32 {
        match (self, errno) {
            (Answer::Ipc(Shape::Message { waits: true }), libc::ENOMSG) => libc::EAGAIN,
            (Answer::Ipc(_), libc::ETIMEDOUT) => libc::EAGAIN,
            _ => errno,
        }
    }
}

/// Offset of memory that a call writes into.
pub const OUT: u64 = 0;
/// Offset of what a call reads.
pub const IN: usize = 2048;
/// Offset where nobody looks, for pointers that have to be valid.
const SCRATCH: u64 = 8192;

pub fn call(number: i64, args: &[Arg]) -> Raw {
    Raw { number, args: args.to_vec(), data: Vec::new() }
}

pub fn with_data(number: i64, args: &[Arg], bytes: Vec<u8>) -> Raw {
    Raw { number, args: args.to_vec(), data: vec![(IN, bytes)] }
}

pub fn int(value: i32) -> Arg {
    Arg::Value(i64::from(value) as u64)
}

pub fn id(value: Option<u32>) -> Arg {
    Arg::Value(u64::from(value.unwrap_or(u32::MAX)))
}

pub fn zero_ended(text: &[u8]) -> Vec<u8> {
    [text, b"\0"].concat()
}

pub const IN_ARG: Arg = Arg::Data(IN as u64);
pub const OUT_ARG: Arg = Arg::Data(OUT);
pub const NULL: Arg = Arg::Value(0);

/// What the encoding may look at, all of the moment before the call.
pub struct Context<'a> {
    pub k: &'a Kernel,
    pub me: TaskId,
    pub numbers: &'a Numbers,
    pub handler: Handler,
    /// (soft, hard) of the resource a prlimit is about, as it is.
    pub limit: &'a dyn Fn(i32) -> (u64, u64),
    /// The three 64-bit capability sets as they are: effective, permitted, inheritable.
    pub capabilities: &'a dyn Fn() -> [u64; 3],
    /// No worker can reach a file of the machine outside: calls about mounts and files are safe.
    pub is_sandboxed: bool,
}

impl Context<'_> {
    /// A number of the initial pid namespace as the caller's. Programs in words have no others.
    fn number(&self, pid: PidArg) -> Arg {
        int(self.numbers.of_caller(self.k, self.me, pid.number()))
    }

    /// A path in a worker's file tree, with the machine's numbers, and the descriptor it starts from.
    fn path(&self, own: PidNsId, path: &[u8]) -> Option<(Arg, Vec<u8>)> {
        let is_tree_path = path.starts_with(b"/") || path.starts_with(b".") || path.starts_with(b"fd:");
        if self.is_sandboxed && is_tree_path {
            return mount::tree_path(self, path);
        }
        if let Some(path) = cgroup::real_path(self.k, self.me, path) {
            return Some((int(libc::AT_FDCWD), path.into_bytes()));
        }
        Some((int(libc::AT_FDCWD), self.numbers.path(self.k, own, path)?))
    }
}

/// The job and the form of its answer; `None` for what has no counterpart on a real kernel or would not be safe there. What
/// never has one is in [`crate::verbs::NOT_COMPARED`].
pub fn encode(c: &Context<'_>, call: &AnyCall) -> Option<Encoded> {
    match call {
        AnyCall::Linux(syscall) => encode_syscall(c, syscall),
        AnyCall::Lab(call) => encode_lab(c, call),
        AnyCall::Waiting(_) | AnyCall::Tick { .. } => None,
    }
}

/// What Linux does in several calls, or by a program.
fn encode_lab(c: &Context<'_>, call: &LabCall) -> Option<Encoded> {
    match call {
        LabCall::Write { path, bytes } => file::encode_write(c, path, bytes),
        LabCall::Touch { path } => mount::encode_touch(c, path),
        LabCall::Ip(ip) => encode_ip(c, ip).map(|job| (job, Answer::Number)),
        LabCall::Bind(name) => encode_socket(c, name, false).map(|job| (job, Answer::Number)),
        LabCall::Connect(name) => encode_socket(c, name, true).map(|job| (job, Answer::Number)),
        LabCall::Setns { target, flags } => task::encode_setns_to(c, target, *flags),
        LabCall::OpenNs { ns_type, inum, .. } => {
            file::encode_open_ns(c, *ns_type, *inum).map(|job| (job, Answer::Number))
        }
        LabCall::Reopen { .. } | LabCall::Kthread { .. } => None,
        LabCall::CloneAs { .. } | LabCall::UnshareAs { .. } | LabCall::MountAs { .. } | LabCall::Become(_) => None,
        LabCall::MqClose { fd } => ipc::encode_mq_close(c, *fd),
        LabCall::Read { .. } | LabCall::Ls { .. } | LabCall::Clock { .. } | LabCall::Attach { .. } => None,
        LabCall::Program(_) | LabCall::MqMake(_) => None,
        LabCall::MkdirAt { .. } | LabCall::RmdirAt { .. } | LabCall::WriteAt { .. } => None,
    }
}

fn encode_syscall(c: &Context<'_>, syscall: &Syscall) -> Option<Encoded> {
    match syscall {
        Syscall::Clone(args) => task::encode_clone(c, args),
        Syscall::Unshare { flags } => task::encode_unshare(c, *flags),
        Syscall::Setns { fd, flags } => number(libc::SYS_setns, &[int(*fd), Arg::Value(*flags)]),
        Syscall::Exec { comm, .. } => task::encode_exec(c, comm),
        Syscall::Exit { code } => number(libc::SYS_exit, &[int(*code)]),
        Syscall::ExitGroup { code } => number(libc::SYS_exit_group, &[int(*code)]),
        Syscall::Kill { .. }
        | Syscall::Tkill { .. }
        | Syscall::Tgkill { .. }
        | Syscall::RtSigqueueinfo { .. }
        | Syscall::RtTgsigqueueinfo { .. }
        | Syscall::PidfdSendSignal { .. } => signal::encode_sending(c, syscall),
        Syscall::Wait { pid, options } => signal::encode_wait(c, *pid, *options),
        Syscall::Waitid { which, options } => signal::encode_waitid(c, *which, *options),
        Syscall::Sigaction { signo, action } => signal::encode_sigaction(c, *signo, *action),
        Syscall::Sigprocmask { block, signo } => signal::encode_sigprocmask(*block, *signo),
        Syscall::Sigwaitinfo { signo } => signal::encode_sigwaitinfo(*signo),
        Syscall::Setsid => Some((Job::Call(call(libc::SYS_setsid, &[])), Answer::Pid)),
        Syscall::Setpgid { pid, pgid } => number(libc::SYS_setpgid, &[c.number(*pid), c.number(*pgid)]),
        Syscall::Getsid { pid } => Some((Job::Call(call(libc::SYS_getsid, &[c.number(*pid)])), Answer::Pid)),
        Syscall::Getpgid { pid } => Some((Job::Call(call(libc::SYS_getpgid, &[c.number(*pid)])), Answer::Pid)),
        Syscall::Prctl(op) => Some((Job::Call(cred::encode_prctl(op)), Answer::Number)),
        Syscall::Setuid { uid } => number(libc::SYS_setuid, &[id(*uid)]),
        Syscall::Setgid { gid } => number(libc::SYS_setgid, &[id(*gid)]),
        Syscall::Setreuid { ruid, euid } => number(libc::SYS_setreuid, &[id(*ruid), id(*euid)]),
        Syscall::Setregid { rgid, egid } => number(libc::SYS_setregid, &[id(*rgid), id(*egid)]),
        Syscall::Setresuid { ruid, euid, suid } => number(libc::SYS_setresuid, &[id(*ruid), id(*euid), id(*suid)]),
        Syscall::Setresgid { rgid, egid, sgid } => number(libc::SYS_setresgid, &[id(*rgid), id(*egid), id(*sgid)]),
        Syscall::Setfsuid { uid } => number(libc::SYS_setfsuid, &[id(*uid)]),
        Syscall::Setfsgid { gid } => number(libc::SYS_setfsgid, &[id(*gid)]),
        Syscall::Setgroups { groups } => cred::encode_setgroups(groups),
        Syscall::Capset { pid, effective: e, permitted: p, inheritable: i } => {
            cred::encode_capset(c, *pid, [*e, *p, *i])
        }
        Syscall::Prlimit { pid, resource, soft, hard } => cred::encode_prlimit(c, *pid, *resource, *soft, *hard),
        Syscall::Reboot { command, magic } => task::encode_reboot(c, *command, *magic),
        Syscall::Sethostname { name } => task::encode_name(c, libc::SYS_sethostname, name),
        Syscall::Setdomainname { name } => task::encode_name(c, libc::SYS_setdomainname, name),
        Syscall::Open { path, flags, mode } => {
            file::encode_open(c, path, *flags, *mode).map(|job| (job, Answer::Number))
        }
        Syscall::PidfdOpen { pid, flags } => Some((file::encode_pidfd_open(c, *pid, *flags), Answer::Number)),
        Syscall::Close { fd } => number(libc::SYS_close, &[int(*fd)]),
        Syscall::Dup { fd } => number(libc::SYS_dup, &[int(*fd)]),
        Syscall::PidfdGetfd { pidfd, fd } => number(libc::SYS_pidfd_getfd, &[int(*pidfd), int(*fd), NULL]),
        Syscall::Ioctl { fd, request, arg } => file::encode_ioctl(c, *fd, *request, *arg),
        Syscall::Mkdir { .. }
        | Syscall::Rmdir { .. }
        | Syscall::Unlink { .. }
        | Syscall::Rename { .. }
        | Syscall::Symlink { .. }
        | Syscall::Chown { .. } => mount::encode_name(c, syscall),
        Syscall::Mount(args) => mount::encode_mount(c, args),
        Syscall::Umount { path, flags } => mount::encode_umount(c, path, *flags),
        Syscall::PivotRoot { new_root, put_old } => mount::encode_pivot_root(c, new_root, put_old),
        Syscall::Chroot { path } => mount::encode_path(c, libc::SYS_chroot, path),
        Syscall::Chdir { path } => mount::encode_path(c, libc::SYS_chdir, path),
        Syscall::Fchdir { fd } => mount::encode_fchdir(c, *fd),
        Syscall::Getcwd => mount::encode_getcwd(c),
        Syscall::OpenTree { path } => mount::encode_open_tree(c, path),
        Syscall::MoveMount { from, to, flags } => mount::encode_move_mount(c, from, to, *flags),
        Syscall::MountSetattr { path, propagation } => mount::encode_mount_setattr(c, path, *propagation),
        Syscall::ClockGettime { clock } => ipc::encode_clock_gettime(c, *clock),
        Syscall::Readlink { .. } | Syscall::Stat { .. } | Syscall::Lstat { .. } | Syscall::PtraceSeize { .. } => None,
        call => ipc::encode(c, call),
    }
}

/// A call whose answer is its number.
fn number(number: i64, args: &[Arg]) -> Option<Encoded> {
    Some((Job::Call(call(number, args)), Answer::Number))
}
