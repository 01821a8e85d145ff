//! What may happen to a call of a program, and why some calls are refused.

use super::decode::{Asked, Decoded};
use crate::errno::{Errno, Result};

/// What happens to a call of a program.
#[derive(Clone, Copy, Debug)]
pub enum Treatment {
    /// The lab answers. The function finds out what is asked.
    Emulated(fn(&Asked<'_>) -> Result<Decoded>),
    /// The real kernel answers, asked about another file: that of the lab.
    Rewritten(Rewrite),
    /// The real kernel answers; numbers of processes change on the way there or back.
    Translated(Translate),
    /// The real kernel answers, and nobody looks.
    Passed,
    /// A program of a lab does not get that.
    Refused { errno: Errno, why: &'static str },
}

/// Which files a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// By paths.
    Paths(&'static [PathAt]),
    /// By the name of a message queue.
    Queue,
    /// A descriptor of a namespace, or of a terminal, which knows process groups: by the request.
    Ioctl,
}

/// Where a path stands among the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathAt {
    /// The argument with the descriptor of the directory it starts from; without one it is the working directory.
    pub dir: Option<usize>,
    pub path: usize,
}

/// Which numbers of processes change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translate {
    /// These arguments; 0 is the caller.
    Pids(&'static [usize]),
    /// The second argument, which is a process, a process group or a user, as the first one says.
    Who,
    /// The result is the caller's own.
    OwnTid,
    /// The result is a `struct statfs`, in the second argument, of the file that the first one is a descriptor of.
    FileSystem,
    /// The result is a path: that of the working directory.
    Directory,
    /// `siginfo_t`, in the second argument once the call is done.
    Siginfo,
    /// Commands of fcntl(2) about the receiver of SIGIO and the holder of a lock.
    Owner,
    /// Options of getsockopt(2) that tell of the peer.
    Peer,
    /// The process that a pidfd is to be of, which may have no real one.
    PidfdOpen,
    /// The process of a pidfd, which the lab has to let the caller look into.
    Pidfd,
    /// The end of a thread: the first thread of a process is a zombie from then on, which the real kernel tells nobody while
    /// there are others.
    Exit,
    /// A `struct sigevent` that names a thread.
    Sigevent,
    /// Families of socket(2) that show the host's network.
    Socket,
    /// Calls about a socket that is one of netlink, or whose messages come with credentials, for those who have such.
    Netlink,
    /// A descriptor that signals are read from.
    Signalfd,
    /// What is read may be signals, for those who have such a descriptor.
    Signals,
    /// Operations of futex(2) that compare the number of a thread; and those that wait until a time, as [`Translate::Clock`].
    Futex,
    /// Times of clocks that time namespaces shift, for those who are in one.
    Clock(Condition),
    /// The first argument is a segment of shared memory, which the real kernel has the memory of.
    Attach,
    /// The argument is where such memory is: the lab hears that it is there no more.
    Detach,
    /// Filters of seccomp(2) with a listener, who may have calls made past the filter of nslab.
    Listener,
}

/// Which of the calls with one number are meant: a filter lets the others pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The argument that decides, of which the lower half counts.
    pub arg: usize,
    /// (mask, value): one of them has to fit.
    pub any: &'static [(u32, u32)],
}

impl Condition {
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        self.any.iter().any(|(mask, value)| args[self.arg] as u32 & mask == *value)
    }
}

const ALL: u32 = u32::MAX;

/// F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, and F_GETLK, which tells who holds a lock.
const OWNER: Condition = Condition { arg: 1, any: &[(ALL, 8), (ALL, 9), (ALL, 15), (ALL, 16), (ALL, 5)] };
/// SO_PEERCRED, SO_PEERPIDFD
const PEER: Condition = Condition { arg: 2, any: &[(ALL, 17), (ALL, 77)] };
/// SO_PASSCRED, SO_PASSPIDFD: options of who wants to have such things with messages.
pub const PASSING: Condition = Condition { arg: 2, any: &[(ALL, 16), (ALL, 76)] };
/// AF_INET, AF_INET6, AF_NETLINK, AF_PACKET
const NETWORK: Condition = Condition { arg: 0, any: &[(ALL, 2), (ALL, 10), (ALL, 16), (ALL, 17)] };
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
const NEW_LISTENER: u32 = 8;
const LISTENER: Condition = Condition { arg: 1, any: &[(NEW_LISTENER, NEW_LISTENER)] };
/// FUTEX_LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2; FUTEX_PRIVATE and CLOCK_REALTIME aside.
const PRIORITY_FUTEX: Condition =
    Condition { arg: 1, any: &[(0x7f, 6), (0x7f, 7), (0x7f, 8), (0x7f, 11), (0x7f, 12), (0x7f, 13)] };
/// FUTEX_WAIT_BITSET, which waits until a time of CLOCK_MONOTONIC, unless FUTEX_CLOCK_REALTIME is set; FUTEX_PRIVATE aside.
const TIMED_FUTEX: Condition = Condition { arg: 1, any: &[(0x17f, 9)] };
/// CLOCK_MONOTONIC, _RAW and _COARSE, CLOCK_BOOTTIME and _ALARM.
const SHIFTED: Condition = Condition { arg: 0, any: &[(ALL, 1), (ALL, 4), (ALL, 6), (ALL, 7), (ALL, 9)] };
/// TIMER_ABSTIME, TFD_TIMER_ABSTIME: until a time.
const ABSOLUTE: Condition = Condition { arg: 1, any: &[(1, 1)] };
/// CLOCK_MONOTONIC, as futex_waitv(2) and futex_wait(2) have it.
const WAITV: Condition = Condition { arg: 4, any: &[(ALL, 1)] };
const WAIT: Condition = Condition { arg: 5, any: &[(ALL, 1)] };
const ALWAYS: Condition = Condition { arg: 0, any: &[(0, 0)] };
/// ioctls of nsfs and of pidfds, by their type, then TIOCGPGRP, TIOCSPGRP, TIOCGSID, FIOSETOWN, SIOCSPGRP, FIOGETOWN,
/// SIOCGPGRP.
const IOCTLS: Condition = Condition {
    arg: 1,
    any: &[
        (0xff00, 0xb700),
        (0xff00, 0xff00),
        (ALL, 0x540f),
        (ALL, 0x5410),
        (ALL, 0x5429),
        (ALL, 0x8901),
        (ALL, 0x8902),
        (ALL, 0x8903),
        (ALL, 0x8904),
    ],
};

/// The resources of prlimit(2) of which the lab has limits: RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_MSGQUEUE.
pub const LIMITS: Condition = Condition { arg: 1, any: &[(ALL, 6), (ALL, 7), (ALL, 12)] };

impl Translate {
    /// Which calls are meant; `None`: all.
    pub fn condition(self) -> Option<Condition> {
        match self {
            Translate::Owner => Some(OWNER),
            Translate::Peer => Some(PEER),
            Translate::Socket => Some(NETWORK),
            Translate::Futex => Some(PRIORITY_FUTEX),
            Translate::Listener => Some(LISTENER),
            Translate::Clock(condition) => Some(condition),
            Translate::Pids(_)
            | Translate::Who
            | Translate::OwnTid
            | Translate::Directory
            | Translate::FileSystem
            | Translate::Siginfo
            | Translate::Pidfd
            | Translate::PidfdOpen
            | Translate::Exit
            | Translate::Sigevent
            | Translate::Attach
            | Translate::Detach
            | Translate::Netlink
            | Translate::Signalfd
            | Translate::Signals => None,
        }
    }

    /// Which calls tell or take a time of a clock that time namespaces shift; `None`: none of them.
    pub fn clock(self) -> Option<Condition> {
        match self {
            Translate::Clock(condition) => Some(condition),
            Translate::Futex => Some(TIMED_FUTEX),
            _ => None,
        }
    }
}

impl Rewrite {
    /// Which calls are meant; `None`: all.
    pub fn condition(self) -> Option<Condition> {
        match self {
            Rewrite::Ioctl => Some(IOCTLS),
            Rewrite::Paths(_) | Rewrite::Queue => None,
        }
    }
}

impl Treatment {
    /// Which calls are meant; `None`: all.
    pub fn condition(self) -> Option<Condition> {
        match self {
            Treatment::Rewritten(rewrite) => rewrite.condition(),
            Treatment::Translated(translate) => translate.condition(),
            Treatment::Emulated(_) | Treatment::Passed | Treatment::Refused { .. } => None,
        }
    }
}

const fn from_cwd(path: usize) -> PathAt {
    PathAt { dir: None, path }
}

const fn from_dir(dir: usize) -> PathAt {
    PathAt { dir: Some(dir), path: dir + 1 }
}

pub(super) const PATH: Rewrite = Rewrite::Paths(&[from_cwd(0)]);
pub(super) const SECOND_PATH: Rewrite = Rewrite::Paths(&[from_cwd(1)]);
pub(super) const TWO_PATHS: Rewrite = Rewrite::Paths(&[from_cwd(0), from_cwd(1)]);
pub(super) const AT: Rewrite = Rewrite::Paths(&[from_dir(0)]);
pub(super) const SECOND_AT: Rewrite = Rewrite::Paths(&[from_dir(1)]);
pub(super) const TWO_ATS: Rewrite = Rewrite::Paths(&[from_dir(0), from_dir(2)]);
pub(super) const FANOTIFY: Rewrite = Rewrite::Paths(&[from_dir(3)]);
pub(super) const FIRST_PID: Translate = Translate::Pids(&[0]);
pub(super) const SHIFTED_CLOCK: Translate = Translate::Clock(SHIFTED);
pub(super) const UNTIL: Translate = Translate::Clock(ABSOLUTE);
pub(super) const WAITV_UNTIL: Translate = Translate::Clock(WAITV);
pub(super) const WAIT_UNTIL: Translate = Translate::Clock(WAIT);
pub(super) const UPTIME: Translate = Translate::Clock(ALWAYS);

pub(super) const fn refused(errno: Errno, why: &'static str) -> Treatment {
    Treatment::Refused { errno, why }
}

// Why calls are refused.
pub(super) const TRACED: &str = "a program of a lab is traced already, by nslab";
pub(super) const IO_URING: &str = "io_uring makes calls that nobody sees";
pub(super) const MACHINE: &str = "it concerns the machine, which is the host's";
pub(super) const CLOCK: &str = "the clock is the host's";
pub(super) const HOST_WIDE: &str = "it reaches beyond the tasks of the lab";
pub(super) const MEMORY: &str = "nslab could not read the memory it makes";
pub(super) const PROBES: &str = "probes are the host's";
pub(super) const FILE_TREES: &str = "file trees are the host's: a lab has no others yet";
pub(super) const MOUNT_API: &str = "a lab has only mount(2) and umount2(2) for programs yet";
pub(super) const MOUNT_LIST: &str = "mounts of the lab are listed by /proc/self/mountinfo";
pub(super) const ROBUST: &str = "the real kernel would compare the host's numbers of threads";
pub(super) const KEYS: &str = "keyrings are the host's";
pub(super) const NEVER: &str = "no Linux for this architecture has it any more";
