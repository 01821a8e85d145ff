//! Recordings of this machine, with a topology made for it: programs print the same in the lab that boots from one.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::needs::has;

/// Processes of the test, which end with it.
struct Made {
    child: Child,
    _input: Option<ChildStdin>,
}

impl Made {
    fn new() -> Made {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/topology.sh");
        let mut command = Command::new("bash");
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
    fn pids(&self) -> BTreeSet<i32> {
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
    /// Returns when nobody of them runs any more: who has said that all is there, and who was last started, runs for a while.
    fn sleeps(&self) {
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

fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn record(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("record").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell prints, on the machine or where the lab is over `/proc`.
fn printed(lab: Option<&Path>, command: &str) -> String {
    let over = lab.map_or(String::new(), |lab| format!("mount --bind {}/proc /proc && ", lab.display()));
    let output = Command::new("unshare").args(["-m", "bash", "-c", &format!("{over}{command}")]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines that are about one of these processes, which the first word says.
fn about(text: &str, pids: &BTreeSet<i32>) -> Vec<String> {
    let is_one = |line: &&str| {
        line.split_whitespace().next().and_then(|pid| pid.parse().ok()).is_some_and(|pid| pids.contains(&pid))
    };
    text.lines().filter(is_one).map(str::to_owned).collect()
}

#[test]
fn programs_print_the_same_on_the_machine_and_in_its_recording() {
    if !has(&["fuse", "root", "lsns", "unshare", "ps", "findmnt", "setpriv", "python3", "ip", "ipcs"]) {
        return;
    }
    let made = Made::new();
    let pids = made.pids();
    assert!(pids.len() >= 60, "only {} processes", pids.len());
    made.sleeps();
    compare(&pids).unwrap_or_else(|difference| panic!("{difference}"));
}

/// # Errors
/// The first difference between the machine and its recording.
fn compare(pids: &BTreeSet<i32>) -> Result<(), String> {
    let ps = "ps -eLo pid,ppid,lwp,user:20,pidns,netns,mntns,userns,utsns,ipcns,stat,comm";
    let lsns = "lsns -n -r -o PID,NS,TYPE,NPROCS,PPID,UID,USER,COMMAND";
    let before = (printed(None, ps), printed(None, lsns));
    let script = record(&[]);
    let after = (printed(None, ps), printed(None, lsns));
    let lab = nslab::testing::Lab::boot(&script).unwrap();
    // Processes that are the same before and after are those that were recorded so.
    let stable = |text: &dyn Fn(&(String, String)) -> String| {
        let (old, new) = (about(&text(&before), pids), about(&text(&after), pids));
        differ(&old, &new, "the topology stands still").map(|()| new)
    };
    let states = |lines: Vec<String>| -> Vec<String> {
        // `ps` shows more of a state than the letter: priorities, whether it is in the foreground.
        lines
            .iter()
            .map(|line| {
                line.split_whitespace()
                    .map(|word| {
                        word.replacen("SN", "S", 1)
                            .replacen("TN", "T", 1)
                            .replacen("ZN", "Z", 1)
                            .trim_end_matches('+')
                            .to_owned()
                    })
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    };
    let of_machine = states(stable(&|texts| texts.0.clone())?);
    let in_lab = states(about(&printed(Some(lab.path()), ps), pids));
    differ(&of_machine, &in_lab, "ps")?;
    // Namespaces that others are in too have other counts: processes come and go on the machine.
    let is_own = |line: &String| line.split_whitespace().nth(1).is_some_and(|ns| ns > "4026532000");
    let own = |lines: Vec<String>| -> Vec<String> { lines.into_iter().filter(is_own).collect() };
    let of_machine = own(stable(&|texts| texts.1.clone())?);
    let in_lab = own(about(&printed(Some(lab.path()), lsns), pids));
    assert!(of_machine.len() >= 15, "{of_machine:#?}");
    differ(&of_machine, &in_lab, "lsns")?;
    for line in of_machine.iter().filter(|line| line.contains(" mnt ")) {
        let pid = line.split_whitespace().next().unwrap();
        let findmnt = format!(
            "findmnt -n -r -N {pid} -o TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION | grep -v '^/proc/sys/fs/binfmt_misc'"
        );
        // Labs of others come and go, and where mounts propagate they do so in the topology.
        let is_ours = |line: &&str| !line.contains("fuse") && !line.contains(" /tmp/") && !line.starts_with("/tmp/");
        let lines = |text: String| text.lines().filter(is_ours).map(str::to_owned).collect::<Vec<_>>();
        differ(&lines(printed(None, &findmnt)), &lines(printed(Some(lab.path()), &findmnt)), "findmnt")?;
    }
    compare_objects(pids, lab.path())?;
    let again = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("record").arg("--from").arg(lab.path()).output().unwrap();
    let again = String::from_utf8(again.stdout).unwrap();
    let said = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("# Missing: ") && !line.starts_with("# not here: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    differ(&said(&script), &said(&again), "record --from")
}

/// What is in the networks and IPC namespaces of the topology.
///
/// # Errors
/// The first difference between the machine and its recording.
fn compare_objects(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for pid in pids {
        let links = ["net", "ipc"].map(|ns| fs::read_link(format!("/proc/{pid}/ns/{ns}")).ok());
        if links[0].as_ref().is_some_and(|net| seen.insert(net.clone())) {
            let files = format!(
                "cd /proc/{pid}/net && awk '{{print $1}}' dev && awk '{{print $1, $2, $3, $4, $6}}' if_inet6 && cat route && \
                 awk '$4 == \"0A\" {{print $2, $8}}' tcp tcp6 && awk '{{print $2, $8}}' udp && sed -n 's/^\\(.* \\)[0-9]* @/\\1@/p' unix | cut -d' ' -f3-"
            );
            let shown = [None, Some(lab)].map(|lab| printed(lab, &files));
            let is_own = links[0] != fs::read_link("/proc/self/ns/net").ok();
            if is_own {
                differ(&sorted(&shown[0]), &sorted(&shown[1]), "networks")?;
            }
        }
        if links[1].as_ref().is_some_and(|ipc| seen.insert(ipc.clone())) {
            if links[1] == fs::read_link("/proc/self/ns/ipc").ok() {
                continue;
            }
            let of_machine = printed(None, &format!("nsenter -t {pid} -i ipcs"));
            let view = lab.join(format!("as/{pid}"));
            differ(&sorted(&of_machine), &sorted(&printed(Some(&view), "ipcs")), "ipcs")?;
        }
    }
    Ok(())
}

/// The lines of a file, whose order on the machine is that of a table of hashes.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// # Errors
/// What differs.
fn differ(left: &[String], right: &[String], what: &str) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    let lost: Vec<_> = left.iter().filter(|line| !right.contains(line)).collect();
    let new: Vec<_> = right.iter().filter(|line| !left.contains(line)).collect();
    let first = left.iter().zip(right).find(|(left, right)| left != right);
    Err(format!("{what}: on the machine {lost:#?}, in the lab {new:#?}, first {first:#?}"))
}
