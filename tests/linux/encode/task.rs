//! Tasks, their namespaces and names.

use nslab::kernel::cred::GLOBAL_ROOT_UID;
use nslab::kernel::file::{O_RDONLY, OpenFlags};
use nslab::syscall::lab::Target;
use nslab::syscall::{CloneArgs, CloneFlags, RebootCommand};

use crate::machine::NPROC;

use super::*;

/// A new user namespace in which RLIMIT_NPROC would bound all processes of root from then on: the machine has other ones.
fn limits_root(c: &Context<'_>, flags: u64) -> bool {
    let cred = c.k.cred_of(c.me);
    CloneFlags::from_bits_retain(flags).contains(CloneFlags::NEWUSER)
        && cred.user_ns.id() == c.k.init.user_ns
        && cred.ids.euid == GLOBAL_ROOT_UID
        && cred.ids.uid != GLOBAL_ROOT_UID
        && c.k.signal_of(c.me).rlimits.nproc.soft < NPROC
}

pub(super) fn encode_clone(c: &Context<'_>, args: &CloneArgs) -> Option<Encoded> {
    if limits_root(c, args.flags) {
        return None;
    }
    let mut flags = CloneFlags::from_bits_retain(args.flags);
    // The parent of a vfork waits for its child, which would wait for its controller.
    flags.remove(CloneFlags::VFORK);
    let is_other_file = |fd| c.k.file_at(c.me, fd).is_some() && !cgroup::is_directory(c.k, c.me, fd);
    let is_impossible = |fd: &i32| is_other_file(*fd) || cgroup::is_fatal(c.k, c.me, *fd);
    if flags.contains(CloneFlags::INTO_CGROUP) && args.cgroup.as_ref().is_some_and(is_impossible) {
        return None;
    }
    let is_sibling = flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT);
    let exit_signal = args.exit_signal.unwrap_or(if is_sibling { 0 } else { libc::SIGCHLD as u64 });
    let set_tid = args.set_tid.iter().enumerate();
    let set_tid =
        set_tid.map(|(level, &tid)| c.numbers.asked(c.k, c.me, args, level, tid)).collect::<Option<Vec<i32>>>()?;
    let cgroup = args.cgroup.map_or(u64::from(u32::MAX >> 1), |fd| fd as u64);
    let cgroup = if flags.contains(CloneFlags::INTO_CGROUP) { cgroup } else { 0 };
    // Pointers are given only where a flag asks for them; the kernel rejects none of them.
    let pointer = |flag, at| if flags.contains(flag) { SCRATCH + at } else { 0 };
    let pidfd = pointer(CloneFlags::PIDFD, 0);
    let child_tid = pointer(CloneFlags::CHILD_SETTID, 8) | pointer(CloneFlags::CHILD_CLEARTID, 8);
    let parent_tid = pointer(CloneFlags::PARENT_SETTID, 16);
    let args = [flags.bits(), pidfd, child_tid, parent_tid, exit_signal, 0, 0, 0, 0, set_tid.len() as u64, cgroup];
    Some((Job::Clone { args, set_tid }, Answer::Pid))
}

pub(super) fn encode_unshare(c: &Context<'_>, flags: u64) -> Option<Encoded> {
    if limits_root(c, flags) { None } else { number(libc::SYS_unshare, &[Arg::Value(flags)]) }
}

/// The program of a worker is linked dynamically: the loader needs descriptors and libraries.
pub(super) fn encode_exec(c: &Context<'_>, comm: &[u8]) -> Option<Encoded> {
    let may_load = c.k.signal_of(c.me).rlimits.nofile.soft > 64 && !c.is_sandboxed;
    may_load.then(|| (Job::Exec { name: comm.to_vec() }, Answer::Number))
}

/// setns with a descriptor that is opened for it and closed again.
pub(super) fn encode_setns_to(c: &Context<'_>, target: &Target, flags: u64) -> Option<Encoded> {
    let open = match target {
        Target::Ns { ns_type, inum } => file::encode_open_ns(c, *ns_type, *inum)?,
        Target::Pidfd(pid) => file::encode_pidfd_open(c, *pid, OpenFlags::empty()),
        Target::Path(path) => file::encode_open(c, path, O_RDONLY, 0)?,
    };
    let opening = match open {
        Job::Hand { nr, entry } => Opening::Handed { nr, entry },
        Job::Call(open) => Opening::Call(open),
        _ => return None,
    };
    let setns = call(libc::SYS_setns, &[Arg::Opened, Arg::Value(flags)]);
    Some((Job::Through(opening, setns), Answer::Number))
}

/// Never in the initial namespace: that is the host's name.
pub(super) fn encode_name(c: &Context<'_>, number: i64, name: &[u8]) -> Option<Encoded> {
    let entry = nslab::kernel::ns::ENTRIES.iter().find(|entry| entry.name == "uts")?;
    let ns = c.k.ns_entry(c.me, entry)?;
    if c.k.namespaces[ns].common.inum == entry.ns_type.ops().init_inum {
        return None;
    }
    let args = [IN_ARG, Arg::Value(name.len() as u64)];
    Some((Job::Call(with_data(number, &args, name.to_vec())), Answer::Number))
}

/// Only in a pid namespace of its own: elsewhere it is the machine that would restart.
pub(super) fn encode_reboot(c: &Context<'_>, command: RebootCommand, magic: Option<(u32, u32)>) -> Option<Encoded> {
    if c.k.task_active_pid_ns(c.me) == c.k.init.pid_ns {
        return None;
    }
    let command: u32 = match command {
        RebootCommand::Restart => 0x0123_4567,
        RebootCommand::Restart2 => 0xa1b2_c3d4,
        RebootCommand::Halt => 0xcdef_0123,
        RebootCommand::PowerOff => 0x4321_fedc,
        RebootCommand::CadOn => 0x89ab_cdef,
    };
    let (first, second) = magic.unwrap_or((0xfee1_dead, 0x2812_1969));
    let words = [first, second, command].map(|word| Arg::Value(u64::from(word)));
    let args = [words[0], words[1], words[2], IN_ARG];
    Some((Job::Call(with_data(libc::SYS_reboot, &args, zero_ended(b"x"))), Answer::Number))
}
