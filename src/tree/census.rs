//! What the pictures below `kernel/` are drawn from: who is in which namespace at one instant, as plain data. Taking it
//! copies a few words for each task and is all that needs the kernel; drawing does not.

use std::sync::Arc;

use super::proc::pid::status;
use super::{Eyes, TREE};
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::cred::Cred;
use crate::kernel::file::Bound;
use crate::kernel::node::Place;
use crate::kernel::ns::{ENTRIES, NS_TABLE, NsEntry, NsState, NsType, SLOTS, Slot, Source};
use crate::kernel::table::Id;
use crate::kernel::task::{COMM_MAX, TaskState};

/// All tasks, namespaces and nsproxies. Rows name each other by `Row`.
#[derive(Debug, PartialEq, Eq)]
pub struct Census {
    /// By inum.
    pub(super) namespaces: Vec<NsRow>,
    /// The initial ones, in the order of the table of kinds.
    pub(super) initial: [Row; NS_TABLE.len()],
    pub(super) nsproxies: Vec<NsProxyRow>,
    /// By number in the initial pid namespace; the first is init.
    pub(super) tasks: Vec<TaskRow>,
    /// The numbers of tasks in nested pid namespaces, one run for each such task.
    pub(super) numbers: Vec<i32>,
}

/// The content of a file at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendering {
    Text(Vec<u8>),
    Picture(Picture),
}

/// A picture that is not drawn yet. Drawing takes far longer than taking what it shows, and does not need the kernel any
/// more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    census: Arc<Census>,
    place: Place,
}

impl Rendering {
    /// The content of an open file.
    ///
    /// # Errors
    /// As [`read_open`](super::read_open).
    pub fn take(k: &Kernel, eyes: impl Into<Eyes>, file: &Bound) -> Result<Rendering> {
        match Picture::take(k, file.node.place) {
            Some(picture) => Ok(Rendering::Picture(picture)),
            None => super::read_open(k, eyes, file).map(Rendering::Text),
        }
    }

    pub fn into_text(self) -> Vec<u8> {
        match self {
            Rendering::Text(text) => text,
            Rendering::Picture(picture) => picture.draw(),
        }
    }
}

impl Picture {
    /// What the picture at a place shows now; `None`: no picture is there. It is the same for whoever looks.
    pub fn take(k: &Kernel, place: Place) -> Option<Picture> {
        Picture::of(place, || Arc::new(Census::take(k)))
    }

    /// The same, of what `census` gives.
    pub fn of(place: Place, census: impl FnOnce() -> Arc<Census>) -> Option<Picture> {
        drawn_by(place).map(|_| Picture { census: census(), place })
    }

    pub fn draw(&self) -> Vec<u8> {
        drawn_by(self.place).map_or_else(Vec::new, |draw| draw(&self.census))
    }

    /// What it takes until it is drawn, in bytes.
    pub fn bytes(&self) -> usize {
        let Census { namespaces, initial: _, nsproxies, tasks, numbers } = &*self.census;
        size_of_val(&namespaces[..]) + size_of_val(&nsproxies[..]) + size_of_val(&tasks[..]) + size_of_val(&numbers[..])
    }
}

/// How a picture is drawn; `None`: no picture is there.
fn drawn_by(place: Place) -> Option<fn(&Census) -> Vec<u8>> {
    TREE.ask(place, |file| file.drawing())
}

/// The index of a row in its table.
pub(super) type Row = u32;

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NsRow {
    pub ns_type: NsType,
    pub inum: u32,
    pub ns_id: u64,
    pub count: u32,
    pub pins: u32,
    pub owner: Option<Row>,
    pub parent: Option<Row>,
    /// Links show it: not a pid namespace without an init.
    pub is_shown: bool,
}

/// An nsproxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NsProxyRow {
    /// Its name in `kernel/nsproxy`.
    pub index: u32,
    pub count: u32,
    pub slots: [Row; SLOTS],
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskRow {
    pub pid: i32,
    pub state: TaskState,
    /// An idle kernel thread.
    pub(super) is_idle: bool,
    pub uid: u32,
    pub euid: u32,
    pub egid: u32,
    /// The effective capabilities.
    pub capabilities: u64,
    pub leader: Row,
    /// The task that made it or has taken it over; of init and kthreadd themselves.
    pub parent: Row,
    pub user_ns: Row,
    pub pid_ns: Row,
    /// `None` of a zombie.
    pub nsproxy: Option<Row>,
    pub(super) comm: [u8; COMM_MAX],
    pub(super) comm_len: u8,
    /// It is a real thread.
    pub is_program: bool,
    /// How many numbers it has in nested pid namespaces, and where they stand.
    pub(super) nested: u8,
    pub(super) numbers_at: u32,
}

/// The entries that say where a task itself is, not its children.
pub(super) fn own_entries() -> impl Iterator<Item = &'static NsEntry> {
    ENTRIES.iter().filter(|entry| entry.name == entry.ns_type.ops().name)
}

/// Rows by the place of their object in a table of the kernel.
struct Places(Vec<Row>);

impl Places {
    fn of(slots: impl Iterator<Item = u32>) -> Places {
        let mut places = Places(Vec::new());
        for (row, slot) in (0..).zip(slots) {
            let slot = slot as usize;
            if places.0.len() <= slot {
                places.0.resize(slot + 1, Row::MAX);
            }
            places.0[slot] = row;
        }
        places
    }

    fn row<T>(&self, id: Id<T>) -> Row {
        self.0[id.index() as usize]
    }
}

impl Census {
    /// Looks at all objects once.
    pub fn take(k: &Kernel) -> Census {
        let places = Places::of(k.ns_by_inum.values().map(|ns| ns.index()));
        let namespaces = k.ns_by_inum.values().map(|&ns| {
            let namespace = &k.namespaces[ns];
            let common = &namespace.common;
            let is_shown = !matches!(&namespace.state, NsState::Pid(pid_ns) if pid_ns.child_reaper.is_none());
            NsRow {
                ns_type: namespace.ns_type(),
                inum: common.inum,
                ns_id: common.ns_id,
                count: common.count,
                pins: common.pins,
                owner: k.ns_owner(ns).map(|owner| places.row(owner)),
                parent: k.ns_parent(ns).map(|parent| places.row(parent)),
                is_shown,
            }
        });
        let namespaces = namespaces.collect();
        let nsproxies = k.nsproxies.iter().map(|(id, nsproxy)| NsProxyRow {
            index: id.index(),
            count: nsproxy.count,
            slots: nsproxy.ids().map(|ns| places.row(ns)),
        });
        let initial = k.init.namespaces.map(|ns| places.row(ns));
        let nsproxies = nsproxies.collect();
        let mut census = Census { namespaces, initial, nsproxies, tasks: Vec::new(), numbers: Vec::new() };
        census.take_tasks(k, &places);
        census
    }

    fn take_tasks(&mut self, k: &Kernel, namespaces: &Places) {
        let nsproxies = Places::of(self.nsproxies.iter().map(|nsproxy| nsproxy.index));
        let mut slots = Vec::with_capacity(k.tasks.len());
        self.tasks.reserve_exact(k.tasks.len());
        for (pid, id) in super::structs::tasks(k) {
            let task = &k.tasks[id];
            let struct_pid = &k.pids[task.thread_pid.id()];
            let cred: &Cred = &k.creds[task.cred.id()];
            let mut comm = [0; COMM_MAX];
            comm[..task.comm.len()].copy_from_slice(&task.comm);
            let numbers_at = self.numbers.len() as u32;
            self.numbers.extend(struct_pid.numbers().skip(1).map(|(_, number)| number));
            slots.push(id.index());
            self.tasks.push(TaskRow {
                pid,
                state: task.state,
                is_idle: k.kthreads.table.get(&id).is_some_and(|kthread| kthread.idle),
                uid: cred.ids.uid.0,
                euid: cred.ids.euid.0,
                egid: cred.ids.egid.0,
                capabilities: cred.effective.bits(),
                // Slots of the table for now: not all rows are known yet.
                leader: k.signals[task.signal].leader.index(),
                parent: task.real_parent.index(),
                user_ns: namespaces.row(cred.user_ns.id()),
                pid_ns: namespaces.row(struct_pid.ns.id()),
                nsproxy: task.live.as_ref().map(|live| nsproxies.row(live.nsproxy.id())),
                comm,
                comm_len: task.comm.len() as u8,
                is_program: task.is_program,
                nested: struct_pid.level() as u8,
                numbers_at,
            });
        }
        let places = Places::of(slots.into_iter());
        for task in &mut self.tasks {
            task.leader = places.0[task.leader as usize];
            task.parent = places.0[task.parent as usize];
        }
        // A thread has the parent of its process.
        for row in 0..self.tasks.len() {
            let leader = self.tasks[row].leader as usize;
            self.tasks[row].parent = self.tasks[leader].parent;
        }
    }

    pub(super) fn ns(&self, row: Row) -> &NsRow {
        &self.namespaces[row as usize]
    }

    pub(super) fn task(&self, row: Row) -> &TaskRow {
        &self.tasks[row as usize]
    }

    /// The rows of all tasks, by number.
    pub(super) fn task_rows(&self) -> std::ops::Range<Row> {
        0..self.tasks.len() as Row
    }

    pub(super) fn ns_rows(&self) -> std::ops::Range<Row> {
        0..self.namespaces.len() as Row
    }

    /// The initial namespace of a kind.
    pub(super) fn initial(&self, ns_type: NsType) -> Row {
        self.initial[ns_type as usize]
    }

    /// The number of a task's process in the initial pid namespace.
    pub(super) fn tgid(&self, task: &TaskRow) -> i32 {
        self.task(task.leader).pid
    }

    /// The number of the parent's process; 0 of init and kthreadd.
    pub(super) fn ppid(&self, task: &TaskRow) -> i32 {
        let parent = self.tgid(self.task(task.parent));
        if parent == self.tgid(task) { 0 } else { parent }
    }

    /// What a task is drawn below: a process below its parent, a thread below its leader, as far as those are in the same
    /// pid namespace.
    fn above(&self, row: Row) -> Option<Row> {
        let task = self.task(row);
        let above = if task.leader == row { task.parent } else { task.leader };
        (above != row && self.task(above).pid_ns == task.pid_ns).then_some(above)
    }

    /// The numbers of a task from the initial pid namespace inwards: 7 3 1.
    pub(super) fn numbers(&self, task: &TaskRow) -> impl Iterator<Item = i32> {
        let at = task.numbers_at as usize;
        std::iter::once(task.pid).chain(self.numbers[at..at + usize::from(task.nested)].iter().copied())
    }

    /// The namespace an entry of the task's `ns` shows, if there is one.
    pub(super) fn entry(&self, task: &TaskRow, entry: &NsEntry) -> Option<Row> {
        match entry.source {
            Source::ThreadPid => Some(task.pid_ns),
            Source::Cred => Some(task.user_ns),
            Source::Slot(slot) => {
                let ns = self.nsproxies[task.nsproxy? as usize].slots[slot as usize];
                (slot != Slot::PidForChildren || self.ns(ns).is_shown).then_some(ns)
            }
        }
    }

    /// The entries whose namespaces are not those of init; those for children only where they are other ones than the
    /// task's own.
    pub(super) fn differing(&self, task: &TaskRow) -> impl Iterator<Item = (&'static NsEntry, &NsRow)> {
        let init = &self.tasks[0];
        ENTRIES.iter().filter_map(move |entry| {
            let ns = self.entry(task, entry)?;
            let own = own_entries().find(|own| own.ns_type == entry.ns_type && own.name != entry.name);
            let repeats = own.is_some_and(|own| self.entry(task, own) == Some(ns));
            (!repeats && self.entry(init, entry) != Some(ns)).then(|| (entry, self.ns(ns)))
        })
    }

    /// The tasks in each namespace; none in one that only a pin, a child or a pointer for children keeps.
    pub(super) fn members(&self) -> Lists {
        Lists::new(self.namespaces.len(), || {
            let entries = |row| own_entries().filter_map(move |entry| self.entry(self.task(row), entry));
            self.task_rows().flat_map(move |row| entries(row).map(move |ns| (ns, row)))
        })
    }

    /// The tasks of each pid namespace that are drawn below no other of it.
    pub(super) fn tops(&self) -> Lists {
        Lists::new(self.namespaces.len(), || {
            self.task_rows().filter(|&row| self.above(row).is_none()).map(|row| (self.task(row).pid_ns, row))
        })
    }

    /// The tasks drawn below each task.
    pub(super) fn below(&self) -> Lists {
        Lists::new(self.tasks.len(), || self.task_rows().filter_map(|row| Some((self.above(row)?, row))))
    }
}

impl NsRow {
    /// `net:[4026532177]`
    pub(super) fn text(&self) -> String {
        format!("{}:[{}]", self.ns_type.ops().name, self.inum)
    }
}

impl TaskRow {
    /// The name of the task as text that has no control characters.
    pub(super) fn comm(&self) -> String {
        String::from_utf8_lossy(&self.comm[..usize::from(self.comm_len)]).chars().flat_map(char::escape_debug).collect()
    }

    /// The letter of its state.
    pub(super) fn state(&self) -> &'static str {
        if self.is_idle { "I" } else { &status::state(self.state)[..1] }
    }
}

/// A list of rows for each row of a table, all in one piece of memory.
#[derive(Debug)]
pub(super) struct Lists {
    /// Where each list ends.
    ends: Vec<u32>,
    items: Vec<Row>,
}

impl Lists {
    /// `count` lists of the items that `pairs` gives, each time the same ones, with the list each belongs to.
    pub fn new<I: Iterator<Item = (Row, Row)>>(count: usize, pairs: impl Fn() -> I) -> Lists {
        let mut ends = vec![0u32; count];
        pairs().for_each(|(list, _)| ends[list as usize] += 1);
        let mut sum = 0;
        for end in &mut ends {
            // Where the list starts; it moves to the end as items come.
            sum += std::mem::replace(end, sum);
        }
        let mut items = vec![0; sum as usize];
        for (list, item) in pairs() {
            let at = &mut ends[list as usize];
            items[*at as usize] = item;
            *at += 1;
        }
        Lists { ends, items }
    }

    pub fn of(&self, list: Row) -> &[Row] {
        let list = list as usize;
        let start = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start as usize..self.ends[list] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_the_order_of_their_items() {
        let pairs = [(2, 7), (0, 1), (2, 3), (0, 2)];
        let lists = Lists::new(3, || pairs.into_iter());
        assert_eq!([lists.of(0), lists.of(1), lists.of(2)], [&[1, 2][..], &[], &[7, 3]]);
    }
}
