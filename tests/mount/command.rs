//! What the command does and says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nslab::errno::Errno;
use nslab::fuse::is_lab;
use tempfile::TempDir;

use super::needs::has;
use super::{bash, lab};

pub fn nslab(args: &[&str]) -> Output {
    Command::new("timeout").arg("30").arg(env!("CARGO_BIN_EXE_nslab")).args(args).output().unwrap()
}

/// Exit code and standard error, the temporary directory called DIR in it.
pub fn refused(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = nslab(args);
    let message = String::from_utf8(output.stderr).unwrap().replace(dir.to_str().unwrap(), "DIR");
    (output.status.code(), message)
}

pub fn temporary() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

/// `nslab mount -f`, mounted.
fn foreground(dir: &str) -> Child {
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_nslab")).args(["mount", "-f", dir]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("mounted on {dir}\n"));
    child
}

pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn mount_returns_when_the_lab_is_there() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let output = nslab(&["mount", &path]);
    assert!(output.status.success(), "{output:?}");
    assert!(dir.path().join("proc/1/ns/net").exists());
    assert_eq!(refused(dir.path(), &["mount", &path]).0, Some(1));
    assert!(nslab(&["umount", &path]).status.success());
    assert!(!is_lab(dir.path()));
}

#[test]
fn file_trees_of_tasks_are_read_only_from_outside() {
    let Some(lab) = lab() else { return };
    lab.call(1, "mkdir /tmp/d").unwrap();
    lab.call(1, "touch /tmp/d/f").unwrap();
    lab.call(1, "symlink f /tmp/d/l").unwrap();
    assert_eq!(lab.call(1, "bind unix /tmp/d/s").unwrap(), "0");
    assert_eq!(
        bash(&lab, "ls -F root/tmp/d; cat root/tmp/d/l; stat -c '%F %s %Y' root/tmp/d/s"),
        "f\nl@\ns=\nsocket 0 0\n"
    );
    let refused = "for call in 'touch root/tmp/x' 'mkdir root/tmp/x' 'rmdir root/tmp/d' 'rm root/tmp/d/f' \
                   'ln -s a root/tmp/x' 'mv root/tmp/d/f root/tmp/x' 'mkdir root/sys/fs/cgroup/x' \
                   'eval echo 1 > root/tmp/d/f' 'eval echo x > as/1/root/proc/sys/kernel/hostname'; do
                       eval \"$call\" 2>&1 | grep -o 'Read-only file system'
                   done";
    assert_eq!(bash(&lab, refused), "Read-only file system\n".repeat(9));
    assert_eq!(bash(&lab, "ls root/tmp; cat root/proc/sys/kernel/hostname"), "d\nnslab\n");
}

/// The mount holds nothing: a file that is open outside may go.
#[test]
fn what_is_removed_while_a_program_has_it_open_is_gone() {
    let Some(lab) = lab() else { return };
    lab.call(1, "touch /tmp/f").unwrap();
    lab.call(1, "mkdir cgroup/a").unwrap();
    let script = "exec 3<root/tmp/f; echo /tmp/f > ctl/1/unlink; cat <&3 2>&1 | grep -o 'No such file or directory'
                  cd cgroup/a; echo cgroup/a > ../../ctl/1/rmdir; mkdir x 2>&1 | grep -o 'No such file or directory'";
    assert_eq!(bash(&lab, script), "No such file or directory\n".repeat(2));
    lab.call(1, "mkdir cgroup/a").unwrap();
}

#[test]
fn the_clock_goes_only_in_real_time() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    assert!(nslab(&["mount", "-o", "realtime", &path]).status.success());
    let uptime = || fs::read_to_string(dir.path().join("proc/uptime")).unwrap();
    let first = uptime();
    thread::sleep(std::time::Duration::from_millis(20));
    assert_ne!(uptime(), first);
    fs::write(dir.path().join("ctl/1/clock"), "+1000s\n").unwrap();
    assert!(uptime().split('.').next().unwrap().parse::<u64>().unwrap() >= 1000);
    assert!(nslab(&["umount", &path]).status.success());
}

#[test]
fn mount_8_finds_its_helper() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let (helper, point) = (dir.path().join("mount.nslab"), format!("{path}/m"));
    fs::create_dir(&point).unwrap();
    symlink(env!("CARGO_BIN_EXE_nslab"), &helper).unwrap();
    let mount = |options: &[&str]| Command::new(&helper).args(["none", &point]).args(options).output().unwrap();
    assert!(mount(&["-f", "-o", "rw"]).status.success());
    assert!(!is_lab(Path::new(&point)));
    assert!(mount(&["-n", "-v", "-o", "rw,noatime,nofail", "-t", "nslab"]).status.success());
    assert!(Path::new(&point).join("proc/1").exists());
    assert!(nslab(&["umount", &point]).status.success());
}

#[test]
fn there_are_at_most_so_many_tasks() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    assert!(nslab(&["mount", "--max-tasks", "2", &path]).status.success());
    let clone = dir.path().join("ctl/1/clone");
    fs::write(&clone, "\n").unwrap();
    assert_eq!(fs::write(&clone, "\n").unwrap_err().raw_os_error(), Some(Errno::EAGAIN as i32));
    assert!(nslab(&["umount", &path]).status.success());
}

#[test]
fn the_daemon_keeps_nothing_of_its_caller() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let lock = dir.path().with_extension("lock");
    let script = format!(
        "exec 9>{lock}; out=$({nslab} mount {path} 2>&1 9>&9); {nslab} umount --lazy {path}; echo \"[$out]\"",
        lock = lock.display(),
        nslab = env!("CARGO_BIN_EXE_nslab"),
    );
    let output = Command::new("timeout").args(["30", "bash", "-c", &script]).output().unwrap();
    assert_eq!(output.stdout, b"[]\n", "{output:?}");
    fs::remove_file(lock).unwrap();
}

#[test]
fn each_bad_mountpoint_is_one_clear_line() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let at = |name: &str| format!("{path}/{name}");
    fs::write(at("file"), "x").unwrap();
    let missing = "nslab: DIR/missing does not exist: run `mkdir -p DIR/missing`\n";
    assert_eq!(refused(dir.path(), &["mount", &at("missing")]), (Some(1), missing.to_owned()));
    let not_a_directory = "nslab: DIR/file is not a directory: take an empty one, `mkdir` makes it\n";
    assert_eq!(refused(dir.path(), &["mount", &at("file")]), (Some(1), not_a_directory.to_owned()));
    assert_eq!(refused(dir.path(), &["mount", &at("file/x")]).0, Some(1));
    let full = "nslab: DIR is not empty: take an empty directory, or cover this one with `-o nonempty`\n";
    assert_eq!(refused(dir.path(), &["mount", &path]), (Some(1), full.to_owned()));
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "x");
    let no_boot = refused(dir.path(), &["mount", "--boot", &at("no.lab"), &path]);
    let no_script = "nslab: DIR/no.lab: No such file or directory: name a script, such as fixtures/docker.lab\n";
    assert_eq!(no_boot, (Some(1), no_script.to_owned()));
    let no_journal = refused(dir.path(), &["mount", "--journal", &at("missing/journal"), "-o", "nonempty", &path]);
    let no_folder =
        "nslab: DIR/missing/journal: No such file or directory: name a new file in a directory that exists\n";
    assert_eq!(no_journal, (Some(1), no_folder.to_owned()));
    let (code, usage) = refused(dir.path(), &["mount", "-o", "frob", &path]);
    let options = "there is no mount option frob: take allow_other, links=linux, nonempty, realtime, ro, a bound with a \
                   size (max_open_files=N, max_renderings=SIZE, max_listing=N, max_batch=SIZE, max_inodes=N), or one that \
                   mount(8) passes on";
    assert!(code == Some(2) && usage.contains(options) && usage.contains("nslab mount"), "{usage}");
    assert_eq!(refused(dir.path(), &["mount"]).0, Some(2));
    let (code, usage) = refused(dir.path(), &["mount", "-o", "max_open_files=0", &path]);
    let bound = "max_open_files is a number above 0, or one with K, M, G or T behind it, not max_open_files=0";
    assert!(code == Some(2) && usage.contains(bound), "{usage}");
    let (code, usage) = refused(dir.path(), &["mount", &path, "--proc", "/a", "-o", "proc=/b"]);
    assert!(code == Some(2) && usage.contains("proc is given twice, as /a and as /b: give it once"), "{usage}");
    assert!(!is_lab(dir.path()));
}

#[test]
fn a_path_that_is_too_long_is_one_clear_line() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    for long in [format!("{path}/{}", "d/".repeat(2500)), format!("{path}/{}", "n".repeat(300))] {
        let at = |message: &str| {
            (Some(1), format!("nslab: {}{message}\n", long.replace(&path, "DIR").trim_end_matches('/')))
        };
        let too_long = at(": File name too long: take a directory with a shorter path");
        assert_eq!(refused(dir.path(), &["mount", &long]), too_long);
        assert_eq!(refused(dir.path(), &["mount", "--proc", &long]), too_long);
        let file = long.trim_end_matches('/');
        assert_eq!(
            refused(dir.path(), &["mount", "--journal", file, &path]),
            at(": File name too long: name a file with a shorter path")
        );
        for command in ["umount", "doctor"] {
            let (code, message) = refused(dir.path(), &[command, &long]);
            assert!(code == Some(1) && message.starts_with("nslab: no lab is mounted on DIR/"), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }
}

#[test]
fn a_mounted_lab_is_not_mounted_over() {
    let Some(lab) = lab() else { return };
    let path = lab.path().to_str().unwrap();
    let (code, message) = refused(lab.path(), &["mount", path]);
    let expected = "nslab: a lab is mounted on DIR already: use it, or run `nslab umount DIR` first\n";
    assert_eq!((code, message.as_str()), (Some(1), expected));
}

#[test]
fn umount_takes_only_labs() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let (code, message) = refused(dir.path(), &["umount", &path]);
    assert_eq!((code, message.as_str()), (Some(1), "nslab: no lab is mounted on DIR\n"));
    assert_eq!(refused(dir.path(), &["umount", "/proc"]).0, Some(1));
    let missing = refused(dir.path(), &["umount", &format!("{path}/missing")]);
    assert_eq!(missing, (Some(1), "nslab: no lab is mounted on DIR/missing\n".to_owned()));
    assert!(Path::new("/proc/self").exists());
}

#[test]
fn a_lab_in_use_is_unmounted_only_lazily() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = foreground(&path);
    let file = fs::File::open(dir.path().join("proc/1/comm")).unwrap();
    let (code, message) = refused(dir.path(), &["umount", &path]);
    assert_eq!(code, Some(1));
    assert!(message.starts_with("nslab: DIR is in use"), "{message}");
    assert!(nslab(&["umount", "--lazy", &path]).status.success());
    assert_eq!(std::io::read_to_string(&file).unwrap(), "init\n");
    drop(file);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn signals_unmount() {
    if !has(&["fuse"]) {
        return;
    }
    for told in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (dir, path) = temporary();
        let mut daemon = foreground(&path);
        signal(&daemon, told);
        assert!(daemon.wait().unwrap().success(), "{told}");
        assert!(!is_lab(dir.path()), "{told}");
    }
}

#[test]
fn a_second_signal_ends_a_lab_in_use() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let mut daemon = foreground(&path);
    let file = fs::File::open(dir.path().join("proc/1/comm")).unwrap();
    signal(&daemon, Signal::SIGTERM);
    while is_lab(dir.path()) {
        thread::yield_now();
    }
    signal(&daemon, Signal::SIGINT);
    assert_eq!(daemon.wait().unwrap().code(), Some(130));
    assert_eq!(std::io::read_to_string(&file).unwrap_err().raw_os_error(), Some(Errno::ENOTCONN as i32));
}

#[test]
fn what_a_killed_daemon_leaves_can_be_unmounted_or_mounted_over() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    for _ in 0..2 {
        let mut daemon = foreground(&path);
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        assert_eq!(fs::metadata(&path).unwrap_err().raw_os_error(), Some(Errno::ENOTCONN as i32));
    }
    assert!(nslab(&["umount", &path]).status.success());
    assert!(!is_lab(dir.path()));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_lab_booted_from_a_journal_is_in_the_same_state() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, path) = temporary();
    let [boot, journal, point] = ["boot.lab", "journal.lab", "m"].map(|name| format!("{path}/{name}"));
    fs::write(&boot, "c = 1 clone newnet\n$c setuid 1000\n").unwrap();
    let refused = refused(dir.path(), &["mount", "--journal", &journal, &point]);
    assert!(refused.0 == Some(1) && !Path::new(&journal).exists(), "{refused:?}");
    fs::create_dir(&point).unwrap();
    let state = || {
        let script = format!("cd {point}; ls -l proc/*/ns; cat proc/*/status proc/*/uid_map kernel/ns/user/*/count");
        Command::new("timeout").args(["30", "bash", "-c", &script]).output().unwrap().stdout
    };
    assert!(nslab(&["mount", "--boot", &boot, "--journal", &journal, &point]).status.success());
    let script = format!(
        "cd {point}; echo net > ctl/2/unshare; echo newuser > ctl/2/clone; echo newpid,newuser > ctl/1/clone
        printf '0 1 2\n10 20 3\n' > proc/4/uid_map; printf 'a$b #c' > as/4/proc/self/comm
        printf 'c = 1 clone\n$c prctl name \"x y\"\n$c exit 3\n! EPERM 2 setuid 0\n' > ctl/batch"
    );
    Command::new("timeout").args(["30", "bash", "-c", &script]).output().unwrap();
    let before = state();
    assert!(nslab(&["umount", &point]).status.success());
    let noted = fs::read_to_string(&journal).unwrap();
    let lines: Vec<_> = noted.lines().skip(2).map(|line| line.rsplit_once(" #").unwrap().0).collect();
    let first = ["= 2 1 clone newnet", "= 0 2 setuid 1000", "! EPERM 2 unshare net", "= 3 2 clone newuser"];
    assert_eq!(lines[..4], first, "{noted}");
    fs::remove_file(&boot).unwrap();
    let output = nslab(&["mount", "--boot", &journal, &point]);
    assert!(output.status.success(), "{output:?}\n{noted}");
    let after = state();
    assert!(nslab(&["umount", &point]).status.success());
    assert!(before.len() > 1000);
    assert_eq!(String::from_utf8(after).unwrap(), String::from_utf8(before).unwrap(), "{noted}");
}

#[test]
fn the_doctor_finds_a_machine_that_mounts_in_order() {
    if !has(&["fuse"]) {
        return;
    }
    let output = nslab(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("a lab was mounted and unmounted"), "{text}");
}
