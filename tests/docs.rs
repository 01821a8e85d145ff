//! The documentation does what it shows: its sessions, its scripts, its links.

#[path = "common/needs.rs"]
mod needs;
#[path = "common/shell.rs"]
mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nslab::abi::{Call, Treatment};
use nslab::control::VERBS;
use nslab::kernel::Kernel;
use nslab::script::Session;
use nslab::script::statement::{Statement, parse};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<(PathBuf, String)> {
    let files = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = ["", "docs", "python"].into_iter().flat_map(|folder| files(root().join(folder))).collect();
    pages.retain(|path| path.extension().is_some_and(|end| end == "md"));
    pages.sort();
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The lines of the blocks of code in `language`, block by block.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(fence) = lines.by_ref().find_map(|line| line.strip_prefix("```")) {
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if fence == language {
            found.push(block);
        }
    }
    found
}

/// One command of a session and what it prints.
#[derive(Debug)]
struct Step<'a> {
    command: &'a str,
    shown: String,
}

/// The steps of all `console` blocks of a page, in order: one session.
fn session(page: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in blocks(page, "console").into_iter().flatten() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push(Step { command, shown: String::new() }),
            None => {
                let step = steps.last_mut().unwrap_or_else(|| panic!("output before any command: {line}"));
                step.shown.push_str(line);
                step.shown.push('\n');
            }
        }
    }
    steps
}

/// The script the page tells to boot its lab with.
fn boot_file(page: &str) -> Option<PathBuf> {
    let shells = blocks(page, "sh").into_iter().flatten();
    shells.filter_map(|line| line.strip_prefix("nslab shell --boot ")).next().map(|file| root().join(file))
}

const MARK: &str = "=== next step ===\n";

#[test]
fn every_session_goes_as_shown() {
    for (path, page) in pages() {
        let steps = session(&page);
        if steps.is_empty() {
            continue;
        }
        let script: String = steps.iter().map(|step| format!("{}\nprintf '{MARK}'\n", step.command)).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), script).unwrap();
        let run = format!("exec bash '{}' 2>&1", file.path().display());
        let Some(printed) = shell::in_a_lab(boot_file(&page).as_deref(), &run) else { return };
        let mut got = printed.split(MARK);
        for step in &steps {
            let got = got.next().unwrap_or_default();
            assert_eq!(without_line_numbers(got), step.shown, "{}: after $ {}", path.display(), step.command);
        }
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

#[test]
fn every_script_runs_on_a_fresh_lab() {
    for (path, page) in pages() {
        for block in blocks(&page, "lab") {
            let script = block.join("\n");
            let (done, result) = Session::default().batch(&mut Kernel::boot(), script.as_bytes());
            let failed = script[done..].lines().next().unwrap_or_default();
            result.unwrap_or_else(|error| panic!("{}: {failed}: {error}", path.display()));
        }
    }
}

/// In a block of the reference, `# VERB USAGE` heads the lines that are its example.
#[test]
fn every_verb_has_its_usage_and_an_example_in_the_reference() {
    let reference = fs::read_to_string(root().join("docs/verbs.md")).unwrap();
    let scripts = blocks(&reference, "lab");
    for verb in VERBS {
        let head = format!("# {} {}", verb.name, verb.usage);
        let is_shown = scripts.iter().any(|script| {
            let mut lines = script.iter().skip_while(|line| **line != head.trim_end());
            lines.next().is_some() && lines.take_while(|line| !line.starts_with('#')).any(|line| calls(line, verb.name))
        });
        assert!(is_shown, "docs/verbs.md has no example below: {}", head.trim_end());
    }
}

fn calls(line: &str, verb: &str) -> bool {
    matches!(parse(line), Ok(Some(Statement::Call(call))) if call.verb == verb)
}

#[test]
fn every_link_leads_to_a_file() {
    for (path, page) in pages() {
        let folder = path.parent().unwrap();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let file = link.split('#').next().unwrap_or_default();
            let is_ours = !link.contains("://") && !file.is_empty();
            assert!(!is_ours || folder.join(file).exists(), "{}: {link}", path.display());
        }
    }
}

/// The bold numbers of `docs/CONFORMANCE.md`: what was compared, and what came of it.
#[test]
fn the_readme_has_the_figures_of_the_conformance_page() {
    let page = fs::read_to_string(root().join("docs/CONFORMANCE.md")).unwrap();
    let figures = page.split("**").nth(1).expect("the page has its figures in bold");
    assert!(figures.contains(" calls of ") && figures.ends_with(" divergences"), "{figures}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&readme).contains(figures), "the README does not say: {figures}");
}

/// The rows of the table of calls in docs/exec.md: what happens, and to which calls; of those that are refused with what and why.
fn table_of_calls() -> String {
    let mut groups: BTreeMap<(usize, String), Vec<&str>> = BTreeMap::new();
    for call in Call::ALL {
        let group = match call.treatment() {
            Treatment::Emulated(_) => (0, "emulated".to_owned()),
            Treatment::Rewritten(_) => (1, "rewritten".to_owned()),
            Treatment::Translated(_) => (2, "translated".to_owned()),
            Treatment::Passed => (3, "passed".to_owned()),
            Treatment::Refused { errno, why } => (4, format!("refused with {errno:?}: {why}")),
        };
        groups.entry(group).or_default().push(call.name());
    }
    let row = |((_, what), calls): (&(usize, String), &Vec<&str>)| format!("| {what} | {} |\n", calls.join(", "));
    format!("| what happens | to |\n|---|---|\n{}", groups.iter().map(row).collect::<String>())
}

#[test]
fn the_table_of_calls_is_that_of_the_source() {
    let page = fs::read_to_string(root().join("docs/exec.md")).unwrap();
    assert!(page.contains(&table_of_calls()), "docs/exec.md should have\n{}", table_of_calls());
}
