//! What can be seen of IPC objects: `/proc/sysvipc`, the sysctls, the text and attributes of open queues; and the offsets
//! of time namespaces. Read by a worker in the namespace, and in the lab by its counterpart.

use std::collections::BTreeMap;

use nslab::kernel::file::{FileKind, OpenFlags};
use nslab::kernel::node::{Node, Place, View};
use nslab::kernel::nsproxy::NsProxy;
use nslab::kernel::task::TaskState;
use nslab::kernel::{IpcNsId, Kernel, TaskId};
use nslab::syscall::mqueue::QueueFd;
use nslab::syscall::{AnyCall, LabCall, Syscall, dispatch};
use nslab::tree::{self, Viewer};

use super::decode::Family;
use super::{clock, encode, is_private, queues};
use crate::encode::{Arg, call, int};
use crate::machine::TEXT;
use crate::observe::{lab_text, real_text};
use crate::pair::Pair;
use crate::program::ipc::SYSCTLS;

const FAMILIES: [Family; 3] = [Family::Msg, Family::Sem, Family::Shm];

/// See [`crate::area::Area`].
pub fn observe(pair: &mut Pair, called: Option<(TaskId, &AnyCall)>) -> Result<(), String> {
    let Some((task, call)) = called else { return compare_all(pair) };
    let is_running = pair.k.tasks.get(task).is_some_and(|task| task.state == TaskState::Running);
    let syscall = match call {
        AnyCall::Linux(syscall) => syscall,
        AnyCall::Lab(LabCall::Write { path, .. }) => return compare_written(pair, task, path),
        AnyCall::Lab(LabCall::Setns { .. }) => return compare_left(pair),
        AnyCall::Lab(_) | AnyCall::Waiting(_) | AnyCall::Tick { .. } => return Ok(()),
    };
    match syscall {
        Syscall::Msgget { .. } | Syscall::Msgsnd { .. } | Syscall::Msgrcv { .. } | Syscall::Msgctl { .. } => {
            compare_objects(pair, task, Family::Msg)
        }
        Syscall::Semget { .. } | Syscall::Semop { .. } | Syscall::Semctl { .. } => {
            compare_objects(pair, task, Family::Sem)
        }
        Syscall::Shmget { .. } | Syscall::Shmat { .. } | Syscall::Shmdt { .. } | Syscall::Shmctl { .. } => {
            compare_objects(pair, task, Family::Shm)
        }
        Syscall::MqSend { fd, .. }
        | Syscall::MqReceive { fd, .. }
        | Syscall::MqNotify { fd, .. }
        | Syscall::MqGetsetattr { fd, .. }
            if is_running =>
        {
            compare_queue(pair, task, fd.own())
        }
        Syscall::ClockGettime { .. } if is_running => clock::compare_files(pair, task),
        Syscall::Clone(_)
        | Syscall::Unshare { .. }
        | Syscall::Setns { .. }
        | Syscall::Exec { .. }
        | Syscall::Exit { .. }
        | Syscall::ExitGroup { .. }
        | Syscall::Kill { .. } => compare_left(pair),
        _ => Ok(()),
    }
}

/// What calls leave that end undo lists, attachments and namespaces.
fn compare_left(pair: &mut Pair) -> Result<(), String> {
    for (_, reader) in readers(&pair.k) {
        for family in FAMILIES.into_iter().filter(|family| *family != Family::Msg) {
            if has_objects(&pair.k, reader, family) {
                compare_objects(pair, reader, family)?;
            }
        }
    }
    compare_offsets(pair)
}

/// A running task of each namespace that is not the host's.
fn readers(k: &Kernel) -> BTreeMap<IpcNsId, TaskId> {
    let running = k.tasks.iter().filter(|(id, task)| task.state == TaskState::Running && is_private(k, *id));
    running.filter_map(|(id, _)| Some((k.nsproxy_of(id)?.ipc_ns(), id))).collect()
}

fn has_objects(k: &Kernel, reader: TaskId, family: Family) -> bool {
    k.nsproxy_of(reader).map(NsProxy::ipc_ns).is_some_and(|ns| {
        let ipc = &k.namespaces[ns];
        match family {
            Family::Msg => !ipc.msg_ids.objects.is_empty(),
            Family::Sem => !ipc.sem_ids.objects.is_empty(),
            Family::Shm => !ipc.shm_ids.objects.is_empty(),
        }
    })
}

fn compare_all(pair: &mut Pair) -> Result<(), String> {
    for (_, reader) in readers(&pair.k) {
        FAMILIES.iter().try_for_each(|family| compare_objects(pair, reader, *family))?;
        SYSCTLS.iter().try_for_each(|name| compare_file(pair, reader, &format!("/proc/sys/{name}")))?;
    }
    let running = pair.k.tasks.iter().filter(|(_, task)| task.state == TaskState::Running);
    let running: Vec<TaskId> = running.map(|(id, _)| id).collect();
    for task in running {
        for fd in 0..16 {
            compare_queue(pair, task, fd)?;
        }
    }
    compare_offsets(pair)?;
    // Last, because it changes the reader.
    readers(&pair.k).into_values().try_for_each(|reader| queues::compare_directory(pair, reader))
}

/// The text of a file as a task reads it, on both sides.
fn compare_file(pair: &mut Pair, reader: TaskId, path: &str) -> Result<(), String> {
    let (lab, machine) = texts(pair, reader, path);
    if lab == machine { Ok(()) } else { Err(format!("{path}: lab {lab:?}, machine {machine:?}")) }
}

pub type Text = Result<String, nslab::errno::Errno>;

pub fn texts(pair: &mut Pair, reader: TaskId, path: &str) -> (Text, Text) {
    (lab_text_of(pair, reader, path), pair.machine.look(pair.k.task_nr(reader), path.as_bytes(), false))
}

fn lab_text_of(pair: &mut Pair, reader: TaskId, path: &str) -> Text {
    let lab = dispatch(&mut pair.k, reader, &LabCall::Read { path: path.as_bytes().to_vec() }.into());
    lab.map(|text| text.to_string()).map_err(|stop| stop.errno())
}

/// What a task reads in the lab, nothing where it may not.
pub fn lab_reads(pair: &mut Pair, reader: TaskId, path: &str) -> String {
    lab_text_of(pair, reader, path).unwrap_or_default()
}

/// A listing of `/proc/sysvipc`.
fn compare_objects(pair: &mut Pair, reader: TaskId, family: Family) -> Result<(), String> {
    let is_running = pair.k.tasks.get(reader).is_some_and(|task| task.state == TaskState::Running);
    if !is_running || !is_private(&pair.k, reader) {
        return Ok(());
    }
    let path = listing(family);
    let (lab, machine) = texts(pair, reader, path);
    let machine = machine.map(|text| in_lab_terms(pair, reader, path, text));
    if lab == machine { Ok(()) } else { Err(format!("{path}: lab {lab:?}, machine {machine:?}")) }
}

fn listing(family: Family) -> &'static str {
    match family {
        Family::Msg => "/proc/sysvipc/msg",
        Family::Sem => "/proc/sysvipc/sem",
        Family::Shm => "/proc/sysvipc/shm",
    }
}

/// Whether the text a task reads at a path is one both sides have, and not the host's.
pub fn is_compared(k: &Kernel, reader: TaskId, path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let is_sysctl = path.strip_prefix("proc/sys/").is_some_and(super::is_sysctl);
    path.ends_with("/timens_offsets") || is_private(k, reader) && (is_sysctl || path.starts_with("proc/sysvipc/"))
}

/// A text of the machine with the lab's pids and times, where it is a listing.
pub fn in_lab_terms(pair: &Pair, reader: TaskId, path: &str, text: String) -> String {
    let is_of = |family: &Family| listing(*family).trim_start_matches('/') == path.trim_start_matches('/');
    let (pids, times): (&[usize], _) = match FAMILIES.into_iter().find(is_of) {
        Some(Family::Msg) => (&[5, 6], 11..14),
        Some(Family::Sem) => (&[], 8..10),
        Some(Family::Shm) => (&[4, 5], 11..14),
        None => return text,
    };
    let numbers = encode::numbers(&pair.k, reader, &pair.machine.numbers);
    let now = pair.k.real_seconds();
    let own = pair.k.task_active_pid_ns(reader);
    let translated = |column: usize, text: &str| -> Option<String> {
        if times.contains(&column) {
            return (text != "0").then(|| format!("{now:>10}"));
        }
        let nr: i32 = text.parse().ok().filter(|&nr| nr != 0 && pids.contains(&column))?;
        let lab = numbers.iter().find(|(here, _)| *here == nr).map(|(_, lab)| *lab);
        // The lab's listing has numbers of the reader's namespace.
        let lab = lab.map(|lab| if own == pair.k.init.pid_ns { lab } else { nr });
        Some(lab.map_or_else(|| format!("real:{nr}"), |lab| format!("{lab:>5}")))
    };
    let mut lines = text.split_inclusive('\n');
    let header = lines.next().unwrap_or_default().to_owned();
    lines.fold(header, |all, line| all + &translate(line, &translated))
}

/// A line with some of its columns replaced, each by a text as wide as the least its column can be.
fn translate(line: &str, column: &dyn Fn(usize, &str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::new(), line);
    for at in 0.. {
        let word = rest.trim_start_matches(' ');
        let blanks = rest.len() - word.len();
        let end = word.find([' ', '\n']).unwrap_or(word.len());
        if end == 0 {
            break;
        }
        match column(at, &word[..end]) {
            Some(new) => {
                // What pads the number is not what separates it.
                let padding = new.len().saturating_sub(end);
                out += &" ".repeat(blanks.saturating_sub(padding));
                out += &new;
            }
            None => out += &rest[..blanks + end],
        }
        rest = &word[end..];
    }
    out + rest
}

/// The text and the attributes of the queue behind a descriptor of a task.
fn compare_queue(pair: &mut Pair, task: TaskId, fd: i32) -> Result<(), String> {
    let Some(file) = pair.k.file_at(task, fd).map(|file| &pair.k.open_files[file]) else { return Ok(()) };
    let FileKind::Mqueue(open) = &file.kind else { return Ok(()) };
    let node = Node { view: View::Caller, place: Place::Mqueue(open.queue.id()) };
    if file.flags.contains(OpenFlags::READ) {
        let lab = tree::read(&pair.k, Viewer(task), node).map_err(|error| error.errno);
        let lab = lab.map(|text| String::from_utf8_lossy(&text).into_owned());
        let read = [int(fd), Arg::Data(TEXT as u64), Arg::Value(128), Arg::Value(0)];
        let machine = pair.machine.text_of(pair.k.task_nr(task), &call(libc::SYS_pread64, &read));
        let machine = machine.map(|text| notified(pair, task, &text));
        if lab != machine {
            return Err(format!("the queue at descriptor {fd}: lab {lab:?}, machine {machine:?}"));
        }
    }
    if is_private(&pair.k, task) {
        let attributes = Syscall::MqGetsetattr { fd: QueueFd::Own(fd), flags: None }.into();
        let called = pair.call(task, &attributes);
        called.map_err(|trouble| format!("the attributes of descriptor {fd}: {trouble:?}"))?.ok();
    }
    Ok(())
}

/// The text of a queue with the lab's number of whoever is to be told.
fn notified(pair: &Pair, reader: TaskId, text: &str) -> String {
    let Some((before, nr)) = text.split_once("NOTIFY_PID:") else { return text.to_owned() };
    let in_initial = pair.k.task_active_pid_ns(reader) == pair.k.init.pid_ns;
    match nr.trim().parse() {
        Ok(nr @ 1..) if in_initial => {
            let lab = pair.machine.numbers.lab(nr).map_or_else(|| format!("real:{nr}"), |lab| lab.to_string());
            format!("{before}NOTIFY_PID:{lab:<6}\n")
        }
        _ => text.to_owned(),
    }
}

/// A sysctl is read back.
fn compare_written(pair: &mut Pair, task: TaskId, path: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(path).into_owned();
    match text.strip_prefix("/proc/sys/") {
        Some(name) if SYSCTLS.contains(&name) && is_private(&pair.k, task) => compare_file(pair, task, &text),
        _ if text.ends_with("/timens_offsets") => compare_offsets(pair),
        _ => Ok(()),
    }
}

/// `timens_offsets` of all processes.
fn compare_offsets(pair: &mut Pair) -> Result<(), String> {
    let leaders = pair.k.tasks.iter().map(|(id, _)| id).filter(|&id| pair.k.leader_of(id) == id);
    for task in leaders.collect::<Vec<_>>() {
        let nr = pair.k.task_nr(task);
        let Some(real) = pair.machine.numbers.real(nr) else { continue };
        let (lab, machine) = (lab_text(&pair.k, task, "timens_offsets"), real_text(real, "timens_offsets"));
        if lab != machine {
            return Err(format!("task {nr}: timens_offsets: lab {lab:?}, machine {machine:?}"));
        }
    }
    Ok(())
}
