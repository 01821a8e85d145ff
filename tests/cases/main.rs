//! The case files: what Linux 6.18 does, one behaviour each, checked on a bare kernel and through a mounted lab.

#[path = "../common/mod.rs"]
mod common;
mod mounted;

use common::cases;
use mounted::{Mounted, can_mount};
use nslab::kernel::Kernel;
use nslab::script::run::{Outcome, Summary, run_case};
use nslab::script::statement::Statement;
use nslab::script::{Call, Lab};

/// The families of case files that have to pass.
const FAMILIES: &[&str] = &["core", "task", "pid", "uts", "ipc", "mnt", "mq", "pin", "time"];

/// The families that need parts of the kernel not built yet; their lines are of the language all the same.
const LATER_FAMILIES: &[&str] = &["cgroup", "net"];

/// Cases that wait for verbs that are not built yet.
const PENDING: &[&str] = &[];

#[test]
fn every_line_of_the_case_files_is_a_call() {
    for case in cases(FAMILIES) {
        for line in &case.lines {
            let Statement::Call(call) = &line.statement else { continue };
            let words = call.args.iter().map(|word| word.expand(|_| Some(b"1".to_vec())).unwrap()).collect();
            if let Err(error) = Call::new(&call.verb, words) {
                assert!(PENDING.contains(&case.name.as_str()), "{}: {error}", line.place);
            }
        }
    }
}

#[test]
fn files_that_cannot_pass_yet_can_be_read() {
    assert!(cases(LATER_FAMILIES).iter().all(|case| case.start.is_some()));
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

/// Runs all cases, each on a new lab; all have to pass but the pending ones.
fn check<L: Lab>(boot: impl Fn() -> L) {
    let (mut summary, mut pending, mut failed) = (Summary::default(), Vec::new(), Vec::new());
    for case in cases(FAMILIES) {
        let outcome = run_case(&mut boot(), &case);
        summary.add(&outcome);
        match outcome {
            Outcome::Passed => {}
            Outcome::Pending => pending.push(case.name),
            Outcome::Failed(message) => failed.push(message),
        }
    }
    assert!(failed.is_empty(), "{}\n{summary}", failed.join("\n"));
    assert_eq!(pending, PENDING);
}
