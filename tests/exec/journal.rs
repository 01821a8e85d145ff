//! What programs do is noted as a script that boots into the same state.

use std::fs;
use std::process::Command;

use super::{exec_with, has};

/// What a journal boots into: all tasks, namespaces and counts.
fn state(journal: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_nslab")).args(["tree", "--json", "--boot", journal]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_journal_of_programs_boots_into_the_same_state() {
    if !has(&["python3"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("programs.lab").to_str().unwrap().to_owned();
    let script = r#"
hostname noted; true | cat
unshare -Ur -p --fork --mount-proc sh -c 'hostname x; id -u; sleep 60 & exit 0' > /dev/null 2>&1
mkdir /sys/fs/cgroup/web; echo $$ > /sys/fs/cgroup/web/cgroup.procs
sleep 60 & kill -STOP $!; kill -CONT $!; kill -TERM $!; wait $!
kill -TERM 77; kill -9 1
python3 -c '
import os, signal, threading
threading.Thread(target=lambda: None).start()
signal.signal(signal.SIGUSR1, lambda *_: None)
os.kill(os.getpid(), signal.SIGUSR1)
held = os.open("/proc/self/ns/uts", os.O_RDONLY)
os.setpgid(0, 0)
os.setresuid(0, 5, 0)
if os.fork() == 0: os._exit(3)
os.wait()'
sh -c 'echo $$'; true
"#;
    let Some(output) = exec_with(&["--journal", &journal], &["bash", "-c", script]) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read_to_string(&journal).unwrap();
    for line in
        ["= 0 2 program runs", "program ended 0", "sethostname noted", "kill 1 9", "program pins uts:[4026531838]"]
    {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.lines().skip(1).any(|line| line.starts_with('#')), "{text}");
    let last: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let next = exec_with(&["--boot", &journal], &["sh", "-c", "echo $$; hostname; ls -d /sys/fs/cgroup/web"]).unwrap();
    let expected = format!("{}\nnoted\n/sys/fs/cgroup/web\n", last + 1);
    assert_eq!(String::from_utf8(next.stdout).unwrap(), expected, "{}", String::from_utf8_lossy(&next.stderr));
    // It boots again and again into the same.
    assert_eq!(state(&journal), state(&journal));
}

#[test]
fn a_journal_that_is_there_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("old.lab");
    fs::write(&journal, "1 clone\n").unwrap();
    let Some(output) = exec_with(&["--journal", journal.to_str().unwrap()], &["true"]) else { return };
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("File exists"), "{output:?}");
    assert_eq!(fs::read_to_string(&journal).unwrap(), "1 clone\n");
}
