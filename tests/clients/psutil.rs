//! Python's psutil.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::lab;
use super::python::python_with;
use super::traced::of_the_hosts_proc;

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
    let Some(python) = python_with(&["psutil"]) else { return };
    let procfs = lab.procfs().unwrap();
    for proc in [&lab.at("proc"), procfs.path()] {
        let mut command = Command::new("timeout");
        command.args(["30", "python3", "-c", PSUTIL]).arg(proc).env("PYTHONPATH", python.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), SAID);
    }
}

/// What it prints of the scenario.
const SAID: &str = "[1, 2, 5, 6, 7, 9] 1767225600.0 120.0 4294967296 0\n\
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
    [2, 5, 9, 6, 7]\n";

/// psutil has to be imported before it can be told where procfs is: what it needs until then is the host's.
#[test]
fn psutil_reads_nothing_of_the_hosts_proc_once_it_knows_the_labs() {
    const ON_IMPORT: [&str; 4] = ["/proc/PID/io", "/proc/PID/smaps", "/proc/PID/smaps_rollup", "/proc/stat"];
    const KNOWS: &str = "/the/lab/is/known/from/here";
    let Some(lab) = lab(&["strace"]) else { return };
    let Some(python) = python_with(&["psutil"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let told = "psutil.PROCFS_PATH = sys.argv[1]\n";
    let script = PSUTIL.replace(told, &format!("{told}import os; os.path.exists('{KNOWS}')\n"));
    let mut command = Command::new("timeout");
    command.args(["60", "strace", "-f", "-e", "trace=%file", "-o"]).arg(&trace);
    command.args(["python3", "-c", &script]).arg(lab.at("proc")).env("PYTHONPATH", python.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(trace).unwrap();
    let (before, after) = trace.split_once(KNOWS).unwrap();
    let on_import = of_the_hosts_proc(before);
    assert!(on_import.iter().all(|path| ON_IMPORT.contains(&path.as_str())), "{on_import:?}");
    assert_eq!(of_the_hosts_proc(after), BTreeSet::new());
    assert!(after.contains(&format!("\"{}/9/status\"", lab.at("proc").display())), "the lab was not read");
}
