//! prlimit(2) (`do_prlimit` in `kernel/sys.c`).

use std::sync::Arc;

use crate::bail;
use crate::kernel::capability::Cap;
use crate::kernel::signal::{Rlimit, Rlimits};
use crate::kernel::{Current, Kernel};
use crate::syscall::{Outcome, PidArg, Resource, Return};

/// The highest RLIMIT_NOFILE (`/proc/sys/fs/nr_open`), descriptors.
const NR_OPEN: u64 = 1 << 20;

/// prlimit(2) of a process, 0 the caller's own; without `hard` the hard limit stays. It tells what the limit was.
///
/// # Errors
/// ESRCH: no such process; EPERM: another user's; EINVAL: soft above hard; EPERM: nofile above 1048576, or a higher hard
/// limit without CAP_SYS_RESOURCE in the initial user namespace.
pub fn sys_prlimit(
    k: &mut Kernel,
    me: Current,
    pid: PidArg,
    resource: Resource,
    soft: u64,
    hard: Option<u64>,
) -> Outcome {
    let Some(target) = (if pid.number() == 0 { Some(*me) } else { pid.find_task(k, me) }) else {
        bail!(ESRCH, "pid {} does not exist or is not visible", pid.number());
    };
    k.check_prlimit(*me, target)?;
    let signal = k.tasks[target].signal;
    let old = resource.of(&k.signals[signal].rlimits);
    let new = Rlimit { soft, hard: hard.unwrap_or(old.hard) };
    if new.soft > new.hard {
        bail!(EINVAL, "soft limit {} is above the hard limit {}", new.soft, new.hard);
    }
    if resource == Resource::Nofile && new.hard > NR_OPEN {
        bail!(EPERM, "hard limit {} is above nr_open {}", new.hard, NR_OPEN);
    }
    if new.hard > old.hard && !k.ns_capable(*me, k.init.user_ns, Cap::SYS_RESOURCE) {
        bail!(EPERM, "CAP_SYS_RESOURCE missing in {}, to raise a hard limit", k.ns_arg(k.init.user_ns));
    }
    let limits = Arc::make_mut(&mut k.signals[signal].rlimits);
    *resource.of_mut(limits) = new;
    Ok(Return::Rlimit(old))
}

impl Resource {
    /// The limit of this resource.
    pub fn of(self, limits: &Rlimits) -> Rlimit {
        match self {
            Resource::Nproc => limits.nproc,
            Resource::Msgqueue => limits.msgqueue,
            Resource::Nofile => limits.nofile,
        }
    }

    pub(super) fn of_mut(self, limits: &mut Rlimits) -> &mut Rlimit {
        match self {
            Resource::Nproc => &mut limits.nproc,
            Resource::Msgqueue => &mut limits.msgqueue,
            Resource::Nofile => &mut limits.nofile,
        }
    }
}
