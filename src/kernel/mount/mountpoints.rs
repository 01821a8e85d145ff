//! What is mounted on, and by which mounts.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::node::Place;
use crate::kernel::{MountId, TaskId};

#[derive(Clone, Debug, Default)]
pub struct Mountpoints {
    /// By the task that a file is about: one that is reaped asks for its files, of which almost none is a mountpoint.
    by_task: BTreeMap<Option<TaskId>, BTreeMap<Place, BTreeSet<MountId>>>,
}

impl Mountpoints {
    pub(super) fn insert(&mut self, place: Place, mount: MountId) {
        self.by_task.entry(place.task()).or_default().entry(place).or_default().insert(mount);
    }

    pub(super) fn remove(&mut self, place: Place, mount: MountId) {
        let Some(places) = self.by_task.get_mut(&place.task()) else { return };
        let Some(mounts) = places.get_mut(&place) else { return };
        mounts.remove(&mount);
        if mounts.is_empty() {
            places.remove(&place);
        }
        if places.is_empty() {
            self.by_task.remove(&place.task());
        }
    }

    /// The mounts on a file, in any namespace.
    pub(in crate::kernel) fn at(&self, place: Place) -> impl Iterator<Item = MountId> {
        self.by_task.get(&place.task()).and_then(|places| places.get(&place)).into_iter().flatten().copied()
    }

    /// Those of a task's files in `proc` that are mountpoints.
    pub(super) fn of_task(&self, task: TaskId) -> impl Iterator<Item = Place> {
        self.by_task.get(&Some(task)).into_iter().flat_map(BTreeMap::keys).copied()
    }

    pub(in crate::kernel) fn iter(&self) -> impl Iterator<Item = (Place, MountId)> {
        let places = self.by_task.values().flatten();
        places.flat_map(|(place, mounts)| mounts.iter().map(|mount| (*place, *mount)))
    }
}
