//! The entries of `proc/<pid>` that take a few lines each.

use std::fmt::Write as _;

use super::image;
use crate::errno::Result;
use crate::kernel::TaskId;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::ns::time::Offset;
use crate::kernel::nsproxy::NsProxy;
use crate::tree::look::Look;

/// Nobody has an environment.
pub(super) fn environ(_: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    Ok(Vec::new())
}

/// What exec told the program of itself: pairs of a type and a value, each a native word (`AT_…` of getauxval(3)).
pub(super) fn auxv(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    // Whoever has it open found a memory, and keeps it: that of a zombie can still be read (`auxv_read`).
    let k = look.k;
    let cred = k.cred_of(task);
    let user_ns = &k.namespaces[cred.user_ns.id()];
    let uid = |id| u64::from(user_ns.from_kuid(id).unwrap_or(OVERFLOW_ID));
    let gid = |id| u64::from(user_ns.from_kgid(id).unwrap_or(OVERFLOW_ID));
    let entry = image::START_CODE + 0x1000;
    let words: [(u64, u64); 16] = [
        (16, 0),
        (6, image::PAGE * 1024),
        (17, 100),
        (3, image::START_CODE + 0x40),
        (4, 56),
        (5, 13),
        (7, image::START_LIB),
        (8, 0),
        (9, entry),
        (11, uid(cred.ids.uid)),
        (12, uid(cred.ids.euid)),
        (13, gid(cred.ids.gid)),
        (14, gid(cred.ids.egid)),
        (23, 0),
        (31, image::ENV_END),
        (0, 0),
    ];
    Ok(words.iter().flat_map(|(kind, value)| [kind.to_ne_bytes(), value.to_ne_bytes()].concat()).collect())
}

/// Which mappings a core dump would hold: anonymous ones, headers of programs, private huge pages. Nothing of a task
/// without memory (`proc_coredump_filter_read`).
pub(super) fn coredump_filter(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    Ok(look.k.mm_of(task).map(|_| b"00000033\n".to_vec()).unwrap_or_default())
}

/// The name as it is, whatever its bytes.
pub(super) fn comm(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    Ok([look.k.name_of(task), b"\n"].concat())
}

/// The arguments, each with a NUL behind it; nothing of a task without memory.
pub(super) fn cmdline(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let argv = if look.k.mm_of(task).is_some() { &look.k.tasks[task].argv[..] } else { &[] };
    Ok(argv.iter().flat_map(|arg| [&arg[..], b"\0"].concat()).collect())
}

/// The numbers of the thread's children, each with a blank behind it (`children_seq_show`).
pub(super) fn children(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let numbers = look.k.children_of(task).map(|child| format!("{} ", look.nr(child)));
    Ok(numbers.collect::<String>().into_bytes())
}

/// The offsets of the time namespace for children; nothing of a zombie (`proc_timens_show_offsets`).
pub(super) fn timens_offsets(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let mut text = String::new();
    if let Some(ns) = look.k.nsproxy_of(task).map(NsProxy::time_ns_for_children) {
        let time = &look.k.namespaces[ns];
        for (clock, offset) in [("monotonic", time.monotonic), ("boottime", time.boottime)] {
            text.push_str(&offset_line(clock, offset));
        }
    }
    Ok(text.into_bytes())
}

/// One line of `timens_offsets` (`show_offset` in `kernel/time/namespace.c`).
pub(in crate::tree) fn offset_line(clock: &str, offset: Offset) -> String {
    let mut line = String::new();
    let _ = writeln!(line, "{clock:<10} {:>10} {:>9}", offset.sec, offset.nsec);
    line
}

/// No task waits at an address worth a name.
pub(super) fn wchan(_: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    Ok(b"0".to_vec())
}

/// The autogroup of a process and its nice value; nothing of a kernel thread (`proc_sched_autogroup_show_task`).
pub(super) fn autogroup(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    Ok(match look.k.signal_of(task).autogroup {
        0 => Vec::new(),
        number => format!("/autogroup-{number} nice 0\n").into_bytes(),
    })
}

/// Time on a processor, time waiting for one, times it got one.
pub(super) fn schedstat(_: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    Ok(b"0 0 0\n".to_vec())
}

/// The task's cgroup as the reader's cgroup namespace shows it; a zombie may have died in one that is removed since
/// (`proc_cgroup_show`).
pub(super) fn cgroup(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let id = look.k.cgroup_of(task);
    let path = look.k.cgroup_path(id, crate::tree::cgroup::root(look));
    let removed: &[u8] = if look.k.cgroup.table[id].is_dead { b" (deleted)" } else { b"" };
    Ok([b"0::", &path[..], removed, b"\n"].concat())
}

/// From 0 to 1333 (`proc_oom_score`): of what memory a task has, next to nothing of all there is, and of its adjustment. A
/// task without memory and one that is never chosen have 0.
pub(super) fn oom_score(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let adj = i64::from(look.k.signal_of(task).oom.score_adj);
    let score = match look.k.mm_of(task) {
        Some(_) if adj > -1000 => (1000 + adj) * 2 / 3,
        _ => 0,
    };
    Ok(format!("{score}\n").into_bytes())
}

pub(super) fn oom_score_adj(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    Ok(format!("{}\n", look.k.signal_of(task).oom.score_adj).into_bytes())
}

/// Login uid and audit session: never set.
pub(super) fn unset_id(_: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    Ok(u32::MAX.to_string().into_bytes())
}

/// No task reads or writes anything.
///
/// # Errors
/// EACCES: no ptrace access.
pub(super) fn io(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    look.check_ptrace(task)?;
    Ok(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_stand_in_columns() {
        let offset = Offset { sec: -86_400, nsec: 500 };
        assert_eq!(offset_line("monotonic", offset), "monotonic      -86400       500\n");
        assert_eq!(offset_line("boottime", Offset::default()), "boottime            0         0\n");
    }
}
