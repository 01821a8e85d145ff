//! `nslab shell`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nslab::fuse::is_lab;

use super::command::{nslab, signal, temporary};
use super::needs::has;

#[test]
fn a_shell_has_a_lab_of_its_own() {
    if !has(&["fuse"]) {
        return;
    }
    let output =
        nslab(&["shell", "-c", "[ \"$LAB\" -ef . ] && pwd && echo newnet > ctl/1/clone && ls -d proc/3 && exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (path, rest) = text.split_once('\n').unwrap();
    assert_eq!(rest, "proc/3\n");
    assert!(!Path::new(path).exists());
    assert_eq!(nslab(&["shell", "-c", "kill -9 $$"]).status.code(), Some(137));
}

#[test]
fn a_shell_that_cannot_start_says_what_to_set() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let with = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        let output = command.args(["shell", "-c", "true"]).env(name, format!("{path}/missing")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap().replace(&path, "DIR"))
    };
    let no_shell = "nslab: DIR/missing: No such file or directory: set SHELL to a shell\n";
    assert_eq!(with("SHELL"), (Some(1), no_shell.to_owned()));
    let no_room = "nslab: DIR/missing: No such file or directory: set TMPDIR to a directory that may be written to\n";
    assert_eq!(with("TMPDIR"), (Some(1), no_room.to_owned()));
    drop(dir);
}

/// The first command of the README is `cargo run -- shell`, when no nslab is installed.
#[test]
fn the_command_is_on_the_path_of_its_shell() {
    if !has(&["fuse"]) {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
    let output = command.args(["shell", "-c", "nslab ps"]).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("NSPID"), "{output:?}");
}

#[test]
fn a_shell_at_a_terminal_says_where_it_is() {
    if !has(&["fuse", "script"]) {
        return;
    }
    let shell = format!("SHELL=/bin/sh '{}' shell", env!("CARGO_BIN_EXE_nslab"));
    let mut script = Command::new("timeout");
    script.args(["30", "script", "-q", "-c", &shell, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"exit\n").unwrap();
    let shown = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let said = shown.lines().find(|line| line.starts_with("nslab: ")).unwrap_or_default();
    let (place, rest) = said.split_once(" (also $LAB)").unwrap_or_default();
    assert!(place.starts_with("nslab: a lab in /"), "{shown}");
    assert_eq!(rest.trim_end(), ": this shell is its task 2; `cat ctl/usage` lists the calls, `exit` takes it down");
}

#[test]
fn a_terminated_shell_leaves_nothing() {
    if !has(&["fuse"]) {
        return;
    }
    let mut shell = Command::new(env!("CARGO_BIN_EXE_nslab"))
        .args(["shell", "-c", "pwd; exec sleep 100"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let path = Path::new(line.trim_end());
    assert!(is_lab(path));
    signal(&shell, Signal::SIGTERM);
    assert_eq!(shell.wait().unwrap().code(), Some(143));
    assert!(!path.exists());
}
