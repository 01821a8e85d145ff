//! Whatever clients hold or wait for, writes end and are seen: each provocation for a moment. `cargo bench --bench
//! hostile` takes a minute for each.

use std::time::Duration;

use self::field::{PROVOCATIONS, provoke};
use super::needs::has;

#[path = "../common/hostile.rs"]
mod field;

#[test]
fn clients_that_hold_what_they_can_hold_nobody_up() {
    if !has(&["fuse", "root"]) {
        return;
    }
    for provocation in PROVOCATIONS {
        let outcome = provoke(&provocation, Duration::from_secs(1)).unwrap();
        assert_eq!(outcome.hang, None, "{}", provocation.name);
        assert_eq!(outcome.stale, 0, "{}: of {} writes", provocation.name, outcome.writes);
    }
}
