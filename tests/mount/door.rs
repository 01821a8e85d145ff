//! What host programs do by file operations are calls of the task that looks, with its checks.

use super::{bash_any, lab};

#[test]
fn a_frozen_viewer_changes_nothing_by_any_file() {
    let Some(lab) = lab() else { return };
    let text = bash_any(
        &lab,
        "try() { bash -c \"$1\" 2>&1 | sed 's/.*: //'; }
        mkdir cgroup/a; echo 1 > cgroup/a/cgroup.procs; echo 1 > cgroup/a/cgroup.freeze
        try 'echo > ctl/1/setsid'; try 'echo other > proc/sys/kernel/hostname'; try 'mkdir cgroup/b'
        try 'rmdir cgroup/a'; try 'echo 0 > as/1/cgroup/a/cgroup.freeze'
        cat proc/sys/kernel/hostname; ls -d cgroup/*/
        echo 0 > cgroup/a/cgroup.freeze && mkdir cgroup/b && echo other > proc/sys/kernel/hostname
        cat proc/sys/kernel/hostname; ls -d cgroup/*/",
    );
    assert_eq!(text.matches("Resource temporarily unavailable\n").count(), 5, "{text}");
    assert!(text.ends_with("nslab\ncgroup/a/\nother\ncgroup/a/\ncgroup/b/\n"), "{text}");
}

#[test]
fn calls_by_files_are_in_the_trace() {
    let Some(lab) = lab() else { return };
    bash_any(&lab, "mkdir cgroup/a; echo x > proc/sys/kernel/hostname; rmdir cgroup/a");
    let trace = lab.read("kernel/trace").unwrap();
    let calls = ["mkdir(", "write(", "rmdir("];
    assert!(calls.iter().all(|call| trace.contains(call)), "{trace}");
}
