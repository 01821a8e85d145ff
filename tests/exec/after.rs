//! What is asked of a lab for tests: calls that fail on demand, checks after the program, what it has left behind.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::mounted::Lab;
use super::{exec_with, has};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of these lines, for as long as the directory is there.
fn file(lines: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines.lab");
    fs::write(&path, lines).unwrap();
    (dir, path)
}

/// Runs a script of bash in a private lab, with an option that takes a file of these lines.
fn with_file(option: &str, lines: &str, script: &str) -> Option<Output> {
    let (_dir, path) = file(lines);
    exec_with(&[option, path.to_str().unwrap()], &["bash", "-c", script])
}

#[test]
fn a_fault_in_a_call_is_seen_by_a_shell() {
    let cases = [
        ("ENOSPC unshare comm=unshare after=2", "for i in 1 2 3 4; do unshare -n true; echo $?; done", "0\n0\n1\n1\n"),
        ("ENOSPC unshare comm=other", "unshare -n true; echo $?", "0\n"),
        ("EPERM unshare pid=3", "for i in 1 2 3; do unshare -n true; echo $?; done", "1\n0\n0\n"),
        ("EPERM setns", "nsenter -t $$ -u true; echo $?; unshare -u true; echo $?", "1\n0\n"),
        ("ENOMEM clone times=1", "(true); echo not here", ""),
        ("ENOMEM clone comm=sh times=1", "sh -c '(true); echo not here'; echo $?; (exit 5); echo $?", "2\n5\n"),
        ("EPERM setsid\nEPERM sethostname times=1", "hostname a; echo $?; hostname a; echo $?", "1\n0\n"),
        ("EACCES execve comm=bash after=1 times=1", "/bin/true; echo $?; /bin/true; echo $?", "0\n126\n"),
        ("EIO fork pid=2 times=1", "true | true; echo not here", ""),
        ("ENOSPC shmget", "ipcmk -M 10 >/dev/null; echo $?; ipcmk -Q >/dev/null; echo $?", "1\n0\n"),
        ("EACCES open comm=cat", "cat /proc/self/comm; echo $?; cat /etc/hostname >/dev/null; echo $?", "1\n0\n"),
    ];
    for (faults, script, expected) in cases {
        let Some(output) = with_file("--boot", &format!("faults \"{}\"\n", faults.replace('\n', "\\n")), script) else {
            return;
        };
        assert_eq!(text(&output.stdout), expected, "{faults}: {script}: {output:?}");
    }
}

#[test]
fn who_fails_by_a_fault_is_told_the_reason() {
    let (_dir, path) = file("faults \"ENOSPC unshare\"\n");
    let options = ["--explain", "--boot", path.to_str().unwrap()];
    let Some(output) = exec_with(&options, &["unshare", "-n", "true"]) else { return };
    let said = text(&output.stderr);
    assert!(said.contains("unshare(CLONE_NEWNET") || said.contains("unshare("), "{said}");
    assert!(said.contains("ENOSPC: kernel/faults makes this fail, hit 1"), "{said}");
}

#[test]
fn a_journal_has_the_faults_that_were_met_and_goes_on_counting() {
    let dir = tempfile::tempdir().unwrap();
    let (_faults, boot) = file("faults \"ENOSPC unshare after=1 times=2\"\n1 unshare uts\n");
    let journal = dir.path().join("journal.lab");
    let [boot, journal] = [&boot, &journal].map(|path| path.to_str().unwrap());
    let script = "unshare -n true; echo $?";
    let Some(first) = exec_with(&["--boot", boot, "--journal", journal], &["bash", "-c", script]) else { return };
    assert_eq!(text(&first.stdout), "1\n", "{first:?}");
    let noted = fs::read_to_string(journal).unwrap();
    assert!(noted.contains("unshare fails: ENOSPC: kernel/faults"), "{noted}");
    let script = "for i in 1 2 3; do unshare -n true; echo $?; done";
    let again = exec_with(&["--boot", journal], &["bash", "-c", script]).unwrap();
    assert_eq!(text(&again.stdout), "1\n0\n0\n", "{again:?}");
}

#[test]
fn faults_of_a_mounted_lab_meet_programs_and_control_files_alike() {
    let Some(lab) = Lab::new() else { return };
    let script = format!(
        "cd {}; echo >ctl/1/clone
        echo 'ENOSPC unshare times=2' >kernel/faults
        echo uts >ctl/2/unshare; echo $?
        {} exec . -- unshare -u true; echo $?
        echo uts >ctl/2/unshare; echo $?
        cat kernel/faults
        grep -c 'kernel/faults makes this fail' kernel/trace
        echo 'EFOO unshare' >kernel/faults; echo $?
        echo 'EPERM mmap' >kernel/faults; echo $?
        exec 3<>kernel/faults; echo 'EPERM mmap' >&3; cat <&3",
        lab.dir().display(),
        env!("CARGO_BIN_EXE_nslab")
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let (lines, reason) = (text(&output.stdout), "EINVAL: mmap is no call that the lab hears of; usage: ERRNO ");
    let expected = "1\n1\n0\nENOSPC unshare times=2 after=0 hits=2\n2\n1\n1\n";
    assert!(lines.starts_with(&format!("{expected}{reason}")), "{output:?}");
}

#[test]
fn a_check_decides_the_exit_status() {
    let script = "hostname checked; unshare -u sleep 1000 & exit 3";
    let holds = "= checked 1 read proc/sys/kernel/hostname\n! ESRCH 1 kill 2 0\n";
    let Some(output) = with_file("--check", holds, script) else { return };
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let fails = "= checked 1 read proc/sys/kernel/hostname\n\nA = 1 readlink proc/1/ns/uts\nsame $A uts:[1]\n1 frob\n";
    let (_dir, path) = file(fails.strip_suffix("1 frob\n").unwrap());
    let path = path.to_str().unwrap();
    let output = exec_with(&["--check", path], &["bash", "-c", script]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = format!("nslab: {path}:4: expected equal values, got \"uts:[4026531838] uts:[1]\"\n");
    assert_eq!(text(&output.stderr), said);
    // Before anything runs.
    let output = with_file("--check", fails, "echo ran").unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(125), String::new()), "{output:?}");
}

#[test]
fn a_check_sees_what_is_left_while_it_still_runs() {
    let script = "unshare -u sleep 1000 & p=$!; until grep -qx sleep /proc/$p/comm; do :; done";
    let lines =
        "A = 1 readlink proc/1/ns/uts\nB = 1 readlink proc/3/ns/uts\ndiffer $A $B\n= sleep 1 read proc/3/comm\n";
    let Some(output) = with_file("--check", lines, script) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// What `--leaks` says of a script, a line each, and whether the exit status is 1.
fn leaks(script: &str) -> Option<(Vec<String>, bool)> {
    let output = exec_with(&["--leaks"], &["bash", "-c", script])?;
    let said = text(&output.stderr);
    let lines = said.lines().filter_map(|line| line.strip_prefix("nslab: left: ")).map(str::to_owned).collect();
    Some((lines, output.status.code() == Some(1)))
}

#[test]
fn a_program_that_leaks_a_pinned_namespace_is_told_from_one_that_does_not() {
    let clean = "ip netns add blue && ip netns exec blue true && ip netns del blue";
    let Some(found) = leaks(clean) else { return };
    assert_eq!(found, (Vec::new(), false));
    let found = leaks("ip netns add blue").unwrap();
    let expected = [
        "net:[4026532177], held by the mount at /run/netns/blue in mnt:[4026531832]",
        "a pin of net:[4026532177], held by the mount at /run/netns/blue in mnt:[4026531832]",
    ];
    assert_eq!(found, (expected.map(str::to_owned).to_vec(), true));
}

#[test]
fn all_that_a_program_can_leave_is_found() {
    let script = "exec 2>/dev/null
        unshare -i sleep 1000 & until [ \"$(readlink /proc/$!/ns/ipc)\" != \"$(readlink /proc/$$/ns/ipc)\" ]; do :; done
        ipcmk -M 4096 >/dev/null; ipcmk -Q >/dev/null; ipcmk -S 3 >/dev/null
        true & wait $!";
    let output = exec_with(&["--leaks"], &["bash", "-c", &script.replace("exec 2>/dev/null\n", "")]);
    let Some(output) = output else { return };
    let said = text(&output.stderr);
    for left in [
        "nslab: left: task 3 (sleep), held by its parent 1 (init)",
        "nslab: left: ipc:[4026532177], held by nsproxy",
        "nslab: left: a memory segment, id 0, key 0x",
        "nslab: left: a message queue, id 0, key 0x",
        "nslab: left: a semaphore set, id 0, key 0x",
    ] {
        assert!(said.contains(left), "{left} is missing in\n{said}");
    }
    assert_eq!(output.status.code(), Some(1));
}

/// Who is killed just before the end is not left.
#[test]
fn what_is_about_to_die_is_waited_for() {
    // The shell that becomes the program has handlers of its own.
    let runs = "until grep -qx sleep /proc/$!/comm; do :; done";
    for signal in ["TERM", "KILL", "HUP"] {
        for _ in 0..5 {
            let Some(found) = leaks(&format!("sleep 1000 & {runs}; kill -{signal} $!")) else { return };
            assert_eq!(found, (Vec::new(), false), "{signal}");
        }
    }
}

#[test]
fn a_mounted_lab_is_checked_and_its_leaks_are_told_too() {
    let Some(lab) = Lab::new() else { return };
    let (_dir, path) = file("= x 1 read proc/sys/kernel/hostname\n");
    let run = |options: &[&str], script: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        command.arg("exec").args(options).arg(lab.dir()).args(["--", "bash", "-c", script]).output().unwrap()
    };
    let check = ["--check", path.to_str().unwrap()];
    assert_eq!(run(&check, "hostname y").status.code(), Some(1));
    assert_eq!(run(&check, "hostname x; exit 7").status.code(), Some(7));
    assert_eq!(run(&["--leaks"], "true | cat").status.code(), Some(0));
    let output = run(&["--leaks"], "sleep 1000 >/dev/null 2>&1 &");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("), held by its parent 1 (init)"), "{output:?}");
    // It was there before.
    assert_eq!(run(&["--leaks"], "true").status.code(), Some(0));
    assert!(has(&["fuse"]));
}

/// As a test of somebody else's would do it.
#[test]
fn a_lab_of_a_test_runs_programs_and_is_asked() {
    if !has(&["fuse"]) {
        return;
    }
    let lab = nslab::testing::Lab::new().unwrap();
    lab.serve_programs().unwrap();
    let before = lab.holdings();
    lab.fault("ENOSPC unshare comm=unshare times=1\n").unwrap();
    let error = lab.fault("EPERM mmap\n").unwrap_err();
    assert!(error.reason.starts_with("mmap is no call that the lab hears of"), "{error}");
    let run = |script: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        command.arg("exec").arg(lab.path()).args(["--", "bash", "-c", script]).output().unwrap()
    };
    let output = run("unshare -n true; echo $?; hostname x; ipcmk -M 10 >/dev/null");
    assert_eq!(text(&output.stdout), "1\n", "{output:?}");
    let (_dir, path) = file("= x 1 read proc/sys/kernel/hostname\n= y 1 read proc/sys/kernel/hostname\n");
    let error = lab.check(&path).unwrap_err();
    assert!(error.place.ends_with(":2") && error.reason == "expected y, got \"x\\n\"", "{error}");
    let left: Vec<String> = lab.holdings().left_since(&before).iter().map(|left| left.what.clone()).collect();
    assert!(matches!(&left[..], [segment] if segment.starts_with("a memory segment, id 0, ")), "{left:?}");
}
