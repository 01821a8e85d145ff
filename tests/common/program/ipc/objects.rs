//! Lines about System V objects and message queues.

use proptest::prelude::*;

use super::{any_of, hole};

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

pub fn messages() -> impl Strategy<Value = String> {
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

pub fn semaphores() -> impl Strategy<Value = String> {
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

pub fn memory() -> impl Strategy<Value = String> {
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

pub fn queues() -> impl Strategy<Value = String> {
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
