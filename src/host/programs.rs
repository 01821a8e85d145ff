//! Which host processes are tasks of the lab, and who serves them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Lab;
use crate::errno::{Arg, Error, Result};
use crate::kernel::program::Effect;
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, MqueueId, TaskId};

/// Makes happen to real processes what has to.
type Act = Box<dyn Fn(Vec<Effect>) + Send + Sync>;

/// Who serves programs of a lab, as [`Lab::serve_programs`] numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server(u64);

/// The threads of real processes that are tasks of a lab.
#[derive(Debug, Default)]
pub struct Programs(RwLock<Table>);

#[derive(Default)]
struct Table {
    last: u64,
    servers: BTreeMap<Server, Act>,
    /// Who serves a task.
    of_task: BTreeMap<TaskId, Server>,
    tasks: BTreeMap<u32, TaskId>,
    /// The message queues that the lab has let threads open, whatever their modes say by now.
    lets_open: BTreeMap<u32, MqueueId>,
    threads: BTreeMap<TaskId, u32>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("tasks", &self.tasks).field("of_task", &self.of_task).finish_non_exhaustive()
    }
}

impl Programs {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
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
        table.tasks.insert(tid, task);
        table.threads.insert(task, tid);
    }

    /// The host's thread is gone.
    pub fn unbind(&self, tid: u32) {
        let mut table = self.write();
        table.lets_open.remove(&tid);
        if let Some(task) = table.tasks.remove(&tid) {
            table.threads.remove(&task);
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

    /// The host's thread that a task is.
    pub fn thread(&self, task: TaskId) -> Option<u32> {
        self.read().threads.get(&task).copied()
    }

    /// Tells the servers what has to happen, in the order in which it was decided: the state is still locked.
    pub(super) fn hand_over(&self, kernel: &mut Kernel) {
        let effects = kernel.programs.take_effects();
        if effects.is_empty() {
            return;
        }
        let table = self.read();
        let mut of_server = BTreeMap::<Server, Vec<Effect>>::new();
        for effect in effects {
            if let Some(server) = table.of_task.get(&effect.task()) {
                of_server.entry(*server).or_default().push(effect);
            }
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
    }
}
