//! The journal of a mounted lab: complete, in order, whole, and a lab that boots with it is in the same state.

use std::fs;
use std::io::Write;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use nslab::fuse::{self, Options, Point};
use nslab::host::{Booting, Lab};
use nslab::journal::{Journal, Sync, whole};
use nslab::kernel::Kernel;
use nslab::script::file::load;
use nslab::script::run::run_boot_file;
use tempfile::TempDir;

use super::needs::has;

/// A lab with a journal, mounted and served by this process.
struct Noted {
    point: Point,
    lab: Arc<Lab>,
    dir: TempDir,
}

impl Noted {
    fn new(options: &str) -> Option<Noted> {
        has(&["fuse"]).then(|| {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::create(&dir.path().join("journal.lab"), Sync::Kernel).unwrap();
            Noted::mount(dir, Lab::new(Kernel::boot()).with_journal(Some(journal)), options)
        })
    }

    fn mount(dir: TempDir, lab: Lab, words: &str) -> Noted {
        let at = dir.path().join("m");
        fs::create_dir_all(&at).unwrap();
        let mut options = Options::default();
        options.add(words).unwrap();
        let mounted = fuse::mount(lab, &at, &options).unwrap();
        let (point, lab) = (mounted.point().clone(), Arc::clone(mounted.lab()));
        std::thread::spawn(move || mounted.serve());
        Noted { point, lab, dir }
    }

    fn bash(&self, script: &str) -> Output {
        Command::new("timeout").args(["60", "bash", "-c", script]).current_dir(self.point.path()).output().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("journal.lab")
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// The lines of the journal without their sums and the first.
    fn lines(&self) -> Vec<String> {
        self.journal().lines().skip(1).map(|line| line.rsplit_once(" #").unwrap().0.to_owned()).collect()
    }

    /// The directory, in which nobody writes a journal any more.
    fn unmount(mut self) -> TempDir {
        mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// Compares the lab with one that boots with its journal.
    fn assert_repeats(&self) {
        let lab = Lab::new(Kernel::boot());
        let booted = run_boot_file(&mut Booting(&lab), &self.file());
        booted.unwrap_or_else(|error| panic!("{error}\n{}", self.journal()));
        assert_same(&state(&self.lab), &state(&lab), &self.journal());
    }
}

/// The whole kernel as text, but for the changes and steps that only a mounted one keeps.
fn state(lab: &Lab) -> String {
    let text = lab.read(|k| format!("{k:#?}")).unwrap();
    let (state, _) = text.split_once("\n    changes: Changes {").unwrap();
    state.to_owned()
}

fn assert_same(before: &str, after: &str, journal: &str) {
    assert!(before.len() > 10_000);
    if let Some((line, (before, after))) = before.lines().zip(after.lines()).enumerate().find(|(_, (a, b))| a != b) {
        panic!("line {line}: {before} became {after}\n{journal}");
    }
    assert_eq!(before.len(), after.len(), "{journal}");
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.point.detach().unwrap();
    }
}

#[test]
fn the_session_of_a_frozen_init_is_repeated() {
    let Some(lab) = Noted::new("") else { return };
    lab.bash(
        "mkdir -m 700 cgroup/x; mkdir cgroup/y; rmdir cgroup/y; echo 1 > cgroup/x/cgroup.procs
        echo 1 > cgroup/x/cgroup.freeze; echo > ctl/1/setsid; echo other > proc/sys/kernel/hostname; mkdir cgroup/z
        echo 0 > cgroup/x/cgroup.freeze; echo other > proc/sys/kernel/hostname; echo newuser > ctl/1/clone
        echo 9 > as/2/proc/self/uid_map; printf 'a$b #c' > as/2/proc/self/comm",
    );
    let lines = lab.lines();
    assert_eq!(lines[0], "= 0 mkdir cgroup/x 700");
    assert!(lines.contains(&"! EAGAIN 1 setsid".to_owned()), "{lines:?}");
    assert!(lines.contains(&"! EAGAIN mkdir cgroup/z 755".to_owned()), "{lines:?}");
    assert!(lines.contains(&"= 2 1 clone newuser".to_owned()), "{lines:?}");
    lab.assert_repeats();
}

#[test]
fn every_write_of_an_open_file_is_noted_with_its_position() {
    let Some(lab) = Noted::new("") else { return };
    lab.bash(
        "mkdir cgroup/web; echo > ctl/1/clone; echo > ctl/1/clone
        exec 7>cgroup/web/cgroup.procs; echo 2 >&7; echo 3 >&7",
    );
    let lines = lab.lines();
    assert_eq!(
        lines[3..],
        ["= 2 write cgroup/web/cgroup.procs pos=0 \"2\\n\"", "= 2 write cgroup/web/cgroup.procs pos=2 \"3\\n\""]
    );
    lab.assert_repeats();
}

#[test]
fn exits_by_faults_are_noted_before_what_comes_after() {
    let Some(lab) = Noted::new("") else { return };
    // Victims are reaped as soon as they are gone, by a waiter that does not know when that is.
    lab.bash(
        "for i in $(seq 40); do echo > ctl/1/clone; done
        for i in $(seq 2 41); do echo exit $i after=stat; done > kernel/faults
        (while ls ctl/41 > /dev/null 2>&1; do echo -1 > ctl/1/wait; done 2> /dev/null) & waiter=$!
        for i in $(seq 2 41); do stat proc/$i > /dev/null; done; wait $waiter
        for i in 1 2 3; do echo > ctl/1/clone; done",
    );
    let lines = lab.lines();
    assert_eq!(lines.iter().filter(|line| line.ends_with(" exit")).count(), 40, "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("faults \"exit 2 after=stat")), "{lines:?}");
    lab.assert_repeats();
}

#[test]
fn time_that_passes_is_noted() {
    let Some(lab) = Noted::new("realtime") else { return };
    let moved = lab
        .bash("cat proc/uptime; sleep 0.1; cat proc/uptime; echo > ctl/1/clone; echo boottime > ctl/1/clock_gettime");
    let text = String::from_utf8(moved.stdout).unwrap();
    let times: Vec<f64> = text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(times[1] >= times[0] + 0.1, "{text}");
    let lines = lab.lines();
    let kinds: Vec<_> = lines.iter().map(|line| line.contains(" tick ")).collect();
    assert_eq!(kinds, [true, false, true, false], "{lines:?}");
    lab.assert_repeats();
}

#[test]
fn a_full_disk_refuses_the_call_and_changes_nothing() {
    let Some(lab) = Noted::new("") else { return };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a small disk wants root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&disk).status().unwrap();
    if !mounted.success() {
        eprintln!("skipped: no tmpfs here");
        return;
    }
    let file = disk.join("journal.lab");
    let journal = Journal::create(&file, Sync::Disk).unwrap();
    let full = Noted::mount(dir, Lab::new(Kernel::boot()).with_journal(Some(journal)), "");
    fs::File::create(disk.join("rest")).unwrap().write_all(&vec![0; 1 << 20]).unwrap_err();
    let before = state(&full.lab);
    // Room is reserved by the piece: the last one is used up first.
    let script = "for i in $(seq 3000); do echo 1 > ctl/1/getsid || break; done 2> /dev/null
        echo one > proc/sys/kernel/hostname; mkdir cgroup/a; echo > ctl/1/clone";
    let output = full.bash(script);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.matches("No space left on device").count(), 3, "{errors}");
    assert_same(&before, &state(&full.lab), "");
    let text = fs::read(&file).unwrap();
    assert!(!whole(&text).unwrap().is_torn);
    drop(full);
    assert!(Command::new("umount").arg("-l").arg(&disk).status().unwrap().success());
    drop(lab);
}

/// Calls are refused by what is wrong with the journal, and change nothing.
fn assert_refused(lab: &Noted, reason: &str) {
    let before = state(&lab.lab);
    let output = lab.bash(
        "exec 2>&1; echo one > proc/sys/kernel/hostname; mkdir cgroup/a
        exec 3<>ctl/1/clone; echo >&3; cat <&3",
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("Input/output error").count(), 3, "{said}");
    assert!(said.ends_with(&format!("EIO: the journal {reason}\n")), "{said}");
    assert_same(&before, &state(&lab.lab), "");
}

#[test]
fn a_journal_that_somebody_cuts_off_or_removes_refuses_the_call_and_changes_nothing() {
    let Some(lab) = Noted::new("") else { return };
    lab.bash("echo > ctl/1/clone; echo > ctl/1/clone");
    let text = lab.journal();
    let kept = text.len() - text.lines().last().unwrap().len() - 1;
    fs::OpenOptions::new().write(true).open(lab.file()).unwrap().set_len(kept as u64).unwrap();
    assert_refused(&lab, "was cut off by somebody else: mount a new lab");
    let file = lab.file();
    let dir = lab.unmount();
    assert_eq!(fs::read_to_string(&file).unwrap(), text[..kept], "nothing is added to what is left");

    let journal = Journal::resume(Journal::claim(&file).unwrap(), Sync::Kernel).unwrap();
    let lab = Noted::mount(dir, Lab::new(Kernel::boot()).with_journal(Some(journal)), "");
    fs::remove_file(&file).unwrap();
    assert_refused(&lab, "was removed: mount a new lab");
}

#[test]
fn a_journal_that_may_not_be_written_refuses_the_call_until_it_may() {
    let Some(lab) = Noted::new("").filter(|_| has(&["root"])) else { return };
    let immutable = |path: &Path, flag: &str| Command::new("chattr").arg(flag).arg(path).status();
    let open = fs::OpenOptions::new().write(true).open(lab.file()).unwrap();
    if !immutable(&lab.file(), "+i").is_ok_and(|status| status.success()) || open.write_at(b"#", 0).is_ok() {
        return super::needs::skipped("no file here can be made immutable");
    }
    assert_refused(&lab, "cannot be written: Operation not permitted");
    assert!(immutable(&lab.file(), "-i").unwrap().success());
    assert!(lab.bash("echo > ctl/1/clone && echo one > proc/sys/kernel/hostname").status.success());
    lab.assert_repeats();

    let dir = tempfile::tempdir().unwrap();
    assert!(immutable(dir.path(), "+i").unwrap().success());
    let (at, journal) = (lab.dir.path().join("other"), dir.path().join("journal.lab"));
    fs::create_dir(&at).unwrap();
    let mount = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("mount").arg("--journal").arg(&journal).arg(&at).output();
    assert!(immutable(dir.path(), "-i").unwrap().success());
    let expected = format!("nslab: {}: Operation not permitted: name a file that you may write\n", journal.display());
    assert_eq!(String::from_utf8(mount.unwrap().stderr).unwrap(), expected);
}

#[test]
fn a_journal_without_room_leaves_no_file() {
    if !has(&["fuse", "root"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [disk, at] = ["disk", "m"].map(|name| dir.path().join(name));
    [&disk, &at].into_iter().try_for_each(fs::create_dir).unwrap();
    let small = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "none"]).arg(&disk).status().unwrap();
    if !small.success() {
        return super::needs::skipped("no tmpfs here");
    }
    fs::write(disk.join("rest"), [0; 4096]).unwrap();
    let journal = disk.join("journal.lab");
    let mount = Command::new(env!("CARGO_BIN_EXE_nslab")).arg("mount").arg("--journal").arg(&journal).arg(&at).output();
    let is_there = journal.exists();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    let expected = "No space left on device: make room, or name a new file on another disk\n";
    assert_eq!(String::from_utf8(mount.unwrap().stderr).unwrap(), format!("nslab: {}: {expected}", journal.display()));
    assert!(!is_there);
}

#[test]
fn a_torn_journal_boots_without_its_end_and_is_resumed() {
    let Some(lab) = Noted::new("") else { return };
    lab.bash("echo > ctl/1/clone; echo blue > ctl/1/sethostname; echo core > ctl/1/sethostname");
    let text = fs::read(lab.file()).unwrap();
    let torn = text.len() - "re #01234567\n".len();
    fs::write(lab.file(), &text[..torn]).unwrap();
    let nslab = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_nslab")).args(args).output().unwrap();
    let (dir, journal) = (tempfile::tempdir().unwrap(), lab.file());
    let (at, journal) = (dir.path().to_str().unwrap(), journal.to_str().unwrap());
    let refused = nslab(&["mount", "--journal", journal, "--resume", at]);
    let message = String::from_utf8(refused.stderr).unwrap();
    let expected = format!("nslab: {journal}: in use: another lab writes it: unmount that one, or name a new file\n");
    assert_eq!((refused.status.code(), message), (Some(1), expected));
    let _dir = lab.unmount();
    let refused = nslab(&["mount", "--journal", journal, at]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.ends_with("File exists: go on with it by --resume, or name a new file\n"), "{message}");
    let output = nslab(&["mount", "-o", &format!("resume,journal_sync,journal={journal}"), at]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && message == format!("nslab: {journal}: line 4 is torn and left out\n"),
        "{message}"
    );
    let at_host = Path::new(at).join("proc/sys/kernel/hostname");
    assert_eq!(fs::read_to_string(&at_host).unwrap(), "blue\n");
    fs::write(&at_host, "green\n").unwrap();
    assert!(nslab(&["umount", at]).status.success());
    assert_eq!(fs::read_to_string(journal).unwrap().lines().count(), 4);
    assert!(nslab(&["run", journal]).stdout.starts_with(b"1 passed"));
}

/// A number below `end` that `seed` gives next.
fn random(seed: &mut u64, end: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % end
}

const CALLS: &[(&str, &str)] = &[
    ("clone", ""),
    ("clone", "newuser newpid"),
    ("clone", "newuser"),
    ("clone", "newnet newipc"),
    ("unshare", "newuts"),
    ("unshare", "newuser"),
    ("unshare", "newns"),
    ("exit", "3"),
    ("wait", "-1"),
    ("setsid", ""),
    ("kill", "3 SIGKILL"),
    ("kill", "2 SIGSTOP"),
    ("kill", "2 SIGCONT"),
    ("setuid", "1000"),
    ("sethostname", "x y"),
    ("msgget", "42 create"),
    ("msgsnd", "0 1 hello"),
    ("msgrcv", "0 0 nowait"),
    ("open", "proc/1/ns/net"),
    ("close", "0"),
    ("mkdir", "/tmp/a"),
    ("exec", "sleep 1"),
    ("mount", "tmpfs none /tmp"),
    ("ip", "link add v0 type veth peer name v1"),
    ("clock", "+1s"),
    ("frob", "x"),
    ("attach", "999999999"),
    ("chdir", "/proc/1"),
    ("getcwd", ""),
    ("umount", "/tmp"),
];
const FILES: &[(&str, &str)] = &[
    ("proc/self/comm", "a$b #c"),
    ("proc/self/uid_map", "0 1000 1"),
    ("proc/self/setgroups", "deny"),
    ("proc/sys/kernel/hostname", "blue"),
    ("proc/sys/kernel/pid_max", "4000"),
    ("cgroup/a/cgroup.procs", "2"),
    ("cgroup/a/cgroup.freeze", "1"),
    ("cgroup/a/cgroup.freeze", "0"),
    ("cgroup/cgroup.procs", "3"),
    ("proc/uptime", "1"),
    ("proc/sys/net/core/somaxconn", "7"),
    ("proc/sys/user/max_net_namespaces", "3"),
    ("cgroup/a/cgroup.kill", "1"),
    ("proc/sys/kernel/ns_last_pid", "50"),
    ("proc/sys/kernel/sem", "1 2 3 4"),
    ("ctl/batch", "A = 1 clone\n$A setsid\n"),
];
/// Calls, writes to files and changes of cgroups, one after the other.
fn write_at_random(lab: &Noted, mut seed: u64) {
    let mut kept: Vec<fs::File> = Vec::new();
    for _ in 0..200 {
        let pid = [1, 1, 2, 3, 4, 5][random(&mut seed, 6)];
        let (name, text) = FILES[random(&mut seed, FILES.len())];
        let (verb, words) = CALLS[random(&mut seed, CALLS.len())];
        let path = match random(&mut seed, 10) {
            0..5 => format!("ctl/{pid}/{verb}"),
            5 | 6 if !name.starts_with("ctl") => {
                format!("as/{pid}/{}", name.replace("self", &pid.to_string()))
            }
            7 => "kernel/faults".to_owned(),
            _ => name.to_owned(),
        };
        let text = match path.as_str() {
            "kernel/faults" => format!("exit {pid} after=stat\n"),
            path if path.starts_with("ctl/") && path != "ctl/batch" => words.to_owned(),
            _ => text.to_owned(),
        };
        let at = lab.point.path().join(&path);
        match random(&mut seed, 8) {
            0 => drop(fs::create_dir(lab.point.path().join("cgroup/a"))),
            1 => drop(fs::remove_dir(lab.point.path().join("cgroup/a"))),
            2 => drop(fs::metadata(lab.point.path().join(format!("proc/{pid}")))),
            3 if !kept.is_empty() => {
                let number = random(&mut seed, kept.len());
                let _ = kept[number].write(text.as_bytes());
            }
            _ => {
                let Ok(mut file) = fs::OpenOptions::new().write(true).open(at) else { continue };
                let _ = file.write(text.as_bytes());
                kept.push(file);
            }
        }
    }
}

/// What several programs at once do by all kinds of files: calls, scripts, writes at positions, through descriptors that
/// stay open, with the eyes of others; directories; faults. Most fail, many do not.
#[test]
fn random_sessions_are_repeated() {
    for seed in 0..4 {
        let Some(lab) = Noted::new(if seed % 2 == 0 { "realtime" } else { "" }) else { return };
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let lab = &lab;
                scope.spawn(move || write_at_random(lab, seed * 10 + writer));
            }
        });
        assert!(lab.lines().len() > 100, "{}", lab.journal());
        lab.assert_repeats();
    }
}

/// A fault that has happened as often as it was to happen does not happen again.
#[test]
fn faults_go_on_counting_where_they_were() {
    let Some(mut lab) = Noted::new("") else { return };
    let read = |lab: &Noted| fs::read(lab.point.path().join("proc/1/comm")).is_ok();
    let text = "EIO read proc/1/comm times=2 after=1\nexit 2 after=stat proc/2\n";
    lab.bash("echo > ctl/1/clone");
    fs::write(lab.point.path().join("kernel/faults"), text).unwrap();
    assert_eq!([read(&lab), read(&lab)], [true, false]);
    lab.bash("stat proc/2");
    let faults = |lab: &Noted| fs::read_to_string(lab.point.path().join("kernel/faults")).unwrap();
    let before = faults(&lab);
    assert_eq!(before, "EIO read proc/1/comm times=2 after=1 hits=1\nexit 2 after=stat proc/2 hits=1\n");
    lab.assert_repeats();
    for rest in [[false, true], [true, true]] {
        let again = Lab::new(Kernel::boot());
        run_boot_file(&mut Booting(&again), &lab.file()).unwrap();
        let file = lab.file();
        let dir = lab.unmount();
        let journal = Journal::resume(Journal::claim(&file).unwrap(), Sync::Kernel).unwrap();
        lab = Noted::mount(dir, again.with_journal(Some(journal)), "");
        assert_eq!([read(&lab), read(&lab)], rest);
    }
}

/// A byte that is written may take four in the journal, and a line of it be longer than one of a script.
#[test]
fn long_writes_of_odd_bytes_are_repeated() {
    let Some(lab) = Noted::new("") else { return };
    lab.bash("echo > ctl/1/clone; echo newuser > ctl/1/clone; mkdir cgroup/x");
    let files =
        ["proc/1/comm", "proc/3/uid_map", "proc/sys/fs/mqueue/msg_max", "cgroup/x/cgroup.procs", "kernel/faults"];
    // Most refuse it; that is noted as well.
    for path in files {
        let _ = fs::write(lab.point.path().join(path), vec![1; 270_000]);
    }
    let _ = fs::write(lab.point.path().join("proc/sys/kernel/hostname"), vec![0; 1 << 20]);
    let _ = fs::write(lab.point.path().join("ctl/batch"), [&b"1 exec "[..], &[1; 270_000], b"\n"].concat());
    let long = lab.lines().iter().filter(|line| line.len() > 1 << 20).count();
    assert!(long >= files.len(), "{long}");
    lab.assert_repeats();
    load(&lab.file()).unwrap();
}

/// Whoever may read can do so as often as he likes.
#[test]
fn readers_who_meet_faults_fill_no_journal() {
    let Some(lab) = Noted::new("") else { return };
    lab.bash("echo > ctl/1/clone");
    let at = |path: &str| lab.point.path().join(path);
    fs::write(
        at("kernel/faults"),
        "EIO read proc/2/status\nEIO stat proc/2/comm times=3\nEIO open proc/2/stat after=50\n",
    )
    .unwrap();
    let before = lab.lines().len();
    for _ in 0..100 {
        fs::read(at("proc/2/status")).unwrap_err();
        let _ = (fs::metadata(at("proc/2/comm")), fs::read(at("proc/2/stat")));
    }
    let noted = lab.lines();
    // One is over.
    assert_eq!(noted.len(), before + 1, "{noted:?}");
    lab.bash("echo > ctl/2/setsid; echo > ctl/2/setsid; cat proc/2/status");
    let lines = lab.lines();
    assert_eq!(lines.len(), before + 4, "{lines:?}");
    let faults = fs::read_to_string(at("kernel/faults")).unwrap();
    let (file, dir) = (lab.file(), lab.unmount());
    // What was counted after the last call is noted when the lab is unmounted.
    while Journal::claim(&file).is_err() {}
    let again = Lab::new(Kernel::boot());
    run_boot_file(&mut Booting(&again), &file).unwrap();
    assert_eq!(again.faults.text(), faults);
    drop(dir);
}
