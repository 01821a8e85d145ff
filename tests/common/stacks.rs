//! Where processes are that get nowhere.

use std::fs;

/// Where in the kernel the threads of a process are, a line each.
pub fn stacks(pid: u32) -> String {
    let mut text = String::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let stack = read("stack");
        let calls: Vec<_> = stack.lines().filter_map(|line| line.split(' ').nth(1)).take(9).collect();
        text += &format!("{} {}: {}\n", task.file_name().display(), read("comm").trim(), calls.join(" < "));
    }
    text
}
