//! `kernel/task/<pid>` (`struct task_struct` and what it points at).

use std::fmt::Write as _;

use super::{Field, Item, Struct, dir, dir_if, list, mnt, pointer, show, task_item, task_items, value};
use crate::kernel::capability::CapSet;
use crate::kernel::cred::Cred;
use crate::kernel::node::Object;
use crate::kernel::pid::Pid;
use crate::kernel::signal::{Rlimit, Sighand, SignalStruct};
use crate::kernel::sigpending::SigPending;
use crate::kernel::task::{Mm, TaskState};
use crate::kernel::{Kernel, PidId, PidNsId, TaskId};
use crate::tree::proc::pid::status;

impl Struct for TaskId {
    fn fields(self, _: &Kernel) -> [&'static [Field<TaskId>]; 2] {
        [FIELDS, &[]]
    }

    fn is_alive(self, k: &Kernel) -> bool {
        k.tasks.contains(self)
    }
}

static FIELDS: &[Field<TaskId>] = &[
    dir(""),
    value("comm", |k, id| Some(k.tasks[id].comm.to_vec())),
    value("state", |k, id| show(state(k.tasks[id].state))),
    value("exit_code", |k, id| show(k.tasks[id].exit_code)),
    value("exit_signal", |k, id| show(k.tasks[id].exit_signal)),
    value("pdeath_signal", |k, id| show(k.tasks[id].pdeath_signal)),
    value("start_time", |k, id| show(k.tasks[id].start_time)),
    value("no_new_privs", |k, id| show(u8::from(k.tasks[id].no_new_privs))),
    value("blocked", |k, id| show(format_args!("{:016x}", k.tasks[id].blocked))),
    value("pending", |k, id| show(signals(&k.tasks[id].pending))),
    pointer("nsproxy", |k, id| k.nsproxy_id_of(id).map(Object::NsProxy)),
    pointer("real_parent", real_parent),
    pointer("group_leader", |k, id| live_task(k, k.leader_of(id))),
    pointer("ptracer", |k, id| k.tasks[id].tracer.and_then(|tracer| live_task(k, tracer))),
    list(
        "children",
        |k, id| task_items(k, k.children_of(id)),
        |k, id, nr| {
            task_item(k, nr, |task| !k.is_of_idle_task(task) && k.is_leader(task) && k.tasks[task].real_parent == id)
        },
    ),
    dir("thread_pid"),
    value("thread_pid/count", |k, id| show(pid(k, id).count)),
    value("thread_pid/level", |k, id| show(pid(k, id).level())),
    list(
        "thread_pid/numbers",
        |k, id| (0..).zip(pid(k, id).numbers()).map(|(level, n)| (level, number(k, n))).collect(),
        |k, id, level| pid(k, id).numbers().nth(level as usize).map(|n| number(k, n)),
    ),
    pointer("thread_pid/ns", |k, id| Some(Object::Ns(k.task_active_pid_ns(id).any()))),
    dir("cred"),
    value("cred/usage", |k, id| show(k.cred_of(id).usage)),
    value("cred/uid", |k, id| show(k.cred_of(id).ids.uid.0)),
    value("cred/gid", |k, id| show(k.cred_of(id).ids.gid.0)),
    value("cred/suid", |k, id| show(k.cred_of(id).ids.suid.0)),
    value("cred/sgid", |k, id| show(k.cred_of(id).ids.sgid.0)),
    value("cred/euid", |k, id| show(k.cred_of(id).ids.euid.0)),
    value("cred/egid", |k, id| show(k.cred_of(id).ids.egid.0)),
    value("cred/fsuid", |k, id| show(k.cred_of(id).ids.fsuid.0)),
    value("cred/fsgid", |k, id| show(k.cred_of(id).ids.fsgid.0)),
    value("cred/group_info", |k, id| show(groups(k.cred_of(id)))),
    value("cred/securebits", |k, id| show(format_args!("{:#x}", k.cred_of(id).securebits))),
    value("cred/cap_inheritable", |k, id| caps(k.cred_of(id).inheritable)),
    value("cred/cap_permitted", |k, id| caps(k.cred_of(id).permitted)),
    value("cred/cap_effective", |k, id| caps(k.cred_of(id).effective)),
    value("cred/cap_bset", |k, id| caps(k.cred_of(id).bset)),
    value("cred/cap_ambient", |k, id| caps(k.cred_of(id).ambient)),
    pointer("cred/user_ns", |k, id| Some(Object::Ns(k.cred_of(id).user_ns.id().any()))),
    value("cred/ucounts", |k, id| show(super::ns::ucounts(k, k.cred_of(id).ucounts.id()))),
    dir("signal"),
    list(
        "signal/thread_head",
        |k, id| task_items(k, k.threads_of(k.tasks[id].signal)),
        |k, id, nr| task_item(k, nr, |task| k.is_same_thread_group(task, id)),
    ),
    value("signal/live", |k, id| show(k.signal_of(id).live)),
    value("signal/pgrp", |k, id| show(leader(k, k.signal_of(id).pgrp.id()))),
    value("signal/session", |k, id| show(leader(k, k.signal_of(id).session.id()))),
    value("signal/is_child_subreaper", |k, id| show(u8::from(k.signal_of(id).is_child_subreaper))),
    value("signal/has_child_subreaper", |k, id| show(u8::from(k.signal_of(id).has_child_subreaper))),
    value("signal/flags", |k, id| show(signal_flags(k.signal_of(id)))),
    value("signal/group_exit_code", |k, id| show(k.signal_of(id).group_exit.unwrap_or(0))),
    value("signal/shared_pending", |k, id| show(signals(&k.signal_of(id).shared_pending))),
    value("signal/rlim", |k, id| show(rlimits(k.signal_of(id)))),
    dir("sighand"),
    value("sighand/count", |k, id| show(sighand(k, id).count)),
    value("sighand/ignored", |k, id| show(format_args!("{:016x}", sighand(k, id).ignored))),
    value("sighand/handled", |k, id| show(format_args!("{:016x}", sighand(k, id).handled))),
    dir("sysvsem"),
    value("sysvsem/undo_list", undo_list),
    dir("sysvshm"),
    value("sysvshm/shm_clist", |k, id| show(created(k, id))),
    dir_if("mm", |k, id| mm(k, id).is_some()),
    value("mm/mm_users", |k, id| mm(k, id).and_then(|mm| show(mm.users))),
    value("mm/dumpable", |k, id| mm(k, id).and_then(|mm| show(u8::from(mm.dumpable)))),
    pointer("mm/user_ns", |k, id| mm(k, id).map(|mm| Object::Ns(mm.user_ns.id().any()))),
    dir_if("fs", |k, id| k.tasks[id].live.is_some()),
    value("fs/users", |k, id| k.fs_of(id).and_then(|fs| show(fs.users))),
    value("fs/umask", |k, id| k.fs_of(id).and_then(|fs| show(format_args!("{:04o}", fs.umask)))),
    value("fs/root", |k, id| mnt::task_path(k, id, |fs| &fs.root)),
    value("fs/pwd", |k, id| mnt::task_path(k, id, |fs| &fs.pwd)),
    dir_if("files", |k, id| k.tasks[id].live.is_some()),
    value("files/count", |k, id| k.files_of(id).and_then(|files| show(files.count))),
];

/// `struct sem_undo_list`: its users, then what is added to which semaphore of which set at the exit of the last. Nothing
/// where there is none.
fn undo_list(k: &Kernel, task: TaskId) -> Option<Vec<u8>> {
    let Some(list) = &k.tasks[task].undo_list else { return Some(Vec::new()) };
    let list = &k.undo_lists[list.id()];
    let mut text = format!("refcnt {}\n", list.refcnt);
    for (semid, adjustments) in &list.sets {
        let _ = writeln!(text, "semid {semid}");
        for (num, adjustment) in adjustments {
            let _ = writeln!(text, "semadj {num} {adjustment}");
        }
    }
    Some(text.into_bytes())
}

/// The segments the task has made and not left behind: namespace and identifier.
fn created(k: &Kernel, task: TaskId) -> String {
    let created = k.tasks[task].shm_created.iter();
    created.map(|&(ns, id)| format!("{} {id}\n", k.ns_arg(ns))).collect()
}

fn live_task(k: &Kernel, task: TaskId) -> Option<Object> {
    k.tasks.contains(task).then_some(Object::Task(task))
}

fn pid(k: &Kernel, task: TaskId) -> &Pid {
    &k.pids[k.pid_of(task)]
}

fn mm(k: &Kernel, task: TaskId) -> Option<&Mm> {
    k.mm_of(task)
}

fn sighand(k: &Kernel, task: TaskId) -> &Sighand {
    &k.sighands[k.tasks[task].sighand.id()]
}

/// As `proc/<pid>/status` has it, but for the sleep of an init that waits for the last others of its namespace.
fn state(task_state: TaskState) -> &'static str {
    match task_state {
        TaskState::Zapping => "S (zap_pid_ns_processes)",
        TaskState::Running | TaskState::Stopped | TaskState::Zombie => status::state(task_state),
    }
}

/// init and kthreadd have none: their parent in Linux is the idle task, which has no number.
fn real_parent(k: &Kernel, id: TaskId) -> Option<Object> {
    if k.is_of_idle_task(id) { None } else { live_task(k, k.real_parent_of(id)) }
}

/// A number of a struct pid and the namespace it holds in.
fn number(k: &Kernel, (ns, nr): (PidNsId, i32)) -> Item {
    Item::Value(format!("{nr} {}", k.ns_arg(ns)))
}

/// The number of a group or session in the initial pid namespace.
fn leader(k: &Kernel, pid: PidId) -> i32 {
    k.pids[pid].nr()
}

fn groups(cred: &Cred) -> String {
    cred.groups.iter().map(|group| group.0.to_string()).collect::<Vec<_>>().join(" ")
}

fn caps(set: CapSet) -> Option<Vec<u8>> {
    show(format_args!("{:016x}", set.bits()))
}

/// A line per queued signal: number, code and sender.
fn signals(pending: &SigPending) -> String {
    pending.by_arrival().into_iter().fold(String::new(), |mut text, signal| {
        let _ = writeln!(text, "{} code {} pid {} uid {}", signal.signo, signal.code, signal.pid.initial(), signal.uid);
        text
    })
}

fn signal_flags(signal: &SignalStruct) -> String {
    let flags = [
        (signal.unkillable, "SIGNAL_UNKILLABLE"),
        (signal.group_exit.is_some(), "SIGNAL_GROUP_EXIT"),
        (signal.stop_signal.is_some(), "SIGNAL_STOP_STOPPED"),
        (signal.continued, "SIGNAL_STOP_CONTINUED"),
    ];
    flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect::<Vec<_>>().join(" ")
}

fn rlimits(signal: &SignalStruct) -> String {
    let rlimits = &signal.rlimits;
    let rows = [("nproc", rlimits.nproc), ("nofile", rlimits.nofile), ("msgqueue", rlimits.msgqueue)];
    rows.map(|(name, Rlimit { soft, hard })| format!("{name} {soft} {hard}\n")).concat()
}
