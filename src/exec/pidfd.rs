//! pidfds of programs. The descriptors are the real kernel's. A task without a real process, which is a zombie or was made by a
//! control file, has one that *stands in* for it as long as nobody has waited for the task, or it lives.

use std::collections::BTreeMap;
use std::io;

use super::Supervisor;
use super::fd::Shown;
use super::regs::{MEMFD_CREATE, PWRITE64, Regs};
use super::sys::{Resume, Tid};
use super::tracee::{Doing, Then, field};
use crate::abi::pidfd::{Ended, Subject, info};
use crate::abi::{self, Call, Memory, PathAt};
use crate::errno::Result;
use crate::kernel::file::OpenFlags;
use crate::kernel::node::{ITSELF, Place, TaskDir, View};
use crate::kernel::ptrace::PtraceMode;
use crate::kernel::{Kernel, PidNsId, TaskId};
use crate::lab::FILES;
use crate::syscall::PidArg;
use crate::{bail, err, tree};

/// The flags of pidfd_open(2).
const PIDFD_NONBLOCK: u32 = libc::O_NONBLOCK as u32;
const PIDFD_THREAD: u32 = libc::O_EXCL as u32;

/// What is known of pidfds.
#[derive(Debug, Default)]
pub struct Pidfds {
    /// The tasks that pidfds are of, by the number of their inode: a real process is gone as soon as it is dead, and the lab's is
    /// not.
    tasks: BTreeMap<u64, TaskId>,
    /// How tasks ended that pidfds are of.
    ended: BTreeMap<TaskId, Ended>,
    /// The processes that stand in for tasks that live.
    stand_ins: BTreeMap<TaskId, Tid>,
}

/// How many are kept before those are dropped whose tasks are gone.
const PIDFDS_MAX: usize = 1024;

/// The text of a `fdinfo` file that is put in a file of memory, which the program gets in its place.
#[derive(Debug)]
pub struct Filling {
    regs: Regs,
    /// The file, once it is made.
    fd: Option<i32>,
}

impl Supervisor {
    /// pidfd_open
    pub(super) fn pidfd_open(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let (number, flags) = (regs.args()[0] as i32, regs.args()[1] as u32);
        // What is wrong with the arguments, the real kernel says.
        if number <= 0 || flags & !(PIDFD_NONBLOCK | PIDFD_THREAD) != 0 {
            return self.host.resume(tid, Resume::Cont, 0);
        }
        let task = self.task(tid)?;
        let found = self.lab.read(|k| find(k, task, number, flags & PIDFD_THREAD != 0)).and_then(|found| found);
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        let real = self.lab.programs.thread(found).and_then(|thread| Tid::try_from(thread).ok());
        let opened = match real {
            Some(host) => Ok((host, Then::Pidfd(found))),
            None => self.stand_in(found).map(|host| (host, Then::StandIn { task: found, host })),
        };
        match opened {
            Ok((host, then)) => {
                let args = [host as u64, flags.into(), 0, 0, 0, 0];
                self.detour(tid, regs, regs.with(regs.number(), args), then)
            }
            Err(why) => self.refuse(tid, regs, &err!(ENOMEM, "the host has no process for it: {}", why.to_string())),
        }
    }

    /// A process that stands in for a task.
    fn stand_in(&mut self, task: TaskId) -> io::Result<Tid> {
        match self.pidfds.stand_ins.get(&task) {
            Some(host) => Ok(*host),
            None => self.host.stand_in(),
        }
    }

    /// A program has opened a pidfd of a process that stands in for a task, or failed to. That of a zombie is dead at once.
    pub(super) fn opened_stand_in(&mut self, tid: Tid, fd: i64, task: TaskId, host: Tid) {
        if fd >= 0 {
            self.note_pidfd(tid, fd as i32, task);
        }
        let is_over = self.lab.read(|k| k.is_over(task)).unwrap_or(true);
        if is_over && let Ok(status) = self.lab.read(|k| k.tasks.contains(task).then(|| k.exit_status(task))) {
            status.into_iter().for_each(|status| self.note_end(task, status));
        }
        if is_over || fd < 0 && !self.pidfds.stand_ins.contains_key(&task) {
            self.pidfds.stand_ins.remove(&task);
            self.host.end_stand_in(host);
            return;
        }
        if fd >= 0 && self.pidfds.stand_ins.insert(task, host).is_none() {
            self.lab.programs.watch(self.server(), task);
        }
    }

    /// A task without a process has ended.
    pub(super) fn end_stand_in(&mut self, task: TaskId) {
        if let Some(host) = self.pidfds.stand_ins.remove(&task) {
            self.host.end_stand_in(host);
        }
    }

    pub(super) fn end_stand_ins(&mut self) {
        for task in self.pidfds.stand_ins.keys().copied().collect::<Vec<_>>() {
            self.end_stand_in(task);
        }
    }

    /// A pidfd of a task has been made.
    pub(super) fn note_pidfd(&mut self, tid: Tid, fd: i32, task: TaskId) {
        let Ok(inode) = self.host.inode(tid, fd) else { return };
        if self.pidfds.tasks.len() >= PIDFDS_MAX {
            let lives = |k: &Kernel| {
                self.pidfds.tasks.iter().filter(|(_, task)| k.tasks.contains(**task)).map(|(i, t)| (*i, *t)).collect()
            };
            self.pidfds.tasks = self.lab.read(lives).unwrap_or_default();
            self.pidfds.ended.clear();
        }
        self.pidfds.tasks.insert(inode, task);
    }

    /// The pidfd that a call has written the number of.
    pub(super) fn note_pidfd_at(&mut self, tid: Tid, addr: u64) {
        let Ok(fd) = (&self.memory(tid) as &dyn Memory).u32(addr) else { return };
        let info = self.host.proc_file(tid, &format!("fdinfo/{fd}")).unwrap_or_default();
        let task = field(&info, "Pid:").and_then(|pid| self.lab.programs.task(u32::try_from(pid).ok()?));
        if let Some(task) = task {
            self.note_pidfd(tid, fd.cast_signed(), task);
        }
    }

    /// The real process of a task has ended, with this wait status word.
    pub(super) fn note_end(&mut self, task: TaskId, status: i32) {
        if !self.pidfds.tasks.values().any(|known| *known == task) {
            return;
        }
        if let Ok(Some(cgroup)) = self.lab.read(|k| k.tasks.contains(task).then(|| cgroup_ino(k, task))) {
            self.pidfds.ended.insert(task, Ended { status, cgroup });
        }
    }

    /// The task of a pidfd, whose `fdinfo` has this number for it; it may be gone. `None`: it is not of the lab.
    fn task_of_pidfd(&self, tid: Tid, fd: i32, pid: i64) -> Option<TaskId> {
        let live = u32::try_from(pid).ok().and_then(|pid| self.lab.programs.task(pid));
        let is_thread = |task| self.lab.read(|k| k.tasks.contains(task) && !k.is_leader(task)).unwrap_or(false);
        if live.is_some_and(is_thread) {
            // As long as we have not been told of its end, it is a zombie.
            let status = self.host.proc_file(pid as Tid, "status").unwrap_or_default();
            let is_dead = |line: &str| line.starts_with("State:") && line.contains(['Z', 'X']);
            return live.filter(|_| !String::from_utf8_lossy(&status).lines().any(is_dead));
        }
        live.or_else(|| {
            let known = self.pidfds.tasks.get(&self.host.inode(tid, fd).ok()?).copied()?;
            // A thread that is gone leaves nothing, though we have not been told yet.
            self.lab.read(|k| !k.tasks.contains(known) || k.is_leader(known)).ok()?.then_some(known)
        })
    }

    /// What a pidfd shows.
    ///
    /// # Errors
    /// EIO: the lab is broken.
    pub(super) fn shown_process(&self, tid: Tid, fd: i32, pid: i64) -> Result<Shown> {
        let task = self.task_of_pidfd(tid, fd, pid);
        let number = |k: &Kernel| task.filter(|task| k.tasks.contains(*task)).map(|task| k.task_nr(task));
        Ok(self.lab.read(number)?.map_or(Shown::Stranger, Shown::Process))
    }

    /// # Errors
    /// EBADF: no pidfd; ESRCH: of no process of the lab that is still there.
    pub(super) fn process(&self, tid: Tid, fd: i32) -> Result<PidArg> {
        match self.shown(tid, fd)? {
            Shown::Process(number) => Ok(PidArg::Held(number)),
            Shown::Stranger => bail!(ESRCH, "the task of the pidfd is gone, or not of this lab"),
            Shown::Ns(..) | Shown::Other => bail!(EBADF, "descriptor {} is no pidfd", fd),
        }
    }

    /// The process whose directory in `/proc` a descriptor shows, which pidfd_send_signal takes for a pidfd; `None`: it shows none.
    ///
    /// # Errors
    /// ESRCH: it is gone.
    pub(super) fn process_of_dir(&self, tid: Tid, fd: i32) -> Result<Option<PidArg>> {
        let link = self.host.link(tid, &format!("fd/{fd}")).unwrap_or_default();
        let Some(path) = self.seen(&link).filter(|_| !self.flags(tid, fd).contains(OpenFlags::PATH)) else {
            return Ok(None);
        };
        let path = String::from_utf8_lossy(&path).into_owned();
        let name = path.strip_prefix("/proc/").map(|name| name.strip_suffix(" (deleted)").unwrap_or(name));
        let Some(number) = name.and_then(|name| name.parse::<i32>().ok()) else { return Ok(None) };
        let (Some(me), Ok(inode)) = (self.tracees.get(&tid), self.host.inode(tid, fd)) else { return Ok(None) };
        let found = self.lab.read(|k| {
            let task = k.find_task_by_pid_ns(number, shown_pid_ns(k, me.task))?;
            (FILES.ino(k, TaskDir::process(task).entry(ITSELF)) == inode).then(|| k.task_nr(task))
        })?;
        match found {
            Some(number) => Ok(Some(PidArg::Held(number))),
            None => bail!(ESRCH, "the process of {} is gone", path),
        }
    }

    /// pidfd_getfd: the lab says whether the caller may look into the other process; the real kernel has the descriptor.
    pub(super) fn getfd(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let (task, pidfd) = (self.task(tid)?, regs.args()[0] as i32);
        // What is no pidfd, the real kernel says.
        let Ok(Shown::Process(number)) = self.shown(tid, pidfd) else { return self.host.resume(tid, Resume::Cont, 0) };
        let allowed = self.lab.read(|k| {
            let Some(target) = k.find_task(number) else { bail!(ESRCH, "the task of the pidfd is gone") };
            k.ptrace_may_access(task, target, PtraceMode::AttachRealCreds)?;
            match k.tasks[target].live {
                None => bail!(ESRCH, "pid {} is dead: it has no descriptors", number),
                Some(_) if !k.is_program(target) => {
                    bail!(EBADF, "pid {} is no program: it has no real descriptors", number)
                }
                Some(_) => Ok(()),
            }
        });
        match allowed.and_then(|allowed| allowed) {
            Ok(()) => self.host.resume(tid, Resume::Cont, 0),
            Err(error) => self.refuse(tid, regs, &error),
        }
    }

    /// PIDFD_GET_INFO into a struct of so many bytes; not of a pidfd, it is the real kernel's.
    pub(super) fn pidfd_info(&mut self, tid: Tid, regs: Regs, size: Result<usize>) -> io::Result<()> {
        let [fd, _, addr, ..] = regs.args();
        let fdinfo = self.host.proc_file(tid, &format!("fdinfo/{}", fd as i32)).unwrap_or_default();
        let Some(pid) = field(&fdinfo, "Pid:") else { return self.host.resume(tid, Resume::Cont, 0) };
        let (me, found) = (self.task(tid)?, self.task_of_pidfd(tid, fd as i32, pid));
        let told = size.and_then(|size| {
            if addr == 0 {
                bail!(EINVAL, "there is no struct to fill");
            }
            let mask = (&self.memory(tid) as &dyn Memory).u64(addr)?;
            let ended = found.and_then(|task| self.pidfds.ended.get(&task).copied());
            let subject = |k: &Kernel| match found.filter(|task| k.tasks.contains(*task)) {
                Some(task) => Subject::Task { task, cgroup: cgroup_ino(k, task) },
                None => Subject::Gone(ended),
            };
            let bytes = self.lab.read(|k| info(k, me, subject(k), mask, size))??;
            self.memory(tid).write(addr, &bytes)
        });
        match told {
            Ok(()) => self.skip(tid, regs, 0),
            Err(error) => self.refuse(tid, regs, &error),
        }
    }

    /// Whether a call opens the `fdinfo` of a pidfd of the caller's own: which, and close-on-exec or not.
    pub(super) fn opens_fdinfo(&self, tid: Tid, regs: &Regs, paths: &[PathAt]) -> Option<(i32, bool)> {
        let args = regs.args();
        let memory: &dyn Memory = &self.memory(tid);
        let flags = match abi::call(regs.number())? {
            Call::Open => args[1],
            Call::Openat => args[2],
            // The first field of `struct open_how`.
            Call::Openat2 => memory.u64(args[2]).ok()?,
            _ => return None,
        };
        let at = paths.first()?;
        let path = memory.path(args[at.path]).ok()?;
        let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let fd = std::str::from_utf8(&path[end..]).ok()?.parse::<i32>().ok().filter(|fd| *fd >= 0)?;
        let dir = at.dir.map_or(libc::AT_FDCWD, |index| args[index] as i32);
        self.is_own_fdinfo(tid, dir, &path[..end]).then_some((fd, flags & libc::O_CLOEXEC as u64 != 0))
    }

    /// Whether the directory `below`, from `dir` on, is the caller's `fdinfo`.
    fn is_own_fdinfo(&self, tid: Tid, dir: i32, below: &[u8]) -> bool {
        let Some(tracee) = self.tracees.get(&tid) else { return false };
        let below = below.strip_suffix(b"/").unwrap_or(below);
        if let Some(rest) = below.strip_prefix(b"/proc/") {
            return rest.strip_suffix(b"/fdinfo").is_some_and(|name| self.is_own(tracee.task, name));
        }
        // A relative path of a file of the host's that is called like a number is a rare one.
        let link = if dir == libc::AT_FDCWD { "cwd".to_owned() } else { format!("fd/{dir}") };
        let Ok(base) = self.host.link(tid, &link) else { return false };
        let whole = if below.is_empty() { base } else { [&base[..], b"/", below].concat() };
        whole == format!("/proc/{}/fdinfo", tracee.tgid).into_bytes()
    }

    /// In place of the `fdinfo` of a pidfd, the program gets a file with the text that it would have; `None`: the descriptor is none.
    pub(super) fn open_fdinfo(&mut self, tid: Tid, regs: Regs, fd: i32, cloexec: bool) -> io::Result<Option<()>> {
        const MFD_CLOEXEC: u64 = 1;
        let Some(text) = self.fdinfo(tid, fd) else { return Ok(None) };
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(Some(())) };
        let made = match self.take_doing(tid)? {
            // Unless a handler of a signal has come between.
            Doing::Filling(filling) if filling.regs.call() == regs.call() => filling.fd,
            _ => None,
        };
        let real = match made {
            None => {
                self.host.write_memory(tid, scratch, b"fdinfo\0")?;
                regs.with(MEMFD_CREATE, [scratch, if cloexec { MFD_CLOEXEC } else { 0 }, 0, 0, 0, 0])
            }
            Some(file) => {
                self.host.write_memory(tid, scratch, &text)?;
                regs.with(PWRITE64, [file as u64, scratch, text.len() as u64, 0, 0, 0])
            }
        };
        self.tracee(tid)?.doing = Doing::Filling(Box::new(Filling { regs, fd: made }));
        self.host.set_registers(tid, real.0)?;
        self.host.resume(tid, Resume::ToExit, 0).map(Some)
    }

    pub(super) fn filling_ends(&mut self, tid: Tid, regs: Regs, mut filling: Filling) -> io::Result<()> {
        let given = regs.result();
        match filling.fd {
            None if given >= 0 => {
                filling.fd = Some(given as i32);
                let again = filling.regs.again();
                self.tracee(tid)?.doing = Doing::Filling(Box::new(filling));
                self.host.set_registers(tid, again.0)?;
            }
            fd => {
                let result = if given < 0 { given } else { fd.map_or(given, i64::from) };
                self.host.set_registers(tid, regs.as_wanted(&filling.regs).with_result(result).0)?;
            }
        }
        self.host.resume(tid, Resume::Cont, 0)
    }

    /// The text of the `fdinfo` of a pidfd, with the numbers that the program's `/proc` has.
    fn fdinfo(&self, tid: Tid, fd: i32) -> Option<Vec<u8>> {
        let real = self.host.proc_file(tid, &format!("fdinfo/{fd}")).ok()?;
        let pid = field(&real, "Pid:")?;
        let me = self.tracees.get(&tid)?.task;
        let found = self.task_of_pidfd(tid, fd, pid);
        let lines = |k: &Kernel| {
            let pid = found.filter(|task| k.tasks.contains(*task)).map(|task| k.pid_of(task));
            tree::pidfd_lines(k, pid, shown_pid_ns(k, me))
        };
        let lines = self.lab.read(lines).ok()?;
        let own = real.split_inclusive(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"Pid:"));
        Some(own.chain([lines.as_bytes()]).flatten().copied().collect())
    }
}

/// The number of the cgroup of a task.
fn cgroup_ino(k: &Kernel, task: TaskId) -> u64 {
    FILES.ino(k, Place::Cgroup(k.cgroup_of(task), None))
}

/// The pid namespace whose numbers the `/proc` of a task has.
fn shown_pid_ns(k: &Kernel, me: TaskId) -> PidNsId {
    let proc = tree::resolve(k, me, View::Caller, b"/proc", true).ok().and_then(|node| node.path());
    let mounted = proc.and_then(|path| k.vfs.sbs[k.vfs.sb_of(path.mount)].pid_ns());
    mounted.unwrap_or_else(|| k.task_active_pid_ns(me))
}

/// Whom pidfd_open(2) is about.
///
/// # Errors
/// ESRCH: nobody; ENOENT: a thread, without PIDFD_THREAD.
fn find(k: &Kernel, me: TaskId, number: i32, is_thread: bool) -> Result<TaskId> {
    let Some(task) = k.find_task_by_pid_ns(number, k.task_active_pid_ns(me)) else {
        bail!(ESRCH, "pid {} does not exist or is not visible", number);
    };
    if !is_thread && !k.is_leader(task) {
        bail!(ENOENT, "{} is a thread, not the leader of its group", number);
    }
    Ok(task)
}
