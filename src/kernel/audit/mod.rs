//! Recounts everything from its holders and compares: the one definition of truth for counts.
//!
//! [`holders`] walks the kernel once and lists each counted reference to a namespace with who has it; the same list is
//! what `kernel/ns/<type>/<inum>/holders` shows.

mod cgroup;
mod ipc;
mod mount;
mod net;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::cred::Kuid;
use super::file::FileKind;
use super::net::SocketId;
use super::ns::NS_TABLE;
use super::table::Id;
use super::task::{Live, Mm, Task, TaskState};
use super::task_list::{Links, TaskList};
use super::ucounts::{UCOUNT_KINDS, UCOUNT_RLIMITS, UcountRlimit, UcountsId};
use super::{
    CredId, FileId, Kernel, MqueueFsId, MqueueId, NsId, NsProxyId, PidId, PidNsId, SbId, ShmFileId, SignalId, TaskId,
    UserNsId,
};

/// Who has one counted reference to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Boot: keeps the initial namespaces for ever.
    Static,
    /// A slot of an nsproxy, by index.
    NsProxy(NsProxyId, usize),
    Cred(CredId),
    Ucounts(UcountsId),
    /// A namespace that this user namespace owns.
    Owned(NsId),
    /// A namespace nested in this one.
    Child(NsId),
    Pid(PidId),
    Mm(Id<Mm>),
    /// The nsfs inode behind all descriptors and bind mounts together.
    Stash,
    /// A file bound to the namespace while it is open (map files, `sysvipc`).
    File(FileId),
    Socket(SocketId),
    /// A file system whose ids are those of this user namespace, or a `proc` with the numbers of this pid namespace.
    SuperBlock(SbId),
    /// An attachment of shared memory.
    ShmFile(ShmFileId),
    /// The file system for the queues of an IPC namespace, on the user namespace that owns it.
    MqueueFs(MqueueFsId),
    /// Who is to be told of the next message in a queue, on its user namespace.
    Notify(MqueueId),
}

/// Every counted reference to every namespace.
pub fn holders(k: &Kernel) -> BTreeMap<NsId, Vec<Holder>> {
    let mut all: BTreeMap<NsId, Vec<Holder>> = BTreeMap::new();
    let mut note = |ns: NsId, holder| all.entry(ns).or_default().push(holder);
    for (id, nsproxy) in k.nsproxies.iter() {
        for (slot, ns) in nsproxy.ids().into_iter().enumerate() {
            note(ns, Holder::NsProxy(id, slot));
        }
    }
    for (id, cred) in k.creds.iter() {
        note(cred.user_ns.id().any(), Holder::Cred(id));
    }
    for (id, ucounts) in k.ucounts.table.iter() {
        note(ucounts.ns.id().any(), Holder::Ucounts(id));
    }
    for (id, pid) in k.pids.iter() {
        note(pid.ns.id().any(), Holder::Pid(id));
    }
    for (id, mm) in k.mms.iter() {
        note(mm.user_ns.id().any(), Holder::Mm(id));
    }
    for (id, file) in k.open_files.iter() {
        if let FileKind::Node { kept, .. } = &file.kind {
            kept.namespaces.iter().for_each(|ns| note(ns.id(), Holder::File(id)));
        }
    }
    for (id, sb) in k.vfs.sbs.iter() {
        sb.held().for_each(|ns| note(ns, Holder::SuperBlock(id)));
    }
    for (id, socket) in k.net.sockets.iter() {
        note(socket.net.id().any(), Holder::Socket(id));
    }
    for (id, ns) in k.namespaces.iter() {
        let common = &ns.common;
        if let Some(owner) = &common.user_ns {
            note(owner.id().any(), Holder::Owned(id));
        }
        if let Some(parent) = &common.parent {
            note(parent.id(), Holder::Child(id));
        }
        if let Some(stash) = &common.stashed {
            note(stash.id(), Holder::Stash);
        }
    }
    for (id, file) in k.shm_files.iter() {
        note(file.ns.id().any(), Holder::ShmFile(id));
    }
    for (id, fs) in k.mqueue_fs.iter() {
        note(fs.user_ns.id().any(), Holder::MqueueFs(id));
    }
    for (id, queue) in k.mqueues.iter() {
        if let Some(notify) = &queue.notify {
            note(notify.user_ns.id().any(), Holder::Notify(id));
        }
    }
    for ops in NS_TABLE {
        all.entry(k.initial(ops.ns_type)).or_default().push(Holder::Static);
    }
    all
}

/// Checks the invariants of [`super`].
///
/// # Errors
/// What is wrong, a line each.
pub fn audit(k: &Kernel) -> Result<(), Vec<String>> {
    let mut wrong = Vec::new();
    audit_namespaces(k, &mut wrong);
    audit_counts(k, &mut wrong);
    audit_tasks(k, &mut wrong);
    audit_children(k, &mut wrong);
    audit_pids(k, &mut wrong);
    audit_ucounts(k, &mut wrong);
    net::audit(k, &mut wrong);
    mount::audit(k, &mut wrong);
    ipc::audit(k, &mut wrong);
    if !k.work.is_empty() {
        wrong.push(format!("work is left: {:?}", k.work));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

pub(super) fn differ<T: PartialEq + Debug>(wrong: &mut Vec<String>, what: impl Debug, shown: T, recounted: T) {
    if shown != recounted {
        wrong.push(format!("{what:?} shows {shown:?}, its holders are {recounted:?}"));
    }
}

fn audit_namespaces(k: &Kernel, wrong: &mut Vec<String>) {
    let mut holders = holders(k);
    let mut pins = mount::pins(k);
    for (_, file) in k.open_files.iter() {
        if let FileKind::Ns(ns) = file.kind {
            *pins.entry(ns).or_default() += 1;
        }
    }
    for (ns, held) in &k.programs.pins {
        *pins.entry(*ns).or_default() += held;
    }
    for (id, nsproxy) in k.nsproxies.iter() {
        for ops in NS_TABLE {
            for slot in [ops.slot, ops.setns_slot].into_iter().flatten() {
                differ(wrong, (id, slot), k.namespaces[nsproxy.get(slot)].ns_type(), ops.ns_type);
            }
        }
    }
    let mut inums = BTreeSet::new();
    for (id, ns) in k.namespaces.iter() {
        let common = &ns.common;
        let held = holders.remove(&id).unwrap_or_default();
        differ(wrong, ns.arg(), common.count as usize, held.len());
        differ(wrong, (ns.arg(), "pins"), common.pins, pins.remove(&id).unwrap_or(0));
        differ(wrong, (ns.arg(), "by inum"), k.ns_by_inum.get(&common.inum), Some(&id));
        differ(wrong, (ns.arg(), "stashed"), common.stashed.is_some(), common.pins > 0);
        for inum in std::iter::once(&common.inum).chain(&common.extra_inums) {
            if !inums.insert(*inum) {
                wrong.push(format!("inum {inum} is used twice"));
            }
        }
    }
    for leftover in holders.keys().chain(pins.keys()) {
        wrong.push(format!("references to the freed namespace {leftover:?}"));
    }
}

/// Objects that only tasks, files and processes hold: count how often each is named.
fn audit_counts(k: &Kernel, wrong: &mut Vec<String>) {
    let mut named = Named::default();
    for (_, task) in k.tasks.iter() {
        named.cred(task.cred.id());
        named.pid(task.thread_pid.id());
        named.bump((Kind::Sighand, task.sighand.id().serial()));
        if let Some(Live { mm, fs, files, nsproxy }) = &task.live {
            if let Some(mm) = mm {
                named.bump((Kind::Mm, mm.id().serial()));
            }
            named.bump((Kind::Fs, fs.id().serial()));
            named.bump((Kind::Files, files.id().serial()));
            named.bump((Kind::NsProxy, nsproxy.id().serial()));
        }
        if let Some(undo_list) = &task.undo_list {
            named.bump((Kind::UndoList, undo_list.id().serial()));
        }
    }
    cgroup::audit(k, &mut named, wrong);
    for (_, signal) in k.signals.iter() {
        named.pid(signal.pgrp.id());
        named.pid(signal.session.id());
    }
    for (_, files) in k.files.iter() {
        for descriptor in files.fds.values() {
            named.bump((Kind::File, descriptor.file.id().serial()));
        }
    }
    for (_, file) in k.open_files.iter() {
        named.cred(file.cred.id());
        if let FileKind::Pidfd { pid, .. } = &file.kind {
            named.pid(pid.id());
        }
    }
    ipc::name_all(k, &mut named);
    for (_, cred) in k.creds.iter() {
        named.bump((Kind::Ucounts, cred.ucounts.id().serial()));
    }
    for (_, ns) in k.namespaces.iter() {
        if let Some(ucounts) = &ns.common.ucounts {
            named.bump((Kind::Ucounts, ucounts.id().serial()));
        }
    }
    named.compare(Kind::Cred, k.creds.iter().map(|(id, o)| (id.serial(), o.usage)), wrong);
    named.compare(Kind::Pid, k.pids.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::Sighand, k.sighands.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::Mm, k.mms.iter().map(|(id, o)| (id.serial(), o.users)), wrong);
    named.compare(Kind::Fs, k.fs.iter().map(|(id, o)| (id.serial(), o.users)), wrong);
    named.compare(Kind::Files, k.files.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::File, k.open_files.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::NsProxy, k.nsproxies.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::Cgroup, k.cgroup.table.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    named.compare(Kind::Ucounts, k.ucounts.table.iter().map(|(id, o)| (id.serial(), o.count)), wrong);
    ipc::compare_all(k, &mut named, wrong);
    for leftover in named.0.keys() {
        wrong.push(format!("{leftover:?} is named but freed"));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cred,
    Pid,
    Sighand,
    Mm,
    Fs,
    Files,
    File,
    NsProxy,
    Ucounts,
    Cgroup,
    UndoList,
    ShmFile,
    MqueueFs,
    Mqueue,
}

/// How often each object was named.
#[derive(Default)]
struct Named(BTreeMap<(Kind, u64), u32>);

impl Named {
    fn bump(&mut self, key: (Kind, u64)) {
        *self.0.entry(key).or_default() += 1;
    }
    fn cred(&mut self, id: CredId) {
        self.bump((Kind::Cred, id.serial()));
    }
    fn pid(&mut self, id: PidId) {
        self.bump((Kind::Pid, id.serial()));
    }
    fn compare(&mut self, kind: Kind, live: impl Iterator<Item = (u64, u32)>, wrong: &mut Vec<String>) {
        for (serial, count) in live {
            differ(wrong, (kind, serial), count, self.0.remove(&(kind, serial)).unwrap_or(0));
        }
    }
}

fn audit_tasks(k: &Kernel, wrong: &mut Vec<String>) {
    let mut threads = audit_threads(k, wrong);
    for (id, task) in k.tasks.iter() {
        differ(wrong, (id, task.state, "live"), task.live.is_some(), !task.is_dead());
        differ(wrong, (id, "kthread"), k.is_kthread(id), task.live.as_ref().is_some_and(|live| live.mm.is_none()));
        if !threads.remove(&(task.signal, id)) {
            wrong.push(format!("task {id:?} is missing among its threads"));
        }
        if k.pids[task.thread_pid.id()].attached.task != Some(id) {
            wrong.push(format!("the struct pid of task {id:?} is attached elsewhere"));
        }
    }
    if !threads.is_empty() {
        wrong.push(format!("in lists of threads of other processes: {threads:?}"));
    }
    for tracer in k.tasks.iter().filter_map(|(_, task)| task.tracer) {
        let traced = k.tasks.iter().filter(|(_, task)| task.tracer == Some(tracer)).map(|(id, _)| id).collect();
        differ(wrong, (tracer, "ptraced"), k.ptraced.get(&tracer), Some(&traced));
    }
}

/// The threads that each process lists.
fn audit_threads(k: &Kernel, wrong: &mut Vec<String>) -> BTreeSet<(SignalId, TaskId)> {
    let mut listed = BTreeSet::new();
    for (id, signal) in k.signals.iter() {
        // A list that is wrong may have no end.
        let threads: Vec<TaskId> = k.threads_of(id).take(signal.nr_threads as usize + 1).collect();
        differ(wrong, (id, "nr_threads"), signal.nr_threads as usize, threads.len());
        differ(wrong, (id, "leader"), threads.first(), Some(&signal.leader));
        audit_list(k, (id, "threads"), signal.threads, &threads, |task| task.thread_node, wrong);
        let live = threads.iter().filter(|&&t| !k.tasks[t].is_dead()).count();
        differ(wrong, (id, "live"), signal.live as usize, live);
        let stopped = threads.iter().filter(|&&t| k.tasks[t].state == TaskState::Stopped).count();
        if stopped > 0 && signal.stop_signal.is_none() {
            wrong.push(format!("process {id:?} has stopped threads but no stop signal"));
        }
        listed.extend(threads.into_iter().map(|thread| (id, thread)));
    }
    listed
}

/// A list is the same backwards as forwards.
fn audit_list(
    k: &Kernel,
    what: impl Debug,
    list: TaskList,
    forwards: &[TaskId],
    links: fn(&Task) -> Links,
    wrong: &mut Vec<String>,
) {
    let before = std::iter::once(None).chain(forwards.iter().copied().map(Some));
    let previous = forwards.iter().map(|&task| links(&k.tasks[task]).previous).chain([list.last]);
    differ(wrong, what, previous.collect(), before.collect::<Vec<_>>());
}

fn audit_children(k: &Kernel, wrong: &mut Vec<String>) {
    let mut seen: BTreeSet<TaskId> = BTreeSet::new();
    for (id, _) in k.tasks.iter() {
        for child in k.children_of(id) {
            differ(wrong, (child, "real_parent"), k.tasks[child].real_parent, id);
            if !seen.insert(child) {
                wrong.push(format!("task {child:?} is a child twice"));
                return;
            }
        }
    }
    for (id, _) in k.tasks.iter() {
        let listed = k.is_leader(id) && !k.is_of_idle_task(id);
        differ(wrong, (id, "in a list of children"), seen.contains(&id), listed);
    }
}

fn audit_pids(k: &Kernel, wrong: &mut Vec<String>) {
    let mut numbers: BTreeMap<PidNsId, usize> = BTreeMap::new();
    let mut groups: BTreeMap<PidId, BTreeSet<SignalId>> = BTreeMap::new();
    let mut stopped: BTreeMap<PidId, u32> = BTreeMap::new();
    let mut sessions: BTreeMap<PidId, u32> = BTreeMap::new();
    for (id, signal) in k.signals.iter() {
        groups.entry(signal.pgrp.id()).or_default().insert(id);
        *stopped.entry(signal.pgrp.id()).or_default() += u32::from(signal.stop_signal.is_some());
        *sessions.entry(signal.session.id()).or_default() += 1;
    }
    for (id, pid) in k.pids.iter() {
        // Nobody finds the idle task by its number.
        let is_idle = pid.own_nr == 0;
        differ(wrong, (id, "hashed"), pid.hashed, !pid.attached.is_empty() && !is_idle);
        for (ns, nr) in pid.numbers().filter(|_| pid.hashed) {
            *numbers.entry(ns).or_default() += 1;
            differ(wrong, (id, "number", nr), k.namespaces[ns].idr.get(nr), Some(id));
        }
        differ(wrong, (id, "group"), &pid.attached.group, groups.get(&id).unwrap_or(&BTreeSet::new()));
        differ(wrong, (id, "stopped"), pid.attached.stopped, stopped.get(&id).copied().unwrap_or(0));
        differ(wrong, (id, "session"), pid.attached.session, sessions.get(&id).copied().unwrap_or(0));
    }
    for (id, ns) in k.namespaces.iter() {
        if let Some((id, pid_ns)) = k.namespaces.typed(id).map(|id: PidNsId| (id, &k.namespaces[id])) {
            let recounted = numbers.get(&id).copied().unwrap_or(0);
            differ(wrong, (ns.arg(), "idr"), pid_ns.idr.len(), recounted);
            differ(wrong, (ns.arg(), "pid_allocated"), pid_ns.pid_allocated as usize, recounted);
        }
    }
}

fn audit_ucounts(k: &Kernel, wrong: &mut Vec<String>) {
    let mut charged: BTreeMap<UcountsId, ([u32; UCOUNT_KINDS], [u64; UCOUNT_RLIMITS])> = BTreeMap::new();
    for (_, ns) in k.namespaces.iter() {
        if let Some(first) = &ns.common.ucounts {
            for level in k.ucounts_chain(first.id()) {
                charged.entry(level).or_default().0[ns.ops().ucount] += 1;
            }
        }
    }
    for (_, task) in k.tasks.iter() {
        for level in k.ucounts_chain(k.creds[task.cred.id()].ucounts.id()) {
            charged.entry(level).or_default().1[UcountRlimit::Nproc as usize] += 1;
        }
    }
    for (_, queue) in k.mqueues.iter() {
        for level in k.ucounts_chain(queue.ucounts.id()) {
            charged.entry(level).or_default().1[UcountRlimit::Msgqueue as usize] += queue.cost();
        }
    }
    let mut keys: BTreeSet<(UserNsId, Kuid)> = BTreeSet::new();
    for (id, ucounts) in k.ucounts.table.iter() {
        let recounted = charged.remove(&id).unwrap_or_default();
        differ(wrong, (id, ucounts.uid), (ucounts.ucount, ucounts.rlimit), recounted);
        keys.insert((ucounts.ns.id(), ucounts.uid));
    }
    differ(wrong, "ucounts by key", k.ucounts.by_key.keys().copied().collect(), keys);
}
