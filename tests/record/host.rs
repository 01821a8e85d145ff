//! Recordings of this machine, with a topology made for it: programs print the same in the lab that boots from one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::made::{Made, differ, printed, record};
use super::needs::has;
use super::tools;
use super::unprivileged::nobody;

/// The lines that are about one of these processes, which the first word says.
fn about(text: &str, pids: &BTreeSet<i32>) -> Vec<String> {
    let is_one = |line: &&str| {
        line.split_whitespace().next().and_then(|pid| pid.parse().ok()).is_some_and(|pid| pids.contains(&pid))
    };
    text.lines().filter(is_one).map(str::to_owned).collect()
}

#[test]
fn programs_print_the_same_on_the_machine_and_in_its_recording() {
    if !has(&["fuse", "root", "lsns", "unshare", "ps", "pstree", "findmnt", "setpriv", "python3", "ip", "ipcs"]) {
        return;
    }
    let made = Made::new("topology.sh", |_| {});
    let pids = made.pids();
    assert!(pids.len() >= 60, "only {} processes", pids.len());
    made.sleeps();
    let before = tools::state(&pids);
    record(&["--no-kernel-threads", "--pid", &made.first().to_string()]);
    differ(&before, &tools::state(&pids), "a recording changes nothing").unwrap_or_else(|change| panic!("{change}"));
    compare(made.first(), &pids).unwrap_or_else(|difference| panic!("{difference}"));
}

/// # Errors
/// The first difference between the machine and its recording.
fn compare(first: i32, pids: &BTreeSet<i32>) -> Result<(), String> {
    let ps = "ps -eLo pid,ppid,lwp,user:20,pidns,netns,mntns,userns,utsns,ipcns,stat,comm";
    let lsns = "lsns -n -r -o PID,NS,TYPE,NPROCS,PPID,UID,USER,COMMAND";
    let before = (printed(None, ps), printed(None, lsns));
    // The others on the machine are left out: the kernel of a debug build counts all that it has after each line.
    let script = record(&["--no-kernel-threads", "--pid", &first.to_string()]);
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
                            .replace('<', "")
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
    tools::compare_lsns(pids, lab.path())?;
    tools::compare_pstree(pids, lab.path())?;
    tools::compare_files(pids, lab.path())?;
    tools::compare_named(pids, lab.path())?;
    compare_recordings(&script, lab.path())
}

/// The recording of the lab that boots from one is the same but for what could not be seen or said; from then on it is the
/// same byte for byte.
///
/// # Errors
/// What differs.
fn compare_recordings(script: &str, lab: &Path) -> Result<(), String> {
    let from = |lab: &Path| record(&["--from", lab.to_str().unwrap()]);
    let again = from(lab);
    let said = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("# Missing: ") && !line.starts_with("# not here: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    differ(&said(script), &said(&again), "record --from")?;
    let third = from(nslab::testing::Lab::boot(&again).unwrap().path());
    if third == again { Ok(()) } else { Err("a recording of a recording differs".to_owned()) }
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

/// Without any privilege, on a topology that needs none.
#[test]
fn without_root_the_own_processes_are_the_same() {
    if !has(&["fuse", "lsns", "unshare", "ps", "pstree"]) {
        return;
    }
    let drop_rights = |command: &mut Command| {
        if nix::unistd::geteuid().is_root() {
            nobody(command);
        }
    };
    let mut allowed = Command::new("unshare");
    drop_rights(allowed.args(["-Ur", "true"]));
    if !allowed.status().unwrap().success() {
        super::needs::skipped("user namespaces take privilege here");
        return;
    }
    let made = Made::new("unprivileged.sh", drop_rights);
    let pids = made.pids();
    assert!(pids.len() >= 12, "only {} processes", pids.len());
    made.sleeps();
    let mut nslab = Command::new(env!("CARGO_BIN_EXE_nslab"));
    drop_rights(nslab.args(["record", "--no-kernel-threads", "--pid", &made.first().to_string()]));
    let script = String::from_utf8(nslab.output().unwrap().stdout).unwrap();
    let lab = nslab::testing::Lab::boot(&script).unwrap();
    let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    for command in [
        format!("ps -L -o pid,ppid,lwp,pidns,netns,mntns,userns,utsns,ipcns,comm -p {list}"),
        "lsns -n -r -o PID,NS,TYPE,NPROCS,PPID,COMMAND".to_owned(),
        format!("grep -Hs . /proc/{{{list}}}/{{uid_map,gid_map,setgroups,timens_offsets}}"),
        format!("grep -HEs 'processes|open files|msgqueue' /proc/{{{list}}}/limits"),
    ] {
        // Namespaces that others are in too have other counts.
        let own = |text: String| -> Vec<String> {
            let is_own = |line: &&str| {
                let mut words = line.split_whitespace();
                let (pid, ns) = (words.next().and_then(|pid| pid.parse().ok()), words.next());
                pid.is_some_and(|pid| pids.contains(&pid)) && ns.is_some_and(|ns| ns > "4026532000")
            };
            text.lines().filter(|line| !command.starts_with("lsns") || is_own(line)).map(str::to_owned).collect()
        };
        let (of_machine, of_lab) = (own(printed(None, &command)), own(printed(Some(lab.path()), &command)));
        assert!(of_machine.len() >= 5, "{command}: {of_machine:?}");
        differ(&of_machine, &of_lab, &command).unwrap_or_else(|difference| panic!("{difference}"));
    }
}
