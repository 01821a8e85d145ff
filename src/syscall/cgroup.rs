//! Cgroups: moving tasks (`cgroup_procs_write`), clone into one (`cgroup_css_set_fork`), making and removing them, and
//! the other files of their directories (`kernel/cgroup/cgroup.c`).

use super::write::{Writing, Written};
use crate::bail;
use crate::errno::{Errno, Error, Result};
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::cgroup::{CgroupId, Owner};
use crate::kernel::cred::Rights;
use crate::kernel::file::Bound;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::scan::{is_space, until_nul};
use crate::kernel::signal::{SIGKILL, Sender};
use crate::kernel::{CgroupNsId, Current, Kernel, TaskId};
use crate::tree;

/// What changes its cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Process,
    Thread,
}

/// Who moves something: with whose credentials, seen from which cgroup namespace.
#[derive(Clone, Copy, Debug)]
struct Mover<'a> {
    cred: Rights<'a>,
    ns: CgroupNsId,
}

/// The cgroup behind a descriptor, if `me` may clone into it.
///
/// # Errors
/// EBADF: no descriptor of a cgroup's directory. ENOENT: the cgroup is removed (`css_tryget_online_from_dir`). EACCES: its
/// `cgroup.procs` is not writable; then as for moving a task there.
pub(super) fn check_clone_into(k: &Kernel, me: Current, fd: i32, moved: Moved) -> Result<CgroupId> {
    let bound = k.file_at(*me, fd).and_then(|file| k.open_files[file].kind.bound());
    let Some(Bound { node: Node { place: Place::Cgroup(to, None), .. }, .. }) = bound else {
        bail!(EBADF, "descriptor {} is no cgroup directory", fd);
    };
    check_live(k, *to).map_err(|gone| Error { errno: Errno::ENOENT, ..gone })?;
    let mover = Mover { cred: k.cred_of(*me).rights(), ns: own_cgroup_ns(k, me) };
    check_writable(k, *to, mover.cred)?;
    check_attach(k, k.cgroup_of(*me), *to, mover, moved)?;
    Ok(*to)
}

fn own_cgroup_ns(k: &Kernel, me: Current) -> CgroupNsId {
    k.current_nsproxy(me).cgroup_ns()
}

fn check_live(k: &Kernel, cgroup: CgroupId) -> Result<()> {
    if k.cgroup.table.get(cgroup).is_none_or(|cgroup| cgroup.is_dead) {
        bail!(ENODEV, "the cgroup is removed");
    }
    Ok(())
}

fn check_writable(k: &Kernel, cgroup: CgroupId, cred: Rights<'_>) -> Result<()> {
    let procs = Node { view: View::Caller, place: Place::Cgroup(cgroup, Some(CgroupFile::Procs)) };
    tree::may_write_as(k, cred, procs)
}

/// Whether a task may go from one cgroup to another (`cgroup_attach_permissions`).
///
/// # Errors
/// EACCES: `cgroup.procs` of the nearest common ancestor is not writable. ENOENT: with nsdelegate, one of the two is
/// outside the cgroup namespace. EOPNOTSUPP: the destination's domain is invalid, or a thread would leave its domain.
fn check_attach(k: &Kernel, from: CgroupId, to: CgroupId, mover: Mover<'_>, moved: Moved) -> Result<()> {
    check_writable(k, k.common_cgroup(from, to), mover.cred)?;
    let root = k.cgroup_ns_root(mover.ns);
    let is_inside = |cgroup| k.is_cgroup_at_or_below(cgroup, root);
    if k.cgroup.ns_delegate && !(is_inside(from) && is_inside(to)) {
        bail!(ENOENT, "source or destination is outside the root of {} (nsdelegate)", k.ns_arg(mover.ns));
    }
    let domain = k.cgroup_domain(to);
    if !k.is_valid_domain(domain) {
        bail!(EOPNOTSUPP, "the destination is {}", k.cgroup_type(domain));
    }
    if moved == Moved::Thread && k.cgroup_domain(from) != domain {
        bail!(EOPNOTSUPP, "a thread alone cannot leave the domain of its process");
    }
    Ok(())
}

/// Makes a cgroup called `name` (`cgroup_mkdir`); the name is free and the directory may be changed.
///
/// # Errors
/// EINVAL: a newline in the name. ENODEV: the parent is removed. EAGAIN: `cgroup.max.depth` or `cgroup.max.descendants`
/// of the parent or of a cgroup above it is reached.
pub(super) fn mkdir(k: &mut Kernel, me: Current, parent: CgroupId, name: &[u8], mode: u16) -> Result<()> {
    if name.contains(&b'\n') {
        bail!(EINVAL, "a newline in the name of a cgroup");
    }
    check_live(k, parent)?;
    check_hierarchy_limits(k, parent)?;
    let ids = k.cred_of(*me).ids;
    k.create_cgroup(parent, name, mode, Owner { uid: ids.fsuid, gid: ids.fsgid });
    Ok(())
}

fn check_hierarchy_limits(k: &Kernel, parent: CgroupId) -> Result<()> {
    for (level, id) in (1..).zip(k.cgroup_ancestors(parent)) {
        let cgroup = &k.cgroup.table[id];
        if let Some(max) = cgroup.max_descendants.filter(|&max| i64::from(cgroup.descendants) >= i64::from(max)) {
            bail!(EAGAIN, "cgroup.max.descendants is {} in a cgroup with {} below it", max, cgroup.descendants);
        }
        if let Some(max) = cgroup.max_depth.filter(|&max| level > max) {
            bail!(EAGAIN, "cgroup.max.depth is {} in a cgroup {} levels above the new one", max, level);
        }
    }
    Ok(())
}

/// Removes a cgroup (`cgroup_rmdir`).
///
/// # Errors
/// EBUSY: tasks or other cgroups are in it.
pub(super) fn rmdir(k: &mut Kernel, cgroup: CgroupId) -> Result<()> {
    if k.cgroup.table[cgroup].is_populated() {
        bail!(EBUSY, "tasks are in the cgroup or below it");
    }
    if !k.cgroup.table[cgroup].children.is_empty() {
        bail!(EBUSY, "other cgroups are in it");
    }
    k.destroy_cgroup(cgroup);
    Ok(())
}

/// A write to a file of a cgroup, opened in cgroup namespace `ns` (`cgroup_file_write`).
///
/// # Errors
/// ENODEV: the cgroup is removed. EPERM: a file of the root of `ns` that is not delegated; then those of the
/// file. Writing nothing is no write.
pub(super) fn write(k: &mut Kernel, id: CgroupId, file: CgroupFile, ns: CgroupNsId, w: &Writing) -> Result<Written> {
    check_live(k, id)?;
    if w.bytes.is_empty() {
        return Ok(Written::advancing(0));
    }
    let is_ns_root = ns != k.init_ns() && k.cgroup_ns_root(ns) == id;
    if k.cgroup.ns_delegate && is_ns_root && !file.row().ns_delegatable {
        bail!(EPERM, "{} at the root of {} is not delegated (nsdelegate)", tree::cgroup::name(file), k.ns_arg(ns));
    }
    let text = strip(until_nul(w.bytes));
    match file {
        CgroupFile::Procs => attach(k, id, Moved::Process, text, ns, w)?,
        CgroupFile::Threads => attach(k, id, Moved::Thread, text, ns, w)?,
        CgroupFile::SubtreeControl => check_controllers(text)?,
        CgroupFile::MaxDescendants => k.cgroup.table[id].max_descendants = limit(text)?,
        CgroupFile::MaxDepth => k.cgroup.table[id].max_depth = limit(text)?,
        CgroupFile::Type => enable_threaded(k, id, text)?,
        CgroupFile::Freeze => freeze(k, id, flag(text)?),
        CgroupFile::Pressure => k.cgroup.table[id].pressure = flag(text)?,
        CgroupFile::Kill => kill(k, id, text, w.task)?,
        CgroupFile::Controllers | CgroupFile::Events | CgroupFile::Stat | CgroupFile::StatLocal => {
            bail!(EINVAL, "{} cannot be written", tree::cgroup::name(file))
        }
    }
    Ok(Written::advancing(w.bytes.len()))
}

/// `cgroup.procs` and `cgroup.threads`: moves what a number of the writer's pid namespace names; 0 is the writer.
///
/// # Errors
/// EINVAL: no number, or kthreadd. ESRCH: no task has it; then those of [`check_attach`].
fn attach(k: &mut Kernel, to: CgroupId, moved: Moved, text: &[u8], ns: CgroupNsId, w: &Writing) -> Result<()> {
    let Some(nr) = kstrtoint(text).filter(|&nr| nr >= 0) else { bail!(EINVAL, "not a pid") };
    let named = if nr == 0 { Some(w.task) } else { k.find_task_by_pid_ns(nr, k.task_active_pid_ns(w.task)) };
    let Some(task) = named else { bail!(ESRCH, "no task {} in the writer's pid namespace", nr) };
    let task = if moved == Moved::Process { k.leader_of(task) } else { task };
    if k.kthreads.kthreadd == Some(task) {
        bail!(EINVAL, "kthreadd stays where it is");
    }
    check_attach(k, k.cgroup_of(task), to, Mover { cred: w.opener.rights(), ns }, moved)?;
    match moved {
        Moved::Thread => k.move_to_cgroup(task, to),
        Moved::Process => {
            for thread in k.threads_of(k.tasks[task].signal).collect::<Vec<_>>() {
                k.move_to_cgroup(thread, to);
            }
        }
    }
    Ok(())
}

/// Controllers that Linux knows; none of them is in this hierarchy.
const CONTROLLERS: [&str; 14] = [
    "cpuset",
    "cpu",
    "cpuacct",
    "io",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
];

/// `cgroup.subtree_control`: `+name` and `-name`, separated by blanks. Turning off what is off is allowed.
///
/// # Errors
/// EINVAL: another word or an unknown controller. ENOENT: a controller to turn on, as none is available.
fn check_controllers(text: &[u8]) -> Result<()> {
    let mut wanted = None;
    for word in text.split(|&byte| byte == b' ').filter(|word| !word.is_empty()) {
        let name = word.get(1..).and_then(|name| CONTROLLERS.iter().find(|known| known.as_bytes() == name));
        match (word[0], name) {
            (b'+', Some(name)) => wanted = wanted.or(Some(*name)),
            (b'-', Some(_)) => {}
            _ => bail!(EINVAL, "{} is not +CONTROLLER or -CONTROLLER", String::from_utf8_lossy(word).into_owned()),
        }
    }
    match wanted {
        Some(name) => bail!(ENOENT, "{} is not among cgroup.controllers", name),
        None => Ok(()),
    }
}

fn enable_threaded(k: &mut Kernel, id: CgroupId, text: &[u8]) -> Result<()> {
    if text != b"threaded" {
        bail!(EINVAL, "only threaded can be written");
    }
    if !k.cgroup.table[id].is_threaded {
        k.check_enable_threaded(id)?;
        k.set_threaded(id);
    }
    Ok(())
}

/// `cgroup.freeze`: the tasks in it and below are frozen, or not any more (`cgroup_freeze_write`).
fn freeze(k: &mut Kernel, id: CgroupId, freeze: bool) {
    k.cgroup.table[id].freeze = freeze;
    let cgroups: Vec<_> = std::iter::once(id).chain(k.cgroups_below(id, |_| true)).collect();
    let tasks: Vec<_> = cgroups.into_iter().flat_map(|id| k.tasks_in(id)).collect();
    k.freeze_programs(&tasks);
}

/// `cgroup.kill`: SIGKILL to all processes in it and below, through their leaders (`cgroup_kill_write`). Linux does not
/// reach a process whose leader has exited before its other threads.
///
/// # Errors
/// EINVAL: no number; ERANGE: not 1; EOPNOTSUPP: a threaded cgroup.
fn kill(k: &mut Kernel, id: CgroupId, text: &[u8], me: TaskId) -> Result<()> {
    match kstrtoint(text) {
        Some(1) => {}
        Some(_) => bail!(ERANGE, "only 1 can be written"),
        None => bail!(EINVAL, "not a number"),
    }
    if k.cgroup.table[id].is_threaded {
        bail!(EOPNOTSUPP, "only whole processes are killed and this cgroup is threaded");
    }
    let cgroups: Vec<_> = std::iter::once(id).chain(k.cgroups_below(id, |_| true)).collect();
    let is_live_leader = |&task: &TaskId| k.leader_of(task) == task && !k.tasks[task].is_dead();
    let victims: Vec<_> = cgroups.iter().flat_map(|&id| k.tasks_in(id)).filter(is_live_leader).collect();
    for id in cgroups {
        k.cgroup.table[id].kill_seq += 1;
    }
    for victim in victims {
        k.send_signal(Sender::Task(me), victim, true, SIGKILL);
    }
    Ok(())
}

/// Kills a child that was cloned into a cgroup which has been killed more or less often than the caller's: what a kill
/// during the clone would look like (`cgroup_post_fork`).
pub(super) fn kill_if_stale(k: &mut Kernel, me: Current, child: TaskId) {
    let kills = |task| k.cgroup.table[k.cgroup_of(task)].kill_seq;
    if kills(*me) != kills(child) {
        k.send_signal(Sender::Task(*me), child, true, SIGKILL);
    }
}

/// `max` or a number from 0 (`cgroup_max_depth_write`).
///
/// # Errors
/// EINVAL: neither; ERANGE: below 0.
fn limit(text: &[u8]) -> Result<Option<i32>> {
    match kstrtoint(text) {
        _ if text == b"max" => Ok(None),
        Some(value @ 0..) => Ok(Some(value)),
        Some(value) => bail!(ERANGE, "{} is below 0", value),
        None => bail!(EINVAL, "not a number or max"),
    }
}

/// 0 or 1.
///
/// # Errors
/// EINVAL: no number; ERANGE: another number.
fn flag(text: &[u8]) -> Result<bool> {
    match kstrtoint(text) {
        Some(value @ 0..=1) => Ok(value == 1),
        Some(value) => bail!(ERANGE, "{} is not 0 or 1", value),
        None => bail!(EINVAL, "not a number"),
    }
}

/// Without white space around it (`strstrip`).
fn strip(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|&byte| !is_space(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// A whole text as an int: decimal, `0x…` or octal `0…`, with a sign (`kstrtoint` with base 0).
fn kstrtoint(text: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let magnitude = i64::from_str_radix(digits, radix).ok().filter(|_| is_number)?;
    i32::try_from(sign * magnitude).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_signs_and_bases_and_nothing_else() {
        let numbers = ["7", "-7", "+7", "0x1f", "010", "0"].map(|text| kstrtoint(text.as_bytes()));
        assert_eq!(numbers, [7, -7, 7, 31, 8, 0].map(Some));
        for text in ["", "-", "foo", "7x", "0x", "08", "--7", "2147483648", "7 "] {
            assert_eq!(kstrtoint(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn white_space_around_a_text_is_dropped() {
        assert_eq!(strip(b" \tmax \n"), b"max");
        assert_eq!(strip(b" \n"), b"");
    }
}
