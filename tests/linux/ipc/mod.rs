//! Random programs about what IPC and time namespaces hold.

pub mod clock;
pub mod decode;
pub mod encode;
pub mod observe;
pub mod planted;
mod queues;

use nslab::kernel::{Kernel, TaskId};

use crate::area::{Area, PLAIN};
use crate::program::{self, ipc::SYSCTLS};

pub const AREA: Area = Area {
    name: "ipc",
    length: 120,
    // Nothing is ever done in the initial IPC namespace, which is the host's.
    prelude: &[(1, "clone"), (2, "unshare newipc newuts newtime"), (2, "clone"), (2, "clone newuser newipc")],
    step: program::ipc::step,
    observe: observe::observe,
    ..PLAIN
};

/// Whether what the task does to IPC objects stays in a namespace of its own.
pub fn is_private(k: &Kernel, task: TaskId) -> bool {
    k.nsproxy_of(task).is_some_and(|nsproxy| nsproxy.ipc_ns() != k.init_ns())
}

/// Whether a path below `/proc/sys` is one of them.
pub fn is_sysctl(name: &str) -> bool {
    SYSCTLS.contains(&name)
}
