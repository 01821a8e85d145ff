//! Namespaces that programs make, enter, ask and hold open.

use super::{bash, exec, has, python, says};

#[test]
fn the_host_keeps_its_name() {
    let before = std::fs::read("/proc/sys/kernel/hostname").unwrap();
    says("unshare -u sh -c 'hostname x; hostname'; hostname", "x\nnslab\n");
    assert_eq!(std::fs::read("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn a_user_namespace_is_mapped_by_its_file() {
    let script =
        "unshare -Ur sh -c 'id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user'; readlink /proc/self/ns/user";
    if let Some(text) = bash(script) {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1]), ("0", "         0          0          1"));
        assert!(lines[2].starts_with("user:[") && lines[2] != lines[3], "{text}");
    }
}

#[test]
fn lsns_lists_the_namespaces_of_the_lab() {
    if !has(&["lsns"]) {
        return;
    }
    if let Some(text) = bash("unshare -Ur sh -c 'lsns -Towner -o NS,TYPE,NPROCS; readlink /proc/self/ns/user'") {
        let own = text.lines().last().unwrap().trim_start_matches("user:[").trim_end_matches(']');
        assert!(text.lines().any(|line| line.contains(own) && line.contains("user")), "{text}");
        assert!(text.contains("4026531838 uts"), "{text}");
    }
}

#[test]
fn a_new_pid_namespace_shows_its_own_numbers_once_proc_is_mounted() {
    if !has(&["ps"]) {
        return;
    }
    if let Some(text) = bash("unshare --pid --fork --mount-proc ps ax -o pid,args") {
        assert_eq!(text, "    PID COMMAND\n      1 ps ax -o pid,args\n");
    }
    says("unshare --pid --fork sh -c 'echo $$; readlink /proc/self'", "1\n4\n");
}

#[test]
fn nsenter_enters_by_pid_and_by_descriptor() {
    let script = "
unshare -u sh -c 'hostname inner; echo ready; exec sleep 60' | { read line; nsenter -t $(pgrep -x sleep) -u hostname; pkill -x sleep; }
exec 3</proc/self/ns/uts
unshare -u sh -c 'hostname other; nsenter --uts=/proc/self/fd/3 hostname; hostname'";
    says(script, "inner\nnslab\nother\n");
}

#[test]
fn requests_to_namespace_files_give_real_descriptors() {
    let script = "
import fcntl, os, struct
fd = os.open('/proc/self/ns/uts', os.O_RDONLY)
print(os.readlink(f'/proc/self/fd/{fd}') == os.readlink('/proc/self/ns/uts'), hex(fcntl.ioctl(fd, 0xb703)))
owner = fcntl.ioctl(fd, 0xb701)
print(os.readlink(f'/proc/self/fd/{owner}') == os.readlink('/proc/self/ns/user'))
uid = bytearray(4)
fcntl.ioctl(owner, 0xb704, uid)
print(struct.unpack('I', uid)[0])
try: fcntl.ioctl(owner, 0xb702)
except PermissionError as error: print(error.errno)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True 0x4000000\nTrue\n0\n1\n");
    }
}

/// A descriptor keeps a namespace until close, dup2, exec or exit returns, whoever has got it.
#[test]
fn an_open_namespace_file_pins_until_it_is_closed() {
    // The lab itself is out of the reach of programs: they count by numbers, of which the lowest free one is used again.
    let script = "
import ctypes, os, subprocess
libc = ctypes.CDLL(None, use_errno=True)
NEWUTS = 0x04000000
def fresh():
    # The number that a new namespace gets, which ends at once.
    return subprocess.run(['unshare', '-u', 'readlink', '/proc/self/ns/uts'], capture_output=True, text=True).stdout.strip()
first = fresh()
print(fresh() == first)
child = os.fork()
if child == 0:
    libc.unshare(NEWUTS)
    os.kill(os.getpid(), 19)
    os._exit(0)
os.waitpid(child, os.WUNTRACED)
held = os.open(f'/proc/{child}/ns/uts', os.O_RDONLY)
os.kill(child, 18)
os.waitpid(child, 0)
print(fresh() == first)
copy = os.dup(held)
os.close(held)
print(fresh() == first)
os.dup2(0, copy)
print(fresh() == first)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True\nFalse\nFalse\nTrue\n");
    }
}

#[test]
fn paths_that_lead_to_proc_lead_to_the_labs() {
    let script = "
cd /; head -1 proc/self/status; head -1 ./proc/../proc/self/status
cd /proc/self; pwd -P; head -1 status; cat ../../proc/self/comm; cd ../..; pwd -P
python3 -c \"
import os
d = os.open('/proc', os.O_RDONLY)
print(os.readlink('self', dir_fd=d) == str(os.getpid()))
os.chdir('/proc/self/ns')
print(os.getcwd(), os.readlink('uts'))\"";
    if !has(&["python3"]) {
        return;
    }
    let expected = "Name:\thead\nName:\thead\n/proc/2\nName:\tbash\ncat\n/\nTrue\n/proc/12/ns uts:[4026531838]\n";
    if let Some(text) = bash(script) {
        let number = text.lines().last().unwrap().split('/').nth(2).unwrap().to_owned();
        assert_eq!(text, expected.replace("/proc/12/", &format!("/proc/{number}/")));
    }
}

#[test]
fn the_death_of_an_init_takes_its_namespace_along() {
    let script = "
unshare --pid --fork sh -c 'sleep 60 & sleep 60 & exit 3'; echo $?
pgrep -c sleep";
    says(&format!("{script}; true"), "3\n0\n");
}

#[test]
fn what_a_lab_does_not_have_is_refused() {
    let script = "
import socket
for family, protocol in (socket.AF_NETLINK, 15), (socket.AF_PACKET, 0):
    try: socket.socket(family, socket.SOCK_RAW, protocol)
    except OSError as error: print(error.errno)
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for number in (101, 425, 169, 227):
    print(libc.syscall(number, 0, 0, 0, 0), ctypes.get_errno())
";
    if let Some(text) = python(script) {
        assert_eq!(text, "93\n97\n-1 1\n-1 38\n-1 1\n-1 1\n");
    }
    let Some(output) = exec(&["python3", "-c", "import ctypes; [ctypes.CDLL(None).syscall(101) for _ in range(3)]"])
    else {
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "nslab: ptrace is refused: EPERM: a program of a lab is traced already, by nslab\n");
}

/// A pidfd of a thread that is not the first of its process: setns(2) takes it, and says what it says of any other.
#[test]
fn a_thread_joins_namespaces_of_another_by_its_pidfd() {
    let script = "
import ctypes, os, threading
libc = ctypes.CDLL(None, use_errno=True)
PIDFD_THREAD, NEWUTS, NEWTIME = os.O_EXCL, 0x04000000, 0x80
tids, ready, gate = [], threading.Event(), threading.Event()
def other():
    tids.append(threading.get_native_id())
    libc.unshare(NEWUTS)
    ready.set()
    gate.wait()
thread = threading.Thread(target=other)
thread.start()
ready.wait()
fd = libc.syscall(434, tids[0], PIDFD_THREAD)
print(libc.setns(fd, NEWTIME), ctypes.get_errno())
print(libc.setns(fd, NEWUTS))
print(os.readlink('/proc/thread-self/ns/uts') == os.readlink(f'/proc/self/task/{tids[0]}/ns/uts'))
gate.set()
";
    if let Some(text) = python(script) {
        assert_eq!(text, "-1 87\n0\nTrue\n");
    }
}

#[test]
fn file_systems_of_the_lab_are_mounted_on_any_directory() {
    let script = "
cd $(mktemp -d); mkdir proc queues; echo host > proc/host
cat proc/host
unshare --pid --fork --mount-proc sh -c 'mount -t proc none proc; readlink proc/self; ls -d proc/1; cat proc/1/comm
    stat -f -c %T proc; cd proc; cat self/comm; cd ..; umount proc; cat proc/host'
cat proc/host
unshare -im sh -c 'mount -t mqueue none queues; touch queues/made; ls queues; find queues -type f; stat -f -c %T queues
    umount queues; ls queues; mount -t mqueue none queues; ls queues; rm queues/made; ls queues; umount queues'
grep -c queues /proc/mounts
rm -r $PWD";
    let said = "host\n3\nproc/1\nsh\nproc\ncat\nhost\nhost\nmade\nqueues/made\nmqueue\nmade\n0\n";
    says(script, said);
}
