//! A shell on a terminal: job control by keys.

use std::process::Command;

use super::has;
use super::mounted::Lab;

#[test]
fn jobs_are_stopped_continued_and_interrupted_by_keys() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    for lab in [None, Some(lab.dir())] {
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "600", "python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exec/keys.py")]);
        command.args([env!("CARGO_BIN_EXE_nslab"), "exec"]).args(lab);
        let output = command.args(["--", "bash", "--norc", "--noprofile", "--noediting", "-i"]).output().unwrap();
        assert!(output.status.success(), "{lab:?}: {output:?}");
    }
}

/// The terminal is closed: its programs are told, and so is nslab.
#[test]
fn programs_end_with_their_terminal() {
    let script = "
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
line = b''
while b'ready' not in line: line += os.read(terminal, 100)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    if !has(&["fuse", "python3"]) {
        return;
    }
    for program in [&["sh", "-c"][..], &["bash", "--norc", "-ic"]] {
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "600", "python3", "-c", script, env!("CARGO_BIN_EXE_nslab"), "exec", "--"]);
        let output = command.args(program).arg("sleep 1000 & echo ready; sleep 1000").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "129\n", "{output:?}");
    }
}

/// Who has no shell with job control stops with its program, as with any other.
#[test]
fn who_waits_for_nslab_sees_it_stop() {
    let script = "
import os, pty, re, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    # A shell: its job has a group of its own.
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(sys.argv[1], sys.argv[1:])
    print('stopped', os.WIFSTOPPED(os.waitpid(job, os.WUNTRACED)[1]), flush=True)
    os.killpg(job, signal.SIGCONT)
    os.killpg(job, signal.SIGTERM)
    print('ended', os.waitpid(job, 0)[1] >> 8, flush=True)
    os._exit(0)
screen = b''
pressed = False
while not re.search(rb'ended [0-9]+\\s', screen):
    screen += os.read(terminal, 4096)
    if b'ready' in screen and not pressed:
        os.write(terminal, b'\\x1a')
        pressed = True
print(screen.decode().replace('\\r', ''))
";
    if !has(&["fuse", "python3"]) {
        return;
    }
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "600", "python3", "-c", script, env!("CARGO_BIN_EXE_nslab")]);
    let output = command.args(["exec", "--", "sh", "-c", "echo ready; exec sleep 1000"]).output().unwrap();
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(screen.contains("stopped True") && screen.contains("ended 143"), "{output:?}");
}
