//! One [`Syscall`] as what a worker has to do: system call numbers, arguments, bytes in memory, and how to read the answer.

mod file;
mod signal;

use nslab::kernel::cred::GLOBAL_ROOT_UID;
use nslab::kernel::file::{FileKind, OpenFlags};
use nslab::kernel::node::{Place, View};
use nslab::kernel::{Kernel, PidNsId, TaskId};
use nslab::syscall::ioctl::*;
use nslab::syscall::ip::Ip;
use nslab::syscall::namei::NameCall;
use nslab::syscall::{
    CloneArgs, CloneFlags, Prctl, RebootCommand, Resource, SigAction, Syscall, Target, WNOHANG, WaitidWhich,
};

use nslab::tree::{WriteTarget, resolve, write_target};

use crate::cgroup;
use crate::ipc::decode::Shape;
use crate::machine::NPROC;
use crate::mnt::encode::{encode_mount, is_at_the_bottom, is_own_file, tree_path};
use crate::net::call::{encode_ip, encode_socket};
use crate::numbers::Numbers;
use crate::raw::Handler;
use file::{encode_open, encode_write};
use signal::{encode_sigaction, encode_sigprocmask, encode_sigwaitinfo, encode_waitid, is_kill_safe};

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
    /// A path in a worker's file tree, with the machine's numbers, and the descriptor it starts from.
    fn path(&self, own: PidNsId, path: &[u8]) -> Option<(Arg, Vec<u8>)> {
        let is_tree_path = path.starts_with(b"/") || path.starts_with(b".") || path.starts_with(b"fd:");
        if self.is_sandboxed && is_tree_path {
            return tree_path(self, path);
        }
        if let Some(path) = cgroup::real_path(self.k, self.me, path) {
            return Some((int(libc::AT_FDCWD), path.into_bytes()));
        }
        Some((int(libc::AT_FDCWD), self.numbers.path(self.k, own, path)?))
    }
}

/// The job and the form of its answer; `None` for what has no counterpart on a real kernel or would not be safe there.
pub fn encode(c: &Context<'_>, syscall: &Syscall) -> Option<(Job, Answer)> {
    let number = |nr| int(c.numbers.of_caller(c.k, c.me, nr));
    // A group whose number is 1 for the caller cannot be named with a minus sign: -1 is everybody.
    let is_group_one = |pid: i32| pid < -1 && c.numbers.of_caller(c.k, c.me, pid) == -1;
    let simple = |nr: i64, args: &[Arg]| Some((Job::Call(call(nr, args)), Answer::Number));
    match syscall {
        Syscall::Clone(CloneArgs { flags, .. }) | Syscall::Unshare { flags } if limits_root(c, *flags) => None,
        Syscall::Clone(args) => encode_clone(c, args).map(|job| (job, Answer::Pid)),
        Syscall::Unshare { flags } => simple(libc::SYS_unshare, &[Arg::Value(*flags)]),
        Syscall::Setns { target, flags } => encode_setns(c, target, *flags).map(|job| (job, Answer::Number)),
        // The program of a worker is linked dynamically: the loader needs descriptors and libraries.
        Syscall::Exec { comm, .. } => {
            let may_load = c.k.signal_of(c.me).rlimits.nofile.soft > 64 && !c.is_sandboxed;
            may_load.then(|| (Job::Exec { name: comm.clone() }, Answer::Number))
        }
        Syscall::Exit { code } => simple(libc::SYS_exit, &[int(*code)]),
        Syscall::ExitGroup { code } => simple(libc::SYS_exit_group, &[int(*code)]),
        Syscall::Kill { pid, .. } | Syscall::Wait { pid, .. } if is_group_one(*pid) => None,
        Syscall::Kill { pid, signo } => is_kill_safe(c, *pid, *signo)
            .then(|| (Job::Call(call(libc::SYS_kill, &[number(*pid), int(*signo)])), Answer::Number)),
        Syscall::Tgkill { tgid, tid, signo } => (*tid != 1 || *signo == 0)
            .then(|| (Job::Call(call(libc::SYS_tgkill, &[number(*tgid), number(*tid), int(*signo)])), Answer::Number)),
        Syscall::PidfdSendSignal { fd, signo } => {
            let targets_init = matches!(pidfd_at(c, *fd), Some((1, _)));
            (!targets_init || *signo == 0).then(|| {
                (Job::Call(call(libc::SYS_pidfd_send_signal, &[int(*fd), int(*signo), NULL, NULL])), Answer::Number)
            })
        }
        Syscall::Wait { pid, options } => {
            let args = [number(*pid), OUT_ARG, Arg::Value(u64::from(options | WNOHANG)), NULL];
            Some((Job::Call(call(libc::SYS_wait4, &args)), Answer::Wait))
        }
        Syscall::Waitid { which, options } => Some((encode_waitid(c, *which, *options), Answer::Waitid)),
        Syscall::Sigaction { signo, action } => Some(encode_sigaction(c, *signo, *action)),
        Syscall::Sigprocmask { block, signo } => Some(encode_sigprocmask(*block, *signo)),
        Syscall::Sigwaitinfo { signo } => Some(encode_sigwaitinfo(*signo)),
        Syscall::Setsid => Some((Job::Call(call(libc::SYS_setsid, &[])), Answer::Pid)),
        Syscall::Setpgid { pid, pgid } => simple(libc::SYS_setpgid, &[number(*pid), number(*pgid)]),
        Syscall::Getsid { pid } => Some((Job::Call(call(libc::SYS_getsid, &[number(*pid)])), Answer::Pid)),
        Syscall::Getpgid { pid } => Some((Job::Call(call(libc::SYS_getpgid, &[number(*pid)])), Answer::Pid)),
        Syscall::Prctl(op) => Some((Job::Call(encode_prctl(op)), Answer::Number)),
        Syscall::Setuid { uid } => simple(libc::SYS_setuid, &[id(*uid)]),
        Syscall::Setgid { gid } => simple(libc::SYS_setgid, &[id(*gid)]),
        Syscall::Setreuid { ruid, euid } => simple(libc::SYS_setreuid, &[id(*ruid), id(*euid)]),
        Syscall::Setregid { rgid, egid } => simple(libc::SYS_setregid, &[id(*rgid), id(*egid)]),
        Syscall::Setresuid { ruid, euid, suid } => simple(libc::SYS_setresuid, &[id(*ruid), id(*euid), id(*suid)]),
        Syscall::Setresgid { rgid, egid, sgid } => simple(libc::SYS_setresgid, &[id(*rgid), id(*egid), id(*sgid)]),
        Syscall::Setfsuid { uid } => simple(libc::SYS_setfsuid, &[id(*uid)]),
        Syscall::Setfsgid { gid } => simple(libc::SYS_setfsgid, &[id(*gid)]),
        Syscall::Setgroups { groups } => {
            let bytes = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
            let args = [Arg::Value(groups.len() as u64), IN_ARG];
            Some((Job::Call(with_data(libc::SYS_setgroups, &args, bytes)), Answer::Number))
        }
        Syscall::Capset { effective, permitted, inheritable } => {
            let current = (c.capabilities)();
            let asked = [*effective, *permitted, *inheritable];
            let sets: Vec<u64> = asked.iter().zip(current).map(|(asked, current)| asked.unwrap_or(current)).collect();
            Some((Job::Call(encode_capset(&sets)), Answer::Number))
        }
        Syscall::Prlimit { resource, soft, hard } => Some((encode_prlimit(c, *resource, *soft, *hard), Answer::Number)),
        Syscall::Sethostname { name } => encode_name(c, libc::SYS_sethostname, name),
        Syscall::Setdomainname { name } => encode_name(c, libc::SYS_setdomainname, name),
        Syscall::Open { target, flags } => encode_open(c, target, *flags).map(|job| (job, Answer::Number)),
        Syscall::Close { fd } => simple(libc::SYS_close, &[int(*fd)]),
        Syscall::Dup { fd } => simple(libc::SYS_dup, &[int(*fd)]),
        Syscall::PidfdGetfd { pidfd, fd } => simple(libc::SYS_pidfd_getfd, &[int(*pidfd), int(*fd), NULL]),
        Syscall::Ioctl { fd, request, arg } => encode_ioctl(c, *fd, *request, *arg),
        Syscall::Write { path, bytes } => {
            // Pids have as many digits as they have on each machine.
            let answer = if cgroup::real_path(c.k, c.me, path).is_some() { Answer::Unlike } else { Answer::Number };
            encode_write(c, path, bytes).map(|job| (job, answer))
        }
        Syscall::Name(name) if !c.is_sandboxed => encode_cgroup_name(c, name),
        Syscall::Reboot { command, magic } => encode_reboot(c, *command, *magic),
        Syscall::Ip(ip) => encode_ip(c, ip).map(|job| (job, Answer::Number)),
        Syscall::Bind(name) => encode_socket(c, name, false).map(|job| (job, Answer::Number)),
        Syscall::Connect(name) => encode_socket(c, name, true).map(|job| (job, Answer::Number)),
        _ if c.is_sandboxed => encode_mount(c, syscall),
        // A tracer would have to answer for every signal of its tracee; what a task reads is observed from outside; the
        // rest is not compared.
        _ => crate::ipc::encode::encode(c, syscall),
    }
}

/// A change of the directories of cgroups.
fn encode_cgroup_name(c: &Context<'_>, name: &NameCall) -> Option<(Job, Answer)> {
    let (path, number, args) = match name {
        NameCall::Mkdir { path } => (path, libc::SYS_mkdir, vec![IN_ARG, Arg::Value(0o777)]),
        NameCall::Rmdir { path } => (path, libc::SYS_rmdir, vec![IN_ARG]),
        NameCall::Unlink { path } => (path, libc::SYS_unlink, vec![IN_ARG]),
        NameCall::Chown { path, uid, gid } => (path, libc::SYS_chown, vec![IN_ARG, id(*uid), id(*gid)]),
        NameCall::Touch { .. } | NameCall::Rename { .. } | NameCall::Symlink { .. } => return None,
    };
    let path = cgroup::real_path(c.k, c.me, path)?;
    Some((Job::Call(with_data(number, &args, zero_ended(path.as_bytes()))), Answer::Number))
}

/// The number and the flags of what a pidfd of the caller stands for.
fn pidfd_at(c: &Context<'_>, fd: i32) -> Option<(i32, OpenFlags)> {
    let file = &c.k.open_files[c.k.file_at(c.me, fd)?];
    match &file.kind {
        FileKind::Pidfd { pid, .. } => Some((c.k.pids[pid.id()].nr(), file.flags)),
        _ => None,
    }
}

/// A new user namespace in which RLIMIT_NPROC would bound all processes of root from then on: the machine has other ones.
fn limits_root(c: &Context<'_>, flags: u64) -> bool {
    let cred = c.k.cred_of(c.me);
    CloneFlags::from_bits_retain(flags).contains(CloneFlags::NEWUSER)
        && cred.user_ns.id() == c.k.init.user_ns
        && cred.ids.euid == GLOBAL_ROOT_UID
        && cred.ids.uid != GLOBAL_ROOT_UID
        && c.k.signal_of(c.me).rlimits.nproc.soft < NPROC
}

fn encode_clone(c: &Context<'_>, args: &CloneArgs) -> Option<Job> {
    let mut flags = CloneFlags::from_bits_retain(args.flags);
    // The parent of a vfork waits for its child, which would wait for its controller.
    flags.remove(CloneFlags::VFORK);
    let is_other_file = |fd| c.k.file_at(c.me, fd).is_some() && !cgroup::is_directory(c.k, c.me, fd);
    let is_impossible = |fd: &i32| is_other_file(*fd) || cgroup::is_fatal(c.k, c.me, *fd);
    if flags.contains(CloneFlags::INTO_CGROUP) && args.cgroup.as_ref().is_some_and(is_impossible) {
        return None;
    }
    let is_sibling = flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT);
    let exit_signal = args.exit_signal.unwrap_or(if is_sibling { 0 } else { libc::SIGCHLD as u64 });
    let set_tid = args.set_tid.iter().enumerate();
    let set_tid =
        set_tid.map(|(level, &tid)| c.numbers.asked(c.k, c.me, args, level, tid)).collect::<Option<Vec<i32>>>()?;
    let cgroup = args.cgroup.map_or(u64::from(u32::MAX >> 1), |fd| fd as u64);
    let cgroup = if flags.contains(CloneFlags::INTO_CGROUP) { cgroup } else { 0 };
    // Pointers are given only where a flag asks for them; the kernel rejects none of them.
    let pointer = |flag, at| if flags.contains(flag) { SCRATCH + at } else { 0 };
    let pidfd = pointer(CloneFlags::PIDFD, 0);
    let child_tid = pointer(CloneFlags::CHILD_SETTID, 8) | pointer(CloneFlags::CHILD_CLEARTID, 8);
    let parent_tid = pointer(CloneFlags::PARENT_SETTID, 16);
    let args = [flags.bits(), pidfd, child_tid, parent_tid, exit_signal, 0, 0, 0, 0, set_tid.len() as u64, cgroup];
    Some(Job::Clone { args, set_tid })
}

fn encode_setns(c: &Context<'_>, target: &Target, flags: u64) -> Option<Job> {
    let setns = |fd| call(libc::SYS_setns, &[fd, Arg::Value(flags)]);
    Some(match target {
        Target::Fd(fd) => Job::Call(setns(int(*fd))),
        Target::Ns { ns_type, inum } => {
            let (nr, entry) = c.numbers.shown_by(c.k, *ns_type, *inum)?;
            Job::Through(Opening::Handed { nr, entry }, setns(Arg::Opened))
        }
        Target::Pidfd(_) | Target::Path(_) => match encode_open(c, target, OpenFlags::READ)? {
            Job::Call(open) => Job::Through(Opening::Call(open), setns(Arg::Opened)),
            _ => return None,
        },
    })
}

fn encode_prctl(op: &Prctl) -> Raw {
    let prctl = |option: i32, arg: u64| call(libc::SYS_prctl, &[int(option), Arg::Value(arg), NULL, NULL, NULL]);
    let ambient = |what: i32, cap: u64| {
        call(libc::SYS_prctl, &[int(libc::PR_CAP_AMBIENT), int(what), Arg::Value(cap), NULL, NULL])
    };
    match op {
        Prctl::SetName(name) => {
            with_data(libc::SYS_prctl, &[int(libc::PR_SET_NAME), IN_ARG, NULL, NULL, NULL], zero_ended(name))
        }
        Prctl::SetChildSubreaper(on) => prctl(libc::PR_SET_CHILD_SUBREAPER, *on),
        Prctl::SetNoNewPrivs(on) => prctl(libc::PR_SET_NO_NEW_PRIVS, *on),
        Prctl::SetKeepcaps(on) => prctl(libc::PR_SET_KEEPCAPS, *on),
        Prctl::SetDumpable(on) => prctl(libc::PR_SET_DUMPABLE, *on),
        Prctl::GetDumpable => prctl(libc::PR_GET_DUMPABLE, 0),
        Prctl::SetSecurebits(bits) => prctl(libc::PR_SET_SECUREBITS, *bits),
        Prctl::GetSecurebits => prctl(libc::PR_GET_SECUREBITS, 0),
        Prctl::CapbsetDrop(cap) => prctl(libc::PR_CAPBSET_DROP, *cap),
        Prctl::CapbsetRead(cap) => prctl(libc::PR_CAPBSET_READ, *cap),
        Prctl::CapAmbientRaise(cap) => ambient(libc::PR_CAP_AMBIENT_RAISE, *cap),
        Prctl::CapAmbientLower(cap) => ambient(libc::PR_CAP_AMBIENT_LOWER, *cap),
        Prctl::CapAmbientClearAll => ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0),
        Prctl::SetPdeathsig(signal) => prctl(libc::PR_SET_PDEATHSIG, *signal),
    }
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// capget into offset [`OUT`] + 8.
pub fn capget() -> Raw {
    let header = [CAPABILITY_VERSION_3.to_ne_bytes(), [0; 4]].concat();
    with_data(libc::SYS_capget, &[IN_ARG, OUT_ARG], header)
}

fn encode_capset(sets: &[u64]) -> Raw {
    let mut bytes = [CAPABILITY_VERSION_3.to_ne_bytes(), [0; 4]].concat();
    for shift in [0, 32] {
        bytes.extend(sets.iter().flat_map(|set| ((set >> shift) as u32).to_ne_bytes()));
    }
    with_data(libc::SYS_capset, &[IN_ARG, Arg::Data(IN as u64 + 8)], bytes)
}

fn encode_prlimit(c: &Context<'_>, resource: Resource, soft: u64, hard: Option<u64>) -> Job {
    let resource = match resource {
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
    } as i32;
    let hard = hard.unwrap_or_else(|| (c.limit)(resource).1);
    let bytes = [soft.to_ne_bytes(), hard.to_ne_bytes()].concat();
    Job::Call(with_data(libc::SYS_prlimit64, &[NULL, int(resource), IN_ARG, NULL], bytes))
}

/// prlimit that only asks, into offset [`OUT`].
pub fn getrlimit(resource: i32) -> Raw {
    call(libc::SYS_prlimit64, &[NULL, int(resource), NULL, OUT_ARG])
}

/// Never in the initial namespace: that is the host's name.
fn encode_name(c: &Context<'_>, number: i64, name: &[u8]) -> Option<(Job, Answer)> {
    let entry = nslab::kernel::ns::ENTRIES.iter().find(|entry| entry.name == "uts")?;
    let ns = c.k.ns_entry(c.me, entry)?;
    if c.k.namespaces[ns].common.inum == entry.ns_type.ops().init_inum {
        return None;
    }
    let args = [IN_ARG, Arg::Value(name.len() as u64)];
    Some((Job::Call(with_data(number, &args, name.to_vec())), Answer::Number))
}

fn encode_ioctl(c: &Context<'_>, fd: i32, request: u32, arg: Option<i64>) -> Option<(Job, Answer)> {
    let value = Arg::Value(arg.unwrap_or(0) as u64);
    let (arg, answer) = match request {
        NS_GET_OWNER_UID => (OUT_ARG, Answer::Word),
        NS_GET_MNTNS_ID | NS_GET_ID => (OUT_ARG, Answer::Unlike),
        NS_MNT_GET_INFO => (OUT_ARG, Answer::Unlike),
        // They walk the mount namespaces of the whole machine.
        NS_MNT_GET_NEXT | NS_MNT_GET_PREV => return None,
        // These have raw numbers.
        NS_GET_PID_FROM_PIDNS | NS_GET_TGID_FROM_PIDNS => {
            let ns = c.numbers.namespace_at(c.k, c.me, fd);
            (int(c.numbers.raw_in(c.k, ns, arg? as i32)), Answer::RawPid)
        }
        NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS => {
            let ns = c.numbers.namespace_at(c.k, c.me, fd);
            let own = Some(c.k.task_active_pid_ns(c.me));
            // A number of the initial namespace would be another one there.
            if ns == Some(c.k.init.pid_ns) {
                return None;
            }
            (int(c.numbers.raw_in(c.k, own, arg? as i32)), Answer::Number)
        }
        _ => (value, Answer::Number),
    };
    Some((Job::Call(call(libc::SYS_ioctl, &[int(fd), Arg::Value(u64::from(request)), arg])), answer))
}

/// Only in a pid namespace of its own: elsewhere it is the machine that would restart.
fn encode_reboot(c: &Context<'_>, command: RebootCommand, magic: Option<(u32, u32)>) -> Option<(Job, Answer)> {
    if c.k.task_active_pid_ns(c.me) == c.k.init.pid_ns {
        return None;
    }
    let command: u32 = match command {
        RebootCommand::Restart => 0x0123_4567,
        RebootCommand::Restart2 => 0xa1b2_c3d4,
        RebootCommand::Halt => 0xcdef_0123,
        RebootCommand::PowerOff => 0x4321_fedc,
        RebootCommand::CadOn => 0x89ab_cdef,
    };
    let (first, second) = magic.unwrap_or((0xfee1_dead, 0x2812_1969));
    let words = [first, second, command].map(|word| Arg::Value(u64::from(word)));
    let args = [words[0], words[1], words[2], IN_ARG];
    Some((Job::Call(with_data(libc::SYS_reboot, &args, zero_ended(b"x"))), Answer::Number))
}
