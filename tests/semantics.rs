//! The deviations that SEMANTICS.md lists hold.

use std::path::Path;

use nslab::kernel::Kernel;
use nslab::script::file::load;
use nslab::script::run::{Outcome, run_case};

#[test]
fn deviations_are_as_documented() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/semantics.lab");
    let cases = load(&file).unwrap_or_else(|error| panic!("{error}"));
    assert!(!cases.is_empty());
    for case in cases {
        match run_case(&mut Kernel::boot(), &case) {
            Outcome::Passed => {}
            Outcome::NotHere => panic!("{} has a call no lab has", case.name),
            Outcome::Failed(message) => panic!("{message}"),
        }
    }
}
