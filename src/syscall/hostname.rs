//! sethostname(2), setdomainname(2) and the sysctls of the same names (`kernel/sys.c`, `kernel/utsname_sysctl.c`).

use super::write::{Writing, Written};
use super::{Outcome, Return};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::ns::UtsName;
use crate::kernel::ns::uts::UTS_LEN;
use crate::kernel::{Current, Kernel, TaskId, UtsNsId};

/// sethostname(2): any bytes.
///
/// # Errors
/// EPERM: no CAP_SYS_ADMIN over the owner of the namespace; EINVAL: longer than 64 bytes.
pub fn sys_sethostname(k: &mut Kernel, task: Current, name: &[u8]) -> Outcome {
    set_name(k, task, UtsName::Node, name)
}

/// setdomainname(2): any bytes.
///
/// # Errors
/// As [`sys_sethostname`].
pub fn sys_setdomainname(k: &mut Kernel, task: Current, name: &[u8]) -> Outcome {
    set_name(k, task, UtsName::Domain, name)
}

fn set_name(k: &mut Kernel, task: Current, which: UtsName, name: &[u8]) -> Outcome {
    let ns = current(k, *task)?;
    let owner = k.owner_of(ns);
    if !k.ns_capable(*task, owner, Cap::SYS_ADMIN) {
        bail!(EPERM, "CAP_SYS_ADMIN missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(ns));
    }
    if name.len() > UTS_LEN {
        bail!(EINVAL, "{} bytes, at most {} are possible", name.len(), UTS_LEN);
    }
    *k.namespaces[ns].name(which) = name.to_vec();
    k.uts_events.note(which);
    Ok(Return::DONE)
}

/// A write to the sysctl file of a name, in the writer's namespace of this moment: text up to a newline or NUL, cut at 64
/// bytes, put at the file position. A position behind the end is taken and ignored (`_proc_do_string`).
///
/// # Errors
/// ESRCH: the writer is dead.
pub fn write_name(k: &mut Kernel, which: UtsName, w: &Writing) -> Result<Written> {
    let ns = current(k, w.task)?;
    k.uts_events.note(which);
    let name = k.namespaces[ns].name(which);
    let length = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    let Some(start) = usize::try_from(w.pos).ok().filter(|&pos| pos <= length && !w.bytes.is_empty()) else {
        return Ok(Written::in_place(w.bytes.len()));
    };
    let text = w.bytes.split(|&b| b == 0 || b == b'\n').next().unwrap_or_default();
    name.truncate(start);
    name.extend(text.iter().take(UTS_LEN - start));
    Ok(Written::advancing(w.bytes.len()))
}

fn current(k: &Kernel, task: TaskId) -> Result<UtsNsId> {
    match k.nsproxy_of(task) {
        Some(nsproxy) => Ok(nsproxy.uts_ns()),
        None => bail!(ESRCH, "the task is dead and has no namespaces"),
    }
}
