//! Every refusal says why: each place in the source that makes an error has a reason whose blanks are all filled, and
//! so has each error that the cases bring about.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nslab::errno::{Error, Result};
use nslab::kernel::Kernel;
use nslab::script::file::load;
use nslab::script::run::run_case;
use nslab::script::{Call, Lab};

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The arguments of the macro call whose text starts after its opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut argument, mut depth) = (Vec::new(), String::new(), 0);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                argument.push(letter);
                while let Some(inside) = letters.next() {
                    argument.push(inside);
                    match inside {
                        '\\' => argument.extend(letters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(letter);
    }
    found.push(argument.trim().to_owned());
    found.retain(|argument| !argument.is_empty());
    found
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_place_that_makes_an_error_gives_a_reason() {
    let mut places = 0;
    for path in files("src", "rs").iter().filter(|path| !path.ends_with("src/errno.rs")) {
        let code = code(path);
        // A fault has the errno it was told to have.
        let is_fault = path.ends_with("fuse/fault.rs");
        assert!(is_fault || !code.contains("Error::new("), "{}: errors are made by err! and bail!", path.display());
        for (at, name) in code.match_indices("bail!(").chain(code.match_indices("err!(")) {
            let call = arguments(&code[at + name.len()..]);
            let place = format!("{}: {call:?}", path.display());
            let [errno, check, values @ ..] = &call[..] else { panic!("{place}: no reason") };
            assert!(errno.starts_with('E') && check.starts_with('"'), "{place}");
            let check = check.trim_matches('"');
            let letters = check.chars().filter(|c| c.is_alphabetic()).count();
            assert!(letters >= 2 || !values.is_empty(), "{place}: no words");
            assert_eq!(check.matches("{}").count(), values.len(), "{place}: blanks and values");
            assert!(!check.replace("\\\\", "").contains("\\n"), "{place}: more than a line");
            places += 1;
        }
    }
    assert!(places > 300, "only {places} places were found");
}

/// A kernel whose refusals are looked at.
struct Watched {
    kernel: Kernel,
    refusals: usize,
    sites: BTreeSet<String>,
}

impl Lab for Watched {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        self.kernel.call(pid, call).inspect_err(|error| {
            check(error);
            self.refusals += 1;
            self.sites.insert(error.site.to_string());
        })
    }
}

fn check(error: &Error) {
    let reason = error.reason();
    assert_eq!(error.check.matches("{}").count(), error.args.len(), "{error} at {}", error.site);
    assert!(!reason.trim().is_empty() && !reason.contains('\n'), "{error} at {}", error.site);
    assert!(error.site.file().ends_with(".rs") && error.site.line() > 0);
}

#[test]
fn each_refusal_of_the_cases_says_why_and_where() {
    let (mut refusals, mut sites) = (0, BTreeSet::new());
    for case in files("fixtures/cases", "lab").iter().flat_map(|file| load(file).unwrap()) {
        let mut lab = Watched { kernel: Kernel::boot(), refusals: 0, sites: BTreeSet::new() };
        let _ = run_case(&mut lab, &case);
        refusals += lab.refusals;
        sites.extend(lab.sites);
    }
    println!("{refusals} refusals at {} places", sites.len());
    assert!(refusals > 500 && sites.len() > 100, "{refusals} at {}", sites.len());
}
