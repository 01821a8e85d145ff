//! Layer 1c: what a task may ask, one file per call or family. [`dispatch`] is the only way to change a kernel.

mod cgroup;
mod chown;
pub mod clock;
mod clone;
mod cred;
mod cwd;
mod dispatch;
mod exec;
mod exit;
mod fd;
mod hostname;
mod idmap;
pub mod ioctl;
pub mod ip;
pub mod ipc;
mod kill;
mod kthread;
pub mod lab;
mod memory;
pub mod mount;
pub mod mqueue;
pub mod msg;
mod namei;
mod oom;
mod opentree;
pub mod outcome;
mod path;
mod pid_arg;
mod prctl;
mod prlimit;
pub mod program;
mod ptrace;
mod reboot;
mod recorded;
pub mod sem;
mod session;
mod setid;
mod setns;
pub mod shm;
pub mod socket;
mod sysctl;
mod table;
mod timens;
mod trace;
mod umount;
mod unshare;
mod wait;
mod write;

use bitflags::bitflags;

use crate::kernel::file::OpenFlags;
use crate::kernel::ipc::mqueue::NotifyMethod;
use crate::kernel::ipc::sem::SemOp;
use crate::kernel::ipc::shm::ShmFlags;
use crate::kernel::mount::flags::{MsFlags, UmountFlags};
use crate::kernel::signal::GivenInfo;
pub use dispatch::dispatch;
use ipc::{IpcCtl, IpcFlags, Payload};
pub use lab::{LabCall, Maker};
use mount::{MountArgs, MoveMountFlags};
use mqueue::{MqOpen, QueueFd};
use msg::MsgFlags;
pub use outcome::{Numbers, Outcome, Return, Stop, WaitFor};
pub use pid_arg::PidArg;
pub use recorded::Become;
use sem::SemCtl;
use shm::ShmCtl;

/// One call of any kind, as [`dispatch`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyCall {
    /// One of the kernel's own: what a program can make by registers.
    Linux(Syscall),
    /// One that only the lab has.
    Lab(LabCall),
    /// One of the kernel's own, made by a real program: where it blocks, the program waits from then on.
    Waiting(Syscall),
    /// Real time has passed. No task makes it.
    Tick { nanos: u64 },
}

impl AnyCall {
    /// The same made by a program, which waits where it blocks.
    #[must_use]
    pub fn by_program(self) -> AnyCall {
        match self {
            AnyCall::Linux(call) | AnyCall::Waiting(call) => AnyCall::Waiting(call),
            AnyCall::Lab(_) | AnyCall::Tick { .. } => self,
        }
    }
}

impl From<Syscall> for AnyCall {
    fn from(call: Syscall) -> AnyCall {
        AnyCall::Linux(call)
    }
}

impl From<LabCall> for AnyCall {
    fn from(call: LabCall) -> AnyCall {
        AnyCall::Lab(call)
    }
}

/// One call of Linux's with its arguments as the task gives them. A variant is one call of the kernel's interface, its row
/// in the table of calls one function; what the C library or a program makes of several calls is a [`LabCall`]. Ids are
/// those of the task's user namespace; `None` among them is -1, "unchanged"; no method of mq_notify is "no more", no flags of mq_getsetattr are "only tell".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syscall {
    Clone(CloneArgs),
    Unshare { flags: u64 },
    Setns { fd: i32, flags: u64 },
    Exec { comm: Vec<u8>, argv: Vec<Vec<u8>> },
    Exit { code: i32 },
    ExitGroup { code: i32 },
    Kill { pid: PidArg, signo: i32 },
    Tkill { tid: PidArg, signo: i32 },
    Tgkill { tgid: PidArg, tid: PidArg, signo: i32 },
    RtSigqueueinfo { tgid: PidArg, signo: i32, info: GivenInfo },
    RtTgsigqueueinfo { tgid: PidArg, tid: PidArg, signo: i32, info: GivenInfo },
    PidfdSendSignal { fd: i32, signo: i32, info: Option<GivenInfo>, flags: u32 },
    Wait { pid: PidArg, options: u32 },
    Waitid { which: WaitidWhich, options: u32 },
    Sigaction { signo: i32, action: Option<SigAction> },
    Sigprocmask { block: bool, signo: i32 },
    Sigwaitinfo { signo: i32 },
    Setsid,
    Setpgid { pid: PidArg, pgid: PidArg },
    Getsid { pid: PidArg },
    Getpgid { pid: PidArg },
    Prctl(Prctl),
    Setuid { uid: Option<u32> },
    Setgid { gid: Option<u32> },
    Setreuid { ruid: Option<u32>, euid: Option<u32> },
    Setregid { rgid: Option<u32>, egid: Option<u32> },
    Setresuid { ruid: Option<u32>, euid: Option<u32>, suid: Option<u32> },
    Setresgid { rgid: Option<u32>, egid: Option<u32>, sgid: Option<u32> },
    Setfsuid { uid: Option<u32> },
    Setfsgid { gid: Option<u32> },
    Setgroups { groups: Vec<u32> },
    Capset { pid: PidArg, effective: Option<u64>, permitted: Option<u64>, inheritable: Option<u64> },
    PtraceSeize { pid: PidArg },
    Reboot { command: RebootCommand, magic: Option<(u32, u32)> },
    Prlimit { pid: PidArg, resource: Resource, soft: u64, hard: Option<u64> },
    Sethostname { name: Vec<u8> },
    Setdomainname { name: Vec<u8> },
    Open { path: Vec<u8>, flags: u32, mode: u16 },
    PidfdOpen { pid: PidArg, flags: OpenFlags },
    Close { fd: i32 },
    Dup { fd: i32 },
    PidfdGetfd { pidfd: i32, fd: i32 },
    Ioctl { fd: i32, request: u32, arg: Option<i64> },
    Mount(MountArgs),
    Umount { path: Vec<u8>, flags: UmountFlags },
    PivotRoot { new_root: Vec<u8>, put_old: Vec<u8> },
    Chroot { path: Vec<u8> },
    Chdir { path: Vec<u8> },
    Fchdir { fd: i32 },
    Getcwd,
    OpenTree { path: Vec<u8> },
    MoveMount { from: Vec<u8>, to: Vec<u8>, flags: MoveMountFlags },
    MountSetattr { path: Vec<u8>, propagation: MsFlags },
    Mkdir { path: Vec<u8>, mode: u16 },
    Rmdir { path: Vec<u8> },
    Unlink { path: Vec<u8> },
    Rename { old: Vec<u8>, new: Vec<u8> },
    Symlink { text: Vec<u8>, path: Vec<u8> },
    Chown { path: Vec<u8>, uid: Option<u32>, gid: Option<u32> },
    Msgget { key: i32, flags: IpcFlags },
    Msgsnd { id: i32, mtype: i64, text: Payload, flags: MsgFlags },
    Msgrcv { id: i32, mtype: i64, size: i64, flags: MsgFlags },
    Msgctl { id: i32, op: IpcCtl },
    Semget { key: i32, nsems: i32, flags: IpcFlags },
    Semop { id: i32, ops: Vec<SemOp> },
    Semctl { id: i32, op: SemCtl },
    Shmget { key: i32, size: u64, flags: IpcFlags },
    Shmat { id: i32, addr: u64, flags: ShmFlags },
    Shmdt { addr: u64 },
    Shmctl { id: i32, op: ShmCtl },
    MqOpen(MqOpen),
    MqUnlink { name: Vec<u8> },
    MqSend { fd: QueueFd, prio: u32, text: Payload },
    MqReceive { fd: QueueFd, size: i64 },
    MqNotify { fd: QueueFd, method: Option<NotifyMethod> },
    MqGetsetattr { fd: QueueFd, flags: Option<i64> },
    ClockGettime { clock: i32 },
    Readlink { path: Vec<u8> },
    Stat { path: Vec<u8> },
    Lstat { path: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CloneArgs {
    pub flags: u64,
    /// Innermost level first.
    pub set_tid: Vec<i64>,
    /// `None`: SIGCHLD, or none with CLONE_THREAD or CLONE_PARENT.
    pub exit_signal: Option<u64>,
    /// Descriptor of a cgroup, for CLONE_INTO_CGROUP.
    pub cgroup: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitidWhich {
    All,
    Pid(PidArg),
    Pgid(PidArg),
    Pidfd(i32),
    /// An idtype waitid does not know.
    Unknown(i32),
}

/// Options of wait4 and waitid (`include/uapi/linux/wait.h`).
pub const WNOHANG: u32 = 1;
pub const WUNTRACED: u32 = 2;
pub const WEXITED: u32 = 4;
pub const WCONTINUED: u32 = 8;
pub const WNOWAIT: u32 = 0x0100_0000;
pub const WNOTHREAD: u32 = 0x2000_0000;
pub const WALL: u32 = 0x4000_0000;
pub const WCLONE: u32 = 0x8000_0000;

/// Flags of pidfd_send_signal (`include/uapi/linux/pidfd.h`).
pub const PIDFD_SIGNAL_THREAD: u32 = 1;
pub const PIDFD_SIGNAL_THREAD_GROUP: u32 = 2;
pub const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigAction {
    Ignore,
    Default,
    Handler,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prctl {
    SetName(Vec<u8>),
    SetChildSubreaper(u64),
    SetNoNewPrivs(u64),
    SetKeepcaps(u64),
    SetDumpable(u64),
    GetDumpable,
    SetSecurebits(u64),
    GetSecurebits,
    CapbsetDrop(u64),
    CapbsetRead(u64),
    CapAmbientRaise(u64),
    CapAmbientLower(u64),
    CapAmbientClearAll,
    SetPdeathsig(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebootCommand {
    Restart,
    Restart2,
    Halt,
    PowerOff,
    CadOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Nproc,
    Msgqueue,
    Nofile,
}

bitflags! {
    /// Flags of clone, clone3 and unshare.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct CloneFlags: u64 {
        const NEWTIME = 0x80;
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PIDFD = 0x1000;
        const PTRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEWNS = 0x2_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const SYSVSEM = 0x4_0000;
        const SETTLS = 0x8_0000;
        const PARENT_SETTID = 0x10_0000;
        const CHILD_CLEARTID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SETTID = 0x100_0000;
        const IO = 0x8000_0000;
        const CLEAR_SIGHAND = 1 << 32;
        const INTO_CGROUP = 1 << 33;
        const _ = !0;
    }
}
