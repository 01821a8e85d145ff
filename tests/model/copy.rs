//! A copy of a kernel goes on as the original does, and neither touches the other.

use nslab::kernel::Kernel;
use nslab::kernel::audit::audit;
use nslab::syscall::dispatch;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::program::sandbox::SANDBOX;
use super::program::{Line, line_of, plain_line};
use super::{actor, step};

/// Programs tried, steps of each, and the step before which the kernel is copied.
const PROGRAMS: u32 = 60;
const STEPS: usize = 120;
const COPIED_AT: usize = 60;

fn run(k: &mut Kernel, line: &Line) -> String {
    let call = line.call().unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let actor = k.find_task(line.actor).expect("steps are of tasks there are");
    format!("{:?}", dispatch(k, actor, &call.syscall))
}

#[test]
fn a_copy_a_replay_and_the_original_stay_equal() {
    let config = ProptestConfig {
        cases: PROGRAMS,
        rng_seed: RngSeed::Fixed(1706),
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(10), STEPS), |program| {
        let mut lines: Vec<Line> = SANDBOX.lines().map(|line| plain_line(1, line).expect("a line")).collect();
        let mut k = Kernel::boot();
        k.trace.start(100);
        for line in &lines {
            run(&mut k, line);
        }
        let mut copy = None;
        for (number, step) in program.iter().enumerate() {
            if number == COPIED_AT {
                copy = Some(k.clone());
            }
            let Some(line) = line_of(&k, actor(&k, step), step) else { continue };
            let result = run(&mut k, &line);
            if let Some(copy) = &mut copy {
                assert_eq!(run(copy, &line), result, "{line:?}");
            }
            lines.push(line);
        }
        let (original, mut copy) = (format!("{k:?}"), copy.expect("it was copied"));
        assert_eq!(format!("{copy:?}"), original);
        let mut replayed = Kernel::boot();
        replayed.trace.start(100);
        for line in &lines {
            run(&mut replayed, line);
        }
        assert_eq!(format!("{replayed:?}"), original);
        run(&mut copy, &plain_line(1, "clone newnet newuser newpid").expect("a line"));
        assert_eq!(format!("{k:?}"), original, "the copy changed the original");
        assert_eq!(audit(&copy), Ok(()));
        drop(k);
        assert_eq!(audit(&copy), Ok(()));
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}
