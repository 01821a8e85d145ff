//! A shell on a terminal: job control by keys.

use std::process::Command;

use super::has;

#[test]
fn jobs_are_stopped_continued_and_interrupted_by_keys() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "120", "python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exec/keys.py")]);
    command.args([env!("CARGO_BIN_EXE_nslab"), "exec", "--", "bash", "--norc", "--noprofile", "--noediting", "-i"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
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
    command.args(["-k", "1", "60", "python3", "-c", script, env!("CARGO_BIN_EXE_nslab")]);
    let output = command.args(["exec", "--", "sh", "-c", "echo ready; exec sleep 1000"]).output().unwrap();
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(screen.contains("stopped True") && screen.contains("ended 143"), "{output:?}");
}
