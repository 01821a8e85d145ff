//! Tasks (`struct task_struct`) and address spaces (`struct mm_struct`).

use std::ops::Deref;

use std::collections::BTreeSet;

use super::cgroup::Cgroup;
use super::cred::Cred;
use super::file::{FilesStruct, FsStruct};
use super::ipc::sem::UndoList;
use super::ipc::shm::Attachments;
use super::ns::UserNamespace;
use super::nsproxy::NsProxy;
use super::pid::Pid;
use super::refcount::{Counted, Held};
use super::scan::until_nul;
use super::signal::{Sighand, Siginfo};
use super::{IpcNsId, Kernel, NsProxyId, PidId, PidNsId, SignalId, TaskId};

/// The name of a task: at most 15 bytes (`TASK_COMM_LEN` less the NUL).
pub const COMM_MAX: usize = 15;

/// The task that makes a call (`current`): it is alive until the call is done. Only the door of the kernel makes one, once
/// it has found that the task may make calls; for all else it is a [`TaskId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current(TaskId);

impl Current {
    /// `None` for a zombie and for who is gone.
    pub(crate) fn new(k: &Kernel, task: TaskId) -> Option<Current> {
        k.tasks.get(task)?.live.as_ref().map(|_| Current(task))
    }
}

impl Deref for Current {
    type Target = TaskId;
    fn deref(&self) -> &TaskId {
        &self.0
    }
}

/// One thread.
#[derive(Debug)]
pub struct Task {
    pub comm: Vec<u8>,
    /// Arguments given at the last exec; what `cmdline` shows.
    pub argv: Vec<Vec<u8>>,
    pub state: TaskState,
    pub thread_pid: Held<Pid>,
    /// The thread group's `signal_struct`.
    pub signal: SignalId,
    pub sighand: Held<Sighand>,
    pub cred: Held<Cred>,
    /// `None` from exit on: every reader has to answer the zombie.
    pub live: Option<Live>,
    /// Whether the memory was dumpable when exit let go of it (`user_dumpable`).
    pub was_dumpable: bool,
    /// What Linux reaches by `cgroups`, a css_set; a zombie keeps it.
    pub cgroup: Held<Cgroup>,
    /// Its number in the list of that cgroup.
    pub cgroup_join: u64,
    /// What semaphores get back at exit; none before the first operation with undo (`sysvsem.undo_list`).
    pub undo_list: Option<Held<UndoList>>,
    /// The shared memory segments the thread has made, by namespace and identifier (`sysvshm.shm_clist`).
    pub shm_created: Vec<(IpcNsId, i32)>,
    pub real_parent: TaskId,
    pub children: ChildList,
    pub sibling: SiblingLinks,
    /// Signal to the parent at death; -1 for a thread that is not the leader.
    pub exit_signal: i32,
    /// The wait status word once dead.
    pub exit_code: i32,
    pub pdeath_signal: i32,
    /// Bit n-1 set: signal n is blocked.
    pub blocked: u64,
    pub pending: Vec<Siginfo>,
    pub no_new_privs: bool,
    /// Number of exec calls so far, those before a fork included (`self_exec_id`).
    pub self_exec_id: u64,
    /// That of the parent when this task was made (`parent_exec_id`).
    pub parent_exec_id: u64,
    /// No exec since fork (`PF_FORKNOEXEC`).
    pub forked_no_exec: bool,
    /// A set*uid went over RLIMIT_NPROC; the next exec is refused (`PF_NPROC_EXCEEDED`).
    pub nproc_exceeded: bool,
    pub tracer: Option<TaskId>,
    /// Tasks this one traces.
    pub ptraced: BTreeSet<TaskId>,
    /// Kernel clock at creation, nanoseconds since boot.
    pub start_time: u64,
}

/// What a task has until it exits.
#[derive(Debug)]
pub struct Live {
    pub mm: Held<Mm>,
    pub fs: Held<FsStruct>,
    pub files: Held<FilesStruct>,
    pub nsproxy: Held<NsProxy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Alive; shown as `S (sleeping)`.
    Running,
    /// Stopped by a signal; `T (stopped)`.
    Stopped,
    /// The init of a pid namespace that waits in `zap_pid_ns_processes` for the last others to be reaped; shown as `S`.
    Zapping,
    /// Dead, not yet reaped.
    Zombie,
}

/// The ends of a task's list of children, in the order wait looks at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildList {
    pub first: Option<TaskId>,
    pub last: Option<TaskId>,
}

/// A task's place in its parent's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiblingLinks {
    pub previous: Option<TaskId>,
    pub next: Option<TaskId>,
}

/// An address space: shared by threads and CLONE_VM children.
#[derive(Debug)]
pub struct Mm {
    pub users: u32,
    /// 1: dumpable; 0: files below `/proc/<pid>` belong to root and same-uid access is refused.
    pub dumpable: bool,
    /// The user namespace at the last exec.
    pub user_ns: Held<UserNamespace>,
    /// Shared memory that is mapped.
    pub attachments: Attachments,
}

impl Counted for Mm {
    fn count(&mut self) -> &mut u32 {
        &mut self.users
    }
}

impl Task {
    pub fn is_dead(&self) -> bool {
        matches!(self.state, TaskState::Zombie | TaskState::Zapping)
    }
}

impl Kernel {
    pub fn cred_of(&self, task: TaskId) -> &Cred {
        &self.creds[self.tasks[task].cred.id()]
    }

    pub fn leader_of(&self, task: TaskId) -> TaskId {
        self.signals[self.tasks[task].signal].leader
    }

    pub fn is_leader(&self, task: TaskId) -> bool {
        self.leader_of(task) == task
    }

    /// What the task has that makes the call.
    pub fn live(&self, current: Current) -> &Live {
        self.tasks[*current].live.as_ref().expect("the task that makes a call is alive")
    }

    /// As [`Kernel::live`], to change it.
    pub(crate) fn live_mut(&mut self, current: Current) -> &mut Live {
        self.tasks[*current].live.as_mut().expect("the task that makes a call is alive")
    }

    /// The memory of a task; `None` for a zombie.
    pub fn mm_of(&self, task: TaskId) -> Option<&Mm> {
        self.tasks[task].live.as_ref().map(|live| &self.mms[live.mm.id()])
    }

    /// The descriptor table of a task; `None` for a zombie.
    pub fn files_of(&self, task: TaskId) -> Option<&FilesStruct> {
        self.tasks[task].live.as_ref().map(|live| &self.files[live.files.id()])
    }

    pub fn nsproxy_of(&self, task: TaskId) -> Option<&NsProxy> {
        self.tasks[task].live.as_ref().map(|live| &self.nsproxies[live.nsproxy.id()])
    }

    pub fn nsproxy_id_of(&self, task: TaskId) -> Option<NsProxyId> {
        self.tasks[task].live.as_ref().map(|live| live.nsproxy.id())
    }

    /// The pid namespace of the task's own struct pid; never changes (`task_active_pid_ns`).
    pub fn task_active_pid_ns(&self, task: TaskId) -> PidNsId {
        self.pids[self.pid_of(task)].ns.id()
    }

    pub fn pid_of(&self, task: TaskId) -> PidId {
        self.tasks[task].thread_pid.id()
    }

    /// More than one live thread in the group (`!thread_group_empty`).
    pub fn is_multithreaded(&self, task: TaskId) -> bool {
        self.signals[self.tasks[task].signal].threads.len() > 1
    }

    /// The memory is used by another task too, thread or not.
    pub fn is_mm_shared(&self, task: TaskId) -> bool {
        self.mm_of(task).is_some_and(|mm| mm.users > 1)
    }

    /// Root and working directory are shared with another task.
    pub fn is_fs_shared(&self, task: TaskId) -> bool {
        self.fs_of(task).is_some_and(|fs| fs.users > 1)
    }

    /// The real parent; of a thread, that of its process.
    pub fn real_parent_of(&self, task: TaskId) -> TaskId {
        self.tasks[self.leader_of(task)].real_parent
    }

    /// A thread of the group that has not begun to exit, `task` itself left out (`find_alive_thread`).
    pub fn find_alive_thread(&self, task: TaskId) -> Option<TaskId> {
        self.signal_of(task).threads.iter().copied().find(|&t| t != task && !self.tasks[t].is_dead())
    }

    /// Names a thread: the first 15 bytes, up to a NUL (`set_task_comm`).
    pub(crate) fn set_task_comm(&mut self, task: TaskId, name: &[u8]) {
        let name = until_nul(name);
        self.tasks[task].comm = name[..name.len().min(COMM_MAX)].to_vec();
    }

    /// The children of one thread, oldest first.
    pub fn children_of(&self, task: TaskId) -> impl Iterator<Item = TaskId> {
        let mut next = self.tasks[task].children.first;
        std::iter::from_fn(move || {
            let child = next?;
            next = self.tasks[child].sibling.next;
            Some(child)
        })
    }

    /// Puts `child` at the end of `parent`'s list and makes it its real parent.
    pub(crate) fn link_child(&mut self, child: TaskId, parent: TaskId) {
        let last = self.tasks[parent].children.last;
        self.tasks[child].real_parent = parent;
        self.tasks[child].sibling = SiblingLinks { previous: last, next: None };
        match last {
            Some(last) => self.tasks[last].sibling.next = Some(child),
            None => self.tasks[parent].children.first = Some(child),
        }
        self.tasks[parent].children.last = Some(child);
    }

    /// Puts `new` in the place of `old` in the list of its parent, which becomes its real parent.
    pub(crate) fn replace_child(&mut self, old: TaskId, new: TaskId) {
        let parent = self.tasks[old].real_parent;
        let links = std::mem::take(&mut self.tasks[old].sibling);
        self.tasks[new].real_parent = parent;
        self.tasks[new].sibling = links;
        match links.previous {
            Some(previous) => self.tasks[previous].sibling.next = Some(new),
            None => self.tasks[parent].children.first = Some(new),
        }
        match links.next {
            Some(next) => self.tasks[next].sibling.previous = Some(new),
            None => self.tasks[parent].children.last = Some(new),
        }
    }

    /// Takes `child` out of its parent's list.
    pub(crate) fn unlink_child(&mut self, child: TaskId) {
        let parent = self.tasks[child].real_parent;
        let SiblingLinks { previous, next } = std::mem::take(&mut self.tasks[child].sibling);
        match previous {
            Some(previous) => self.tasks[previous].sibling.next = next,
            None => self.tasks[parent].children.first = next,
        }
        match next {
            Some(next) => self.tasks[next].sibling.previous = previous,
            None => self.tasks[parent].children.last = previous,
        }
    }
}
