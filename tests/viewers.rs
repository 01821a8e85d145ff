//! Host processes that see the lab with the eyes of a task.

#[path = "common/needs.rs"]
mod needs;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use needs::has;
use nslab::errno::Errno;
use nslab::testing::Lab;

/// Task 2 has namespaces of its own, task 3 is its child.
const SCENARIO: &str = "A = 1 clone newuser newpid newipc\n1 write proc/$A/uid_map \"0 1000 1\\n\"\n$A clone\n";

fn lab() -> Option<Lab> {
    has(&["fuse"]).then(|| Lab::boot(SCENARIO).unwrap())
}

/// A shell in the lab that answers one command after the other.
struct Shell {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Shell {
    fn start(lab: &Lab) -> Shell {
        let mut command = Command::new("timeout");
        command.args(["30", "bash"]).current_dir(lab.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Shell { child, commands, answers }
    }

    /// The first line that `command` prints.
    fn line(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn attach(&mut self, pid: i32) {
        assert_eq!(self.line(&format!("echo $$ > ctl/{pid}/attach && cat ctl/{pid}/attach")), "0");
    }

    fn end(mut self) {
        drop(self.commands);
        assert!(self.child.wait().unwrap().success());
    }
}

const PROCESSES: &str = "cd proc && echo [0-9]*; cd ..";

#[test]
fn an_attached_process_sees_what_its_task_sees_and_the_others_what_init_sees() {
    let Some(lab) = lab() else { return };
    let (mut plain, mut box_, mut child) = (Shell::start(&lab), Shell::start(&lab), Shell::start(&lab));
    for shell in [&mut plain, &mut box_, &mut child] {
        assert_eq!(shell.line("cat proc/self/uid_map"), "         0          0 4294967295");
    }
    box_.attach(2);
    child.attach(3);
    for _ in 0..3 {
        assert_eq!(plain.line(PROCESSES), "1 2 3");
        assert_eq!(box_.line(PROCESSES), "1 2");
        assert_eq!(child.line(PROCESSES), "1 2");
        assert_eq!(plain.line("readlink proc/self"), "1");
        assert_eq!(box_.line("readlink proc/self"), "1");
        assert_eq!(child.line("readlink proc/self"), "2");
        assert_eq!(box_.line("stat -c %u proc/1"), "65534");
    }
    assert_eq!(plain.line("readlink as/3/proc/self"), "2");
    assert_eq!(box_.line("[ proc/1/ns/ipc -ef as/2/proc/1/ns/ipc ] && echo same"), "same");
    for shell in [plain, box_, child] {
        shell.end();
    }
}

#[test]
fn descendants_are_attached_too_until_the_process_is_gone() {
    let Some(lab) = lab() else { return };
    let mut shell = Shell::start(&lab);
    assert_eq!(shell.line("echo begun"), "begun");
    shell.attach(3);
    assert_eq!(shell.line("sh -c 'readlink proc/self; :'"), "2");
    assert_eq!(shell.line("bash -c '(readlink proc/self; :) | cat; :'"), "2");
    assert_eq!(shell.line("python3 -c 'import os; print(os.readlink(\"proc/self\"))' || readlink proc/self"), "2");
    // Whoever outlives the attached process and has another parent since sees what everybody sees.
    writeln!(shell.commands, "(sleep 0.5; readlink proc/self; :) &").unwrap();
    drop(shell.commands);
    let mut line = String::new();
    shell.answers.read_line(&mut line).unwrap();
    assert_eq!(line, "1\n");
    shell.child.wait().unwrap();
}

#[test]
fn a_file_is_written_by_the_viewer() {
    let Some(lab) = lab() else { return };
    let mut shell = Shell::start(&lab);
    shell.attach(2);
    // Init may map any group; the task has no CAP_SETGID in the parent namespace.
    assert_eq!(shell.line("(echo 0 5 1 > proc/1/gid_map) 2>/dev/null || echo refused"), "refused");
    assert_eq!(shell.line("printf 7 > proc/sys/kernel/ns_last_pid; cat as/2/proc/sys/kernel/ns_last_pid"), "7");
    assert_eq!(lab.call(2, "clone").unwrap(), "4");
    assert_eq!(shell.line(PROCESSES), "1 2 8");
    shell.end();
}

#[test]
fn the_cgroups_are_those_of_the_viewers_namespace() {
    let Some(lab) = lab() else { return };
    lab.call(1, "mkdir cgroup/box").unwrap();
    let mut shell = Shell::start(&lab);
    assert_eq!(shell.line("echo 2 > cgroup/box/cgroup.procs && ls -d cgroup/box"), "cgroup/box");
    lab.call(2, "unshare newcgroup").unwrap();
    shell.attach(2);
    assert_eq!(shell.line("ls -d cgroup/box 2>/dev/null || cat cgroup/cgroup.procs"), "1");
    assert_eq!(shell.line("mkdir cgroup/inner && ls -d as/1/cgroup/box/inner"), "as/1/cgroup/box/inner");
    shell.end();
}

#[test]
fn with_its_task_an_attachment_ends() {
    let Some(lab) = lab() else { return };
    let mut shell = Shell::start(&lab);
    shell.attach(3);
    assert_eq!(shell.line("readlink proc/self"), "2");
    lab.call(3, "exit 0").unwrap();
    lab.call(2, "wait").unwrap();
    assert_eq!(shell.line("readlink proc/self"), "1");
    shell.end();
}

#[test]
fn only_processes_of_the_host_are_attached() {
    let Some(lab) = lab() else { return };
    let refused = lab.call(1, "attach 4194305").unwrap_err();
    assert_eq!((refused.errno, &refused.reason[..]), (Errno::ESRCH, "this host has no process 4194305"));
    assert_eq!(lab.call(1, "attach init").unwrap_err().errno, Errno::EINVAL);
    assert_eq!(lab.call(1, "attach -1").unwrap_err().errno, Errno::EINVAL);
}
