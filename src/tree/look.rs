//! Who looks at a file, and what follows from that: numbers, ids and rights.

use super::family::{Family, Files};
use super::open::{Access, check_sysctl_use};
use super::{Eyes, root};
use crate::bail;
use crate::errno::{Errno, Error, Result};
use crate::kernel::cred::{Kgid, Kuid, OVERFLOW_ID};
use crate::kernel::file::{About, Bound};
use crate::kernel::mount::options::{HidePid, ProcOptions};
use crate::kernel::node::{Node, Place, View};
use crate::kernel::ns::{NsKind, UserNamespace};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::ptrace::PtraceMode;
use crate::kernel::table::Id;
use crate::kernel::{Kernel, MountId, NetNsId, NsId, PidNsId, TaskId, UserNsId};

/// One look at a file.
#[derive(Clone, Copy)]
pub(crate) struct Look<'k> {
    pub k: &'k Kernel,
    /// The files that are looked at.
    pub files: &'static Files,
    /// `current`: the task whose namespaces and rights count at the moment of the read.
    pub reader: TaskId,
    /// The opener's user namespace (`seq_user_ns`): ids are shown as it maps them.
    pub user_ns: UserNsId,
    /// The pid namespace of this instance of `proc`: numbers are those of this namespace.
    pub pid_ns: PidNsId,
    /// The namespace the file is about since it was opened, see [`super::bind`].
    pub bound: Option<NsId>,
    /// The mount it goes through, in the file tree of some task.
    pub mount: Option<MountId>,
    /// The pid namespace the opener was in, where the file keeps it (`sysvipc`), else the reader's.
    pub opener_pid_ns: PidNsId,
}

impl<'k> Look<'k> {
    /// Of a viewer that opens the file only now.
    ///
    /// # Errors
    /// ESRCH: the viewer is gone.
    pub fn now(k: &'k Kernel, eyes: impl Into<Eyes>, node: Node) -> Result<Look<'k>> {
        let Eyes { task: viewer, files } = eyes.into();
        let (reader, pid_ns) = match node.view {
            View::Caller => (viewer, k.init.pid_ns),
            View::As(task) | View::Attached(task) => (task, live_active_pid_ns(k, task)?),
            View::PidNs(ns) => (viewer, ns),
            View::Mount { mount, viewer: by } => (by.unwrap_or(viewer), root::pid_ns(k, mount)),
        };
        let opener_pid_ns = live_active_pid_ns(k, reader)?;
        let user_ns = k.cred_of(reader).user_ns.id();
        let mount = node.path().map(|path| path.mount);
        let look = Look { k, files, reader, user_ns, pid_ns, bound: None, opener_pid_ns, mount };
        Ok(look.at(node.place))
    }

    /// The same look at another file that is seen in the same way.
    pub fn at(self, place: Place) -> Look<'k> {
        let look = Look { bound: None, ..self };
        Look { bound: look.ask(place, |file| file.about(&look)).ns(), ..look }
    }

    /// Those who look now, whoever opened the file.
    pub fn eyes(&self) -> Eyes {
        Eyes { task: self.reader, files: self.files }
    }

    /// The number of a file, see [`Files::ino`].
    pub fn ino(&self, place: Place) -> u64 {
        self.files.ino(self.k, place)
    }

    /// Asks the family that a file is of.
    pub fn ask<R>(&self, place: Place, question: impl FnOnce(&dyn Family) -> R) -> R {
        self.files.ask(place, question)
    }

    /// Of a task that reads a file opened before, perhaps by another task.
    ///
    /// # Errors
    /// ENOENT: a sysctl whose namespace is gone; ESRCH: another namespace the file is about is gone, or the viewer; EPERM:
    /// a sysctl that the task may not read.
    pub fn opened(k: &'k Kernel, eyes: impl Into<Eyes>, file: &Bound) -> Result<Look<'k>> {
        let mut look = Look::now(k, eyes, file.node)?;
        let is_gone = |ns: NsId| !k.namespaces.contains(ns);
        match file.about {
            About::Table(ns) if is_gone(ns) => bail!(ENOENT, "the sysctl went with its namespace"),
            about if about.ns().is_some_and(is_gone) => bail!(ESRCH, "the namespace this file is about is gone"),
            About::SysvIpc { pid_ns, .. } if is_gone(pid_ns.any()) => {
                bail!(ESRCH, "the opener's pid namespace is gone")
            }
            About::SysvIpc { pid_ns, .. } => look.opener_pid_ns = pid_ns,
            About::Itself | About::Ns(_) | About::Table(_) | About::Mounts { .. } => {}
        }
        if is_gone(file.opener.user_ns.any()) {
            bail!(ESRCH, "the opener's user namespace is gone");
        }
        look.user_ns = file.opener.user_ns;
        look.bound = file.about.ns();
        check_sysctl_use(&look, file.node, Access::READ)?;
        Ok(look)
    }

    /// The same look at a file of another mount, whose numbers may be others.
    pub fn through(&self, mount: MountId) -> Look<'k> {
        Look { pid_ns: root::pid_ns(self.k, mount), mount: Some(mount), ..*self }
    }

    /// The task's number in this view, 0 if it is outside.
    pub fn nr(&self, task: TaskId) -> i32 {
        self.k.named_nr(task, self.pid_ns)
    }

    /// What the file was bound to, as a namespace of the kind it is about.
    pub fn bound_to<S: NsKind>(&self) -> Option<Id<S>> {
        self.bound.and_then(|ns| self.k.namespaces.typed(ns))
    }

    /// The network namespace the file is about, or the reader's; `None` of a zombie.
    pub fn net_ns(&self) -> Option<NetNsId> {
        self.bound_to().or_else(|| self.k.nsproxy_of(self.reader).map(NsProxy::net_ns))
    }

    /// The task's number in the pid namespace of the reader, whatever the view; 0 if it is outside (`task_pid_vnr`).
    pub fn own_nr(&self, task: TaskId) -> i32 {
        self.k.task_nr_ns(task, self.k.task_active_pid_ns(self.reader))
    }

    /// The number of the task's process in this view, 0 if it is outside.
    pub fn tgid(&self, task: TaskId) -> i32 {
        self.k.named_tgid(task, self.pid_ns)
    }

    /// The task, thread or not, that a name of this view's `proc` means.
    pub fn find(&self, name: &[u8]) -> Option<TaskId> {
        let nr = parse_number(name)?;
        let pid = self.k.namespaces.state(self.pid_ns)?.idr.get(nr)?;
        self.k.pids[pid].attached.task
    }

    /// Whether this mount of `proc` hides a task from the reader, if it hides that much (`has_pid_permissions`).
    pub fn hides(&self, task: TaskId, least: HidePid) -> bool {
        let options = self.hide_pid();
        let is_refused = || self.k.ptrace_may_access(self.reader, task, PtraceMode::ReadFsCreds).is_err();
        match options.hide_pid {
            HidePid::NotPtraceable => is_refused(),
            hide_pid if hide_pid < least => false,
            _ => !self.k.cred_of(self.reader).is_in_group(Kgid(options.gid)) && is_refused(),
        }
    }

    /// What the mount that is looked through hides.
    pub fn hide_pid(&self) -> ProcOptions {
        let sb = self.mount.filter(|mount| self.k.vfs.mounts.contains(*mount)).map(|mount| self.k.vfs.sb_of(mount));
        sb.map(|sb| self.k.vfs.sbs[sb].options.proc).unwrap_or_default()
    }

    /// A user id as the opener's user namespace has it (`from_kuid_munged`).
    pub fn uid(&self, kuid: Kuid) -> u32 {
        self.opener_ns().from_kuid(kuid).unwrap_or(OVERFLOW_ID)
    }

    /// A group id as the opener's user namespace has it (`from_kgid_munged`).
    pub fn gid(&self, kgid: Kgid) -> u32 {
        self.opener_ns().from_kgid(kgid).unwrap_or(OVERFLOW_ID)
    }

    fn opener_ns(&self) -> &UserNamespace {
        &self.k.namespaces[self.user_ns]
    }

    /// Whether the reader may look into `target` as procfs asks it.
    ///
    /// # Errors
    /// EACCES
    pub fn check_ptrace(&self, target: TaskId) -> Result<()> {
        self.k
            .ptrace_may_access(self.reader, target, PtraceMode::ReadFsCreds)
            .map_err(|refusal| Error { errno: Errno::EACCES, ..refusal })
    }
}

fn live_active_pid_ns(k: &Kernel, task: TaskId) -> Result<PidNsId> {
    if !k.tasks.contains(task) {
        bail!(ESRCH, "the task that looks is gone");
    }
    Ok(k.task_active_pid_ns(task))
}

/// A decimal number as procfs takes it for a name: no sign, no leading zero (`name_to_int`).
pub(crate) fn parse_number<N: std::str::FromStr>(name: &[u8]) -> Option<N> {
    let canonical = name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || name.first() != Some(&b'0'));
    std::str::from_utf8(name).ok().filter(|_| canonical)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tasks_are_canonical_numbers() {
        assert_eq!(parse_number::<i32>(b"42"), Some(42));
        assert_eq!(parse_number::<i32>(b"0"), Some(0));
        for name in [&b""[..], b"007", b"+1", b"-1", b"1x", b"4294967296"] {
            assert_eq!(parse_number::<i32>(name), None, "{name:?}");
        }
    }
}
