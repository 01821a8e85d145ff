//! The memory a lab may take (`--max-memory`), asked before each call that may add to it. Calls that look or take away
//! are always possible.

use super::ip::Ip;
use super::mqueue::MqCall;
use super::msg::MsgCall;
use super::namei::NameCall;
use super::sem::SemCall;
use super::shm::ShmCall;
use super::{AnyCall, CloneFlags, LabCall, Syscall};
use crate::bail;
use crate::errno::Result;
use crate::kernel::ipc::sem::{Sem, SemOp};
use crate::kernel::memory::MOUNT;
use crate::kernel::node::Place;
use crate::kernel::ns::{NS_TABLE, Namespace};
use crate::kernel::signal::SIGKILL;
use crate::kernel::task::Task;
use crate::kernel::{Kernel, TaskId};

/// An object of the kernel and what refers to it, at most.
const OBJECT: usize = 1024;

/// Whether the lab has room for what a call may add.
///
/// # Errors
/// ENOMEM
pub(super) fn check_room(k: &mut Kernel, me: TaskId, call: &AnyCall) -> Result<()> {
    let growth = match call {
        AnyCall::Linux(call) => growth(k, me, call),
        AnyCall::Lab(call) => lab_growth(call),
        AnyCall::Tick { .. } => 0,
    };
    if growth > 0 && !k.has_memory_for(growth) {
        bail!(ENOMEM, "the objects of the lab take all of its memory, {} bytes (--max-memory)", k.memory.max);
    }
    Ok(())
}

/// Bytes that a call may add, at most, about.
fn growth(k: &Kernel, me: TaskId, call: &Syscall) -> usize {
    match call {
        Syscall::Clone(args) => task_growth(k, me) + namespaces_growth(k, me, args.flags),
        Syscall::Unshare { flags } => namespaces_growth(k, me, *flags) + descriptors(k, me),
        Syscall::Exec { comm, argv } => argv.iter().map(|word| word.len() + OBJECT / 8).sum::<usize>() + comm.len(),
        Syscall::Kill { signo, .. } | Syscall::Tgkill { signo, .. } | Syscall::PidfdSendSignal { signo, .. } => {
            if *signo == SIGKILL {
                0
            } else {
                OBJECT
            }
        }
        Syscall::Setgroups { groups } => 4 * groups.len(),
        Syscall::Open { .. } | Syscall::Dup { .. } | Syscall::PidfdGetfd { .. } | Syscall::Ioctl { .. } => OBJECT,
        // Mounts that are attached are counted where it is known how many they are (`Kernel::check_attach`).
        Syscall::Mount(args) => 2 * OBJECT + args.source.as_ref().map_or(0, Vec::len),
        Syscall::OpenTree { .. } => OBJECT + MOUNT,
        Syscall::MoveMount { .. } | Syscall::PivotRoot { .. } | Syscall::MountSetattr { .. } => OBJECT,
        Syscall::Name(call) => name_growth(call),
        Syscall::Msg(call) => msg_growth(call),
        Syscall::Sem(call) => sem_growth(call),
        Syscall::Shm(ShmCall::Get { .. } | ShmCall::At { .. }) => OBJECT,
        Syscall::Shm(ShmCall::Dt { .. } | ShmCall::Ctl { .. }) => 0,
        Syscall::Mq(call) => mq_growth(call),
        // These look, change what is there, or take away.
        Syscall::Setns { .. }
        | Syscall::Exit { .. }
        | Syscall::ExitGroup { .. }
        | Syscall::Wait { .. }
        | Syscall::Waitid { .. }
        | Syscall::Sigaction { .. }
        | Syscall::Sigprocmask { .. }
        | Syscall::Sigwaitinfo { .. }
        | Syscall::Setsid
        | Syscall::Setpgid { .. }
        | Syscall::Getsid { .. }
        | Syscall::Getpgid { .. }
        | Syscall::Prctl(_)
        | Syscall::Setuid { .. }
        | Syscall::Setgid { .. }
        | Syscall::Setreuid { .. }
        | Syscall::Setregid { .. }
        | Syscall::Setresuid { .. }
        | Syscall::Setresgid { .. }
        | Syscall::Setfsuid { .. }
        | Syscall::Setfsgid { .. }
        | Syscall::Capset { .. }
        | Syscall::PtraceSeize { .. }
        | Syscall::Reboot { .. }
        | Syscall::Prlimit { .. }
        | Syscall::Sethostname { .. }
        | Syscall::Setdomainname { .. }
        | Syscall::Close { .. }
        | Syscall::Umount { .. }
        | Syscall::Chroot { .. }
        | Syscall::Chdir { .. }
        | Syscall::Fchdir { .. }
        | Syscall::Getcwd
        | Syscall::ClockGettime { .. }
        | Syscall::Readlink { .. }
        | Syscall::Stat { .. } => 0,
    }
}

fn name_growth(call: &NameCall) -> usize {
    match call {
        NameCall::Rmdir { .. } | NameCall::Unlink { .. } => 0,
        NameCall::Symlink { text, .. } => OBJECT + text.len(),
        NameCall::Mkdir { .. } | NameCall::Rename { .. } | NameCall::Chown { .. } => OBJECT,
    }
}

fn msg_growth(call: &MsgCall) -> usize {
    match call {
        MsgCall::Get(_) => OBJECT,
        MsgCall::Snd { text, .. } => OBJECT + usize::try_from(text.size()).unwrap_or(0),
        MsgCall::Rcv { .. } | MsgCall::Ctl { .. } => 0,
    }
}

fn sem_growth(call: &SemCall) -> usize {
    match call {
        SemCall::Get { nsems, .. } => OBJECT + usize::try_from((*nsems).min(SEMS_MAX)).unwrap_or(0) * size_of::<Sem>(),
        SemCall::Op { ops, .. } => OBJECT + 4 * size_of::<SemOp>() * ops.len(),
        SemCall::Ctl { .. } => 0,
    }
}

fn mq_growth(call: &MqCall) -> usize {
    match call {
        MqCall::Open(_) | MqCall::Notify { .. } => OBJECT,
        MqCall::Send { text, .. } => OBJECT + usize::try_from(text.size()).unwrap_or(0),
        MqCall::Unlink { .. } | MqCall::Receive { .. } | MqCall::Getsetattr { .. } | MqCall::Close { .. } => 0,
    }
}

/// As [`growth`].
fn lab_growth(call: &LabCall) -> usize {
    match call {
        LabCall::Write { bytes, .. } => bytes.len(),
        LabCall::WriteAt { file, bytes, .. } if matches!(file.node.place, Place::Dentry(_)) => bytes.len(),
        LabCall::Touch { .. } | LabCall::MkdirAt { .. } => OBJECT,
        LabCall::Ip(call) => ip_growth(call),
        LabCall::Bind(_) | LabCall::Connect(_) => 2 * OBJECT,
        LabCall::WriteAt { .. } | LabCall::RmdirAt { .. } => 0,
        LabCall::Read { .. } | LabCall::Ls { .. } | LabCall::Clock { .. } | LabCall::Attach { .. } => 0,
    }
}

fn ip_growth(call: &Ip) -> usize {
    match call {
        Ip::LinkAdd(_) | Ip::LinkSet(_) | Ip::AltnameAdd { .. } | Ip::AddrAdd(_) | Ip::NetnsSet { .. } => 2 * OBJECT,
        Ip::LinkDel { .. } | Ip::LinkShow { .. } | Ip::AddrDel(_) | Ip::AddrShow { .. } => 0,
        Ip::NetnsGet { .. } | Ip::NetnsListId => 0,
    }
}

/// Semaphores that a set may have at most, whatever `kernel.sem` says (`SEMMSL`).
const SEMS_MAX: i32 = 65_536;

fn task_growth(k: &Kernel, me: TaskId) -> usize {
    let task = &k.tasks[me];
    let argv: usize = task.argv.iter().map(|word| word.len() + OBJECT / 8).sum();
    let attached = k.mm_of(me).map_or(0, |mm| mm.attachments.len());
    size_of::<Task>() + 3 * OBJECT + argv + OBJECT / 8 * attached + descriptors(k, me)
}

fn descriptors(k: &Kernel, me: TaskId) -> usize {
    OBJECT / 8 * k.files_of(me).map_or(0, |files| files.fds.len())
}

fn namespaces_growth(k: &Kernel, me: TaskId, flags: u64) -> usize {
    let kinds = NS_TABLE.iter().filter(|ops| flags & ops.clone_flag != 0).count();
    let copied = if flags & CloneFlags::NEWNS.bits() != 0 { MOUNT * mounts(k, me) } else { 0 };
    kinds * (size_of::<Namespace>() + 2 * OBJECT) + copied
}

/// How many mounts the caller sees.
fn mounts(k: &Kernel, me: TaskId) -> usize {
    k.mnt_ns_of(me).map_or(0, |ns| k.vfs.trees[k.tree_of(ns)].mounts.len())
}
