//! Calls that Linux does not have: words of the control language that stand for several calls or for a program, and what
//! the programs of the host do in the mount, where the host's kernel has walked the path.

use super::ip::{Ip, PHYSICAL};
use super::mount::MountArgs;
use super::mqueue::MqOpen;
use super::program::Program;
use super::recorded::Become;
use super::socket::SocketName;
use super::{AnyCall, CloneArgs, Outcome, PidArg, Return, namei, write};
use crate::kernel::cgroup::file::CgroupFile;
use crate::kernel::clock::CLOCK_MAX;
use crate::kernel::file::Bound;
use crate::kernel::mount::recorded::RecordedMount;
use crate::kernel::node::{Node, Place, View};
use crate::kernel::ns::NsType;
use crate::kernel::{Current, Kernel};

/// What setns is pointed at in words, besides a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `type:[inum]`: as if handed an open descriptor; no access check.
    Ns { ns_type: NsType, inum: u32 },
    /// A pidfd of the process with this number.
    Pidfd(PidArg),
    /// A path the task opens itself; see [`crate::tree::resolve`].
    Path(Vec<u8>),
}

/// A call that only the lab has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabCall {
    /// open(2), read(2) to the end, close(2).
    Read { path: Vec<u8> },
    /// open(2), getdents(2) to the end, close(2).
    Ls { path: Vec<u8> },
    /// open(2), write(2), close(2).
    Write { path: Vec<u8>, bytes: Vec<u8> },
    /// What touch(1) does.
    Touch { path: Vec<u8> },
    /// What ip(8) does.
    Ip(Ip),
    /// open(2) or pidfd_open(2), setns(2), close(2).
    Setns { target: Target, flags: u64 },
    /// A descriptor of a namespace out of nowhere. Flags are those of open(2).
    OpenNs { ns_type: NsType, inum: u32, flags: u32 },
    /// What is open, opened once more. Flags are those of open(2).
    Reopen { fd: i32, flags: u32 },
    /// mq_open(2) of a program, whose descriptor is a real one. The mode is that of the queue: a umask has been applied.
    MqMake(MqOpen),
    /// What mq_close(3) does: close(2).
    MqClose { fd: i32 },
    /// socket(2), bind(2), listen(2).
    Bind(SocketName),
    /// socket(2), connect(2).
    Connect(SocketName),
    /// Moves the clock of the lab on, in nanoseconds.
    Clock { advance: u64 },
    /// What the kernel does of its own accord (`kthread_create`).
    Kthread { name: Option<Vec<u8>>, idle: bool, set_tid: Option<i64>, start: Option<u64> },
    /// clone3(2), the numbers of the new namespaces and the birth, nanoseconds since boot, given.
    CloneAs { args: CloneArgs, inums: Vec<(NsType, u32)>, start: Option<u64> },
    /// unshare(2), the numbers of the new namespaces given.
    UnshareAs { flags: u64, inums: Vec<(NsType, u32)> },
    /// The task is as one that was seen on another machine.
    Become(Box<Become>),
    /// mount(2) of what was seen on another machine.
    MountAs { args: MountArgs, seen: RecordedMount },
    /// Lets a process of the host see with the eyes of the task.
    Attach { host_pid: u32 },
    /// What becomes of the real process that the task is.
    Program(Program),
    /// mkdir(2) of the host. The mode is that of the directory: a umask has been applied.
    MkdirAt { dir: Node, name: Vec<u8>, mode: u16 },
    /// rmdir(2) of the host.
    RmdirAt { dir: Node, name: Vec<u8> },
    /// pwrite(2) of the host to a file that was opened for it.
    WriteAt { file: Bound, pos: u64, bytes: Vec<u8> },
}

/// Who can make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Anyone,
    /// Whoever serves the lab to the host: it is about a process of the host, by its number, which no kernel knows.
    Server(u32),
    /// A file of the language alone: the call describes a machine rather than asks for something. Why others are refused.
    File(&'static str),
}

impl LabCall {
    pub fn maker(&self) -> Maker {
        match self {
            LabCall::Attach { host_pid } => Maker::Server(*host_pid),
            LabCall::Kthread { .. } => {
                Maker::File("kthread is for files only: the kernel makes its threads when it boots")
            }
            LabCall::CloneAs { .. } => Maker::File("inum= and start= are for files only: the kernel chooses them"),
            LabCall::UnshareAs { .. } => {
                Maker::File("inum= is for files only: the kernel chooses the numbers of namespaces")
            }
            LabCall::MountAs { .. } => {
                Maker::File("dev= is for files only: a mount of this type was seen on another machine")
            }
            LabCall::Ip(Ip::LinkAdd(add)) if add.kind == PHYSICAL => {
                Maker::File("type physical is for files only: hardware is found, not made")
            }
            LabCall::MqMake(_) => Maker::File("real is for files only: a program has opened the queue"),
            LabCall::Become(_) => Maker::File("become is for files only: a task was seen so on another machine"),
            LabCall::Read { .. }
            | LabCall::Ls { .. }
            | LabCall::Write { .. }
            | LabCall::Touch { .. }
            | LabCall::Ip(_)
            | LabCall::Bind(_)
            | LabCall::Connect(_)
            | LabCall::Clock { .. }
            | LabCall::MkdirAt { .. }
            | LabCall::RmdirAt { .. }
            | LabCall::WriteAt { .. }
            | LabCall::Setns { .. }
            | LabCall::OpenNs { .. }
            | LabCall::Reopen { .. }
            | LabCall::MqClose { .. }
            | LabCall::Program(_) => Maker::Anyone,
        }
    }

    /// What is done whether the task runs or not: what is told of its process, and what thaws or kills a cgroup by the files
    /// of the lab's own tree: the host's user does that, and nobody in the lab could thaw its init.
    pub(super) fn needs_no_running(&self) -> bool {
        let LabCall::WriteAt { file, .. } = self else { return matches!(self, LabCall::Program(_)) };
        // Of those who are attached it is no other tree: whoever freezes himself so can thaw himself.
        let is_of_host = match file.node.view {
            View::Caller | View::Attached(_) | View::PidNs(_) | View::Mount { viewer: None, .. } => true,
            View::As(_) | View::Mount { viewer: Some(_), .. } => false,
        };
        is_of_host && matches!(file.node.place, Place::Cgroup(_, Some(CgroupFile::Freeze | CgroupFile::Kill)))
    }
}

impl AnyCall {
    pub fn maker(&self) -> Maker {
        match self {
            AnyCall::Lab(call) => call.maker(),
            AnyCall::Linux(_) | AnyCall::Waiting(_) | AnyCall::Tick { .. } => Maker::Anyone,
        }
    }
}

/// # Errors
/// Those of [`namei::mkdir_at`].
pub(super) fn sys_mkdir_at(k: &mut Kernel, me: Current, dir: Node, name: &[u8], mode: u16) -> Outcome {
    namei::mkdir_at(k, me, dir, name, mode)?;
    Ok(Return::DONE)
}

/// # Errors
/// Those of [`namei::rmdir_at`].
pub(super) fn sys_rmdir_at(k: &mut Kernel, me: Current, dir: Node, name: &[u8]) -> Outcome {
    namei::rmdir_at(k, me, dir, name)?;
    Ok(Return::DONE)
}

/// # Errors
/// Those of [`write::write_open`].
pub(super) fn sys_write_at(k: &mut Kernel, me: Current, file: &Bound, pos: u64, bytes: &[u8]) -> Outcome {
    let written = write::write_open(k, me, file, pos, bytes)?;
    Ok(Return::Num(written as i64))
}

/// Real time goes on; a clock at its end stands still.
pub(super) fn tick(k: &mut Kernel, nanos: u64) -> Return {
    let left = CLOCK_MAX - k.clock.moved();
    k.clock.advance(left.min(nanos));
    Return::DONE
}
