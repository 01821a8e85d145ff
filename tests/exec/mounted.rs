//! Programs in a lab that is mounted, and stays: several commands in one lab, and what is left when one of the ends is gone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::has;
use super::unprivileged::nobody;

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");

/// A lab of a daemon of its own.
pub(super) struct Lab(TempDir);

impl Lab {
    /// `None` where this machine has no FUSE.
    pub(super) fn new() -> Option<Lab> {
        if !has(&["fuse"]) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new(NSLAB).arg("mount").arg(dir.path()).status().unwrap();
        assert!(mounted.success());
        Some(Lab(dir))
    }

    pub(super) fn dir(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = Command::new(NSLAB);
        command.arg("exec").args(options).arg(self.dir()).arg("--").args(program).env("LC_ALL", "C");
        command
    }

    pub(super) fn exec(&self, program: &[&str]) -> Output {
        self.command(&[], program).output().unwrap()
    }

    /// A command whose program goes on, the first line that it prints, and what else it will.
    pub(super) fn start(&self, program: &[&str]) -> (Child, String, BufReader<impl Read + use<>>) {
        let mut command = self.command(&[], program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        (child, line.trim().to_owned(), output)
    }

    fn umount(&self, options: &[&str]) -> Output {
        Command::new(NSLAB).arg("umount").args(options).arg(self.dir()).output().unwrap()
    }

    /// Numbers of the tasks, dead ones too.
    fn tasks(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir().join("proc")).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
    }

    /// The process that serves it.
    fn daemon(&self) -> i32 {
        let output = Command::new(NSLAB).args(["list", "--json"]).output().unwrap();
        let labs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let own = labs.as_array().unwrap().iter().find(|lab| lab["directory"] == self.dir().to_str().unwrap()).unwrap();
        own["pid"].as_i64().unwrap() as i32
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Some tests have done so.
        self.umount(&["--force"]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_alive(pid: &u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// All that came of a command: the process that has its programs, and those.
fn processes_of(command: u32) -> (u32, Vec<u32>) {
    let supervisor = children(command)[0];
    (supervisor, children(supervisor))
}

fn wait_until(is: impl Fn() -> bool) {
    while !is() {
        thread::yield_now();
    }
}

/// Exit code and standard error.
fn end_of(mut command: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    command.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (command.wait().unwrap().code(), said)
}

const RUNS: [&str; 3] = ["sh", "-c", "sleep 1000 & echo $$; exec sleep 2000"];

#[test]
fn a_program_is_a_task_of_the_lab_and_leaves_nothing() {
    let Some(lab) = Lab::new() else { return };
    let script = "true | cat; echo $$; unshare -u sh -c 'hostname x; hostname'; cat /proc/self/comm; exit 7";
    let output = lab.exec(&["sh", "-c", script]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(7), "2\nx\ncat\n".to_owned()), "{output:?}");
    assert_eq!(lab.exec(&["sh", "-c", "kill -TERM $$"]).status.code(), Some(143));
    assert_eq!(lab.exec(&["sh", "-c", "sh -c 'sh -c \"exit 1\" & exit 2' & wait"]).status.code(), Some(0));
    let missing = lab.exec(&["no-such"]);
    assert_eq!(missing.status.code(), Some(127));
    assert_eq!(text(&missing.stderr), "nslab: no-such: No such file or directory\n");
    // Also of those that nobody has waited for.
    wait_until(|| lab.tasks() == ["1"]);
}

#[test]
fn programs_stay_until_they_end_and_see_those_of_other_commands() {
    let Some(lab) = Lab::new() else { return };
    let output = lab.exec(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]);
    let number = text(&output.stdout).trim().to_owned();
    assert_eq!(lab.tasks(), ["1", &number]);
    let script = format!("cat /proc/{number}/comm; kill -TERM {number}; echo $?");
    assert_eq!(text(&lab.exec(&["sh", "-c", &script]).stdout), "sleep\n0\n");
    wait_until(|| lab.tasks() == ["1"]);
}

#[test]
fn a_program_waits_for_one_of_another_command() {
    let Some(lab) = Lab::new() else { return };
    if !has(&["python3"]) {
        return;
    }
    let script = "
import os
if os.fork() == 0:
    os.read(0, 1)
    os._exit(0)
print(os.getpid(), flush=True)
print(os.wait()[1], flush=True)
";
    // It has a child of its own that stays, and blocks until the one that the other command makes has ended.
    let (mut waits, number, mut output) = lab.start(&["python3", "-c", script]);
    let ended = lab.command(&["--as", &number], &["sh", "-c", "exit 3"]).status().unwrap();
    assert_eq!(ended.code(), Some(3));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "768\n");
    drop(waits.stdin.take());
    assert_eq!(waits.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_by_a_control_file_reaches_the_process() {
    let Some(lab) = Lab::new() else { return };
    let (mut command, number, _output) =
        lab.start(&["sh", "-c", "trap 'echo got; exit 5' USR1; echo $$; while :; do sleep 0.05; done"]);
    let busy = fs::write(lab.dir().join(format!("ctl/{number}/exec")), "other\n").unwrap_err();
    assert_eq!(busy.raw_os_error(), Some(libc::EBUSY));
    fs::write(lab.dir().join("ctl/1/kill"), format!("{number} SIGUSR1\n")).unwrap();
    assert_eq!(command.wait().unwrap().code(), Some(5));
}

#[test]
fn who_kills_the_command_kills_its_programs() {
    let Some(lab) = Lab::new() else { return };
    let (mut command, _, _output) = lab.start(&RUNS);
    let (supervisor, programs) = processes_of(command.id());
    assert!(programs.len() >= 2, "{programs:?}");
    command.kill().unwrap();
    command.wait().unwrap();
    wait_until(|| !programs.iter().any(is_alive) && !is_alive(&supervisor) && lab.tasks() == ["1"]);
    assert_eq!(lab.exec(&["true"]).status.code(), Some(0));
}

#[test]
fn nothing_is_left_of_a_supervisor_that_is_killed() {
    let Some(lab) = Lab::new() else { return };
    let (command, _, _output) = lab.start(&RUNS);
    let (supervisor, programs) = processes_of(command.id());
    signal(supervisor, Signal::SIGKILL);
    let end = end_of(command);
    assert_eq!(end, (Some(125), "nslab: the process that had the program was killed\n".to_owned()));
    wait_until(|| !programs.iter().any(is_alive) && lab.tasks() == ["1"]);
}

#[test]
fn programs_end_with_the_daemon() {
    let Some(lab) = Lab::new() else { return };
    let (command, _, _output) = lab.start(&RUNS);
    let (_, programs) = processes_of(command.id());
    signal(lab.daemon().unsigned_abs(), Signal::SIGKILL);
    assert_eq!(end_of(command), (Some(125), "nslab: the lab is gone, and its programs with it\n".to_owned()));
    assert!(!programs.iter().any(is_alive));
}

#[test]
fn programs_end_when_the_lab_is_unmounted() {
    let Some(lab) = Lab::new() else { return };
    let (command, _, _output) = lab.start(&RUNS);
    let (_, programs) = processes_of(command.id());
    let unmounted = lab.umount(&[]);
    assert!(unmounted.status.success(), "{unmounted:?}");
    assert_eq!(end_of(command), (Some(125), "nslab: the lab is gone, and its programs with it\n".to_owned()));
    assert!(!programs.iter().any(is_alive));
}

#[test]
fn a_program_that_has_a_file_of_the_lab_open_uses_it() {
    let Some(lab) = Lab::new() else { return };
    let (command, _, _output) = lab.start(&["sh", "-c", "exec 3</proc/self/ns/uts; echo; exec sleep 1000"]);
    let unmounted = lab.umount(&[]);
    assert!(text(&unmounted.stderr).contains("is in use"), "{unmounted:?}");
    assert!(lab.umount(&["--force"]).status.success());
    assert_eq!(end_of(command).0, Some(125));
}

#[test]
fn what_cannot_be_used_is_said_in_one_line() {
    let Some(lab) = Lab::new() else { return };
    let dir = lab.dir().display();
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        text(&output.stderr)
    };
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(NSLAB);
    command.arg("exec").arg(nowhere.path()).args(["--", "true"]);
    assert_eq!(said(&mut command), format!("nslab: no lab is mounted on {}\n", nowhere.path().display()));
    assert_eq!(said(&mut lab.command(&["--as", "77"], &["true"])), "nslab: ESRCH: no task has the number 77\n");
    lab.exec(&["true"]);
    if has(&["root"]) {
        // Whoever cannot look at the directory finds its lab none the less.
        let refused = said(nobody(&mut lab.command(&[], &["true"])));
        assert_eq!(refused, format!("nslab: {dir}: only root and who has mounted this lab may run programs in it\n"));
    }
    assert_eq!(lab.tasks(), ["1"]);
}

/// The socket of a lab.
fn socket(lab: &Lab) -> UnixStream {
    let device = fs::metadata(lab.dir()).unwrap().dev();
    let name = format!("nslab/{}/{}", lab.daemon(), nix::sys::stat::minor(device));
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
}

#[test]
fn another_version_is_told_from_this_one_and_nonsense_ends_a_connection() {
    let Some(lab) = Lab::new() else { return };
    for greeting in [&b"nslab 0.0.1 programs 9"[..], b""] {
        let mut socket = socket(&lab);
        socket.write_all(&(greeting.len() as u32).to_ne_bytes()).unwrap();
        socket.write_all(greeting).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(text(&answer).contains(concat!("nslab ", env!("CARGO_PKG_VERSION"))), "{answer:?}");
    }
    let mut socket = socket(&lab);
    socket.write_all(&[0xff; 64]).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap_or_default();
    assert_eq!(answer, b"");
    assert_eq!(lab.exec(&["true"]).status.code(), Some(0));
}

#[test]
fn a_namespace_that_a_program_holds_open_is_there_until_it_lets_go() {
    let Some(lab) = Lab::new() else { return };
    let script = "unshare -u sleep 1000 & own=$(readlink /proc/self/ns/uts)
        while [ $(readlink /proc/$!/ns/uts) = $own ]; do :; done
        exec 3</proc/$!/ns/uts; kill $!; wait $! 2>/dev/null; readlink /proc/self/fd/3
        read x; exec 3<&-; true | cat; echo closed; read x";
    let (mut command, link, mut output) = lab.start(&["bash", "-c", script]);
    let file = lab.dir().join("proc/1/ns").join(&link);
    assert!(File::open(&file).is_ok(), "{file:?}");
    let mut input = command.stdin.take().unwrap();
    input.write_all(b"x\n").unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "closed\n");
    assert!(File::open(&file).is_err(), "{file:?}");
    drop(input);
    assert_eq!(command.wait().unwrap().code(), Some(1));
}

#[test]
fn a_control_file_ends_a_process() {
    let Some(lab) = Lab::new() else { return };
    for (signal, code) in [("SIGTERM", 143), ("SIGKILL", 137)] {
        let (mut command, number, _output) = lab.start(&["sh", "-c", "echo $$; exec sleep 1000"]);
        let (_, programs) = processes_of(command.id());
        fs::write(lab.dir().join("ctl/1/kill"), format!("{number} {signal}\n")).unwrap();
        assert_eq!(command.wait().unwrap().code(), Some(code));
        wait_until(|| !programs.iter().any(is_alive));
    }
    wait_until(|| lab.tasks() == ["1"]);
}

/// A call by the hand of a program is its own: the next ones see what it has changed.
#[test]
fn a_control_file_moves_a_program_to_another_namespace() {
    let Some(lab) = Lab::new() else { return };
    let script = "echo $$; while read x; do readlink /proc/self/ns/uts; hostname; readlink /proc/1/ns/uts; done";
    let (mut command, number, mut output) = lab.start(&["sh", "-c", script]);
    let mut input = command.stdin.take().unwrap();
    let mut seen = || -> Vec<String> {
        input.write_all(b"x\n").unwrap();
        let line = |_| {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line.trim().to_owned()
        };
        (0..3).map(line).collect()
    };
    let before = seen();
    assert_eq!(before[0], before[2]);
    let ctl = lab.dir().join("ctl").join(&number);
    fs::write(ctl.join("unshare"), "uts\n").unwrap();
    fs::write(ctl.join("sethostname"), "moved\n").unwrap();
    let after = seen();
    assert_eq!((after[1].as_str(), &after[2]), ("moved", &before[2]));
    assert_ne!(after[0], before[0]);
    assert_eq!(text(&lab.exec(&["hostname"]).stdout).trim(), before[1]);
    drop(input);
    command.wait().unwrap();
}

#[test]
fn ps_marks_the_tasks_that_are_real_processes() {
    let Some(lab) = Lab::new() else { return };
    fs::write(lab.dir().join("ctl/1/clone"), "\n").unwrap();
    let (mut command, number, _output) = lab.start(&["sh", "-c", "echo $$; exec sleep 1000"]);
    let output = Command::new(NSLAB).arg("ps").arg(lab.dir()).output().unwrap();
    let marked = |line: &&str| line.split_whitespace().nth(3).is_some_and(|state| state.ends_with('*'));
    let table = text(&output.stdout);
    let real: Vec<_> = table.lines().filter(marked).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(real, [number.as_str()], "{table}");
    command.kill().unwrap();
    command.wait().unwrap();
}

/// A shell's `&` starts it, and who has started it may go.
#[test]
fn a_command_in_the_background_of_a_shell_goes_on_without_it() {
    let Some(lab) = Lab::new() else { return };
    let script = format!("{NSLAB} exec {} -- sleep 1000 >/dev/null 2>&1 & exit 0", lab.dir().display());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    wait_until(|| lab.exec(&["pgrep", "-x", "sleep"]).status.success());
    assert_eq!(lab.exec(&["pkill", "-x", "sleep"]).status.code(), Some(0));
    wait_until(|| lab.tasks() == ["1"]);
}
