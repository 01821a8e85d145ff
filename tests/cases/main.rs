//! The case files: what Linux 6.18 does, one behaviour each, checked on a bare kernel and through a mounted lab.

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/files.rs"]
mod files;
mod mounted;
#[path = "../common/needs.rs"]
mod needs;

use mounted::Mounted;
use nslab::kernel::Kernel;
use nslab::script::Call;
use nslab::script::file::Case;
use nslab::script::statement::Statement;

/// The families of case files that have to pass.
const FAMILIES: &[&str] = &["core", "task", "pid", "uts", "ipc", "mnt", "mq", "pin", "time", "cgroup", "net"];

/// All cases; each file is of a family.
fn all() -> Vec<Case> {
    let files = files::files("fixtures/cases", "lab");
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let is_known = FAMILIES.iter().any(|family| name.starts_with(&format!("{family}-")));
        assert!(is_known, "{name}: no family is called so");
    }
    cases::load_all(&files)
}

#[test]
fn every_line_of_the_case_files_is_a_call() {
    for case in all() {
        for line in &case.lines {
            let Statement::Call(call) = &line.statement else { continue };
            let words = call.args.iter().map(|word| word.expand(|_| Some(b"1".to_vec())).unwrap()).collect();
            if let Err(error) = Call::new(call.verb, words) {
                panic!("{}: {error}", line.place);
            }
        }
    }
}

#[test]
fn every_case_passes_on_a_bare_kernel() {
    cases::check(&all(), Kernel::boot, |_| {});
}

#[test]
fn every_case_passes_through_a_mount() {
    if needs::has(&["fuse"]) {
        cases::check(&all(), Mounted::boot, |_| {});
    }
}
