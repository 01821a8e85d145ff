//! Layer 4: host programs as tasks of the lab. The programs are children of this process, traced by one thread of it, the
//! [`Supervisor`]. A filter in each program stops the calls that the lab answers; the supervisor makes of the registers what
//! the lab is asked ([`crate::abi`]), and of the answer registers again.
//!
//! Every host process is a child of the supervisor, whichever process has made it. The lab decides which task waits for which
//! child, is told of a death, or dies with another. What the lab does to a process is an
//! [`Effect`](crate::kernel::program::Effect).

mod agent;
mod birth;
mod block;
mod call;
mod clock;
mod elsewhere;
mod fd;
mod filter;
mod freeze;
mod ipc;
mod message;
mod mqueue;
mod netlink;
mod notice;
mod number;
mod others;
mod path;
mod pidfd;
mod processes;
mod regs;
mod rtnetlink;
mod segment;
mod shape;
mod signal;
mod signalfd;
mod stage;
mod supervisor;
mod sys;
mod telling;
mod there;
mod tracee;
mod tree;
mod tty;
mod vdso;
mod walk;
mod wire;

pub use agent::{Agent, Daemon, Lost};
pub use clock::machine_of_host;
pub use processes::{Here, Processes};
pub use segment::Segments;
pub use stage::{Bell, Child, FAILED, PrivateDir, check_architecture, try_to_trace};
pub use supervisor::{Options, Supervisor};
pub use sys::{fork, kill, set_action};
pub use there::listen;
