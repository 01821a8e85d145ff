//! Cgroups of programs.

use std::fs;

use super::native::{Ways, compare};
use super::says;

/// Where this machine has cgroup2.
pub(super) fn hierarchy() -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(str::to_owned)
}

#[test]
fn real_processes_are_moved_frozen_killed_and_born_in_cgroups_as_on_linux() {
    let hierarchy = hierarchy();
    let on_machine = hierarchy.as_ref().map(|point| [point.as_str()]);
    let on_machine = on_machine.as_ref().map(|args| &args[..]);
    let ways = Ways { in_lab: &["/sys/fs/cgroup"], on_machine, ..Ways::PLAIN };
    compare(&ways, "cgroup.c", "rmdir(\"a\") = 0 \nchdir(\"..\") || rmdir(\"nslab-test\") = 0 \n");
}

/// The shell is no program that waits in the lab: its loop has to stop all the same, and the trap runs once it goes on.
#[test]
fn a_shell_stands_still_as_long_as_it_is_frozen() {
    let script = "
cd /sys/fs/cgroup; mkdir box
sh -c 'trap \"echo trapped; exit 5\" TERM; while :; do :; done' & job=$!
echo $job > box/cgroup.procs; cat /proc/$job/cgroup
echo 1 > box/cgroup.freeze; grep frozen box/cgroup.events
kill $job; sleep 0.1; kill -0 $job && echo alive
echo 0 > box/cgroup.freeze; wait $job; echo $?; rmdir box; ls -d box 2>&1 | wc -l";
    says(script, "0::/box\nfrozen 1\nalive\ntrapped\n5\n1\n");
}
