//! Real programs, unmodified, on a lab whose `proc` lies over their `/proc`, and what they must print of the machine in
//! `fixtures/host.lab`. What this machine lacks is skipped, aloud.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;
use nslab::fuse::open_device;
use nslab::testing::Lab;
use procfs::net::InterfaceDeviceStatus;
use procfs::process::{LimitValue, ProcState, Process, all_processes_with_root};
use procfs::{
    CGroupControllers, CpuInfo, ExplicitSystemInfo, FromRead, FromReadSI, KernelStats, LoadAverage, Meminfo, Uptime,
    VmStat,
};

const SCENARIO: &str = include_str!("../fixtures/host.lab");
/// Mount and network namespaces that live by files alone.
const PINS: &str = include_str!("../fixtures/snap.lab");

/// The lab, or `None`, said aloud, if this machine cannot show it to `programs`.
fn lab(programs: &[&str]) -> Option<Lab> {
    lab_of(SCENARIO, programs)
}

fn lab_of(scenario: &str, programs: &[&str]) -> Option<Lab> {
    if let Err(error) = open_device() {
        return skip(&error.to_string());
    }
    if !programs.is_empty() && !geteuid().is_root() {
        return skip("only root may cover /proc in a mount namespace of its own");
    }
    let is_missing = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    if let Some(program) = programs.iter().find(is_missing) {
        return skip(&format!("no {program}"));
    }
    Some(Lab::boot(scenario).unwrap())
}

fn skip<T>(reason: &str) -> Option<T> {
    eprintln!("skipped: {reason}");
    None
}

/// Runs a shell command with the lab's `proc` over `/proc`, and its `/run/netns`, if it has one, over that; no program may
/// take longer than a moment.
fn run(lab: &Lab, command: &str) -> Output {
    let script = "mount --bind \"$0/proc\" /proc || exit; \
                  if [ -d \"$0/root/run/netns\" ]; then \
                      mount -t tmpfs none /run && mkdir /run/netns && mount --bind \"$0/root/run/netns\" /run/netns || exit; \
                  fi; \
                  eval \"exec timeout 30 $1\"";
    Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(lab.path())
        .arg(command)
        .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("COLUMNS", "200"), ("HOME", "/nonexistent")])
        .output()
        .unwrap()
}

/// What a command that must succeed prints, without a word on standard error; columns are one blank apart.
fn output(lab: &Lab, command: &str) -> String {
    let output = run(lab, command);
    assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(squeeze).collect()
}

/// Leaves out what pictures of trees are drawn with.
fn without_branches(text: &str) -> String {
    text.replace("|-", "").replace("`-", "")
}

#[test]
fn lsns_lists_each_namespace_with_its_first_process() {
    let Some(lab) = lab(&["lsns"]) else { return };
    let listed = output(&lab, "lsns -n -r -o NS,TYPE,NPROCS,PID,UID,COMMAND");
    assert_eq!(
        without_branches(&listed),
        "4026531832 mnt 2 1 0 init\n\
         4026531833 net 2 1 0 init\n\
         4026531834 time 3 1 0 init\n\
         4026531835 cgroup 3 1 0 init\n\
         4026531836 pid 3 1 0 init\n\
         4026531837 user 3 1 0 init\n\
         4026531838 uts 5 1 0 init\n\
         4026531839 ipc 3 1 0 init\n\
         4026532246 user 3 5 100000 boxinit\n\
         4026532247 mnt 2 5 100000 boxinit\n\
         4026532248 ipc 2 5 100000 boxinit\n\
         4026532249 pid 3 5 100000 boxinit\n\
         4026532250 cgroup 2 5 100000 boxinit\n\
         4026532251 net 2 5 100000 boxinit\n\
         4026532320 time 2 5 100000 boxinit\n\
         4026532321 net 1 9 0 a)\\x20b\\x20x\\x20y\n\
         4026532390 mnt 1 9 0 a)\\x20b\\x20x\\x20y\n"
    );
    assert_eq!(output(&lab, "lsns").lines().count(), 1 + 17);
    let of_box = output(&lab, "lsns -n -r -p 5 -o NS");
    assert_eq!(
        of_box.lines().collect::<Vec<_>>(),
        [
            "4026531838",
            "4026532246",
            "4026532247",
            "4026532248",
            "4026532249",
            "4026532250",
            "4026532251",
            "4026532320"
        ]
    );
}

/// This listing also asks the host for the numbers that net namespaces have for each other; it has none for ours.
#[test]
fn lsns_lists_the_namespaces_of_one_type() {
    let Some(lab) = lab(&["lsns"]) else { return };
    assert_eq!(
        output(&lab, "lsns -t net -n -r -o NS,TYPE,NPROCS,PID,NETNSID,NSFS"),
        "4026531833 net 2 1\n4026532251 net 2 5 /run/netns/box\n4026532321 net 1 9 /run/netns/blue\n"
    );
}

#[test]
fn lsns_shows_namespaces_that_live_by_a_file() {
    let Some(lab) = lab_of(PINS, &["lsns"]) else { return };
    let listed = output(&lab, "lsns -t net -n -r -o NS,NPROCS,PID,NSFS");
    assert_eq!(listed, "4026531833 2 1\n4026532178 1 6 /run/netns/blue\n");
    assert_eq!(output(&lab, "lsns -t mnt -n -r -o NS,NPROCS,PID"), "4026531832 2 1\n4026532177 1 4\n");
}

#[test]
fn findmnt_shows_the_mounts_of_a_process() {
    let Some(lab) = lab(&["findmnt"]) else { return };
    let columns = "-n -r -o TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION";
    let of_box = "/ image tmpfs rw,relatime,mode=755,uid=100000,gid=100000 private\n\
                  /proc proc proc rw,nosuid,nodev,noexec,relatime private\n\
                  /tmp scratch tmpfs rw,nosuid,nodev,relatime,uid=100000,gid=100000 private\n";
    assert_eq!(output(&lab, &format!("findmnt -N 5 {columns}")), of_box);
    assert_eq!(output(&lab, &format!("findmnt -N 6 {columns}")), of_box);
    let of_daemon = output(&lab, &format!("findmnt -N 2 {columns}"));
    assert!(of_daemon.starts_with("/ /dev/vda ext4 rw,relatime shared\n"), "{of_daemon}");
    assert!(of_daemon.contains("/run/netns/box nsfs[net:[4026532251]] nsfs rw shared\n"), "{of_daemon}");
    assert_eq!(of_daemon, output(&lab, &format!("findmnt -N 4 {columns}")), "a thread has the mounts of its process");
    let in_blue = output(&lab, &format!("findmnt -N 9 {columns}"));
    assert!(in_blue.starts_with("/ /dev/vda ext4 rw,relatime private,slave\n"), "{in_blue}");
    assert!(in_blue.ends_with("/sys blue sysfs rw,relatime private\n"), "{in_blue}");
    let zombie = run(&lab, "findmnt -N 7");
    assert_eq!((zombie.status.code(), zombie.stdout.as_slice()), (Some(1), b"".as_slice()), "{zombie:?}");
}

#[test]
fn findmnt_shows_mounts_that_keep_namespaces() {
    let Some(lab) = lab_of(PINS, &["findmnt"]) else { return };
    let host = output(&lab, "findmnt -N 1 -n -r -o TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION");
    let pins = "/run/netns tmpfs[/netns] tmpfs rw,relatime shared\n\
                /run/netns/blue nsfs[net:[4026532178]] nsfs rw shared\n";
    assert!(host.starts_with("/ /dev/vda ext4 rw,relatime shared\n"), "{host}");
    assert!(host.contains(pins), "{host}");
    assert!(host.contains("/run/snapd/ns/hello.mnt nsfs[mnt:[4026532177]] nsfs rw private\n"), "{host}");
    let snap = output(&lab, "findmnt -N 4 -n -r -o TARGET,SOURCE,FSTYPE,PROPAGATION");
    assert!(snap.starts_with("/host /dev/vda ext4 private,slave\n"), "{snap}");
    assert!(snap.contains("\n/ snap tmpfs private\n/proc proc proc private,slave\n"), "{snap}");
    assert!(snap.contains("/host/run/netns/blue nsfs[net:[4026532178]] nsfs private,slave\n"), "{snap}");
    // The directory is a peer of the mount it was bound from, which has the file too, covered.
    let files = "/run/snapd/ns/hello.mnt\n/run/netns/blue\n/run/netns/blue\n";
    assert_eq!(output(&lab, "findmnt -n -r -t nsfs -o TARGET"), files);
}

#[test]
fn ip_netns_knows_the_networks_by_their_files() {
    let Some(lab) = lab(&["ip"]) else { return };
    let named = [(1, ""), (2, ""), (4, ""), (5, "box"), (6, "box"), (9, "blue")];
    for (pid, name) in named {
        assert_eq!(output(&lab, &format!("ip netns identify {pid}")), format!("{name}\n"), "{pid}");
    }
    assert_eq!(output(&lab, "ip netns pids box"), "5\n6\n");
    assert_eq!(output(&lab, "ip netns pids blue"), "9\n");
    // A zombie has no network, on Linux too.
    let zombie = run(&lab, "ip netns identify 7");
    let message = String::from_utf8_lossy(&zombie.stderr);
    assert_eq!(message, "Cannot open network namespace: No such file or directory\n");
    // Of the numbers networks have for each other it asks the host, which has none for ours, and says so.
    let listed = run(&lab, "ip netns list");
    assert_eq!((listed.status.code(), String::from_utf8_lossy(&listed.stdout).as_ref()), (Some(0), "blue\nbox\n"));
}

#[test]
fn ip_netns_knows_the_networks_of_snap_lab() {
    let Some(lab) = lab_of(PINS, &["ip"]) else { return };
    assert_eq!(output(&lab, "ip netns identify 6"), "blue\n");
    assert_eq!(output(&lab, "ip netns pids blue"), "6\n");
}

#[test]
fn ps_shows_processes_and_their_namespaces() {
    let Some(lab) = lab(&["ps"]) else { return };
    assert_eq!(
        output(&lab, "ps -eo pid,ppid,user,stat,comm,pidns,netns,mntns,utsns,ipcns,userns"),
        "PID PPID USER STAT COMMAND PIDNS NETNS MNTNS UTSNS IPCNS USERNS\n\
         1 0 root Ss init 4026531836 4026531833 4026531832 4026531838 4026531839 4026531837\n\
         2 1 4711 Ssl web server 4026531836 4026531833 4026531832 4026531838 4026531839 4026531837\n\
         5 1 100000 S boxinit 4026532249 4026532251 4026532247 4026531838 4026532248 4026532246\n\
         6 5 100000 S sh 4026532249 4026532251 4026532247 4026531838 4026532248 4026532246\n\
         7 6 100000 Z job 4026532249 - - - - 4026532246\n\
         9 1 root T a) b 4026531836 4026532321 4026532390 4026531838 4026531839 4026531837\n"
    );
}

#[test]
fn ps_shows_threads() {
    let Some(lab) = lab(&["ps"]) else { return };
    assert_eq!(
        output(&lab, "ps -eLo pid,tid,nlwp,stat,comm"),
        "PID TID NLWP STAT COMMAND\n\
         1 1 1 Ss init\n\
         2 2 3 Ssl web server\n\
         2 3 3 Ssl web server\n\
         2 4 3 Ssl worker\n\
         5 5 1 S boxinit\n\
         6 6 1 S sh\n\
         7 7 1 Z job\n\
         9 9 1 T a) b\n"
    );
}

/// The start by the calendar, the age and the machine's own uptime come from one clock, which stands still.
#[test]
fn ps_has_one_clock_for_all_times() {
    let Some(lab) = lab(&["ps"]) else { return };
    assert_eq!(
        output(&lab, "ps -eo pid,etimes,lstart --no-headers"),
        "1 60 Thu Jan 1 00:00:00 2026\n\
         2 50 Thu Jan 1 00:00:10 2026\n\
         5 40 Thu Jan 1 00:00:20 2026\n\
         6 40 Thu Jan 1 00:00:20 2026\n\
         7 40 Thu Jan 1 00:00:20 2026\n\
         9 29 Thu Jan 1 00:00:30 2026\n"
    );
    assert_eq!(lab.read("proc/uptime").unwrap(), "60.00 120.00\n");
}

#[test]
fn ps_aux_shows_memory_state_and_command_line() {
    let Some(lab) = lab(&["ps"]) else { return };
    // How a start is written depends on the date of the host.
    let listed = output(&lab, "ps aux | awk '{ $9 = \"\"; print }'");
    assert_eq!(
        listed,
        "USER PID %CPU %MEM VSZ RSS TTY STAT TIME COMMAND\n\
         root 1 0.0 0.0 2920 1744 ? Ss 0:00 init\n\
         4711 2 0.0 0.0 2920 1744 ? Ssl 0:00 web server --port 80\n\
         100000 5 0.0 0.0 2920 1744 ? S 0:00 boxinit\n\
         100000 6 0.0 0.0 2920 1744 ? S 0:00 sh -c sleep 60\n\
         100000 7 0.0 0.0 0 0 ? Z 0:00 [job] <defunct>\n\
         root 9 0.0 0.0 2920 1744 ? T 0:00 a) b x y\n"
    );
}

#[test]
fn pstree_draws_processes_and_threads() {
    let Some(lab) = lab(&["pstree"]) else { return };
    assert_eq!(
        output(&lab, "pstree -p"),
        "init(1)-+-a) b(9)\n\
         |-boxinit(5)---sh(6)---job(7)\n\
         `-web server(2)-+-{web server}(3)\n\
         `-{web server}(4)\n"
    );
}

#[test]
fn top_counts_tasks_and_memory() {
    let Some(lab) = lab(&["top"]) else { return };
    let screen = output(&lab, "env TERM=dumb top -b -n1 -w 160");
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].contains(" up 1 min,") && lines[0].ends_with(" load average: 0.00, 0.00, 0.00"), "{screen}");
    assert_eq!(lines[1], "Tasks: 6 total, 0 running, 4 sleeping, 1 stopped, 1 zombie");
    assert!(lines[2].contains("100.0 id"), "{screen}");
    assert_eq!(lines[3], "MiB Mem : 4096.0 total, 3840.0 free, 192.0 used, 145.0 buff/cache");
    assert_eq!(
        lines[6..],
        [
            "PID USER PR NI VIRT RES SHR S %CPU %MEM TIME+ COMMAND",
            "1 root 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 init",
            "2 4711 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 web server",
            "5 100000 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 boxinit",
            "6 100000 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 sh",
            "7 100000 20 0 0 0 0 Z 0.0 0.0 0:00.00 job",
            "9 root 20 0 2920 1744 1632 T 0.0 0.0 0:00.00 a) b",
        ]
    );
}

#[test]
fn pgrep_selects_by_namespace() {
    let Some(lab) = lab(&["pgrep"]) else { return };
    assert_eq!(output(&lab, "pgrep -l --ns 5 --nslist pid ."), "5 boxinit\n6 sh\n7 job\n");
    assert_eq!(output(&lab, "pgrep -l --ns 5 --nslist net ."), "5 boxinit\n6 sh\n");
    assert_eq!(output(&lab, "pgrep -l --ns 2 ."), "1 init\n2 web server\n");
}

#[test]
fn ipcs_lists_the_objects_of_the_viewers_namespace() {
    let Some(lab) = lab(&["ipcs"]) else { return };
    assert_eq!(
        output(&lab, "ipcs").lines().filter(|line| line.starts_with("0x")).collect::<Vec<_>>(),
        ["0x00001234 0 root 640 5 1", "0x00000099 0 root 644 8192 1", "0x00000077 0 root 600 3"]
    );
    let limits = output(&lab, "ipcs -l");
    for line in [
        "max queues system wide = 32000",
        "max size of message (bytes) = 8192",
        "default max size of queue (bytes) = 16384",
        "max number of segments = 4096",
        "max number of arrays = 32000",
        "max semaphores system wide = 1024000000",
        "max ops per semop call = 500",
    ] {
        assert!(limits.lines().any(|shown| shown == line), "{line}: {limits}");
    }
    assert!(output(&lab, "ipcs -m -p").contains("\n0 root 1 1\n"));
}

#[test]
fn machine_wide_tools_find_their_files() {
    let Some(lab) = lab(&["free", "vmstat", "uptime", "pmap", "pidof"]) else { return };
    assert!(output(&lab, "free").contains("Mem: 4194304 196608 3932160 4096 148480 3997696\n"));
    assert!(output(&lab, "vmstat").contains("\n1 0 0 3932160 1024 147456 0 0 0 0 0 0 0 0 100 "));
    assert!(output(&lab, "uptime").contains(" up 1 min,"));
    assert!(output(&lab, "pmap 2").ends_with("total 2920K\n"));
    assert_eq!(output(&lab, "pidof boxinit"), "5\n");
    assert_eq!(output(&lab, "vmstat -m"), "");
    let settings = output(&lab, "sysctl fs.file-max fs.file-nr kernel.random.boot_id kernel.hostname");
    assert_eq!(
        settings,
        "fs.file-max = 380108\nfs.file-nr = 0 0 380108\nkernel.random.boot_id = 00000000-0000-4000-8000-000000000001\n\
         kernel.hostname = nslab\n"
    );
}

/// Other ways to ask for the same: trees, all columns, single processes.
#[test]
fn tools_show_one_process_or_one_namespace() {
    let Some(lab) = lab(&["lsns", "lsfd", "pstree", "pgrep", "ps"]) else { return };
    assert_eq!(
        without_branches(&output(&lab, "lsns -n -r -o PID,PPID,USER,COMMAND 4026532251")),
        "5 1 100000 boxinit\n6 5 100000 sh\\x20-c\\x20sleep\\x2060\n"
    );
    let of_zombie = output(&lab, "lsns -n -r -p 7 -o NS,TYPE");
    assert_eq!(of_zombie, "4026532246 user\n4026532249 pid\n");
    assert_eq!(
        output(&lab, "lsfd -n -r -p 5 -o ASSOC,INODE,NAME | grep ':\\['"),
        "cgroup 4026532250 cgroup:[4026532250]\n\
         ipc 4026532248 ipc:[4026532248]\n\
         mnt 4026532247 mnt:[4026532247]\n\
         net 4026532251 net:[4026532251]\n\
         pid 4026532249 pid:[4026532249]\n\
         pid4c 4026532249 pid:[4026532249]\n\
         time 4026532320 time:[4026532320]\n\
         time4c 4026532320 time:[4026532320]\n\
         user 4026532246 user:[4026532246]\n\
         uts 4026531838 uts:[4026531838]\n"
    );
    assert_eq!(
        output(&lab, "pstree -Sp"),
        "init(1)-+-a) b(9,mnt,net)\n\
         |-boxinit(5,cgroup,ipc,mnt,net,pid,user,time)---sh(6)---job(7)\n\
         `-web server(2)-+-{web server}(3)\n\
         `-{web server}(4,net)\n"
    );
    let networks = output(&lab, "pstree -N net");
    assert!(networks.starts_with("[4026531833]\ninit---web server---{web server}\n[4026532321]\na) b\n"), "{networks}");
    assert_eq!(
        output(&lab, "ps axjf --no-headers"),
        "0 1 1 1 ? -1 Ss 0 0:00 init\n\
         1 2 2 2 ? -1 Ssl 4711 0:00 web server --port 80\n\
         1 5 1 1 ? -1 S 100000 0:00 boxinit\n\
         5 6 1 1 ? -1 S 100000 0:00 \\_ sh -c sleep 60\n\
         6 7 1 1 ? -1 Z 100000 0:00 \\_ [job] <defunct>\n\
         1 9 1 1 ? -1 T 0 0:00 a) b x y\n"
    );
    assert_eq!(output(&lab, "pgrep -a -u 4711"), "2 web server --port 80\n");
    assert_eq!(output(&lab, "pgrep -f -a sleep"), "6 sh -c sleep 60\n");
}

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
            return skip(&format!("strace: {}", String::from_utf8_lossy(&traced.stderr))).unwrap_or_default();
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
fn of_the_hosts_proc(trace: &str) -> BTreeSet<String> {
    let calls: Vec<_> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let pids: BTreeSet<_> = calls.iter().map(|(pid, _)| *pid).collect();
    let paths = calls.iter().filter_map(|(_, call)| call.split('"').nth(1));
    let named = paths.map(|path| {
        let parts = path.split('/').map(|part| if pids.contains(part) { "PID" } else { part });
        parts.collect::<Vec<_>>().join("/")
    });
    named.filter(|path| path == "/proc" || path.starts_with("/proc/")).collect()
}

/// psutil has to be imported before it can be told where procfs is: what it needs until then is the host's.
#[test]
fn psutil_reads_nothing_of_the_hosts_proc_once_it_knows_the_labs() {
    const ON_IMPORT: [&str; 4] = ["/proc/PID/io", "/proc/PID/smaps", "/proc/PID/smaps_rollup", "/proc/stat"];
    const KNOWS: &str = "/the/lab/is/known/from/here";
    let Some(lab) = lab(&["strace"]) else { return };
    let Some(python) = python_with_psutil() else { return };
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let told = "psutil.PROCFS_PATH = sys.argv[1]\n";
    let script = PSUTIL.replace(told, &format!("{told}import os; os.path.exists('{KNOWS}')\n"));
    let mut command = Command::new("timeout");
    command.args(["60", "strace", "-f", "-e", "trace=%file", "-o"]).arg(&trace).arg(python);
    let output = command.args(["-c", &script]).arg(lab.at("proc")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(trace).unwrap();
    let (before, after) = trace.split_once(KNOWS).unwrap();
    let on_import = of_the_hosts_proc(before);
    assert!(on_import.iter().all(|path| ON_IMPORT.contains(&path.as_str())), "{on_import:?}");
    assert_eq!(of_the_hosts_proc(after), BTreeSet::new());
    assert!(after.contains(&format!("\"{}/9/status\"", lab.at("proc").display())), "the lab was not read");
}

/// The trace of a program that has been killed; its tracer notes that at its own pace.
fn completed(trace: &Path) -> String {
    for _ in 0..600 {
        let text = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
        if text.trim_end().ends_with("+++ killed by SIGKILL +++") {
            return text;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{} has no end", trace.display())
}

/// The exporter measures itself as well, and for that it needs the host: the numbers of the lab are none of its own.
#[test]
fn node_exporter_reads_of_the_hosts_proc_only_what_is_about_itself() {
    const ABOUT_ITSELF: [(&str, &str); 7] = [
        ("/proc", "is it there, asks the library that measures the exporter's own process"),
        ("/proc/PID", "likewise"),
        ("/proc/PID/stat", "its own process time and memory"),
        ("/proc/PID/fd", "its own descriptors"),
        ("/proc/PID/limits", "how many of them it may have"),
        ("/proc/stat", "the host's boot: from there its own start is counted"),
        ("/proc/self/exe", "its own program"),
    ];
    /// Go asks for it before it listens.
    const TO_LISTEN: &str = "/proc/sys/net/core/somaxconn";
    let Some(program) = node_exporter() else { return };
    let Some(lab) = lab(&["strace"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let metrics = metrics(&lab, program, &["strace", "-D", "-f", "-e", "trace=%file", "-o", trace.to_str().unwrap()]);
    assert!(metrics.contains("\nnode_processes_pids 6\n"), "{metrics}");
    let trace = completed(&trace);
    let is_expected = |path: &str| path == TO_LISTEN || ABOUT_ITSELF.iter().any(|(expected, _)| *expected == path);
    let read = of_the_hosts_proc(&trace);
    assert!(read.iter().all(|path| is_expected(path)), "{read:?}");
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

/// The exporter serves until it is killed.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// What it answers to a request, once it does.
fn scrape(port: u16) -> Option<String> {
    for _ in 0..600 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            return Some(answer);
        }
        thread::sleep(Duration::from_millis(50));
    }
    None
}

const COLLECTORS: [&str; 14] = [
    "arp",
    "cpu",
    "diskstats",
    "entropy",
    "filefd",
    "loadavg",
    "meminfo",
    "netstat",
    "pressure",
    "processes",
    "sockstat",
    "softnet",
    "stat",
    "vmstat",
];

fn node_exporter() -> Option<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    ["prometheus-node-exporter", "node_exporter"].into_iter().find(is_there).or_else(|| skip("no node_exporter"))
}

/// What it says of the lab, run by `tracer` (none: by itself).
fn metrics(lab: &Lab, program: &str, tracer: &[&str]) -> String {
    // Free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let command: Vec<_> = tracer.iter().copied().chain([program]).collect();
    let child = Command::new(command[0])
        .args(&command[1..])
        .arg(format!("--path.procfs={}", lab.at("proc").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--collector.disable-defaults")
        .args(COLLECTORS.map(|name| format!("--collector.{name}")))
        .stderr(Stdio::null())
        .spawn();
    let _serving = Serving(child.unwrap());
    scrape(port).unwrap()
}

#[test]
fn node_exporter_reads_the_machine() {
    let Some(program) = node_exporter() else { return };
    let Some(lab) = lab(&[]) else { return };
    let metrics = metrics(&lab, program, &[]);
    for collector in COLLECTORS {
        let line = format!("node_scrape_collector_success{{collector=\"{collector}\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let expected = [
        "node_boot_time_seconds 1.7672256e+09",
        "node_entropy_available_bits 256",
        "node_filefd_allocated 0",
        "node_pressure_memory_stalled_seconds_total 0",
        "node_softnet_processed_total{cpu=\"1\"} 0",
        "node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 60",
        "node_forks_total 9",
        "node_memory_MemTotal_bytes 4.294967296e+09",
        "node_netstat_Ip_Forwarding 2",
        "node_processes_max_processes 4.194304e+06",
        "node_processes_pids 6",
        "node_processes_state{state=\"S\"} 4",
        "node_processes_state{state=\"T\"} 1",
        "node_processes_state{state=\"Z\"} 1",
        "node_processes_threads 8",
    ];
    for line in expected {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

/// The Python of an environment with psutil, made on first use.
fn python_with_psutil() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let imports = |python: &Path| {
            let import = Command::new(python).args(["-c", "import psutil"]).output();
            import.is_ok_and(|output| output.status.success())
        };
        let python = PathBuf::from("python3");
        if imports(&python) {
            return Some(python);
        }
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("psutil");
        let python = venv.join("bin/python");
        if !imports(&python) {
            Command::new("python3").args(["-m", "venv"]).arg(&venv).output().ok()?;
            Command::new(&python).args(["-m", "pip", "install", "--quiet", "psutil"]).output().ok()?;
        }
        imports(&python).then_some(python)
    };
    PYTHON.get_or_init(find).as_deref().or_else(|| skip("no psutil, and none to be had from pip"))
}

/// Reads all it can of the lab whose `proc` is the argument.
const PSUTIL: &str = "
import psutil, sys, warnings
warnings.simplefilter('error')
psutil.PROCFS_PATH = sys.argv[1]
print(psutil.pids(), psutil.boot_time(), psutil.cpu_times().idle, psutil.virtual_memory().total, psutil.swap_memory().sin)
for p in psutil.process_iter():
    with p.oneshot():
        print(p.pid, p.ppid(), p.name(), p.status(), p.num_threads(), p.uids().effective, p.create_time(), p.memory_info().rss)
        print(len(p.threads()), p.memory_full_info().uss if p.status() != 'zombie' else None, p.as_dict(['cmdline'])['cmdline'] or None)
# These it asks the kernel that it runs on, by number.
of_the_host = {'nice', 'ionice', 'cpu_affinity'}
for p in psutil.process_iter():
    # Linux has no environ of a zombie; older psutils take it for gone then.
    unasked = {'environ'} if p.status() == 'zombie' else set()
    p.as_dict(set(psutil._as_dict_attrnames) - of_the_host - unasked)
print(sorted(psutil.net_io_counters(pernic=True)), psutil.net_connections())
print([p.pid for p in psutil.Process(1).children(recursive=True)])
";

#[test]
fn psutil_reads_every_process() {
    let Some(lab) = lab(&[]) else { return };
    let Some(python) = python_with_psutil() else { return };
    let mut command = Command::new("timeout");
    let output = command.arg("30").arg(python).args(["-c", PSUTIL]).arg(lab.at("proc")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "[1, 2, 5, 6, 7, 9] 1767225600.0 120.0 4294967296 0\n\
         1 0 init sleeping 1 0 1767225600.0 1785856\n\
         1 1785856 ['init']\n\
         2 1 web server sleeping 3 4711 1767225610.0 1785856\n\
         3 1785856 ['web server', '--port', '80']\n\
         5 1 boxinit sleeping 1 100000 1767225620.0 1785856\n\
         1 1785856 ['boxinit']\n\
         6 5 sh sleeping 1 100000 1767225620.0 1785856\n\
         1 1785856 ['sh', '-c', 'sleep 60']\n\
         7 6 job zombie 1 100000 1767225620.0 0\n\
         1 None None\n\
         9 1 a) b stopped 1 0 1767225630.5 1785856\n\
         1 1785856 ['a) b', 'x y']\n\
         ['eth0', 'lo'] []\n\
         [2, 5, 9, 6, 7]\n"
    );
}

/// The crate's processes of the lab, by their numbers.
fn processes(lab: &Lab) -> Vec<Process> {
    let mut found: Vec<_> = all_processes_with_root(lab.at("proc")).unwrap().map(Result::unwrap).collect();
    found.sort_by_key(Process::pid);
    found
}

/// Every file the crate knows parses and says the same as its neighbours.
#[test]
fn the_procfs_crate_parses_every_process() {
    let Some(lab) = lab(&[]) else { return };
    let mut states = Vec::new();
    for process in processes(&lab) {
        let pid = process.pid();
        let (stat, status) = (process.stat().unwrap(), process.status().unwrap());
        assert_eq!((stat.pid, stat.ppid, &stat.comm), (status.pid, status.ppid, &status.name), "{pid}");
        assert_eq!((stat.pid, stat.num_threads), (pid, i64::try_from(status.threads).unwrap()));
        assert_eq!(process.tasks().unwrap().map(Result::unwrap).count(), usize::try_from(status.threads).unwrap());
        let state = stat.state().unwrap();
        let limits = process.limits().unwrap();
        assert!(matches!(limits.max_open_files.soft_limit, LimitValue::Value(1024)), "{limits:?}");
        assert_eq!(process.statm().unwrap().resident, stat.rss);
        process.io().unwrap();
        assert_eq!(process.smaps().unwrap().len(), process.maps().unwrap().len());
        if state != ProcState::Zombie {
            process.smaps_rollup().unwrap();
            assert_eq!(process.mountinfo().unwrap().0.len(), process.mountstats().unwrap().0.len());
        }
        states.push((pid, status.name, state));
    }
    let listed: Vec<_> = states.iter().map(|(pid, name, state)| (*pid, name.as_str(), *state)).collect();
    assert_eq!(
        listed,
        [
            (1, "init", ProcState::Sleeping),
            (2, "web server", ProcState::Sleeping),
            (5, "boxinit", ProcState::Sleeping),
            (6, "sh", ProcState::Sleeping),
            (7, "job", ProcState::Zombie),
            (9, "a) b", ProcState::Stopped),
        ]
    );
}

#[test]
fn the_procfs_crate_knows_the_namespaces() {
    let Some(lab) = lab(&[]) else { return };
    let inums = |process: &Process| -> Vec<_> {
        let kinds = process.namespaces().unwrap().0.into_iter();
        let mut kinds: Vec<_> = kinds.map(|(kind, namespace)| (kind.into_string().unwrap(), namespace)).collect();
        kinds.retain(|(kind, _)| ["mnt", "net", "pid", "user"].contains(&kind.as_str()));
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        kinds.into_iter().map(|(_, namespace)| namespace.identifier).collect()
    };
    // A zombie has but a user namespace; the crate takes the failure of the other links for its own.
    let living: Vec<_> = processes(&lab).into_iter().filter(|process| process.pid() != 7).collect();
    let found: Vec<_> = living.iter().map(|process| (process.pid(), inums(process))).collect();
    let host = vec![4_026_531_832, 4_026_531_833, 4_026_531_836, 4_026_531_837];
    let in_box = vec![4_026_532_247, 4_026_532_251, 4_026_532_249, 4_026_532_246];
    let in_blue = vec![4_026_532_390, 4_026_532_321, 4_026_531_836, 4_026_531_837];
    assert_eq!(found, [(1, host.clone()), (2, host), (5, in_box.clone()), (6, in_box), (9, in_blue)]);
}

const LAB_TO_READ: &str = "NSLAB_TEST_LAB_TO_READ";

fn read_by_the_procfs_crate(proc: &str) {
    for process in all_processes_with_root(proc).unwrap().map(Result::unwrap) {
        let (_, _) = (process.stat().unwrap(), process.status().unwrap());
        let (_, _) = (process.namespaces().map(drop), process.mountinfo().map(drop));
        let (_, _) = (process.maps().map(drop), process.fd().map(|all| all.for_each(drop)));
    }
}

#[test]
fn the_procfs_crate_asks_the_hosts_proc_only_for_the_release_it_runs_on() {
    // The program that is traced is this one.
    if let Ok(proc) = std::env::var(LAB_TO_READ) {
        return read_by_the_procfs_crate(&proc);
    }
    let Some(lab) = lab(&["strace"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let mut command = Command::new("timeout");
    command.args(["60", "strace", "-f", "-e", "trace=%file", "-o"]).arg(&trace).arg(std::env::current_exe().unwrap());
    let this = "the_procfs_crate_asks_the_hosts_proc_only_for_the_release_it_runs_on";
    command.args(["--exact", this]).env(LAB_TO_READ, lab.at("proc"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    let trace = fs::read_to_string(trace).unwrap();
    let (_, after) = trace.split_once(lab.at("proc").to_str().unwrap()).unwrap();
    assert!(after.contains("\"status\""), "the lab was not read: {after}");
    // How it has to open directories depends on the kernel that it runs on.
    assert_eq!(of_the_hosts_proc(after), BTreeSet::from(["/proc/sys/kernel/osrelease".to_owned()]));
}

#[test]
fn the_procfs_crate_parses_the_files_about_the_machine() {
    let Some(lab) = lab(&[]) else { return };
    let proc = lab.at("proc");
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let kernel = KernelStats::from_file(proc.join("stat"), &system).unwrap();
    assert_eq!((kernel.btime, kernel.cpu_time.len(), kernel.processes), (1_767_225_600, 2, 9));
    assert_eq!(Uptime::from_file(proc.join("uptime")).unwrap().uptime, 60.0);
    assert_eq!(LoadAverage::from_file(proc.join("loadavg")).unwrap().max, 8);
    assert_eq!(Meminfo::from_file(proc.join("meminfo")).unwrap().mem_total, 4 << 30);
    assert_eq!(CpuInfo::from_file(proc.join("cpuinfo")).unwrap().num_cores(), 2);
    assert_eq!(VmStat::from_file(proc.join("vmstat")).unwrap().0["pswpin"], 0);
    let devices = InterfaceDeviceStatus::from_file(proc.join("net/dev")).unwrap().0;
    assert_eq!(devices.into_keys().collect::<BTreeSet<_>>(), ["eth0", "lo"].map(String::from).into());
    assert!(CGroupControllers::from_file(proc.join("cgroups")).unwrap().0.is_empty());
}
