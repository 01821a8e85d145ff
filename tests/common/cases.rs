//! Case files: loading them, and THE loop that runs them.

use std::path::PathBuf;

use nslab::script::Machine;
use nslab::script::file::{Case, load};
use nslab::script::run::{Outcome, run_case};

/// The cases of these files, in order; there is one at least.
pub fn load_all(files: &[PathBuf]) -> Vec<Case> {
    let cases: Vec<Case> = files.iter().flat_map(|file| load(file).unwrap_or_else(|error| panic!("{error}"))).collect();
    assert!(!cases.is_empty(), "no cases in {files:?}");
    cases
}

/// Runs each case on a lab of its own, in which it has to pass; `look` sees what each lab came to.
pub fn check<L: Machine>(cases: &[Case], boot: impl Fn() -> L, mut look: impl FnMut(&L)) {
    let failures = cases.iter().filter_map(|case| {
        let mut lab = boot();
        let outcome = run_case(&mut lab, case);
        look(&lab);
        match outcome {
            Outcome::Passed => None,
            Outcome::NotHere => Some(format!("{}: the lab has no such call", case.name)),
            Outcome::Failed(message) => Some(message),
        }
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{}\n{} of {} failed", failures.join("\n"), failures.len(), cases.len());
}
