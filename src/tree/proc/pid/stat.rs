//! `proc/<pid>/stat` and `statm` (`do_task_stat`, `proc_pid_statm` in `fs/proc/array.c`).

use crate::errno::Result;
use crate::kernel::pid::Pid;
use crate::kernel::signal::SignalStruct;
use crate::kernel::task::{Task, TaskState};
use crate::kernel::{Kernel, TaskId};
use crate::tree::look::Look;
use crate::tree::proc::pid::{image, status};
use crate::tree::proc::system::boottime_ticks;

const PF_EXITING: u32 = 0x4;
const PF_POSTCOREDUMP: u32 = 0x8;
const PF_FORKNOEXEC: u32 = 0x40;
const PF_SIGNALED: u32 = 0x400;
const PF_NPROC_EXCEEDED: u32 = 0x1000;
/// A dead task never runs again (`do_task_dead`).
const PF_NOFREEZE: u32 = 0x8000;
const PF_KTHREAD: u32 = 0x20_0000;
const PF_RANDOMIZE: u32 = 0x40_0000;

/// Of a process: one with threads waits nowhere in particular.
pub(super) fn render_process(look: &Look<'_>, id: TaskId) -> Result<Vec<u8>> {
    render(look, id, look.k.signal_of(id).nr_threads < 2)
}

pub(super) fn render_thread(look: &Look<'_>, id: TaskId) -> Result<Vec<u8>> {
    render(look, id, true)
}

/// 52 fields. Addresses, wchan and the exit code are for readers with ptrace access only.
fn render(look: &Look<'_>, id: TaskId, has_wchan: bool) -> Result<Vec<u8>> {
    let k = look.k;
    let task = &k.tasks[id];
    let signal = k.signal_of(id);
    let sighand = &k.sighands[task.sighand.id()];
    let permitted = look.check_ptrace(id).is_ok();
    let has_mm = k.mm_of(id).is_some();
    let number = |pid: &Pid| pid.nr_in(look.pid_ns).unwrap_or(0);

    let head = format!(
        " {} {} {} {} 0 -1 {} 0 0 0 0 0 0 0 0 20 0 {} 0 {} {} {} {}",
        &status::state_of(k, id)[..1],
        k.task_ppid_nr_ns(id, look.pid_ns),
        number(&k.pids[signal.pgrp.id()]),
        number(&k.pids[signal.session.id()]),
        flags(k, id),
        signal.nr_threads,
        boottime_ticks(k, look.reader, task.start_time),
        if has_mm { image::VM_SIZE * 1024 } else { 0 },
        if has_mm { image::VM_RSS / image::PAGE } else { 0 },
        u64::MAX,
    );
    let [start_code, end_code] = match (has_mm, permitted) {
        (true, true) => [image::START_CODE, image::END_CODE],
        (true, false) => [1, 1],
        (false, _) => [0, 0],
    };
    let signals = [status::pending_mask(&task.pending), task.blocked, sighand.ignored, sighand.handled];
    let [pending, blocked, ignored, handled] = signals.map(|mask| mask & 0x7fff_ffff);
    let middle = format!(
        " {start_code} {end_code} {} 0 0 {pending} {blocked} {ignored} {handled} {} 0 0 {} 0 0 0 0 0 0",
        if has_mm && permitted { image::START_STACK } else { 0 },
        u8::from(permitted && has_wchan),
        task.exit_signal,
    );
    let tail = if has_mm && permitted { ADDRESSES } else { [0; 7] }.map(|address| format!(" {address}")).concat();
    let exit_code = if permitted { exit_code(signal, task) } else { 0 };
    let nr = look.nr(id);
    Ok([format!("{nr} (").as_bytes(), k.name_of(id), format!("){head}{middle}{tail} {exit_code}\n").as_bytes()]
        .concat())
}

/// Data, heap, arguments and environment: fields 45 to 51.
const ADDRESSES: [u64; 7] = [
    image::START_DATA,
    image::END_DATA,
    image::START_BRK,
    image::ARG_START,
    image::ARG_END,
    image::ARG_END,
    image::ENV_END,
];

/// The status word of a process that is told to die, the signal of one that is stopped until its parent has asked, else what
/// the thread itself died of.
fn exit_code(signal: &SignalStruct, task: &Task) -> i32 {
    let of_stop = signal.stop_signal.map(|signo| if signal.stop_unreported { signo } else { 0 });
    signal.group_exit.or(of_stop).unwrap_or(task.exit_code)
}

fn flags(k: &Kernel, id: TaskId) -> u32 {
    let task = &k.tasks[id];
    let state = match task.state {
        TaskState::Running | TaskState::Stopped => 0,
        TaskState::Zapping => PF_EXITING | PF_POSTCOREDUMP,
        TaskState::Zombie => PF_EXITING | PF_POSTCOREDUMP | PF_NOFREEZE,
    };
    let of = |is_set, flag| if is_set { flag } else { 0 };
    let kind = if k.is_kthread(id) { PF_KTHREAD | PF_NOFREEZE } else { PF_RANDOMIZE };
    kind | state
        | of(task.forked_no_exec, PF_FORKNOEXEC)
        | of(task.nproc_exceeded, PF_NPROC_EXCEEDED)
        | of(task.signaled, PF_SIGNALED)
}

/// Pages: all, resident, shared, text, library, data, dirty. Zeros for a task without memory.
pub(super) fn render_memory(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    if look.k.mm_of(task).is_none() {
        return Ok(b"0 0 0 0 0 0 0\n".to_vec());
    }
    let sizes = [image::VM_SIZE, image::VM_RSS, image::RSS_FILE, image::VM_EXE, 0, image::VM_DATA + image::VM_STACK, 0];
    Ok(format!("{}\n", sizes.map(|kib| (kib / image::PAGE).to_string()).join(" ")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::kernel::node::{ITSELF, Node, TaskDir, View};
    use crate::tree::Viewer;

    #[test]
    fn stat_has_52_fields() {
        let k = Kernel::boot();
        let node = Node { view: View::Caller, place: TaskDir::process(k.init.task).entry(ITSELF) };
        let look = Look::now(&k, Viewer(k.init.task), node).unwrap();
        let text = String::from_utf8(render_process(&look, k.init.task).unwrap()).unwrap();
        let fields: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(fields.len(), 52);
        assert_eq!(fields[..8], ["1", "(init)", "S", "0", "1", "1", "0", "-1"]);
        assert_eq!((fields[19], fields[24], fields[37]), ("1", "18446744073709551615", "17"));
    }
}
