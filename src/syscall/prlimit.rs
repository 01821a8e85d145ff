//! prlimit(2) of the caller's own limits (`do_prlimit` in `kernel/sys.c`).

use std::sync::Arc;

use crate::bail;
use crate::kernel::capability::Cap;
use crate::kernel::signal::{Rlimit, Rlimits};
use crate::kernel::{Current, Kernel};
use crate::syscall::{Outcome, Resource, Return};

/// The highest RLIMIT_NOFILE (`/proc/sys/fs/nr_open`), descriptors.
const NR_OPEN: u64 = 1 << 20;

/// prlimit(2); without `hard` the hard limit stays.
///
/// # Errors
/// EINVAL: soft above hard; EPERM: nofile above 1048576, or a higher hard limit without CAP_SYS_RESOURCE in the initial
/// user namespace.
pub fn sys_prlimit(k: &mut Kernel, task: Current, resource: Resource, soft: u64, hard: Option<u64>) -> Outcome {
    let signal = k.tasks[*task].signal;
    let limits = &mut k.signals[signal].rlimits;
    let old = *limit_of(&mut Rlimits::clone(limits), resource);
    let new = Rlimit { soft, hard: hard.unwrap_or(old.hard) };
    if new.soft > new.hard {
        bail!(EINVAL, "soft limit {} is above the hard limit {}", new.soft, new.hard);
    }
    if resource == Resource::Nofile && new.hard > NR_OPEN {
        bail!(EPERM, "hard limit {} is above nr_open {}", new.hard, NR_OPEN);
    }
    if new.hard > old.hard && !k.ns_capable(*task, k.init.user_ns, Cap::SYS_RESOURCE) {
        bail!(EPERM, "CAP_SYS_RESOURCE missing in {}, to raise a hard limit", k.ns_arg(k.init.user_ns));
    }
    *limit_of(Arc::make_mut(&mut k.signals[signal].rlimits), resource) = new;
    Ok(Return::DONE)
}

fn limit_of(limits: &mut Rlimits, resource: Resource) -> &mut Rlimit {
    match resource {
        Resource::Nproc => &mut limits.nproc,
        Resource::Msgqueue => &mut limits.msgqueue,
        Resource::Nofile => &mut limits.nofile,
    }
}
