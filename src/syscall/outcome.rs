//! What a call gives: a typed [`Return`], or why it stops ([`Stop`]). The words for both are made in [`crate::control`].

use crate::errno::{Errno, Error};
pub use crate::kernel::pid::Numbers;
pub use crate::kernel::signal::{Rlimit, Siginfo};
pub use crate::kernel::waiting::WaitFor;
use crate::syscall::SigAction;
use crate::syscall::ip::{AddressInfo, LinkInfo};
use crate::tree::{FileType, Picture};

/// The outcome of a call: done, blocked or failed.
pub type Outcome<T = Return> = Result<T, Stop>;

/// Why a call is not done.
#[derive(Clone, Debug)]
pub enum Stop {
    /// Linux would put the caller to sleep. Nothing has changed; the call can be made again.
    Blocked {
        on: WaitFor,
        /// What a caller that must not sleep is told.
        why: Error,
    },
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Stop {
    /// What a caller is told that must not sleep.
    pub fn error(&self) -> &Error {
        match self {
            Stop::Blocked { why: error, .. } | Stop::Failed(error) => error,
        }
    }

    pub fn errno(&self) -> Errno {
        self.error().errno
    }
}

/// The result of a call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Return {
    /// A plain number: 0 for done, a count, an identifier, a value.
    Num(i64),
    Fd(i32),
    /// A process, thread, process group or session.
    Pid(Numbers),
    /// Where memory is mapped.
    Address(u64),
    /// What was read: a file, the text of a link, a path.
    Bytes(Vec<u8>),
    /// A picture of the whole lab that was read. It is drawn where its text is asked for, which keeps nobody from the
    /// kernel.
    Picture(Picture),
    /// The names in a directory.
    Names(Vec<String>),
    Stat(Stat),
    /// wait4; `None`: nothing to report yet, and the caller did not want to wait.
    Wait(Option<Waited>),
    /// waitid; `None` as of wait4.
    Waitid(Option<ChildInfo>),
    /// The current action of a signal.
    Sigaction {
        action: SigAction,
        /// How often the handler ran.
        runs: u32,
    },
    /// The signal that was waited for.
    Siginfo(Siginfo),
    /// The limit as it was before.
    Rlimit(Rlimit),
    Time(Time),
    /// A message of a System V queue.
    Message {
        mtype: i64,
        text: Vec<u8>,
    },
    /// A message of a POSIX queue.
    MqMessage {
        prio: u32,
        text: Vec<u8>,
    },
    Mqattr(Mqattr),
    MsgStat(IpcStat, MsqidDs),
    MsgInfo(MsgInfo),
    SemStat(IpcStat, SemidDs),
    SemInfo(SemInfo),
    /// The values of a set.
    SemValues(Vec<i32>),
    ShmStat(IpcStat, ShmidDs),
    ShmInfo(ShmInfo),
    ShmUsage(ShmUsage),
    /// Devices of a network namespace, by ifindex.
    Links(Vec<LinkInfo>),
    Addresses(Vec<AddressInfo>),
    /// The ids that a network namespace has for others.
    Nsids(Vec<i32>),
}

impl Return {
    /// Success that says nothing more.
    pub const DONE: Return = Return::Num(0);
}

/// What stat(2) tells of a file; ids as the caller's user namespace has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub file_type: FileType,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub ino: u64,
}

/// What wait4(2) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    pub pid: Numbers,
    /// The status word.
    pub status: i32,
    pub rusage: Rusage,
}

/// `struct rusage` of a child that wait4(2) or waitid(2) reports. Tasks of a lab run no code: they use no processor, touch
/// no page and read no device, so that all of it is 0 today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rusage {
    /// Nanoseconds of a processor in programs, and in the kernel for them.
    pub utime: u64,
    pub stime: u64,
    /// KiB of memory, at most.
    pub maxrss: u64,
    pub minflt: u64,
    pub majflt: u64,
    pub inblock: u64,
    pub oublock: u64,
    pub nvcsw: u64,
    pub nivcsw: u64,
}

/// What waitid(2) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    pub siginfo: Siginfo,
    pub rusage: Rusage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    pub seconds: u64,
    pub nanoseconds: u32,
}

/// `struct mq_attr`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mqattr {
    pub flags: i64,
    pub maxmsg: i64,
    pub msgsize: i64,
    pub curmsgs: i64,
}

/// What all three stat commands of System V IPC tell: the result, and `struct ipc64_perm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpcStat {
    /// The result of the commands by index: the identifier. IPC_STAT gives 0.
    pub id: Option<i32>,
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u16,
    pub seq: u32,
}

/// `struct msqid64_ds` after its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsqidDs {
    pub stime: u64,
    pub rtime: u64,
    pub ctime: u64,
    pub cbytes: u64,
    pub qnum: u64,
    pub qbytes: u64,
    pub lspid: Numbers,
    pub lrpid: Numbers,
}

/// `struct msginfo`; `max_idx` is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsgInfo {
    pub msgpool: i32,
    pub msgmap: i32,
    pub msgmax: i32,
    pub msgmnb: i32,
    pub msgmni: i32,
    pub msgssz: i32,
    pub msgtql: i32,
    pub msgseg: u16,
    pub max_idx: i32,
}

/// `struct semid64_ds` after its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SemidDs {
    pub otime: u64,
    pub ctime: u64,
    pub nsems: u64,
}

/// `struct seminfo`; `max_idx` is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemInfo {
    pub semmap: i32,
    pub semmni: i32,
    pub semmns: i32,
    pub semmnu: i32,
    pub semmsl: i32,
    pub semopm: i32,
    pub semume: i32,
    pub semusz: i32,
    pub semvmx: i32,
    pub semaem: i32,
    pub max_idx: i32,
}

/// `struct shmid64_ds` after its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShmidDs {
    pub segsz: u64,
    pub atime: u64,
    pub dtime: u64,
    pub ctime: u64,
    pub cpid: Numbers,
    pub lpid: Numbers,
    pub nattch: u64,
}

/// `struct shminfo64`; `max_idx` is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmInfo {
    pub shmmax: u64,
    pub shmmin: u64,
    pub shmmni: u64,
    pub shmseg: u64,
    pub shmall: u64,
    pub max_idx: i32,
}

/// `struct shm_info`; `max_idx` is the result. Nobody ever touches a page: what is not here is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmUsage {
    pub used_ids: i32,
    pub shm_tot: u64,
    pub max_idx: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control;
    use crate::kernel::Kernel;
    use crate::kernel::ipc::msg::Search;
    use crate::kernel::waiting::Wanted;
    use crate::syscall::ipc::Payload;
    use crate::syscall::msg::MsgFlags;
    use crate::syscall::{Syscall, dispatch};

    fn call(k: &mut Kernel, line: &str) -> Outcome {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let call = control::parse_write(control::verb(name).unwrap(), rest.as_bytes()).unwrap();
        let init = k.init.task;
        dispatch(k, init, &call)
    }

    #[test]
    fn what_would_wait_says_for_what() {
        let mut k = Kernel::boot();
        for line in ["clone", "msgget 1 create 600", "semget 1 1 create 600", "mq_open q create maxmsg=1 msgsize=1 600"]
        {
            call(&mut k, line).unwrap();
        }
        let ns = k.nsproxy_of(k.init.task).unwrap().ipc_ns();
        let queue = k.mqueues.iter().map(|(id, _)| id).next().unwrap();
        for (line, expected) in [
            ("wait", WaitFor::Child),
            ("waitid all exited", WaitFor::Child),
            ("msgrcv 0 0", WaitFor::Message { ns, id: 0, search: Search::Any }),
            ("semop 0 0,-1", WaitFor::Semaphore { ns, id: 0, num: 0, value: Wanted::AtLeast(1) }),
            ("mq_receive 0", WaitFor::MqMessage(queue)),
            ("sigwaitinfo SIGUSR1", WaitFor::Signal(10)),
        ] {
            match call(&mut k, line) {
                Err(Stop::Blocked { on, why }) => assert_eq!((on, why.errno), (expected, Errno::EAGAIN), "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        call(&mut k, "mq_send 0 0 x").unwrap();
        let full = call(&mut k, "mq_send 0 0 x");
        assert!(matches!(full, Err(Stop::Blocked { on: WaitFor::MqRoom(at), .. }) if at == queue), "{full:?}");
        call(&mut k, "msgctl 0 set qbytes=1").unwrap();
        let full = call(&mut k, "msgsnd 0 1 xx");
        assert!(matches!(full, Err(Stop::Blocked { on: WaitFor::MessageRoom { .. }, .. })), "{full:?}");
        let text = Payload::Text(b"xx".to_vec());
        let send = Syscall::Msgsnd { id: 0, mtype: 1, text, flags: MsgFlags::NOWAIT }.into();
        let init = k.init.task;
        let full = dispatch(&mut k, init, &send);
        assert!(matches!(&full, Err(Stop::Failed(error)) if error.errno == Errno::EAGAIN), "{full:?}");
    }

    #[test]
    fn who_does_not_want_to_wait_is_told_at_once() {
        let mut k = Kernel::boot();
        for line in ["clone", "msgget 1 create 600", "semget 1 1 create 600", "mq_open q create nonblock 600"] {
            call(&mut k, line).unwrap();
        }
        assert_eq!(call(&mut k, "wait -1 1").unwrap(), Return::Wait(None));
        assert_eq!(call(&mut k, "waitid all exited 1").unwrap(), Return::Waitid(None));
        for (line, errno) in [
            ("msgrcv 0 0 nowait", Errno::ENOMSG),
            ("semop 0 0,-1,nowait", Errno::EAGAIN),
            ("mq_receive 0", Errno::EAGAIN),
        ] {
            let refused = call(&mut k, line);
            assert!(matches!(&refused, Err(Stop::Failed(error)) if error.errno == errno), "{line}: {refused:?}");
        }
    }

    #[test]
    fn a_message_comes_with_its_type_or_priority() {
        let mut k = Kernel::boot();
        for line in ["msgget 1 create 600", "msgsnd 0 7 x", "mq_open q create 600", "mq_send 0 5 y"] {
            call(&mut k, line).unwrap();
        }
        assert_eq!(call(&mut k, "msgrcv 0 0").unwrap(), Return::Message { mtype: 7, text: b"x".to_vec() });
        assert_eq!(call(&mut k, "mq_receive 0").unwrap(), Return::MqMessage { prio: 5, text: b"y".to_vec() });
    }

    #[test]
    fn a_picture_shows_the_moment_of_its_read_whenever_it_is_drawn() {
        let mut k = Kernel::boot();
        call(&mut k, "open kernel/tree").unwrap();
        for path in ["kernel/tree", "fd:0"] {
            let now = control::answer(call(&mut k, "read kernel/tree")).unwrap();
            let read = call(&mut k, &format!("read {path}"));
            assert!(matches!(read, Ok(Return::Picture(_))), "{path}: {read:?}");
            call(&mut k, "clone newnet").unwrap();
            assert_eq!(control::answer(read).unwrap(), now, "{path}");
            assert_ne!(control::answer(call(&mut k, "read kernel/tree")).unwrap(), now, "{path}");
        }
        assert_eq!(call(&mut k, "read fd:0").unwrap(), Return::Bytes(Vec::new()), "it has been read to its end");
    }
}
