//! `kernel/tree`: namespaces below the user namespaces that own them, and tasks in nested pid namespaces, as text.

use super::census::{Census, comm, numbers};
use super::look::Look;
use super::proc::pid::status;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::kernel::{Kernel, NsId, PidNsId, TaskId, UserNsId};

const NS_COLUMNS: [&str; 7] = ["NAMESPACE", "TASKS", "PID", "UID", "COUNT", "PINS", "COMMAND"];
const TASK_COLUMNS: [&str; 7] = ["PID NAMESPACE, TASK", "NSPID", "PPID", "UID", "STATE", "COMMAND", "NOT AS INIT"];
/// Tasks nested deeper than this in one pid namespace are listed side by side.
const DEPTH_MAX: usize = 64;

/// One line and what hangs below it.
struct Branch {
    /// The first is drawn as a tree.
    cells: Vec<String>,
    below: Vec<Branch>,
}

/// The whole file.
pub(super) fn render(look: &Look<'_>) -> Result<Vec<u8>> {
    let census = Census::take(look.k);
    let owners = table(&NS_COLUMNS, &owned(&census, look.k.init.user_ns.any()));
    let tasks = table(&TASK_COLUMNS, &nested(&census, look.k.init.pid_ns));
    Ok(format!("{owners}\n{tasks}").into_bytes())
}

/// A namespace with all that it owns, other kinds first.
fn owned(census: &Census<'_>, ns: NsId) -> Branch {
    let k = census.k;
    let mut below = census.nested(ns, |ns| k.ns_owner(ns).map(UserNsId::any));
    below.sort_by_key(|&ns| (k.namespaces[ns].ns_type() == NsType::User, k.namespaces[ns].common.inum));
    let below = if k.namespaces[ns].ns_type() == NsType::User { below } else { Vec::new() };
    Branch { cells: ns_cells(census, ns), below: below.into_iter().map(|ns| owned(census, ns)).collect() }
}

fn ns_cells(census: &Census<'_>, ns: NsId) -> Vec<String> {
    let k = census.k;
    let common = &k.namespaces[ns].common;
    let first = census.members(ns).first().copied();
    let of_first = |text: fn(&Kernel, TaskId) -> String| first.map_or("-".to_owned(), |task| text(k, task));
    vec![
        k.ns_arg(ns).to_string(),
        census.members(ns).len().to_string(),
        of_first(|k, task| k.task_nr(task).to_string()),
        of_first(|k, task| k.cred_of(task).ids.uid.0.to_string()),
        common.count.to_string(),
        common.pins.to_string(),
        of_first(comm),
    ]
}

/// A pid namespace with the tasks in it, each below its parent as far as that is in the same one, then the namespaces
/// nested in it.
fn nested(census: &Census<'_>, ns: PidNsId) -> Branch {
    let k = census.k;
    let tops = census.tops(ns).iter().map(|&task| task_branch(census, task, 0));
    let inner = census.nested(ns.any(), |ns| k.ns_parent(ns));
    let inner = inner.into_iter().filter_map(|ns| k.namespaces.typed(ns)).map(|ns| nested(census, ns));
    let mut cells = vec![k.ns_arg(ns).to_string()];
    cells.resize(TASK_COLUMNS.len(), String::new());
    Branch { cells, below: tops.chain(inner).collect() }
}

fn task_branch(census: &Census<'_>, task: TaskId, depth: usize) -> Branch {
    let below = census.tasks_below(task).iter();
    let below = if depth < DEPTH_MAX {
        below.map(|&task| task_branch(census, task, depth + 1)).collect()
    } else {
        descendants(census, task)
            .into_iter()
            .map(|task| Branch { cells: task_cells(census, task), below: Vec::new() })
            .collect()
    };
    Branch { cells: task_cells(census, task), below }
}

/// All tasks below one, those nearest first.
fn descendants(census: &Census<'_>, task: TaskId) -> Vec<TaskId> {
    let mut found = census.tasks_below(task).to_vec();
    let mut next = 0;
    while let Some(&task) = found.get(next) {
        found.extend(census.tasks_below(task));
        next += 1;
    }
    found
}

fn task_cells(census: &Census<'_>, task: TaskId) -> Vec<String> {
    let k = census.k;
    let numbers: Vec<String> = numbers(k, task).iter().map(ToString::to_string).collect();
    vec![
        k.task_nr(task).to_string(),
        numbers.join(" "),
        k.task_ppid_nr_ns(task, k.init.pid_ns).to_string(),
        k.cred_of(task).ids.uid.0.to_string(),
        status::state(k.tasks[task].state)[..1].to_owned(),
        comm(k, task),
        census.differing(task).join(" "),
    ]
}

/// Rows below a head line, the columns aligned.
fn table(head: &[&str], branch: &Branch) -> String {
    let mut rows = vec![head.iter().map(|&name| name.to_owned()).collect()];
    add_rows(&mut rows, branch, "", "");
    let columns = head.len();
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn add_rows(rows: &mut Vec<Vec<String>>, branch: &Branch, stem: &str, twig: &str) {
    let mut row = branch.cells.clone();
    row[0] = format!("{twig}{}", row[0]);
    rows.push(row);
    let last = branch.below.len().saturating_sub(1);
    for (index, below) in branch.below.iter().enumerate() {
        let (twig, further) = if index == last { ("└─", "  ") } else { ("├─", "│ ") };
        add_rows(rows, below, &format!("{stem}{further}"), &format!("{stem}{twig}"));
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
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
