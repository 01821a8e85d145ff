//! The steps of random programs about IPC and time: lines whose holes are filled with what there is at that moment.

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

mod objects;

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
        18 => filled_step(fill, objects::messages()),
        18 => filled_step(fill, objects::semaphores()),
        20 => filled_step(fill, objects::memory()),
        18 => filled_step(fill, objects::queues()),
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
