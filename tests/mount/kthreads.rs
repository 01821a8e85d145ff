//! Kernel threads, compared with those of this machine.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nslab::errno::Errno;
use nslab::testing::Lab;

use super::needs::{has, skipped};

const SCENARIO: &str = include_str!("../../fixtures/kernel.lab");

fn lab() -> Option<Lab> {
    has(&["fuse"]).then(|| Lab::boot(SCENARIO).unwrap())
}

/// Lines of `status` that depend on the machine or on what ran.
const OF_THE_MACHINE: [&str; 8] = [
    "SigQ",
    "Speculation_Store_Bypass",
    "SpeculationIndirectBranch",
    "Cpus_allowed",
    "Cpus_allowed_list",
    "Mems_allowed",
    "voluntary_ctxt_switches",
    "nonvoluntary_ctxt_switches",
];

fn status(proc: &Path, pid: u32) -> Vec<String> {
    let text = fs::read_to_string(proc.join(format!("{pid}/status"))).unwrap();
    let is_of_machine = |line: &str| OF_THE_MACHINE.iter().any(|name| line.split(':').next() == Some(name));
    text.lines().filter(|line| !is_of_machine(line)).map(str::to_owned).collect()
}

/// The fields of `stat` but for times, counts of faults and the processor.
fn stat(proc: &Path, pid: u32) -> Vec<String> {
    let text = fs::read_to_string(proc.join(format!("{pid}/stat"))).unwrap();
    let varies = [10, 11, 12, 13, 14, 15, 16, 17, 22, 39];
    let fields = (1..).zip(text.split_whitespace()).filter(|(number, _)| !varies.contains(number));
    fields.map(|(_, field)| field.to_owned()).collect()
}

/// What a file reads as, or what comes instead.
fn content(path: &Path) -> Result<String, Option<i32>> {
    fs::read_to_string(path).map_err(|error| error.raw_os_error())
}

fn is_like_the_machine(lab: &Lab, pid: u32) {
    let (shown, real) = (lab.at("proc"), Path::new("/proc"));
    assert_eq!(status(&shown, pid), status(real, pid));
    assert_eq!(stat(&shown, pid), stat(real, pid));
    let files =
        ["cmdline", "environ", "auxv", "maps", "smaps", "smaps_rollup", "numa_maps", "coredump_filter", "statm"];
    let others = ["oom_score", "oom_score_adj", "comm", "autogroup", "uid_map", "setgroups", "loginuid", "sessionid"];
    for file in files.iter().chain(&others) {
        let path = format!("{pid}/{file}");
        assert_eq!(content(&shown.join(&path)), content(&real.join(&path)), "{path}");
    }
    for file in ["", "exe", "cwd", "root", "fd", "ns", "task", "maps", "environ", "autogroup", "oom_score_adj"] {
        let path = format!("{pid}/{file}");
        let attributes = |proc: &Path| {
            let found = fs::symlink_metadata(proc.join(&path)).unwrap();
            (found.permissions().mode(), found.uid(), found.gid())
        };
        assert_eq!(attributes(&shown), attributes(real), "{path}");
    }
    let exe = |proc: &Path| fs::read_link(proc.join(format!("{pid}/exe"))).unwrap_err().raw_os_error();
    assert_eq!(exe(&shown), exe(real));
    assert_eq!(exe(&shown), Some(Errno::ENOENT as i32));
    let count = |proc: &Path, dir: &str| fs::read_dir(proc.join(format!("{pid}/{dir}"))).unwrap().count();
    for dir in ["fd", "fdinfo", "ns", "task"] {
        assert_eq!(count(&shown, dir), count(real, dir), "{dir}");
    }
}

#[test]
fn their_files_are_those_of_the_machines() {
    if !has(&["root"]) {
        return;
    }
    let Some(lab) = lab() else { return };
    if content(Path::new("/proc/3/comm")).as_deref() != Ok("pool_workqueue_release\n") {
        return skipped("no kernel threads to be seen here, or others");
    }
    is_like_the_machine(&lab, 2);
    is_like_the_machine(&lab, 3);
    assert_eq!(stat(&lab.at("proc"), 4)[..3], ["4", "(kworker/R-rcu_gp)", "I"]);
}

#[test]
fn kthreadd_is_the_parent_of_all_others() {
    let Some(lab) = lab() else { return };
    assert_eq!(lab.read("proc/2/task/2/children").unwrap(), "3 4 15 5 6 ");
    for pid in [3, 4, 15, 5, 6] {
        assert!(lab.read(format!("proc/{pid}/status")).unwrap().contains("\nPPid:\t2\n"), "{pid}");
    }
    assert!(lab.read("proc/2/status").unwrap().contains("\nPPid:\t0\n"));
    assert_eq!(lab.read("proc/1/task/1/children").unwrap(), "7 ");
    assert_eq!(lab.read("kernel/task/3/comm").unwrap(), "pool_workqueue_\n");
    assert!(lab.read_link("kernel/task/2/real_parent").is_err());
    assert_eq!(lab.read_link("kernel/task/3/real_parent").unwrap(), Path::new("../2"));
    let namespace = |pid: u32| lab.read_link(format!("proc/{pid}/ns/mnt")).unwrap();
    assert!(namespace(6) != namespace(2) && namespace(2) == namespace(1));
}

/// Nobody can ask for one in a lab that runs; and what one may be asked is refused where it takes memory.
#[test]
fn what_is_refused_says_why() {
    let Some(lab) = lab() else { return };
    let refused = |pid: i32, call: &str| lab.call(pid, call).unwrap_err().to_string();
    assert!(refused(1, "clone kthread").contains("kthread is for files only"));
    assert!(refused(2, "clone").contains("is a kernel thread and has no memory"));
    assert!(refused(2, "exec sh").contains("is a kernel thread and has no memory"));
    assert!(refused(2, "exit").contains("kthreadd never ends"));
    assert!(refused(1, "ptrace seize 3").contains("is a kernel thread"));
    let error = fs::write(lab.at("ctl/batch"), "1 clone kthread\n").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
    fs::create_dir(lab.at("cgroup/c")).unwrap();
    let error = fs::write(lab.at("cgroup/c/cgroup.procs"), "2").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
    fs::write(lab.at("cgroup/c/cgroup.procs"), "3").unwrap();
    for signal in ["SIGKILL", "SIGSTOP", "SIGTERM"] {
        lab.call(1, &format!("kill 3 {signal}")).unwrap();
        assert!(lab.read("proc/3/status").unwrap().contains("\nState:\tS (sleeping)\n"), "{signal}");
    }
    lab.call(1, "kill -1 SIGKILL").unwrap();
    assert!(lab.at("proc/3").exists() && !lab.at("proc/7/exe").exists());
    lab.call(3, "exit").unwrap();
    assert!(!lab.at("proc/3").exists(), "kthreadd ignores the deaths of its children");
}
