//! Programs recorded on a real kernel, run on a bare lab: what Linux answered is what the lab answers. Needs no rights.

#[path = "common/cases.rs"]
mod cases;
#[path = "common/files.rs"]
mod files;

use nslab::kernel::Kernel;

/// Fewer would mean that files are missing.
const PROGRAMS_MIN: usize = 500;

#[test]
fn recorded_programs_give_what_linux_gave() {
    let programs = cases::load_all(&files::files("fixtures/linux-6.18", "lab"));
    assert!(programs.len() >= PROGRAMS_MIN, "only {} programs", programs.len());
    cases::check(&programs, Kernel::boot, |_| {});
}
