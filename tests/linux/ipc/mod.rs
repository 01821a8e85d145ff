//! Random programs about what IPC and time namespaces hold.

use nslab::kernel::{Kernel, TaskId};
use proptest::prelude::*;
use proptest::sample::select;

use crate::area::Area;
use crate::program::{Step, filled_step, pick_number};

pub const AREA: Area = Area {
    name: "ipc",
    programs: 150,
    length: 80,
    prelude: &[(1, "clone"), (2, "unshare newipc newuts newtime"), (2, "clone")],
    step,
    observe: |_, _| Ok(()),
};

fn step() -> BoxedStrategy<Step> {
    let who = any::<usize>;
    let line = prop_oneof![
        2 => Just("clone".to_owned()),
        1 => select(vec!["clone newipc", "clone newuser newipc", "clone newtime", "clone newpid"]).prop_map(str::to_owned),
        1 => select(vec!["unshare newipc", "unshare newuser newipc", "unshare newtime"]).prop_map(str::to_owned),
        1 => who().prop_map(|task| format!("setns pidfd:{{task:{task}}} newipc")),
        1 => who().prop_map(|task| format!("kill {{task:{task}}} SIGKILL")),
    ];
    filled_step(fill, line).boxed()
}

fn fill(k: &Kernel, _: TaskId, word: &str, index: usize) -> Option<String> {
    match word {
        "task" => Some(pick_number(k, index).to_string()),
        _ => None,
    }
}
