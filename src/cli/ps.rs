//! `nslab ps`: the tasks as a table.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Deserializer, Result, Value};

const HEAD: [&str; 7] = ["PID", "PPID", "USER", "S", "COMM", "NSPID", "NOT AS INIT"];

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

/// The table of tasks.
///
/// # Errors
/// That of a task which cannot be read.
pub fn table<'text>(tasks: impl Iterator<Item = Result<Task<'text>>>) -> Result<String> {
    let mut widths = HEAD.map(str::len);
    // The cells of a row end in tabs: rows of strings would take far more memory.
    let mut rows = String::new();
    for task in tasks {
        let mut start = rows.len();
        let mut widths = widths.iter_mut();
        task?.write(&mut rows, |rows| {
            if let Some(width) = widths.next() {
                *width = (*width).max(rows[start..].chars().count());
            }
            rows.push('\t');
            start = rows.len();
        });
        rows.push('\n');
    }
    let mut text = String::with_capacity(rows.len() * 2);
    write_row(&mut text, HEAD.into_iter(), &widths);
    for row in rows.lines() {
        write_row(&mut text, row.split('\t'), &widths);
    }
    Ok(text)
}

fn write_row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
    for (cell, width) in cells.zip(widths) {
        let _ = write!(text, " {cell:<width$} ");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

impl Task<'_> {
    /// Writes its cells, in the order of `HEAD`; `end` is told of the end of each.
    fn write(&self, row: &mut String, mut end: impl FnMut(&mut String)) {
        let mut cell = |write: &dyn Fn(&mut String) -> std::fmt::Result| {
            // Writing to a string cannot fail.
            let _ = write(row);
            end(row);
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
        let table = table(tasks(&text()).unwrap()).unwrap();
        let expected = [
            " PID    PPID  USER  S   COMM  NSPID  NOT AS INIT",
            " 2      1     0     S   sh    2 1    net:[7]",
            " 30000  1     0     Z*  a?]?  3",
        ];
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
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
            assert!(tasks(&text[..end]).and_then(table).is_err(), "{end}");
        }
    }
}
