//! The case files: what Linux 6.18 does, one behaviour each, checked on a bare kernel and through a mounted lab.

#[path = "../common/mod.rs"]
mod common;
mod mounted;

use common::cases;
use mounted::{Mounted, can_mount};
use nslab::kernel::Kernel;
use nslab::script::run::{Outcome, run_case};
use nslab::script::statement::Statement;
use nslab::script::{Call, Machine};

/// The families of case files that have to pass.
const FAMILIES: &[&str] = &["core", "task", "pid", "uts", "ipc", "mnt", "mq", "pin", "time", "cgroup", "net"];

#[test]
fn every_line_of_the_case_files_is_a_call() {
    for case in cases(FAMILIES) {
        for line in &case.lines {
            let Statement::Call(call) = &line.statement else { continue };
            let words = call.args.iter().map(|word| word.expand(|_| Some(b"1".to_vec())).unwrap()).collect();
            if let Err(error) = Call::new(&call.verb, words) {
                panic!("{}: {error}", line.place);
            }
        }
    }
}

#[test]
fn every_case_passes_on_a_bare_kernel() {
    check(Kernel::boot);
}

#[test]
fn every_case_passes_through_a_mount() {
    if can_mount() {
        check(Mounted::boot);
    }
}

/// Runs all cases, each on a new lab.
fn check<L: Machine>(boot: impl Fn() -> L) {
    let failures = cases(FAMILIES).into_iter().filter_map(|case| match run_case(&mut boot(), &case) {
        Outcome::Passed => None,
        Outcome::NotHere => Some(format!("{}: the lab has no such call", case.name)),
        Outcome::Failed(message) => Some(message),
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{}\n{} failed", failures.join("\n"), failures.len());
}
