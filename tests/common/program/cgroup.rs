//! Steps about cgroups, all below the cgroup `G`.

use nslab::kernel::{Kernel, TaskId};
use proptest::prelude::*;
use proptest::sample::select;

use super::{Step, filled_step, pick_number};

/// Where the lab has its hierarchy.
pub const LAB_MOUNT: &str = "/sys/fs/cgroup";

pub fn step() -> BoxedStrategy<Step> {
    let task = || any::<usize>().prop_map(|at| format!("{{task:{at}}}"));
    let dir = || select(vec!["G", "G/a", "G/a", "G/b", "G/b", "G/a/x", "G/a/y", "G/b/x", "G/a/x/z", "G/c"]);
    let file = |file: &'static str, texts: Vec<&'static str>| {
        (dir(), select(texts)).prop_map(move |(dir, text)| format!("write {LAB_MOUNT}/{dir}/{file} \"{text}\""))
    };
    let plain = |lines: &[&'static str]| select(lines.to_vec()).prop_map(str::to_owned);
    let line = prop_oneof![
        8 => dir().prop_map(|dir| format!("mkdir {LAB_MOUNT}/{dir}")),
        5 => dir().prop_map(|dir| format!("rmdir {LAB_MOUNT}/{dir}")),
        14 => (dir(), prop_oneof![4 => task(), 1 => Just("0".to_owned())])
            .prop_map(|(dir, task)| format!("write {LAB_MOUNT}/{dir}/cgroup.procs {task}")),
        3 => task().prop_map(|task| format!("write {LAB_MOUNT}/cgroup.procs {task}")),
        4 => (dir(), task()).prop_map(|(dir, task)| format!("write {LAB_MOUNT}/{dir}/cgroup.threads {task}")),
        1 => file("cgroup.procs", vec!["", "x", "-1", "4194303", " 0 \\n", "99999999999"]),
        3 => file("cgroup.type", vec!["threaded", "threaded", "domain", "threaded\\n"]),
        2 => file("cgroup.max.depth", vec!["0", "1", "max", "-1", "x", "2\\n"]),
        2 => file("cgroup.max.descendants", vec!["0", "1", "2", "max", "-1", "", "0x1"]),
        1 => file("cgroup.subtree_control", vec!["+cpu", "-cpu", "+nothing", "cpu", "", "+memory -cpu"]),
        1 => file("cgroup.pressure", vec!["0", "1", "2", "x"]),
        1 => file("cgroup.kill", vec!["1", "0", "x", "2"]),
        1 => file("cgroup.events", vec!["1"]),
        3 => (select(vec!["41000:41000", "0:0", "-1:41000"]), dir(), select(vec!["", "/cgroup.procs", "/cgroup.threads"]))
            .prop_map(|(ids, dir, file)| format!("chown {ids} {LAB_MOUNT}/{dir}{file}")),
        1 => dir().prop_map(|dir| format!("unlink {LAB_MOUNT}/{dir}/cgroup.procs")),
        3 => dir().prop_map(|dir| format!("open {LAB_MOUNT}/{dir} directory")),
        3 => (0..4i32, select(vec!["", "newcgroup ", "newuser newcgroup "]))
            .prop_map(|(fd, flags)| format!("clone {flags}into_cgroup cgroup={fd}")),
        5 => plain(&["clone", "clone", "clone newcgroup", "clone newuser newcgroup", "clone vm fs files sighand thread", "clone newpid"]),
        4 => plain(&["unshare newcgroup", "unshare newcgroup", "unshare newuser newcgroup", "unshare newuser"]),
        3 => task().prop_map(|task| format!("setns pidfd:{task} newcgroup")),
        2 => plain(&["setresuid 41000 41000 41000", "setresuid -1 41000 -1"]),
        4 => plain(&["exit 0", "exit_group 0", "wait -1", "wait -1", "wait -1"]),
        1 => (0..4i32).prop_map(|fd| format!("close {fd}")),
        1 => task().prop_map(|task| format!("kill {task} SIGKILL")),
    ];
    filled_step(fill, line).boxed()
}

fn fill(k: &Kernel, _: TaskId, word: &str, index: usize) -> Option<String> {
    (word == "task").then(|| pick_number(k, index).to_string())
}
