//! Random programs about what IPC and time namespaces hold.

pub mod clock;
pub mod decode;
pub mod encode;
pub mod observe;
pub mod planted;
mod queues;
mod steps;

use nslab::kernel::{Kernel, TaskId};

use crate::area::{Area, PLAIN};

pub const AREA: Area = Area {
    name: "ipc",
    length: 120,
    // Nothing is ever done in the initial IPC namespace, which is the host's.
    prelude: &[(1, "clone"), (2, "unshare newipc newuts newtime"), (2, "clone"), (2, "clone newuser newipc")],
    step: steps::step,
    observe: observe::observe,
    ..PLAIN
};

/// Whether what the task does to IPC objects stays in a namespace of its own.
pub fn is_private(k: &Kernel, task: TaskId) -> bool {
    k.nsproxy_of(task).is_some_and(|nsproxy| nsproxy.ipc_ns() != k.init_ns())
}

/// The sysctls of IPC namespaces below `/proc/sys`.
const SYSCTLS: [&str; 17] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/auto_msgmni",
    "kernel/msg_next_id",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shmmax",
    "kernel/shmall",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
    "kernel/shm_next_id",
    "fs/mqueue/queues_max",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/msg_default",
    "fs/mqueue/msgsize_default",
];

/// Whether a path below `/proc/sys` is one of them.
pub fn is_sysctl(name: &str) -> bool {
    SYSCTLS.contains(&name)
}
