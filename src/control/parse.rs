//! Arguments of the verbs that take more than a number or two, one function per verb.

use super::args::Args;
use super::target::{self, Target};
use super::word::{choose, id, number, seconds, unexpected};
use super::{flags, ioctl as request, signal};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::{Cap, CapSet};
use crate::kernel::file::{O_RDONLY, O_RDWR, O_WRONLY, OpenFlags};
use crate::kernel::ns::NsType;
use crate::syscall::{
    AnyCall, CloneArgs, LabCall, PidArg, Prctl, Syscall, WALL, WCLONE, WCONTINUED, WEXITED, WNOTHREAD, WNOWAIT,
    WUNTRACED, WaitidWhich, lab,
};

pub(super) fn clone(args: &mut Args<'_>) -> Result<AnyCall> {
    if args.take("kthread") {
        return kthread(args).map(AnyCall::Lab);
    }
    let (mut clone, mut inums, mut start) = (CloneArgs::default(), None, None);
    while let Some(word) = args.optional_text()? {
        match word.split_once('=') {
            Some(("inum", numbers)) => inums = Some(list(numbers, inum)?),
            Some(("start", since)) => start = Some(seconds(since, "start")?),
            Some(("set_tid", tids)) => clone.set_tid = list(tids, |tid| number(tid, "set_tid"))?,
            Some(("exit_signal", signal)) => clone.exit_signal = Some(exit_signal(signal)?),
            Some(("cgroup", fd)) => clone.cgroup = Some(number(fd, "cgroup")?),
            _ => clone.flags |= flags::parse(word)?,
        }
    }
    if inums.is_none() && start.is_none() {
        return Ok(Syscall::Clone(clone).into());
    }
    Ok(LabCall::CloneAs { args: clone, inums: inums.unwrap_or_default(), start }.into())
}

/// `TYPE:N`: the number of a new namespace.
fn inum(word: &str) -> Result<(NsType, u32)> {
    let named = word.split_once(':').and_then(|(kind, inum)| Some((NsType::from_name(kind)?, inum)));
    let Some((ns_type, inum)) = named else { return Err(unexpected("inum=TYPE:N", word)) };
    Ok((ns_type, number(inum, "inum")?))
}

fn kthread(args: &mut Args<'_>) -> Result<LabCall> {
    let (mut name, mut idle, mut set_tid, mut start) = (None, false, None, None);
    while let Some(word) = args.optional_text()? {
        match word.split_once('=') {
            Some(("comm", comm)) => name = Some(comm.as_bytes().to_vec()),
            Some(("set_tid", tid)) => set_tid = Some(number(tid, "set_tid")?),
            Some(("start", since)) => start = Some(seconds(since, "start")?),
            _ if word == "idle" => idle = true,
            _ => return Err(unexpected("kthread", word)),
        }
    }
    Ok(LabCall::Kthread { name, idle, set_tid, start })
}

/// A signal name, or any number of clone3's 64-bit field.
fn exit_signal(word: &str) -> Result<u64> {
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return number(word, "exit_signal");
    }
    u64::try_from(signal::parse(word)?).map_err(|_| unexpected("exit_signal", word))
}

pub(super) fn unshare(args: &mut Args<'_>) -> Result<AnyCall> {
    let (mut flags, mut inums) = (flags::parse(args.text("FLAGS")?)?, None);
    while let Some(word) = args.optional_text()? {
        match word.strip_prefix("inum=") {
            Some(numbers) => inums = Some(list(numbers, inum)?),
            None => flags |= flags::parse(word)?,
        }
    }
    Ok(match inums {
        Some(inums) => LabCall::UnshareAs { flags, inums }.into(),
        None => Syscall::Unshare { flags }.into(),
    })
}

pub(super) fn setns(args: &mut Args<'_>) -> Result<AnyCall> {
    let target = target::parse(args.bytes("TARGET")?)?;
    let flags = args.clone_flags()?;
    let target = match target {
        Target::Fd(fd) => return Ok(Syscall::Setns { fd, flags }.into()),
        Target::Ns { ns_type, inum } => lab::Target::Ns { ns_type, inum },
        Target::Pidfd(pid) => lab::Target::Pidfd(pid),
        Target::Path(path) => lab::Target::Path(path),
    };
    Ok(LabCall::Setns { target, flags }.into())
}

pub(super) fn exit_code(args: &mut Args<'_>) -> Result<i32> {
    args.optional_text()?.map_or(Ok(0), |word| number(word, "CODE"))
}

/// Words for the options of wait4 and waitid; each call refuses those that are not its own.
const WAIT_OPTIONS: &[(&str, u32)] = &[
    ("untraced", WUNTRACED),
    ("stopped", WUNTRACED),
    ("exited", WEXITED),
    ("continued", WCONTINUED),
    ("nowait", WNOWAIT),
    ("nothread", WNOTHREAD),
    ("all", WALL),
    ("clone", WCLONE),
];

pub(super) fn wait(args: &mut Args<'_>) -> Result<Syscall> {
    let first = args.optional_text()?.unwrap_or("-1");
    let (pid, options) = match choose(first, WAIT_OPTIONS) {
        Some(option) => (-1, option),
        None => (number(first, "PID")?, 0),
    };
    let pid = PidArg::Initial(pid);
    Ok(Syscall::Wait { pid, options: options | wait_options(args)? })
}

pub(super) fn waitid(args: &mut Args<'_>) -> Result<Syscall> {
    let which = match args.text("all, pid, pgid or pidfd")? {
        "all" => WaitidWhich::All,
        "pid" => WaitidWhich::Pid(args.pid("PID")?),
        "pgid" => WaitidWhich::Pgid(args.pid("PGID")?),
        "pidfd" => WaitidWhich::Pidfd(args.number("FD")?),
        idtype => {
            let idtype = number(idtype, "all, pid, pgid or pidfd")?;
            numbered_idtype(idtype, args.number("ID")?)
        }
    };
    Ok(Syscall::Waitid { which, options: wait_options(args)? })
}

/// `P_ALL` to `P_PIDFD` of `include/uapi/linux/wait.h`.
fn numbered_idtype(idtype: i32, id: i32) -> WaitidWhich {
    match idtype {
        0 => WaitidWhich::All,
        1 => WaitidWhich::Pid(PidArg::Initial(id)),
        2 => WaitidWhich::Pgid(PidArg::Initial(id)),
        3 => WaitidWhich::Pidfd(id),
        _ => WaitidWhich::Unknown(idtype),
    }
}

fn wait_options(args: &mut Args<'_>) -> Result<u32> {
    let mut options = 0;
    while let Some(word) = args.optional_text()? {
        options |= choose(word, WAIT_OPTIONS).map_or_else(|| number(word, "OPTION"), Ok)?;
    }
    Ok(options)
}

pub(super) fn prctl(args: &mut Args<'_>) -> Result<Syscall> {
    Ok(Syscall::Prctl(match args.text("OPTION")? {
        "name" => Prctl::SetName(args.bytes("X")?.to_vec()),
        "child_subreaper" => Prctl::SetChildSubreaper(args.number("0 or 1")?),
        "no_new_privs" => Prctl::SetNoNewPrivs(args.number("1")?),
        "keepcaps" => Prctl::SetKeepcaps(args.number("0 or 1")?),
        "dumpable" => Prctl::SetDumpable(args.number("0 or 1")?),
        "get_dumpable" => Prctl::GetDumpable,
        "securebits" => Prctl::SetSecurebits(args.number("N")?),
        "get_securebits" => Prctl::GetSecurebits,
        "capbset_drop" => Prctl::CapbsetDrop(args.capability()?),
        "capbset_read" => Prctl::CapbsetRead(args.capability()?),
        "cap_ambient" => match args.text("raise, lower or clear_all")? {
            "raise" => Prctl::CapAmbientRaise(args.capability()?),
            "lower" => Prctl::CapAmbientLower(args.capability()?),
            "clear_all" => Prctl::CapAmbientClearAll,
            word => return Err(unexpected("raise, lower or clear_all", word)),
        },
        "pdeathsig" => Prctl::SetPdeathsig(pdeath_signal(args.text("SIG")?)?),
        word => return Err(unexpected("OPTION", word)),
    }))
}

/// The argument is an unsigned long: a negative number becomes one that names no signal.
fn pdeath_signal(word: &str) -> Result<u64> {
    Ok(i64::from(signal::parse(word)?).cast_unsigned())
}

pub(super) fn setgroups(args: &mut Args<'_>) -> Result<Syscall> {
    let mut groups = Vec::new();
    while let Some(word) = args.optional_text()? {
        groups.push(id(word, "GID")?);
    }
    Ok(Syscall::Setgroups { groups })
}

pub(super) fn capset(args: &mut Args<'_>) -> Result<Syscall> {
    let pid = args.keyed_pid()?;
    let (mut effective, mut permitted, mut inheritable) = (None, None, None);
    while let Some(word) = args.optional_text()? {
        let (set, value) = match word.split_once('=') {
            Some(("eff", value)) => (&mut effective, value),
            Some(("prm", value)) => (&mut permitted, value),
            Some(("inh", value)) => (&mut inheritable, value),
            _ => return Err(unexpected("eff=SET, prm=SET or inh=SET", word)),
        };
        *set = Some(cap_set(value)?);
    }
    Ok(Syscall::Capset { pid, effective, permitted, inheritable })
}

/// A mask, whose unknown bits the call drops, or names.
fn cap_set(word: &str) -> Result<u64> {
    match word {
        "all" => Ok(CapSet::FULL.bits()),
        "none" => Ok(0),
        mask if mask.starts_with("0x") => number(mask, "SET"),
        names => list(names, |name| Cap::from_name(name).ok_or_else(|| unexpected("SET", names)))
            .map(|caps| caps.into_iter().fold(CapSet::EMPTY, CapSet::with).bits()),
    }
}

/// reboot(2)'s two magic numbers, when they are to differ from the right ones.
pub(super) fn magic(args: &mut Args<'_>) -> Result<Option<(u32, u32)>> {
    let Some(word) = args.optional_text()? else { return Ok(None) };
    let numbers = word.strip_prefix("magic=").and_then(|numbers| numbers.split_once(','));
    let Some((first, second)) = numbers else { return Err(unexpected("magic=M1,M2", word)) };
    Ok(Some((number(first, "M1")?, number(second, "M2")?)))
}

pub(super) fn limits(args: &mut Args<'_>) -> Result<(u64, Option<u64>)> {
    let word = args.text("SOFT[:HARD]")?;
    let (soft, hard) = word.split_once(':').map_or((word, None), |(soft, hard)| (soft, Some(hard)));
    Ok((number(soft, "SOFT")?, hard.map(|hard| number(hard, "HARD")).transpose()?))
}

pub(super) const ACCESS_MODES: &[(&str, u32)] = &[("rdonly", O_RDONLY), ("wronly", O_WRONLY), ("rdwr", O_RDWR)];

const OPEN_FLAGS: &[(&str, OpenFlags)] = &[
    ("path", OpenFlags::PATH),
    ("nofollow", OpenFlags::NOFOLLOW),
    ("directory", OpenFlags::DIRECTORY),
    ("creat", OpenFlags::CREAT),
    ("excl", OpenFlags::EXCL),
    ("trunc", OpenFlags::TRUNC),
    ("cloexec", OpenFlags::CLOEXEC),
    ("nonblock", OpenFlags::NONBLOCK),
];

/// Permissions that open(2) is to give a new file.
const OPEN_MODE: u16 = 0o666;

/// Without an access mode a file is opened for reading. What pidfd_open(2) does not take is dropped for a pidfd, and
/// `thread` for all else.
pub(super) fn open(args: &mut Args<'_>) -> Result<AnyCall> {
    let target = target::parse(args.bytes("TARGET or PATH")?)?;
    let (mut access, mut flags, mut thread) = (None, OpenFlags::empty(), OpenFlags::empty());
    while let Some(word) = args.optional_text()? {
        match (choose(word, ACCESS_MODES), choose(word, OPEN_FLAGS)) {
            (Some(_), _) if access.is_some() => bail!(EINVAL, "more than one of rdonly, wronly and rdwr"),
            (Some(mode), _) => access = Some(mode),
            (None, Some(flag)) => flags |= flag,
            (None, None) if word == "thread" => thread = OpenFlags::THREAD,
            (None, None) => return Err(unexpected("a flag of open", word)),
        }
    }
    let bits = flags.bits() | access.unwrap_or(O_RDONLY);
    Ok(match target {
        Target::Ns { ns_type, inum } => LabCall::OpenNs { ns_type, inum, flags: bits }.into(),
        Target::Fd(fd) => LabCall::Reopen { fd, flags: bits }.into(),
        Target::Pidfd(pid) => Syscall::PidfdOpen { pid, flags: flags & OpenFlags::NONBLOCK | thread }.into(),
        Target::Path(path) => Syscall::Open { path, flags: bits, mode: OPEN_MODE }.into(),
    })
}

pub(super) fn ioctl(args: &mut Args<'_>) -> Result<Syscall> {
    let fd = args.number("FD")?;
    let request = request::parse(args.text("REQUEST")?)?;
    let arg = args.optional_text()?.map(|word| number(word, "ARG")).transpose()?;
    Ok(Syscall::Ioctl { fd, request, arg })
}

pub(super) fn path(args: &mut Args<'_>) -> Result<Vec<u8>> {
    Ok(args.bytes("PATH")?.to_vec())
}

/// `UID:GID`; an empty id or -1 stays.
pub(super) fn owner(args: &mut Args<'_>) -> Result<(Option<u32>, Option<u32>)> {
    let word = args.text("UID:GID")?;
    let Some((uid, gid)) = word.split_once(':') else { return Err(unexpected("UID:GID", word)) };
    let changed = |word: &str, what| match word {
        "" => Ok(None),
        _ => id(word, what).map(|id| (id != u32::MAX).then_some(id)),
    };
    Ok((changed(uid, "UID")?, changed(gid, "GID")?))
}

/// The items of a list separated by commas.
fn list<T>(word: &str, item: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    word.split(',').map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{parse_write, verb};
    use super::*;
    use crate::kernel::ns::NsType;
    use crate::syscall::SigAction;

    fn call(line: &str) -> Syscall {
        match try_call(line) {
            Ok(AnyCall::Linux(call)) => call,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn try_call(line: &str) -> Result<AnyCall> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        parse_write(verb(name).unwrap(), rest.as_bytes())
    }

    #[test]
    fn clone_takes_flags_and_settings_in_any_order() {
        let fork = CloneArgs::default();
        assert_eq!(call("clone"), Syscall::Clone(fork.clone()));
        let args = CloneArgs { flags: 0x2000_0000, set_tid: vec![1, 77], exit_signal: Some(10), cgroup: None };
        assert_eq!(call("clone set_tid=1,77 pid exit_signal=SIGUSR1"), Syscall::Clone(args));
        let args = CloneArgs { flags: 1 << 33, cgroup: Some(4), ..fork.clone() };
        assert_eq!(call("clone into_cgroup cgroup=4"), Syscall::Clone(args));
        let args = CloneArgs { flags: 0x11, set_tid: vec![-1], exit_signal: Some(65), ..fork };
        assert_eq!(call("clone 0x11 exit_signal=65 set_tid=-1"), Syscall::Clone(args));
        for line in ["clone frob", "clone set_tid=", "clone set_tid=1,", "clone exit_signal=-1", "clone pid=1"] {
            assert!(try_call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_kernel_thread_takes_no_flags() {
        let made = |line| match try_call(line) {
            Ok(AnyCall::Lab(LabCall::Kthread { name, idle, set_tid, .. })) => (name, idle, set_tid),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(made("clone kthread"), (None, false, None));
        assert_eq!(made("clone kthread set_tid=9 idle comm=a=b"), (Some(b"a=b".to_vec()), true, Some(9)));
        for line in
            ["clone kthread pid", "clone kthread set_tid=1,2", "clone pid kthread", "clone idle", "clone comm=x"]
        {
            assert!(try_call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn unshare_wants_flags_and_setns_does_not() {
        assert_eq!(call("unshare 0"), Syscall::Unshare { flags: 0 });
        assert_eq!(call("unshare ipc|0x80000000 user"), Syscall::Unshare { flags: 0x9800_0000 });
        assert!(try_call("unshare").is_err());
        assert_eq!(call("setns fd:3"), Syscall::Setns { fd: 3, flags: 0 });
        let target = lab::Target::Ns { ns_type: NsType::Net, inum: 7 };
        assert_eq!(try_call("setns net:[7] newnet").unwrap(), LabCall::Setns { target, flags: 0x4000_0000 }.into());
        let target = lab::Target::Path(b"2/ns/pid".to_vec());
        assert_eq!(try_call("setns 2/ns/pid 0").unwrap(), LabCall::Setns { target, flags: 0 }.into());
    }

    #[test]
    fn exec_tells_the_name_from_what_follows_it() {
        let argv = vec![b"-c".to_vec(), b"a b".to_vec()];
        assert_eq!(call("exec sh -c \"a b\""), Syscall::Exec { comm: b"sh".to_vec(), argv });
    }

    #[test]
    fn exit_codes_default_to_zero() {
        assert_eq!(call("exit"), Syscall::Exit { code: 0 });
        assert_eq!(call("exit_group 258"), Syscall::ExitGroup { code: 258 });
    }

    #[test]
    fn wait_takes_a_pid_and_options_both_optional() {
        assert_eq!(call("wait"), Syscall::Wait { pid: PidArg::Initial(-1), options: 0 });
        assert_eq!(call("wait -2147483648"), Syscall::Wait { pid: PidArg::Initial(i32::MIN), options: 0 });
        assert_eq!(call("wait -1 0x10"), Syscall::Wait { pid: PidArg::Initial(-1), options: 0x10 });
        assert_eq!(call("wait untraced all"), Syscall::Wait { pid: PidArg::Initial(-1), options: WUNTRACED | WALL });
        assert!(try_call("wait 2147483648").is_err());
        assert!(try_call("wait 1 frob").is_err());
    }

    #[test]
    fn waitid_knows_idtypes_by_name_and_number() {
        let options = WEXITED | WNOWAIT;
        assert_eq!(call("waitid all exited nowait"), Syscall::Waitid { which: WaitidWhich::All, options });
        let which = WaitidWhich::Pidfd(9);
        assert_eq!(call("waitid pidfd 9 exited"), Syscall::Waitid { which, options: WEXITED });
        assert_eq!(call("waitid 3 9 exited"), Syscall::Waitid { which, options: WEXITED });
        let which = WaitidWhich::Unknown(7);
        assert_eq!(call("waitid 7 0 exited"), Syscall::Waitid { which, options: WEXITED });
        assert!(try_call("waitid").is_err());
    }

    #[test]
    fn sigaction_without_an_action_asks() {
        assert_eq!(call("sigaction 17"), Syscall::Sigaction { signo: 17, action: None });
        let action = Some(SigAction::Handler);
        assert_eq!(call("sigaction TERM handler"), Syscall::Sigaction { signo: 15, action });
        assert!(try_call("sigaction TERM frob").is_err());
    }

    #[test]
    fn prctl_has_its_options() {
        let prctl = |line: &str| match call(line) {
            Syscall::Prctl(prctl) => prctl,
            other => panic!("{other:?}"),
        };
        assert_eq!(prctl(r#"prctl name "a\\b\nc""#), Prctl::SetName(b"a\\b\nc".to_vec()));
        assert_eq!(prctl("prctl capbset_drop 64"), Prctl::CapbsetDrop(64));
        assert_eq!(prctl("prctl cap_ambient raise cap_net_raw"), Prctl::CapAmbientRaise(13));
        assert_eq!(prctl("prctl cap_ambient clear_all"), Prctl::CapAmbientClearAll);
        assert_eq!(prctl("prctl securebits 0x2f"), Prctl::SetSecurebits(0x2f));
        assert_eq!(prctl("prctl pdeathsig SIGTERM"), Prctl::SetPdeathsig(15));
        assert!(try_call("prctl cap_ambient frob").is_err());
        assert!(try_call("prctl capbset_read cap_frob").is_err());
    }

    #[test]
    fn ids_and_groups_are_numbers_up_to_32_bits() {
        assert_eq!(call("setuid 4294967295"), Syscall::Setuid { uid: None });
        let (ruid, euid, suid) = (None, Some(1000), None);
        assert_eq!(call("setresuid -1 1000 -1"), Syscall::Setresuid { ruid, euid, suid });
        assert_eq!(call("setgroups"), Syscall::Setgroups { groups: vec![] });
        assert_eq!(call("setgroups 5 3 -1"), Syscall::Setgroups { groups: vec![5, 3, u32::MAX] });
        assert!(try_call("setgid 4294967296").is_err());
        assert!(try_call("setuid").is_err());
    }

    #[test]
    fn capset_takes_masks_names_all_and_none() {
        let pid = PidArg::Initial(0);
        let capset = |effective, permitted, inheritable| Syscall::Capset { pid, effective, permitted, inheritable };
        assert_eq!(call("capset"), capset(None, None, None));
        assert_eq!(
            call("capset eff=0x8000000000000000 prm=all inh=none"),
            capset(Some(1 << 63), Some(0x1ff_ffff_ffff), Some(0))
        );
        assert_eq!(call("capset inh=cap_chown,CAP_KILL"), capset(None, None, Some(0x21)));
        for line in ["capset eff=", "capset eff=cap_frob", "capset eff=5", "capset eff", "capset x=all"] {
            assert!(try_call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn reboot_and_prlimit_take_pairs() {
        assert_eq!(
            call("reboot restart magic=1,0x2"),
            Syscall::Reboot { command: crate::syscall::RebootCommand::Restart, magic: Some((1, 2)) }
        );
        assert!(try_call("reboot restart magic=1").is_err());
        let resource = crate::syscall::Resource::Nproc;
        let limit = |pid, soft, hard| Syscall::Prlimit { pid: PidArg::Initial(pid), resource, soft, hard };
        assert_eq!(call("prlimit nproc 1:2"), limit(0, 1, Some(2)));
        assert_eq!(call("prlimit pid=7 nproc 0"), limit(7, 0, None));
        assert!(try_call("prlimit nproc 1:").is_err());
    }

    #[test]
    fn open_reads_unless_told_otherwise() {
        let path = |flags| Syscall::Open { path: b"proc/2/ns/net".to_vec(), flags, mode: 0o666 };
        assert_eq!(call("open proc/2/ns/net"), path(O_RDONLY));
        assert_eq!(call("open proc/2/ns/net path nofollow"), path(0o10_400_000));
        assert_eq!(call("open proc/2/ns/net rdwr creat"), path(0o102));
        assert!(try_call("open x rdonly wronly").is_err());
        assert!(try_call("open x frob").is_err());
    }

    #[test]
    fn open_is_another_call_for_what_has_no_path() {
        let pidfd = |flags| Syscall::PidfdOpen { pid: PidArg::Initial(-1), flags };
        assert_eq!(call("open pidfd:-1 thread"), pidfd(OpenFlags::THREAD));
        assert_eq!(call("open pidfd:-1 excl nonblock"), pidfd(OpenFlags::NONBLOCK));
        assert_eq!(try_call("open fd:4 wronly").unwrap(), LabCall::Reopen { fd: 4, flags: O_WRONLY }.into());
        let open = LabCall::OpenNs { ns_type: NsType::Net, inum: 7, flags: 0o2_000_000 };
        assert_eq!(try_call("open net:[7] cloexec").unwrap(), open.into());
    }

    #[test]
    fn ioctl_takes_names_numbers_and_an_argument() {
        assert_eq!(call("ioctl 3 0xb77f"), Syscall::Ioctl { fd: 3, request: 0xb77f, arg: None });
        let arg = Some(-5);
        assert_eq!(call("ioctl 3 NS_GET_PID_FROM_PIDNS -5"), Syscall::Ioctl { fd: 3, request: 0x8004_b706, arg });
    }

    #[test]
    fn write_joins_its_words_with_one_blank() {
        let write = |line: &str| match try_call(line) {
            Ok(AnyCall::Lab(LabCall::Write { path, bytes })) => (path, bytes),
            other => panic!("{other:?}"),
        };
        assert_eq!(write("write a 0  1000 1"), (b"a".to_vec(), b"0 1000 1".to_vec()));
        assert_eq!(write(r#"write a "x  y\n""#), (b"a".to_vec(), b"x  y\n".to_vec()));
        assert_eq!(write(r#"write a """#), (b"a".to_vec(), vec![]));
    }

    #[test]
    fn stat_follows_and_lstat_does_not() {
        assert_eq!(call("stat a"), Syscall::Stat { path: b"a".to_vec() });
        assert_eq!(call("lstat a"), Syscall::Lstat { path: b"a".to_vec() });
    }
}
