//! Recordings of what random programs make of a lab.

use std::cell::Cell;

use nslab::kernel::Kernel;
use nslab::syscall::dispatch;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::program::{self, Step, line_of, plain_line};
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
    let compared = Cell::new(0);
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(), 60), |program| {
        let mut k = Kernel::boot();
        // Init stays as it is: it is who reads.
        let init = k.init.task;
        for _ in 0..4 {
            let line = plain_line(1, "clone").expect("a line");
            dispatch(&mut k, init, &line.call().expect("a call").syscall).expect("init may clone");
        }
        for step in program {
            let tasks: Vec<_> = k.tasks.iter().map(|(id, _)| id).filter(|id| *id != init).collect();
            if tasks.is_empty() {
                break;
            }
            let actor = tasks[step.actor % tasks.len()];
            if let Some(line) = line_of(&k, actor, &step) {
                let call = line.call().unwrap_or_else(|error| panic!("{line:?}: {error}"));
                if let Some(actor) = k.find_task(line.actor) {
                    let _ = dispatch(&mut k, actor, &call.syscall);
                }
            }
        }
        let is_compared = check("a random lab", &k).map_err(TestCaseError::fail)?;
        compared.set(compared.get() + u32::from(is_compared));
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    assert!(compared.get() >= 20, "only {} labs were compared", compared.get());
}
