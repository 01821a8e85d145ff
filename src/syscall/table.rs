//! [`perform`] and the names of calls: THE table of calls.

use super::ip::Ip;
use super::mqueue::MqCall;
use super::msg::MsgCall;
use super::namei::NameCall;
use super::sem::SemCall;
use super::shm::ShmCall;
use super::trace::Shown;
use super::{
    AnyCall, LabCall, Outcome, Syscall, clock, clone, cred, cwd, exec, exit, fd, hostname, ioctl, ip, kill, lab, mount,
    mqueue, msg, namei, opentree, path, prctl, prlimit, ptrace, reboot, sem, session, setid, setns, shm, socket,
    umount, unshare, wait, write,
};
use crate::bail;
use crate::errno::Arg;
use crate::kernel::{Kernel, TaskId};

/// Rows of name, call, what a trace shows of it ([arguments; flags of clone and its like]), and the function that makes it.
macro_rules! calls {
    ($calls:ident, $perform:ident, ($k:ident, $me:ident)
        $($name:literal $call:pat, [$($shown:expr),* $(; $flags:expr)?] => $function:expr,)*
    ) => {
        impl $calls {
            /// The name as Linux has it; of what only the control language has the verb.
            #[expect(unused_variables, reason = "a pattern binds what the function of the call takes")]
            pub fn name(&self) -> &'static str {
                match self {
                    $($call => $name,)*
                }
            }

            /// The arguments that are worth seeing.
            #[expect(unused_variables, reason = "a pattern binds what the function of the call takes")]
            pub(super) fn shown(&self) -> Vec<Arg> {
                match self {
                    $($call => vec![$(Shown::arg($shown)),*],)*
                }
            }

            /// Flags that [`super::CloneFlags`] has words for.
            #[expect(unused_variables, reason = "a pattern binds what the function of the call takes")]
            pub(super) fn flags(&self) -> u64 {
                match self {
                    $($call => calls!(@flags $($flags)?),)*
                }
            }
        }

        /// Makes a call.
        ///
        /// # Errors
        /// Those of the call.
        #[expect(unused_variables, reason = "a pattern binds what a trace shows")]
        pub(super) fn $perform($k: &mut Kernel, $me: TaskId, call: &$calls) -> Outcome {
            match call {
                $($call => $function,)*
            }
        }
    };
    (@flags $flags:expr) => {
        $flags
    };
    (@flags) => {
        0
    };
}

calls! {
    Syscall, perform, (k, me)
    "clone" Syscall::Clone(args), [; args.flags] => clone::sys_clone(k, me, args),
    "unshare" Syscall::Unshare { flags }, [; *flags] => unshare::sys_unshare(k, me, *flags),
    "setns" Syscall::Setns { target, flags }, [target; *flags] => setns::sys_setns(k, me, target, *flags),
    "exec" Syscall::Exec { comm, argv }, [comm] => exec::sys_exec(k, me, comm, argv),
    "exit" Syscall::Exit { code }, [code] => exit::sys_exit(k, me, *code),
    "exit_group" Syscall::ExitGroup { code }, [code] => exit::sys_exit_group(k, me, *code),
    "kill" Syscall::Kill { pid, signo }, [pid, signo] => kill::sys_kill(k, me, *pid, *signo),
    "tgkill" Syscall::Tgkill { tgid, tid, signo }, [tgid, tid, signo] => kill::sys_tgkill(k, me, *tgid, *tid, *signo),
    "pidfd_send_signal" Syscall::PidfdSendSignal { fd, signo }, [fd, signo] =>
        kill::sys_pidfd_send_signal(k, me, *fd, *signo),
    "wait" Syscall::Wait { pid, options }, [pid] => wait::sys_wait(k, me, *pid, *options),
    "waitid" Syscall::Waitid { which, options }, [which] => wait::sys_waitid(k, me, *which, *options),
    "sigaction" Syscall::Sigaction { signo, action }, [signo] => kill::sys_sigaction(k, me, *signo, *action),
    "sigprocmask" Syscall::Sigprocmask { block, signo }, [signo] => kill::sys_sigprocmask(k, me, *block, *signo),
    "sigwaitinfo" Syscall::Sigwaitinfo { signo }, [signo] => kill::sys_sigwaitinfo(k, me, *signo),
    "setsid" Syscall::Setsid, [] => session::sys_setsid(k, me),
    "setpgid" Syscall::Setpgid { pid, pgid }, [pid, pgid] => session::sys_setpgid(k, me, *pid, *pgid),
    "getsid" Syscall::Getsid { pid }, [pid] => session::sys_getsid(k, me, *pid),
    "getpgid" Syscall::Getpgid { pid }, [pid] => session::sys_getpgid(k, me, *pid),
    "prctl" Syscall::Prctl(op), [] => prctl::sys_prctl(k, me, op),
    "setuid" Syscall::Setuid { uid }, [uid] => setid::sys_setuid(k, me, *uid),
    "setgid" Syscall::Setgid { gid }, [gid] => setid::sys_setgid(k, me, *gid),
    "setreuid" Syscall::Setreuid { ruid, euid }, [ruid, euid] => setid::sys_setreuid(k, me, *ruid, *euid),
    "setregid" Syscall::Setregid { rgid, egid }, [rgid, egid] => setid::sys_setregid(k, me, *rgid, *egid),
    "setresuid" Syscall::Setresuid { ruid, euid, suid }, [ruid, euid, suid] =>
        setid::sys_setresuid(k, me, [*ruid, *euid, *suid]),
    "setresgid" Syscall::Setresgid { rgid, egid, sgid }, [rgid, egid, sgid] =>
        setid::sys_setresgid(k, me, [*rgid, *egid, *sgid]),
    "setfsuid" Syscall::Setfsuid { uid }, [uid] => setid::sys_setfsuid(k, me, *uid),
    "setfsgid" Syscall::Setfsgid { gid }, [gid] => setid::sys_setfsgid(k, me, *gid),
    "setgroups" Syscall::Setgroups { groups }, [] => cred::sys_setgroups(k, me, groups),
    "capset" Syscall::Capset { effective, permitted, inheritable }, [] =>
        cred::sys_capset(k, me, *effective, *permitted, *inheritable),
    "ptrace" Syscall::PtraceSeize { pid }, [pid] => ptrace::sys_ptrace_seize(k, me, *pid),
    "reboot" Syscall::Reboot { command, magic }, [] => reboot::sys_reboot(k, me, *command, *magic),
    "prlimit" Syscall::Prlimit { resource, soft, hard }, [] => prlimit::sys_prlimit(k, me, *resource, *soft, *hard),
    "sethostname" Syscall::Sethostname { name }, [name] => hostname::sys_sethostname(k, me, name),
    "setdomainname" Syscall::Setdomainname { name }, [name] => hostname::sys_setdomainname(k, me, name),
    "open" Syscall::Open { target, flags }, [target] => fd::sys_open(k, me, target, *flags),
    "close" Syscall::Close { fd }, [fd] => fd::sys_close(k, me, *fd),
    "dup" Syscall::Dup { fd }, [fd] => fd::sys_dup(k, me, *fd),
    "pidfd_getfd" Syscall::PidfdGetfd { pidfd, fd }, [pidfd, fd] => fd::sys_pidfd_getfd(k, me, *pidfd, *fd),
    "ioctl" Syscall::Ioctl { fd, request, arg }, [fd] => ioctl::sys_ioctl(k, me, *fd, *request, *arg),
    "mount" Syscall::Mount(args), [&args.target] => mount::sys_mount(k, me, args),
    "umount" Syscall::Umount { path, flags }, [path] => umount::sys_umount(k, me, path, *flags),
    "pivot_root" Syscall::PivotRoot { new_root, put_old }, [new_root, put_old] =>
        umount::sys_pivot_root(k, me, new_root, put_old),
    "chroot" Syscall::Chroot { path }, [path] => cwd::sys_chroot(k, me, path),
    "chdir" Syscall::Chdir { path }, [path] => cwd::sys_chdir(k, me, path),
    "fchdir" Syscall::Fchdir { fd }, [fd] => cwd::sys_fchdir(k, me, *fd),
    "getcwd" Syscall::Getcwd, [] => cwd::sys_getcwd(k, me),
    "open_tree" Syscall::OpenTree { path }, [path] => opentree::sys_open_tree(k, me, path),
    "move_mount" Syscall::MoveMount { from, to, beneath }, [from, to] =>
        opentree::sys_move_mount(k, me, from, to, *beneath),
    "mount_setattr" Syscall::MountSetattr { path, types }, [path] => opentree::sys_mount_setattr(k, me, path, types),
    "mkdir" Syscall::Name(call @ NameCall::Mkdir { path, .. }), [path] => namei::sys_name(k, me, call),
    "rmdir" Syscall::Name(call @ NameCall::Rmdir { path }), [path] => namei::sys_name(k, me, call),
    "unlink" Syscall::Name(call @ NameCall::Unlink { path }), [path] => namei::sys_name(k, me, call),
    "rename" Syscall::Name(call @ NameCall::Rename { old, new }), [old, new] => namei::sys_name(k, me, call),
    "symlink" Syscall::Name(call @ NameCall::Symlink { text, path }), [text, path] => namei::sys_name(k, me, call),
    "chown" Syscall::Name(call @ NameCall::Chown { path, uid, gid }), [path, uid, gid] =>
        namei::sys_name(k, me, call),
    "msgget" Syscall::Msg(call @ MsgCall::Get(args)), [&args.key] => msg::sys_msg(k, me, call),
    "msgsnd" Syscall::Msg(call @ MsgCall::Snd { id, mtype, .. }), [id, mtype] => msg::sys_msg(k, me, call),
    "msgrcv" Syscall::Msg(call @ MsgCall::Rcv { id, mtype, .. }), [id, mtype] => msg::sys_msg(k, me, call),
    "msgctl" Syscall::Msg(call @ MsgCall::Ctl { id, .. }), [id] => msg::sys_msg(k, me, call),
    "semget" Syscall::Sem(call @ SemCall::Get { args, nsems }), [&args.key, nsems] => sem::sys_sem(k, me, call),
    "semop" Syscall::Sem(call @ SemCall::Op { id, .. }), [id] => sem::sys_sem(k, me, call),
    "semctl" Syscall::Sem(call @ SemCall::Ctl { id, .. }), [id] => sem::sys_sem(k, me, call),
    "shmget" Syscall::Shm(call @ ShmCall::Get { args, size }), [&args.key, size] => shm::sys_shm(k, me, call),
    "shmat" Syscall::Shm(call @ ShmCall::At { id, .. }), [id] => shm::sys_shm(k, me, call),
    "shmdt" Syscall::Shm(call @ ShmCall::Dt { .. }), [] => shm::sys_shm(k, me, call),
    "shmctl" Syscall::Shm(call @ ShmCall::Ctl { id, .. }), [id] => shm::sys_shm(k, me, call),
    "mq_open" Syscall::Mq(call @ MqCall::Open(open)), [&open.name] => mqueue::sys_mq(k, me, call),
    "mq_unlink" Syscall::Mq(call @ MqCall::Unlink { name }), [name] => mqueue::sys_mq(k, me, call),
    "mq_send" Syscall::Mq(call @ MqCall::Send { fd, prio, .. }), [fd, prio] => mqueue::sys_mq(k, me, call),
    "mq_receive" Syscall::Mq(call @ MqCall::Receive { fd, .. }), [fd] => mqueue::sys_mq(k, me, call),
    "mq_notify" Syscall::Mq(call @ MqCall::Notify { fd, .. }), [fd] => mqueue::sys_mq(k, me, call),
    "mq_getsetattr" Syscall::Mq(call @ MqCall::Getsetattr { fd, .. }), [fd] => mqueue::sys_mq(k, me, call),
    "mq_close" Syscall::Mq(call @ MqCall::Close { fd }), [fd] => mqueue::sys_mq(k, me, call),
    "clock_gettime" Syscall::ClockGettime { clock }, [clock] => clock::sys_clock_gettime(k, me, *clock),
    "readlink" Syscall::Readlink { path }, [path] => path::sys_readlink(k, me, path),
    "stat" Syscall::Stat { path, follow: follow @ true }, [path] => path::sys_stat(k, me, path, *follow),
    "lstat" Syscall::Stat { path, follow: follow @ false }, [path] => path::sys_stat(k, me, path, *follow),
}

calls! {
    LabCall, perform_lab, (k, me)
    "touch" LabCall::Touch { path }, [path] => namei::sys_touch(k, me, path),
    "clock" LabCall::Clock { advance }, [advance] => clock::sys_clock(k, me, *advance),
    "attach" LabCall::Attach { host_pid }, [host_pid] =>
        bail!(EOPNOTSUPP, "only a mounted lab has host processes to attach"),
    "read" LabCall::Read { path }, [path] => path::sys_read(k, me, path),
    "ls" LabCall::Ls { path }, [path] => path::sys_ls(k, me, path),
    "write" LabCall::Write { path, bytes }, [path] => write::sys_write(k, me, path, bytes),
    "ip" LabCall::Ip(call), [call] => ip::sys_ip(k, me, call),
    "bind" LabCall::Bind(name), [] => socket::sys_bind(k, me, name),
    "connect" LabCall::Connect(name), [] => socket::sys_connect(k, me, name),
    "mkdir" LabCall::MkdirAt { dir, name, mode }, [name] => lab::sys_mkdir_at(k, me, *dir, name, *mode),
    "rmdir" LabCall::RmdirAt { dir, name }, [name] => lab::sys_rmdir_at(k, me, *dir, name),
    "write" LabCall::WriteAt { file, pos, bytes }, [] => lab::sys_write_at(k, me, file, *pos, bytes),
}

impl AnyCall {
    /// The name as Linux has it; of what only the lab has the verb.
    pub fn name(&self) -> &'static str {
        match self {
            AnyCall::Linux(call) => call.name(),
            AnyCall::Lab(call) => call.name(),
            AnyCall::Tick { .. } => "tick",
        }
    }

    /// The arguments that are worth seeing.
    pub(super) fn shown(&self) -> Vec<Arg> {
        match self {
            AnyCall::Linux(call) => call.shown(),
            AnyCall::Lab(call) => call.shown(),
            AnyCall::Tick { nanos } => vec![nanos.arg()],
        }
    }

    /// Flags that [`super::CloneFlags`] has words for.
    pub(super) fn flags(&self) -> u64 {
        match self {
            AnyCall::Linux(call) => call.flags(),
            AnyCall::Lab(call) => call.flags(),
            AnyCall::Tick { .. } => 0,
        }
    }
}

impl Shown for &Ip {
    /// The object and the command.
    fn arg(self) -> Arg {
        Arg::Name(match self {
            Ip::LinkAdd(_) => "link add",
            Ip::LinkSet(_) => "link set",
            Ip::LinkDel { .. } => "link del",
            Ip::LinkShow { .. } => "link show",
            Ip::AltnameAdd { .. } => "link property add",
            Ip::AddrAdd(_) => "addr add",
            Ip::AddrDel(_) => "addr del",
            Ip::AddrShow { .. } => "addr show",
            Ip::NetnsSet { .. } => "netns set",
            Ip::NetnsGet { .. } => "netns get",
            Ip::NetnsListId => "netns list-id",
        })
    }
}
