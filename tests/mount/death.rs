//! What becomes of a lab whose daemon is stopped, killed or out of reach, and of those who use it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nslab::errno::Errno;
use nslab::fuse::{self, Health, Options, is_lab};
use nslab::host::Lab;
use nslab::kernel::Kernel;
use nslab::script::Setup;
use serde_json::Value;
use tempfile::TempDir;

use super::needs::has;

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");

/// As much time as unmounting may take; `timeout` makes 124 of more. Machines that run tests are busy.
const MOMENT: &str = "20";

fn nslab(args: &[&str]) -> Output {
    Command::new("timeout").args([MOMENT, NSLAB]).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory, and its path in words.
fn temporary() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap().to_str().unwrap().to_owned();
    (dir, path)
}

/// A lab served by a child of ours.
struct Daemon {
    child: Child,
    path: String,
}

impl Daemon {
    fn mount(path: &str) -> Daemon {
        let mut child = Command::new(NSLAB).args(["mount", "-f", path]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("mounted on {path}\n"));
        Daemon { child, path: path.to_owned() }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Stops it, and waits until it has.
    fn stop(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        while !fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap().contains(") T ") {
            thread::yield_now();
        }
    }

    /// Its row in the list of labs.
    fn row(&self) -> Value {
        list().into_iter().find(|lab| lab["directory"] == self.path).unwrap()
    }
}

impl Drop for Daemon {
    /// What a test has not seen to the end is taken off.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            nslab(&["umount", &self.path]);
        }
    }
}

fn list() -> Vec<Value> {
    let output = nslab(&["list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
}

/// A program that reads in the lab; `timeout` ends it only if it can be killed.
fn reader(script: &str) -> Child {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60", "bash", "-c", script]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_lab_whose_daemon_is_stopped_can_be_unmounted_and_its_users_go_on() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = Daemon::mount(&path);
    daemon.stop();
    assert_eq!(daemon.row()["state"], "stopped");
    let waiting = reader(&format!("cd {path}/proc/1 && cat comm"));
    let refused = nslab(&["mount", &path]);
    let advice = format!("kill -CONT {}", daemon.pid());
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains(&advice), "{refused:?}");
    let unmounted = nslab(&["umount", &path]);
    assert!(unmounted.status.success(), "{unmounted:?}");
    assert!(!is_lab(dir.path()));
    // Either it was on its way into the lab or there was none any more.
    assert!(!waiting.wait_with_output().unwrap().status.success());
    // It was let go on, to end.
    assert!(daemon.child.wait().unwrap().success());
    assert!(nslab(&["mount", &path]).status.success());
    assert!(nslab(&["umount", &path]).status.success());
}

#[test]
fn a_daemon_killed_at_work_leaves_a_mount_that_can_be_removed() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    for round in 0..10 {
        let mut daemon = Daemon::mount(&path);
        let busy = [
            format!("cd {path}; while echo newuts > ctl/1/unshare; do :; done 2>/dev/null"),
            format!("cd {path}; while ls -lR proc ctl > /dev/null; do :; done 2>/dev/null"),
            format!("cd {path}; while cat kernel/tree; do :; done 2>/dev/null"),
        ];
        let readers: Vec<Child> = busy.iter().map(|script| reader(script)).collect();
        thread::sleep(Duration::from_millis(50 + 7 * round));
        daemon.child.kill().unwrap();
        // Sometimes mount a new one at once, which takes the dead one off.
        if round % 2 == 0 {
            let unmounted = nslab(&["umount", &path]);
            assert!(unmounted.status.success(), "{unmounted:?}");
            assert!(!is_lab(dir.path()));
        } else {
            let mounted = nslab(&["mount", &path]);
            assert!(mounted.status.success(), "{mounted:?}");
            assert_eq!(fs::read_to_string(dir.path().join("proc/1/comm")).unwrap(), "init\n");
            assert!(nslab(&["umount", &path]).status.success());
        }
        daemon.child.wait().unwrap();
        for reader in readers {
            reader.wait_with_output().unwrap();
        }
    }
}

/// Whatever clients are in the midst of: an open file, a map that was not read yet, a poll without an end, a write.
#[test]
fn those_who_use_a_lab_whose_daemon_is_killed_get_errors() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = Daemon::mount(&path);
    let at = |name: &str| dir.path().join(name);
    let map = "import mmap, sys; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
print('mapped', flush=True); sys.stdin.read(); print(m[0])";
    let mut map = Command::new("python3")
        .args(["-c", map])
        .arg(at("proc/1/status"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(map.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "mapped\n");
    let [mut held, polled] = ["proc/1/comm", "proc/1/mountinfo"].map(|name| fs::File::open(at(name)).unwrap());
    let listed = fs::read_dir(at("ctl")).unwrap();
    let mut written = OpenOptions::new().write(true).open(at("ctl/1/getsid")).unwrap();
    let poll = thread::spawn(move || {
        let mut polled = [PollFd::new(polled.as_fd(), PollFlags::POLLPRI)];
        poll(&mut polled, PollTimeout::NONE).map(|_| polled[0].revents())
    });
    let (began, begun) = mpsc::channel();
    let write = thread::spawn(move || {
        loop {
            written.write_all(b"1\n")?;
            let _ = began.send(());
        }
    });
    begun.recv().unwrap();
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let unmounted = nslab(&["umount", &path]);
    assert!(unmounted.status.success() && !is_lab(dir.path()), "{unmounted:?}");
    let error: io::Result<()> = write.join().unwrap();
    assert!(error.is_err());
    assert_eq!(poll.join().unwrap(), Ok(Some(PollFlags::POLLERR)));
    let mut text = String::new();
    assert_eq!(held.read_to_string(&mut text).unwrap_err().raw_os_error(), Some(Errno::ENOTCONN as i32));
    assert!(listed.last().unwrap().is_err());
    drop(map.stdin.take());
    assert_eq!(map.wait().unwrap().signal(), Some(Signal::SIGBUS as i32));
}

#[test]
fn an_old_daemon_never_takes_off_a_new_lab() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = Daemon::mount(&path);
    for round in 0..200 {
        let unmounted = nslab(&["umount", &path]);
        assert!(unmounted.status.success(), "{round}: {unmounted:?}");
        let next = Daemon::mount(&path);
        assert!(daemon.child.wait().unwrap().success());
        assert!(is_lab(dir.path()), "{round}");
        daemon = next;
    }
}

#[test]
fn a_lab_is_listed_with_who_serves_it() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let [boot, point] = ["boot.lab", "m"].map(|name| format!("{path}/{name}"));
    fs::write(&boot, "1 clone\n").unwrap();
    fs::create_dir(&point).unwrap();
    let mounted = Command::new(NSLAB).current_dir(dir.path()).args(["mount", "--boot", "boot.lab", "m"]).output();
    assert!(mounted.unwrap().status.success());
    let row = || list().into_iter().find(|lab| lab["directory"] == point).unwrap();
    let lab = row();
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!((&lab["state"], &lab["boot"], &lab["uid"]), (&"serving".into(), &boot.into(), &uid.into()), "{lab}");
    assert!(lab["age"].as_u64().unwrap() < 600, "{lab}");
    let pid = lab["pid"].as_i64().unwrap();
    assert!(fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().starts_with("nslab\0mount"));
    let table = String::from_utf8(nslab(&["list"]).stdout).unwrap();
    let line = table.lines().find(|line| line.contains(&point)).unwrap();
    assert!(line.split_whitespace().any(|word| word == pid.to_string()) && line.contains("serving"), "{table}");
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    while Path::new(&format!("/proc/{pid}/exe")).exists() {
        thread::yield_now();
    }
    let dead = row();
    assert_eq!((&dead["state"], &dead["pid"]), (&"dead".into(), &Value::Null), "{dead}");
    let doctor = nslab(&["doctor", &point]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.code() == Some(1) && said.starts_with("dead ") && said.contains("nslab umount"), "{said}");
    assert!(nslab(&["umount", &point]).status.success());
}

#[test]
fn an_internal_error_is_told_by_the_doctor() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mounted = fuse::mount(Lab::new(Kernel::boot()), dir.path(), &Options::default()).unwrap();
    let point = mounted.point().clone();
    let session = thread::spawn(move || mounted.serve());
    let of_lab = || fuse::find_lab(dir.path()).unwrap();
    assert_eq!((of_lab().health, of_lab().pid), (Health::Serving, i32::try_from(std::process::id()).ok()));
    point.breaks("index out of range, at src/x.rs:1:2");
    assert_eq!(of_lab().health, Health::Broken);
    let doctor = nslab(&["doctor", &path]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.code() == Some(1) && said.contains("index out of range, at src/x.rs:1:2"), "{said}");
    // What the daemon does when a thread ends.
    let file = fs::File::open(dir.path().join("proc/1/comm")).unwrap();
    point.abort().unwrap();
    assert!(!is_lab(dir.path()));
    let error = io::read_to_string(&file).unwrap_err().raw_os_error();
    assert!([Errno::ENOTCONN, Errno::ECONNABORTED].map(|errno| Some(errno as i32)).contains(&error), "{error:?}");
    session.join().unwrap().unwrap();
}

/// Nobody sees what a call has left half-made.
#[test]
fn after_an_internal_error_in_a_call_all_get_eio_and_writers_the_reason() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, _) = temporary();
    let mounted = fuse::mount(Lab::new(Kernel::boot()), dir.path(), &Options::default()).unwrap();
    let (point, lab) = (mounted.point().clone(), Arc::clone(mounted.lab()));
    let session = thread::spawn(move || mounted.serve());
    let mut control = OpenOptions::new().read(true).write(true).open(dir.path().join("ctl/1/clone")).unwrap();
    let mut comm = fs::File::open(dir.path().join("proc/1/comm")).unwrap();
    let setup = Setup::Limits { tasks: Some(1), memory: None };
    let half = lab.set(&setup, |_| -> nslab::errno::Result<()> { panic!("provoked by a test") });
    assert_eq!(half.unwrap_err().errno, Errno::EIO);
    let eio = Some(Errno::EIO as i32);
    assert_eq!(comm.read(&mut [0]).unwrap_err().raw_os_error(), eio);
    assert_eq!(control.write(b"\n").unwrap_err().raw_os_error(), eio);
    let reason = io::read_to_string(&control).unwrap();
    assert!(reason.starts_with("EIO: ") && reason.contains("provoked by a test"), "{reason}");
    drop((control, comm));
    point.detach().unwrap();
    session.join().unwrap().unwrap();
}

#[test]
fn a_lab_in_use_is_unmounted_by_force() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = Daemon::mount(&path);
    let file = fs::File::open(dir.path().join("proc/1/comm")).unwrap();
    let refused = nslab(&["umount", &path]);
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("--force"), "{refused:?}");
    assert!(nslab(&["umount", "--force", &path]).status.success());
    assert!(io::read_to_string(&file).is_err());
    assert!(daemon.child.wait().unwrap().success());
}

/// Whether a test that touches all labs runs where there are only its own: root runs it again in new namespaces, as labs of
/// other tests on the machine would be touched, too.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "NSLAB_TEST_IS_ALONE";
    if !nix::unistd::geteuid().is_root() {
        return true;
    }
    if std::env::var_os(ALONE).is_none() {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--pid", "--fork", "--mount-proc"]).arg(std::env::current_exe().unwrap());
        let output = again.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        return false;
    }
    // The new namespace has a copy of each mount; to detach it does nothing to the lab.
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(" fuse.nslab "))
    {
        let copy = line.split(' ').nth(4).unwrap();
        umount2(copy, MntFlags::MNT_DETACH).unwrap_or_else(|error| panic!("{copy}: {error}"));
    }
    true
}

/// Also of those that are out of reach, which `--all` ends.
#[test]
fn a_lab_that_nobody_can_reach_is_told_of_and_ended() {
    if !has(&["fuse", "unshare"]) || !is_alone("death::a_lab_that_nobody_can_reach_is_told_of_and_ended") {
        return;
    }
    let (_dir, path) = temporary();
    let [point, other] = ["m", "n"].map(|name| format!("{path}/{name}"));
    fs::create_dir(&point).unwrap();
    fs::create_dir(&other).unwrap();
    let unreachable = || {
        let own = Command::new("timeout").args([MOMENT, "unshare", "-Urm", NSLAB, "mount", &point]).output().unwrap();
        assert!(own.status.success() && stderr(&own).contains("nobody can see this lab"), "{own:?}");
        let lab = list().into_iter().find(|lab| lab["directory"] == point).unwrap();
        let remark = lab["remark"].as_str().unwrap();
        assert!(remark.contains("nobody can reach it"), "{lab}");
        let doctor = nslab(&["doctor", &point]);
        assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
        assert_eq!(String::from_utf8_lossy(&doctor.stdout), format!("lost     {point}: {remark}\n"));
        lab["pid"].as_i64().unwrap()
    };
    let is_gone = |pid: i64| {
        while Path::new(&format!("/proc/{pid}/exe")).exists() {
            thread::yield_now();
        }
        !list().iter().any(|lab| lab["directory"] == point)
    };
    if !Command::new("unshare").args(["-Urm", "true"]).output().unwrap().status.success() {
        return eprintln!("skipped: no user namespaces here");
    }
    let first = unreachable();
    assert!(!is_lab(Path::new(&point)));
    assert!(nslab(&["umount", &point]).status.success());
    assert!(is_gone(first));
    let second = unreachable();
    // In a mount namespace of its own, so that the labs of others stay.
    let script = format!("{NSLAB} mount {other} 2>&1; {NSLAB} umount --all 2>&1; ls {other}; echo done");
    let all = Command::new("timeout").args([MOMENT, "unshare", "-m", "bash", "-c", &script]).output().unwrap();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(String::from_utf8_lossy(&all.stdout), "done\n", "{all:?}");
        assert!(is_gone(second));
    } else {
        assert!(nslab(&["umount", &point]).status.success());
    }
}

/// It gets no more address space than it has and a little.
#[test]
fn a_daemon_without_memory_says_so_and_unmounts() {
    if !has(&["fuse", "prlimit"]) {
        return;
    }
    // What its threads still take to start, and room for some hundred lines.
    const SPARE: u64 = 256 << 20;
    const WRITE: usize = 200 * 4096;
    let (dir, path) = temporary();
    let mut command = Command::new(NSLAB);
    let mut daemon =
        command.args(["mount", "-f", &path]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    let limit = format!("--as={}", kib * 1024 + SPARE);
    assert!(Command::new("prlimit").args(["--pid", &daemon.id().to_string(), &limit]).status().unwrap().success());
    // Each open file keeps a line that has no end yet.
    let mut kept = Vec::new();
    let error = loop {
        let written = OpenOptions::new().write(true).open(dir.path().join("ctl/batch")).and_then(|mut file| {
            file.write_all(&[b'#'; WRITE])?;
            Ok(file)
        });
        match written {
            Ok(file) => kept.push(file),
            Err(error) => break error,
        }
    };
    assert!(kept.len() < 1000, "{error}");
    drop(kept);
    let output = daemon.wait_with_output().unwrap();
    let said = stderr(&output);
    assert!(
        said.contains("nslab: no memory for ") && said.contains(&format!("the lab on {path} is unmounted")),
        "{said}"
    );
    assert!(!output.status.success() && !is_lab(dir.path()), "{output:?}");
}

/// What to do instead stands in the line.
#[test]
fn what_cannot_be_shown_says_why() {
    if !has(&["fuse"]) {
        return;
    }
    let (_dir, path) = temporary();
    let missing = nslab(&["tree", &format!("{path}/missing")]);
    let expected = format!("nslab: {path}/missing: No such file or directory: `nslab list` shows the labs there are\n");
    assert_eq!((missing.status.code(), stderr(&missing)), (Some(1), expected));
    let mut daemon = Daemon::mount(&path);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let dead = nslab(&["tree", &path]);
    assert_eq!(dead.status.code(), Some(1));
    let said = stderr(&dead);
    assert!(
        said.contains("the process of this lab is gone: run `nslab umount") && !said.contains("os error"),
        "{said}"
    );
    assert!(nslab(&["umount", &path]).status.success());
    let none = nslab(&["mount", "--max-tasks", "0", &path]);
    assert!(none.status.code() == Some(2) && stderr(&none).contains("--max-tasks"), "{none:?}");
}

/// Others look at mounts all the time: that is no use that keeps a lab.
#[test]
fn a_lab_that_others_look_at_for_a_moment_is_unmounted() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = Daemon::mount(&path);
    let file = fs::File::open(dir.path().join("proc/1")).unwrap();
    let unmounting = thread::spawn({
        let path = path.clone();
        move || nslab(&["umount", &path])
    });
    // It has been refused once by now, or will not be.
    thread::sleep(Duration::from_millis(100));
    drop(file);
    let unmounted = unmounting.join().unwrap();
    assert!(unmounted.status.success(), "{unmounted:?}");
    assert!(daemon.child.wait().unwrap().success());
}
