//! Drawing random programs for the machine, and who makes each call.

use nslab::kernel::task::TaskState;
use nslab::kernel::{Kernel, TaskId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::area::Area;
use crate::program::{Op, Step};

/// Random steps of an area's program number `index` under a seed, at most `length`.
pub fn program_tree(area: &Area, seed: u64, index: u64, length: usize) -> impl ValueTree<Value = Vec<Step>> {
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&index.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let steps = prop::collection::vec((area.step)(), length / 2..=length);
    steps.new_tree(&mut runner).expect("the strategies reject nothing")
}

/// Init does few things, and nothing to itself.
pub fn pick_actor(k: &Kernel, step: &Step) -> Option<TaskId> {
    let running: Vec<TaskId> = k
        .tasks
        .iter()
        .filter(|(id, t)| t.state == TaskState::Running && *id != k.init.task)
        .map(|(id, _)| id)
        .collect();
    let may_be_init = match &step.op {
        Op::Clone { flags, exit_signal, .. } => flags & 0x1ff00 == 0 && exit_signal.is_none(),
        Op::Map { .. } => true,
        Op::Named { before, .. } => matches!(*before, "kill " | "wait " | "waitid pid "),
        Op::Plain(line) => line.starts_with("wait"),
        Op::Filled { line, .. } => line == "clone",
        _ => false,
    };
    if may_be_init && (running.is_empty() || step.actor.is_multiple_of(8)) {
        return Some(k.init.task);
    }
    if running.is_empty() { None } else { Some(running[step.actor / 8 % running.len()]) }
}
