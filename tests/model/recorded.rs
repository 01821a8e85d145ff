//! Recordings of what random programs make of a lab.

use nslab::kernel::Kernel;
use nslab::syscall::dispatch;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::program::{self, Step, line_of};
use super::recording::check;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => program::core::step(),
        3 => program::mnt::step(),
        5 => program::cgroup::step(),
    ]
}

/// The lab that boots from the recording of any lab is recorded the same.
#[test]
fn recordings_of_random_labs_boot_into_labs_that_are_recorded_the_same() {
    let config = ProptestConfig {
        cases: 40,
        rng_seed: RngSeed::Fixed(16),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(), 60), |program| {
        let mut k = Kernel::boot();
        for step in program {
            let tasks: Vec<_> = k.tasks.iter().map(|(id, _)| id).collect();
            let actor = tasks[step.actor % tasks.len()];
            if let Some(line) = line_of(&k, actor, &step) {
                let call = line.call().unwrap_or_else(|error| panic!("{line:?}: {error}"));
                if let Some(actor) = k.find_task(line.actor) {
                    let _ = dispatch(&mut k, actor, &call.syscall);
                }
            }
        }
        check("a random lab", &k).map_err(TestCaseError::fail)
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}
