//! Limits and rights that namespaces and credentials decide.

use super::native::{Ways, compare};

#[test]
fn limits_and_rights_are_those_of_linux() {
    compare(&Ways::PLAIN, "limits.c", "child ends with 0\n");
}
