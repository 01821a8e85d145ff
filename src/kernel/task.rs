//! Tasks (`struct task_struct`) and address spaces (`struct mm_struct`).

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

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
use super::signal::Sighand;
use super::sigpending::SigPending;
use super::table::Table;
use super::task_list::{Links, TaskList};
use super::{IpcNsId, Kernel, MmId, NsProxyId, PidId, PidNsId, SignalId, TaskId};

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
#[derive(Clone, Debug)]
pub struct Task {
    pub comm: Comm,
    /// Arguments given at the last exec; what `cmdline` shows. Copies of the task share them.
    pub argv: Arc<[Vec<u8>]>,
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
    /// Its place among the live tasks of that cgroup.
    pub cg_list: Links,
    /// What semaphores get back at exit; none before the first operation with undo (`sysvsem.undo_list`).
    pub undo_list: Option<Held<UndoList>>,
    /// The shared memory segments the thread has made, by namespace and identifier (`sysvshm.shm_clist`).
    pub shm_created: Vec<(IpcNsId, i32)>,
    pub real_parent: TaskId,
    /// In the order wait looks at them.
    pub children: TaskList,
    /// Its place among the children of its parent.
    pub sibling: Links,
    /// Its place among the threads of its process.
    pub thread_node: Links,
    /// Signal to the parent at death; -1 for a thread that is not the leader.
    pub exit_signal: i32,
    /// The wait status word once dead.
    pub exit_code: i32,
    /// It died by a signal, or because its process was told to die (`PF_SIGNALED`).
    pub signaled: bool,
    pub pdeath_signal: i32,
    /// Bit n-1 set: signal n is blocked.
    pub blocked: u64,
    pub pending: SigPending,
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
    /// It is a thread of a real process of the host, see [`super::program`].
    pub is_program: bool,
    /// Kernel clock at creation, nanoseconds since boot.
    pub start_time: u64,
}

/// What whoever makes a task gives it.
pub(crate) struct NewTask {
    pub comm: Comm,
    pub argv: Arc<[Vec<u8>]>,
    pub thread_pid: Held<Pid>,
    pub signal: SignalId,
    pub sighand: Held<Sighand>,
    pub cred: Held<Cred>,
    pub live: Live,
    pub cgroup: Held<Cgroup>,
    pub real_parent: TaskId,
    pub exit_signal: i32,
    pub start_time: u64,
}

impl Task {
    /// A task that has made no call yet.
    pub(crate) fn new(new: NewTask) -> Task {
        let NewTask {
            comm,
            argv,
            thread_pid,
            signal,
            sighand,
            cred,
            live,
            cgroup,
            real_parent,
            exit_signal,
            start_time,
        } = new;
        Task {
            comm,
            argv,
            state: TaskState::Running,
            thread_pid,
            signal,
            sighand,
            cred,
            live: Some(live),
            was_dumpable: false,
            cgroup,
            cg_list: Links::default(),
            undo_list: None,
            shm_created: Vec::new(),
            real_parent,
            children: TaskList::default(),
            sibling: Links::default(),
            thread_node: Links::default(),
            exit_signal,
            exit_code: 0,
            signaled: false,
            pdeath_signal: 0,
            blocked: 0,
            pending: SigPending::default(),
            no_new_privs: false,
            self_exec_id: 0,
            parent_exec_id: 0,
            forked_no_exec: true,
            nproc_exceeded: false,
            tracer: None,
            is_program: false,
            start_time,
        }
    }
}

/// A name of a task, kept in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Comm {
    len: u8,
    bytes: [u8; COMM_MAX],
}

impl Comm {
    /// The first 15 bytes of a name, up to a NUL.
    pub fn new(name: &[u8]) -> Comm {
        let name = until_nul(name);
        let len = name.len().min(COMM_MAX);
        let mut bytes = [0; COMM_MAX];
        bytes[..len].copy_from_slice(&name[..len]);
        Comm { len: len as u8, bytes }
    }
}

impl Deref for Comm {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.escape_ascii(), f)
    }
}

/// What a task has until it exits.
#[derive(Clone, Debug)]
pub struct Live {
    /// `None`: a kernel thread.
    pub mm: Option<Held<Mm>>,
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

/// An address space: shared by threads and CLONE_VM children.
#[derive(Clone, Debug)]
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

    /// The memory of a task, by name; `None` for a zombie and a kernel thread.
    pub fn mm_id_of(&self, task: TaskId) -> Option<MmId> {
        self.tasks[task].live.as_ref()?.mm.as_ref().map(Held::id)
    }

    /// The memory of a task; `None` for a zombie and a kernel thread.
    pub fn mm_of(&self, task: TaskId) -> Option<&Mm> {
        self.mm_id_of(task).map(|mm| &self.mms[mm])
    }

    /// The memory of the task that makes a call about it, which no kernel thread does.
    pub fn own_mm(&self, current: Current) -> MmId {
        self.mm_id_of(*current).expect("calls about memory are refused to kernel threads")
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
        self.signal_of(task).nr_threads > 1
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
        self.threads_of(self.tasks[task].signal).find(|&t| t != task && !self.tasks[t].is_dead())
    }

    /// Names a thread (`set_task_comm`).
    pub(crate) fn set_task_comm(&mut self, task: TaskId, name: &[u8]) {
        self.tasks[task].comm = Comm::new(name);
    }

    /// All threads of a process that are not yet released, the leader first, then by age. A dead leader stays while
    /// others live.
    pub fn threads_of(&self, signal: SignalId) -> impl Iterator<Item = TaskId> {
        self.signals[signal].threads.iter(&self.tasks, |task| task.thread_node.next)
    }

    /// Makes a new task one of the threads of its process.
    pub(crate) fn link_thread(&mut self, thread: TaskId) {
        let process = &mut self.signals[self.tasks[thread].signal];
        process.nr_threads += 1;
        process.threads.push(&mut self.tasks, thread, |task| &mut task.thread_node);
    }

    pub(crate) fn unlink_thread(&mut self, thread: TaskId) {
        let process = &mut self.signals[self.tasks[thread].signal];
        process.nr_threads -= 1;
        process.threads.remove(&mut self.tasks, thread, |task| &mut task.thread_node);
    }

    /// The children of one thread, oldest first.
    pub fn children_of(&self, task: TaskId) -> impl Iterator<Item = TaskId> {
        self.tasks[task].children.iter(&self.tasks, |task| task.sibling.next)
    }

    /// Changes the list of a parent's children.
    fn change_children(&mut self, parent: TaskId, change: impl FnOnce(&mut TaskList, &mut Table<Task>)) {
        let mut children = self.tasks[parent].children;
        change(&mut children, &mut self.tasks);
        self.tasks[parent].children = children;
    }

    /// Puts `child` at the end of `parent`'s list and makes it its real parent.
    pub(crate) fn link_child(&mut self, child: TaskId, parent: TaskId) {
        self.tasks[child].real_parent = parent;
        self.change_children(parent, |children, tasks| children.push(tasks, child, |task| &mut task.sibling));
    }

    /// Puts `new` in the place of `old` in the list of its parent, which becomes its real parent.
    pub(crate) fn replace_child(&mut self, old: TaskId, new: TaskId) {
        let parent = self.tasks[old].real_parent;
        self.tasks[new].real_parent = parent;
        self.change_children(parent, |children, tasks| children.replace(tasks, old, new, |task| &mut task.sibling));
    }

    /// Takes `child` out of its parent's list.
    pub(crate) fn unlink_child(&mut self, child: TaskId) {
        let parent = self.tasks[child].real_parent;
        self.change_children(parent, |children, tasks| children.remove(tasks, child, |task| &mut task.sibling));
    }
}
