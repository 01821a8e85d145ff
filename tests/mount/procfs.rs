//! `proc` as a mount of its own, beside the lab and alone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nslab::errno::Errno;
use nslab::fuse::is_lab;
use serde_json::Value;
use tempfile::TempDir;

use super::needs::has;
use super::{bash, lab};

const NSLAB: &str = env!("CARGO_BIN_EXE_nslab");

fn nslab(args: &[&str]) -> Output {
    Command::new("timeout").args(["30", NSLAB]).args(args).output().unwrap()
}

fn succeeds(args: &[&str]) {
    let output = nslab(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

/// Directories for a lab and for its `proc`.
fn directories() -> (TempDir, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let [lab, proc] = ["lab", "proc"].map(|name| fs::canonicalize(dir.path()).unwrap().join(name));
    for dir in [&lab, &proc] {
        fs::create_dir(dir).unwrap();
    }
    let words = |path: &Path| path.to_str().unwrap().to_owned();
    (dir, words(&lab), words(&proc))
}

/// `nslab mount -f`, which has said `lines`.
fn foreground(args: &[&str], lines: &[String]) -> Child {
    let mut child = Command::new(NSLAB).args(["mount", "-f"]).args(args).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().take(lines.len());
    assert_eq!(said.map(Result::unwrap).collect::<Vec<_>>(), lines);
    child
}

fn rows() -> Vec<Value> {
    serde_json::from_slice(&nslab(&["list", "--json"]).stdout).unwrap()
}

fn remark(dir: &str) -> Option<String> {
    let row = rows().into_iter().find(|row| row["directory"] == dir)?;
    Some(row["remark"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn it_is_a_mount_point_with_the_texts_of_linux() {
    let Some(lab) = lab() else { return };
    let procfs = lab.procfs().unwrap();
    lab.call(1, "clone newnet,newuts").unwrap();
    lab.call(2, "chdir /run").unwrap();
    if has(&["python3"]) {
        let script = "import os, sys; print([os.path.ismount(p) for p in sys.argv[1:]])";
        let output = Command::new("python3").args(["-c", script]).args([procfs.path(), &lab.at("proc")]).output();
        assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), "[True, False]\n");
    }
    let top = fs::metadata(procfs.path()).unwrap();
    assert_eq!(top.ino(), fs::metadata("/proc").unwrap().ino());
    assert_ne!(top.dev(), fs::metadata(lab.path()).unwrap().dev());
    let link = |file: &str| fs::read_link(procfs.at(file)).unwrap().to_str().unwrap().to_owned();
    assert_eq!(["self", "2/root", "2/cwd", "2/exe"].map(link), ["1", "/", "/run", "/bin/init"]);
    let names = |dir: &Path| {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(procfs.path()), names(&lab.at("proc")));
    for file in ["2/ns/net", "2/ns/uts", "1/ns/pid"] {
        let inside = format!("proc/{file}");
        assert_eq!(Path::new(&link(file)), lab.read_link(&inside).unwrap());
        assert_eq!(fs::metadata(procfs.at(file)).unwrap().ino(), fs::metadata(lab.at(&inside)).unwrap().ino());
    }
    assert_eq!(fs::read_to_string(procfs.at("2/status")).unwrap(), lab.read("proc/2/status").unwrap());
    assert!(!procfs.at("ctl").exists());
}

/// Whatever the host's kernel has cached through one mount, a change that is made through the other is seen at once.
#[test]
fn a_change_is_seen_through_both_mounts() {
    let Some(lab) = lab() else { return };
    let procfs = lab.procfs().unwrap();
    let both = |file: &str| [lab.at(format!("proc/{file}")), procfs.at(file)];
    for turn in 0..50 {
        lab.call(1, "clone newuts").unwrap();
        let task = 2 + turn;
        let texts = |file: &str| both(&format!("{task}/{file}")).map(|path| fs::read_to_string(path).unwrap());
        let links = || both(&format!("{task}/ns/uts")).map(|path| fs::read_link(path).unwrap());
        let first = links();
        assert_eq!(first[0], first[1]);
        lab.call(task, "unshare newuts").unwrap();
        let second = links();
        assert!(second[0] == second[1] && second[0] != first[0], "{first:?} {second:?}");
        assert_eq!(texts("comm"), ["init\n"; 2]);
        lab.call(task, "exec web").unwrap();
        assert_eq!(texts("comm"), ["web\n"; 2]);
        let hostnames = || both("sys/kernel/hostname").map(|path| fs::read_to_string(path).unwrap());
        for (by, name) in both("sys/kernel/hostname").iter().zip(["lab", "procfs"]) {
            fs::write(by, name).unwrap();
            assert_eq!(hostnames(), [format!("{name}\n"), format!("{name}\n")]);
        }
        lab.call(task, "setuid 1000").unwrap();
        assert_eq!(both(&task.to_string()).map(|path| fs::metadata(path).unwrap().uid()), [1000; 2]);
        lab.call(task, "exit 0").unwrap();
        lab.call(1, "wait").unwrap();
        assert_eq!(both(&task.to_string()).map(|path| path.exists()), [false; 2]);
    }
}

#[test]
fn poll_wakes_through_both_mounts() {
    let Some(lab) = lab() else { return };
    let procfs = lab.procfs().unwrap();
    for path in [lab.at("proc/1/mountinfo"), procfs.at("1/mountinfo")] {
        let file = File::open(path).unwrap();
        let polled = |timeout: u16| {
            let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            poll(&mut waiting, timeout).unwrap();
            waiting[0].revents().unwrap()
        };
        assert_eq!(polled(0), PollFlags::empty());
        thread::scope(|threads| {
            let waiting = threads.spawn(|| polled(10_000));
            lab.call(1, "mount tmpfs t /w").unwrap();
            assert_eq!(waiting.join().unwrap(), PollFlags::POLLERR | PollFlags::POLLPRI);
        });
    }
}

#[test]
fn faults_and_viewers_are_those_of_the_lab() {
    let Some(lab) = lab() else { return };
    let procfs = lab.procfs().unwrap();
    lab.call(1, "clone newpid").unwrap();
    let status = procfs.at("1/status");
    assert!(fs::read(&status).is_ok());
    fs::write(lab.at("kernel/faults"), "EIO open proc/1/status\n").unwrap();
    assert_eq!(fs::read(&status).unwrap_err().raw_os_error(), Some(Errno::EIO as i32));
    fs::write(lab.at("kernel/faults"), "clear\n").unwrap();
    assert!(fs::read(&status).is_ok());
    let script = format!(
        "cd {0}; readlink self; ls -d [0-9]*; echo $$ > {1}/ctl/2/attach; readlink self; ls -d [0-9]*; cat 1/comm; \
         ls -d 2 2>/dev/null; ls -d {1}/proc/[0-9]* | wc -l; cat self/status | grep NSpid",
        procfs.path().display(),
        lab.path().display()
    );
    assert_eq!(bash(&lab, &script), "1\n1\n2\n1\n1\ninit\n1\nNSpid:\t1\n");
    // Others see what init sees.
    assert!(procfs.at("2").exists());
}

#[test]
fn it_goes_with_the_lab_and_the_lab_stays_without_it() {
    if !has(&["fuse"]) {
        return;
    }
    let (_dir, lab, proc) = directories();
    let said = [format!("mounted on {lab}"), format!("mounted on {proc}")];
    let mut daemon = foreground(&[&lab, "--proc", &proc], &said);
    assert_eq!(remark(&proc), Some(format!("proc of the lab on {lab}")));
    assert_eq!(remark(&lab), Some(String::new()));
    let again = nslab(&["mount", "--proc", &proc]);
    assert!(!again.status.success(), "{again:?}");
    succeeds(&["umount", &proc]);
    assert_eq!((is_lab(Path::new(&proc)), is_lab(Path::new(&lab))), (false, true));
    // Its process lets go of it when the host's kernel has told it that the mount is gone.
    while remark(&proc).is_some() {
        thread::yield_now();
    }
    assert_eq!(fs::read_to_string(format!("{lab}/proc/1/comm")).unwrap(), "init\n");
    succeeds(&["umount", &lab]);
    assert!(daemon.wait().unwrap().success());

    // It then lives on for those who use it.
    let mut daemon = foreground(&[&lab, "--proc", &proc], &said);
    let open = File::open(format!("{proc}/1/mountinfo")).unwrap();
    succeeds(&["umount", &lab]);
    assert_eq!([&lab, &proc].map(|dir| is_lab(Path::new(dir))), [false; 2]);
    assert!(std::io::read_to_string(&open).unwrap().contains(" / / "));
    assert!(daemon.try_wait().unwrap().is_none());
    drop(open);
    assert!(daemon.wait().unwrap().success());

    let mut daemon = foreground(&[&lab, "--proc", &proc], &said);
    kill(Pid::from_raw(daemon.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    assert_eq!([&lab, &proc].map(|dir| is_lab(Path::new(dir))), [false; 2]);
}

/// Nobody tells the lab that a file is closed which was open when the connection ended.
#[test]
fn what_was_open_when_it_was_aborted_is_closed() {
    let Some(lab) = lab() else { return };
    let procfs = lab.procfs().unwrap();
    let open: Vec<File> = ["1/status", "1/mountinfo", "1/ns"].map(|file| File::open(procfs.at(file)).unwrap()).into();
    assert_eq!(lab.gauge().open_files(), 3);
    nslab::fuse::unmount(procfs.path(), nslab::fuse::Users::Abort).unwrap();
    assert!(std::io::read_to_string(&open[1]).is_err());
    let is_closed = |_: &u32| {
        thread::sleep(Duration::from_millis(10));
        lab.gauge().open_files() == 0
    };
    assert!((0..3000).find(is_closed).is_some(), "{} files are open", lab.gauge().open_files());
    assert_eq!(lab.call(1, "clone").unwrap(), "2");
    assert_eq!(lab.read("proc/2/comm").unwrap(), "init\n");
}

#[test]
fn a_daemon_that_is_killed_leaves_what_can_be_taken_off() {
    if !has(&["fuse"]) {
        return;
    }
    let (_dir, lab, proc) = directories();
    let said = [format!("mounted on {lab}"), format!("mounted on {proc}")];
    let mut daemon = foreground(&[&lab, "--proc", &proc], &said);
    let _open = File::open(format!("{proc}/1/status")).unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    for dir in [&lab, &proc] {
        assert_eq!(remark(dir), Some(format!("`nslab umount {dir}` takes it off")));
        succeeds(&["umount", dir]);
        assert!(!is_lab(Path::new(dir)));
    }
}

/// The rest of that lab is nowhere; what can be written below `proc` can be written.
#[test]
fn alone_it_is_a_lab_of_its_own() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, _, proc) = directories();
    let [boot, journal] = ["a.lab", "journal.lab"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    fs::write(&boot, "1 clone newuts\n").unwrap();
    succeeds(&["mount", "--proc", &proc, "--boot", &boot, "--journal", &journal]);
    let at = |file: &str| format!("{proc}/{file}");
    assert_eq!(fs::read_link(at("2/root")).unwrap(), Path::new("/"));
    fs::write(at("1/comm"), "web").unwrap();
    fs::write(at("sys/kernel/hostname"), "alone").unwrap();
    assert_eq!(fs::read_to_string(at("1/comm")).unwrap(), "web\n");
    assert!(!Path::new(&at("ctl")).exists());
    assert_eq!(remark(&proc).unwrap(), "proc of a lab that is nowhere else");
    succeeds(&["umount", &proc]);
    assert!(!is_lab(Path::new(&proc)));
    let journal_text = fs::read_to_string(&journal).unwrap();
    assert!(journal_text.contains("write proc/1/comm") && journal_text.contains("proc/sys/kernel/hostname"));
    succeeds(&["mount", "--proc", &proc, "--journal", &journal, "--resume"]);
    assert_eq!(fs::read_to_string(at("1/comm")).unwrap(), "web\n");
    assert_eq!(fs::read_to_string(at("sys/kernel/hostname")).unwrap(), "alone\n");
    succeeds(&["umount", &proc]);
    assert!(!is_lab(Path::new(&proc)));
}

/// A lab that nobody serves yet would keep waiting whoever looks for a place in it.
#[test]
fn it_is_not_mounted_inside_its_lab() {
    if !has(&["fuse"]) {
        return;
    }
    let (dir, lab, _) = directories();
    fs::create_dir(format!("{lab}/inside")).unwrap();
    for proc in [lab.clone(), format!("{lab}/inside"), format!("{lab}/..")] {
        let output = nslab(&["mount", "-o", "nonempty", &lab, "--proc", &proc]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && message.contains("one below the other"), "{proc}: {output:?}");
        assert!(!is_lab(Path::new(&lab)));
    }
    fs::remove_dir(format!("{lab}/inside")).unwrap();
    let journal = dir.path().join("journal.lab");
    let output = nslab(&["mount", &lab, "--proc", "/missing", "--journal", journal.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/missing does not exist"), "{output:?}");
    assert!(!is_lab(Path::new(&lab)) && !journal.exists());
    assert_eq!(nslab(&["mount"]).status.code(), Some(2));
}

/// A script run by nobody, after `command`; the device is a copy of the machine's, which everybody may open, as distributions
/// have it.
fn by_nobody(command: &str, script: &str) -> Output {
    let private = format!(
        "mount -t tmpfs dev /dev && mknod -m 666 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3 || exit; \
         exec setpriv --reuid=65534 --regid=65534 --clear-groups {command} bash -c \"$0\""
    );
    Command::new("timeout").args(["60", "unshare", "-m", "sh", "-c", &private, script]).output().unwrap()
}

#[test]
fn users_without_privilege_have_it_too() {
    if !has(&["fuse", "root", "fusermount3", "unshare", "setpriv"]) {
        return;
    }
    let (dir, lab, proc) = directories();
    let program = dir.path().join("nslab");
    fs::copy(NSLAB, &program).unwrap();
    for path in [dir.path(), Path::new(&lab), Path::new(&proc)] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
    let script = format!(
        "set -e; cd {0}; ./nslab mount lab --proc proc; cat proc/1/comm; echo web > ctl 2>/dev/null || :; \
         echo newuts > lab/ctl/1/clone; printf web > proc/1/comm; cat lab/proc/1/comm; ./nslab umount lab; ls lab proc; \
         ./nslab mount --proc proc; cat proc/1/comm; ./nslab umount proc; ls proc",
        dir.path().display()
    );
    let expected = "init\nweb\nlab:\n\nproc:\ninit\n";
    let output = by_nobody("", &script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    // There it may cover /proc, by which a daemon takes off what it has mounted.
    let script = format!(
        "{script}; ./nslab mount lab --proc /proc -o nonempty; cat /proc/1/comm; umount /proc; ./nslab umount lab; \
         ./nslab mount -f lab --proc /proc -o nonempty & until [ -e lab/ctl ]; do :; done; kill $!; wait $!; ls lab; \
         grep -c -e {lab} -e ' /proc fuse.nslab' /proc/self/mounts || :"
    );
    let expected = format!("{expected}init\nmounted on {lab}\nmounted on /proc\n0\n");
    let output = by_nobody("unshare -Urm", &script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
}

/// Its directory stands for the lab, where that is mounted too.
#[test]
fn pictures_are_those_of_the_lab() {
    if !has(&["fuse"]) {
        return;
    }
    let (_dir, lab, proc) = directories();
    succeeds(&["mount", &lab, "--proc", &proc]);
    for picture in ["ps", "tree", "graph", "trace"] {
        let [of_lab, of_proc] = [&lab, &proc].map(|dir| nslab(&[picture, dir]));
        assert!(of_proc.status.success(), "{of_proc:?}");
        assert_eq!(of_proc.stdout, of_lab.stdout, "{picture}");
    }
    succeeds(&["umount", &lab]);
    succeeds(&["mount", "--proc", &proc]);
    let output = nslab(&["ps", &proc]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && message.contains("only proc of this lab is mounted"), "{message}");
    succeeds(&["umount", &proc]);
}

/// In namespaces of its own, where there are no labs of others: it takes off and ends all that it finds.
#[test]
fn all_are_taken_off_a_busy_one_with_its_lab() {
    if !has(&["fuse", "root", "unshare"]) {
        return;
    }
    let (dir, lab, proc) = directories();
    let script = format!(
        "grep fuse.nslab /proc/self/mountinfo | cut -d' ' -f5 | xargs -r umount -l; {NSLAB} mount {lab} --proc {proc}; \
         exec 3<{proc}/1/mountinfo; {NSLAB} umount --all; echo $?; cat <&3 | grep -c ' / / '; ls {lab} {proc}; \
         exec 3<&-; {NSLAB} mount {lab} --proc {proc}; cd {lab}; {NSLAB} umount --all 2>&1; echo $?; cd /; \
         {NSLAB} umount --all; echo $?"
    );
    let mut command = Command::new("timeout");
    command.args(["60", "unshare", "-m", "-p", "-f", "--mount-proc", "bash", "-c", &script]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace(&dir.path().display().to_string(), "DIR");
    let busy = "nslab: DIR/lab is in use (a working directory or an open file): close it, or run `nslab umount --lazy \
                DIR/lab` or `--force`";
    assert_eq!(said, format!("0\n1\nDIR/lab:\n\nDIR/proc:\n{busy}\n1\n0\n"), "{output:?}");
}

/// Who cannot see what is mounted says so, and how to see it again.
#[test]
fn over_the_hosts_it_is_taken_off_first() {
    if !has(&["fuse", "root", "unshare"]) {
        return;
    }
    let (_dir, lab, _) = directories();
    let script = format!(
        "{NSLAB} mount {lab} --proc /proc -o nonempty; cat /proc/1/comm; {NSLAB} umount {lab} 2>&1; {NSLAB} list 2>&1; \
         {NSLAB} umount /proc && [ -e /proc/self/mountinfo ] && grep -c {lab} /proc/self/mounts; {NSLAB} umount {lab}; \
         ls {lab}"
    );
    let output = Command::new("timeout").args(["60", "unshare", "-m", "bash", "-c", &script]).output().unwrap();
    let covered = "nslab: a lab lies over /proc, so mounts are hidden here: run `nslab umount /proc` first\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("init\n{covered}{covered}1\n"), "{output:?}");
}
