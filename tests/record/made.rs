//! Processes that make a topology, and what programs print of it: on the machine, or in a lab.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Processes of the test, which end with it.
pub struct Made {
    child: Child,
    _input: Option<ChildStdin>,
}

impl Made {
    /// Runs a script of this directory, which prints `ready` when all is there, by a command that `change` may change.
    pub fn new(script: &str, change: impl FnOnce(&mut Command)) -> Made {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record").join(script);
        let mut command = Command::new("bash");
        change(&mut command);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let made = Made { child, _input: input };
        let ready = BufReader::new(output).lines().map_while(Result::ok).any(|line| line == "ready");
        assert!(ready, "the topology is not there");
        made
    }

    /// All processes below the script that are there now, itself included; those that nobody is the parent of any more are found
    /// by their age: they are younger than it, and sleep.
    pub fn pids(&self) -> BTreeSet<i32> {
        let first = i32::try_from(self.child.id()).unwrap();
        let mut found = BTreeSet::from([first]);
        let mut queue = vec![first];
        while let Some(pid) = queue.pop() {
            for task in names(&format!("/proc/{pid}/task")) {
                let children = fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
                let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
                queue.extend(children.iter().filter(|pid| found.insert(**pid)));
            }
        }
        found
    }
}

impl Made {
    /// The process that all others are below.
    pub fn first(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Returns when nobody of them runs any more: who has said that all is there, and who was last started, runs for a while.
    pub fn sleeps(&self) {
        let runs = |pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['R', 'D']))
        };
        while self.pids().iter().any(runs) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let mut pids: Vec<i32> = self.pids().into_iter().collect();
        // The one whose parent is gone is in the session of a process that is gone too.
        pids.reverse();
        for pid in pids {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

pub fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

pub fn record(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("record").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell prints, on the machine or where the lab is over `/proc`.
pub fn printed(lab: Option<&Path>, command: &str) -> String {
    let over = lab.map_or(String::new(), |lab| format!("mount --bind {}/proc /proc && ", lab.display()));
    // Who is not root may mount where he is root.
    let flags = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let output = Command::new("unshare").args([flags, "bash", "-c", &format!("{over}{command}")]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// # Errors
/// What differs.
pub fn differ(left: &[String], right: &[String], what: &str) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    let lost: Vec<_> = left.iter().filter(|line| !right.contains(line)).collect();
    let new: Vec<_> = right.iter().filter(|line| !left.contains(line)).collect();
    let first = left.iter().zip(right).find(|(left, right)| left != right);
    Err(format!("{what}: on the machine {lost:#?}, in the lab {new:#?}, first {first:#?}"))
}
