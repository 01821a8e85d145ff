//! What programs ask the host although they are shown a lab: strace tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::needs::skipped;
use super::{lab, run};

/// What a program could ask the host instead: numbers of System V objects, memory and load.
const ASKS_THE_HOST: [&str; 5] = ["msgctl(", "semctl(", "shmctl(", "sysinfo(", "getloadavg("];

/// Paths that the programs look for in vain on Linux too: `ctty` is Android's, 7 is a zombie, and pstree looks for the
/// namespaces of the parent of init.
const ABSENT: [&str; 4] = ["/ctty\"", "\"/proc/7/ns/", "\"/proc/7/environ\"", "\"/proc/0/ns/"];

#[test]
fn programs_find_all_they_ask_for_in_the_lab() {
    const PROGRAMS: [&str; 14] = [
        "ps aux",
        "ps -eLf",
        "ps -eo pid,pidns,netns,mntns,utsns,ipcns,userns,cgroupns,timens",
        "ps -eLo pid,tid,nlwp,stat,comm",
        "top -b -n1",
        "pstree -p",
        "pgrep --ns 5 .",
        "lsns",
        "lsns -t net",
        "ipcs",
        "ipcs -l",
        "findmnt -N 5",
        "ip netns identify 5",
        "ip netns pids box",
    ];
    let Some(lab) = lab(&["strace", "ps", "top", "pstree", "pgrep", "lsns", "ipcs", "findmnt", "ip"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let trace = dir.path().join("trace");
        let traced = run(&lab, &format!("strace -f -o {} {program}", trace.display()));
        if !traced.status.success() {
            return skipped(&format!("strace: {}", String::from_utf8_lossy(&traced.stderr)));
        }
        let trace = fs::read_to_string(trace).unwrap();
        for line in trace.lines() {
            // Asking whether something is a link is no search for it.
            let in_vain = line.contains("\"/proc") && line.contains("= -1 ") && !line.contains("EINVAL");
            let expected = ABSENT.iter().any(|absent| line.contains(absent));
            assert!(!in_vain || expected, "{program}: {line}");
            assert!(!ASKS_THE_HOST.iter().any(|call| line.contains(call)), "{program}: {line}");
        }
    }
}

/// The files of the host's `/proc` in a trace, each once; `PID` is the program itself.
pub fn of_the_hosts_proc(trace: &str) -> BTreeSet<String> {
    let calls: Vec<_> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let pids: BTreeSet<_> = calls.iter().map(|(pid, _)| *pid).collect();
    let paths = calls.iter().filter_map(|(_, call)| call.split('"').nth(1));
    let named = paths.map(|path| {
        let parts = path.split('/').map(|part| if pids.contains(part) { "PID" } else { part });
        parts.collect::<Vec<_>>().join("/")
    });
    named.filter(|path| path == "/proc" || path.starts_with("/proc/")).collect()
}

/// The lab may lie over the host's `/proc`: a daemon that needed one of its files would wait for itself.
#[test]
fn the_daemon_never_opens_the_hosts_proc() {
    let Some(_) = lab(&["strace", "ps", "lsns"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (point, trace) = (dir.path().join("lab"), dir.path().join("trace"));
    fs::create_dir(&point).unwrap();
    let nslab = env!("CARGO_BIN_EXE_nslab");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/host.lab");
    let script = "strace -f -e trace=%file,write -o $1 $2 mount -f --boot $3 $4 & \
                  until [ -e $4/proc ]; do sleep 0.05; done; \
                  unshare -m sh -c 'mount --bind $0/proc /proc; timeout 30 ps aux; timeout 30 lsns' $4; \
                  $2 umount $4; wait $!";
    let paths = [&trace, &PathBuf::from(nslab), &scenario, &point];
    let served = Command::new("timeout").args(["60", "sh", "-c", script, "sh"]).args(paths).output().unwrap();
    assert!(served.status.success(), "{served:?}");
    assert!(String::from_utf8_lossy(&served.stdout).contains("boxinit"), "{served:?}");
    let trace = fs::read_to_string(trace).unwrap();
    let mut serving = trace.lines().skip_while(|line| !line.contains("\"mounted on "));
    assert!(serving.next().is_some(), "{trace}");
    let opened: Vec<_> = serving.filter(|line| line.contains("\"/proc")).collect();
    assert!(opened.is_empty(), "{opened:?}");
}
