//! Which host processes are tasks of the lab, and who serves them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Lab;
use crate::errno::{Arg, Error, Result};
use crate::kernel::program::Effect;
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, MqueueId, TaskId};

/// How many threads are remembered that are gone.
const GONE_MAX: usize = 1024;

/// Makes happen to real processes what has to.
type Act = Box<dyn Fn(Vec<Effect>) + Send + Sync>;

/// Who serves programs of a lab, as [`Lab::serve_programs`] numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server(u64);

/// The threads of real processes that are tasks of a lab.
#[derive(Debug, Default)]
pub struct Programs {
    table: RwLock<Table>,
    /// Whether there are such places as [`Table::elsewhere`].
    is_elsewhere: AtomicBool,
}

#[derive(Default)]
struct Table {
    last: u64,
    servers: BTreeMap<Server, Act>,
    /// Who serves a task.
    of_task: BTreeMap<TaskId, Server>,
    tasks: BTreeMap<u32, TaskId>,
    /// The last threads that are gone. Their tasks may not be: nobody has waited for them yet.
    gone: BTreeMap<u32, TaskId>,
    /// The message queues that the lab has let threads open, whatever their modes say by now.
    lets_open: BTreeMap<u32, MqueueId>,
    threads: BTreeMap<TaskId, u32>,
    /// Tasks without a process whose end servers want to hear of.
    watched: BTreeSet<(TaskId, Server)>,
    /// Directories of the host on which programs have mounted file systems of the lab.
    elsewhere: BTreeSet<Vec<u8>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("tasks", &self.tasks).field("of_task", &self.of_task).finish_non_exhaustive()
    }
}

impl Programs {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task that is to be a real thread: what has to happen to it, this server is told.
    pub fn join(&self, server: Server, task: TaskId) {
        self.write().of_task.insert(task, server);
    }

    /// Nothing has to happen to a task any more.
    pub fn leave(&self, task: TaskId) {
        self.write().of_task.remove(&task);
    }

    /// The host's thread `tid` is a task from now on.
    pub fn bind(&self, tid: u32, task: TaskId) {
        let mut table = self.write();
        table.gone.remove(&tid);
        table.tasks.insert(tid, task);
        table.threads.insert(task, tid);
    }

    /// The host's thread is gone.
    pub fn unbind(&self, tid: u32) {
        let mut table = self.write();
        table.lets_open.remove(&tid);
        if let Some(task) = table.tasks.remove(&tid) {
            table.threads.remove(&task);
            if table.gone.len() >= GONE_MAX {
                table.gone.pop_first();
            }
            table.gone.insert(tid, task);
        }
    }

    /// The host's thread `tid` may open a message queue, once.
    pub fn let_open(&self, tid: u32, queue: MqueueId) {
        self.write().lets_open.insert(tid, queue);
    }

    /// Whether it is this queue that a thread was let open, which is over then.
    pub fn opens(&self, tid: u32, queue: MqueueId) -> bool {
        if self.read().lets_open.get(&tid) != Some(&queue) {
            return false;
        }
        self.write().lets_open.remove(&tid);
        true
    }

    /// The task that the host's thread `tid` is.
    pub fn task(&self, tid: u32) -> Option<TaskId> {
        self.read().tasks.get(&tid).copied()
    }

    /// The task that the host's thread `tid` is, or was before it ended.
    pub fn task_ever(&self, tid: u32) -> Option<TaskId> {
        let table = self.read();
        table.tasks.get(&tid).or_else(|| table.gone.get(&tid)).copied()
    }

    /// The host's thread that a task is.
    pub fn thread(&self, task: TaskId) -> Option<u32> {
        self.read().threads.get(&task).copied()
    }

    /// A program may mount a file system of the lab on a directory of the host.
    pub fn mounts_elsewhere(&self, place: &[u8]) {
        self.write().elsewhere.insert(place.to_vec());
        self.is_elsewhere.store(true, Ordering::SeqCst);
    }

    /// Where programs have mounted such file systems, or have tried to; `None`: nowhere, as is usual.
    pub fn elsewhere(&self) -> Option<Vec<Vec<u8>>> {
        self.is_elsewhere.load(Ordering::SeqCst).then(|| self.read().elsewhere.iter().cloned().collect())
    }

    /// A server wants to hear of the end of a task that is no program: as [`Effect::Kill`].
    pub fn watch(&self, server: Server, task: TaskId) {
        self.write().watched.insert((task, server));
    }

    /// The watched tasks that have ended, which are watched no more.
    fn ended(&self, kernel: &Kernel) -> Vec<(TaskId, Server)> {
        if self.read().watched.is_empty() {
            return Vec::new();
        }
        let mut table = self.write();
        let (ended, watched): (BTreeSet<_>, _) = table.watched.iter().partition(|(task, _)| kernel.is_over(*task));
        table.watched = watched;
        ended.into_iter().collect()
    }

    /// Tells the servers what has to happen, in the order in which it was decided: the state is still locked.
    pub(super) fn hand_over(&self, kernel: &mut Kernel) {
        let effects = kernel.programs.take_effects();
        let ended = self.ended(kernel);
        if effects.is_empty() && ended.is_empty() {
            return;
        }
        let table = self.read();
        let mut of_server = BTreeMap::<Server, Vec<Effect>>::new();
        for effect in effects {
            if let Some(server) = table.of_task.get(&effect.task()) {
                of_server.entry(*server).or_default().push(effect);
            }
        }
        for (task, server) in ended {
            of_server.entry(server).or_default().push(Effect::Kill(task));
        }
        for (server, effects) in of_server {
            if let Some(act) = table.servers.get(&server) {
                act(effects);
            }
        }
    }
}

impl Lab {
    /// Notes in the trace that a real process was refused a call that no task of a lab makes.
    ///
    /// # Errors
    /// EIO once a writer has panicked.
    pub fn note_refusal(&self, task: TaskId, call: &'static str, args: Vec<Arg>, error: &Error) -> Result<()> {
        let (noted, _) = self.writer(|kernel, _| -> Result<()> {
            kernel.record_enter(task, || Step::Enter { call, args, flags: 0 });
            kernel.record(|_| Step::Exit { call, result: Err(error.clone()) });
            Ok(())
        });
        noted
    }

    /// From now on `act` is told what has to happen to the real processes of a new server. It must not ask the lab: the state
    /// is locked.
    ///
    /// # Errors
    /// EIO once a writer has panicked.
    pub fn serve_programs(&self, act: Act) -> Result<Server> {
        let (served, _) = self.writer(|kernel, _| -> Result<Server> {
            kernel.programs.serve();
            let mut table = self.programs.write();
            table.last += 1;
            let server = Server(table.last);
            table.servers.insert(server, act);
            Ok(server)
        });
        served
    }

    /// A server is gone, and with it its processes.
    pub fn programs_are_gone(&self, server: Server) {
        let mut table = self.programs.write();
        table.servers.remove(&server);
        table.of_task.retain(|_, other| *other != server);
        table.watched.retain(|(_, other)| *other != server);
    }
}
