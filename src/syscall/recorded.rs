//! What a file of lines that describes a machine can ask for besides what Linux gives: the numbers of new namespaces, when a
//! task was born.

use std::sync::Arc;

use super::{CloneArgs, Outcome, Resource, Return, clone, namei, unshare};
use crate::bail;
use crate::errno::{Errno, Result};
use crate::kernel::capability::CapSet;
use crate::kernel::cred::{Ids, Kgid, Kuid, NewCred};
use crate::kernel::mount::site::Path;
use crate::kernel::node::{Node, Place};
use crate::kernel::ns::{MntNamespace, NsType, PidNamespace, Slot, TimeNamespace};
use crate::kernel::signal::Rlimit;
use crate::kernel::{Current, Kernel, NsId, PidId, TaskId, UserNsId};
use crate::tree::{self, FileType, Viewer};

/// What was seen of a task, besides what its birth tells; `None`: it is as it was born. Ids are those of the initial user
/// namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Become {
    /// Which namespace is in which slot, by inum.
    pub slots: Vec<(Slot, NsType, u32)>,
    pub user_ns: Option<u32>,
    /// Real, effective, saved, of the file system.
    pub uids: Option<[u32; 4]>,
    pub gids: Option<[u32; 4]>,
    pub groups: Option<Vec<u32>>,
    pub inheritable: Option<u64>,
    pub permitted: Option<u64>,
    pub effective: Option<u64>,
    pub bounding: Option<u64>,
    pub ambient: Option<u64>,
    pub securebits: Option<u32>,
    pub no_new_privs: Option<bool>,
    pub dumpable: Option<bool>,
    /// Numbers of the initial pid namespace.
    pub session: Option<i32>,
    pub pgrp: Option<i32>,
    pub rlimits: Vec<(Resource, Rlimit)>,
    /// Root and working directory, from the top of the mount namespace on.
    pub root: Option<Vec<u8>>,
    pub cwd: Option<Vec<u8>>,
}

/// A [`Become`] with what it names.
struct Found {
    slots: Vec<(Slot, NsId)>,
    user_ns: Option<UserNsId>,
    session: Option<PidId>,
    pgrp: Option<PidId>,
    root: Option<Directory>,
    cwd: Option<Directory>,
}

/// Makes a task as it was seen, whatever it would take to become so.
///
/// # Errors
/// ENOENT: no namespace has this number; ESRCH: no process, group or session has; EINVAL: a pid namespace for children that
/// is not the task's own or below; those of [`find_directory`].
pub(super) fn sys_become(k: &mut Kernel, me: Current, seen: &Become) -> Outcome {
    let found = find(k, me, seen)?;
    join(k, me, &found);
    let was_dumpable = k.mm_of(*me).is_some_and(|mm| mm.dumpable);
    let new = seen.cred(k.prepare_creds(*me), found.user_ns);
    if new != k.prepare_creds(*me) {
        k.commit_creds(*me, new);
    }
    if let Some(user_ns) = found.user_ns {
        own_memory(k, me, user_ns);
    }
    k.set_dumpable(*me, seen.dumpable.unwrap_or(was_dumpable));
    k.tasks[*me].no_new_privs = seen.no_new_privs.unwrap_or(k.tasks[*me].no_new_privs);
    let signal = k.tasks[*me].signal;
    if let Some(session) = found.session {
        k.change_session(signal, session);
    }
    if let Some(pgrp) = found.pgrp {
        k.change_pgrp(signal, pgrp);
    }
    if !seen.rlimits.is_empty() {
        let limits = Arc::make_mut(&mut k.signals[signal].rlimits);
        for (resource, limit) in &seen.rlimits {
            *resource.of_mut(limits) = *limit;
        }
    }
    move_to(k, me, &found);
    Ok(Return::DONE)
}

fn find(k: &Kernel, me: Current, seen: &Become) -> Result<Found> {
    let namespace = |ns_type: NsType, inum| -> Result<NsId> {
        match k.find_ns(ns_type, inum) {
            Some(ns) => Ok(ns),
            None => bail!(ENOENT, "there is no {}:[{}]", ns_type.ops().name, inum),
        }
    };
    let number = |nr| -> Result<PidId> {
        match k.find_pid_ns(nr, k.init.pid_ns) {
            Some(pid) => Ok(pid),
            None => bail!(ESRCH, "nothing has the number {}", nr),
        }
    };
    let mut slots = Vec::new();
    for &(slot, ns_type, inum) in &seen.slots {
        let ns = namespace(ns_type, inum)?;
        let active = k.task_active_pid_ns(*me);
        if let Some(for_children) = k.namespaces.typed::<PidNamespace>(ns)
            && !k.is_ns_at_or_below(for_children, active)
        {
            bail!(EINVAL, "{} is not the active {} nor below it", k.ns_arg(ns), k.ns_arg(active));
        }
        slots.push((slot, ns));
    }
    let user_ns = seen.user_ns.map(|inum| namespace(NsType::User, inum)).transpose()?;
    let root = seen.root.as_ref().map(|path| find_directory(k, me, &slots, path)).transpose()?;
    let cwd = seen.cwd.as_ref().map(|path| find_directory(k, me, &slots, path)).transpose()?;
    Ok(Found {
        slots,
        user_ns: user_ns.and_then(|ns| k.namespaces.typed(ns)),
        session: seen.session.map(number).transpose()?,
        pgrp: seen.pgrp.map(number).transpose()?,
        root,
        cwd,
    })
}

/// The deepest directory of a path that is there, and the names below it that are missing.
struct Directory {
    there: Path,
    missing: Vec<Vec<u8>>,
}

/// Finds a directory from the top of the mount namespace on that the task is in, or will be. Rights do not count.
///
/// # Errors
/// ENOTDIR: a name on the way is no directory; ENAMETOOLONG; ENOENT: it is missing where the file system makes its own; ESRCH:
/// the task is a zombie.
fn find_directory(k: &Kernel, me: Current, slots: &[(Slot, NsId)], path: &[u8]) -> Result<Directory> {
    let joined = slots.iter().find_map(|(_, ns)| k.namespaces.typed::<MntNamespace>(*ns));
    let Some(ns) = joined.or_else(|| k.mnt_ns_of(*me)) else {
        bail!(ESRCH, "pid {} is dead and has no file tree", k.task_nr(*me));
    };
    let mut there = k.topmost_root(ns);
    let mut missing: Vec<Vec<u8>> = Vec::new();
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        if !missing.is_empty() {
            missing.push(name.to_vec());
            continue;
        }
        match tree::lookup(k, Viewer(*me), Node::from(there), name) {
            Ok(node) => there = namei::path_of(k, node)?,
            Err(error) if error.errno == Errno::ENOENT && matches!(there.place, Place::Dentry(_)) => {
                missing.push(name.to_vec());
            }
            Err(error) => return Err(error),
        }
    }
    if tree::attr(k, Viewer(*me), Node::from(there))?.file_type != FileType::Directory {
        bail!(ENOTDIR, "this is no directory");
    }
    if let Some(long) = missing.iter().find(|name| name.len() > namei::NAME_MAX) {
        bail!(ENAMETOOLONG, "a name of {} bytes, at most {} are possible", long.len(), namei::NAME_MAX);
    }
    Ok(Directory { there, missing })
}

/// Makes the directories that are missing, and root and working directory of what was asked for.
fn move_to(k: &mut Kernel, me: Current, found: &Found) {
    if found.root.is_none() && found.cwd.is_none() {
        return;
    }
    own_fs(k, me);
    let fs = k.live(me).fs.id();
    if let Some(root) = &found.root {
        let path = make_directory(k, root);
        k.set_fs_root(fs, path);
    }
    if let Some(cwd) = &found.cwd {
        let path = make_directory(k, cwd);
        k.set_fs_pwd(fs, path);
    }
}

fn make_directory(k: &mut Kernel, directory: &Directory) -> Path {
    let Place::Dentry(top) = directory.there.place else { return directory.there };
    let last = directory.missing.iter().fold(top, |dir, name| k.directory_in(dir, name));
    Path { place: Place::Dentry(last), ..directory.there }
}

/// Makes root and working directory the task's alone.
fn own_fs(k: &mut Kernel, me: Current) {
    if k.is_fs_shared(*me) {
        let copy = k.copy_fs_struct(me);
        let old = std::mem::replace(&mut k.live_mut(me).fs, copy);
        k.put_fs(old);
    }
}

/// Puts the task into the namespaces, at the top of a mount namespace.
fn join(k: &mut Kernel, me: Current, found: &Found) {
    if found.slots.is_empty() {
        return;
    }
    let slots = k.hold_slots(me);
    let nsproxy = k.new_nsproxy(slots);
    for &(slot, ns) in &found.slots {
        k.set_slot(&nsproxy, slot, ns);
        if let (Slot::Time, Some(time)) = (slot, k.namespaces.typed::<TimeNamespace>(ns)) {
            k.namespaces[time].frozen_offsets = true;
        }
    }
    if found.slots.iter().any(|(slot, _)| *slot == Slot::Ipc) {
        k.exit_sem(*me);
    }
    k.switch_task_namespaces(me, nsproxy);
    for &(_, ns) in &found.slots {
        let Some(mnt_ns) = k.namespaces.typed(ns) else { continue };
        own_fs(k, me);
        let (fs, top) = (k.live(me).fs.id(), k.topmost_root(mnt_ns));
        k.set_fs_root(fs, top);
        k.set_fs_pwd(fs, top);
    }
}

/// The memory is that of a program which was started in this user namespace.
fn own_memory(k: &mut Kernel, me: Current, user_ns: UserNsId) {
    let Some(mm) = k.mm_id_of(*me) else { return };
    let held = k.get_ns(user_ns);
    let old = std::mem::replace(&mut k.mms[mm].user_ns, held);
    k.put_ns(old);
}

impl Become {
    fn cred(&self, old: NewCred, user_ns: Option<UserNsId>) -> NewCred {
        let caps = |new: Option<u64>, old| new.map_or(old, CapSet::from_bits_truncate);
        let ids = &old.ids;
        let [uid, euid, suid, fsuid] =
            self.uids.map_or([ids.uid, ids.euid, ids.suid, ids.fsuid], |uids| uids.map(Kuid));
        let [gid, egid, sgid, fsgid] =
            self.gids.map_or([ids.gid, ids.egid, ids.sgid, ids.fsgid], |gids| gids.map(Kgid));
        let groups = self.groups.as_ref().map(|groups| groups.iter().copied().map(Kgid).collect::<Arc<[Kgid]>>());
        NewCred {
            ids: Ids { uid, gid, suid, sgid, euid, egid, fsuid, fsgid },
            groups: groups.unwrap_or_else(|| Arc::clone(&old.groups)),
            securebits: self.securebits.unwrap_or(old.securebits),
            inheritable: caps(self.inheritable, old.inheritable),
            permitted: caps(self.permitted, old.permitted),
            effective: caps(self.effective, old.effective),
            bset: caps(self.bounding, old.bset),
            ambient: caps(self.ambient, old.ambient),
            user_ns: user_ns.unwrap_or(old.user_ns),
        }
    }
}

/// clone3(2); the new namespaces have the numbers asked for, the child is as old as asked for.
///
/// # Errors
/// EINVAL: a number for a namespace that is not made, a birth in the future; EEXIST: a number is taken; otherwise those of
/// [`clone::sys_clone`].
pub(super) fn sys_clone_as(
    k: &mut Kernel,
    me: Current,
    args: &CloneArgs,
    inums: &[(NsType, u32)],
    start: Option<u64>,
) -> Outcome {
    k.check_inums(args.flags, inums)?;
    check_start(k, start)?;
    let made = k.with_inums(inums, |k| clone::sys_clone(k, me, args))?;
    if let (Return::Pid(numbers), Some(start)) = (&made, start)
        && let Some(child) = k.find_task(numbers.initial())
    {
        set_start(k, child, start);
    }
    Ok(made)
}

/// unshare(2); the new namespaces have the numbers asked for.
///
/// # Errors
/// EINVAL: a number for a namespace that is not made; EEXIST: a number is taken; otherwise those of
/// [`unshare::sys_unshare`].
pub(super) fn sys_unshare_as(k: &mut Kernel, me: Current, flags: u64, inums: &[(NsType, u32)]) -> Outcome {
    k.check_inums(flags, inums)?;
    k.with_inums(inums, |k| unshare::sys_unshare(k, me, flags))
}

/// # Errors
/// EINVAL
pub(super) fn check_start(k: &Kernel, start: Option<u64>) -> Result<()> {
    if start.is_some_and(|start| start > k.clock.moved()) {
        bail!(EINVAL, "start= is later than now, {} ns after boot", k.clock.moved());
    }
    Ok(())
}

/// Makes a new task as old as that.
pub(super) fn set_start(k: &mut Kernel, task: TaskId, start: u64) {
    k.tasks[task].start_time = start;
}
