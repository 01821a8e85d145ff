//! House rules that a machine can check: which layer may name what, sizes, one place per kind.

#[path = "common/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use files::files;

/// Files a person reads in one sitting, tests in them left out.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, signature included.
const FUNCTION_LINES_MAX: usize = 70;

/// (folder or file below src, words its code may not name).
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "kernel",
        &[
            "fuser",
            "std::fs",
            "std::io",
            "std::sync::Mutex",
            "std::sync::RwLock",
            "std::thread",
            "std::time",
            "crate::control",
            "crate::tree",
            "crate::syscall",
            "crate::host",
            "crate::script",
            "crate::fuse",
        ],
    ),
    (
        "tree",
        &[
            "&mut Kernel",
            "fuser",
            "std::fs",
            "std::thread",
            "crate::control",
            "crate::syscall",
            "crate::host",
            "crate::script",
            "crate::lab",
        ],
    ),
    ("syscall", &["fuser", "std::fs", "std::thread", "crate::control", "crate::host", "crate::script", "crate::fuse"]),
    ("control", &["fuser", "crate::kernel::Kernel", "crate::host", "crate::script", "crate::fuse", "crate::cli"]),
    (
        "abi",
        &[
            "fuser",
            "std::fs",
            "std::io",
            "std::thread",
            "unsafe",
            "&mut Kernel",
            "crate::control",
            "crate::host",
            "crate::script",
            "crate::fuse",
        ],
    ),
    ("script", &["fuser", "crate::fuse", "crate::cli"]),
    ("host", &["fuser", "crate::fuse", "crate::cli"]),
    (
        "abi",
        &[
            "fuser",
            "libc",
            "std::fs",
            "std::thread",
            "unsafe",
            "crate::host",
            "crate::script",
            "crate::fuse",
            "crate::exec",
            "crate::cli",
        ],
    ),
    ("exec", &["fuser", "crate::cli", "crate::testing"]),
    ("lab.rs", &["fuser", "crate::host", "crate::script", "crate::fuse", "crate::cli"]),
    (
        "headless.rs",
        &["fuser", "std::thread", "crate::host", "crate::fuse", "crate::exec", "crate::cli", "crate::testing"],
    ),
    ("fuse", &["crate::cli", "crate::view"]),
    ("view", &["fuser", "libc", "crate::fuse", "crate::exec", "crate::testing", "crate::cli"]),
    ("cli", &["fuser::"]),
];

/// Sources below a folder of the project, and their text.
fn sources_below(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let named = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    files(folder, "rs").into_iter().map(named).collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    sources_below("src")
}

/// The part before the unit tests. A module for tests in a file of its own, or a function for them, ends nothing.
fn code(text: &str) -> &str {
    const TESTS: &str = "#[cfg(test)]\nmod ";
    let opens = |at: &usize| text[at + TESTS.len()..].lines().next().is_some_and(|line| line.ends_with('{'));
    let end = text.match_indices(TESTS).map(|(at, _)| at).find(opens);
    &text[..end.unwrap_or(text.len())]
}

/// Code without comments.
fn bare(text: &str) -> String {
    code(text).lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn layers_name_only_what_is_below_them() {
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        // Asking whether a panic is under way makes no thread.
        let code = bare(&text).replace("std::thread::panicking()", "");
        for (folder, words) in FORBIDDEN.iter().filter(|(folder, _)| path.starts_with(folder)) {
            for word in words.iter().filter(|word| code.contains(**word)) {
                breaches.push(format!("{} ({folder}) names {word}", path.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn fuser_and_libc_stay_at_the_edge() {
    for (path, text) in sources() {
        let code = bare(&text);
        if code.contains("fuser::") {
            assert!(path.starts_with("fuse"), "{} names fuser", path.display());
        }
        if code.contains("libc::") {
            assert!(["fuse", "exec", "cli"].iter().any(|edge| path.starts_with(edge)), "{} names libc", path.display());
        }
    }
}

/// `dispatch` is the only way into a kernel: no other function of `syscall` that takes one can be called from outside.
#[test]
fn there_is_one_door() {
    let mut doors = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("syscall")) {
        // What a module that is private shows, nobody outside sees.
        let module = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
        if !is_open(module.trim_end_matches(".rs")) {
            continue;
        }
        for start in code(&text).match_indices("pub fn ").map(|(at, _)| at) {
            let signature = text[start..].split('{').next().unwrap();
            if signature.contains("Kernel") {
                doors.push(format!("{}: {signature}", path.display()));
            }
        }
    }
    assert!(matches!(&doors[..], [door] if door.starts_with("syscall/dispatch.rs: pub fn dispatch(")), "{doors:#?}");
}

/// Who makes a call is a [`Current`](nslab::kernel::Current), which the door alone makes: it has asked whether the task may.
#[test]
fn the_current_task_comes_through_the_door() {
    let makes = |text: &str| bare(text).contains("Current::new(");
    let makers: Vec<_> = sources().into_iter().filter(|(_, text)| makes(text)).map(|(path, _)| path).collect();
    assert_eq!(makers, [Path::new("syscall/dispatch.rs")]);
    let mut calls = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("syscall")) {
        let code = bare(&text);
        for (start, _) in code.match_indices("fn sys_") {
            let signature = code[start..].split('{').next().unwrap();
            assert!(signature.contains(": Current"), "{}: {signature}", path.display());
            calls += 1;
        }
    }
    assert!(calls > 80, "only {calls} calls were found");
}

/// Whether a module of `syscall` can be named outside it; `mod` is `syscall` itself.
fn is_open(module: &str) -> bool {
    let (_, top) = sources().into_iter().find(|(path, _)| path == Path::new("syscall/mod.rs")).unwrap();
    module == "mod" || top.contains(&format!("pub mod {module};")) || top.contains(&format!("pub use {module}::"))
}

/// What a `match` names one by one, so that the compiler shows each place that a new one needs: calls, kinds of
/// namespaces, families of files, what they may be.
const NAMED: &[&str] = &[
    "AnyCall::",
    "LabCall::",
    "Syscall::",
    "NsType::",
    "NsState::",
    "Place::",
    "Backing::",
    "Special::",
    "WriteTarget::",
    "Control::",
    "CgroupFile::",
    "FileKind::",
];

/// The same in the tables of the families of the tree.
const NAMED_IN_TREE: &[&str] = &["Kind::", "OpenCheck::", "Dir::"];

#[test]
fn no_arm_takes_the_rest_of_calls_kinds_or_families() {
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        let in_tree = if path.starts_with("tree") { NAMED_IN_TREE } else { &[] };
        if takes_the_rest(&bare(&text), &[NAMED, in_tree].concat()) {
            breaches.push(path);
        }
    }
    assert!(breaches.is_empty(), "{breaches:?}");
}

/// Whether a `match` over what is `named` has an arm for all that it does not name.
fn takes_the_rest(code: &str, named: &[&str]) -> bool {
    let lines: Vec<&str> = code.lines().collect();
    let opens = |line: &str| line.contains("match ") && line.ends_with('{');
    lines.iter().enumerate().filter(|(_, line)| opens(line)).any(|(start, line)| {
        let arms = arms(&lines[start + 1..], line.len() - line.trim_start().len());
        let is_named = |arm: &str| named.iter().any(|name| names(pattern(arm), name));
        arms.iter().any(|arm| is_named(arm)) && arms.iter().any(|arm| is_rest(arm))
    })
}

/// Whether code has a path that starts so.
fn names(code: &str, path: &str) -> bool {
    let ends = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(path).any(|(at, _)| ends(&code[..at]))
}

/// What stands before the `=>` of an arm, without its condition.
fn pattern(arm: &str) -> &str {
    arm.split(" =>").next().and_then(|arm| arm.split(" if ").next()).unwrap_or(arm)
}

/// Whether an arm takes all there is: `_`, `(_, _)` or a name.
fn is_rest(arm: &str) -> bool {
    let takes = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let (head, is_arm) = arm.split_once(" =>").map_or((arm, false), |(head, _)| (head, true));
    let parts = head.trim_start_matches('(').trim_end_matches(')');
    is_arm && !head.contains(" if ") && parts.split(", ").all(takes) && head.starts_with('(') == head.ends_with(')')
}

#[test]
fn an_arm_for_the_rest_is_seen() {
    let matched = |arms: &str| takes_the_rest(&format!("match place {{\n    Place::Top(top) => 1,\n{arms}\n}}"), NAMED);
    for rest in ["    _ => 2,", "    other => 2,", "    _ => {", "    (_, _) => 2,"] {
        assert!(matched(rest), "{rest}");
    }
    for named in ["    Place::As(_) => 2,", "    Place::As(task) if task == me => {", "    _ if is_gone => 2,"] {
        assert!(!matched(named), "{named}");
    }
    assert!(!takes_the_rest("match number {\n    1 => Place::Nsfs,\n    _ => Place::As(task),\n}", NAMED));
    assert!(!takes_the_rest("match text {\n    MyPlace::A => 1,\n    _ => 2,\n}", NAMED));
}

/// What differs by family is asked of the family: nobody else looks at what a place is. Calls ask `backing`, or name the
/// one file that they are about.
#[test]
fn families_are_asked_and_not_told_apart() {
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        let is_outside = ["fuse", "host", "cli"].iter().any(|folder| path.starts_with(folder));
        let is_tree = path.starts_with("tree") && path != Path::new("tree/family.rs");
        for line in bare(&text).lines().filter(|line| line.contains(" Place::") || line.contains("(Place::")) {
            if is_outside || is_tree && tells_apart(line) {
                breaches.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// Whether a line takes a place for one of its variants.
fn tells_apart(line: &str) -> bool {
    let is_arm = pattern(line).contains("Place::") && line.contains(" =>");
    is_arm || line.contains("matches!(") || line.contains("let Place::") || line.contains("let Some(Place::")
}

/// The kernel names no file of `ctl` and no verb of the language.
#[test]
fn the_kernel_knows_no_word_of_the_language() {
    let verbs = nslab::control::VERBS.iter().map(|verb| verb.name);
    let words: BTreeSet<&str> = verbs.chain(["ctl", "batch", "usage", "self"]).collect();
    assert!(words.len() > 80, "{words:?}");
    let mut breaches = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("kernel")) {
        let code = bare(&text);
        let literals = code.split('"').skip(1).step_by(2);
        breaches.extend(literals.filter(|text| is_of_language(text, &words)).map(|text| format!("{path:?}: {text}")));
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    assert!(
        is_of_language("clone", &words)
            && is_of_language("ctl/7/x", &words)
            && is_of_language("cgroup.kill", &words)
            && !is_of_language("cpu", &words)
    );
}

fn is_of_language(text: &str, words: &BTreeSet<&str>) -> bool {
    words.contains(text) || text.contains("ctl/") || text.starts_with("cgroup.")
}

/// The lines that arms of a `match` begin with, by indentation.
fn arms<'a>(lines: &[&'a str], indent: usize) -> Vec<&'a str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let inside = lines.iter().take_while(|line| line.trim().is_empty() || depth(line) > indent);
    inside.filter(|line| depth(line) == indent + 4).map(|line| line.trim_start()).collect()
}

/// A namespace kind lives in its own file and one row of a table. UTS stands for all of them.
#[test]
fn a_kind_is_named_in_few_files() {
    let names_it = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word.eq_ignore_ascii_case("uts"))
    };
    let files: Vec<_> = sources().into_iter().filter(|(_, t)| names_it(code(t))).map(|(p, _)| p).collect();
    assert!(files.len() <= 5, "{files:?}");
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    // Unit tests are not counted; the files of tests are read as the source is.
    let of_source = sources().into_iter().map(|(path, text)| (path, code(&text).to_owned()));
    for (path, code) in of_source.chain(sources_below("tests")).chain(sources_below("benches")) {
        if code.lines().count() > FILE_LINES_MAX {
            long.push(format!("{}: {} lines", path.display(), code.lines().count()));
        }
        for (name, lines) in functions(&code) {
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{}: {name}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Names and lengths of functions, by indentation: formatted code closes a body where its `fn` began.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(at) = trimmed.find("fn ").filter(|&at| at == 0 || trimmed.starts_with("pub")) else { continue };
        let indent = " ".repeat(line.len() - trimmed.len());
        let end = lines[start..].iter().position(|l| *l == format!("{indent}}}"));
        if let Some(length) = end.filter(|_| !line.ends_with(['}', ';'])) {
            let name = trimmed[at + 3..].split(['(', '<']).next().unwrap_or_default();
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

#[test]
fn nothing_is_unwrapped_or_left_undone() {
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        for word in [".unwrap()", "todo!(", "unimplemented!(", "FIXME", "XXX"] {
            if bare(&text).contains(word) {
                breaches.push(format!("{} has {word}", path.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// Top-level modules import each other in one direction only.
#[test]
fn top_level_modules_have_no_cycle() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        for used in bare(&text).split("crate::").skip(1) {
            let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name != module && !name.is_empty() {
                uses.entry(module.clone()).or_default().insert(name);
            }
        }
    }
    for start in uses.keys() {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = uses[start].iter().collect();
        while let Some(next) = open.pop() {
            assert_ne!(next, start, "{start} uses itself through others: {uses:?}");
            if reached.insert(next) {
                open.extend(uses.get(next).into_iter().flatten());
            }
        }
    }
}

fn module_of(path: &Path) -> String {
    let first = path.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}
