//! What host programs do by file operations are calls of the task that looks, with its checks.

use super::command::nslab;
use super::needs::has;
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

/// The tree that those see who are attached is the plain one.
#[test]
fn who_freezes_himself_in_a_shell_can_thaw_himself() {
    if !has(&["fuse"]) {
        return;
    }
    let script = "try() { bash -c \"$1\" 2>&1 | sed 's/.*: //'; }
        cd $LAB; self=$(readlink proc/self); mkdir cgroup/q; echo $self > cgroup/q/cgroup.procs; echo 1 > cgroup/q/cgroup.freeze
        try 'echo x > proc/sys/kernel/hostname'; try \"echo 0 > as/$self/cgroup/q/cgroup.freeze\"
        echo 0 > cgroup/q/cgroup.freeze && echo thawed && echo x > proc/sys/kernel/hostname && cat proc/sys/kernel/hostname
        echo 1 > cgroup/q/cgroup.freeze; echo 1 > cgroup/q/cgroup.kill && grep State proc/$self/status";
    let output = nslab(&["shell", "-c", script]);
    let refused = "Resource temporarily unavailable\n".repeat(2);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with(&format!("{refused}thawed\nx\n")), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("unavailable"), "{output:?}");
}

#[test]
fn calls_by_files_are_in_the_trace() {
    let Some(lab) = lab() else { return };
    bash_any(&lab, "mkdir cgroup/a; echo x > proc/sys/kernel/hostname; rmdir cgroup/a");
    let trace = lab.read("kernel/trace").unwrap();
    let calls = ["mkdir(", "write(", "rmdir("];
    assert!(calls.iter().all(|call| trace.contains(call)), "{trace}");
}
