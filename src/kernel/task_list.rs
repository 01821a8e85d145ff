//! Lists of tasks that are linked through the tasks themselves (`struct list_head`): the children of a task, the threads
//! of a process, the tasks in a cgroup. Who is in one costs no memory of its own and goes without a search.

use super::TaskId;
use super::table::Table;
use super::task::Task;

/// The ends of a list, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskList {
    pub first: Option<TaskId>,
    pub last: Option<TaskId>,
}

/// A task's place in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    pub previous: Option<TaskId>,
    pub next: Option<TaskId>,
}

/// Which links of a task belong to a list.
type LinksOf = fn(&mut Task) -> &mut Links;

impl TaskList {
    pub fn is_empty(self) -> bool {
        self.first.is_none()
    }

    /// The tasks in it. `next` says what follows one.
    pub fn iter(self, tasks: &Table<Task>, next: fn(&Task) -> Option<TaskId>) -> impl Iterator<Item = TaskId> {
        std::iter::successors(self.first, move |&task| next(&tasks[task]))
    }

    /// Puts a task at the end.
    pub(super) fn push(&mut self, tasks: &mut Table<Task>, task: TaskId, links: LinksOf) {
        let last = self.last.replace(task);
        *links(&mut tasks[task]) = Links { previous: last, next: None };
        match last {
            Some(last) => links(&mut tasks[last]).next = Some(task),
            None => self.first = Some(task),
        }
    }

    /// Takes a task out.
    pub(super) fn remove(&mut self, tasks: &mut Table<Task>, task: TaskId, links: LinksOf) {
        let Links { previous, next } = std::mem::take(links(&mut tasks[task]));
        self.join(tasks, (previous, next), (next, previous), links);
    }

    /// Puts `new` in the place of `old`.
    pub(super) fn replace(&mut self, tasks: &mut Table<Task>, old: TaskId, new: TaskId, links: LinksOf) {
        let place = std::mem::take(links(&mut tasks[old]));
        *links(&mut tasks[new]) = place;
        self.join(tasks, (place.previous, Some(new)), (place.next, Some(new)), links);
    }

    /// Says what comes behind the one before a gap, and what before the one behind it.
    fn join(
        &mut self,
        tasks: &mut Table<Task>,
        (previous, behind): (Option<TaskId>, Option<TaskId>),
        (next, before): (Option<TaskId>, Option<TaskId>),
        links: LinksOf,
    ) {
        match previous {
            Some(previous) => links(&mut tasks[previous]).next = behind,
            None => self.first = behind,
        }
        match next {
            Some(next) => links(&mut tasks[next]).previous = before,
            None => self.last = before,
        }
    }
}
