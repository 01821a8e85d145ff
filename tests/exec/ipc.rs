//! System V IPC and POSIX message queues of programs.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::thread;

use super::mounted::Lab;
use super::native::{Ways, compare, text};
use super::{bash, command, exec, exec_with, has, python, says};

/// Others may have objects in a lab that stays, and on a machine.
const APART: Ways = Ways { apart: &["unshare", "-i"], ..Ways::PLAIN };

#[test]
fn calls_on_system_v_objects_give_what_they_do_on_linux() {
    compare(&APART, "sysv.c", "shmdt((void *)at) = 0 \nattached() = -1 EINVAL\n");
}

#[test]
fn calls_on_message_queues_give_what_they_do_on_linux() {
    compare(&APART, "mq.c", "mq_close(queue) = 0 \nmq_unlink(\"/q\") = 0 \n");
}

#[test]
fn the_commands_make_list_and_remove_objects_of_the_namespace_they_are_in() {
    if !has(&["fuse", "ipcmk", "ipcs"]) {
        return;
    }
    let script = "
ipcmk -Q -p 600; ipcmk -S 3 -p 644; ipcmk -M 10000
ipcs | awk '/^0x/ { print $2, $4, $5, $6 }'
unshare -i sh -c 'ipcmk -Q; ipcs -q | grep -c ^0x'
ipcs -q -i 0 | grep -o 'mode=[0-9]*'
ipcs -s -i 0 | awk '/^[0-9]/ { print $1, $2 }'
ipcs -lm | grep 'max number of segments'
ipcs -uq | sed -n 3p
ipcrm -q 0 -s 0 -m 0; ipcs | grep -c ^0x";
    let said = "Message queue id: 0\nSemaphore id: 0\nShared memory id: 0\n\
                0 600 0 0\n0 644 10000 0\n0 644 3 \n\
                Message queue id: 0\n1\n\
                mode=0600\n0 0\n1 0\n2 0\n\
                max number of segments = 4096\nallocated queues = 1\n0\n";
    if let Some(text) = exec(&["bash", "-c", script]) {
        assert_eq!(String::from_utf8_lossy(&text.stdout), said, "{text:?}");
    }
}

#[test]
fn programs_of_a_mounted_lab_share_memory_and_messages() {
    if !has(&["python3", "ipcmk"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    assert_eq!(text(&lab.exec(&["ipcmk", "-M", "4096"])), "Shared memory id: 0\n");
    let attach =
        "import ctypes; libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p; at = libc.shmat(0, None, 0)\n";
    let write = format!("{attach}ctypes.memmove(at, b'from the first', 15)");
    assert_eq!(text(&lab.exec(&["python3", "-c", &write])), "");
    let read = format!("{attach}print(ctypes.string_at(at).decode(), len(open('/proc/sysvipc/shm').readlines()))");
    assert_eq!(text(&lab.exec(&["python3", "-c", &read])), "from the first 2\n");
}

#[test]
fn who_waits_is_woken_by_other_commands_and_by_tasks_that_are_no_programs() {
    if !has(&["python3"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let script = "
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
print(libc.semget(7, 1, 0o1600), flush=True)
print(libc.semop(0, struct.pack('HhH', 0, -1, 0), 1), ctypes.get_errno())";
    let ctl = |verb: &str, arguments: &str| {
        let mut file = OpenOptions::new().read(true).write(true).open(lab.dir().join("ctl/1").join(verb)).unwrap();
        file.write_all(arguments.as_bytes()).unwrap();
        let mut answer = String::new();
        file.read_to_string(&mut answer).unwrap();
        answer
    };
    for (verb, arguments, result) in [("semop", "0 0,1", "0 0\n"), ("semctl", "0 rmid", "-1 43\n")] {
        let (mut child, line, mut rest) = lab.start(&["python3", "-c", script]);
        assert_eq!(line, "0");
        while ctl("semctl", "0 0 getncnt") != "1\n" {
            thread::yield_now();
        }
        ctl(verb, arguments);
        let mut said = String::new();
        rest.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(said, result, "{verb}");
    }
}

/// All threads of a process that is stopped and goes on wait on, and those that have what they waited for get it then.
#[test]
fn a_stop_ends_no_wait() {
    let script = "
import ctypes, os, signal, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def receive(wanted):
    at = ctypes.create_string_buffer(64)
    length = libc.msgrcv(0, at, 56, wanted, 0)
    print(wanted, at[8:8 + length] if length >= 0 else ctypes.get_errno(), flush=True)
def send(wanted):
    at = ctypes.create_string_buffer(wanted.to_bytes(8, 'little') + b'text', 64)
    libc.msgsnd(0, at, 4, 0)
def state(pid):
    return open(f'/proc/{pid}/stat').read().rsplit(')')[1].split()[0]
libc.msgget(5, 0o1600)
pid = os.fork()
if pid == 0:
    threads = [threading.Thread(target=receive, args=(wanted,)) for wanted in (1, 2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os._exit(0)
time.sleep(0.2)
os.kill(pid, signal.SIGSTOP)
os.waitpid(pid, os.WUNTRACED)
send(1)
os.kill(pid, signal.SIGCONT)
os.waitpid(pid, os.WCONTINUED)
time.sleep(0.1)
send(2)
print(os.waitpid(pid, 0)[1])
";
    if let Some(text) = python(script) {
        assert_eq!(text, "1 b'text'\n2 b'text'\n0\n");
    }
}

#[test]
fn what_programs_leave_undone_and_unclosed_goes_with_them() {
    let script = "
import ctypes, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
def attached():
    return open('/proc/sysvipc/shm').readlines()[1].split()[6]
libc.semget(1, 1, 0o1600), libc.semctl(0, 0, 16, 5), libc.shmget(2, 4096, 0o1600)
pid = os.fork()
if pid == 0:
    libc.semop(0, struct.pack('HhH', 0, -3, 0x1000), 1)
    libc.shmat(0, None, 0)
    print(libc.semctl(0, 0, 12), attached(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0)
print(libc.semctl(0, 0, 12), attached())
";
    if let Some(text) = python(script) {
        assert_eq!(text, "2 1\n5 0\n");
    }
}

#[test]
fn a_queue_costs_its_maker_until_its_last_descriptor_is_closed() {
    let script = "
import ctypes, os, resource
rt = ctypes.CDLL('librt.so.1', use_errno=True)
resource.setrlimit(resource.RLIMIT_MSGQUEUE, (100000, 100000))
def open(name):
    fd = rt.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)
    return fd if fd >= 0 else -ctypes.get_errno()
first = open(b'/a')
print(first >= 0, open(b'/b'))
rt.mq_unlink(b'/a')
print(open(b'/b'))
os.close(first)
second = open(b'/b')
print(second >= 0, os.listdir('/dev/mqueue'))
os.close(second)
print(open(b'/b') >= 0)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True -24\n-24\nTrue ['b']\nTrue\n");
    }
}

#[test]
fn a_journal_of_programs_has_their_objects() {
    if !has(&["fuse", "python3", "ipcmk"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("programs.lab").to_str().unwrap().to_owned();
    let script = r#"
ipcmk -Q -S 2 -M 8192 > /dev/null
python3 -c '
import ctypes, os, struct, threading, time
libc, rt = ctypes.CDLL(None), ctypes.CDLL("librt.so.1")
libc.shmat.restype = ctypes.c_void_p
at = ctypes.create_string_buffer(b"\1\0\0\0\0\0\0\0size=\"a\0\n\xff", 64)
thread = threading.Thread(target=lambda: libc.msgrcv(0, ctypes.create_string_buffer(64), 56, 7, 0))
thread.start()
time.sleep(0.1)
libc.msgsnd(0, at, 10, 0)
at[0] = b"\7"
libc.msgsnd(0, at, 10, 0)
thread.join()
libc.semctl(0, 0, 17, (ctypes.c_ushort * 2)(3, 4))
libc.semop(0, struct.pack("HhH", 1, -2, 0), 1)
libc.shmat(0, None, 0o10000)
queue = rt.mq_open(b"/q", os.O_CREAT | os.O_RDWR, 0o640, None)
rt.mq_send(queue, b"text", 4, 3)
rt.mq_send(queue, b"more", 4, 5)
rt.mq_receive(queue, at, 8192, None)
libc.semop(0, struct.pack("HhH", 0, -9, 0o4000), 1)
'"#;
    let output = exec_with(&["--journal", &journal], &["bash", "-c", script]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let noted = fs::read_to_string(&journal).unwrap();
    assert!(!noted.lines().skip(1).any(|line| line.starts_with('#')), "{noted}");
    for line in ["program waits msgrcv 0 7 size=56", "msgsnd 0 1 \"text=size=", "pins mqueue:", "semop 0 0,-9,nowait"] {
        assert!(noted.contains(line), "{line} is missing in\n{noted}");
    }
    let look = "ipcs -q -i 0 | grep -o 'qnum=[0-9]*'; ipcs -s -i 0 | awk '/^[0-9]/ { print $1, $2 }'; cat /dev/mqueue/q | cut -c-12";
    let next = command(&["--boot", &journal], &["sh", "-c", look]).output().unwrap();
    assert_eq!(text(&next), "qnum=1\n0 3\n1 2\nQSIZE:4     \n");
}

#[test]
fn what_is_no_queue_and_what_nobody_offers_is_refused() {
    let script = "
import ctypes, os
libc, rt = ctypes.CDLL(None, use_errno=True), ctypes.CDLL('librt.so.1', use_errno=True)
def failed(result): print(result, ctypes.get_errno() if result < 0 else 0)
failed(rt.mq_send(1, b'x', 1, 0))
failed(rt.mq_send(999, b'x', 1, 0))
failed(rt.mq_unlink(b'/none'))
failed(libc.msgrcv(0, None, 56, 0, 0))
failed(libc.msgget(1, 0o1600))
failed(libc.msgsnd(0, ctypes.create_string_buffer(b'\\1' + b'\\0' * 20000), 10000, 0))
failed(libc.semget(1, 0, 0o1600))
failed(libc.shmget(1, 0, 0o1600))
failed(libc.shmdt(4096))
failed(libc.semctl(77, 0, 17, None))
";
    if let Some(text) = python(script) {
        assert_eq!(text, "-1 9\n-1 9\n-1 2\n-1 22\n0 0\n-1 22\n-1 22\n-1 22\n-1 22\n-1 22\n");
    }
    says("ipcrm -q 5 2>&1; echo $?", "ipcrm: invalid id (5)\n1\n");
    if let Some(text) = bash("ls /dev/mqueue; grep -c . /proc/sysvipc/msg") {
        assert_eq!(text, "1\n");
    }
}
