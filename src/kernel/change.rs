//! What a call changed, in terms of what a reader may have seen before: the caches above drop exactly that.

use std::mem;

use super::{NsId, TaskId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new task; nothing about it can have been cached but its absence.
    Born(TaskId),
    /// Namespace links of the task may read differently.
    Links(TaskId),
    /// Owners or modes of the task's files may differ, and what it may look at (credentials, dumpable, zombie).
    Attrs(TaskId),
    /// As [`Change::Attrs`], of any task there is: names of users and groups, memory that several tasks share.
    AllAttrs,
    /// As [`Change::Attrs`], of a task that has died: files that only the living have are gone.
    Dead(TaskId),
    /// The task is reaped; all that was shown of it is gone.
    Gone(TaskId),
    /// The namespace is freed; its file is gone.
    NsGone(NsId),
}

/// The changes nobody has taken yet. Off until started, as they are kept for as long as nobody takes them.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    is_on: bool,
    noted: Vec<Change>,
}

impl Changes {
    /// Notes changes from now on, for somebody who takes them after each call.
    pub fn start(&mut self) {
        self.is_on = true;
    }

    /// Hands over the changes noted since the last time.
    pub fn take(&mut self) -> Vec<Change> {
        mem::take(&mut self.noted)
    }

    pub(crate) fn note(&mut self, change: Change) {
        if self.is_on {
            self.noted.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::script::Session;

    /// Two children, one in a user namespace of its own; a thread of the other one.
    const MANY: &[u8] = b"1 clone\n1 clone user\n2 clone vm sighand thread\n";

    fn run(k: &mut Kernel, script: &[u8]) -> Vec<Change> {
        Session::default().batch(k, script).1.unwrap();
        k.changes.take()
    }

    #[test]
    fn nothing_is_noted_before_the_start() {
        let mut k = Kernel::boot();
        assert_eq!(run(&mut k, MANY), []);
        k.changes.start();
        let child = k.tasks.next_id();
        assert_eq!(run(&mut k, b"1 clone\n"), [Change::Born(child)]);
        assert_eq!(k.changes.take(), []);
    }

    #[test]
    fn what_concerns_many_tasks_is_one_change() {
        let mut k = Kernel::boot();
        run(&mut k, MANY);
        k.changes.start();
        assert_eq!(run(&mut k, b"1 write proc/3/uid_map 0 0 1\n"), [Change::AllAttrs]);
        assert_eq!(run(&mut k, b"2 prctl dumpable 0\n"), [Change::AllAttrs]);
        let alone = k.find_task(3).unwrap();
        assert_eq!(run(&mut k, b"3 prctl dumpable 0\n"), [Change::Attrs(alone)]);
    }
}
