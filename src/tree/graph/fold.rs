//! Which tasks stand in one row of the matrix, and what its cells show.

use std::collections::{BTreeMap, BTreeSet};

use super::super::census::{Census, Lists, Row, TaskRow, own_entries};
use super::Focus;
use crate::kernel::ns::{ENTRIES, NS_TABLE, NsEntry, NsType};

/// Tasks that share all that is shown: each is a child of another of them, or of a task in the row above.
#[derive(Debug)]
pub(super) struct Group {
    /// By number.
    pub tasks: Vec<Row>,
    /// How many groups it stands below.
    pub depth: usize,
    pub above: Option<usize>,
    /// One for each kind that is shown.
    pub cells: Vec<Cell>,
}

/// What the tasks of a group have of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    /// `None` of the dead, who have most namespaces no longer.
    pub ns: Option<Row>,
    /// The namespace of later children, where it is another one.
    pub for_children: Option<Row>,
}

impl Cell {
    fn of(census: &Census, task: &TaskRow, column: &Column) -> Cell {
        let ns = census.entry(task, column.own);
        let for_children = column.for_children.and_then(|entry| census.entry(task, entry));
        Cell { ns, for_children: for_children.filter(|&other| Some(other) != ns) }
    }

    fn all(self) -> impl Iterator<Item = Row> {
        self.ns.into_iter().chain(self.for_children)
    }
}

/// A kind of namespace that is shown.
pub(super) struct Column {
    pub ns_type: NsType,
    own: &'static NsEntry,
    for_children: Option<&'static NsEntry>,
}

/// What tasks in one group have in common besides their namespaces.
type Who = (u32, u32, u64);

type Key = (Vec<Cell>, Who);

/// The matrix before it is drawn.
pub(super) struct Matrix {
    pub columns: Vec<Column>,
    /// A group comes after the one it stands below.
    pub groups: Vec<Group>,
    /// By namespace: the letter of those that more than one group has.
    pub letters: BTreeMap<Row, usize>,
}

impl Matrix {
    pub fn of(census: &Census, focus: &Focus, kept: &[bool]) -> Matrix {
        let columns = columns(focus);
        let mut folding = Folding { census, columns: &columns, kept, below: below(census), groups: Vec::new() };
        folding.fold();
        let groups = folding.groups;
        let letters = letters(census, &groups);
        Matrix { columns, groups, letters }
    }
}

fn columns(focus: &Focus) -> Vec<Column> {
    let column = |ns_type: NsType| Column {
        ns_type,
        own: own_entries().find(|own| own.ns_type == ns_type).expect("each kind has an entry of its own"),
        for_children: ENTRIES.iter().find(|entry| entry.ns_type == ns_type && entry.name != ns_type.ops().name),
    };
    NS_TABLE.iter().map(|ops| ops.ns_type).filter(|&ns_type| focus.shows(ns_type)).map(column).collect()
}

/// Children of tasks, threads of leaders.
fn below(census: &Census) -> Lists {
    Lists::new(census.task_rows().len(), || census.task_rows().filter_map(|row| Some((above(census, row)?, row))))
}

/// The leader of a thread, the parent of a process.
pub(super) fn above(census: &Census, row: Row) -> Option<Row> {
    let task = census.task(row);
    let above = if task.leader == row { task.parent } else { task.leader };
    (above != row).then_some(above)
}

struct Folding<'a> {
    census: &'a Census,
    columns: &'a [Column],
    kept: &'a [bool],
    below: Lists,
    groups: Vec<Group>,
}

/// Tasks of which a group is to be made.
struct Seed {
    tasks: Vec<Row>,
    key: Key,
    above: Option<usize>,
}

impl Folding<'_> {
    fn fold(&mut self) {
        let tops = self.census.task_rows().filter(|&row| above(self.census, row).is_none() && self.kept[row as usize]);
        let mut seeds: Vec<Seed> = tops.map(|row| Seed { tasks: vec![row], key: self.key(row), above: None }).collect();
        seeds.reverse();
        while let Some(seed) = seeds.pop() {
            self.grow(seed, &mut seeds);
        }
    }

    /// Takes in the children that are alike, and their children; of the others seeds are made.
    fn grow(&mut self, seed: Seed, seeds: &mut Vec<Seed>) {
        let mut others: BTreeMap<Key, Vec<Row>> = BTreeMap::new();
        let mut tasks = seed.tasks;
        let mut at = 0;
        while let Some(&task) = tasks.get(at) {
            for &child in self.below.of(task).iter().filter(|&&child| self.kept[child as usize]) {
                let key = self.key(child);
                if key == seed.key { tasks.push(child) } else { others.entry(key).or_default().push(child) }
            }
            at += 1;
        }
        tasks.sort_unstable();
        let index = self.groups.len();
        let depth = seed.above.map_or(0, |above| self.groups[above].depth + 1);
        self.groups.push(Group { tasks, depth, above: seed.above, cells: seed.key.0 });
        let mut next: Vec<Seed> =
            others.into_iter().map(|(key, tasks)| Seed { tasks, key, above: Some(index) }).collect();
        next.sort_by_key(|seed| std::cmp::Reverse(seed.tasks.iter().min().copied()));
        seeds.extend(next);
    }

    fn key(&self, row: Row) -> Key {
        let task = self.census.task(row);
        let cells = self.columns.iter().map(|column| Cell::of(self.census, task, column)).collect();
        (cells, (task.euid, task.egid, task.capabilities))
    }
}

/// Gives a letter to each group that is the first to have a namespace which another group has too: all such namespaces
/// of the group have this letter.
fn letters(census: &Census, groups: &[Group]) -> BTreeMap<Row, usize> {
    let mut having: BTreeMap<Row, BTreeSet<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        for ns in group.cells.iter().flat_map(|cell| cell.all()) {
            having.entry(ns).or_default().insert(index);
        }
    }
    having.retain(|&ns, groups| groups.len() > 1 && census.initial(census.ns(ns).ns_type) != ns);
    let first = |groups: &BTreeSet<usize>| groups.first().copied();
    let founders: BTreeSet<usize> = having.values().filter_map(first).collect();
    let letter_of: BTreeMap<usize, usize> = founders.into_iter().zip(0..).collect();
    having.into_iter().filter_map(|(ns, groups)| Some((ns, *letter_of.get(groups.first()?)?))).collect()
}

/// 0: A, 25: Z, 26: AA.
pub(super) fn letter(mut index: usize) -> String {
    let mut text = Vec::new();
    loop {
        text.push(b'A' + (index % 26) as u8);
        match (index / 26).checked_sub(1) {
            Some(rest) => index = rest,
            None => break,
        }
    }
    text.iter().rev().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::script::Session;

    fn matrix(script: &str) -> (Census, Matrix) {
        let mut k = Kernel::boot();
        Session::default().batch(&mut k, script.as_bytes()).1.unwrap();
        let census = Census::take(&k);
        let all = vec![true; census.task_rows().len()];
        let matrix = Matrix::of(&census, &Focus::default(), &all);
        (census, matrix)
    }

    fn pids(script: &str) -> Vec<(usize, Vec<i32>)> {
        let (census, matrix) = matrix(script);
        let pids = |group: &Group| group.tasks.iter().map(|&row| census.task(row).pid).collect();
        matrix.groups.iter().map(|group| (group.depth, pids(group))).collect()
    }

    #[test]
    fn tasks_that_share_everything_are_one_group() {
        assert_eq!(pids("1 clone\n2 clone\n1 clone\n"), [(0, vec![1, 2, 3, 4])]);
        // Siblings alike are one group, and so are their children.
        assert_eq!(
            pids("A = 1 clone\n$A unshare net\n$A clone\nB = 1 clone\n$B setuid 5\nC = 1 clone\n$C setuid 5\n"),
            [(0, vec![1]), (1, vec![2, 3]), (1, vec![4, 5])]
        );
    }

    #[test]
    fn a_letter_is_of_what_groups_share_and_of_who_had_it_first() {
        let (census, matrix) =
            matrix("A = 1 clone net,ipc\n$A unshare uts\nB = $A clone\n$B unshare uts\nC = 1 clone net\n");
        let named = |(&ns, &letter): (&Row, &usize)| (census.ns(ns).ns_type.ops().name, letter);
        assert_eq!(matrix.letters.iter().map(named).collect::<Vec<_>>(), [("ipc", 0), ("net", 0)]);
    }

    #[test]
    fn letters_go_on_after_the_last() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letter), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
