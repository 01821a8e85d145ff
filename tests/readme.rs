//! Every line of the README's tour does what the README shows.

use std::path::Path;
use std::process::Command;

/// One command of a `console` block and what it prints.
#[derive(Debug)]
struct Step {
    command: String,
    shown: String,
}

/// The steps of all `console` blocks, in order: one session.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), shown: String::new() }),
                None => {
                    let step = steps.last_mut().unwrap_or_else(|| panic!("output before any command: {line}"));
                    step.shown.push_str(line);
                    step.shown.push('\n');
                }
            },
        }
    }
    steps
}

const MARK: &str = "=== next step ===";

#[test]
fn the_tour_shows_what_the_readme_says() {
    if !Path::new("/dev/fuse").exists() {
        return eprintln!("skipped: /dev/fuse is missing");
    }
    let steps = steps(include_str!("../README.md"));
    assert!(steps.len() > 20, "the tour is gone");
    let script: String = steps.iter().map(|step| format!("{}\necho '{MARK}'\n", step.command)).collect();
    let script_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script_file.path(), script).unwrap();
    let nslab = env!("CARGO_BIN_EXE_nslab");
    let path = format!("{}:{}", Path::new(nslab).parent().unwrap().display(), std::env::var("PATH").unwrap());
    // As typed at a prompt: error messages are those of an interactive shell, which name no line of a script.
    let run = format!("bash <(sed 's/^/ /' {0}) 2>&1", script_file.path().display());
    let output = Command::new(nslab)
        .args(["shell", "-c", &format!("exec bash -c \"{run}\"")])
        .env("PATH", path)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let got: Vec<&str> = printed.split(&format!("{MARK}\n")).collect();
    for (at, step) in steps.iter().enumerate() {
        let got = got.get(at).unwrap_or_else(|| panic!("the session ended before: {}\n{printed}", step.command));
        assert_eq!(without_line_numbers(got), step.shown, "after $ {}", step.command);
    }
}

/// bash names the script and the line in its messages; at a prompt it names only itself.
fn without_line_numbers(text: &str) -> String {
    let strip = |line: &str| match line.split_once(": line ") {
        Some((_, rest)) => format!("bash: {}", rest.split_once(": ").map_or(rest, |(_, message)| message)),
        None => line.to_owned(),
    };
    text.lines().map(|line| strip(line) + "\n").collect()
}
