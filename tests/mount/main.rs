//! Real mounts: what host programs see and do, and what the command says.

mod bounds;
mod command;
mod consistency;
mod content;
mod death;
mod door;
mod fields;
mod held;
mod hostile;
mod journal;
mod kthreads;
#[path = "../common/needs.rs"]
mod needs;
mod panics;
mod procfs;
mod requests;
mod rights;
mod shell;
mod strangers;
#[path = "../common/unprivileged.rs"]
mod unprivileged;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use needs::has;
use nslab::errno::Errno;
use nslab::fuse::is_lab;
use nslab::testing::Lab;

/// A mounted lab, or `None`, said aloud, where this machine has no FUSE.
fn lab() -> Option<Lab> {
    has(&["fuse"]).then(|| Lab::new().unwrap())
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
    let child = lab.spawn(1, "newnet").unwrap();
    let hidden = format!("proc/1/ns/{}", link(&lab, &format!("proc/{child}/ns/net")));
    assert!(lab.at(&hidden).exists());
    lab.call(child, "exit 0").unwrap();
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
    let child = lab.spawn(1, "").unwrap();
    lab.call(child, "setuid 1000").unwrap();
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
    let Some(lab) = lab().filter(|_| has(&["python3"])) else { return };
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
    assert!(answer.contains("EBADMSG: line 3: ") || answer.contains("ESRCH: line 3: pid 77"), "{answer}");
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
    assert_eq!(errno(fs::rename(&comm, &new)), Errno::EPERM);
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
    if !has(&["fuse"]) {
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
    if !has(&["fuse"]) {
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

#[test]
fn ipcs_prints_the_objects_of_the_lab() {
    let Some(lab) = lab().filter(|_| has(&["ipcs", "root"])) else { return };
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

#[test]
fn self_in_ctl_leads_to_the_calls_of_the_viewer() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone").unwrap();
    assert_eq!(lab.read_link("ctl/self").unwrap(), Path::new("1"));
    let script = "echo $$ > ctl/2/attach; readlink ctl/self; exec 3<>ctl/self/getpgid; echo 0 >&3; cat <&3";
    assert_eq!(bash(&lab, script), "2\n1\n");
    assert_eq!(lab.read_link("ctl/self").unwrap(), Path::new("1"));
}
