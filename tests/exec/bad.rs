//! What goes wrong: one clear line, nothing left behind, nothing hangs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nslab::errno::Errno;

use super::{exec, exec_with, has, says};

/// Exit code and standard error.
fn refused(options: &[&str], program: &[&str]) -> Option<(Option<i32>, String)> {
    let output = exec_with(options, program)?;
    Some((output.status.code(), String::from_utf8(output.stderr).unwrap()))
}

#[test]
fn what_cannot_be_run_is_said_in_one_line() {
    for (options, program, code, words) in [
        (&[][..], &["no-such"][..], 127, "nslab: no-such: No such file or directory\n"),
        (&[], &["/"], 126, "nslab: /: Permission denied\n"),
        (&["--as", "77"], &["true"], 125, "nslab: ESRCH: no task has the number 77\n"),
        (&["--boot", "/no/such.lab"], &["true"], 125, "nslab: /no/such.lab: No such file or directory"),
        (&["--max-tasks", "1"], &["true"], 125, "nslab: EAGAIN: threads-max is 1\n"),
    ] {
        let Some((exit, said)) = refused(options, program) else { return };
        assert!(exit == Some(code) && said.starts_with(words) && said.lines().count() == 1, "{exit:?} {said:?}");
    }
}

/// A program with a child, and a process of the host above both, all of which say their numbers of the host.
fn running() -> Option<(std::process::Child, PathBuf)> {
    if !has(&["fuse"]) {
        return None;
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nslab"));
    command.args(["exec", "--", "sh", "-c", "sleep 1000 & echo ready; exec sleep 2000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let own = |line: &&str| line.starts_with("nslab ") && has_open(child.id(), line.split(' ').nth(1).unwrap());
    let dir = mounts.lines().filter(own).map(|line| PathBuf::from(line.split(' ').nth(1).unwrap())).next();
    Some((child, dir.expect("a lab that this process serves")))
}

/// Whether a process serves the lab on a directory: `nslab list` says so.
fn has_open(pid: u32, dir: &str) -> bool {
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_nslab")).arg("list").output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().any(|line| line.contains(dir) && line.split_whitespace().any(|word| word == pid.to_string()))
}

fn descendants(pid: u32) -> Vec<u32> {
    let of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    of(pid).split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn is_gone(pids: &[u32], dir: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    !pids.iter().any(|pid| is_alive(*pid))
        && !mounts.contains(dir.to_str().unwrap())
        && fs::symlink_metadata(dir).is_err()
}

#[test]
fn nothing_is_left_of_a_supervisor_that_is_killed() {
    let Some((mut supervisor, dir)) = running() else { return };
    let programs = descendants(supervisor.id());
    assert!(programs.len() >= 3, "{programs:?}");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    while !is_gone(&programs, &dir) {
        thread::yield_now();
    }
}

/// Processes whose environment has a word.
fn marked(word: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let has = |path: PathBuf| fs::read(path.join("environ")).is_ok_and(|text| find(&text, word));
    entries.filter(|entry| has(entry.path())).count()
}

fn find(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

/// At any moment: while the lab is mounted, while programs start and end, after the last has ended; with its process group, too.
#[test]
fn nothing_is_left_whenever_it_is_killed() {
    if !has(&["fuse"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    for round in 0..50 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nslab"));
        let script = "for i in 1 2 3 4 5 6; do sh -c 'exit 0' & unshare -Up --fork true; (sleep 1000 &) ; done";
        command.args(["exec", "--", "bash", "-c", script]).env("TMPDIR", place).process_group(0);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(3 * (round / 2)));
        let own = child.id().cast_signed();
        kill(Pid::from_raw(if round % 2 == 0 { own } else { -own }), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        let is_left = || {
            let mounts = fs::read_to_string("/proc/mounts").unwrap();
            mounts.contains(place) || fs::read_dir(place).unwrap().next().is_some() || marked(place) > 0
        };
        while is_left() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_supervisor_that_is_told_to_end_tells_its_program() {
    let Some((mut supervisor, dir)) = running() else { return };
    let programs = descendants(supervisor.id());
    kill(Pid::from_raw(supervisor.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(143));
    while !is_gone(&programs, &dir) {
        thread::yield_now();
    }
}

/// By the files of the mount anybody who may makes the task do things: a signal reaches the real process.
#[test]
fn control_files_reach_programs() {
    let Some((mut supervisor, dir)) = running() else { return };
    let call = |file: &str, words: &str| {
        let written = fs::write(dir.join("ctl").join(file), words);
        written.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()))
    };
    for verb in ["open", "close", "dup", "exec"] {
        assert_eq!(call(&format!("2/{verb}"), "0\n"), Err(Errno::EBUSY), "{verb}");
    }
    let reason = fs::read_to_string(dir.join("ctl/2/dup")).unwrap();
    assert_eq!(reason, "EBUSY: pid 2 is a real process: its descriptors and its memory are its own\n");
    assert_eq!(call("2/sethostname", "changed\n"), Ok(()));
    assert_eq!(call("1/kill", "77 SIGTERM\n"), Err(Errno::ESRCH));
    assert_eq!(call("1/kill", "2 SIGTERM\n"), Ok(()));
    assert_eq!(supervisor.wait().unwrap().code(), Some(143));
    while !is_gone(&[], &dir) {
        thread::yield_now();
    }
}

#[test]
fn what_a_program_leaves_running_ends_with_it() {
    let Some(output) = exec(&["bash", "-c", "sleep 1000 & disown; setsid sleep 1000 & echo $$"]) else { return };
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"2\n"[..]), "{output:?}");
}

#[test]
fn a_fork_bomb_meets_the_limit() {
    let script = "
import os, signal
made = 0
while True:
    try:
        if os.fork() == 0: signal.pause()
    except BlockingIOError: break
    made += 1
print(made)
";
    if !has(&["python3"]) {
        return;
    }
    let Some(output) = exec_with(&["--max-tasks", "40"], &["python3", "-c", script]) else { return };
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"38\n"[..]), "{output:?}");
}

#[test]
fn a_program_may_close_all_and_kill_all_it_sees() {
    says("exec 2>&- 1>&1; python3 -c 'import os; os.closerange(0, 4096)'; echo $?", "0\n");
    says("kill -9 1; echo $?; sleep 1000 & kill -9 -1; wait $! 2>/dev/null; echo $?", "0\n137\n");
}

#[test]
fn a_filter_of_the_program_holds_besides_ours() {
    // Programs may forbid themselves calls, as sandboxes do: here kill(2), by which the lab never runs it.
    let script = "
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 62), (0x06, 0, 0, 0x50000 | 95), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))
filter = struct.pack('HxxxxxxQ', len(code), ctypes.addressof(program))
print(libc.prctl(22, 2, ctypes.create_string_buffer(filter)))
print(libc.kill(os.getpid(), 0), ctypes.get_errno())
print(os.fork() and os.wait()[1])
";
    if let Some(output) = has(&["python3"]).then(|| exec(&["python3", "-c", script])).flatten() {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n-1 95\n0\n0\n", "{output:?}");
    }
}

#[test]
fn the_reason_of_each_refusal_is_told_to_who_wants_it() {
    let Some(output) = exec_with(&["--explain"], &["sh", "-c", "exec 2>/dev/null; kill -TERM 77"]) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("kill(") && said.contains("ESRCH: pid 77 does not exist or is not visible"), "{said}");
}

#[test]
fn usage_is_told_as_for_other_commands() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nslab")).args(["exec"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_zombie_gets_no_children() {
    let dir = tempfile::tempdir().unwrap();
    let boot = dir.path().join("a.lab");
    fs::write(&boot, "1 clone\n2 exit_group 0\n").unwrap();
    let options = ["--boot", boot.to_str().unwrap(), "--as", "2"];
    let Some((exit, said)) = refused(&options, &["true"]) else { return };
    assert_eq!((exit, said.as_str()), (Some(125), "nslab: ESRCH: pid 2 is dead\n"));
}

#[test]
fn calls_of_32_bit_programs_fail() {
    if !has(&["gcc"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("a.c"), dir.path().join("a"));
    // getpid(2) as a program of another architecture makes it.
    let text =
        "int main(void) { long r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(20) : \"memory\"); return -r; }";
    fs::write(&source, text).unwrap();
    let built = std::process::Command::new("gcc").arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let Some(output) = exec(&[program.to_str().unwrap()]) else { return };
    assert_eq!(output.status.code(), Some(Errno::ENOSYS as i32), "{output:?}");
}

#[test]
fn a_set_user_id_program_gains_nothing() {
    if !has(&["fuse", "root"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    std::os::unix::fs::chown(&program, Some(65534), None).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    let program = program.to_str().unwrap();
    says(&format!("{program} -u; unshare -U {program} -u; setpriv --reuid 7 {program} -u"), "0\n65534\n7\n");
}

#[test]
fn nobody_outside_can_be_signalled() {
    if !has(&["fuse"]) {
        return;
    }
    let nslab = env!("CARGO_BIN_EXE_nslab");
    let script = format!(
        "exec {nslab} exec -- bash -c \"kill -9 $$ 2>/dev/null; echo \\$?; kill -0 $PPID 2>/dev/null; echo \\$?\""
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"1\n1\n"[..]), "{output:?}");
}

#[test]
fn what_is_in_the_way_is_named() {
    if !has(&["fuse"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (there, missing) = (dir.path().join("there"), dir.path().join("no/such"));
    fs::write(&there, "").unwrap();
    let [there, missing] = [&there, &missing].map(|path| path.to_str().unwrap());
    for (options, words) in [
        (["--journal", there], "File exists: name a new file\n"),
        (["--record", missing], "No such file or directory\n"),
        (["--record", dir.path().to_str().unwrap()], "Is a directory\n"),
    ] {
        let output = exec_with(&options, &["echo", "ran"]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.ends_with(words) && said.lines().count() == 1, "{said}");
        assert!(output.stdout.is_empty() && output.status.code() == Some(125), "{output:?}");
    }
    let output = super::command(&[], &["true"]).env("TMPDIR", missing).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("No such file or directory: set TMPDIR"), "{said}");
}

#[test]
fn a_lab_in_a_lab_is_refused_by_what_it_is() {
    let nslab = env!("CARGO_BIN_EXE_nslab");
    let Some((code, said)) = refused(&[], &[nslab, "exec", "--", "true"]) else { return };
    assert!(code == Some(125) && said.contains("this is a program of a lab"), "{said}");
    let output = exec(&[nslab, "doctor"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("run nslab outside of the lab") && !said.contains("container"), "{said}");
}

#[test]
fn calls_of_other_interfaces_are_refused_aloud() {
    if !has(&["fuse", "gcc"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("calls.c"), dir.path().join("calls"));
    // getpid by both: the number of the first is that of writev.
    let text = "#include <stdio.h>\nint main(void) { long a, b; __asm__ volatile(\"int $0x80\" : \"=a\"(a) : \"a\"(20L) : \
                \"memory\"); __asm__ volatile(\"syscall\" : \"=a\"(b) : \"a\"(0x40000027L) : \"rcx\", \"r11\", \
                \"memory\"); printf(\"%d %d\\n\", (int)a, (int)b); return 0; }\n";
    fs::write(&source, text.replace("\\\n", "")).unwrap();
    assert!(std::process::Command::new("gcc").arg("-o").args([&program, &source]).status().unwrap().success());
    let program = program.to_str().unwrap();
    let script = format!("{program}; {program}");
    let output = exec_with(&[], &["sh", "-c", &script]).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "-38 -38\n-38 -38\n");
    let words = "nslab: int80 is refused: ENOSYS: a lab has no calls of 32-bit programs\n\
                 nslab: x32 is refused: ENOSYS: a lab has no calls of the x32 interface\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), words);
    let said = String::from_utf8(exec_with(&["--explain"], &[program]).unwrap().stderr).unwrap();
    assert!(
        said.contains("int80(20) = ENOSYS: ") && said.contains("= ENOSYS: a lab has no calls of the x32"),
        "{said}"
    );
}

#[test]
fn calls_that_fail_are_told_in_the_shape_of_strace() {
    let script = "import ctypes
l = ctypes.CDLL(None, use_errno=True)
for call in [(308, 0, 0x40000000), (16, 0, 0xb701, 0), (272, 0x44000000), (61, 77, 0, 0, 0), (157, 4, 7, 0, 0, 0),
             (247, 1, 999, 0, 4, 0), (62, 999, 15), (56, 0x10000011, 0, 0, 0, 0), (165, b'a', b'/no', b'proc', 0, 0)]:
    l.syscall(*call)
";
    if !has(&["python3"]) {
        return;
    }
    let Some((_, said)) = refused(&["--explain"], &["setpriv", "--reuid", "7", "python3", "-c", script]) else {
        return;
    };
    for line in [
        "setns(0, CLONE_NEWNET) = ",
        "unshare(CLONE_NEWUTS|CLONE_NEWNET) = EPERM: ",
        "wait4(77, 0, 0, 0) = ECHILD: ",
        "prctl(4, 0x7, 0, 0, 0) = EINVAL: ",
        "waitid(1, 999, 0, WEXITED, 0) = ECHILD: ",
        "kill(999, SIGTERM) = ESRCH: ",
        "mount(\"a\", \"/no\", \"proc\", 0, 0) = ",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}
