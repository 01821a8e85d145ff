//! The steps of random programs about IPC and time: lines whose holes are filled with what there is at that moment.

use nslab::control::lex::quote;
use nslab::kernel::file::FileKind;
use nslab::kernel::ipc::IpcObject;
use nslab::kernel::ipc::msg::MsgQueue;
use nslab::kernel::ipc::sem::SemSet;
use nslab::kernel::ipc::shm::ShmSegment;
use nslab::kernel::{Kernel, TaskId};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Step, filled_step, pick_number};

/// The sysctls of IPC namespaces below `/proc/sys`.
pub const SYSCTLS: [&str; 17] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/auto_msgmni",
    "kernel/msg_next_id",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shmmax",
    "kernel/shmall",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
    "kernel/shm_next_id",
    "fs/mqueue/queues_max",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/msg_default",
    "fs/mqueue/msgsize_default",
];

pub fn step() -> BoxedStrategy<Step> {
    prop_oneof![
        12 => filled_step(fill, tasks()),
        6 => filled_step(fill, rights()),
        18 => filled_step(fill, messages()),
        18 => filled_step(fill, semaphores()),
        20 => filled_step(fill, memory()),
        18 => filled_step(fill, queues()),
        8 => filled_step(fill, limits()),
        8 => filled_step(fill, clocks()),
    ]
    .boxed()
}

/// A hole.
fn hole(word: &'static str) -> impl Strategy<Value = String> {
    any::<usize>().prop_map(move |index| format!("{{{word}:{index}}}"))
}

/// One of these.
fn any_of(words: &[&'static str]) -> impl Strategy<Value = &'static str> + use<> {
    select(words.to_vec())
}

/// The words of several strategies, a blank in between.
macro_rules! words {
    ($($part:expr),+ $(,)?) => { ($($part,)+).prop_map(|parts| words!(@join parts; $($part),+)) };
    (@join $parts:ident; $a:expr) => { $parts.0.to_string() };
    (@join $parts:ident; $a:expr, $b:expr) => { format!("{} {}", $parts.0, $parts.1) };
    (@join $parts:ident; $a:expr, $b:expr, $c:expr) => { format!("{} {} {}", $parts.0, $parts.1, $parts.2) };
    (@join $parts:ident; $a:expr, $b:expr, $c:expr, $d:expr) => {
        format!("{} {} {} {}", $parts.0, $parts.1, $parts.2, $parts.3)
    };
    (@join $parts:ident; $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        format!("{} {} {} {} {}", $parts.0, $parts.1, $parts.2, $parts.3, $parts.4)
    };
}

/// Who is in which namespace, and whose undo lists and memory are whose.
fn tasks() -> impl Strategy<Value = String> {
    let clone = any_of(&[
        "",
        "",
        "",
        "",
        "newipc",
        "newuser newipc",
        "newpid",
        "newtime",
        "newipc newtime",
        "newuser",
        "sysvsem",
        "sysvsem",
        "vm",
        "vm sighand thread sysvsem",
        "vm sighand thread",
        "newipc sysvsem",
        "newpid newipc",
    ]);
    let unshare = any_of(&[
        "newipc",
        "newipc",
        "newuser",
        "newuser newipc",
        "sysvsem",
        "newtime",
        "newtime",
        "newipc newtime",
        "newpid",
    ]);
    prop_oneof![
        6 => words!(Just("clone"), clone),
        3 => words!(Just("unshare"), unshare),
        3 => hole("task").prop_flat_map(|task| {
            any_of(&["newipc", "newipc", "newtime", "newipc newtime", "newuser newipc", "newuser newipc newtime"])
                .prop_map(move |flags| format!("setns pidfd:{task} {flags}"))
        }),
        2 => (hole("task"), any_of(&["time_for_children newtime", "time newtime", "ipc newipc", "ipc", "user newuser"]))
            .prop_map(|(task, entry)| format!("setns /proc/{task}/ns/{entry}")),
        2 => any_of(&["exit 0", "exit_group 3"]).prop_map(str::to_owned),
        2 => hole("task").prop_map(|task| format!("kill {task} SIGKILL")),
        1 => Just("exec prog".to_owned()),
        1 => Just("wait -1".to_owned()),
        1 => Just("clone".to_owned()),
    ]
}

/// Identities, maps, capabilities.
fn rights() -> impl Strategy<Value = String> {
    let id = || any_of(&["0", "0", "41000", "41001", "1", "65534", "-1"]);
    let map = || any_of(&["0 0 1", "0 0 65536", "0 41000 1\n1 0 1", "0 0 1\n41000 41000 5", "5 0 1"]);
    prop_oneof![
        3 => words!(Just("setresuid"), id(), id(), id()),
        2 => words!(Just("setresgid"), id(), id(), id()),
        1 => words!(Just("setgroups"), any_of(&["", "41000 7", "1", "0"])),
        3 => (hole("task"), any_of(&["uid_map", "gid_map"]), map())
            .prop_map(|(task, file, text)| format!("write /proc/{task}/{file} {}", quote(text.as_bytes()))),
        2 => words!(
            Just("capset"),
            any_of(&["eff=none", "eff=all", "eff=cap_ipc_owner", "eff=cap_sys_admin", "eff=cap_checkpoint_restore",
                "eff=cap_ipc_lock", "eff=cap_sys_time", "eff=cap_setuid,cap_setgid"])
        ),
        1 => words!(Just("setfsuid"), id()),
        1 => words!(Just("setfsgid"), id()),
    ]
}

fn key() -> impl Strategy<Value = &'static str> {
    any_of(&["private", "1", "2", "3", "4", "-5", "0x7fffffff", "0x80000000"])
}

/// Flags and mode of the three calls that make an object.
fn get_words() -> impl Strategy<Value = &'static str> {
    any_of(&[
        "create 600",
        "create 600",
        "create 600",
        "create 666",
        "create 640",
        "create 400",
        "create 0",
        "create excl 600",
        "600",
        "400",
        "",
        "excl 600",
        "create 777",
    ])
}

/// Commands that the three families have, as they call them.
fn ctl_words(family: &'static str) -> impl Strategy<Value = String> {
    let set = (any_of(&["0", "0", "41000", "1", "65534", "-1"]), any_of(&["0", "0", "41000", "7", "-1"]), mode())
        .prop_map(|(uid, gid, mode)| format!("set uid={uid} gid={gid} mode={mode}"));
    prop_oneof![
        6 => Just("stat".to_owned()),
        3 => Just(format!("{family}_stat")),
        2 => Just(format!("{family}_stat_any")),
        1 => Just("info".to_owned()),
        2 => Just(format!("{family}_info")),
        4 => set,
        4 => Just("rmid".to_owned()),
        1 => any_of(&["99", "21", "12345"]).prop_map(str::to_owned),
    ]
}

fn mode() -> impl Strategy<Value = &'static str> {
    any_of(&["600", "600", "666", "400", "0", "060", "006", "7777", "1600"])
}

fn messages() -> impl Strategy<Value = String> {
    let text =
        any_of(&["hello", "a", "\"\"", "size=100", "size=1000", "size=8192", "size=8193", "size=-1", "size=9000"]);
    let mtype = any_of(&["1", "1", "2", "3", "7", "0", "-1", "9223372036854775807"]);
    let wanted = any_of(&["0", "0", "1", "2", "3", "-2", "-9223372036854775808", "-7"]);
    let how = any_of(&[
        "nowait",
        "nowait",
        "",
        "nowait noerror",
        "except",
        "nowait except",
        "nowait copy",
        "copy",
        "nowait copy except",
        "size=3 nowait",
        "size=3 noerror",
        "size=0 nowait",
        "size=-1",
        "size=3 nowait copy",
        "size=3 nowait copy noerror",
        "size=9999999",
    ]);
    let qbytes = any_of(&["0", "5", "100", "16384", "16385", "18446744073709551615"]);
    prop_oneof![
        5 => words!(Just("msgget"), key(), get_words()),
        8 => words!(Just("msgsnd"), hole("msg"), mtype, text),
        8 => words!(Just("msgrcv"), hole("msg"), wanted, how),
        5 => words!(Just("msgctl"), hole("msg"), ctl_words("msg")),
        2 => (hole("msg"), mode(), qbytes)
            .prop_map(|(id, mode, qbytes)| format!("msgctl {id} set uid=0 gid=0 mode={mode} qbytes={qbytes}")),
    ]
}

fn semaphores() -> impl Strategy<Value = String> {
    let count = any_of(&["1", "2", "3", "5", "0", "-1", "250", "32000", "32001"]);
    let op = || {
        any_of(&[
            "0,1",
            "0,1",
            "0,1,undo",
            "0,-1",
            "0,-1,undo",
            "0,0",
            "0,0,nowait",
            "1,2,undo",
            "1,-2,nowait",
            "1,-1,undo,nowait",
            "2,1",
            "4,3,undo",
            "0,32767",
            "0,32767,undo",
            "0,-32768",
            "0,-32767,undo",
            "0,-32767",
            "5,1",
            "65535,0",
            "1,0,undo",
        ])
    };
    let ops = prop_oneof![
        4 => op().prop_map(str::to_owned),
        3 => words!(op(), op()),
        2 => words!(op(), op(), op(), op()),
        1 => Just(String::new()),
    ];
    let one = any_of(&[
        "getval",
        "getval",
        "getpid",
        "getpid",
        "getncnt",
        "getzcnt",
        "setval 1",
        "setval 5",
        "setval 0",
        "setval 32767",
        "setval 32768",
        "setval -1",
        "99",
    ]);
    prop_oneof![
        5 => words!(Just("semget"), key(), count, get_words()),
        12 => words!(Just("semop"), hole("sem"), ops),
        5 => words!(Just("semctl"), hole("sem"), any_of(&["0", "0", "1", "2", "5", "-1"]), one),
        2 => words!(Just("semctl"), hole("sem"), Just("getall")),
        1 => words!(Just("semctl"), hole("setall")),
        5 => (hole("sem"), ctl_words("sem")).prop_map(|(id, command)| match command.parse::<i32>() {
            // A number is a semaphore where there is one.
            Ok(_) => format!("semctl {id} 0 {command}"),
            Err(_) => format!("semctl {id} {command}"),
        }),
    ]
}

fn memory() -> impl Strategy<Value = String> {
    let size = any_of(&[
        "1",
        "4096",
        "4097",
        "100000",
        "8192",
        "0",
        "18446744073692774399",
        "18446744073692774400",
        "18446744073709551615",
        "9223372036854775808",
        "9223372036854775807",
        "1125899906842624",
    ]);
    let how = any_of(&[
        "",
        "",
        "",
        "rdonly",
        "rdonly",
        "remap",
        "addr=0x10000000",
        "addr=0x10000000",
        "addr=0x10001000 rdonly",
        "addr=0x10000000 remap",
        "addr=0x10001000 remap",
        "addr=0x10000001",
        "addr=0x7ffffffff000",
        "addr=0 remap",
    ]);
    prop_oneof![
        5 => words!(Just("shmget"), key(), size, get_words()),
        7 => words!(Just("shmat"), hole("shm"), how),
        1 => words!(Just("shmat"), hole("shm"), hole("over")),
        4 => words!(Just("shmdt"), hole("address")),
        6 => words!(Just("shmctl"), hole("shm"), ctl_words("shm")),
        1 => words!(Just("shmctl"), hole("shm"), any_of(&["lock", "unlock"])),
        1 => words!(Just("write"), Just("/proc/sys/kernel/shm_rmid_forced"), any_of(&["1", "1", "0"])),
    ]
}

fn queues() -> impl Strategy<Value = String> {
    let long = "0123456789012345678901234567890123456789012345678901234567890123";
    let name = move || {
        prop_oneof![
            12 => any_of(&["a", "a", "b", "c"]).prop_map(str::to_owned),
            1 => any_of(&["\"\"", ".", "..", "a/b", "/a"]).prop_map(str::to_owned),
            1 => (3usize..5).prop_map(move |times| long.repeat(times) + &"x".repeat(times * 63 - 189)),
        ]
    };
    let access = any_of(&["", "", "", "rdonly", "wronly", "rdwr", "nonblock", "wronly rdwr", "rdonly nonblock"]);
    let create = any_of(&[
        "create 600",
        "create 666",
        "create 400",
        "create 020",
        "create excl 600",
        "",
        "",
        "excl",
        "create 666 maxmsg=1 msgsize=8",
        "create 600 maxmsg=1 msgsize=8",
        "create 600 maxmsg=1 msgsize=8",
        "create 600 maxmsg=2 msgsize=16",
        "create 644 maxmsg=10 msgsize=8192",
        "create 600 maxmsg=0 msgsize=1",
        "create 600 maxmsg=1 msgsize=0",
        "create 600 maxmsg=11 msgsize=8",
        "create 600 maxmsg=1 msgsize=8193",
        "create 600 maxmsg=-1 msgsize=8",
        "create 600 maxmsg=9223372036854775807 msgsize=9223372036854775807",
    ]);
    let text = any_of(&["hi", "hi", "\"\"", "12345678", "123456789", "size=17", "size=8192", "size=8193", "size=-1"]);
    let prio = any_of(&["0", "0", "1", "1", "5", "5", "32767", "32768", "4294967295"]);
    let size = any_of(&["", "", "size=8", "size=7", "size=8192", "size=0", "size=-1", "size=9000"]);
    let notify =
        any_of(&["signal SIGUSR1", "signal SIGCHLD", "signal 0", "signal 65", "none", "off", "signal SIGTERM"]);
    prop_oneof![
        8 => words!(Just("mq_open"), name(), access, create),
        2 => words!(Just("mq_unlink"), name()),
        10 => words!(Just("mq_send"), hole("queue"), prio, text),
        6 => words!(Just("mq_receive"), hole("queue"), size),
        2 => words!(Just("mq_notify"), hole("queue"), notify),
        2 => words!(Just("mq_getsetattr"), hole("queue"), any_of(&["", "nonblock", "flags=0", "flags=1", "flags=2049"])),
        2 => words!(Just("mq_close"), hole("queue")),
        1 => words!(Just("prlimit msgqueue"), any_of(&["82880", "0", "300", "1000:819200", "819200"])),
        1 => any_of(&["dup 0", "dup 1", "sigaction SIGUSR1 ignore", "sigaction SIGTERM handler"]).prop_map(str::to_owned),
    ]
}

fn limits() -> impl Strategy<Value = String> {
    let number = any_of(&[
        "0",
        "1",
        "2",
        "5",
        "64",
        "128",
        "8192",
        "16384",
        "32000",
        "32768",
        "32769",
        "65536",
        "65537",
        "-1",
        "2147483647",
        "2147483648",
        "x",
        "",
        "1 2",
        "0x10",
        "010",
        "18446744073709551615",
        "18446744073709551616",
        "16777216",
        "16777217",
    ]);
    let vector = any_of(&[
        "5",
        "5 10",
        "32000 1024000000 500 32000",
        "32000 1024000000 2 3",
        "32000 6 500 32000",
        "1 2 3 -1",
        "1 2 3 32769",
        "250 32000 x 5",
        "3\t100\t10\t5",
        "1 2 3 4 5",
        "32000 1024000000 0 32000",
    ]);
    let write = |name: &str, text: &str| format!("write /proc/sys/{name} {}", quote(text.as_bytes()));
    prop_oneof![
        8 => (select(SYSCTLS.to_vec()), number).prop_map(move |(name, text)| write(name, text)),
        3 => vector.prop_map(move |text| write("kernel/sem", text)),
        3 => (any_of(&["kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id"]),
            any_of(&["7", "0", "98311", "32767", "2147483647", "2147450879"])).prop_map(move |(name, text)| write(name, text)),
        3 => (any_of(&["kernel/msgmni", "kernel/shmmni", "fs/mqueue/queues_max"]), any_of(&["0", "1", "2", "3", "32000"]))
            .prop_map(move |(name, text)| write(name, text)),
        2 => (any_of(&["kernel/shmall", "kernel/shmmax", "kernel/msgmax", "kernel/msgmnb"]),
            any_of(&["0", "1", "10", "30", "5000", "8192", "18446744073709551615"])).prop_map(move |(name, text)| write(name, text)),
        2 => words!(Just("write /proc/sys/user/max_ipc_namespaces"), any_of(&["0", "1", "2", "100"])),
    ]
}

/// What `timens_offsets` is told.
const OFFSETS: &[&str] = &[
    "monotonic 100 0",
    "boottime 1000 5",
    "monotonic 7 999999999\nboottime -1 0",
    "monotonic -2 0",
    "1 33 1",
    "7 44 0",
    "boottime 100 0\nmonotonic 1 1\njunk",
    "monotonic 1 1000000000",
    "monotonic 1",
    "monotonic",
    "",
    "\n",
    "realtime 1 0",
    "  monotonic   5   6  trailing",
    "monotonic 5 -1",
    "monotonic +5 0",
    "monotonic -10000000 0",
    "monotonic 4611686018 0",
    "monotonic 4600000000 0",
    "boottime 9223372036 0",
    "boottime 9223372037 0",
    "boottime -9223372036 0",
    "boottime -9223372037 0",
    "monotonic 1 0\nbogus",
    "monotonic 1 0\n\n",
    "monotonicx 1 0",
    "monotonic1 7",
    "monotonic 18446744073709551615 0",
    "monotonic 0x10 0",
    "monotonic 010 0",
    "monotonic 1 0 boottime 2 0",
    "boottime 5 0\nboottime 6 0",
    "2 1 0",
    "monotonic\t9\t8",
];

fn clocks() -> impl Strategy<Value = String> {
    let clock = any_of(&[
        "monotonic",
        "monotonic",
        "boottime",
        "boottime",
        "realtime",
        "monotonic_raw",
        "monotonic_coarse",
        "realtime_coarse",
        "tai",
        "10",
        "12",
        "-1",
        "99",
    ]);
    prop_oneof![
        3 => (hole("task"), select(OFFSETS.to_vec()))
            .prop_map(|(task, text)| format!("write /proc/{task}/timens_offsets {}", quote(text.as_bytes()))),
        3 => (hole("self"), select(OFFSETS.to_vec()))
            .prop_map(|(task, text)| format!("write /proc/{task}/timens_offsets {}", quote(text.as_bytes()))),
        1 => (hole("self"), select(vec![4082usize, 4083])).prop_map(|(task, blanks)| {
            let text = format!("monotonic 1 0{}", " ".repeat(blanks));
            format!("write /proc/{task}/timens_offsets {}", quote(text.as_bytes()))
        }),
        4 => words!(Just("clock_gettime"), clock),
        1 => Just("unshare newtime".to_owned()),
    ]
}

/// What stands for a hole.
fn fill(k: &Kernel, me: TaskId, word: &str, index: usize) -> Option<String> {
    let ipc = &k.namespaces[k.nsproxy_of(me)?.ipc_ns()];
    Some(match word {
        "task" => pick_number(k, index).to_string(),
        "self" => k.task_nr(k.leader_of(me)).to_string(),
        "msg" => pick_id(ipc.msg_ids.objects.values().map(|queue: &MsgQueue| queue.perm().id), index)?,
        "sem" => pick_id(ipc.sem_ids.objects.values().map(|set: &SemSet| set.perm().id), index)?,
        "shm" => pick_id(ipc.shm_ids.objects.values().map(|segment: &ShmSegment| segment.perm().id), index)?,
        "setall" => {
            let sets: Vec<&SemSet> = ipc.sem_ids.objects.values().filter(|set| set.sems.len() < 10).collect();
            let set = sets.get(index % sets.len().max(1))?;
            let value = |at: usize| {
                if index.is_multiple_of(7) { "32768".to_owned() } else { (index / 64 % 5 + at).to_string() }
            };
            let values: Vec<String> = (0..set.sems.len()).map(value).collect();
            format!("{} setall {}", set.perm.id, values.join(" "))
        }
        "address" | "over" => {
            let attachments = &k.mm_of(me)?.attachments;
            let starts: Vec<u64> = attachments.keys().copied().collect();
            if starts.is_empty() && !index.is_multiple_of(EMPTY) {
                return None;
            }
            let start = if starts.is_empty() { 0x1000_0000 } else { starts[index / 16 % starts.len()] };
            match word {
                "over" => format!("addr={start:#x}{}", if index.is_multiple_of(3) { "" } else { " remap" }),
                _ if index.is_multiple_of(16) => format!("{:#x}", start + 0x1000),
                _ => format!("{start:#x}"),
            }
        }
        "queue" => {
            let is_queue = |fd: &i32| {
                k.file_at(me, *fd).is_some_and(|file| matches!(k.open_files[file].kind, FileKind::Mqueue(_)))
            };
            let open: Vec<i32> = (0..16).filter(is_queue).collect();
            if open.is_empty() && !index.is_multiple_of(EMPTY) {
                return None;
            }
            let any = (index / 16 % 5) as i32;
            if open.is_empty() || index.is_multiple_of(16) { any } else { open[index / 16 % open.len()] }.to_string()
        }
        _ => return None,
    })
}

/// An identifier; now and then one that is nearly right, or of another namespace.
fn pick_id(ids: impl Iterator<Item = i32>, index: usize) -> Option<String> {
    let ids: Vec<i32> = ids.collect();
    if ids.is_empty() && !index.is_multiple_of(EMPTY) {
        return None;
    }
    let right = if ids.is_empty() { 0 } else { ids[index / 32 % ids.len()] };
    let id = match index % 32 {
        0 => -1,
        1 => right.wrapping_add(0x8000),
        2 => right & 0x7fff,
        3 => right ^ 1,
        4 => i32::MAX,
        _ => right,
    };
    Some(id.to_string())
}

/// Of so many calls on what there is none of, one is made.
const EMPTY: usize = 10;
