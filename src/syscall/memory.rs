//! The memory a lab may take (`--max-memory`), asked before each call that may add to it. Calls that look or take away
//! are always possible.

use super::ip::Ip;
use super::ipc::Payload;
use super::{Become, CloneFlags, MountArgs};
use crate::bail;
use crate::errno::Result;
use crate::kernel::file::Bound;
use crate::kernel::ipc::sem::{Sem, SemOp};
use crate::kernel::memory::MOUNT;
use crate::kernel::mount::recorded::RecordedMount;
use crate::kernel::node::Place;
use crate::kernel::ns::{NS_TABLE, Namespace};
use crate::kernel::signal::SIGKILL;
use crate::kernel::task::Task;
use crate::kernel::{Current, Kernel};

/// An object of the kernel and what refers to it, at most.
pub(super) const OBJECT: usize = 1024;

/// Whether the lab has room for what a call may add.
///
/// # Errors
/// ENOMEM
pub(super) fn check_room(k: &mut Kernel, growth: usize) -> Result<()> {
    if growth > 0 && !k.has_memory_for(growth) {
        bail!(ENOMEM, "the objects of the lab take all of its memory, {} bytes (--max-memory)", k.memory.max);
    }
    Ok(())
}

/// A pending signal; SIGKILL takes away.
pub(super) fn signal(signo: i32) -> usize {
    if signo == SIGKILL { 0 } else { OBJECT }
}

/// Mounts that are attached are counted where it is known how many they are (`Kernel::check_attach`).
pub(super) fn mount(args: &MountArgs) -> usize {
    2 * OBJECT + args.source.as_ref().map_or(0, Vec::len)
}

/// The directories of its root and target may be new.
pub(super) fn mount_as(args: &MountArgs, seen: &RecordedMount) -> usize {
    let dirs = args.target.iter().chain(&seen.root).filter(|byte| **byte == b'/').count();
    mount(args) + OBJECT * dirs + seen.words.iter().map(String::len).sum::<usize>()
}

/// Its root and working directory may be new.
pub(super) fn become_seen(seen: &Become) -> usize {
    let paths = seen.root.iter().chain(&seen.cwd).flatten();
    OBJECT * (1 + paths.filter(|byte| **byte == b'/').count())
}

/// The words of a command.
pub(super) fn exec(comm: &[u8], argv: &[Vec<u8>]) -> usize {
    comm.len() + words(argv)
}

fn words(argv: &[Vec<u8>]) -> usize {
    argv.iter().map(|word| word.len() + OBJECT / 8).sum()
}

pub(super) fn message(text: &Payload) -> usize {
    OBJECT + usize::try_from(text.size()).unwrap_or(0)
}

pub(super) fn semaphores(nsems: i32) -> usize {
    OBJECT + usize::try_from(nsems.min(SEMS_MAX)).unwrap_or(0) * size_of::<Sem>()
}

pub(super) fn operations(ops: &[SemOp]) -> usize {
    OBJECT + 4 * size_of_val(ops)
}

/// Only files of a file tree keep what is written.
pub(super) fn write_at(file: &Bound, bytes: &[u8]) -> usize {
    if matches!(file.node.place, Place::Dentry(_)) { bytes.len() } else { 0 }
}

pub(super) fn ip(call: &Ip) -> usize {
    match call {
        Ip::LinkAdd(_) | Ip::LinkSet(_) | Ip::AltnameAdd { .. } | Ip::AddrAdd(_) | Ip::NetnsSet { .. } => 2 * OBJECT,
        Ip::LinkDel { .. } | Ip::LinkShow { .. } | Ip::AddrDel(_) | Ip::AddrShow { .. } => 0,
        Ip::NetnsGet { .. } | Ip::NetnsListId => 0,
    }
}

/// Semaphores that a set may have at most, whatever `kernel.sem` says (`SEMMSL`).
const SEMS_MAX: i32 = 65_536;

pub(super) fn task(k: &Kernel, me: Current) -> usize {
    let task = &k.tasks[*me];
    let argv = words(&task.argv);
    let attached = k.mm_of(*me).map_or(0, |mm| mm.attachments.len());
    size_of::<Task>() + 3 * OBJECT + argv + OBJECT / 8 * attached + descriptors(k, me)
}

pub(super) fn kthread() -> usize {
    size_of::<Task>() + 3 * OBJECT
}

pub(super) fn descriptors(k: &Kernel, me: Current) -> usize {
    OBJECT / 8 * k.files_of(*me).map_or(0, |files| files.fds.len())
}

pub(super) fn namespaces(k: &Kernel, me: Current, flags: u64) -> usize {
    let kinds = NS_TABLE.iter().filter(|ops| flags & ops.clone_flag != 0).count();
    let copied = if flags & CloneFlags::NEWNS.bits() != 0 { mounts(k, me) } else { 0 };
    kinds * (size_of::<Namespace>() + 2 * OBJECT) + copied
}

/// As many mounts as the caller sees.
pub(super) fn mounts(k: &Kernel, me: Current) -> usize {
    MOUNT * k.mnt_ns_of(*me).map_or(0, |ns| k.vfs.trees[k.tree_of(ns)].mounts.len())
}
