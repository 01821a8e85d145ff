//! `nslab ps`: the tasks as a table.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

const HEAD: [&str; 7] = ["PID", "PPID", "USER", "S", "COMM", "NSPID", "NOT AS INIT"];

/// The table of the tasks in `kernel/tree.json`, as wide as the terminal.
pub fn table(tasks: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(HEAD);
    for task in tasks {
        let cells = ["pid", "ppid", "uid", "state", "comm", "nspid", "not_as_init"].map(|key| cell(&task[key]));
        table.add_row(cells);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_is_a_row() {
        let task = json!({"pid": 2, "ppid": 1, "uid": 0, "state": "S", "comm": "sh", "nspid": [2, 1],
            "not_as_init": ["net:[7]"]});
        let text = table(&[task]);
        let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["2", "1", "0", "S", "sh", "2", "1", "net:[7]"]);
    }
}
