//! reboot(2) inside a pid namespace (`reboot_pid_ns` in `kernel/pid_namespace.c`).

use super::{Outcome, RebootCommand, Return};
use crate::bail;
use crate::kernel::capability::Cap;
use crate::kernel::signal::{SIGHUP, SIGINT, SIGKILL, Sender};
use crate::kernel::work::Work;
use crate::kernel::{Current, Kernel};

const LINUX_REBOOT_MAGIC1: u32 = 0xfee1_dead;
/// 672274793 and the birthdays of Linus Torvalds' daughters.
const LINUX_REBOOT_MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];

/// Kills the init of the caller's pid namespace with the signal that stands for the command, and ends the calling thread
/// with code 0, which it does before the death of the init reaches it.
///
/// # Errors
/// EPERM without CAP_SYS_BOOT over the owner of the pid namespace; EINVAL: wrong magic, or a command that a pid namespace
/// does not have; EPERM for the initial pid namespace, since a lab does not end.
pub fn sys_reboot(k: &mut Kernel, me: Current, command: RebootCommand, magic: Option<(u32, u32)>) -> Outcome {
    let ns = k.task_active_pid_ns(*me);
    let owner = k.owner_of(ns);
    if !k.ns_capable(*me, owner, Cap::SYS_BOOT) {
        bail!(EPERM, "CAP_SYS_BOOT missing in {}, owner of {}", k.ns_arg(owner), k.ns_arg(ns));
    }
    if let Some((first, second)) = magic
        && (first != LINUX_REBOOT_MAGIC1 || !LINUX_REBOOT_MAGIC2.contains(&second))
    {
        bail!(EINVAL, "{} and {} are not the magic numbers of reboot", first, second);
    }
    if ns == k.init.pid_ns {
        bail!(EPERM, "the initial pid namespace of a lab does not reboot");
    }
    let status = match command {
        RebootCommand::Restart | RebootCommand::Restart2 => SIGHUP,
        RebootCommand::Halt | RebootCommand::PowerOff => SIGINT,
        RebootCommand::CadOn => bail!(EINVAL, "a pid namespace has no Ctrl-Alt-Del"),
    };
    k.namespaces[ns].reboot = status;
    k.work.push_back(Work::Exit(*me, 0));
    if let Some(init) = k.namespaces[ns].child_reaper {
        k.send_signal(Sender::Kernel, init, true, SIGKILL);
    }
    Ok(Return::DONE)
}
