//! The deviations that SEMANTICS.md lists hold.

#[path = "common/cases.rs"]
mod cases;

use std::path::Path;

use nslab::kernel::Kernel;

#[test]
fn deviations_are_as_documented() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/semantics.lab");
    cases::check(&cases::load_all(&[file]), Kernel::boot, |_| {});
}
