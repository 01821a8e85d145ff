//! What tasks do to themselves and each other.

use proptest::prelude::*;
use proptest::sample::select;

use super::words::*;
use super::{Op, Step};

pub fn step() -> BoxedStrategy<Step> {
    (any::<usize>(), op()).prop_map(|(actor, op)| Step { actor, op }).boxed()
}

fn op() -> impl Strategy<Value = Op> {
    let task = any::<usize>;
    let named = |before: &'static str, after: &'static str| {
        any::<usize>().prop_map(move |task| Op::Named { before, task, after: after.to_owned() })
    };
    prop_oneof![
        18 => (clone_flags(), set_tid(), exit_signal())
            .prop_map(|(flags, set_tid, exit_signal)| Op::Clone { flags, set_tid, exit_signal }),
        12 => unshare_flags().prop_map(|flags| Op::Unshare { flags }),
        8 => (task(), 0..10usize, ns_flag()).prop_map(|(task, entry, flags)| Op::SetnsEntry { task, entry, flags }),
        5 => (task(), pidfd_flags()).prop_map(|(task, flags)| Op::SetnsPidfd { task, flags }),
        2 => (-1..6i32, prop_oneof![Just(0), namespaces()]).prop_map(|(fd, flags)| Op::SetnsFd { fd, flags }),
        4 => (task(), 0..10usize, select(vec!["", "", "", "path", "wronly", "rdwr", "nofollow", "directory", "cloexec"]))
            .prop_map(|(task, entry, flags)| Op::OpenEntry { task, entry, flags }),
        3 => (task(), select(vec!["", "", "thread", "nonblock"])).prop_map(|(task, flags)| Op::OpenPidfd { task, flags }),
        1 => (0..5i32, 0..5i32).prop_map(|(fd, other)| Op::PidfdGetfd { fd, other }),
        5 => (0..5i32, select(IOCTLS.to_vec()), task()).prop_map(|(fd, request, task)| Op::Ioctl { fd, request, task }),
        5 => (task(), signal()).prop_map(|(task, signal)| Op::Named { before: "kill ", task, after: format!(" {signal}") }),
        1 => (task(), signal()).prop_map(|(task, signal)| Op::Named { before: "kill -", task, after: format!(" {signal}") }),
        1 => (task(), task(), signal())
            .prop_map(|(first, second, signal)| Op::Pair { verb: "tgkill", first, second, after: signal.to_owned() }),
        1 => (task(), signal()).prop_map(|(task, signal)| Op::Named { before: "tkill ", task, after: format!(" {signal}") }),
        2 => (task(), signal(), select(GIVEN.to_vec()))
            .prop_map(|(task, signal, given)| Op::Named { before: "rt_sigqueueinfo ", task, after: format!(" {signal} {given}") }),
        1 => (task(), task(), signal(), select(GIVEN.to_vec())).prop_map(|(first, second, signal, given)| {
            Op::Pair { verb: "rt_tgsigqueueinfo", first, second, after: format!("{signal} {given}") }
        }),
        2 => (task(), select(WAIT_OPTIONS.to_vec()))
            .prop_map(|(task, options)| Op::Named { before: "wait ", task, after: format!(" {options}") }),
        1 => (task(), select(WAITID_OPTIONS.to_vec()))
            .prop_map(|(task, options)| Op::Named { before: "waitid pid ", task, after: format!(" {options}") }),
        1 => (task(), select(WAITID_OPTIONS.to_vec()))
            .prop_map(|(task, options)| Op::Named { before: "waitid pgid ", task, after: format!(" {options}") }),
        2 => (task(), task()).prop_map(|(first, second)| Op::Pair { verb: "setpgid", first, second, after: String::new() }),
        1 => named("setpgid ", " 0"),
        1 => named("getsid ", ""),
        1 => named("getpgid ", ""),
        8 => map_write(),
        2 => (0..8usize, select(vec![0u32, 1, 2, 3, 2147483647, 2147483648]))
            .prop_map(|(kind, value)| Op::Limit { kind, value }),
        34 => plain().prop_map(Op::Plain),
    ]
}

/// What is given along with a signal. Numbers of processes are not the same on both sides.
const GIVEN: &[&str] = &[
    "value=7",
    "value=4294967296",
    "uid=41000 value=1",
    "uid=5",
    "code=-2 uid=1",
    "code=-3 uid=41001",
    "code=-6",
    "code=0",
    "code=128",
    "code=1 uid=5",
];

fn map_write() -> impl Strategy<Value = Op> {
    (any::<usize>(), select(MAP_FILES.to_vec())).prop_flat_map(|(task, file)| {
        let texts = if file == "setgroups" { SETGROUPS_TEXTS } else { MAP_TEXTS };
        select(texts.to_vec()).prop_map(move |text| Op::Map { task, file, text })
    })
}
