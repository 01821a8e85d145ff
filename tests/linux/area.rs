//! Areas of random programs. Each has its own steps and compares more than the tasks, which every area compares.

use nslab::kernel::TaskId;
use nslab::syscall::AnyCall;
use proptest::prelude::*;

use crate::pair::Pair;
use crate::program::{self, Step};

/// What random programs are about.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub name: &'static str,
    /// Programs of a run that asks for nothing else, as `cargo test` is: all areas together take less than a minute on a
    /// small machine. `.ci/run` asks for more.
    pub programs: u64,
    /// Most steps of a program.
    pub length: usize,
    /// What each program begins with: the number of a task, and its line.
    pub prelude: &'static [(i32, &'static str)],
    /// Programs begin with what only root may do.
    pub needs_root: bool,
    /// Its programs change mounts or files.
    pub is_sandboxed: bool,
    pub step: fn() -> BoxedStrategy<Step>,
    /// Compares what the area is about after a call of a task, or everything at the end of a program: the difference.
    pub observe: Observe,
}

pub type Observe = fn(&mut Pair, Option<(TaskId, &AnyCall)>) -> Result<(), String>;

/// What areas have in common.
pub const PLAIN: Area = Area {
    name: "",
    programs: 30,
    length: 80,
    prelude: &[],
    needs_root: true,
    is_sandboxed: false,
    step: program::core::step,
    observe: |_, _| Ok(()),
};

/// What tasks do to themselves and each other.
const CORE: Area = Area { name: "core", programs: 80, needs_root: false, ..PLAIN };

/// The areas there are.
pub const AREAS: &[Area] = &[CORE, crate::ipc::AREA, crate::net::AREA, crate::cgroup::AREA, crate::mnt::AREA];
