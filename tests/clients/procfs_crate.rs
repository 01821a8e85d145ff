//! Rust's crate procfs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use nslab::testing::Lab;
use procfs::net::InterfaceDeviceStatus;
use procfs::process::{FDTarget, LimitValue, ProcState, Process, StatFlags, all_processes_with_root};
use procfs::{
    CGroupControllers, CpuInfo, ExplicitSystemInfo, FromRead, FromReadSI, KernelStats, LoadAverage, Meminfo, Uptime,
    VmStat,
};

use super::traced::of_the_hosts_proc;
use super::{lab, lab_of};

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

#[test]
fn the_procfs_crate_knows_descriptors_programs_and_kernel_threads() {
    let Some(lab) = lab_of(include_str!("../scripts/machine.lab"), &[]) else { return };
    let found = processes(&lab);
    let process = |pid: i32| found.iter().find(|process| process.pid() == pid).unwrap();
    let sshd = process(5);
    assert_eq!((sshd.fd_count().unwrap(), sshd.fd().unwrap().count()), (4, 4));
    assert_eq!(sshd.exe().unwrap(), Path::new("/bin/sshd"));
    let inodes = sshd.fd().unwrap().filter_map(|fd| match fd.unwrap().target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    });
    assert_eq!(inodes.collect::<Vec<_>>(), [10_001, 10_002]);
    let kthread = process(3);
    let stat = kthread.stat().unwrap();
    assert_eq!((&*stat.comm, stat.ppid, stat.vsize), ("pool_workqueue_release", 2, 0));
    assert!(stat.flags().unwrap().contains(StatFlags::PF_KTHREAD) && kthread.cmdline().unwrap().is_empty());
    assert_eq!(process(4).stat().unwrap().state().unwrap(), ProcState::Idle);
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
    let this = "procfs_crate::the_procfs_crate_asks_the_hosts_proc_only_for_the_release_it_runs_on";
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
