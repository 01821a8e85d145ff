//! Recordings of trees of files that look like a machine's `/proc`: what is hidden, missing, odd or gone.

use std::fs;
use std::io;
use std::path::Path;

use nslab::errno::Errno;
use nslab::kernel::Kernel;
use nslab::record::files::{Bare, Disk};
use nslab::record::host::HostFacts;
use nslab::record::topology::{Missing, Topology};
use nslab::record::{Files, Wanted, read, write};

use super::recording::boot;

/// A process to make up.
struct Process {
    pid: i32,
    ppid: i32,
    comm: &'static [u8],
    argv: &'static [u8],
}

const INIT: Process = Process { pid: 1, ppid: 0, comm: b"init", argv: b"/sbin/init\0" };

/// The namespaces of a made-up machine.
const LINKS: [(&str, u32); 8] = [
    ("cgroup", 4_026_531_835),
    ("ipc", 4_026_531_839),
    ("mnt", 4_026_531_840),
    ("net", 4_026_531_992),
    ("pid", 4_026_531_836),
    ("time", 4_026_531_834),
    ("user", 4_026_531_837),
    ("uts", 4_026_531_838),
];

/// What `stat` and `status` show of a process, in the form of this machine.
fn stat(process: &Process) -> Vec<u8> {
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    let mut fields: Vec<&str> = own[own.rfind(')').unwrap() + 2..].split(' ').collect();
    let (pid, ppid, start) = (process.pid.to_string(), process.ppid.to_string(), (process.pid * 10).to_string());
    // State, parent, group, session, …, flags, …, start.
    (fields[0], fields[1], fields[2], fields[3], fields[6], fields[19]) = ("S", &ppid, &pid, &pid, "4194304", &start);
    [pid.as_bytes(), b" (", process.comm, b") ", fields.join(" ").as_bytes()].concat()
}

fn status(process: &Process) -> Vec<u8> {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let line = |line: &str| match line.split_once(':').unwrap().0 {
        "Name" => "Name:\tx".to_owned(),
        "Tgid" | "Ngid" | "Pid" | "NStgid" | "NSpid" | "NSpgid" | "NSsid" => {
            format!("{}:\t{}", line.split_once(':').unwrap().0, process.pid)
        }
        "PPid" => format!("PPid:\t{}", process.ppid),
        _ => line.to_owned(),
    };
    own.lines().map(line).collect::<Vec<_>>().join("\n").into_bytes()
}

/// Writes a process, with the links of these namespaces.
fn process(root: &Path, process: &Process, links: &[(&str, u32)]) {
    let dir = root.join(format!("proc/{}", process.pid));
    let task = dir.join(format!("task/{}", process.pid));
    fs::create_dir_all(task.join("ns")).unwrap();
    fs::write(dir.join("cmdline"), process.argv).unwrap();
    fs::write(task.join("stat"), stat(process)).unwrap();
    fs::write(task.join("status"), status(process)).unwrap();
    fs::write(task.join("comm"), [process.comm, b"\n"].concat()).unwrap();
    fs::create_dir(dir.join("ns")).unwrap();
    for (name, inum) in links {
        for dir in [&dir, &task] {
            std::os::unix::fs::symlink(format!("{name}:[{inum}]"), dir.join("ns").join(name)).unwrap();
        }
    }
}

fn machine(processes: &[Process], links: &[(&str, u32)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    for made in processes {
        process(root.path(), made, links);
    }
    root
}

/// Files of which some are refused.
struct Refusing<'a> {
    files: Disk,
    refuses: &'a dyn Fn(&str) -> Option<Errno>,
}

impl Refusing<'_> {
    fn ask<T>(&self, path: &str, look: impl FnOnce(&Disk) -> io::Result<T>) -> io::Result<T> {
        match (self.refuses)(path) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno as i32)),
            None => look(&self.files),
        }
    }
}

impl Files for Refusing<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.ask(path, |files| files.read(path))
    }

    fn names(&self, path: &str) -> io::Result<Vec<Vec<u8>>> {
        self.ask(path, |files| files.names(path))
    }

    fn link(&self, path: &str) -> io::Result<Vec<u8>> {
        self.ask(path, |files| files.link(path))
    }

    fn owner(&self, path: &str) -> io::Result<u32> {
        self.ask(path, |files| files.owner(path))
    }
}

fn record(root: &Path, refuses: &dyn Fn(&str) -> Option<Errno>) -> Topology {
    let files = Refusing { files: Disk(root.to_owned()), refuses };
    read::record(&files, &HostFacts::new(root.to_owned()), &Wanted::default(), |_| {}).unwrap()
}

/// The lab that boots from what was recorded.
fn lab(topology: &Topology) -> (Kernel, Missing) {
    let (script, unsaid) = write(topology);
    (boot(&script), unsaid)
}

fn has(missing: &Missing, words: &str) -> bool {
    missing.0.keys().any(|what| what.contains(words))
}

#[test]
fn what_is_hidden_is_left_out_and_said() {
    // hidepid=2 lists the own processes, and process 1 is not one of them.
    let root = machine(&[Process { pid: 70, ppid: 1, ..INIT }], &LINKS);
    let (k, unsaid) = lab(&record(root.path(), &|_| None));
    assert!(k.find_task(70).is_some());
    assert!(has(&unsaid, "process 1"), "{unsaid:?}");
    // hidepid=1 lists all and shows nothing of others.
    let root = machine(&[INIT, Process { pid: 70, ppid: 1, ..INIT }, Process { pid: 71, ppid: 1, ..INIT }], &LINKS);
    let hidden = |path: &str| path.starts_with("proc/71/task").then_some(Errno::EPERM);
    let topology = record(root.path(), &hidden);
    assert!(has(&topology.missing, "hidden") || has(&topology.missing, "ended"), "{:?}", topology.missing);
    let (k, _) = lab(&topology);
    assert!(k.find_task(70).is_some() && k.find_task(71).is_none());
}

#[test]
fn processes_of_others_are_in_the_namespaces_of_their_parents() {
    let processes = [INIT, Process { pid: 70, ppid: 1, ..INIT }, Process { pid: 71, ppid: 70, ..INIT }];
    let root = machine(&processes, &LINKS);
    let other = LINKS.map(|(name, inum)| (name, if name == "uts" { 4_026_532_500 } else { inum }));
    fs::remove_dir_all(root.path().join("proc/70")).unwrap();
    process(root.path(), &Process { pid: 70, ppid: 1, ..INIT }, &other);
    let refuses = |path: &str| path.starts_with("proc/71/task/71/ns/").then_some(Errno::EACCES);
    let topology = record(root.path(), &refuses);
    assert!(has(&topology.missing, "CAP_SYS_PTRACE"), "{:?}", topology.missing);
    assert_eq!(topology.tasks[&71].namespaces["uts"], 4_026_532_500);
    lab(&topology);
}

/// Containers of root, to who may not look: numbers in their pid namespaces are shown, and not which namespaces those are.
#[test]
fn processes_in_hidden_pid_namespaces_are_recorded() {
    let pids = [(1, 0), (70, 1), (71, 70), (72, 71), (73, 71)];
    let processes = pids.map(|(pid, ppid)| Process { pid, ppid, ..INIT });
    let root = machine(&processes, &LINKS);
    for pid in 71..=73 {
        let file = root.path().join(format!("proc/{pid}/task/{pid}/status"));
        let own = |line: &str| match line.split_once(':').unwrap().0 {
            name @ ("NStgid" | "NSpid" | "NSpgid" | "NSsid") => format!("{name}:\t{pid}\t{}", pid - 70),
            _ => line.to_owned(),
        };
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.lines().map(own).collect::<Vec<_>>().join("\n")).unwrap();
    }
    // The last is a zombie, whose links are gone, not hidden.
    let file = root.path().join("proc/73/task/73/stat");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace(") S ", ") Z ")).unwrap();
    let refuses = |path: &str| {
        let is_hidden = |pid: i32| path.starts_with(&format!("proc/{pid}/task/{pid}/ns/"));
        let is_gone = is_hidden(73).then_some(Errno::ENOENT);
        is_gone.or((70..73).any(is_hidden).then_some(Errno::EACCES))
    };
    let topology = record(root.path(), &refuses);
    assert!(has(&topology.missing, "hidden pid namespace: CAP_SYS_PTRACE"), "{:?}", topology.missing);
    let (k, unsaid) = lab(&topology);
    assert!(unsaid.0.is_empty(), "{unsaid:?}");
    for pid in 70..=73 {
        assert!(k.find_task(pid).is_some(), "{pid}");
    }
}

#[test]
fn old_kernels_show_less() {
    let processes = || [INIT, Process { pid: 70, ppid: 1, ..INIT }];
    // No namespaces at all; no time namespaces; neither cgroup nor time namespaces.
    for links in [&LINKS[..0], &[&LINKS[..5], &LINKS[6..]].concat()[..], &[&LINKS[1..5], &LINKS[6..]].concat()[..]] {
        let root = machine(&processes(), links);
        let topology = record(root.path(), &|_| None);
        assert_eq!(topology.namespaces.len(), links.len());
        let (k, unsaid) = lab(&topology);
        assert!(k.find_task(70).is_some(), "{unsaid:?}");
        for (name, inum) in links {
            let ns_type = nslab::kernel::ns::NsType::from_name(name).unwrap();
            assert_eq!(k.namespaces[k.initial(ns_type)].common.inum, *inum);
        }
    }
    // Names of capabilities, of seccomp and others that came later.
    let root = machine(&processes(), &LINKS);
    let late = ["CapAmb", "NoNewPrivs", "Seccomp", "NStgid", "NSpid", "NSpgid", "NSsid", "Umask", "THP_enabled"];
    let file = root.path().join("proc/70/task/70/status");
    let text = fs::read_to_string(&file).unwrap();
    let is_old = |line: &&str| !late.iter().any(|name| line.starts_with(name));
    fs::write(&file, text.lines().filter(is_old).collect::<Vec<_>>().join("\n")).unwrap();
    let topology = record(root.path(), &|_| None);
    assert!(topology.missing.0.keys().all(|what| !what.contains("ended")), "{:?}", topology.missing);
    assert_eq!(topology.tasks[&70].numbers, [70]);
}

/// What is read one after the other need not fit together: numbers are used anew in between.
#[test]
fn parents_may_go_round() {
    let processes = [INIT, Process { pid: 70, ppid: 71, ..INIT }, Process { pid: 71, ppid: 70, ..INIT }];
    let root = machine(&processes, &LINKS);
    let files = Disk(root.path().to_owned());
    for pids in [vec![], vec![70]] {
        let wanted = Wanted { pids, ..Wanted::default() };
        let facts = HostFacts::new(root.path().to_owned());
        let (k, _) = lab(&read::record(&files, &facts, &wanted, |_| {}).unwrap());
        assert!(k.find_task(70).is_some() && k.find_task(71).is_some());
    }
}

/// Limits, root and working directories as an old kernel shows them, and one that shows none.
#[test]
fn limits_and_directories_are_read() {
    let root = machine(&[INIT, Process { pid: 70, ppid: 1, ..INIT }, Process { pid: 71, ppid: 1, ..INIT }], &LINKS);
    // A directory may be called so.
    let named = root.path().join("here (deleted)");
    fs::create_dir(&named).unwrap();
    std::os::unix::fs::symlink(&named, root.path().join("proc/71/task/71/cwd")).unwrap();
    let task = root.path().join("proc/70/task/70");
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let other = |line: &str| {
        if line.starts_with("Max open files") {
            format!("{:<26}{:<21}{:<21}files", "Max open files", 7, "unlimited")
        } else {
            line.to_owned()
        }
    };
    fs::write(task.join("limits"), limits.lines().map(other).collect::<Vec<_>>().join("\n")).unwrap();
    std::os::unix::fs::symlink("/srv/a b", task.join("root")).unwrap();
    std::os::unix::fs::symlink("/srv/a b/gone (deleted)", task.join("cwd")).unwrap();
    let topology = record(root.path(), &|_| None);
    assert!(topology.tasks[&71].rlimits.is_empty() && topology.tasks[&71].root.is_none());
    assert_eq!(topology.tasks[&71].cwd.as_deref(), Some(named.as_os_str().as_encoded_bytes()));
    let (k, _) = lab(&topology);
    let task = k.find_task(70).unwrap();
    let nofile = k.signal_of(task).rlimits.nofile;
    assert_eq!((nofile.soft, nofile.hard), (7, u64::MAX));
    let shown = |file: &str| Bare(&k).read(&format!("kernel/task/70/fs/{file}")).unwrap();
    assert_eq!((&shown("root")[..], &shown("pwd")[..]), (&b"/srv/a b\n"[..], &b"/srv/a b/gone\n"[..]));
}

#[test]
fn names_may_be_any_bytes() {
    let comm = b"a\nb \"$x\\ )\xff";
    let argv = b"/bin/a b\0\0# \n\"\\\xfe\0";
    let root = machine(&[INIT, Process { pid: 70, ppid: 1, comm, argv }], &LINKS);
    let topology = record(root.path(), &|_| None);
    let (k, unsaid) = lab(&topology);
    let task = &k.tasks[k.find_task(70).unwrap()];
    assert_eq!(task.comm[..], comm[..], "{unsaid:?}");
    assert_eq!(task.argv[..], [&b"/bin/a b"[..], b"", b"# \n\"\\\xfe"].map(<[u8]>::to_vec)[..]);
}

#[test]
fn processes_that_come_and_go_are_left_out_whole() {
    let processes: Vec<Process> = (70..170).map(|pid| Process { pid, ppid: 1, ..INIT }).chain([INIT]).collect();
    let root = machine(&processes, &LINKS);
    // Of three ends one before all, one in the midst, one at the end of what is read of it.
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let refuses = |path: &str| {
        let pid: i32 = path.strip_prefix("proc/")?.split('/').next()?.parse().ok()?;
        let mut seen = seen.borrow_mut();
        let reads = seen.entry(pid).or_insert(0);
        *reads += 1;
        (pid > 1 && *reads > pid % 20).then_some(Errno::ESRCH)
    };
    let topology = record(root.path(), &refuses);
    assert!(has(&topology.missing, "ended"), "{:?}", topology.missing);
    let (k, _) = lab(&topology);
    for pid in topology.tasks.keys() {
        assert!(k.find_task(*pid).is_some(), "{pid}");
    }
    assert_eq!(topology.tasks[&1].argv, [b"/sbin/init".to_vec()]);
}

/// As many processes, all children of the first.
struct Many(i32);

impl Many {
    fn process(&self, path: &str) -> io::Result<(Process, String)> {
        let rest = path.strip_prefix("proc/").and_then(|rest| rest.split_once('/'));
        let (pid, rest) = rest.ok_or(io::ErrorKind::NotFound)?;
        let pid: i32 = pid.parse().map_err(|_| io::ErrorKind::NotFound)?;
        if pid > self.0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        let prefix = format!("task/{pid}/");
        Ok((Process { pid, ppid: i32::from(pid > 1), ..INIT }, rest.strip_prefix(&prefix).unwrap_or(rest).to_owned()))
    }
}

impl Files for Many {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let (process, file) = self.process(path)?;
        match &*file {
            "stat" => Ok(format!("{} (x) S {} {} {} 0 -1 4194304 ", process.pid, process.ppid, process.pid, process.pid)
                .into_bytes()
                .into_iter()
                .chain(std::iter::repeat_n(&b"0 "[..], 43).flatten().copied())
                .collect()),
            "status" => Ok(format!(
                "Name:\tx\nState:\tS (sleeping)\nTgid:\t{0}\nPid:\t{0}\nPPid:\t{1}\nTracerPid:\t0\nUid:\t0\t0\t0\t0\n\
                 Gid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t\nNSpid:\t{0}\nThreads:\t1\nSigQ:\t0/1\nSigPnd:\t0\nShdPnd:\t0\n\
                 SigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\n",
                process.pid, process.ppid
            )
            .into_bytes()),
            "comm" => Ok(b"x\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn names(&self, path: &str) -> io::Result<Vec<Vec<u8>>> {
        if path == "proc" {
            return Ok((1..=self.0).map(|pid| pid.to_string().into_bytes()).collect());
        }
        let (process, rest) = self.process(&format!("{path}/"))?;
        if rest == "task/" { Ok(vec![process.pid.to_string().into_bytes()]) } else { Ok(Vec::new()) }
    }

    fn link(&self, path: &str) -> io::Result<Vec<u8>> {
        let (_, rest) = self.process(path)?;
        let name = rest.strip_prefix("ns/").ok_or(io::ErrorKind::NotFound)?;
        let known = LINKS.iter().find(|(known, _)| *known == name).ok_or(io::ErrorKind::NotFound)?;
        Ok(format!("{name}:[{}]", known.1).into_bytes())
    }

    fn owner(&self, _: &str) -> io::Result<u32> {
        Ok(0)
    }
}

#[test]
fn many_processes_are_read_and_written() {
    let nothing = tempfile::tempdir().unwrap();
    let mut spoken = Vec::new();
    let facts = HostFacts::new(nothing.path().to_owned());
    let topology = read::record(&Many(100_000), &facts, &Wanted::default(), |tasks| spoken.push(tasks)).unwrap();
    assert_eq!((topology.tasks.len(), spoken.last()), (100_000, Some(&100_000)));
    // Fewer are written: the kernel of these tests counts all that it has after each line.
    let topology = read::record(&Many(200), &facts, &Wanted::default(), |_| {}).unwrap();
    let (k, _) = lab(&topology);
    assert_eq!(k.tasks.len(), 200);
}
