//! Real mounts: what host programs see and do, and what the command says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nslab::errno::Errno;
use nslab::fuse::{is_lab, open_device};
use nslab::testing::Lab;
use tempfile::TempDir;

/// A mounted lab, or `None`, said aloud, where this machine has no FUSE.
fn lab() -> Option<Lab> {
    has_fuse().then(|| Lab::new().unwrap())
}

fn has_fuse() -> bool {
    match open_device() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// Runs a script of `shell` in the lab; nothing a lab does may keep it longer than a moment.
fn run(lab: &Lab, shell: &str, script: &str) -> Output {
    Command::new("timeout").args(["30", shell, "-c", script]).current_dir(lab.path()).output().unwrap()
}

/// The standard output of a bash script that must succeed.
fn bash(lab: &Lab, script: &str) -> String {
    let output = run(lab, "bash", script);
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The standard output of a bash script, however it ends.
fn bash_any(lab: &Lab, script: &str) -> String {
    String::from_utf8(run(lab, "bash", script).stdout).unwrap()
}

/// Whether the program is there; said aloud if not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no {program}");
    }
    found
}

const ENTRIES: [&str; 10] =
    ["net", "ipc", "pid", "pid_for_children", "user", "mnt", "cgroup", "time", "time_for_children", "uts"];

fn inode(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn inum(text: &str) -> u64 {
    text.trim_end_matches(']').rsplit('[').next().unwrap().parse().unwrap()
}

fn link(lab: &Lab, file: &str) -> String {
    lab.read_link(file).unwrap().into_os_string().into_string().unwrap()
}

#[test]
fn the_top_has_the_trees_of_the_lab() {
    let Some(lab) = lab() else { return };
    let names = bash(&lab, "ls");
    for name in ["as", "ctl", "kernel", "proc"] {
        assert!(names.lines().any(|line| line == name), "{names}");
    }
}

#[test]
fn ls_shows_namespaces_as_linux_does() {
    let Some(lab) = lab() else { return };
    let ours = bash(&lab, "ls -l proc/1/ns | sed 's/\\[[0-9]*\\]//; s/[A-Z][a-z][a-z] *[0-9]* *[0-9:]* / DATE /'");
    let linux = bash(&lab, "ls -l /proc/self/ns | sed 's/\\[[0-9]*\\]//; s/[A-Z][a-z][a-z] *[0-9]* *[0-9:]* / DATE /'");
    let modes = |text: &str| text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_once(" -> "))
            .map(|(left, right)| format!("{} {right}", left.rsplit(' ').next().unwrap()))
            .collect()
    };
    assert_eq!(modes(&ours), modes(&linux));
    assert_eq!(names(&ours), names(&linux));
}

#[test]
fn a_namespace_file_has_the_inum_as_inode_number() {
    let Some(lab) = lab() else { return };
    for entry in ENTRIES {
        let path = format!("proc/1/ns/{entry}");
        assert_eq!(inode(lab.at(&path)), inum(&link(&lab, &path)), "{entry}");
    }
}

#[test]
fn files_are_equal_where_namespaces_are_shared() {
    let Some(lab) = lab() else { return };
    let child = lab.call(1, "clone newipc,newpid").unwrap();
    for entry in ENTRIES {
        let script = format!("[ proc/1/ns/{entry} -ef proc/{child}/ns/{entry} ] && echo same || echo differ");
        let expected = if ["ipc", "pid", "pid_for_children"].contains(&entry) { "differ\n" } else { "same\n" };
        assert_eq!(bash(&lab, &script), expected, "{entry}");
        assert_eq!(inode(lab.at(format!("as/1/proc/1/ns/{entry}"))), inode(lab.at(format!("proc/1/ns/{entry}"))));
    }
}

#[test]
fn a_namespace_file_opens_and_cannot_be_read() {
    let Some(lab) = lab() else { return };
    let error = lab.read("proc/1/ns/net").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
    assert!(run(&lab, "bash", "exec 3< proc/1/ns/net").status.success());
    assert!(!run(&lab, "bash", "echo > proc/1/ns/net").status.success());
}

#[test]
fn only_live_namespaces_have_a_file() {
    let Some(lab) = lab() else { return };
    let child = lab.call(1, "clone newnet").unwrap();
    let hidden = format!("proc/1/ns/{}", link(&lab, &format!("proc/{child}/ns/net")));
    assert!(lab.at(&hidden).exists());
    lab.call(child.parse().unwrap(), "exit 0").unwrap();
    lab.call(1, "wait").unwrap();
    assert!(!lab.at(&hidden).exists());
    assert!(!lab.at("proc/1/ns/net:[1]").exists());
}

#[test]
fn an_inum_used_again_is_the_file_of_the_new_namespace() {
    let Some(lab) = lab() else { return };
    lab.call(1, "unshare newipc").unwrap();
    let first = link(&lab, "proc/1/ns/ipc");
    assert_eq!(inode(lab.at("proc/1/ns/ipc")), inum(&first));
    lab.call(1, "unshare newipc").unwrap();
    lab.call(1, "unshare newipc").unwrap();
    assert_eq!(link(&lab, "proc/1/ns/ipc"), first);
    assert_eq!(inode(lab.at("proc/1/ns/ipc")), inum(&first));
    fs::File::open(lab.at("proc/1/ns/ipc")).unwrap();
}

#[test]
fn a_shell_makes_a_call_and_reads_its_result() {
    let Some(lab) = lab() else { return };
    let script = "exec 3<>ctl/1/clone; echo ipc,pid >&3; read p <&3; echo $p; echo >&3; read q <&3; echo $q";
    assert_eq!(bash(&lab, script), "2\n3\n");
    let output = run(&lab, "sh", "exec 3<>ctl/1/clone; echo ipc,pid >&3; read p <&3; echo $p");
    assert_eq!(output.stdout, b"4\n");
}

#[test]
fn a_shell_says_what_linux_says() {
    let Some(lab) = lab() else { return };
    let child = lab.call(1, "clone").unwrap();
    lab.call(child.parse().unwrap(), "setuid 1000").unwrap();
    let output = run(&lab, "bash", &format!("echo net > ctl/{child}/unshare"));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.ends_with("write error: Operation not permitted\n"), "{message}");
    let reason = lab.read(format!("ctl/{child}/unshare")).unwrap();
    assert!(reason.starts_with("EPERM: CAP_SYS_ADMIN missing in user:["), "{reason}");
}

#[test]
fn a_failed_call_gives_its_reason_on_the_same_open_file() {
    let Some(lab) = lab() else { return };
    let script = "exec 3<>ctl/1/unshare; echo frob >&3 2>/dev/null || read -r reason <&3; echo \"$reason\"
        echo newnet >&3; read -r result <&3; echo $result";
    let answer = bash(&lab, script);
    let (reason, result) = answer.split_once('\n').unwrap();
    assert!(reason.starts_with("EINVAL: ") && reason.ends_with("; usage: unshare FLAGS"), "{reason}");
    assert_eq!(result, "0\n");
}

#[test]
fn a_new_open_file_gives_the_last_result() {
    let Some(lab) = lab() else { return };
    assert_eq!(lab.read("ctl/1/clone").unwrap(), "");
    bash(&lab, "echo newnet > ctl/1/clone");
    assert_eq!(lab.read("ctl/1/clone").unwrap(), "2\n");
    assert_eq!(lab.read("ctl/2/clone").unwrap(), "");
    assert!(!run(&lab, "bash", "echo x > ctl/1/clone").status.success());
    assert!(lab.read("ctl/1/clone").unwrap().starts_with("EINVAL: "));
}

#[test]
fn every_way_of_writing_works() {
    let Some(lab) = lab() else { return };
    let ways = [
        "echo newnet > ctl/1/clone",
        "echo newnet >> ctl/1/clone",
        "echo newnet >> ctl/1/clone",
        "printf newnet > ctl/1/clone",
        "echo newnet | tee ctl/1/clone",
        "echo newnet | tee -a ctl/1/clone",
        "echo newnet | dd of=ctl/1/clone",
        "echo newnet | dd of=ctl/1/clone conv=notrunc oflag=append",
        "echo newnet > \"$TMPDIR/line\"; cp \"$TMPDIR/line\" ctl/1/clone",
        ": > ctl/1/clone; truncate -s 0 ctl/1/clone; touch ctl/1/clone; echo > ctl/1/clone",
    ];
    let dir = tempfile::tempdir().unwrap();
    for (way, pid) in ways.iter().zip(2..) {
        bash(&lab, &format!("set -e; export TMPDIR={}; {way}", dir.path().display()));
        assert_eq!(lab.read("ctl/1/clone").unwrap(), format!("{pid}\n"), "{way}");
    }
}

#[test]
fn python_makes_calls_too() {
    let Some(lab) = lab().filter(|_| has("python3")) else { return };
    let script = r#"
with open("ctl/1/clone", "r+") as f:
    f.write("newnet\n"); f.flush()
    print(f.readline(), end="")
    f.seek(0)
    print(f.read(), end="")
try:
    with open("ctl/1/unshare", "r+") as f:
        f.write("frob\n")
except OSError as e:
    print(e.errno)
import os
print(os.path.samefile("proc/1/ns/ipc", "proc/2/ns/ipc"), os.path.samefile("proc/1/ns/net", "proc/2/ns/net"))
"#;
    let output = run(&lab, "python3", script);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2\n2\n22\nTrue False\n", "{:?}", output.stderr);
}

#[test]
fn a_batch_keeps_its_names_and_stops_at_the_first_failure() {
    let Some(lab) = lab() else { return };
    let script = r#"exec 3<>ctl/batch
        printf 'c = 1 clone newnet\n' >&3; read c <&3; echo $c
        printf '$c clone\n= 2 1 getpgid $c\n' >&3
        printf '1 kill 77 0\n' >&3 2>/dev/null || { read -r reason <&3; echo "$reason"; }"#;
    let answer = bash(&lab, script);
    assert!(answer.starts_with("2\n"), "{answer}");
    assert!(answer.contains("EBADMSG") || answer.contains("ESRCH: pid 77"), "{answer}");
    assert!(lab.at("proc/3").exists());
}

#[test]
fn a_long_script_may_be_cut_anywhere_by_a_buffer() {
    let Some(lab) = lab() else { return };
    let lines = 500;
    let script = format!(
        "for i in $(seq {lines}); do echo '1 getpgid 1   # a comment that makes the line long'; done | dd of=ctl/batch bs=4096 iflag=fullblock; echo 'c = 1 clone' | dd of=ctl/batch"
    );
    bash(&lab, &script);
    assert!(lab.at("proc/2").exists());
}

#[test]
fn files_below_proc_are_written_by_the_viewer() {
    let Some(lab) = lab() else { return };
    let child = lab.call(1, "clone newuser").unwrap();
    bash(&lab, &format!("echo 0 1000 1 > proc/{child}/uid_map"));
    assert_eq!(
        lab.read(format!("proc/{child}/uid_map")).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["0", "1000", "1"]
    );
    let output = run(&lab, "bash", &format!("echo 0 1000 1 > proc/{child}/uid_map"));
    assert!(String::from_utf8(output.stderr).unwrap().ends_with("Operation not permitted\n"));
    bash(&lab, "printf abc > proc/1/comm; echo box > proc/sys/kernel/hostname");
    assert_eq!(lab.read("proc/1/comm").unwrap(), "abc\n");
    assert_eq!(lab.read("proc/sys/kernel/hostname").unwrap(), "box\n");
}

#[test]
fn nothing_can_be_made_or_removed() {
    let Some(lab) = lab() else { return };
    let errno = |result: std::io::Result<()>| Errno::from_raw(result.unwrap_err().raw_os_error().unwrap());
    let (comm, new) = (lab.at("proc/1/comm"), lab.at("proc/new"));
    assert_eq!(errno(fs::create_dir(&new)), Errno::ENOENT);
    assert_eq!(errno(fs::write(&new, "")), Errno::ENOENT);
    assert_eq!(errno(symlink("x", &new)), Errno::ENOENT);
    assert_eq!(errno(fs::hard_link(&comm, &new)), Errno::ENOENT);
    assert_eq!(errno(fs::rename(&comm, &new)), Errno::ENOENT);
    assert_eq!(errno(fs::rename(&comm, lab.at("proc/uptime"))), Errno::EPERM);
    assert_eq!(errno(fs::remove_file(&comm)), Errno::EPERM);
    assert_eq!(errno(fs::remove_dir(lab.at("proc/1/ns"))), Errno::EPERM);
    assert_eq!(errno(fs::write(lab.at("ctl/usage"), "x")), Errno::EACCES);
}

#[test]
fn a_cgroup_is_a_directory() {
    let Some(lab) = lab() else { return };
    let script = "
        mkdir -p cgroup/G/a && stat -c %a cgroup/G
        echo > ctl/1/clone && echo 2 > cgroup/G/a/cgroup.procs && cat cgroup/G/a/cgroup.procs proc/2/cgroup
        rmdir cgroup/G/a 2>&1; rmdir cgroup/G 2>&1; mkdir cgroup/G 2>&1; mkdir cgroup/cgroup.procs/x 2>&1
        echo 0 > ctl/2/exit; rmdir cgroup/G/a && rmdir as/1/cgroup/G && ls -d cgroup/*/ 2>&1";
    let out = bash_any(&lab, script);
    let expected = "755\n2\n0::/G/a\n\
        rmdir: failed to remove 'cgroup/G/a': Device or resource busy\n\
        rmdir: failed to remove 'cgroup/G': Device or resource busy\n\
        mkdir: cannot create directory ‘cgroup/G’: File exists\n\
        mkdir: cannot create directory ‘cgroup/cgroup.procs/x’: Not a directory\n\
        ls: cannot access 'cgroup/*/': No such file or directory\n";
    assert_eq!(out.replace(['‘', '’'], "'"), expected.replace(['‘', '’'], "'"));
}

#[test]
fn a_namespace_sees_its_own_root_of_the_cgroups() {
    let Some(lab) = lab() else { return };
    let script = "
        mkdir -p cgroup/G/x && echo > ctl/1/clone && echo 2 > cgroup/G/cgroup.procs
        ls -d as/2/cgroup/*/; echo cgroup > ctl/2/unshare; ls -d as/2/cgroup/*/; cat as/2/proc/1/cgroup";
    assert_eq!(bash(&lab, script), "as/2/cgroup/G/\nas/2/cgroup/x/\n0::/..\n");
}

#[test]
fn a_program_finds_itself() {
    let Some(lab) = lab() else { return };
    assert_eq!(bash(&lab, "exec readlink proc/$$"), "1\n");
    assert!(!run(&lab, "bash", "ls proc/4194304").status.success());
}

#[test]
fn what_a_reaped_task_had_is_gone() {
    let Some(lab) = lab() else { return };
    let child: i32 = lab.call(1, "clone newnet").unwrap().parse().unwrap();
    let proc = format!("proc/{child}");
    let ns = fs::File::open(lab.at(format!("{proc}/ns"))).unwrap();
    bash(&lab, &format!("ls -lR proc/{child} ctl/{child} as/{child}/proc/self/ns"));
    lab.call(child, "exit 3").unwrap();
    assert!(lab.at(&proc).exists());
    assert_eq!(bash(&lab, &format!("ls ctl/{child}")), "usage\n");
    assert_eq!(lab.read_link(format!("{proc}/ns/net")).unwrap_err().raw_os_error(), Some(Errno::ENOENT as i32));
    assert_eq!(lab.call(1, "wait").unwrap(), format!("{child} 768"));
    for file in ["", "/ns/net", "/status"] {
        assert!(!lab.at(format!("{proc}{file}")).exists(), "{file}");
    }
    assert!(!lab.at(format!("ctl/{child}")).exists());
    assert!(!lab.at(format!("as/{child}")).exists());
    let open = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&ns));
    assert!(fs::read_link(Path::new(&open).join("net")).is_err());
}

#[test]
fn a_working_directory_survives_a_change_of_credentials() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone").unwrap();
    let script =
        "cd proc/2/ns && ls -l > /dev/null && echo 1000 > ../../../ctl/2/setuid && cd -P . && pwd && stat -c %U:%u ..";
    let expected = format!("{}/proc/2/ns\n", lab.path().display());
    assert!(bash(&lab, script).starts_with(&expected));
    assert_eq!(fs::metadata(lab.at("proc/2")).unwrap().uid(), 1000);
}

#[test]
fn rights_of_a_viewer_are_never_answered_from_a_cache() {
    let Some(lab) = lab() else { return };
    let child: i32 = lab.call(1, "clone").unwrap().parse().unwrap();
    let seen = format!("as/{child}/proc/1/ns/net");
    assert_eq!(link(&lab, &seen), link(&lab, "proc/1/ns/net"));
    lab.call(child, "setuid 1000").unwrap();
    assert_eq!(lab.read_link(&seen).unwrap_err().raw_os_error(), Some(Errno::EACCES as i32));
}

#[test]
fn a_boot_script_runs_before_the_lab_is_there() {
    if !has_fuse() {
        return;
    }
    let lab = Lab::boot("c = 1 clone newnet\n$c clone\n").unwrap();
    assert!(lab.at("proc/3").exists());
    assert!(Lab::boot("1 kill 77 0\n").unwrap_err().to_string().contains("ESRCH"));
}

#[test]
fn a_failed_call_is_an_error_with_a_reason() {
    let Some(lab) = lab() else { return };
    let error = lab.call(1, "kill 77 0").unwrap_err();
    assert_eq!(error.errno, Errno::ESRCH);
    assert!(error.reason.contains("77"), "{error}");
    assert_eq!(lab.call(77, "clone").unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn labs_are_independent_and_leave_nothing_behind() {
    if !has_fuse() {
        return;
    }
    let paths = thread::scope(|scope| {
        let labs: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let lab = Lab::new().unwrap();
                    assert_eq!(lab.call(1, "clone newnet").unwrap(), "2");
                    lab.path().to_owned()
                })
            })
            .collect();
        labs.into_iter().map(|lab| lab.join().unwrap()).collect::<Vec<PathBuf>>()
    });
    assert!(paths.iter().all(|path| !path.exists() && !is_lab(path)));
}

// The command.

fn nslab(args: &[&str]) -> Output {
    Command::new("timeout").arg("30").arg(env!("CARGO_BIN_EXE_nslab")).args(args).output().unwrap()
}

/// Exit code and standard error, the temporary directory called DIR in it.
fn refused(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = nslab(args);
    let message = String::from_utf8(output.stderr).unwrap().replace(dir.to_str().unwrap(), "DIR");
    (output.status.code(), message)
}

fn temporary() -> (TempDir, String) {
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

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn mount_returns_when_the_lab_is_there() {
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    let options =
        "there is no mount option frob: take allow_other, nonempty, realtime, ro, or one that mount(8) passes on";
    assert!(code == Some(2) && usage.contains(options) && usage.contains("nslab mount"), "{usage}");
    assert_eq!(refused(dir.path(), &["mount"]).0, Some(2));
    assert!(!is_lab(dir.path()));
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    if !has_fuse() {
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
    assert!(noted.starts_with(&format!("include {boot}\n! EPERM 2 unshare net\n2 clone newuser\n")), "{noted}");
    let output = nslab(&["mount", "--boot", &journal, &point]);
    assert!(output.status.success(), "{output:?}\n{noted}");
    let after = state();
    assert!(nslab(&["umount", &point]).status.success());
    assert!(before.len() > 1000);
    assert_eq!(String::from_utf8(after).unwrap(), String::from_utf8(before).unwrap(), "{noted}");
}

#[test]
fn a_shell_has_a_lab_of_its_own() {
    if !has_fuse() {
        return;
    }
    let output =
        nslab(&["shell", "-c", "[ \"$LAB\" -ef . ] && pwd && echo newnet > ctl/1/clone && ls -d proc/3 && exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (path, rest) = text.split_once('\n').unwrap();
    assert_eq!(rest, "proc/3\n");
    assert!(!Path::new(path).exists());
    assert_eq!(nslab(&["shell", "-c", "kill -9 $$"]).status.code(), Some(137));
}

#[test]
fn a_shell_that_cannot_start_says_what_to_set() {
    if !has_fuse() {
        return;
    }
    let (dir, path) = temporary();
    let with = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
        let output = command.args(["shell", "-c", "true"]).env(name, format!("{path}/missing")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap().replace(&path, "DIR"))
    };
    let no_shell = "nslab: DIR/missing: No such file or directory: set SHELL to a shell\n";
    assert_eq!(with("SHELL"), (Some(1), no_shell.to_owned()));
    let no_room = "nslab: DIR/missing: No such file or directory: set TMPDIR to a directory that may be written to\n";
    assert_eq!(with("TMPDIR"), (Some(1), no_room.to_owned()));
    drop(dir);
}

/// The first command of the README is `cargo run -- shell`, when no nslab is installed.
#[test]
fn the_command_is_on_the_path_of_its_shell() {
    if !has_fuse() {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
    let output = command.args(["shell", "-c", "nslab ps"]).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("NSPID"), "{output:?}");
}

#[test]
fn a_shell_at_a_terminal_says_where_it_is() {
    if !has_fuse() || !has("script") {
        return;
    }
    let shell = format!("SHELL=/bin/sh '{}' shell", env!("CARGO_BIN_EXE_nslab"));
    let mut script = Command::new("timeout");
    script.args(["30", "script", "-q", "-c", &shell, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"exit\n").unwrap();
    let shown = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let said = shown.lines().find(|line| line.starts_with("nslab: ")).unwrap_or_default();
    let (place, rest) = said.split_once(" (also $LAB)").unwrap_or_default();
    assert!(place.starts_with("nslab: a lab in /"), "{shown}");
    assert_eq!(rest.trim_end(), ": this shell is its task 2; `cat ctl/usage` lists the calls, `exit` takes it down");
}

#[test]
fn a_terminated_shell_leaves_nothing() {
    if !has_fuse() {
        return;
    }
    let mut shell = Command::new(env!("CARGO_BIN_EXE_nslab"))
        .args(["shell", "-c", "pwd; exec sleep 100"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let path = Path::new(line.trim_end());
    assert!(is_lab(path));
    signal(&shell, Signal::SIGTERM);
    assert_eq!(shell.wait().unwrap().code(), Some(143));
    assert!(!path.exists());
}

#[test]
fn a_read_only_lab_can_be_looked_at() {
    if !has_fuse() {
        return;
    }
    let (dir, path) = temporary();
    assert!(nslab(&["mount", "-o", "ro,allow_other,nofail", &path]).status.success());
    let error = fs::write(dir.path().join("ctl/1/clone"), "\n").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EROFS as i32));
    assert_eq!(fs::read_to_string(dir.path().join("proc/1/comm")).unwrap(), "init\n");
    assert!(nslab(&["umount", &path]).status.success());
}

#[test]
fn others_may_look_only_when_allowed_and_never_write() {
    if !has_fuse() || !nix::unistd::geteuid().is_root() || !has("setpriv") {
        return;
    }
    for (options, may_look) in [("rw", false), ("allow_other", true)] {
        let (dir, path) = temporary();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(nslab(&["mount", "-o", options, &path]).status.success());
        let as_nobody = |script: &str| {
            let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script];
            Command::new("timeout").arg("30").args(user).current_dir("/").output().unwrap().status.success()
        };
        assert_eq!(as_nobody(&format!("cat {path}/proc/1/comm")), may_look);
        assert!(!as_nobody(&format!("echo newnet > {path}/ctl/1/clone")));
        assert!(!dir.path().join("proc/2").exists());
        assert!(nslab(&["umount", &path]).status.success());
    }
}

#[test]
fn a_lab_is_mounted_in_a_user_namespace_of_ones_own() {
    let own =
        |command: &[&str]| Command::new("timeout").args(["30", "unshare", "-Urm"]).args(command).output().unwrap();
    if !has_fuse() || !own(&["true"]).status.success() {
        return eprintln!("skipped: no user namespaces here");
    }
    let output = own(&[env!("CARGO_BIN_EXE_nslab"), "shell", "-c", "echo newnet > ctl/1/clone; cat ctl/1/clone"]);
    assert_eq!(output.stdout, b"3\n", "{output:?}");
}

/// Runs a script in a mount namespace of its own, `$nslab` and an empty directory `$dir` at hand; `None` where that is
/// not allowed.
fn privately(script: &str) -> Option<Output> {
    let (_dir, path) = temporary();
    let own = |script: &str| {
        let mut command = Command::new("timeout");
        command.args(["60", "unshare", "-m", "bash", "-c", script]);
        command.env("nslab", env!("CARGO_BIN_EXE_nslab")).env("dir", &path).output().unwrap()
    };
    if !has_fuse() || !own("true").status.success() {
        eprintln!("skipped: no private mount namespace here");
        return None;
    }
    Some(own(script))
}

/// The device is a copy of the machine's, which everybody may open, as distributions have it.
#[test]
fn a_user_without_privileges_mounts_by_fusermount3() {
    if !nix::unistd::geteuid().is_root() || !["fusermount3", "setpriv"].into_iter().all(has) {
        return;
    }
    let script = r#"cp $nslab $dir/nslab && mkdir $dir/lab && chown 65534:65534 $dir $dir/lab && chmod 755 $dir/nslab || exit
        mount -t tmpfs dev /dev && mknod -m 666 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3 || exit
        setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '
            cd $dir && ./nslab mount lab && readlink lab/proc/1/ns/net && echo net > lab/ctl/1/clone &&
            cat lab/ctl/1/clone && stat -f -c %T lab && ./nslab umount lab && ls lab'"#;
    let Some(output) = privately(script) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "net:[4026531833]\n2\nfuseblk\n", "{output:?}");
}

#[test]
fn programs_that_read_proc_take_the_lab_for_the_machine() {
    if !["lsns", "ps"].into_iter().all(has) {
        return;
    }
    let script = r#"printf 'a = 1 clone newnet newpid\n$a clone\n$a exec web -x\n' > $dir.lab
        $nslab mount --boot $dir.lab $dir && rm $dir.lab && mount --bind $dir/proc /proc
        lsns -n -o NS,TYPE,NPROCS,PID,COMMAND | sed 's/  */ /g; s/^ //' | grep -E ' (net|pid) '
        ps -e -o pid=,netns=,args= | sed 's/  */ /g; s/^ //'
        umount --lazy /proc; $nslab umount $dir"#;
    let Some(output) = privately(script) else { return };
    let expected = "4026531833 net 1 1 init\n4026531836 pid 1 1 init\n4026532177 pid 2 2 web -x\n\
        4026532178 net 2 2 web -x\n1 4026531833 init\n2 4026532178 web -x\n3 4026532178 init\n";
    let text = String::from_utf8_lossy(&output.stdout).replace(['├', '└', '─'], "");
    assert_eq!(text, expected, "{output:?}");
}

#[test]
fn a_lab_may_cover_proc() {
    let script = "$nslab mount -f -o nonempty /proc > $dir/out & until grep -q mounted $dir/out; do :; done
        [ -d /proc/ctl/1 ] && kill $! && wait $! && [ -d /proc/self ] && rm $dir/out && echo fine";
    let Some(output) = privately(script) else { return };
    assert_eq!(output.stdout, b"fine\n", "{output:?}");
}

/// As in a container that Docker makes without being asked for more.
#[test]
fn root_who_may_not_mount_is_told_what_is_missing() {
    if !nix::unistd::geteuid().is_root() || !has("setpriv") {
        return;
    }
    let script =
        "setpriv --bounding-set -sys_admin --inh-caps -sys_admin sh -c '$nslab mount $dir; $nslab doctor' 2>&1";
    let Some(output) = privately(script) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    let remedy = "CAP_SYS_ADMIN is missing: start the container with `--cap-add SYS_ADMIN --device /dev/fuse`, \
                  or put `unshare -Urm` before the command\n";
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    assert_eq!(lines[0], format!("nslab: {remedy}"), "{text}");
    assert!(lines.contains(&format!("missing  privilege: {remedy}").as_str()), "{text}");
    assert!(lines.contains(&format!("missing  trial: {remedy}").as_str()), "{text}");
}

#[test]
fn the_doctor_finds_a_machine_that_mounts_in_order() {
    if !has_fuse() {
        return;
    }
    let output = nslab(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("a lab was mounted and unmounted"), "{text}");
}

// Consistency: what was changed by a write that has returned is seen by every read that starts afterwards.

/// How often each writer changes its task.
const ROUNDS: usize = 60;

/// What one writer has published: the texts of its link, in order; the last was there when it was pushed.
#[derive(Default)]
struct Published(Mutex<Vec<String>>);

impl Published {
    fn newest(&self) -> usize {
        self.0.lock().unwrap().len() - 1
    }

    fn push(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

#[test]
fn no_read_is_older_than_a_write_that_has_returned() {
    let Some(lab) = lab() else { return };
    let tasks: Vec<i32> = (0..2).map(|_| lab.call(1, "clone").unwrap().parse().unwrap()).collect();
    let published: Vec<Published> = tasks.iter().map(|_| Published::default()).collect();
    for (task, published) in tasks.iter().zip(&published) {
        published.push(truth(&lab, *task));
    }
    let over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| read_until(&lab, &tasks, &published, &over))).collect();
        let writers: Vec<_> = tasks
            .iter()
            .zip(&published)
            .map(|(task, published)| scope.spawn(|| write(&lab, *task, published)))
            .collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        over.store(true, Ordering::Relaxed);
        let seen: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        written.into_iter().for_each(|written| written.unwrap());
        seen
    });
    let order: Vec<BTreeMap<String, usize>> =
        published.into_iter().map(|p| p.0.into_inner().unwrap().into_iter().zip(0..).collect()).collect();
    let stale =
        seen.iter().filter(|(writer, known, text)| order[*writer].get(text).is_none_or(|at| at < known)).count();
    assert_eq!(stale, 0, "of {} reads", seen.len());
    assert!(seen.len() > ROUNDS);
}

/// The link text as the kernel has it, past all caches.
fn truth(lab: &Lab, task: i32) -> String {
    let line = format!("{task} readlink proc/self/ns/net\n");
    batch(lab, &line)
}

fn batch(lab: &Lab, line: &str) -> String {
    use std::io::{Read, Write};
    let mut file = fs::OpenOptions::new().read(true).write(true).open(lab.at("ctl/batch")).unwrap();
    file.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    file.read_to_string(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// Gives the task new namespaces, each kept alive by a child so that no inum comes twice; and reads back at once.
fn write(lab: &Lab, task: i32, published: &Published) {
    for _ in 0..ROUNDS {
        let child: i32 = lab.call(task, "clone").unwrap().parse().unwrap();
        assert!(lab.at(format!("proc/{child}/ns")).exists(), "a new task is there");
        lab.call(task, "unshare newnet").unwrap();
        let text = link(lab, &format!("proc/{task}/ns/net"));
        assert_eq!(text, truth(lab, task));
        published.push(text);
        let other: i32 = lab.call(task, "clone newipc").unwrap().parse().unwrap();
        assert_eq!(inode(lab.at(format!("proc/{other}/ns/net"))), inode(lab.at(format!("proc/{task}/ns/net"))));
        lab.call(other, "exit 0").unwrap();
        lab.call(task, &format!("wait {other}")).unwrap();
        assert!(!lab.at(format!("proc/{other}/ns/net")).exists(), "a reaped task is not");
        let listed = fs::read_dir(lab.at("proc")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(listed.into_iter().all(|name| name != *other.to_string()), "nor is it listed");
    }
}

/// What was read: whose link, how many changes of it were known before, the text.
fn read_until(lab: &Lab, tasks: &[i32], published: &[Published], over: &AtomicBool) -> Vec<(usize, usize, String)> {
    let mut seen = Vec::new();
    while !over.load(Ordering::Relaxed) {
        for (writer, task) in tasks.iter().enumerate() {
            let path = format!("proc/{task}/ns/net");
            let known = published[writer].newest();
            seen.push((writer, known, link(lab, &path)));
            let known = published[writer].newest();
            seen.push((writer, known, format!("net:[{}]", inode(lab.at(&path)))));
        }
    }
    seen
}

#[test]
fn ipcs_prints_the_objects_of_the_lab() {
    let Some(lab) = lab() else { return };
    if !has("ipcs") || !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: ipcs with another /proc takes ipcs and root");
    }
    for call in ["msgget 42 create 0640", "msgsnd 0 1 hello", "semget 43 3 create 0600", "shmget 44 5000 create 0600"] {
        lab.call(1, call).unwrap();
    }
    fs::write(lab.path().join("proc/sys/kernel/msgmnb"), "4000").unwrap();
    let shown =
        bash(&lab, "unshare --mount --propagation private bash -c 'mount --bind proc /proc && ipcs && ipcs -l'");
    let lines: Vec<String> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "0x0000002a 0 root 640 5 1",
        "0x0000002b 0 root 600 3",
        "0x0000002c 0 root 600 5000 0",
        "default max size of queue (bytes) = 4000",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "no {line:?} in\n{shown}");
    }
}
