//! A simulated Linux namespace kernel. Reference behaviour: Linux 6.18.
//!
//! nslab simulates the part of Linux that decides who shares what: tasks, credentials, `nsproxy` and the eight kinds of
//! namespace. A lab is one such kernel. Nothing on the host changes, no privilege is needed, and the same calls give the same
//! numbers on every run.
//!
//! # A lab in five lines
//!
//! A script makes tasks and gives names to them. Then read files by their paths, as on Linux, and make calls:
//!
//! ```
//! use nslab::Lab;
//!
//! let mut lab = Lab::headless("WEB = 1 clone newpid newnet")?;
//! let web = lab.pid("WEB").expect("the script has made it");
//! assert!(lab.read(format!("proc/{web}/status"))?.contains("NSpid:\t2\t1\n"));
//! lab.call(web, "setuid 1000")?;
//! let refused = lab.call(web, "unshare ipc").unwrap_err();
//! assert_eq!(refused.to_string(), "EPERM: CAP_SYS_ADMIN missing in user:[4026531837], which would own the new namespaces");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A call has Linux's errno when it fails, and a reason besides. All calls, each with an example, are in `docs/verbs.md`.
//!
//! # What is there to read
//!
//! | path | what |
//! |---|---|
//! | `proc/<pid>/…` | what Linux shows: `status`, `ns/`, `uid_map`, `mountinfo` … |
//! | `kernel/…` | what Linux hides: a struct is a directory, a pointer a symbolic link, a field a file |
//! | `as/<pid>/…` | `proc/`, `root/`, `cgroup/` and `mqueue/` as that task sees them |
//!
//! ```
//! use nslab::{Kernel, Pid};
//!
//! let mut kernel = Kernel::boot();
//! let child = kernel.spawn(Pid::INIT, "newipc")?;
//! // One nsproxy holds the child's IPC namespace.
//! assert_eq!(kernel.read(format!("kernel/task/{child}/nsproxy/ipc_ns/count"))?, "1\n");
//! assert_eq!(kernel.read(format!("as/{child}/proc/self/comm"))?, "init\n");
//! assert_eq!(kernel.list("proc/1/ns")?.len(), 10);
//! # Ok::<(), nslab::Error>(())
//! ```
//!
//! # Your program under test
//!
//! A program that reads `/proc` needs a directory. With the feature `testing`, [`testing::Lab`] mounts a lab for the life of a
//! value:
//!
#![cfg_attr(feature = "testing", doc = "```no_run")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use nslab::testing::Lab;
//!
//! let lab = Lab::boot("WEB = 1 clone newpid newnet")?;
//! let procfs = lab.at("proc"); // the program under test gets this for /proc
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | what | without it |
//! |---|---|---|
//! | `fuse` | labs can be mounted, and programs run in them: [`fuse`], [`exec`] | no fuser and no netlink |
//! | `testing` | mounted labs for tests: [`testing`] | |
//! | `cli` | the command `nslab` and recordings of machines: [`record`] | no clap, no tables for terminals |
//!
//! All are on by default. A project that only tests with labs writes
//! `nslab = { version = "0.1", default-features = false, features = ["testing"] }`.
//!
//! # Layers
//!
//! Uses go only down. `ARCHITECTURE.md` says what each module does.
//!
//! | layer | modules | what |
//! |---|---|---|
//! | L5 | `cli` | the command |
//! | L4 | [`fuse`], [`exec`], [`testing`], `view` | the mount; programs as tasks; mounted labs for tests; the live page |
//! | L3 | [`headless`], [`host`], [`lab`], [`script`], [`journal`], [`record`] | labs without a mount; the lab that threads share; the whole file tree; the `.lab` language; what was done; recordings |
//! | L2 | [`control`], [`abi`] | text, or registers and memory of a program, to [`syscall::AnyCall`] |
//! | L1c | [`syscall`] | what a task may ask |
//! | L1b | [`tree`] | the lab's files, read-only over the kernel |
//! | L1a | [`kernel`] | the simulated kernel's objects |
//! | L0 | [`errno`] | errors with reasons |

pub mod abi;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod control;
pub mod errno;
#[cfg(feature = "fuse")]
pub mod exec;
#[cfg(feature = "fuse")]
pub mod fuse;
pub mod headless;
pub mod host;
pub mod journal;
pub mod kernel;
pub mod lab;
#[cfg(feature = "record")]
pub mod record;
pub mod script;
pub mod syscall;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tree;
#[cfg(feature = "cli")]
pub mod view;

pub use errno::{Errno, Error};
pub use headless::{Lab, Pid};
pub use kernel::Kernel;
