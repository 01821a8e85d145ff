//! [`perform`] and the names of calls: THE table of calls.

use super::ip::Ip;
use super::memory::{self, OBJECT};
use super::trace::Shown;
use super::{
    AnyCall, LabCall, Outcome, Syscall, chown, clock, clone, cred, cwd, exec, exit, fd, hostname, ioctl, ip, kill,
    kthread, lab, mount, mqueue, msg, namei, opentree, path, prctl, prlimit, program, ptrace, reboot, recorded, sem,
    session, setid, setns, shm, socket, umount, unshare, wait, write,
};
use crate::bail;
use crate::errno::Arg;
use crate::kernel::memory::MOUNT;
use crate::kernel::{Current, Kernel};

/// Rows of name, call, what a trace shows of it ([arguments; flags of clone and its like]), how many bytes of memory it may
/// add at most, about, and the function that makes it.
macro_rules! calls {
    ($calls:ident, $perform:ident, ($k:ident, $me:ident)
        $($name:literal $call:pat, [$($shown:expr),* $(; $flags:expr)?], $growth:expr => $function:expr,)*
    ) => {
        impl $calls {
            /// The names of all.
            pub const NAMES: &[&'static str] = &[$($name),*];

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

            /// Bytes of memory that the call may add, at most, about.
            #[expect(unused_variables, reason = "a pattern binds what the function of the call takes")]
            pub(super) fn growth(&self, $k: &Kernel, $me: Current) -> usize {
                match self {
                    $($call => $growth,)*
                }
            }
        }

        /// Makes a call.
        ///
        /// # Errors
        /// Those of the call.
        #[allow(unused_variables, reason = "a pattern binds what a trace shows")]
        pub(super) fn $perform($k: &mut Kernel, $me: Current, call: &$calls) -> Outcome {
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
    "clone" Syscall::Clone(args), [; args.flags], memory::task(k, me) + memory::namespaces(k, me, args.flags) =>
        clone::sys_clone(k, me, args),
    "unshare" Syscall::Unshare { flags }, [; *flags], memory::namespaces(k, me, *flags) + memory::descriptors(k, me) =>
        unshare::sys_unshare(k, me, *flags),
    "setns" Syscall::Setns { fd, flags }, [fd; *flags], 0 => setns::sys_setns(k, me, *fd, *flags),
    "exec" Syscall::Exec { comm, argv }, [comm], memory::exec(comm, argv) => exec::sys_exec(k, me, comm, argv),
    "exit" Syscall::Exit { code }, [code], 0 => exit::sys_exit(k, me, *code),
    "exit_group" Syscall::ExitGroup { code }, [code], 0 => exit::sys_exit_group(k, me, *code),
    "kill" Syscall::Kill { pid, signo }, [pid, signo], memory::signal(*signo) => kill::sys_kill(k, me, *pid, *signo),
    "tkill" Syscall::Tkill { tid, signo }, [tid, signo], memory::signal(*signo) => kill::sys_tkill(k, me, *tid, *signo),
    "tgkill" Syscall::Tgkill { tgid, tid, signo }, [tgid, tid, signo], memory::signal(*signo) =>
        kill::sys_tgkill(k, me, *tgid, *tid, *signo),
    "rt_sigqueueinfo" Syscall::RtSigqueueinfo { tgid, signo, info }, [tgid, signo], memory::signal(*signo) =>
        kill::sys_rt_sigqueueinfo(k, me, *tgid, *signo, *info),
    "rt_tgsigqueueinfo" Syscall::RtTgsigqueueinfo { tgid, tid, signo, info }, [tgid, tid, signo],
        memory::signal(*signo) => kill::sys_rt_tgsigqueueinfo(k, me, [*tgid, *tid], *signo, *info),
    "pidfd_send_signal" Syscall::PidfdSendSignal { fd, signo, info, flags }, [fd, signo], memory::signal(*signo) =>
        kill::sys_pidfd_send_signal(k, me, *fd, *signo, *info, *flags),
    "wait" Syscall::Wait { pid, options }, [pid], 0 => wait::sys_wait(k, me, *pid, *options),
    "waitid" Syscall::Waitid { which, options }, [which], 0 => wait::sys_waitid(k, me, *which, *options),
    "sigaction" Syscall::Sigaction { signo, action }, [signo], 0 => kill::sys_sigaction(k, me, *signo, *action),
    "sigprocmask" Syscall::Sigprocmask { block, signo }, [signo], 0 => kill::sys_sigprocmask(k, me, *block, *signo),
    "sigwaitinfo" Syscall::Sigwaitinfo { signo }, [signo], 0 => kill::sys_sigwaitinfo(k, me, *signo),
    "setsid" Syscall::Setsid, [], 0 => session::sys_setsid(k, me),
    "setpgid" Syscall::Setpgid { pid, pgid }, [pid, pgid], 0 => session::sys_setpgid(k, me, *pid, *pgid),
    "getsid" Syscall::Getsid { pid }, [pid], 0 => session::sys_getsid(k, me, *pid),
    "getpgid" Syscall::Getpgid { pid }, [pid], 0 => session::sys_getpgid(k, me, *pid),
    "prctl" Syscall::Prctl(op), [], 0 => prctl::sys_prctl(k, me, op),
    "setuid" Syscall::Setuid { uid }, [uid], 0 => setid::sys_setuid(k, me, *uid),
    "setgid" Syscall::Setgid { gid }, [gid], 0 => setid::sys_setgid(k, me, *gid),
    "setreuid" Syscall::Setreuid { ruid, euid }, [ruid, euid], 0 => setid::sys_setreuid(k, me, *ruid, *euid),
    "setregid" Syscall::Setregid { rgid, egid }, [rgid, egid], 0 => setid::sys_setregid(k, me, *rgid, *egid),
    "setresuid" Syscall::Setresuid { ruid, euid, suid }, [ruid, euid, suid], 0 =>
        setid::sys_setresuid(k, me, [*ruid, *euid, *suid]),
    "setresgid" Syscall::Setresgid { rgid, egid, sgid }, [rgid, egid, sgid], 0 =>
        setid::sys_setresgid(k, me, [*rgid, *egid, *sgid]),
    "setfsuid" Syscall::Setfsuid { uid }, [uid], 0 => setid::sys_setfsuid(k, me, *uid),
    "setfsgid" Syscall::Setfsgid { gid }, [gid], 0 => setid::sys_setfsgid(k, me, *gid),
    "setgroups" Syscall::Setgroups { groups }, [], 4 * groups.len() => cred::sys_setgroups(k, me, groups),
    "capset" Syscall::Capset { pid, effective, permitted, inheritable }, [], 0 =>
        cred::sys_capset(k, me, *pid, [*effective, *permitted, *inheritable]),
    "ptrace" Syscall::PtraceSeize { pid }, [pid], 0 => ptrace::sys_ptrace_seize(k, me, *pid),
    "reboot" Syscall::Reboot { command, magic }, [], 0 => reboot::sys_reboot(k, me, *command, *magic),
    "prlimit" Syscall::Prlimit { pid, resource, soft, hard }, [pid], 0 =>
        prlimit::sys_prlimit(k, me, *pid, *resource, *soft, *hard),
    "sethostname" Syscall::Sethostname { name }, [name], 0 => hostname::sys_sethostname(k, me, name),
    "setdomainname" Syscall::Setdomainname { name }, [name], 0 => hostname::sys_setdomainname(k, me, name),
    "open" Syscall::Open { path, flags, mode }, [path], OBJECT => fd::sys_open(k, me, path, *flags, *mode),
    "pidfd_open" Syscall::PidfdOpen { pid, flags }, [pid], OBJECT => fd::sys_pidfd_open(k, me, *pid, *flags),
    "close" Syscall::Close { fd }, [fd], 0 => fd::sys_close(k, me, *fd),
    "dup" Syscall::Dup { fd }, [fd], OBJECT => fd::sys_dup(k, me, *fd),
    "pidfd_getfd" Syscall::PidfdGetfd { pidfd, fd }, [pidfd, fd], OBJECT => fd::sys_pidfd_getfd(k, me, *pidfd, *fd),
    "ioctl" Syscall::Ioctl { fd, request, arg }, [fd], OBJECT => ioctl::sys_ioctl(k, me, *fd, *request, *arg),
    "mount" Syscall::Mount(args), [&args.target], memory::mount(args) => mount::sys_mount(k, me, args),
    "umount" Syscall::Umount { path, flags }, [path], 0 => umount::sys_umount(k, me, path, *flags),
    "pivot_root" Syscall::PivotRoot { new_root, put_old }, [new_root, put_old], OBJECT =>
        umount::sys_pivot_root(k, me, new_root, put_old),
    "chroot" Syscall::Chroot { path }, [path], 0 => cwd::sys_chroot(k, me, path),
    "chdir" Syscall::Chdir { path }, [path], 0 => cwd::sys_chdir(k, me, path),
    "fchdir" Syscall::Fchdir { fd }, [fd], 0 => cwd::sys_fchdir(k, me, *fd),
    "getcwd" Syscall::Getcwd, [], 0 => cwd::sys_getcwd(k, me),
    "open_tree" Syscall::OpenTree { path }, [path], OBJECT + MOUNT => opentree::sys_open_tree(k, me, path),
    "move_mount" Syscall::MoveMount { from, to, flags }, [from, to], OBJECT =>
        opentree::sys_move_mount(k, me, from, to, *flags),
    "mount_setattr" Syscall::MountSetattr { path, propagation }, [path], OBJECT =>
        opentree::sys_mount_setattr(k, me, path, *propagation),
    "mkdir" Syscall::Mkdir { path, mode }, [path], OBJECT => namei::sys_mkdir(k, me, path, *mode),
    "rmdir" Syscall::Rmdir { path }, [path], 0 => namei::sys_rmdir(k, me, path),
    "unlink" Syscall::Unlink { path }, [path], 0 => namei::sys_unlink(k, me, path),
    "rename" Syscall::Rename { old, new }, [old, new], OBJECT => namei::sys_rename(k, me, old, new),
    "symlink" Syscall::Symlink { text, path }, [text, path], OBJECT + text.len() =>
        namei::sys_symlink(k, me, text, path),
    "chown" Syscall::Chown { path, uid, gid }, [path, uid, gid], OBJECT => chown::sys_chown(k, me, path, *uid, *gid),
    "msgget" Syscall::Msgget { key, flags }, [key], OBJECT => msg::sys_msgget(k, me, *key, *flags),
    "msgsnd" Syscall::Msgsnd { id, mtype, text, flags }, [id, mtype], memory::message(text) =>
        msg::sys_msgsnd(k, me, *id, *mtype, text, *flags),
    "msgrcv" Syscall::Msgrcv { id, mtype, size, flags }, [id, mtype], 0 =>
        msg::sys_msgrcv(k, me, *id, *mtype, *size, *flags),
    "msgctl" Syscall::Msgctl { id, op }, [id], 0 => msg::sys_msgctl(k, me, *id, *op),
    "semget" Syscall::Semget { key, nsems, flags }, [key, nsems], memory::semaphores(*nsems) =>
        sem::sys_semget(k, me, *key, *nsems, *flags),
    "semop" Syscall::Semop { id, ops }, [id], memory::operations(ops) => sem::sys_semop(k, me, *id, ops),
    "semctl" Syscall::Semctl { id, op }, [id], 0 => sem::sys_semctl(k, me, *id, op),
    "shmget" Syscall::Shmget { key, size, flags }, [key, size], OBJECT => shm::sys_shmget(k, me, *key, *size, *flags),
    "shmat" Syscall::Shmat { id, addr, flags }, [id], OBJECT =>
        shm::sys_shmat(k, me, *id, *addr, *flags),
    "shmdt" Syscall::Shmdt { addr }, [], 0 => shm::sys_shmdt(k, me, *addr),
    "shmctl" Syscall::Shmctl { id, op }, [id], 0 => shm::sys_shmctl(k, me, *id, *op),
    "mq_open" Syscall::MqOpen(args), [&args.name], OBJECT => mqueue::sys_mq_open(k, me, args),
    "mq_unlink" Syscall::MqUnlink { name }, [name], 0 => mqueue::sys_mq_unlink(k, me, name),
    "mq_send" Syscall::MqSend { fd, prio, text }, [fd, prio], memory::message(text) =>
        mqueue::sys_mq_send(k, me, *fd, *prio, text),
    "mq_receive" Syscall::MqReceive { fd, size }, [fd], 0 => mqueue::sys_mq_receive(k, me, *fd, *size),
    "mq_notify" Syscall::MqNotify { fd, method }, [fd], OBJECT => mqueue::sys_mq_notify(k, me, *fd, *method),
    "mq_getsetattr" Syscall::MqGetsetattr { fd, flags }, [fd], 0 => mqueue::sys_mq_getsetattr(k, me, *fd, *flags),
    "clock_gettime" Syscall::ClockGettime { clock }, [clock], 0 => clock::sys_clock_gettime(k, me, *clock),
    "readlink" Syscall::Readlink { path }, [path], 0 => path::sys_readlink(k, me, path),
    "stat" Syscall::Stat { path }, [path], 0 => path::sys_stat(k, me, path),
    "lstat" Syscall::Lstat { path }, [path], 0 => path::sys_lstat(k, me, path),
}

calls! {
    LabCall, perform_lab, (k, me)
    "touch" LabCall::Touch { path }, [path], OBJECT => namei::sys_touch(k, me, path),
    "clock" LabCall::Clock { advance }, [advance], 0 => clock::sys_clock(k, me, *advance),
    "attach" LabCall::Attach { host_pid }, [host_pid], 0 =>
        bail!(EOPNOTSUPP, "only a mounted lab has host processes to attach"),
    "read" LabCall::Read { path }, [path], 0 => path::sys_read(k, me, path),
    "ls" LabCall::Ls { path }, [path], 0 => path::sys_ls(k, me, path),
    "write" LabCall::Write { path, bytes }, [path], bytes.len() => write::sys_write(k, me, path, bytes),
    "ip" LabCall::Ip(call), [call], memory::ip(call) => ip::sys_ip(k, me, call),
    "setns" LabCall::Setns { target, flags }, [target; *flags], 0 => setns::sys_setns_to(k, me, target, *flags),
    "open" LabCall::OpenNs { ns_type, inum, flags }, [(*ns_type, *inum)], OBJECT =>
        fd::sys_open_ns(k, me, *ns_type, *inum, *flags),
    "open" LabCall::Reopen { fd, flags }, [fd], OBJECT => fd::sys_reopen(k, me, *fd, *flags),
    "clone" LabCall::Kthread { name, idle, set_tid, start }, [], memory::kthread() =>
        kthread::sys_kthread(k, me, name.as_deref(), *idle, *set_tid, *start),
    "clone" LabCall::CloneAs { args, inums, start }, [; args.flags],
        memory::task(k, me) + memory::namespaces(k, me, args.flags) =>
        recorded::sys_clone_as(k, me, args, inums, *start),
    "become" LabCall::Become(seen), [], memory::become_seen(seen) => recorded::sys_become(k, me, seen),
    "mount" LabCall::MountAs { args, seen }, [&args.target], memory::mount_as(args, seen) =>
        mount::sys_mount_as(k, me, args, seen),
    "unshare" LabCall::UnshareAs { flags, inums }, [; *flags],
        memory::namespaces(k, me, *flags) + memory::descriptors(k, me) =>
        recorded::sys_unshare_as(k, me, *flags, inums),
    "mq_open" LabCall::MqMake(args), [&args.name], OBJECT => mqueue::sys_mq_make(k, me, args),
    "mq_close" LabCall::MqClose { fd }, [fd], 0 => fd::sys_close(k, me, *fd),
    "bind" LabCall::Bind(name), [], 2 * OBJECT => socket::sys_bind(k, me, name),
    "connect" LabCall::Connect(name), [], 2 * OBJECT => socket::sys_connect(k, me, name),
    "program" LabCall::Program(told), [told], 0 => program::sys_program(k, me, *told),
    "mkdir" LabCall::MkdirAt { dir, name, mode }, [name], OBJECT => lab::sys_mkdir_at(k, me, *dir, name, *mode),
    "rmdir" LabCall::RmdirAt { dir, name }, [name], 0 => lab::sys_rmdir_at(k, me, *dir, name),
    "write" LabCall::WriteAt { file, pos, bytes }, [], memory::write_at(file, bytes) =>
        lab::sys_write_at(k, me, file, *pos, bytes),
}

impl AnyCall {
    /// The name as Linux has it; of what only the lab has the verb.
    pub fn name(&self) -> &'static str {
        match self {
            AnyCall::Linux(call) | AnyCall::Waiting(call) => call.name(),
            AnyCall::Lab(call) => call.name(),
            AnyCall::Tick { .. } => "tick",
        }
    }

    /// The arguments that are worth seeing.
    pub(super) fn shown(&self) -> Vec<Arg> {
        match self {
            AnyCall::Linux(call) | AnyCall::Waiting(call) => call.shown(),
            AnyCall::Lab(call) => call.shown(),
            AnyCall::Tick { nanos } => vec![nanos.arg()],
        }
    }

    /// Flags that [`super::CloneFlags`] has words for.
    pub(super) fn flags(&self) -> u64 {
        match self {
            AnyCall::Linux(call) | AnyCall::Waiting(call) => call.flags(),
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
