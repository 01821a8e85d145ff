//! Programs recorded on a real kernel, run on a bare lab: what Linux answered is what the lab answers. Needs no rights.

use std::path::{Path, PathBuf};

use nslab::kernel::Kernel;
use nslab::script::file::{Case, load};
use nslab::script::run::{Outcome, run_case};

/// Fewer would mean that files are missing.
const PROGRAMS_MIN: usize = 500;

fn recorded_files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/linux-6.18");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn recorded_programs_give_what_linux_gave() {
    let cases: Vec<Case> =
        recorded_files().iter().flat_map(|file| load(file).unwrap_or_else(|error| panic!("{error}"))).collect();
    assert!(cases.len() >= PROGRAMS_MIN, "only {} programs", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| match run_case(&mut Kernel::boot(), case) {
            Outcome::Passed => None,
            Outcome::NotHere => Some(format!("{}: needs what is not built", case.name)),
            Outcome::Failed(message) => Some(message),
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
