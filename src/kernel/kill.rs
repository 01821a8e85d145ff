//! Who may signal whom, and signals to process groups (`kernel/signal.c`).

use super::capability::Cap;
use super::signal::{SIGCONT, SIGNAL_MAX, Sender};
use super::{Kernel, PidId, TaskId};
use crate::bail;
use crate::errno::Result;

impl Kernel {
    /// May `sender` send `signo` (0: just asking) to `target`? (`check_kill_permission`)
    ///
    /// # Errors
    /// EINVAL: no such signal; EPERM.
    pub fn check_kill(&self, sender: TaskId, target: TaskId, signo: i32) -> Result<()> {
        if !(0..=SIGNAL_MAX).contains(&signo) {
            bail!(EINVAL, "{} is no signal: 0 to {}", signo, SIGNAL_MAX);
        }
        if self.is_same_thread_group(sender, target) {
            return Ok(());
        }
        let (cred, other) = (self.cred_of(sender).ids, self.cred_of(target));
        let same_user = [cred.euid, cred.uid].iter().any(|&uid| uid == other.ids.suid || uid == other.ids.uid);
        let same_session = || self.signal_of(sender).session.id() == self.signal_of(target).session.id();
        if same_user || self.ns_capable(sender, other.user_ns.id(), Cap::KILL) || signo == SIGCONT && same_session() {
            return Ok(());
        }
        bail!(
            EPERM,
            "uid {}, euid {} are not uid {} or saved uid {} of pid {}, and CAP_KILL is missing in {}",
            cred.uid.0,
            cred.euid.0,
            other.ids.uid.0,
            other.ids.suid.0,
            self.task_nr(target),
            self.ns_arg(other.user_ns.id())
        );
    }

    /// Signals every process of a group that lets the sender (`__kill_pgrp_info`).
    ///
    /// # Errors
    /// ESRCH: no such group; else the refusal, if every member refuses.
    pub(crate) fn kill_pgrp(&mut self, sender: TaskId, pgrp: PidId, signo: i32) -> Result<()> {
        let mut refusal = None;
        let mut reached = false;
        let mut members: Vec<TaskId> = self.pgrp_members(pgrp).collect();
        // The sender runs, and acts on the signal on its way back; the others have to be woken first.
        members.sort_by_key(|&member| self.tasks[member].signal != self.tasks[sender].signal);
        for member in members {
            match self.kill_task(sender, member, signo) {
                Ok(()) => reached = true,
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(error) if !reached => Err(error),
            None if !reached => bail!(ESRCH, "the process group has no members"),
            _ => Ok(()),
        }
    }

    /// Checks, then sends to the process of `target` (`group_send_sig_info`).
    ///
    /// # Errors
    /// Those of [`Kernel::check_kill`].
    pub(crate) fn kill_task(&mut self, sender: TaskId, target: TaskId, signo: i32) -> Result<()> {
        self.check_kill(sender, target, signo)?;
        if signo != 0 {
            self.send_signal(Sender::Task(sender), target, true, signo);
        }
        Ok(())
    }
}
