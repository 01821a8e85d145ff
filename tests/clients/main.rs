//! Real programs, unmodified, on a lab whose `proc` lies over their `/proc`, and what they must print of the machine in
//! `fixtures/host.lab`. What this machine lacks is skipped, aloud.

mod ci;
mod debian;
mod exporter;
mod namespaces;
#[path = "../common/needs.rs"]
mod needs;
mod package;
mod processes;
mod procfs_crate;
mod psutil;
mod python;
mod scripts;
mod traced;

use std::process::{Command, Output};

use needs::has;
use nslab::testing::Lab;

const SCENARIO: &str = include_str!("../../fixtures/host.lab");
/// Mount and network namespaces that live by files alone.
const PINS: &str = include_str!("../../fixtures/snap.lab");

/// The lab, or `None`, said aloud, if this machine cannot show it to `programs`.
fn lab(programs: &[&str]) -> Option<Lab> {
    lab_of(SCENARIO, programs)
}

fn lab_of(scenario: &str, programs: &[&str]) -> Option<Lab> {
    // Only root may cover /proc, in a mount namespace of its own.
    let rights: &[&str] = if programs.is_empty() { &["fuse"] } else { &["fuse", "root"] };
    has(&[rights, programs].concat()).then(|| Lab::boot(scenario).unwrap())
}

/// Runs a shell command with the lab's `proc` over `/proc`, and its `/run/netns`, if it has one, over that; no program may
/// take longer than a moment.
fn run(lab: &Lab, command: &str) -> Output {
    let script = "mount --bind \"$0/proc\" /proc || exit; \
                  if [ -d \"$0/root/run/netns\" ]; then \
                      mount -t tmpfs none /run && mkdir /run/netns && mount --bind \"$0/root/run/netns\" /run/netns || exit; \
                  fi; \
                  eval \"exec timeout 30 $1\"";
    Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(lab.path())
        .arg(command)
        .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("COLUMNS", "200"), ("HOME", "/nonexistent")])
        .output()
        .unwrap()
}

/// What a command that must succeed prints, without a word on standard error; columns are one blank apart.
fn output(lab: &Lab, command: &str) -> String {
    let output = run(lab, command);
    assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(squeeze).collect()
}

/// Leaves out what pictures of trees are drawn with.
fn without_branches(text: &str) -> String {
    text.replace("|-", "").replace("`-", "")
}
