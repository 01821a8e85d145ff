//! Opening and writing files, none that the machine outside shares.

use nslab::kernel::file::{O_ACCMODE, O_RDONLY, OpenFlags};
use nslab::kernel::node::{Place, View};
use nslab::kernel::ns::NsType;
use nslab::syscall::ioctl::*;
use nslab::tree::{WriteTarget, resolve, write_target};

use crate::mnt::encode::{is_at_the_bottom, is_own_file};

use super::*;

pub(super) fn encode_open(c: &Context<'_>, path: &[u8], flags: u32, mode: u16) -> Option<Job> {
    let may_change = flags & O_ACCMODE != O_RDONLY || flags & (OpenFlags::CREAT | OpenFlags::TRUNC).bits() != 0;
    let is_safe = !may_change || if c.is_sandboxed { is_own_file(c, path) } else { is_sysctl_safe(c, path) };
    if !is_safe || c.is_sandboxed && is_at_the_bottom(c) {
        return None;
    }
    let (dir, path) = c.path(c.k.init.pid_ns, path)?;
    let args = [dir, IN_ARG, Arg::Value(u64::from(flags)), Arg::Value(u64::from(mode))];
    Some(Job::Call(with_data(libc::SYS_openat, &args, zero_ended(&path))))
}

pub(super) fn encode_pidfd_open(c: &Context<'_>, pid: PidArg, flags: OpenFlags) -> Job {
    Job::Call(call(libc::SYS_pidfd_open, &[c.number(pid), Arg::Value(u64::from(flags.bits()))]))
}

/// A descriptor out of nowhere.
pub(super) fn encode_open_ns(c: &Context<'_>, ns_type: NsType, inum: u32) -> Option<Job> {
    let (nr, entry) = c.numbers.shown_by(c.k, ns_type, inum)?;
    Some(Job::Hand { nr, entry })
}

pub(super) fn encode_write(c: &Context<'_>, path: &[u8], bytes: &[u8]) -> Option<Encoded> {
    // Pids have as many digits as they have on each machine.
    let answer = if cgroup::real_path(c.k, c.me, path).is_some() { Answer::Unlike } else { Answer::Number };
    write_job(c, path, bytes).map(|job| (job, answer))
}

fn write_job(c: &Context<'_>, path: &[u8], bytes: &[u8]) -> Option<Job> {
    let write = |fd, bytes: &[u8]| {
        let args = [fd, Arg::Data(4096), Arg::Value(bytes.len() as u64)];
        let mut write = call(libc::SYS_write, &args);
        write.data.push((4096, bytes.to_vec()));
        write
    };
    if bytes.len() > 8192 {
        return None;
    }
    if let Some(fd) = path.strip_prefix(b"fd:") {
        let fd = std::str::from_utf8(fd).ok()?.parse().ok()?;
        if is_sysctl(c, fd) || cgroup::is_file(c.k, c.me, fd) {
            return None;
        }
        return Some(Job::Call(write(int(fd), bytes)));
    }
    if !is_sysctl_safe(c, path) || c.is_sandboxed && !is_write_safe(c, path) {
        return None;
    }
    let text = cgroup::real_text(c, path, bytes)?;
    let (dir, path) = c.path(c.k.task_active_pid_ns(c.me), path)?;
    let args = [dir, IN_ARG, int(libc::O_WRONLY), NULL];
    let open = with_data(libc::SYS_openat, &args, zero_ended(&path));
    Some(Job::Through(Opening::Call(open), write(Arg::Opened, &text)))
}

/// Which namespace an open sysctl changes is decided by the write: too late to ask.
fn is_sysctl(c: &Context<'_>, fd: i32) -> bool {
    let bound = c.k.file_at(c.me, fd).and_then(|file| c.k.open_files[file].kind.bound());
    bound.is_some_and(|bound| matches!(write_target(bound.node), Some(WriteTarget::Sysctl(_))))
}

/// In a tree of mounts a sysctl may have any path.
fn is_write_safe(c: &Context<'_>, path: &[u8]) -> bool {
    let view = View::PidNs(c.k.task_active_pid_ns(c.me));
    let Ok(node) = resolve(c.k, c.me, view, path, true) else { return true };
    match write_target(node) {
        Some(WriteTarget::Sysctl(_)) => path.starts_with(b"/proc/sys/"),
        Some(_) => true,
        None => matches!(node.place, Place::Dentry(_)) && !is_at_the_bottom(c),
    }
}

/// Sysctls of an initial namespace are the host's.
fn is_sysctl_safe(c: &Context<'_>, path: &[u8]) -> bool {
    let text = String::from_utf8_lossy(path);
    let Some(name) = text.trim_start_matches('/').strip_prefix("proc/sys/") else { return true };
    let is_initial = |entry: &str| {
        let entry = nslab::kernel::ns::ENTRIES.iter().find(|known| known.name == entry);
        let ns = entry.and_then(|entry| c.k.ns_entry(c.me, entry));
        ns.is_none_or(|ns| c.k.namespaces[ns].common.inum == c.k.namespaces[ns].ops().init_inum)
    };
    match name {
        "kernel/hostname" | "kernel/domainname" => !is_initial("uts"),
        "kernel/pid_max" | "kernel/ns_last_pid" => !is_initial("pid"),
        _ if crate::ipc::is_sysctl(name) => !is_initial("ipc"),
        _ if name.starts_with("net/") => !is_initial("net"),
        _ => name.starts_with("user/") && !is_initial("user"),
    }
}

pub(super) fn encode_ioctl(c: &Context<'_>, fd: i32, request: u32, arg: Option<i64>) -> Option<Encoded> {
    let value = Arg::Value(arg.unwrap_or(0) as u64);
    let (arg, answer) = match request {
        NS_GET_OWNER_UID => (OUT_ARG, Answer::Word),
        NS_GET_MNTNS_ID | NS_GET_ID => (OUT_ARG, Answer::Unlike),
        NS_MNT_GET_INFO => (OUT_ARG, Answer::Unlike),
        // They walk the mount namespaces of the whole machine.
        NS_MNT_GET_NEXT | NS_MNT_GET_PREV => return None,
        // These have raw numbers.
        NS_GET_PID_FROM_PIDNS | NS_GET_TGID_FROM_PIDNS => {
            let ns = c.numbers.namespace_at(c.k, c.me, fd);
            (int(c.numbers.raw_in(c.k, ns, arg? as i32)), Answer::RawPid)
        }
        NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS => {
            let ns = c.numbers.namespace_at(c.k, c.me, fd);
            let own = Some(c.k.task_active_pid_ns(c.me));
            // A number of the initial namespace would be another one there.
            if ns == Some(c.k.init.pid_ns) {
                return None;
            }
            (int(c.numbers.raw_in(c.k, own, arg? as i32)), Answer::Number)
        }
        _ => (value, Answer::Number),
    };
    Some((Job::Call(call(libc::SYS_ioctl, &[int(fd), Arg::Value(u64::from(request)), arg])), answer))
}
