//! The host before and after: nothing a program does changes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::{has, needs, unprivileged};

/// What a program may not change of the host, as this process sees it.
fn state() -> String {
    let links: Vec<_> = fs::read_dir("/proc/self/ns").unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut links: Vec<String> = links.iter().map(|path| fs::read_link(path).unwrap().display().to_string()).collect();
    links.sort();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mounts: Vec<String> =
        read("/proc/self/mountinfo").lines().filter(|line| !line.contains("fuse")).map(str::to_owned).collect();
    let status = read("/proc/self/status");
    let ids = status
        .lines()
        .filter(|line| ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs"].iter().any(|key| line.starts_with(key)));
    let ids: Vec<&str> = ids.collect();
    let sysctls = ["hostname", "domainname", "pid_max", "threads-max", "ns_last_pid", "shmmax", "msgmax"];
    let sysctls: Vec<String> = sysctls
        .iter()
        .filter(|name| **name != "ns_last_pid")
        .map(|name| read(&format!("/proc/sys/kernel/{name}")))
        .collect();
    format!("{links:?}\n{mounts:?}\n{ids:?}\n{sysctls:?}\n{}", read("/proc/self/limits"))
}

/// All that is about the machine, as root of the lab tries it.
const TRIES: &str = "
hostname changed; domainname changed
unshare -u hostname changed2
mount -t tmpfs none /mnt; mount --bind /tmp /mnt; mount --make-rprivate /
umount /proc; umount -l /tmp
echo changed > /proc/sys/kernel/hostname; echo 1000 > /proc/sys/kernel/pid_max; echo 5 > /proc/sys/kernel/msgmax
echo 1 > /proc/sys/user/max_user_namespaces
mkdir /sys/fs/cgroup/nslab-test; mkdir /dev/mqueue/x
unshare -Ur true; unshare --pid --fork true; unshare -n true; unshare -m mount -t proc proc /proc
prlimit --nproc=5 true; ulimit -u 77
chroot /tmp true; pivot_root /tmp /tmp
date -s 2000-01-01; swapoff -a; sysctl -w kernel.panic=1
ip link add x type dummy; modprobe nothing
kill -STOP $PPID 1
true";

#[test]
fn the_host_is_as_before() {
    if !has(&["fuse"]) {
        return;
    }
    let before = state();
    let output = super::exec(&["bash", "-c", TRIES]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(state(), before);
    assert!(fs::metadata("/sys/fs/cgroup/nslab-test").is_err());
}

/// What a command of bash prints that a user without any right has run in a private lab; `None` where none can mount.
fn as_nobody(script: &str) -> Option<Output> {
    if !has(&["fuse", "root", "fusermount3"]) {
        return None;
    }
    let mode = fs::metadata("/dev/fuse").unwrap().permissions().mode();
    if mode & 0o6 != 0o6 {
        needs::skipped("/dev/fuse is for root alone");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("nslab");
    fs::copy(env!("CARGO_BIN_EXE_nslab"), &copy).unwrap();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(dir.path(), 0o777);
    open(&copy, 0o755);
    let mut command = Command::new("timeout");
    command.args(["600"]).arg(&copy).args(["exec", "--", "bash", "-c", script]);
    command.env("TMPDIR", dir.path()).env("LC_ALL", "C").current_dir("/");
    Some(unprivileged::nobody(&mut command).output().unwrap())
}

#[test]
fn a_user_without_any_right_runs_programs_as_root_of_the_lab() {
    let before = state();
    let Some(output) = as_nobody("id -u; unshare -u sh -c 'hostname x; hostname'; unshare -Ur id -u") else { return };
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"0\nx\n0\n"[..]), "{output:?}");
    let output = as_nobody(TRIES).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(state(), before);
}

/// The same as in a container that does not allow user namespaces: in one with no room for another one.
fn without_user_namespaces(tries: &str) -> Option<Output> {
    let script = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
(ready, is_ready), (mapped, is_mapped) = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    if libc.unshare(0x10000000 | 0x20000):
        os.write(is_ready, b'n')
        os._exit(77)
    os.write(is_ready, b'y')
    os.read(mapped, 1)
    with open('/proc/sys/user/max_user_namespaces', 'w') as file: file.write('0')
    assert libc.unshare(0x10000000) == -1 and ctypes.get_errno() == 28
    os.execvp(sys.argv[1], sys.argv[1:])
if os.read(ready, 1) == b'y':
    for kind in 'uid', 'gid':
        with open(f'/proc/{pid}/{kind}_map', 'w') as file: file.write('0 0 65536')
os.write(is_mapped, b'x')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    if !has(&["fuse", "root", "python3"]) {
        return None;
    }
    let mut command = Command::new("timeout");
    command.args(["600", "python3", "-c", script, env!("CARGO_BIN_EXE_nslab"), "exec", "--", "bash", "-c", tries]);
    let output = command.env("LC_ALL", "C").output().unwrap();
    if output.status.code() == Some(77) {
        needs::skipped("no user namespaces");
        return None;
    }
    Some(output)
}

#[test]
fn user_namespaces_of_the_host_are_not_needed() {
    let tries =
        "unshare -Ur sh -c 'id -u; cat /proc/self/uid_map; hostname x 2> /dev/null; unshare -u hostname x; hostname'";
    let Some(output) = without_user_namespaces(tries) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n         0          0          1\nnslab\n", "{output:?}");
}

/// What books show, with what it prints: the same for whoever runs it.
const SHOWN: &str = r#"
unshare -Ur sh -c 'id -u; readlink /proc/self/ns/user; lsns -Towner'
unshare --pid --fork --mount-proc ps ax -o pid,args
unshare -u sh -c 'hostname inner; exec sleep 1000' &
until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done
nsenter -t $! -u hostname
kill $!
ip netns add blue
ip netns exec blue sh -c 'ip netns identify $$'"#;

#[test]
fn root_a_user_and_who_gets_no_user_namespace_see_the_same() {
    if !has(&["ps", "lsns"]) || !has(&["fuse"]) || Command::new("ip").arg("-V").output().is_err() {
        return;
    }
    let own = super::exec(&["bash", "-c", SHOWN]).unwrap();
    let said = String::from_utf8(own.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["0", "user:[4026532177]"], "{said}");
    assert!(lines.iter().any(|line| line.contains("4026532177 user") && line.contains("lsns")), "{said}");
    assert!(said.ends_with("    PID COMMAND\n      1 ps ax -o pid,args\ninner\nblue\n"), "{said}");
    for other in [as_nobody(SHOWN), without_user_namespaces(SHOWN)].into_iter().flatten() {
        assert_eq!(String::from_utf8_lossy(&other.stdout), said, "{other:?}");
    }
}
