//! Which host processes are tasks of the lab, and who serves them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{OnceLock, PoisonError, RwLock};

use super::Lab;
use crate::errno::{Arg, Error, Result};
use crate::kernel::program::Effect;
use crate::kernel::trace::Step;
use crate::kernel::{Kernel, TaskId};

/// Who makes happen to real processes what has to.
type Server = Box<dyn Fn(Vec<Effect>) + Send + Sync>;

/// The threads of real processes that are tasks of a lab.
#[derive(Default)]
pub struct Programs {
    server: OnceLock<Server>,
    tasks: RwLock<BTreeMap<u32, TaskId>>,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

impl Programs {
    /// The host's thread `tid` is a task from now on.
    pub fn bind(&self, tid: u32, task: TaskId) {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner).insert(tid, task);
    }

    /// The host's thread is gone.
    pub fn unbind(&self, tid: u32) {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner).remove(&tid);
    }

    /// The task that the host's thread `tid` is.
    pub fn task(&self, tid: u32) -> Option<TaskId> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner).get(&tid).copied()
    }

    /// Tells the server what has to happen, in the order in which it was decided: the state is still locked.
    pub(super) fn hand_over(&self, kernel: &mut Kernel) {
        let effects = kernel.programs.take_effects();
        if let (Some(server), false) = (self.server.get(), effects.is_empty()) {
            server(effects);
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

    /// From now on `server` is told what has to happen to real processes. It must not ask the lab: the state is locked. There
    /// is one for the life of a lab.
    ///
    /// # Errors
    /// EIO once a writer has panicked.
    pub fn serve_programs(&self, server: Server) -> Result<()> {
        let (served, _) = self.writer(|kernel, _| -> Result<()> {
            if self.programs.server.set(server).is_ok() {
                kernel.programs.serve();
            }
            Ok(())
        });
        served
    }
}
