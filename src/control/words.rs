//! [`words`]: the line of the language for a call that a program makes by registers, for the journal.

use super::lex::quote;
use super::{ip, ipc_words, mount, mqueue_words, program};
use crate::kernel::file::{O_ACCMODE, O_RDONLY, OpenFlags};
use crate::kernel::signal::GivenInfo;
use crate::syscall::lab::Target;
use crate::syscall::{
    AnyCall, CloneArgs, LabCall, PIDFD_SIGNAL_PROCESS_GROUP, PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP, PidArg,
    Prctl, Resource, SigAction, Syscall, WaitidWhich,
};

/// Numbers of processes as the language has them: of the initial pid namespace.
pub type Number<'a> = &'a dyn Fn(PidArg) -> i32;

/// The verb and its arguments; `None` of calls that no program makes by registers.
pub fn words(call: &AnyCall, number: Number<'_>) -> Option<String> {
    let words = match call {
        AnyCall::Linux(call) => linux(call, number)?,
        AnyCall::Waiting(call) => format!("program waits {}", linux(call, number)?),
        AnyCall::Lab(call) => lab(call, number)?,
        AnyCall::Tick { .. } => return None,
    };
    Some(words.trim_end().to_owned())
}

fn linux(call: &Syscall, n: Number<'_>) -> Option<String> {
    Some(match call {
        Syscall::Clone(args) => clone(args),
        Syscall::Unshare { flags } => format!("unshare {flags:#x}"),
        Syscall::Setns { fd, flags } => format!("setns fd:{fd} {flags:#x}"),
        Syscall::Exec { comm, argv } => format!("exec {}", list(std::iter::once(comm).chain(argv), |word| quote(word))),
        Syscall::Exit { code } => format!("exit {code}"),
        Syscall::ExitGroup { code } => format!("exit_group {code}"),
        Syscall::Wait { pid, options } => format!("wait {} {options:#x}", n(*pid)),
        Syscall::Waitid { which, options } => format!("waitid {} {options:#x}", which_child(*which, n)),
        Syscall::Setsid => "setsid".to_owned(),
        Syscall::Setpgid { pid, pgid } => format!("setpgid {} {}", n(*pid), n(*pgid)),
        Syscall::Getsid { pid } => format!("getsid {}", n(*pid)),
        Syscall::Getpgid { pid } => format!("getpgid {}", n(*pid)),
        Syscall::Prctl(op) => format!("prctl {}", prctl(op)),
        Syscall::Prlimit { pid, resource, soft, hard } => {
            let hard = hard.map_or(String::new(), |hard| format!(":{hard}"));
            format!("prlimit pid={} {} {soft}{hard}", n(*pid), limited(*resource))
        }
        Syscall::Sethostname { name } => format!("sethostname {}", quote(name)),
        Syscall::Setdomainname { name } => format!("setdomainname {}", quote(name)),
        Syscall::Open { path, flags, .. } => open(path, *flags)?,
        Syscall::PidfdOpen { pid, flags } => format!("open {}{}", pidfd(*pid, n), pidfd_flags(*flags)),
        Syscall::Close { fd } => format!("close {fd}"),
        Syscall::Ioctl { fd, request, arg } => {
            format!("ioctl {fd} {request:#x} {}", arg.map_or(String::new(), |arg| arg.to_string()))
        }
        Syscall::Mount(args) => mount::words(args)?,
        Syscall::Umount { path, flags } => mount::umount_words(path, *flags),
        Syscall::Kill { .. } | Syscall::Tkill { .. } | Syscall::Tgkill { .. } => signal(call, n)?,
        Syscall::RtSigqueueinfo { .. } | Syscall::RtTgsigqueueinfo { .. } => signal(call, n)?,
        Syscall::PidfdSendSignal { .. } | Syscall::Sigaction { .. } => signal(call, n)?,
        Syscall::Setuid { .. } | Syscall::Setgid { .. } | Syscall::Setreuid { .. } => credentials(call, n)?,
        Syscall::Setregid { .. } | Syscall::Setresuid { .. } | Syscall::Setresgid { .. } => credentials(call, n)?,
        Syscall::Setfsuid { .. } | Syscall::Setfsgid { .. } | Syscall::Setgroups { .. } => credentials(call, n)?,
        Syscall::Capset { .. } => credentials(call, n)?,
        Syscall::Sigprocmask { .. } | Syscall::Sigwaitinfo { .. } | Syscall::PtraceSeize { .. } => return None,
        Syscall::Reboot { .. } | Syscall::Dup { .. } | Syscall::PidfdGetfd { .. } => return None,
        Syscall::PivotRoot { .. } | Syscall::Chroot { .. } | Syscall::Chdir { .. } => return None,
        Syscall::Fchdir { .. } | Syscall::Getcwd | Syscall::OpenTree { .. } | Syscall::MoveMount { .. } => return None,
        Syscall::Mkdir { path, mode } => format!("mkdir {} {mode:o}", quote(path)),
        Syscall::Rmdir { path } => format!("rmdir {}", quote(path)),
        Syscall::Unlink { path } => format!("unlink {}", quote(path)),
        Syscall::Rename { old, new } => format!("rename {} {}", quote(old), quote(new)),
        Syscall::Symlink { text, path } => format!("symlink {} {}", quote(text), quote(path)),
        Syscall::Chown { path, uid, gid } => format!("chown {}:{} {}", kept(*uid), kept(*gid), quote(path)),
        Syscall::MountSetattr { .. } | Syscall::Readlink { .. } | Syscall::Stat { .. } => return None,
        Syscall::Lstat { .. } => return None,
        Syscall::Msgget { .. } | Syscall::Msgsnd { .. } | Syscall::Msgrcv { .. } => ipc_words::words(call)?,
        Syscall::Msgctl { .. } | Syscall::Semget { .. } | Syscall::Semop { .. } => ipc_words::words(call)?,
        Syscall::Semctl { .. } | Syscall::Shmget { .. } | Syscall::Shmat { .. } => ipc_words::words(call)?,
        Syscall::Shmdt { .. } | Syscall::Shmctl { .. } => ipc_words::words(call)?,
        Syscall::MqOpen(_) | Syscall::MqUnlink { .. } | Syscall::MqSend { .. } => mqueue_words::words(call)?,
        Syscall::MqReceive { .. } | Syscall::MqNotify { .. } => mqueue_words::words(call)?,
        Syscall::MqGetsetattr { .. } => mqueue_words::words(call)?,
        Syscall::ClockGettime { .. } => return None,
    })
}

fn lab(call: &LabCall, n: Number<'_>) -> Option<String> {
    Some(match call {
        LabCall::Setns { target, flags } => {
            let target = match target {
                Target::Ns { ns_type, inum } => format!("{}:[{inum}]", ns_type.ops().name),
                Target::Pidfd(pid) => pidfd(*pid, n),
                Target::Path(path) => quote(path),
            };
            format!("setns {target} {flags:#x}")
        }
        LabCall::OpenNs { ns_type, inum, .. } => format!("open {}:[{inum}]", ns_type.ops().name),
        LabCall::MqMake(open) => format!("{} real", mqueue_words::open(open)),
        LabCall::Ip(call) => ip::words(call, n),
        LabCall::Program(told) => format!("program {}", program::words(*told)),
        LabCall::Read { .. }
        | LabCall::Ls { .. }
        | LabCall::Write { .. }
        | LabCall::Touch { .. }
        | LabCall::Reopen { .. }
        | LabCall::MqClose { .. }
        | LabCall::Bind(_)
        | LabCall::Connect(_)
        | LabCall::Clock { .. }
        | LabCall::Kthread { .. }
        | LabCall::CloneAs { .. }
        | LabCall::UnshareAs { .. }
        | LabCall::MountAs { .. }
        | LabCall::Become(_)
        | LabCall::Attach { .. }
        | LabCall::MkdirAt { .. }
        | LabCall::RmdirAt { .. }
        | LabCall::WriteAt { .. } => return None,
    })
}

/// Words with blanks between them.
fn kept(id: Option<u32>) -> String {
    id.map_or("-1".to_owned(), |id| id.to_string())
}

fn list<T>(items: impl IntoIterator<Item = T>, word: impl Fn(T) -> String) -> String {
    items.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

fn clone(CloneArgs { flags, set_tid, exit_signal, cgroup }: &CloneArgs) -> String {
    let tids = set_tid.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let tids = if tids.is_empty() { tids } else { format!(" set_tid={tids}") };
    let signal = exit_signal.map_or(String::new(), |signal| format!(" exit_signal={signal}"));
    let cgroup = cgroup.map_or(String::new(), |fd| format!(" cgroup={fd}"));
    format!("clone {flags:#x}{tids}{signal}{cgroup}")
}

fn which_child(which: WaitidWhich, n: Number<'_>) -> String {
    match which {
        WaitidWhich::All => "all".to_owned(),
        WaitidWhich::Pid(pid) => format!("pid {}", n(pid)),
        WaitidWhich::Pgid(pgid) => format!("pgid {}", n(pgid)),
        WaitidWhich::Pidfd(fd) => format!("pidfd {fd}"),
        WaitidWhich::Unknown(idtype) => format!("{idtype} 0"),
    }
}

fn signal(call: &Syscall, n: Number<'_>) -> Option<String> {
    let given =
        |GivenInfo { code, pid, uid, value }: &GivenInfo| format!(" code={code} pid={pid} uid={uid} value={value}");
    if let Syscall::Kill { pid, signo } = call {
        return Some(format!("kill {} {signo}", n(*pid)));
    }
    if let Syscall::Tkill { tid, signo } = call {
        return Some(format!("tkill {} {signo}", n(*tid)));
    }
    if let Syscall::Tgkill { tgid, tid, signo } = call {
        return Some(format!("tgkill {} {} {signo}", n(*tgid), n(*tid)));
    }
    if let Syscall::RtSigqueueinfo { tgid, signo, info } = call {
        return Some(format!("rt_sigqueueinfo {} {signo}{}", n(*tgid), given(info)));
    }
    if let Syscall::RtTgsigqueueinfo { tgid, tid, signo, info } = call {
        return Some(format!("rt_tgsigqueueinfo {} {} {signo}{}", n(*tgid), n(*tid), given(info)));
    }
    if let Syscall::PidfdSendSignal { fd, signo, info, flags } = call {
        let targets = [
            (PIDFD_SIGNAL_THREAD, " thread"),
            (PIDFD_SIGNAL_THREAD_GROUP, " thread_group"),
            (PIDFD_SIGNAL_PROCESS_GROUP, " process_group"),
        ];
        let targets: String = targets.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, word)| *word).collect();
        return Some(format!("pidfd_send_signal {fd} {signo}{targets}{}", info.as_ref().map_or(String::new(), given)));
    }
    let Syscall::Sigaction { signo, action } = call else { return None };
    let action = match action {
        None => "",
        Some(SigAction::Ignore) => " ignore",
        Some(SigAction::Default) => " default",
        Some(SigAction::Handler) => " handler",
    };
    Some(format!("sigaction {signo}{action}"))
}

fn credentials(call: &Syscall, n: Number<'_>) -> Option<String> {
    let id = |id: &Option<u32>| id.map_or("-1".to_owned(), |id| id.to_string());
    if let Syscall::Setreuid { ruid, euid } = call {
        return Some(format!("setreuid {} {}", id(ruid), id(euid)));
    }
    if let Syscall::Setregid { rgid, egid } = call {
        return Some(format!("setregid {} {}", id(rgid), id(egid)));
    }
    if let Syscall::Setresuid { ruid, euid, suid } = call {
        return Some(format!("setresuid {} {} {}", id(ruid), id(euid), id(suid)));
    }
    if let Syscall::Setresgid { rgid, egid, sgid } = call {
        return Some(format!("setresgid {} {} {}", id(rgid), id(egid), id(sgid)));
    }
    if let Syscall::Setgroups { groups } = call {
        return Some(format!("setgroups {}", list(groups, u32::to_string)));
    }
    if let Syscall::Capset { pid, effective, permitted, inheritable } = call {
        let sets = [("eff", effective), ("prm", permitted), ("inh", inheritable)];
        let sets = sets.iter().filter_map(|(name, set)| set.map(|set| format!(" {name}={set:#x}")));
        return Some(format!("capset pid={}{}", n(*pid), sets.collect::<String>()));
    }
    let (Syscall::Setuid { uid: value }
    | Syscall::Setgid { gid: value }
    | Syscall::Setfsuid { uid: value }
    | Syscall::Setfsgid { gid: value }) = call
    else {
        return None;
    };
    Some(format!("{} {}", call.name(), id(value)))
}

fn prctl(op: &Prctl) -> String {
    match op {
        Prctl::SetName(name) => format!("name {}", quote(name)),
        Prctl::SetChildSubreaper(value) => format!("child_subreaper {value}"),
        Prctl::SetNoNewPrivs(value) => format!("no_new_privs {value}"),
        Prctl::SetKeepcaps(value) => format!("keepcaps {value}"),
        Prctl::SetDumpable(value) => format!("dumpable {value}"),
        Prctl::GetDumpable => "get_dumpable".to_owned(),
        Prctl::SetSecurebits(value) => format!("securebits {value}"),
        Prctl::GetSecurebits => "get_securebits".to_owned(),
        Prctl::CapbsetDrop(cap) => format!("capbset_drop {cap}"),
        Prctl::CapbsetRead(cap) => format!("capbset_read {cap}"),
        Prctl::CapAmbientRaise(cap) => format!("cap_ambient raise {cap}"),
        Prctl::CapAmbientLower(cap) => format!("cap_ambient lower {cap}"),
        Prctl::CapAmbientClearAll => "cap_ambient clear_all".to_owned(),
        Prctl::SetPdeathsig(signal) => format!("pdeathsig {signal}"),
    }
}

fn limited(resource: Resource) -> &'static str {
    match resource {
        Resource::Nproc => "nproc",
        Resource::Msgqueue => "msgqueue",
        Resource::Nofile => "nofile",
    }
}

/// Of the opens that are made for programs: to read, of a directory, or to make a file.
fn open(path: &[u8], flags: u32) -> Option<String> {
    let words = [(OpenFlags::DIRECTORY, " directory"), (OpenFlags::CREAT, " creat"), (OpenFlags::EXCL, " excl")];
    let known = words.iter().fold(O_ACCMODE, |known, (flag, _)| known | flag.bits());
    if flags & O_ACCMODE != O_RDONLY || flags & !known != 0 {
        return None;
    }
    let words: String = words.iter().filter(|(flag, _)| flags & flag.bits() != 0).map(|(_, word)| *word).collect();
    Some(format!("open {} rdonly{words}", quote(path)))
}

/// A pidfd of a process that the task sees, or that was handed to it.
fn pidfd(pid: PidArg, n: Number<'_>) -> String {
    let word = if matches!(pid, PidArg::Held(_)) { "handed" } else { "pidfd" };
    format!("{word}:{}", n(pid))
}

fn pidfd_flags(flags: OpenFlags) -> String {
    let words = [(OpenFlags::THREAD, " thread"), (OpenFlags::NONBLOCK, " nonblock")];
    words.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{VERBS, parse_write, verb};

    fn parse(line: &str) -> AnyCall {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        parse_write(verb(name).unwrap(), rest.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Of all examples, and of some calls more, the words are read as the same call.
    #[test]
    fn words_are_read_as_the_call_they_are_of() {
        let examples = VERBS.iter().map(|verb| format!("{} {}", verb.name, verb.example));
        let more = [
            "clone newpid set_tid=7,9 exit_signal=0",
            "exec \"a b\" \"\" y",
            "wait -7 1",
            "waitid pgid 3 exited 1",
            "waitid pidfd 3 exited nowait",
            "kill -1 SIGKILL",
            "tgkill 3 4 34",
            "rt_sigqueueinfo 3 10 code=-3 pid=4 uid=5 value=6",
            "pidfd_send_signal 3 0 thread value=3",
            "sigaction SIGCHLD",
            "setresuid -1 0 7",
            "setgroups",
            "capset pid=3 eff=0x1 inh=none",
            "prctl name \"a b\"",
            "prlimit pid=3 nofile 5",
            "mount proc proc /proc -o nosuid,nodev,hidepid=2",
            "mount --rbind /a /b",
            "mount --make-rprivate /",
            "mount -o remount,ro /tmp",
            "umount -l --nofollow /tmp",
            "setns pidfd:7 newnet,newuts",
            "open pidfd:3 thread",
            "open handed:3 thread",
            "setns handed:7 newnet,newuts",
            "open uts:[4026531838]",
            "program ended 256",
            "program waits semop 0 0,-1,undo 1,0",
            "mq_open q create excl wronly rdwr nonblock maxmsg=1 msgsize=2 0600 real",
            "mq_send mqueue:4294967296,write,nonblock 3 text",
            "mq_notify 3 signal 10 value=7",
            "mq_notify mqueue:1 none",
            "mq_notify 3 off",
            "mq_getsetattr mqueue:1,read flags=2048",
            "msgget private create excl 0600",
            "msgsnd 0 1 text=size=3",
            "msgsnd 0 1 \"a b\\x00\"",
            "msgctl 0 set uid=-1 gid=0 mode=0644 qbytes=7",
            "semctl 0 setall 1 2",
            "semctl 0 3 setval -1",
            "semctl 0 0 77",
            "shmat 0 addr=0x7000 rdonly remap",
            "shmctl 0 lock",
            "open /run/netns/a rdonly creat excl",
            "mkdir /run/netns 0755",
            "rmdir /run/netns",
            "unlink \"/run/netns/a b\"",
            "ip link add name type type dummy",
            "ip link add index 5 address 02:00:00:00:00:0a type veth peer name v1 index 7 netns fd:3",
            "ip link set v0 up name v1 index 4 netns 7 master br0",
            "ip link set v0 down nomaster",
            "ip link property add dev v0 altname other",
            "ip addr del fe80::1/64 dev v0",
            "ip netns set fd:4 auto",
            "ip netns get 3",
        ]
        .map(str::to_owned);
        let mut made = 0;
        for line in examples.chain(more) {
            let call = parse(line.trim_end());
            if let Some(words) = words(&call, &PidArg::number) {
                assert_eq!(parse(&words), call, "{line}: {words}");
                made += 1;
            }
        }
        assert!(made > 50, "{made}");
    }
}
