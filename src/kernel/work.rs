//! What a call leaves to be done before it returns.

use super::mount::umount::Umounting;
use super::{Kernel, PidNsId, TaskId, TreeId};

/// What is left to do before a call returns. Linux does it in other tasks' context or in work items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The thread dies, with this status word unless its group has one.
    Exit(TaskId, i32),
    /// The process is taken off the books, if it is dead.
    Reap(TaskId),
    /// A number was given back in a dead pid namespace: its init may be waiting for that.
    ZapProgress(PidNsId),
    /// The namespace of these mounts is gone.
    DropMounts(TreeId),
}

impl Kernel {
    /// Does all that is due, in order, until nothing is.
    pub(crate) fn run_work(&mut self) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Exit(task, code) => {
                    if self.tasks.get(task).is_some_and(|t| !t.is_dead()) {
                        self.do_exit(task, code);
                    }
                }
                Work::Reap(task) => {
                    if self.tasks.contains(task) && self.is_reapable(task) {
                        self.release_task(task);
                    }
                }
                Work::ZapProgress(ns) => self.finish_zap_if_done(ns),
                Work::DropMounts(tree) => self.umount_tree(self.vfs.trees[tree].root, Umounting::Namespace),
            }
        }
        self.forget_connections();
        self.linkwatch_run();
    }
}
