//! Random programs: steps that pick tasks, descriptors and texts by index among what there is at that moment, and the lines
//! of the `.lab` language they become.

use nslab::errno::Result;
use nslab::kernel::ns::{ENTRIES, NS_TABLE};
use nslab::kernel::task::TaskState;
use nslab::kernel::{Kernel, TaskId};
use nslab::script::Call;
use nslab::syscall::CloneFlags;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::area::Area;

/// One step: who does what.
#[derive(Clone, Debug)]
pub struct Step {
    actor: usize,
    op: Op,
}

/// What is done; numbers named after things are indices into what there is.
#[derive(Clone, Debug)]
enum Op {
    Clone {
        flags: u64,
        set_tid: Vec<i64>,
        exit_signal: Option<u64>,
    },
    Unshare {
        flags: u64,
    },
    SetnsEntry {
        task: usize,
        entry: usize,
        flags: u64,
    },
    SetnsPidfd {
        task: usize,
        flags: u64,
    },
    SetnsFd {
        fd: i32,
        flags: u64,
    },
    OpenEntry {
        task: usize,
        entry: usize,
        flags: &'static str,
    },
    OpenPidfd {
        task: usize,
        flags: &'static str,
    },
    PidfdGetfd {
        fd: i32,
        other: i32,
    },
    Ioctl {
        fd: i32,
        request: u32,
        task: usize,
    },
    /// A verb with a task's number between two texts.
    Named {
        before: &'static str,
        task: usize,
        after: String,
    },
    /// A verb with the numbers of two tasks.
    Pair {
        verb: &'static str,
        first: usize,
        second: usize,
        after: String,
    },
    /// A verb and words that depend on nothing.
    Plain(String),
    Map {
        task: usize,
        file: &'static str,
        text: &'static str,
    },
    Limit {
        kind: usize,
        value: u32,
    },
    /// A line with `{WORD:INDEX}` where `fill` knows what stands for them at that moment.
    Filled {
        line: String,
        fill: Fill,
    },
}

/// What stands for `{WORD:INDEX}` in a line of a task. `None`: nothing, and then there is no line.
pub type Fill = fn(&Kernel, TaskId, &str, usize) -> Option<String>;

/// A step whose line has holes.
pub fn filled_step(fill: Fill, line: impl Strategy<Value = String>) -> impl Strategy<Value = Step> {
    (any::<usize>(), line).prop_map(move |(actor, line)| Step { actor, op: Op::Filled { line, fill } })
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// The number of a task.
    Pid(i32),
}

/// A line as it was run: the caller, and the words after it.
#[derive(Clone, Debug)]
pub struct Line {
    pub actor: i32,
    pub verb: String,
    pub words: Vec<Vec<Piece>>,
}

impl Line {
    /// The call of this line.
    ///
    /// # Errors
    /// It is none: a mistake of the generator.
    pub fn call(&self) -> Result<Call> {
        let words = self.words.iter().map(|word| {
            let bytes = word.iter().map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Pid(nr) => nr.to_string(),
            });
            nslab::control::lex::Word { bytes: bytes.collect::<String>().into_bytes(), column: 1 }
        });
        Call::new(&self.verb, words.collect())
    }
}

/// Random steps of an area's program number `index` under a seed, at most `length`.
pub fn program_tree(area: &Area, seed: u64, index: u64, length: usize) -> impl ValueTree<Value = Vec<Step>> {
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&index.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let steps = prop::collection::vec((area.step)(), length / 2..=length);
    steps.new_tree(&mut runner).expect("the strategies reject nothing")
}

/// What tasks do to themselves and each other.
pub fn core_step() -> BoxedStrategy<Step> {
    (any::<usize>(), op()).prop_map(|(actor, op)| Step { actor, op }).boxed()
}

const THREAD: u64 = 0x10f00;

/// Some of the eight namespace flags, few at a time.
fn namespaces() -> impl Strategy<Value = u64> {
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
fn clone_flags() -> impl Strategy<Value = u64> {
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

fn unshare_flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => namespaces(),
        2 => select(vec![0u64, 0x100, 0x200, 0x400, 0x800, 0x10000, 0x4_0000]),
        2 => (namespaces(), select(vec![0x100u64, 0x200, 0x400, 0x800, 0x10000, 0x4_0000])).prop_map(|(a, b)| a | b),
        1 => select(vec![0x1000u64, 0x4000, 0x8000, 0x8000_0000, 1 << 32, 1, 0x11]),
    ]
}

fn signal() -> impl Strategy<Value = &'static str> {
    select(vec![
        "0", "SIGKILL", "SIGKILL", "SIGTERM", "SIGTERM", "SIGSTOP", "SIGCONT", "SIGCHLD", "SIGUSR1", "SIGHUP",
        "SIGTSTP", "SIGWINCH", "34", "65", "-1",
    ])
}

fn id() -> impl Strategy<Value = &'static str> {
    select(vec!["0", "0", "41000", "41000", "41001", "1", "5", "65534", "-1"])
}

const WAIT_OPTIONS: &[&str] = &[
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

const WAITID_OPTIONS: &[&str] = &[
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

const MAP_FILES: &[&str] = &["uid_map", "uid_map", "uid_map", "gid_map", "gid_map", "projid_map", "setgroups"];

const MAP_TEXTS: &[&str] = &[
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

const SETGROUPS_TEXTS: &[&str] = &["deny", "deny", "deny\n", "allow", "allow ", "denyx", "", "Deny", "12345678"];

const IOCTLS: &[u32] = &[
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

const CAPABILITY_SETS: &[&str] = &[
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

const PRCTLS: &[&str] = &[
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
fn plain() -> impl Strategy<Value = String> {
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

fn map_write() -> impl Strategy<Value = Op> {
    (any::<usize>(), select(MAP_FILES.to_vec())).prop_flat_map(|(task, file)| {
        let texts = if file == "setgroups" { SETGROUPS_TEXTS } else { MAP_TEXTS };
        select(texts.to_vec()).prop_map(move |text| Op::Map { task, file, text })
    })
}

fn set_tid() -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        14 => Just(Vec::new()),
        1 => prop::collection::vec(select(vec![1i64, 2, 3, 7, 50, 0, -1, 4194304]), 1..4),
        1 => Just(vec![1; 33]),
    ]
}

fn exit_signal() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![14 => Just(None), 1 => select(vec![0u64, 10, 17, 64, 65, 256]).prop_map(Some)]
}

/// 0 stands for "the right one" here.
fn ns_flag() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 4 => Just(1), 1 => namespaces()]
}

fn pidfd_flags() -> impl Strategy<Value = u64> {
    prop_oneof![8 => namespaces(), 1 => select(vec![0u64, 0x100, 0x200_0200, 0x7e02_0080])]
}

/// Turns a step into a line for the kernel as it is. `None` when there is nothing to do it with.
pub fn line_of(k: &Kernel, step: &Step) -> Option<Line> {
    let actor = pick_actor(k, step)?;
    let nr = |index: usize| Piece::Pid(pick_number(k, index));
    let text = |text: String| vec![Piece::Text(text)];
    let words = |verb: &str, words: Vec<Vec<Piece>>| Line { actor: k.task_nr(actor), verb: verb.to_owned(), words };
    let entry_path = |task: usize, entry: usize| {
        vec![Piece::Text("/proc/".to_owned()), nr(task), Piece::Text(format!("/ns/{}", ENTRIES[entry].name))]
    };
    Some(match &step.op {
        Op::Clone { flags, set_tid, exit_signal } => {
            let mut all = flag_words(*flags);
            if !set_tid.is_empty() {
                let list: Vec<String> = set_tid.iter().map(ToString::to_string).collect();
                all.push(text(format!("set_tid={}", list.join(","))));
            }
            all.extend(exit_signal.map(|signal| text(format!("exit_signal={signal}"))));
            words("clone", all)
        }
        Op::Unshare { flags } if *flags == 0 => words("unshare", vec![text("0".to_owned())]),
        Op::Unshare { flags } => words("unshare", flag_words(*flags)),
        Op::SetnsEntry { task, entry, flags } => {
            let flags = if *flags == 1 { ENTRIES[*entry].ns_type.ops().clone_flag } else { *flags };
            words("setns", [vec![entry_path(*task, *entry)], flag_words(flags)].concat())
        }
        Op::SetnsPidfd { task, flags } => {
            words("setns", [vec![vec![Piece::Text("pidfd:".to_owned()), nr(*task)]], flag_words(*flags)].concat())
        }
        Op::SetnsFd { fd, flags } => words("setns", [vec![text(format!("fd:{fd}"))], flag_words(*flags)].concat()),
        Op::OpenEntry { task, entry, flags } => {
            words("open", [vec![entry_path(*task, *entry)], optional(flags)].concat())
        }
        Op::OpenPidfd { task, flags } => {
            words("open", [vec![vec![Piece::Text("pidfd:".to_owned()), nr(*task)]], optional(flags)].concat())
        }
        Op::PidfdGetfd { fd, other } => words("pidfd_getfd", vec![text(fd.to_string()), text(other.to_string())]),
        Op::Ioctl { fd, request, task } => {
            let argument = matches!(request, 0x8004_b706..=0x8004_b709).then(|| vec![nr(*task)]);
            let all = [text(fd.to_string()), text(format!("{request:#x}"))].into_iter().chain(argument);
            words("ioctl", all.collect())
        }
        Op::Named { before, task, after } => {
            let (verb, prefix) = before.split_once(' ')?;
            let mut all: Vec<Vec<Piece>> = prefix.split_whitespace().map(|word| text(word.to_owned())).collect();
            if prefix == "-" {
                all = vec![vec![Piece::Text("-".to_owned()), nr(*task)]];
            } else {
                all.push(vec![nr(*task)]);
            }
            all.extend(optional(after));
            words(verb, all)
        }
        Op::Pair { verb, first, second, after } => {
            words(verb, [vec![vec![nr(*first)], vec![nr(*second)]], optional(after)].concat())
        }
        Op::Plain(line) => plain_line(k.task_nr(actor), line)?,
        Op::Filled { line, fill } => {
            plain_line(k.task_nr(actor), &fill_in(line, |word, index| fill(k, actor, word, index))?)?
        }
        Op::Map { task, file, text: content } => {
            let path = vec![Piece::Text("/proc/".to_owned()), nr(*task), Piece::Text(format!("/{file}"))];
            words("write", vec![path, text((*content).to_owned())])
        }
        Op::Limit { kind, value } => {
            let path = format!("/proc/sys/user/{}", NS_TABLE[*kind].ucount_name);
            words("write", vec![text(path), text(value.to_string())])
        }
    })
}

/// The line with its holes filled; text in braces that is no `WORD:INDEX` stays.
fn fill_in(line: &str, fill: impl Fn(&str, usize) -> Option<String>) -> Option<String> {
    let mut pieces = line.split('{');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let hole = piece.split_once('}').and_then(|(hole, after)| Some((hole.split_once(':')?, after)));
        match hole.and_then(|((word, index), after)| Some((word, index.parse().ok()?, after))) {
            Some((word, index, after)) => out += &(fill(word, index)? + after),
            None => out += &format!("{{{piece}"),
        }
    }
    Some(out)
}

pub fn plain_line(actor: i32, line: &str) -> Option<Line> {
    let words = nslab::control::lex::control_words(line).ok()?;
    let mut words = words.into_iter().map(|word| String::from_utf8_lossy(&word.bytes).into_owned());
    let verb = words.next()?;
    Some(Line { actor, verb, words: words.map(|word| vec![Piece::Text(word)]).collect() })
}

fn optional(words: &str) -> Vec<Vec<Piece>> {
    words.split_whitespace().map(|word| vec![Piece::Text(word.to_owned())]).collect()
}

/// The words for flags: names where they have one.
fn flag_words(flags: u64) -> Vec<Vec<Piece>> {
    let (mut rest, mut names) = (flags, Vec::new());
    for ops in NS_TABLE.iter().filter(|ops| flags & ops.clone_flag != 0) {
        names.push(format!("new{}", ops.name));
        rest &= !ops.clone_flag;
    }
    for (name, flag) in CloneFlags::from_bits_retain(rest).iter_names() {
        if !name.is_empty() && name != "_" {
            names.push(name.to_lowercase());
            rest &= !flag.bits();
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names.into_iter().map(|name| vec![Piece::Text(name)]).collect()
}

/// Init does few things, and nothing to itself.
fn pick_actor(k: &Kernel, step: &Step) -> Option<TaskId> {
    let running: Vec<TaskId> = k
        .tasks
        .iter()
        .filter(|(id, t)| t.state == TaskState::Running && *id != k.init.task)
        .map(|(id, _)| id)
        .collect();
    let may_be_init = match &step.op {
        Op::Clone { flags, exit_signal, .. } => flags & 0x1ff00 == 0 && exit_signal.is_none(),
        Op::Map { .. } => true,
        Op::Named { before, .. } => matches!(*before, "kill " | "wait " | "waitid pid "),
        Op::Plain(line) => line.starts_with("wait"),
        Op::Filled { line, .. } => line == "clone",
        _ => false,
    };
    if may_be_init && (running.is_empty() || step.actor.is_multiple_of(8)) {
        return Some(k.init.task);
    }
    if running.is_empty() { None } else { Some(running[step.actor / 8 % running.len()]) }
}

/// The number of any task there is, zombies included; sometimes one that nobody has.
pub fn pick_number(k: &Kernel, index: usize) -> i32 {
    let tasks: Vec<TaskId> = k.tasks.iter().map(|(id, _)| id).collect();
    if index.is_multiple_of(40) { 3999 } else { k.task_nr(tasks[index / 40 % tasks.len()]) }
}
