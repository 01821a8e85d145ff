//! [`VERBS`]: THE place where a verb is declared. Control files, `usage`, scripts and the command come from it.

use super::args::Args;
use super::{ip, ipc, mount, parse, program, siginfo};
use crate::errno::Result;
use crate::syscall::{AnyCall, LabCall, RebootCommand, Resource, SigAction, Syscall};

/// One verb of the control language.
#[derive(Debug)]
pub struct Verb {
    pub name: &'static str,
    /// The arguments, as `usage` shows them.
    pub usage: &'static str,
    /// Arguments that parse.
    pub example: &'static str,
    /// There is a control file `ctl/<pid>/<name>`.
    pub is_file: bool,
    pub parse: Parse,
}

/// Takes the arguments it knows; EINVAL where they are wrong. What is left over is an error of the caller's.
#[derive(Clone, Copy, Debug)]
pub enum Parse {
    Linux(fn(&mut Args<'_>) -> Result<Syscall>),
    Lab(fn(&mut Args<'_>) -> Result<LabCall>),
    /// The arguments say which of the two it is.
    Either(fn(&mut Args<'_>) -> Result<AnyCall>),
}

impl Parse {
    /// # Errors
    /// EINVAL
    pub(super) fn parse(self, args: &mut Args<'_>) -> Result<AnyCall> {
        match self {
            Parse::Linux(parse) => parse(args).map(AnyCall::Linux),
            Parse::Lab(parse) => parse(args).map(AnyCall::Lab),
            Parse::Either(parse) => parse(args),
        }
    }
}

/// A call of Linux's, with a control file.
const fn linux(
    name: &'static str,
    usage: &'static str,
    example: &'static str,
    parse: fn(&mut Args<'_>) -> Result<Syscall>,
) -> Verb {
    Verb { name, usage, example, is_file: true, parse: Parse::Linux(parse) }
}

/// A call that only the lab has, with a control file.
const fn lab(
    name: &'static str,
    usage: &'static str,
    example: &'static str,
    parse: fn(&mut Args<'_>) -> Result<LabCall>,
) -> Verb {
    Verb { name, usage, example, is_file: true, parse: Parse::Lab(parse) }
}

/// A call of Linux's, or one that only the lab has where the words ask for more, with a control file.
const fn either(
    name: &'static str,
    usage: &'static str,
    example: &'static str,
    parse: fn(&mut Args<'_>) -> Result<AnyCall>,
) -> Verb {
    Verb { name, usage, example, is_file: true, parse: Parse::Either(parse) }
}

/// A verb of scripts, for which the mount has file operations.
const fn script(verb: Verb) -> Verb {
    Verb { is_file: false, ..verb }
}

/// All verbs, in the order in which `usage` shows them. A row takes its arguments itself if they are a few words in their
/// order; otherwise a function of the verb's family does.
pub static VERBS: &[Verb] = &[
    either(
        "clone",
        "[FLAGS] [set_tid=N,N… (innermost first)] [exit_signal=SIG] [into_cgroup cgroup=FD]",
        "newpid newipc",
        parse::clone,
    ),
    either("unshare", "FLAGS", "newuser newnet", parse::unshare),
    either("setns", "type:[inum]|fd:N|pidfd:PID|handed:PID|PATH [FLAGS]", "net:[4026531833] newnet", parse::setns),
    linux("exec", "COMM [ARG…]", "sleep 1", |args| {
        Ok(Syscall::Exec { comm: args.bytes("COMM")?.to_vec(), argv: args.rest() })
    }),
    linux("exit", "[CODE]", "3", |args| Ok(Syscall::Exit { code: parse::exit_code(args)? })),
    linux("exit_group", "[CODE]", "3", |args| Ok(Syscall::ExitGroup { code: parse::exit_code(args)? })),
    linux("kill", "PID SIG", "1 SIGTERM", |args| Ok(Syscall::Kill { pid: args.pid("PID")?, signo: args.signal()? })),
    linux("tkill", "TID SIG", "1 SIGTERM", |args| Ok(Syscall::Tkill { tid: args.pid("TID")?, signo: args.signal()? })),
    linux("tgkill", "TGID TID SIG", "1 1 SIGTERM", |args| {
        Ok(Syscall::Tgkill { tgid: args.pid("TGID")?, tid: args.pid("TID")?, signo: args.signal()? })
    }),
    linux("rt_sigqueueinfo", "TGID SIG [INFO]; INFO: code=N pid=N uid=N value=N", "1 SIGUSR1 value=7", |args| {
        let (tgid, signo) = (args.pid("TGID")?, args.signal()?);
        Ok(Syscall::RtSigqueueinfo { tgid, signo, info: siginfo::queued(args)? })
    }),
    linux("rt_tgsigqueueinfo", "TGID TID SIG [INFO]", "1 1 SIGUSR1 value=7", |args| {
        let (tgid, tid, signo) = (args.pid("TGID")?, args.pid("TID")?, args.signal()?);
        Ok(Syscall::RtTgsigqueueinfo { tgid, tid, signo, info: siginfo::queued(args)? })
    }),
    linux(
        "pidfd_send_signal",
        "FD SIG [thread|thread_group|process_group] [INFO]",
        "0 SIGTERM",
        siginfo::pidfd_send_signal,
    ),
    linux("wait", "[PID|-1|0|-PGID] [untraced] [continued] [all] [clone] [nothread]", "-1 all", parse::wait),
    linux(
        "waitid",
        "all|pid PID|pgid N|pidfd FD exited|stopped|continued… [nowait]",
        "pid 2 exited nowait",
        parse::waitid,
    ),
    linux("sigaction", "SIG [ignore|default|handler]", "SIGCHLD ignore", |args| {
        Ok(Syscall::Sigaction { signo: args.signal()?, action: args.optional_choice("ACTION", SIG_ACTIONS)? })
    }),
    linux("sigprocmask", "block|unblock SIG", "block SIGUSR1", |args| {
        let block = args.choice("block or unblock", &[("block", true), ("unblock", false)])?;
        Ok(Syscall::Sigprocmask { block, signo: args.signal()? })
    }),
    linux("sigwaitinfo", "SIG", "SIGCHLD", |args| Ok(Syscall::Sigwaitinfo { signo: args.signal()? })),
    linux("setsid", "", "", |_| Ok(Syscall::Setsid)),
    linux("setpgid", "PID PGID", "0 0", |args| Ok(Syscall::Setpgid { pid: args.pid("PID")?, pgid: args.pid("PGID")? })),
    linux("getsid", "PID", "0", |args| Ok(Syscall::Getsid { pid: args.pid("PID")? })),
    linux("getpgid", "PID", "0", |args| Ok(Syscall::Getpgid { pid: args.pid("PID")? })),
    linux(
        "prctl",
        "name X|child_subreaper 0|1|no_new_privs 1|keepcaps 0|1|dumpable 0|1|get_dumpable|securebits N|get_securebits|\
         capbset_drop CAP|capbset_read CAP|cap_ambient raise|lower|clear_all [CAP]|pdeathsig SIG",
        "cap_ambient raise cap_net_raw",
        parse::prctl,
    ),
    linux("setuid", "UID", "1000", |args| Ok(Syscall::Setuid { uid: args.id("UID")? })),
    linux("setgid", "GID", "1000", |args| Ok(Syscall::Setgid { gid: args.id("GID")? })),
    linux("setreuid", "RUID EUID", "-1 1000", |args| {
        Ok(Syscall::Setreuid { ruid: args.id("RUID")?, euid: args.id("EUID")? })
    }),
    linux("setregid", "RGID EGID", "-1 1000", |args| {
        Ok(Syscall::Setregid { rgid: args.id("RGID")?, egid: args.id("EGID")? })
    }),
    linux("setresuid", "RUID EUID SUID", "-1 1000 -1", |args| {
        Ok(Syscall::Setresuid { ruid: args.id("RUID")?, euid: args.id("EUID")?, suid: args.id("SUID")? })
    }),
    linux("setresgid", "RGID EGID SGID", "-1 1000 -1", |args| {
        Ok(Syscall::Setresgid { rgid: args.id("RGID")?, egid: args.id("EGID")?, sgid: args.id("SGID")? })
    }),
    linux("setfsuid", "UID", "1000", |args| Ok(Syscall::Setfsuid { uid: args.id("UID")? })),
    linux("setfsgid", "GID", "1000", |args| Ok(Syscall::Setfsgid { gid: args.id("GID")? })),
    linux("setgroups", "[GID…]", "5 1000", parse::setgroups),
    linux(
        "capset",
        "[pid=PID] [eff=SET] [prm=SET] [inh=SET]; SET: 0xMASK|cap_x,cap_y|all|none",
        "eff=none prm=all",
        parse::capset,
    ),
    linux("ptrace", "seize PID", "seize 2", |args| {
        args.choice("seize", &[("seize", ())])?;
        Ok(Syscall::PtraceSeize { pid: args.pid("PID")? })
    }),
    linux("reboot", "restart|restart2|halt|power_off|cad_on [magic=M1,M2]", "restart", |args| {
        Ok(Syscall::Reboot { command: args.choice("COMMAND", REBOOT_COMMANDS)?, magic: parse::magic(args)? })
    }),
    linux("prlimit", "[pid=PID] nproc|msgqueue|nofile SOFT[:HARD]", "nproc 10:20", |args| {
        let pid = args.keyed_pid()?;
        let resource = args.choice("RESOURCE", RESOURCES)?;
        let (soft, hard) = parse::limits(args)?;
        Ok(Syscall::Prlimit { pid, resource, soft, hard })
    }),
    linux("sethostname", "NAME", "blue", |args| Ok(Syscall::Sethostname { name: args.bytes("NAME")?.to_vec() })),
    linux("setdomainname", "NAME", "example", |args| Ok(Syscall::Setdomainname { name: args.bytes("NAME")?.to_vec() })),
    either(
        "open",
        "type:[inum]|fd:N|pidfd:PID|handed:PID [thread] [nonblock], or PATH [rdonly|wronly|rdwr] [path] [nofollow] [directory] \
         [creat] [excl] [trunc] [cloexec]",
        "proc/1/ns/net rdonly cloexec",
        parse::open,
    ),
    linux("close", "FD", "0", |args| Ok(Syscall::Close { fd: args.number("FD")? })),
    linux("dup", "FD", "0", |args| Ok(Syscall::Dup { fd: args.number("FD")? })),
    linux("pidfd_getfd", "FD N", "0 1", |args| {
        Ok(Syscall::PidfdGetfd { pidfd: args.number("FD")?, fd: args.number("N")? })
    }),
    linux(
        "ioctl",
        "FD NS_GET_…|NS_MNT_GET_…|PIDFD_GET_…_NAMESPACE|SIOCGSKNS|NUMBER [ARG]",
        "0 NS_GET_PARENT",
        parse::ioctl,
    ),
    lab("ip", ip::USAGE, "link add v0 type veth peer name v1", ip::parse),
    lab("bind", "tcp|udp|unix IP:PORT|@name|/path", "tcp 127.0.0.1:80", |args| {
        Ok(LabCall::Bind(ip::socket_name(args)?))
    }),
    lab("connect", "tcp|udp|unix IP:PORT|@name|/path", "unix @x", |args| Ok(LabCall::Connect(ip::socket_name(args)?))),
    either(
        "mount",
        "TYPE SOURCE TARGET [-o OPTS] (in files dev=MAJOR:MINOR [root=PATH] [shared=GROUP] [master=GROUP] [unbindable] [super=OPTS] too)|--bind SRC DST|--rbind SRC DST|--move SRC DST|\
         --make-[r]{shared,slave,private,unbindable} PATH|-o FLAGS [SRC] DST",
        "tmpfs none /tmp -o ro,size=1m",
        mount::mount,
    ),
    linux("umount", "[-l] [-f] [--expire] [--nofollow] PATH", "-l /tmp", mount::umount),
    linux("pivot_root", "NEW PUT_OLD", "/tmp /tmp/old", |args| {
        Ok(Syscall::PivotRoot { new_root: parse::path(args)?, put_old: parse::path(args)? })
    }),
    linux("chroot", "PATH", "/tmp", |args| Ok(Syscall::Chroot { path: parse::path(args)? })),
    linux("chdir", "PATH", "/tmp", |args| Ok(Syscall::Chdir { path: parse::path(args)? })),
    linux("fchdir", "FD", "0", |args| Ok(Syscall::Fchdir { fd: args.number("FD")? })),
    linux("getcwd", "", "", |_| Ok(Syscall::Getcwd)),
    linux("open_tree", "clone PATH", "clone /tmp", |args| {
        args.choice("clone", &[("clone", ())])?;
        Ok(Syscall::OpenTree { path: parse::path(args)? })
    }),
    linux("move_mount", "[--beneath] fd:FD|PATH TARGET", "fd:0 /tmp", mount::move_mount),
    linux("mount_setattr", "PATH shared|slave|private|unbindable[,TYPE]", "/tmp shared", mount::mount_setattr),
    linux("mkdir", "PATH [MODE]", "/tmp/a 0700", |args| {
        Ok(Syscall::Mkdir { path: parse::path(args)?, mode: args.optional_mode()?.unwrap_or(MKDIR_MODE) })
    }),
    linux("rmdir", "PATH", "/tmp/a", |args| Ok(Syscall::Rmdir { path: parse::path(args)? })),
    lab("touch", "PATH", "/tmp/a", |args| Ok(LabCall::Touch { path: parse::path(args)? })),
    linux("unlink", "PATH", "/tmp/a", |args| Ok(Syscall::Unlink { path: parse::path(args)? })),
    linux("rename", "OLD NEW", "/tmp/a /tmp/b", |args| {
        Ok(Syscall::Rename { old: parse::path(args)?, new: parse::path(args)? })
    }),
    linux("symlink", "TEXT PATH", "a /tmp/b", |args| {
        Ok(Syscall::Symlink { text: args.bytes("TEXT")?.to_vec(), path: parse::path(args)? })
    }),
    linux("chown", "UID:GID PATH", "1000:1000 /tmp", |args| {
        let (uid, gid) = parse::owner(args)?;
        Ok(Syscall::Chown { uid, gid, path: parse::path(args)? })
    }),
    linux("msgget", "KEY|private [create] [excl] [MODE]", "42 create 0600", ipc::msgget),
    linux("msgsnd", "ID TYPE TEXT|text=TEXT|size=N", "0 1 hello", ipc::msgsnd),
    linux("msgrcv", "ID TYPE [size=N] [nowait] [noerror] [except] [copy]", "0 -2 nowait", ipc::msgrcv),
    linux(
        "msgctl",
        "ID rmid|stat|set [uid=N] [gid=N] [mode=MODE] [qbytes=N], IDX msg_stat|msg_stat_any, or 0 info|msg_info",
        "0 stat",
        ipc::msgctl,
    ),
    linux("semget", "KEY|private NSEMS [create] [excl] [MODE]", "42 2 create 0600", ipc::semget),
    linux("semop", "ID NUM,DELTA[,undo][,nowait]…", "0 0,-1,undo 1,1", ipc::semop),
    linux(
        "semctl",
        "ID NUM setval V|getval|getpid|getncnt|getzcnt, ID getall|setall V…|rmid|stat|set [uid=N] [gid=N] [mode=MODE], \
         IDX sem_stat|sem_stat_any, or 0 info|sem_info",
        "0 1 setval 5",
        ipc::semctl,
    ),
    linux("shmget", "KEY|private SIZE [create] [excl] [MODE]", "42 4096 create 0600", ipc::shmget),
    linux("shmat", "ID [addr=0x…] [rdonly] [remap]", "0 rdonly", ipc::shmat),
    linux("shmdt", "ADDR", "0x7ffff7ffe000", ipc::shmdt),
    linux(
        "shmctl",
        "ID rmid|stat|set [uid=N] [gid=N] [mode=MODE]|lock|unlock, IDX shm_stat|shm_stat_any, or 0 info|shm_info",
        "0 rmid",
        ipc::shmctl,
    ),
    either(
        "mq_open",
        "NAME [create] [excl] [rdonly|wronly|rdwr] [nonblock] [maxmsg=N msgsize=N] [MODE] [real]",
        "q create maxmsg=4 msgsize=64 0600",
        ipc::mq_open,
    ),
    linux("mq_unlink", "NAME", "q", ipc::mq_unlink),
    linux("mq_send", "FD PRIO TEXT|text=TEXT|size=N", "0 5 hello", ipc::mq_send),
    linux("mq_receive", "FD [size=N]", "0", ipc::mq_receive),
    linux("mq_notify", "FD signal SIG [value=N]|thread|none|off", "0 signal SIGUSR1", ipc::mq_notify),
    linux("mq_getsetattr", "FD [nonblock|flags=N]", "0 nonblock", ipc::mq_getsetattr),
    lab("mq_close", "FD", "0", |args| Ok(LabCall::MqClose { fd: args.number("FD")? })),
    linux("clock_gettime", "monotonic|boottime|realtime|…|NUMBER", "monotonic", ipc::clock_gettime),
    lab("clock", "+DURATION (ns, us, ms, s, min, h, d; init only)", "+5s", ipc::clock),
    lab("attach", "HOSTPID", "1", |args| Ok(LabCall::Attach { host_pid: args.number("HOSTPID")? })),
    script(either(
        "program",
        "runs|ended STATUS|never_ran|stopped SIG|continued|wakes|waits CALL…|pins type:[inum]|unpins type:[inum]|pins mqueue:N|\
         unpins mqueue:N|closes mqueue:N",
        "runs",
        program::parse,
    )),
    script(lab("read", "PATH", "proc/self/status", |args| Ok(LabCall::Read { path: parse::path(args)? }))),
    script(linux("readlink", "PATH", "proc/self/ns/net", |args| Ok(Syscall::Readlink { path: parse::path(args)? }))),
    script(linux("stat", "PATH", "proc/self", |args| Ok(Syscall::Stat { path: parse::path(args)? }))),
    script(linux("lstat", "PATH", "proc/self", |args| Ok(Syscall::Lstat { path: parse::path(args)? }))),
    script(lab("ls", "PATH", "proc/self/ns", |args| Ok(LabCall::Ls { path: parse::path(args)? }))),
    script(lab("write", "PATH TEXT…", "proc/self/uid_map 0 1000 1", |args| {
        Ok(LabCall::Write { path: parse::path(args)?, bytes: args.rest().join(&b' ') })
    })),
];

/// The permissions that mkdir(1) asks for.
const MKDIR_MODE: u16 = 0o777;

const SIG_ACTIONS: &[(&str, SigAction)] =
    &[("ignore", SigAction::Ignore), ("default", SigAction::Default), ("handler", SigAction::Handler)];

const REBOOT_COMMANDS: &[(&str, RebootCommand)] = &[
    ("restart", RebootCommand::Restart),
    ("restart2", RebootCommand::Restart2),
    ("halt", RebootCommand::Halt),
    ("power_off", RebootCommand::PowerOff),
    ("cad_on", RebootCommand::CadOn),
];

/// What prlimit(2) limits, by the words for it.
pub const RESOURCES: &[(&str, Resource)] =
    &[("nproc", Resource::Nproc), ("msgqueue", Resource::Msgqueue), ("nofile", Resource::Nofile)];
