//! Host programs as tasks of a lab: what they see, and what is left of them.

mod after;
mod bad;
mod cgroup;
mod clock;
mod descriptors;
mod host;
mod ipc;
mod journal;
mod limits;
mod manpages;
mod mounted;
mod namespaces;
mod native;
#[path = "../common/needs.rs"]
mod needs;
mod netlink;
mod process;
mod programs;
mod reach;
mod record;
mod signals;
mod terminal;
mod tour;
mod tree;
#[path = "../common/unprivileged.rs"]
mod unprivileged;

use std::process::{Command, Output};

use needs::has;

/// What a program, run in a private lab with options of `nslab exec`, prints and says; `None` where this machine has no FUSE.
/// Nothing here takes as long as the limit.
fn exec_with(options: &[&str], program: &[&str]) -> Option<Output> {
    has(&["fuse"]).then(|| command(options, program).output().unwrap())
}

fn command(options: &[&str], program: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "600", env!("CARGO_BIN_EXE_nslab"), "exec"]).args(options).arg("--").args(program);
    command.env("LC_ALL", "C");
    command
}

fn exec(program: &[&str]) -> Option<Output> {
    exec_with(&[], program)
}

/// What a script of bash prints that succeeds.
fn bash(script: &str) -> Option<String> {
    exec(&["bash", "-c", script]).map(|output| {
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    })
}

/// What a script of python prints that succeeds.
fn python(script: &str) -> Option<String> {
    if !has(&["python3"]) {
        return None;
    }
    exec(&["python3", "-c", script]).map(|output| {
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    })
}

/// Compares what a script of bash prints.
fn says(script: &str, expected: &str) {
    if let Some(text) = bash(script) {
        assert_eq!(text, expected, "{script}");
    }
}
