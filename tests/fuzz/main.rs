//! Random inputs, one file for each reader of them: no input makes it panic. [`mutate`] makes them of a corpus: the case
//! files, the examples of verbs, and `fixtures/fuzz`, which has what once made trouble.
//!
//! `NSLAB_FUZZ_SECONDS` says how long each target runs, `NSLAB_FUZZ_SEED` with which input it starts. The target for the
//! requests of FUSE is in `src/fuse/fuzz.rs`, as what answers them is not public.

#[path = "../common/files.rs"]
mod files;
mod journal;
mod kernel;
#[path = "../common/mutate.rs"]
mod mutate;
mod parser;

use std::fs;

use nslab::control::VERBS;

/// Lines of the language, one each.
fn lines() -> Vec<Vec<u8>> {
    let folders = ["fixtures/fuzz", "fixtures/cases", "fixtures"];
    let files = folders.iter().flat_map(|folder| files::files(folder, "lab"));
    let texts = files.map(|file| fs::read_to_string(file).unwrap());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let examples = VERBS.iter().map(|verb| format!("1 {} {}", verb.name, verb.example));
    let useful = |line: &String| !line.is_empty() && !line.starts_with(['#', 'c', 'i']);
    lines.into_iter().filter(useful).chain(examples).map(String::into_bytes).collect()
}
