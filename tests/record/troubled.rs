//! Recordings of this machine in trouble: processes that are hidden, processes that come and go all the time.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nslab::record::END;

use super::needs::has;
use super::recording::boot;
use super::unprivileged::nobody;

/// What is recorded, from its first line on, and what is said.
fn recorded(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let [script, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{said}");
    let script = script[script.find("# A recording").unwrap()..].to_owned();
    assert!(script.ends_with(&format!("\n{END}\n")), "{script}");
    (script, said)
}

/// Who may not see others records himself, and says what is missing, here and in the file.
#[test]
fn hidepid_hides_others() {
    if !has(&["root", "unshare", "setpriv"]) {
        return;
    }
    for (hidepid, missing) in
        [("noaccess", "a task that is hidden"), ("invisible", "process 1"), ("ptraceable", "process 1")]
    {
        let shell = format!(
            "mount -t proc -o hidepid={hidepid} proc /proc || exit; sleep 60 & \
             setpriv --reuid 65534 --regid 65534 --clear-groups bash -c 'sleep 60 & {} record'; kill %1",
            env!("CARGO_BIN_EXE_nslab")
        );
        let mut command = Command::new("unshare");
        let (script, said) = recorded(command.args(["-pfm", "--kill-child", "bash", "-c", &shell]));
        assert!(said.contains(missing), "{hidepid}: {said}");
        assert!(script.contains(&format!("# Missing: {missing}")), "{hidepid}: {script}");
        let k = boot(&script);
        let names: Vec<_> = k.tasks.iter().map(|(_, task)| String::from_utf8_lossy(&task.comm).into_owned()).collect();
        assert!(names.iter().any(|name| name == "sleep"), "{hidepid}: {names:?}");
    }
}

/// A container of root: who may not look into it still sees its processes.
#[test]
fn containers_of_others_are_recorded() {
    if !has(&["root", "unshare"]) {
        return;
    }
    let mut container = Command::new("unshare");
    container.args(["-pf", "--kill-child", "--mount-proc", "sh", "-c", "sleep 61 & echo; exec sleep 62"]);
    let mut container = container.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(container.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let outside = container.id().cast_signed();
    let _container = Storm(vec![container]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
    nobody(command.args(["record", "--no-kernel-threads", "--pid", &outside.to_string()]));
    let (script, said) = recorded(&mut command);
    assert!(!script.contains("# not here: ") && !said.contains("EINVAL"), "{said}{script}");
    assert!(said.contains("hidden pid namespace"), "{said}");
    let k = boot(&script);
    let children = |pid: i32| -> Vec<i32> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    let init = children(outside)[0];
    for pid in [init, children(init)[0]] {
        assert!(k.find_task(pid).is_some(), "{pid}: {script}");
    }
}

/// Processes that end with the test.
struct Storm(Vec<Child>);

impl Drop for Storm {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Each process that is recorded is recorded whole, and those that are gone are left out with all that was theirs.
#[test]
fn a_process_that_forks_all_the_time_does_not_disturb() {
    let fork = || Command::new("bash").args(["-c", "while :; do (:); done"]).stdin(Stdio::null()).spawn().unwrap();
    let storm = Storm((0..3).map(|_| fork()).collect());
    thread::sleep(Duration::from_millis(200));
    let pids: BTreeSet<i32> = storm.0.iter().map(|child| child.id().cast_signed()).collect();
    for _ in 0..4 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        command.args(["record", "--no-kernel-threads"]);
        for pid in &pids {
            command.args(["--pid", &pid.to_string()]);
        }
        let (script, _) = recorded(&mut command);
        assert!(!script.contains("# not here: "), "{script}");
        let k = boot(&script);
        for pid in &pids {
            assert!(k.find_task(*pid).is_some(), "{pid}: {script}");
        }
    }
}
