//! Random programs on the bare kernel. After every call the kernel is recounted from scratch; what the model knows of
//! nsproxies by scanning lists has to agree with the counts shown; and a call that is refused changes nothing.

mod copy;
mod digest;
#[path = "../common/program/mod.rs"]
mod program;
mod recorded;
#[path = "../common/recording.rs"]
mod recording;

use std::collections::BTreeMap;

use nslab::kernel::audit::audit;
use nslab::kernel::{Kernel, NsProxyId, TaskId};
use nslab::syscall::dispatch;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};

use digest::Digest;
use program::sandbox::SANDBOX;
use program::{Line, Step, filled_step, line_of, pick_number, plain_line};

/// Steps of all areas that are compared with Linux, so many of a hundred about files, and of those that no machine may be
/// asked for.
fn step(files: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => program::core::step(),
        25 => program::ipc::step(),
        files => program::mnt::step(),
        8 => program::net::step(),
        5 => program::cgroup::step(),
        4 => lab_step(),
    ]
}

/// What would stop the machine, or change what is everybody's.
fn lab_step() -> impl Strategy<Value = Step> {
    let line = prop_oneof![
        3 => any::<u16>().prop_map(|task| format!("ptrace seize {{task:{task}}}")),
        1 => Just("clock +1s".to_owned()),
        1 => (select(vec!["G", "G/a", "G/a/x"]), select(vec!["0", "0", "1"]))
            .prop_map(|(dir, on)| format!("write /sys/fs/cgroup/{dir}/cgroup.freeze {on}")),
        1 => select(vec!["mkdir /sys/fs/cgroup/G", "mount tmpfs w /w", "umount -l /"])
            .prop_map(str::to_owned),
    ];
    filled_step(|k, _, word, index| (word == "task").then(|| pick_number(k, index).to_string()), line)
}

/// Whom a step stands for: any task, zombies and init included.
fn actor(k: &Kernel, step: &Step) -> TaskId {
    let tasks: Vec<TaskId> = k.tasks.iter().map(|(id, _)| id).collect();
    tasks[step.actor % tasks.len()]
}

/// The naive reference: who uses which nsproxy, counted by looking at every task.
fn nsproxy_users(k: &Kernel) -> BTreeMap<NsProxyId, u32> {
    let mut users = BTreeMap::new();
    for (task, _) in k.tasks.iter() {
        if let Some(id) = k.nsproxy_id_of(task) {
            *users.entry(id).or_default() += 1;
        }
    }
    users
}

/// A kernel, and the digest of it as it is.
struct Model {
    k: Kernel,
    digest: Digest,
}

impl Model {
    fn boot() -> Model {
        let mut k = Kernel::boot();
        let digest = Digest::of(&mut k);
        Model { k, digest }
    }

    /// Makes the call of a line and checks the kernel after it.
    fn run(&mut self, line: &Line) {
        let call = line.call().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let actor = self.k.find_task(line.actor).expect("steps are of tasks there are");
        let left = digest::left_behind(&self.k, actor, &call.syscall);
        let result = dispatch(&mut self.k, actor, &call.syscall);
        let before = std::mem::replace(&mut self.digest, Digest::of(&mut self.k));
        // In debug builds dispatch has asked already.
        if !cfg!(debug_assertions) {
            assert_eq!(audit(&self.k), Ok(()), "after {call:?}");
        }
        if let Err(error) = result {
            assert!(!error.to_string().is_empty());
            let changed = before.changed(&self.digest, left);
            assert!(changed.is_empty(), "{} {} changed {changed:?}, refused with {error}", call.verb.name, call.line());
        }
        let shown: BTreeMap<_, _> = self.k.nsproxies.iter().map(|(id, p)| (id, p.count)).collect();
        assert_eq!(nsproxy_users(&self.k), shown);
    }
}

/// Programs of each of the two tests, which run side by side.
const PROGRAMS: u32 = 120;

/// Counts are those of the holders after each of 200 random calls, and a refused call leaves no trace.
fn check_programs(prelude: &str, files: u32) {
    let config = ProptestConfig {
        cases: PROGRAMS,
        rng_seed: RngSeed::Fixed(618),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&prop::collection::vec(step(files), 200), |program| {
        let mut model = Model::boot();
        for line in prelude.lines() {
            model.run(&plain_line(1, line).expect("a line"));
        }
        for step in program {
            let actor = actor(&model.k, &step);
            if let Some(line) = line_of(&model.k, actor, &step) {
                model.run(&line);
            }
        }
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Among the mounts that a lab boots with, all shared, few steps are about files: each copy of a tree appears in all its
/// peers, and their number doubles.
#[test]
fn counts_are_exact_after_every_call() {
    check_programs("mount tmpfs w /w\nmkdir /w/a\nmkdir /w/b", 2);
}

/// In a file tree of their own programs may change every file.
#[test]
fn counts_are_exact_after_every_call_about_files() {
    check_programs(SANDBOX, 25);
}
