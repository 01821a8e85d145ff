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
const FAMILIES: &[&str] = &["core", "task", "pid", "uts", "ipc", "mq", "time", "cgroup", "net"];

/// The families that need parts of the kernel not built yet; their lines are of the language all the same.
const LATER_FAMILIES: &[&str] = &["mnt", "pin"];

/// Cases that wait for verbs that are not built yet.
const PENDING: &[&str] = &[
    "clone-newuser-chroot",
    "life-bind-keeps-ns",
    "life-bind-pfc-empty",
    "life-bind-mnt-older",
    "life-bind-mnt-newer",
    "setns-mnt-resets-cwd",
    "setns-mnt-escapes-chroot",
    "unshare-newuts-chroot",
    "unshare-newuser-chroot-limit",
    "unshare-newns-fs-copied",
    "mq-file-016",
    "mq-file-017",
    "mq-file-020",
    "pid-proc-004",
];

/// Cases that wait for files and mounts in the task's own tree.
const NEED_FILE_TREE: &[&str] = &[
    "cg.clone.into-badfd",
    "cg.mnt.init-view",
    "cg.mnt.nsview-of-init-mount",
    "cg.mnt.new-in-ns.from-outside",
    "cg.mnt.new-in-ns.listing",
    "cg.mnt.same-place-ebusy",
    "cg.mnt.userns",
    "cg.mnt.userns-no-cgns",
    "cg.nodeleg.back",
    "cg.nodeleg.root-file",
    "cg.procs.otherpidns",
    "net.death.bind-holds",
    "setns-regular-file",
];

fn waits(name: &str) -> bool {
    NEED_FILE_TREE.contains(&name)
}

#[test]
fn every_line_of_the_case_files_is_a_call() {
    for case in cases(FAMILIES).into_iter().filter(|case| !waits(&case.name)) {
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
    for case in cases(FAMILIES).into_iter().filter(|case| !waits(&case.name)) {
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
