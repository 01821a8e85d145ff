//! What a call changed, in terms of what a reader may have seen before: the caches above drop exactly that.

use super::{NsId, TaskId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new task; nothing about it can have been cached but its absence.
    Born(TaskId),
    /// Namespace links of the task may read differently.
    Links(TaskId),
    /// Owners or modes of the task's files may differ, and what it may look at (credentials, dumpable, zombie).
    Attrs(TaskId),
    /// The task is reaped; all that was shown of it is gone.
    Gone(TaskId),
    /// The namespace is freed; its file is gone.
    NsGone(NsId),
}
