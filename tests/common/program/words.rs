//! What the words of steps are chosen from, weighted to what makes a difference.

use nslab::kernel::ns::NS_TABLE;
use proptest::prelude::*;
use proptest::sample::select;

pub(super) const THREAD: u64 = 0x10f00;

/// Some of the eight namespace flags, few at a time.
pub(super) fn namespaces() -> impl Strategy<Value = u64> {
    let one = || select(NS_TABLE.map(|ops| ops.clone_flag).to_vec());
    prop_oneof![
        4 => one(),
        3 => (one(), one()).prop_map(|(a, b)| a | b),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| {
            let wanted = usize::from(a | b);
            NS_TABLE.iter().enumerate().filter(|(at, _)| wanted & 1 << at != 0).fold(0, |f, (_, ops)| f | ops.clone_flag)
        }),
        2 => one().prop_map(|flag| flag | 0x1000_0000),
    ]
}

/// Flags of clone: usual ones, sharing of all kinds, and combinations that are refused.
pub(super) fn clone_flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => Just(0),
        6 => namespaces(),
        4 => Just(THREAD),
        2 => namespaces().prop_map(|ns| ns | THREAD),
        2 => select(vec![0x100u64, 0x200, 0x400, 0x900, 0x4_0000, 0x700, 0xb00]),
        2 => (namespaces(), select(vec![0x100u64, 0x200, 0x400, 0x900, 0x4_0000, 0x8000])).prop_map(|(a, b)| a | b),
        1 => Just(0x8000),
        1 => select(vec![
            0x10000u64, 0x10800, 0x800, 0x10_0000, 0x1000, 0x40_0000, 0x8000_0000, 1 << 32, 1 << 34, 0x11, 1,
            0x1_0000_0800, 0x1_0000_0900, 0x2000, 0x20_0000, 0x80_0000, 0x100_0000, 0x18f00,
        ]),
    ]
}

pub(super) fn unshare_flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => namespaces(),
        2 => select(vec![0u64, 0x100, 0x200, 0x400, 0x800, 0x10000, 0x4_0000]),
        2 => (namespaces(), select(vec![0x100u64, 0x200, 0x400, 0x800, 0x10000, 0x4_0000])).prop_map(|(a, b)| a | b),
        1 => select(vec![0x1000u64, 0x4000, 0x8000, 0x8000_0000, 1 << 32, 1, 0x11]),
    ]
}

pub(super) fn signal() -> impl Strategy<Value = &'static str> {
    select(vec![
        "0", "SIGKILL", "SIGKILL", "SIGTERM", "SIGTERM", "SIGSTOP", "SIGCONT", "SIGCHLD", "SIGUSR1", "SIGHUP",
        "SIGTSTP", "SIGWINCH", "34", "65", "-1",
    ])
}

pub(super) fn id() -> impl Strategy<Value = &'static str> {
    select(vec!["0", "0", "41000", "41000", "41001", "1", "5", "65534", "-1"])
}

pub(super) const WAIT_OPTIONS: &[&str] = &[
    "",
    "",
    "",
    "all",
    "clone",
    "untraced",
    "continued",
    "untraced continued all",
    "nothread",
    "0x10",
    "all nothread",
];

pub(super) const WAITID_OPTIONS: &[&str] = &[
    "exited",
    "exited",
    "exited nowait",
    "exited all",
    "stopped",
    "continued",
    "exited stopped continued all",
    "nowait",
    "0x10",
    "exited nothread",
];

pub(super) const MAP_FILES: &[&str] =
    &["uid_map", "uid_map", "uid_map", "gid_map", "gid_map", "projid_map", "setgroups"];

pub(super) const MAP_TEXTS: &[&str] = &[
    "0 0 1",
    "0 0 1",
    "0 0 1",
    "0 41000 1",
    "0 41000 1",
    "0 0 10",
    "0 41000 10",
    "0 0 50000",
    "0 0 4294967295",
    "5 41000 1",
    "1 0 1",
    "0 0 1\n1 41000 1",
    "0 41000 2\n5 0 1",
    "7 5 3",
    "0 1 1",
    "",
    "\n",
    "0 0",
    "-1 0 1",
    "0 0 0",
    "0 0 1\n\n",
    "x",
    "0 0 1 2",
    "0 4294967295 1",
    "4294967295 0 1",
    "0 0 1\n0 5 1",
    "0 0 5\n7 3 2",
    "4294967294 0 2",
    "+0 0 1",
    "0x0 0 1",
    " 0 \t 0 1 \n",
    "0 0 4294967296",
    "4294967296 0 1",
    "0 0 1\n1 1 1\n2 2 1\n3 3 1\n4 4 1\n9 9 1\n6 6 1",
];

pub(super) const SETGROUPS_TEXTS: &[&str] =
    &["deny", "deny", "deny\n", "allow", "allow ", "denyx", "", "Deny", "12345678"];

pub(super) const IOCTLS: &[u32] = &[
    0xb701,
    0xb701,
    0xb702,
    0xb702,
    0xb703,
    0xb704,
    0x8008_b705,
    0x8004_b706,
    0x8004_b707,
    0x8004_b708,
    0x8004_b709,
    0x8010_b70a,
    0x8008_b70d,
    0xb705,
    0xff01,
    0xff02,
    0xff03,
    0xff04,
    0xff05,
    0xff06,
    0xff06,
    0xff07,
    0xff08,
    0xff09,
    0xff0a,
    0xff0c,
];

pub(super) const CAPABILITY_SETS: &[&str] = &[
    "eff=none",
    "eff=all",
    "eff=none prm=none",
    "eff=0x1ffffdfffff prm=0x1ffffdfffff",
    "inh=all",
    "inh=cap_sys_admin",
    "eff=cap_setuid,cap_setgid prm=cap_setuid,cap_setgid",
    "eff=cap_sys_admin",
    "prm=cap_sys_ptrace eff=none",
    "eff=0xffffffffffffffff prm=none",
    "eff=0x1ffff7fffff prm=0x1ffff7fffff inh=0x200000",
];

pub(super) const PRCTLS: &[&str] = &[
    "child_subreaper 1",
    "child_subreaper 1",
    "child_subreaper 0",
    "no_new_privs 1",
    "no_new_privs 0",
    "keepcaps 1",
    "keepcaps 0",
    "keepcaps 2",
    "dumpable 1",
    "dumpable 1",
    "dumpable 0",
    "dumpable 2",
    "get_dumpable",
    "securebits 0x1",
    "securebits 0x4",
    "securebits 0x2f",
    "securebits 0x1000",
    "securebits 0",
    "get_securebits",
    "capbset_drop cap_sys_admin",
    "capbset_drop 41",
    "capbset_read cap_sys_admin",
    "capbset_read 41",
    "cap_ambient raise cap_net_raw",
    "cap_ambient raise cap_sys_admin",
    "cap_ambient lower cap_net_raw",
    "cap_ambient clear_all",
    "cap_ambient raise 77",
    "pdeathsig SIGTERM",
    "pdeathsig SIGKILL",
    "pdeathsig 65",
    "pdeathsig 0",
];

/// Words after a verb that does not name tasks.
pub(super) fn plain() -> impl Strategy<Value = String> {
    let two = |verb: &'static str| (id(), id()).prop_map(move |(a, b)| format!("{verb} {a} {b}"));
    let three = |verb: &'static str| (id(), id(), id()).prop_map(move |(a, b, c)| format!("{verb} {a} {b} {c}"));
    let one = |verb: &'static str| id().prop_map(move |a| format!("{verb} {a}"));
    prop_oneof![
        5 => (0..300i32).prop_map(|code| format!("exit {code}")),
        2 => (0..300i32).prop_map(|code| format!("exit_group {code}")),
        8 => select(WAIT_OPTIONS.to_vec()).prop_map(|options| format!("wait -1 {options}")),
        2 => select(WAITID_OPTIONS.to_vec()).prop_map(|options| format!("waitid all {options}")),
        1 => (0..5i32, select(WAITID_OPTIONS.to_vec())).prop_map(|(fd, options)| format!("waitid pidfd {fd} {options}")),
        2 => (0..5i32).prop_map(|fd| format!("close {fd}")),
        1 => (-1..5i32).prop_map(|fd| format!("dup {fd}")),
        1 => (0..5i32, signal()).prop_map(|(fd, signal)| format!("pidfd_send_signal {fd} {signal}")),
        1 => (0..5i32, signal(), select(vec!["thread", "thread_group", "thread process_group", "code=-1 value=7 uid=5"]))
            .prop_map(|(fd, signal, more)| format!("pidfd_send_signal {fd} {signal} {more}")),
        1 => signal().prop_map(|signal| format!("kill 0 {signal}")),
        1 => signal().prop_map(|signal| format!("kill -1 {signal}")),
        3 => Just("setsid".to_owned()),
        3 => (select(vec!["SIGCHLD", "SIGCHLD", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGTSTP", "SIGKILL", "0", "64"]),
            select(vec!["ignore", "default", "handler", ""])).prop_map(|(signal, action)| format!("sigaction {signal} {action}")),
        2 => (select(vec!["block", "unblock"]), select(vec!["SIGTERM", "SIGCHLD", "SIGUSR1", "SIGKILL", "SIGHUP", "0"]))
            .prop_map(|(how, signal)| format!("sigprocmask {how} {signal}")),
        1 => select(vec!["SIGTERM", "SIGCHLD", "SIGUSR1", "65"]).prop_map(|signal| format!("sigwaitinfo {signal}")),
        6 => select(PRCTLS.to_vec()).prop_map(|what| format!("prctl {what}")),
        2 => select(CAPABILITY_SETS.to_vec()).prop_map(|sets| format!("capset {sets}")),
        1 => one("setuid"),
        1 => one("setgid"),
        1 => two("setreuid"),
        1 => two("setregid"),
        3 => three("setresuid"),
        2 => three("setresgid"),
        1 => one("setfsuid"),
        1 => one("setfsgid"),
        2 => select(vec!["", "5", "41000 7", "7 5 7", "4294967295", "65534"]).prop_map(|groups| format!("setgroups {groups}")),
        2 => select(vec!["x", "", "a.b", "0123456789012345678901234567890123456789012345678901234567890123",
            "01234567890123456789012345678901234567890123456789012345678901234"])
            .prop_flat_map(|name| select(vec!["sethostname", "setdomainname"]).prop_map(move |verb| format!("{verb} \"{name}\""))),
        1 => select(vec!["0:1", "0", "1:5", "2:10", "5", "10000:10001", "7:5"]).prop_map(|limit| format!("prlimit nproc {limit}")),
        1 => select(vec!["3:4096", "1", "1024", "5000:5000"]).prop_map(|limit| format!("prlimit nofile {limit}")),
        1 => select(vec!["0:0", "5"]).prop_map(|limit| format!("prlimit msgqueue {limit}")),
        1 => Just("exec prog".to_owned()),
        1 => select(vec!["restart", "halt", "cad_on", "restart magic=1,2"]).prop_map(|what| format!("reboot {what}")),
        1 => select(vec!["/proc/sys/kernel/ns_last_pid 40", "/proc/sys/kernel/pid_max 400", "/proc/sys/kernel/pid_max 5",
            "/proc/sys/kernel/hostname sysctl", "/proc/sys/kernel/domainname d", "/proc/sys/kernel/ns_last_pid x"])
            .prop_map(|what| format!("write {what}")),
    ]
}

pub(super) fn set_tid() -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        14 => Just(Vec::new()),
        1 => prop::collection::vec(select(vec![1i64, 2, 3, 7, 50, 0, -1, 4194304]), 1..4),
        1 => Just(vec![1; 33]),
    ]
}

pub(super) fn exit_signal() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![14 => Just(None), 1 => select(vec![0u64, 10, 17, 64, 65, 256]).prop_map(Some)]
}

/// 0 stands for "the right one" here.
pub(super) fn ns_flag() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 4 => Just(1), 1 => namespaces()]
}

pub(super) fn pidfd_flags() -> impl Strategy<Value = u64> {
    prop_oneof![8 => namespaces(), 1 => select(vec![0u64, 0x100, 0x200_0200, 0x7e02_0080])]
}
