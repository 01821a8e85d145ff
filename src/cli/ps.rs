//! `nslab ps`: the tasks as a table.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Deserializer, Result, Value};

use super::fit::{FOLDED, stem_below};

const HEAD: [&str; 7] = ["PID", "PPID", "USER", "S", "COMM", "NSPID", FOLDED];
const COMM: usize = 4;
/// Branches of the tree are drawn down to this depth; what is deeper stands side by side.
const DEPTH_MAX: usize = 64;

/// Stands behind the state of a task that is a real process.
const PROGRAM: &str = "*";

/// What the table shows of a task. Of a million tasks, the rest is passed over: it would take most of the time.
#[derive(Deserialize)]
pub struct Task<'text> {
    pid: i32,
    ppid: i32,
    uid: u32,
    state: char,
    #[serde(borrow)]
    comm: Cow<'text, str>,
    nspid: Vec<i32>,
    #[serde(borrow)]
    not_as_init: Vec<Cow<'text, str>>,
    /// It is a real process.
    #[serde(default)]
    program: bool,
}

/// The tasks in the text of `kernel/tree.json`, one at a time: a million at once would take gigabytes.
///
/// # Errors
/// The text ends too early, or is no JSON.
pub fn tasks<'text, T: Deserialize<'text>>(text: &'text str) -> Result<impl Iterator<Item = Result<T>>> {
    let mut rest = after(text, '{');
    while value::<Cow<str>>(&mut rest)? != "tasks" {
        rest = after(rest, ':');
        value::<Value>(&mut rest)?;
        rest = after(rest, ',');
    }
    let mut rest = after(after(rest, ':'), '[');
    Ok(std::iter::from_fn(move || {
        rest = after(rest, ',');
        let is_end = rest.trim_start().starts_with(']');
        (!is_end).then(|| value(&mut rest))
    })
    .fuse())
}

/// What follows a sign, if it comes next.
fn after(text: &str, sign: char) -> &str {
    text.trim_start().strip_prefix(sign).unwrap_or(text)
}

/// Takes a value off the front of a text.
fn value<'text, T: Deserialize<'text>>(rest: &mut &'text str) -> Result<T> {
    let mut values = Deserializer::from_str(rest).into_iter();
    let value = values.next().unwrap_or_else(|| serde_json::from_str(""));
    *rest = &rest[values.byte_offset()..];
    value
}

/// In which order the tasks are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    ByPid,
    /// Each below its parent, with branches before its name.
    Tree,
}

/// The table of tasks.
///
/// # Errors
/// That of a task which cannot be read.
pub fn table<'text>(tasks: impl Iterator<Item = Result<Task<'text>>>, order: Order) -> Result<String> {
    let mut rows = Rows::default();
    for task in tasks {
        rows.add(&task?);
    }
    Ok(match order {
        Order::ByPid => rows.drawn(rows.lines.iter().map(|line| (line, String::new()))),
        Order::Tree => rows.drawn(rows.forest()),
    })
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    pid: i32,
    ppid: i32,
    /// Its cells in the text of all.
    cells: Range<usize>,
}

/// The lines of a table. Each cell ends in a tab: rows of strings would take far more memory.
#[derive(Debug, Default)]
struct Rows {
    text: String,
    lines: Vec<Line>,
}

impl Rows {
    fn add(&mut self, task: &Task<'_>) {
        let start = self.text.len();
        task.write(&mut self.text);
        self.lines.push(Line { pid: task.pid, ppid: task.ppid, cells: start..self.text.len() });
    }

    /// The lines in an order of their own, each with what stands before its name.
    fn drawn<'a>(&'a self, lines: impl Iterator<Item = (&'a Line, String)> + Clone) -> String {
        let mut widths = HEAD.map(str::len);
        for (line, stem) in lines.clone() {
            for (column, (cell, width)) in self.cells(line).zip(&mut widths).enumerate() {
                let stem = if column == COMM { stem.chars().count() } else { 0 };
                *width = (*width).max(stem + cell.chars().count());
            }
        }
        let mut text = String::new();
        write_row(&mut text, HEAD.into_iter(), "", &widths);
        for (line, stem) in lines {
            write_row(&mut text, self.cells(line), &stem, &widths);
        }
        text
    }

    fn cells(&self, line: &Line) -> impl Iterator<Item = &str> {
        self.text[line.cells.clone()].split('\t').take(HEAD.len())
    }

    /// All lines, each after its parent, with the branches that lead to it. Whose parent is not listed is at the top.
    fn forest(&self) -> std::vec::IntoIter<(&Line, String)> {
        let listed: BTreeSet<i32> = self.lines.iter().map(|line| line.pid).collect();
        let mut below: BTreeMap<i32, Vec<&Line>> = BTreeMap::new();
        let mut open: Vec<(&Line, String, usize)> = Vec::new();
        for line in &self.lines {
            if listed.contains(&line.ppid) && line.ppid != line.pid {
                below.entry(line.ppid).or_default().push(line);
            } else {
                open.push((line, String::new(), 0));
            }
        }
        open.reverse();
        let mut found = Vec::new();
        while let Some((line, stem, depth)) = open.pop() {
            let children = below.remove(&line.pid).unwrap_or_default();
            let base = stem_below(&stem);
            for (index, child) in children.into_iter().rev().enumerate() {
                let twig = if index == 0 { "└─" } else { "├─" };
                let stem = if depth < DEPTH_MAX { format!("{base}{twig}") } else { stem.clone() };
                open.push((child, stem, depth + 1));
            }
            found.push((line, stem));
        }
        found.into_iter()
    }
}

fn write_row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>, stem: &str, widths: &[usize]) {
    for (column, (cell, width)) in cells.zip(widths).enumerate() {
        let stem = if column == COMM { stem } else { "" };
        let blanks = width.saturating_sub(stem.chars().count() + cell.chars().count());
        text.push(' ');
        text.push_str(stem);
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', blanks + 1));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

impl Task<'_> {
    /// Writes its cells, in the order of `HEAD`, with a tab after each.
    fn write(&self, row: &mut String) {
        let mut cell = |write: &dyn Fn(&mut String) -> std::fmt::Result| {
            // Writing to a string cannot fail.
            let _ = write(row);
            row.push('\t');
        };
        cell(&|row| write!(row, "{}", self.pid));
        cell(&|row| write!(row, "{}", self.ppid));
        cell(&|row| write!(row, "{}", self.uid));
        cell(&|row| write!(row, "{}{}", self.state, if self.program { PROGRAM } else { "" }));
        // No control characters: they end cells and rows, and a terminal obeys them.
        cell(&|row| self.comm.chars().try_for_each(|c| row.write_char(if c.is_control() { '?' } else { c })));
        cell(&|row| write_list(row, &self.nspid));
        cell(&|row| write_list(row, &self.not_as_init));
    }
}

fn write_list(row: &mut String, items: &[impl std::fmt::Display]) -> std::fmt::Result {
    items.iter().enumerate().try_for_each(|(index, item)| write!(row, "{}{item}", if index > 0 { " " } else { "" }))
}

/// The tasks for programs, as `serde_json` prints an array for people.
///
/// # Errors
/// That of a task which cannot be read.
pub fn json(tasks: impl Iterator<Item = Result<Value>>) -> Result<String> {
    let mut text = "[".to_owned();
    for task in tasks {
        text.push_str(if text.len() > 1 { ",\n  " } else { "\n  " });
        text.push_str(&format!("{:#}", task?).replace('\n', "\n  "));
    }
    text.push_str("\n]\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text() -> String {
        let task = json!({"pid": 2, "ppid": 1, "uid": 0, "state": "S", "comm": "sh", "nspid": [2, 1],
            "not_as_init": ["net:[7]"]});
        let wide = json!({"pid": 30_000, "program": true, "ppid": 1, "uid": 0, "state": "Z", "comm": "a\t]\n", "nspid": [3],
            "not_as_init": []});
        format!("{:#}\n", json!({"namespaces": [{"tasks": [1, 2]}], "tasks": [task, wide]}))
    }

    #[test]
    fn a_task_is_a_row_and_columns_are_as_wide_as_what_they_have() {
        let table = table(tasks(&text()).unwrap(), Order::ByPid).unwrap();
        let expected = [
            " PID    PPID  USER  S   COMM  NSPID  NOT AS INIT",
            " 2      1     0     S   sh    2 1    net:[7]",
            " 30000  1     0     Z*  a?]?  3",
        ];
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }

    /// Tasks with the numbers of their parents.
    fn drawn(tasks: impl IntoIterator<Item = (i32, i32)>) -> String {
        let tasks = tasks.into_iter().map(|(pid, ppid)| {
            json!({"pid": pid, "ppid": ppid, "uid": 0, "state": "S", "comm": "x", "nspid": [pid], "not_as_init": []})
        });
        let text = json!({"tasks": tasks.collect::<Vec<_>>()}).to_string();
        table(super::tasks(&text).unwrap(), Order::Tree).unwrap()
    }

    #[test]
    fn a_tree_has_each_task_below_its_parent() {
        let table = drawn([(1, 0), (2, 0), (3, 7), (5, 1), (7, 1)]);
        let expected = [
            " PID  PPID  USER  S  COMM   NSPID  NOT AS INIT",
            " 1    0     0     S  x      1",
            " 5    1     0     S  ├─x    5",
            " 7    1     0     S  └─x    7",
            " 3    7     0     S    └─x  3",
            " 2    0     0     S  x      2",
        ];
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_deep_tree_stays_narrow() {
        let table = drawn((1..2000).map(|pid| (pid, pid - 1)));
        assert_eq!(table.lines().count(), 2000);
        assert!(table.lines().all(|line| line.chars().count() < 200));
    }

    #[test]
    fn tasks_for_programs_are_what_serde_json_prints() {
        let all: Value = serde_json::from_str(&text()).unwrap();
        assert_eq!(json(tasks(&text()).unwrap()).unwrap(), format!("{:#}\n", all["tasks"]));
    }

    #[test]
    fn a_text_that_ends_too_early_is_an_error() {
        let text = text();
        for end in [0, 1, 20, 60, text.len() - 10] {
            assert!(tasks(&text[..end]).and_then(|tasks| table(tasks, Order::ByPid)).is_err(), "{end}");
        }
    }
}
