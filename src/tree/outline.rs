//! `kernel/tree`: namespaces below the user namespaces that own them, and tasks in nested pid namespaces, as text.

use std::fmt::Write as _;

use super::census::{Census, Lists, NsRow, Row};
use crate::kernel::ns::NsType;

const COLUMNS: usize = 7;
const NS_COLUMNS: [&str; COLUMNS] = ["NAMESPACE", "TASKS", "PID", "UID", "COUNT", "PINS", "COMMAND"];
const TASK_COLUMNS: [&str; COLUMNS] =
    ["PID NAMESPACE, TASK", "NSPID", "PPID", "UID", "STATE", "COMMAND", "NOT AS INIT"];
/// Tasks nested deeper than this in one pid namespace are listed side by side.
const DEPTH_MAX: usize = 64;

/// One line; the first cell is drawn as a tree.
type Cells = [String; COLUMNS];

/// What a table is drawn from.
struct Outline<'c> {
    census: &'c Census,
    /// The tasks in each namespace.
    members: Lists,
    /// The namespaces that each user namespace owns, other kinds first.
    owned: Lists,
    /// The pid namespaces nested in each.
    nested: Lists,
    tops: Lists,
    below: Lists,
}

/// A line of a table, and what is drawn below it.
#[derive(Clone, Copy)]
enum Branch {
    /// A namespace and what it owns.
    Owner(Row),
    /// A pid namespace, its tasks, and those nested in it.
    PidNs(Row),
    /// A task at a depth, and its children.
    Task(Row, usize),
    /// A task among those that are too deep for a branch of their own.
    Deep(Row),
}

/// The whole file.
pub(super) fn draw(census: &Census) -> Vec<u8> {
    let outline = Outline::of(census);
    let mut text = String::new();
    outline.table(&mut text, &NS_COLUMNS, Branch::Owner(census.initial(NsType::User)));
    text.push('\n');
    outline.table(&mut text, &TASK_COLUMNS, Branch::PidNs(census.initial(NsType::Pid)));
    text.into_bytes()
}

impl Outline<'_> {
    fn of(census: &Census) -> Outline<'_> {
        let mut by_kind: Vec<Row> = census.ns_rows().collect();
        by_kind.sort_by_key(|&row| census.ns(row).ns_type == NsType::User);
        let is_pid = |ns: &NsRow| ns.ns_type == NsType::Pid;
        Outline {
            census,
            members: census.members(),
            owned: Lists::new(census.namespaces.len(), || {
                by_kind.iter().filter_map(|&row| Some((census.ns(row).owner?, row)))
            }),
            nested: Lists::new(census.namespaces.len(), || {
                let pid_namespaces = census.ns_rows().filter(|&row| is_pid(census.ns(row)));
                pid_namespaces.filter_map(|row| Some((census.ns(row).parent?, row)))
            }),
            tops: census.tops(),
            below: census.below(),
        }
    }

    /// Rows below a head line, the columns aligned. All lines are made twice: for their widths, then for the text, so that
    /// they need not be kept.
    fn table(&self, text: &mut String, head: &[&str; COLUMNS], root: Branch) {
        let mut widths = head.map(|name| name.chars().count());
        self.walk(root, &mut |stem, cells| {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
            let first = stem.chars().count() + cells[0].chars().count();
            widths[0] = widths[0].max(first);
        });
        add_line(text, "", &head.map(str::to_owned), &widths);
        self.walk(root, &mut |stem, cells| add_line(text, stem, cells, &widths));
    }

    fn walk(&self, root: Branch, visit: &mut impl FnMut(&str, &Cells)) {
        self.walk_below(root, &mut String::new(), 0, visit);
    }

    /// Visits a branch and all below it. `stem` is what its lines begin with, the last `twig` bytes being the way to the
    /// branch itself.
    fn walk_below(&self, branch: Branch, stem: &mut String, twig: usize, visit: &mut impl FnMut(&str, &Cells)) {
        visit(stem, &self.cells(branch));
        let stem_length = stem.len();
        if twig > 0 {
            let further = if stem.ends_with("└─") { "  " } else { "│ " };
            stem.truncate(stem_length - twig);
            stem.push_str(further);
        }
        let base = stem.len();
        let below = self.branches_below(branch);
        let last = below.len().saturating_sub(1);
        for (index, below) in below.into_iter().enumerate() {
            let twig = if index == last { "└─" } else { "├─" };
            stem.push_str(twig);
            self.walk_below(below, stem, twig.len(), visit);
            stem.truncate(base);
        }
    }

    fn branches_below(&self, branch: Branch) -> Vec<Branch> {
        match branch {
            Branch::Owner(ns) => self.owned.of(ns).iter().map(|&ns| Branch::Owner(ns)).collect(),
            Branch::PidNs(ns) => {
                let tasks = self.tops.of(ns).iter().map(|&task| Branch::Task(task, 0));
                tasks.chain(self.nested.of(ns).iter().map(|&ns| Branch::PidNs(ns))).collect()
            }
            Branch::Task(task, DEPTH_MAX) => self.descendants(task).into_iter().map(Branch::Deep).collect(),
            Branch::Task(task, depth) => {
                self.below.of(task).iter().map(|&task| Branch::Task(task, depth + 1)).collect()
            }
            Branch::Deep(_) => Vec::new(),
        }
    }

    /// All tasks below one, those nearest first.
    fn descendants(&self, task: Row) -> Vec<Row> {
        let mut found = self.below.of(task).to_vec();
        let mut next = 0;
        while let Some(&task) = found.get(next) {
            found.extend(self.below.of(task));
            next += 1;
        }
        found
    }

    fn cells(&self, branch: Branch) -> Cells {
        match branch {
            Branch::Owner(ns) => self.ns_cells(ns),
            Branch::PidNs(ns) => {
                let mut cells = Cells::default();
                cells[0] = self.census.ns(ns).text();
                cells
            }
            Branch::Task(task, _) | Branch::Deep(task) => self.task_cells(task),
        }
    }

    fn ns_cells(&self, row: Row) -> Cells {
        let ns = self.census.ns(row);
        let members = self.members.of(row);
        let first = members.first().map(|&task| self.census.task(task));
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            ns.text(),
            members.len().to_string(),
            or_none(first.map(|task| task.pid.to_string())),
            or_none(first.map(|task| task.uid.to_string())),
            ns.count.to_string(),
            ns.pins.to_string(),
            or_none(first.map(|task| task.comm())),
        ]
    }

    fn task_cells(&self, row: Row) -> Cells {
        let task = self.census.task(row);
        let numbers = self.census.numbers(task).map(|number| number.to_string());
        let differing = self.census.differing(task).map(|(entry, ns)| format!("{}:[{}]", entry.name, ns.inum));
        [
            task.pid.to_string(),
            joined(numbers),
            self.census.ppid(task).to_string(),
            task.uid.to_string(),
            task.state().to_owned(),
            task.comm(),
            joined(differing),
        ]
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.fold(String::new(), |text, word| if text.is_empty() { word } else { text + " " + &word })
}

/// A line, two spaces between the columns and none at its end.
fn add_line(text: &mut String, stem: &str, cells: &Cells, widths: &[usize; COLUMNS]) {
    text.push_str(stem);
    let first = widths[0].saturating_sub(stem.chars().count());
    let _ = write!(text, "{:<first$}", cells[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        let _ = write!(text, "  {cell:<width$}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use crate::kernel::Kernel;
    use crate::script::Session;

    #[test]
    fn namespaces_hang_below_their_owners_and_tasks_below_their_parents() {
        let mut k = Kernel::boot();
        let script = b"A = 1 clone newuser newnet newpid\n$A clone\n1 clone\n";
        Session::default().batch(&mut k, script).1.unwrap();
        let init = crate::tree::Viewer(k.init.task);
        let node = crate::tree::resolve(&k, init.0, crate::kernel::node::View::Caller, b"kernel/tree", true).unwrap();
        let text = String::from_utf8(crate::tree::read(&k, init, node).unwrap()).unwrap();
        for part in [
            "\n└─user:[4026532177]  ",
            "\n  ├─pid:[4026532178]  ",
            "\n└─pid:[4026532178]\n",
            "\n  └─2  ",
            "\n    └─3  ",
            "  init     net:[4026532179] pid:[4026532178]",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
