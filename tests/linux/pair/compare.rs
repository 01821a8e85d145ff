//! All that can be seen of both sides, compared.

use std::collections::BTreeSet;

use nslab::kernel::ns::ENTRIES;
use nslab::kernel::task::TaskState;
use nslab::kernel::{Kernel, TaskId};

use super::{Pair, Seen, Trouble};
use crate::observe::{
    Links, MAP_FILES, Status, initial_number, is_there, lab_links, lab_ns, lab_status, lab_text, real_links,
    real_status, real_text,
};
use crate::patience::Wait;
use crate::third::is_of_process;

impl Pair {
    /// Compares tasks until they agree or patience ends: deaths and signals take their time on the machine.
    fn compare_tasks(&mut self, tasks: &BTreeSet<TaskId>) -> Result<(), Trouble> {
        let corruption = self.corruption;
        for &task in tasks {
            let mut look = |k: &Kernel| {
                let mut seen = (lab_links(k, task), lab_status(k, task));
                if let Some(corruption) = corruption {
                    let mut all = Seen { result: Ok(String::new()), tasks: vec![(k.task_nr(task), seen.0, seen.1)] };
                    corruption(&mut all);
                    let (_, links, status) = all.tasks.remove(0);
                    seen = (links, status);
                }
                seen
            };
            self.compare_task(task, &mut look).map_err(Trouble::Differs)?;
        }
        Ok(())
    }

    pub(super) fn compare_task(
        &mut self,
        task: TaskId,
        look: &mut dyn FnMut(&Kernel) -> (Links, Status),
    ) -> Result<(), String> {
        if !self.k.tasks.contains(task) {
            return Ok(());
        }
        let nr = self.k.task_nr(task);
        let real = self.machine.numbers.real(nr).ok_or_else(|| format!("task {nr} has no counterpart"))?;
        let (links, status) = look(&self.k);
        let wait = Wait::start();
        loop {
            let difference = match self.difference_of(task, nr, real, &links, &status) {
                None => return Ok(()),
                Some(difference) => difference,
            };
            if wait.is_over(self.patience) {
                return Err(difference);
            }
            wait.pause();
        }
    }

    fn difference_of(&mut self, task: TaskId, nr: i32, real: i32, links: &Links, status: &Status) -> Option<String> {
        let there = match real_status(real, |nr| self.lab_number(nr)) {
            Ok(there) => there,
            Err(errno) => return Some(format!("task {nr}: its status on the machine: {errno}")),
        };
        // Signals that nobody will take any more are not part of the lab.
        let is_dead = self.k.tasks[task].is_dead();
        let is_skipped = |name: &str| is_dead && name.ends_with("Pnd") || self.is_in_lab && is_of_process(name);
        for (name, value) in status.iter().filter(|(name, _)| !is_skipped(name)) {
            let other = there.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            if other != Some(value) {
                return Some(format!("task {nr}: {name}: lab {value:?}, machine {other:?}"));
            }
        }
        if there.len() != status.len() {
            return Some(format!("task {nr}: status has {} lines in the lab, {} there", status.len(), there.len()));
        }
        self.difference_of_links(task, nr, links, &real_links(real))
    }

    /// Each namespace of the lab is one namespace of the machine, for as long as it lives.
    fn difference_of_links(&mut self, task: TaskId, nr: i32, lab: &Links, real: &Links) -> Option<String> {
        let mut new = Vec::new();
        for (at, entry) in ENTRIES.iter().enumerate() {
            let differ = || Some(format!("task {nr}: ns/{}: lab {:?}, machine {:?}", entry.name, lab[at], real[at]));
            let (lab_number, real_number) = match (lab[at], real[at]) {
                (Ok(lab), Ok(real)) => (lab, real),
                (Err(lab), Err(real)) if lab == real => continue,
                _ => return differ(),
            };
            if (lab_number == initial_number(at)) != (real_number == self.machine.initial_number(at)) {
                return differ();
            }
            // By number, not by the entry: what the files show is what is compared.
            let Some(ns) = self.k.find_ns(entry.ns_type, lab_number).or_else(|| lab_ns(&self.k, task, at)) else {
                return differ();
            };
            match self.inums.get(ns) {
                Some(known) if known != real_number => return differ(),
                Some(_) => {}
                None => new.push((ns, real_number)),
            }
        }
        for (ns, real_number) in new {
            if !self.inums.learn(ns, real_number) {
                return Some(format!("task {nr}: {} is another namespace in the lab", real_number));
            }
        }
        None
    }

    /// Tasks that are gone in the lab are gone on the machine.
    pub(super) fn forget_the_gone(&mut self) -> Result<(), Trouble> {
        let is_gone = |lab: i32| self.k.find_task(lab).is_none();
        let gone: Vec<(i32, i32)> = self.machine.numbers.iter().filter(|&(lab, _)| is_gone(lab)).collect();
        for (lab, real) in gone {
            let wait = Wait::start();
            while is_there(real) {
                if wait.is_over(self.patience) {
                    return Err(Trouble::Differs(format!("task {lab} is gone in the lab, but not on the machine")));
                }
                wait.pause();
            }
            self.machine.forget(real);
        }
        self.machine.numbers.prune(&self.k);
        Ok(())
    }

    /// Everything there is, maps and names included.
    ///
    /// # Errors
    /// The two differ.
    pub fn compare_all(&mut self) -> Result<(), Trouble> {
        let tasks: BTreeSet<TaskId> = self.k.tasks.iter().map(|(id, _)| id).collect();
        self.compare_tasks(&tasks)?;
        for task in tasks {
            self.compare_files(task).map_err(Trouble::Differs)?;
        }
        self.compare_names().map_err(Trouble::Differs)
    }

    fn compare_files(&self, task: TaskId) -> Result<(), String> {
        let nr = self.k.task_nr(task);
        let Some(real) = self.machine.numbers.real(nr) else { return Ok(()) };
        for file in MAP_FILES {
            let (lab, there) = (lab_text(&self.k, task, file), real_text(real, file));
            if lab != there {
                return Err(format!("task {nr}: {file}: lab {lab:?}, machine {there:?}"));
            }
        }
        Ok(())
    }

    fn compare_names(&self) -> Result<(), String> {
        let mut asked = BTreeSet::new();
        for (task, state) in self.k.tasks.iter().map(|(id, task)| (id, task.state)) {
            let Some(nsproxy) = self.k.nsproxy_of(task).filter(|_| state == TaskState::Running) else { continue };
            let ns = nsproxy.uts_ns();
            if !asked.insert(ns) {
                continue;
            }
            let names = &self.k.namespaces[ns];
            // A zero byte ends a name for all who read it.
            let text = |name: &[u8]| {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                String::from_utf8_lossy(&name[..end]).into_owned()
            };
            let lab = Some((text(&names.nodename), text(&names.domainname)));
            let there = self.machine.names(self.k.task_nr(task));
            if lab != there {
                return Err(format!("names of task {}: lab {lab:?}, machine {there:?}", self.k.task_nr(task)));
            }
        }
        Ok(())
    }
}
