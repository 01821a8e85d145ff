//! Real programs that wait in a call, and what for. A task that is no program never waits: it is told that it would.

use std::collections::BTreeMap;

use super::ipc::IpcObject;
use super::ipc::msg::{MsgQueue, Search};
use super::ipc::sem::SemSet;
use super::program::Effect;
use super::{IpcNsId, Kernel, MqueueId, TaskId};

/// What a blocked call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// A child of the caller's process to die, stop or continue.
    Child,
    /// A message in this System V queue.
    Message { ns: IpcNsId, id: i32, search: Search },
    /// Room for so many bytes in this System V queue.
    MessageRoom { ns: IpcNsId, id: i32, size: usize },
    /// Another value of this semaphore.
    Semaphore { ns: IpcNsId, id: i32, num: u16, value: Wanted },
    /// A message in this POSIX queue.
    MqMessage(MqueueId),
    /// Room in this POSIX queue.
    MqRoom(MqueueId),
    /// This signal to be pending.
    Signal(i32),
    /// An answer from the network.
    Network,
}

/// The value of a semaphore that lets an operation go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The operation waits for 0. This is another number where operations before it in the same call change the value.
    Exactly(i32),
    AtLeast(i32),
}

/// Programs that wait.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Those that began first at the front.
    by_turn: BTreeMap<u64, (TaskId, WaitFor)>,
    turns: BTreeMap<TaskId, u64>,
    next_turn: u64,
}

impl Waiting {
    pub fn of(&self, task: TaskId) -> Option<WaitFor> {
        self.by_turn.get(self.turns.get(&task)?).map(|(_, on)| *on)
    }

    /// A program waits. One that waits already keeps its place.
    pub(crate) fn begins(&mut self, task: TaskId, on: WaitFor) {
        let turn = *self.turns.entry(task).or_insert(self.next_turn);
        self.next_turn = self.next_turn.max(turn + 1);
        self.by_turn.insert(turn, (task, on));
    }

    pub(crate) fn ends(&mut self, task: TaskId) {
        if let Some(turn) = self.turns.remove(&task) {
            self.by_turn.remove(&turn);
        }
    }

    /// How many wait for something of this kind.
    pub fn count(&self, is_meant: impl Fn(&WaitFor) -> bool) -> usize {
        self.by_turn.values().filter(|(_, on)| is_meant(on)).count()
    }
}

/// What one or more programs wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Queue(IpcNsId, i32),
    Set(IpcNsId, i32),
    Mqueue(MqueueId),
}

impl WaitFor {
    fn waited(&self) -> Option<Waited> {
        match *self {
            WaitFor::Message { ns, id, .. } | WaitFor::MessageRoom { ns, id, .. } => Some(Waited::Queue(ns, id)),
            WaitFor::Semaphore { ns, id, .. } => Some(Waited::Set(ns, id)),
            WaitFor::MqMessage(queue) | WaitFor::MqRoom(queue) => Some(Waited::Mqueue(queue)),
            WaitFor::Child | WaitFor::Signal(_) | WaitFor::Network => None,
        }
    }
}

impl Kernel {
    /// Whether what a program waits for is there, or never will be.
    pub fn is_there(&self, on: &WaitFor) -> bool {
        match *on {
            WaitFor::Message { ns, id, search } => {
                self.object::<MsgQueue>(ns, id).is_none_or(|queue| queue.messages().find(search).is_some())
            }
            WaitFor::MessageRoom { ns, id, size } => {
                self.object::<MsgQueue>(ns, id).is_none_or(|queue| queue.fits(size))
            }
            WaitFor::Semaphore { ns, id, num, value } => self.object::<SemSet>(ns, id).is_none_or(|set| match value {
                Wanted::Exactly(value) => set.sems[usize::from(num)].value == value,
                Wanted::AtLeast(value) => set.sems[usize::from(num)].value >= value,
            }),
            WaitFor::MqMessage(queue) => self.mqueues.get(queue).is_none_or(|queue| queue.curmsgs() > 0),
            WaitFor::MqRoom(queue) => self.mqueues.get(queue).is_none_or(|queue| !queue.is_full()),
            WaitFor::Child | WaitFor::Signal(_) | WaitFor::Network => true,
        }
    }

    /// Whether the queue or set of System V was removed that a program waits for.
    pub(crate) fn is_removed(&self, on: &WaitFor) -> bool {
        match on.waited() {
            Some(Waited::Queue(ns, id)) => self.object::<MsgQueue>(ns, id).is_none(),
            Some(Waited::Set(ns, id)) => self.object::<SemSet>(ns, id).is_none(),
            Some(Waited::Mqueue(_)) | None => false,
        }
    }

    fn object<T: IpcObject>(&self, ns: IpcNsId, id: i32) -> Option<&T> {
        T::ids(self.namespaces.state(ns)?).get(id)
    }

    /// A queue or set has changed: those who can go on now look again. Of a POSIX queue's these are no more than it has messages,
    /// or room for: all who wait for one of the two could do with any.
    pub(crate) fn wake(&mut self, changed: Waited) {
        let queue = if let Waited::Mqueue(queue) = changed { self.mqueues.get(queue) } else { None };
        let all = (usize::MAX, usize::MAX);
        let (mut messages, mut room) = queue.map_or(all, |queue| (queue.curmsgs(), queue.room()));
        let waiting = self.programs.waiting.by_turn.values();
        let able = waiting.filter(|(_, on)| on.waited() == Some(changed) && self.is_there(on));
        let told = able.filter(|(_, on)| {
            let left = match on {
                WaitFor::MqMessage(_) => &mut messages,
                WaitFor::MqRoom(_) => &mut room,
                _ => return true,
            };
            let is_told = *left > 0;
            *left = left.saturating_sub(1);
            is_told
        });
        for task in told.map(|(task, _)| *task).collect::<Vec<_>>() {
            self.programs.note(Effect::Ready(task));
        }
    }

    /// A program waits no more, and may have been told of what is there still: others are.
    pub(crate) fn stops_waiting(&mut self, task: TaskId) {
        let on = self.programs.waiting.of(task);
        self.programs.waiting.ends(task);
        if let Some(changed @ Waited::Mqueue(_)) = on.and_then(|on| on.waited()) {
            self.wake(changed);
        }
    }
}
