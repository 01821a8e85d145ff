//! What of a lab is drawn.

use super::super::census::{Census, Row, own_entries};
use super::fold::above;
use crate::err;
use crate::errno::Result;
use crate::kernel::ns::NsType;

/// What a picture shows of a lab; of what is left empty, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// Numbers of tasks: they, those below and above them, and those that share a namespace with them that is not an
    /// initial one.
    pub pids: Vec<i32>,
    /// Inums of namespaces: the tasks in them.
    pub inums: Vec<u32>,
    /// The kinds of namespaces.
    pub types: Vec<NsType>,
}

impl Focus {
    pub(super) fn shows(&self, ns_type: NsType) -> bool {
        self.types.is_empty() || self.types.contains(&ns_type)
    }

    fn is_of_all(&self) -> bool {
        self.pids.is_empty() && self.inums.is_empty()
    }

    /// Which tasks are shown, by row.
    ///
    /// # Errors
    /// ESRCH: there is no such task. ENOENT: there is no such namespace.
    pub(super) fn tasks(&self, census: &Census) -> Result<Vec<bool>> {
        let mut kept = vec![self.is_of_all(); census.task_rows().len()];
        if self.is_of_all() {
            return Ok(kept);
        }
        let mut namespaces = vec![false; census.ns_rows().len()];
        for &inum in &self.inums {
            let ns = census.ns_rows().find(|&row| census.ns(row).inum == inum);
            namespaces[ns.ok_or_else(|| err!(ENOENT, "no namespace has the number {}", inum))? as usize] = true;
        }
        let mut meant = vec![false; kept.len()];
        for &pid in &self.pids {
            let task = census.task_rows().find(|&row| census.task(row).pid == pid);
            let row = task.ok_or_else(|| err!(ESRCH, "no task has the number {}", pid))?;
            meant[row as usize] = true;
            for ns in own(census, row).filter(|&ns| census.initial(census.ns(ns).ns_type) != ns) {
                namespaces[ns as usize] |= self.shows(census.ns(ns).ns_type);
            }
        }
        for row in census.task_rows() {
            let is_below = std::iter::successors(Some(row), |&row| above(census, row)).any(|row| meant[row as usize]);
            if is_below || own(census, row).any(|ns| namespaces[ns as usize]) {
                for row in std::iter::successors(Some(row), |&row| above(census, row)) {
                    kept[row as usize] = true;
                }
            }
        }
        Ok(kept)
    }
}

/// The namespaces a task is in.
fn own(census: &Census, row: Row) -> impl Iterator<Item = Row> {
    own_entries().filter_map(move |entry| census.entry(census.task(row), entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::script::Session;

    #[test]
    fn a_focus_keeps_those_meant_those_they_share_with_and_who_is_above() {
        let mut k = Kernel::boot();
        // 2 has a net namespace, which 3, a child of init, is in too; 4 is below 2, 5 has nothing to do with them.
        let script = "1 clone net\n1 clone\n3 setns 2/ns/net\n2 clone net\n1 clone uts\n";
        Session::default().batch(&mut k, script.as_bytes()).1.unwrap();
        let census = Census::take(&k);
        let kept = |focus: &Focus| -> Vec<i32> {
            let kept = focus.tasks(&census).unwrap();
            census.task_rows().filter(|&row| kept[row as usize]).map(|row| census.task(row).pid).collect()
        };
        assert_eq!(kept(&Focus::default()), [1, 2, 3, 4, 5]);
        assert_eq!(kept(&Focus { pids: vec![2], ..Focus::default() }), [1, 2, 3, 4]);
        assert_eq!(kept(&Focus { pids: vec![5], ..Focus::default() }), [1, 5]);
        assert_eq!(kept(&Focus { inums: vec![4026532177], ..Focus::default() }), [1, 2, 3]);
        assert!(Focus { pids: vec![9], ..Focus::default() }.tasks(&census).is_err());
        assert!(Focus { inums: vec![9], ..Focus::default() }.tasks(&census).is_err());
    }
}
