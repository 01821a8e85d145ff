//! What programs ask over netlink(7): ip(8), and sockets as programs use them.

use std::process::Command;

use super::mounted::Lab;
use super::{bash, command, exec_with, has, python, says};

/// What ip-netns(8) shows, of a private lab and of one that stays.
#[test]
fn named_namespaces_are_made_identified_and_connected() {
    let script = "
ip netns add blue
ip netns identify $$
ip netns exec blue sh -c 'ip netns identify $$; ip netns identify'
ip netns exec blue sleep 1000 &
until [ \"$(ip netns pids blue)\" = $! ]; do :; done
ip link add v0 type veth peer name v1 netns blue
ip addr add 10.0.0.1/24 dev v0
ip link set v0 up
ip -n blue addr add 10.0.0.2/24 dev v1
ip -n blue link set dev v1 up name eth7
ip -br -4 addr show dev v0
ip -n blue -br -4 addr
ip netns list
ip route show dev v0
kill $!
wait
ip netns del blue
ip netns list";
    let expected = "
blue
blue
v0@if2           UP             10.0.0.1/24 
eth7@if3         UP             10.0.0.2/24 
blue (id: 0)
10.0.0.0/24 proto kernel scope link src 10.0.0.1 
";
    if !has(&["fuse", "ip"]) {
        return;
    }
    says(script, expected);
    let Some(lab) = Lab::new() else { return };
    let output = lab.exec(&["bash", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
}

/// The lab's own listing, by control files, is that of ip(8).
#[test]
fn devices_are_those_that_the_lab_lists() {
    if !has(&["fuse", "ip"]) {
        return;
    }
    let script = "
1 ip link add d0 type dummy
1 ip link add v0 type veth peer name v1
1 ip link add br0 type bridge
1 ip link set v0 up master br0
1 ip link set v1 up
1 ip link property add dev d0 altname other
1 ip addr add 10.1.0.1/16 dev d0
1 ip addr add 10.1.0.2/16 dev d0
1 ip link set d0 up
print
1 ip link
print
1 ip addr
";
    let dir = tempfile::tempdir().unwrap();
    let boot = dir.path().join("a.lab");
    std::fs::write(&boot, script.split("print").next().unwrap()).unwrap();
    let boot = boot.to_str().unwrap();
    let Some(lab) = Lab::new() else { return };
    for line in script.lines().filter_map(|line| line.strip_prefix("1 ip ")) {
        std::fs::write(lab.dir().join("ctl/1/ip"), line).unwrap();
    }
    for what in ["link", "addr"] {
        std::fs::write(lab.dir().join("ctl/1/ip"), what).unwrap();
        let listed = std::fs::read_to_string(lab.dir().join("ctl/1/ip")).unwrap();
        let plain = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let output = exec_with(&["--boot", boot], &["ip", "-o", what]).unwrap();
        assert_eq!(plain(&String::from_utf8_lossy(&output.stdout)), plain(&listed), "{output:?}");
    }
}

#[test]
fn sockets_have_ports_as_on_linux() {
    let script = "
import os, socket
def made(port=0, kind=socket.SOCK_RAW):
    s = socket.socket(socket.AF_NETLINK, kind, 0)
    s.bind((port, 0))
    return s
a, b = made(), made(kind=socket.SOCK_DGRAM)
print(a.getsockname() == (os.getpid(), 0), b.getsockname()[0] >= 2**31)
for port in [os.getpid(), 77]:
    try: print(made(port).getsockname())
    except OSError as error: print(error.errno)
a.close()
print(made().getsockname() == (os.getpid(), 0))
for arguments in [(socket.SOCK_STREAM, 0), (socket.SOCK_RAW, 4), (socket.SOCK_RAW, 99)]:
    try: socket.socket(socket.AF_NETLINK, *arguments)
    except OSError as error: print(error.errno)
try: b.bind((5, 0))
except OSError as error: print(error.errno)
# The others are as they were.
r, w = socket.socketpair()
w.send(b'x')
u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
u.bind('')
print(r.recv(9), len(u.getsockname()) > 1)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "True True\n98\n(77, 0)\nTrue\n94\n93\n93\n22\nb'x' True\n");
    }
}

/// RTM_GETLINK, of one device and of all.
const ASK: &str = "
import os, select, socket, struct, threading
def made():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.bind((0, 0))
    return s
def ask(s, flags, index, seq, kind=18):
    s.send(struct.pack('IHHIIBxHiII', 32, kind, 1 | flags, seq, 0, 0, 0, index, 0, 0))
def kinds(data):
    found = []
    while data:
        length, kind, flags, seq, port = struct.unpack_from('IHHII', data)
        found.append((kind, flags, seq))
        data = data[(length + 3) & ~3:]
    return found
";

#[test]
fn answers_are_peeked_at_waited_for_and_come_from_the_kernel() {
    let script = "
s = made()
print(select.select([s], [], [], 0)[0] == [])
ask(s, 0, 1, 7)
print(select.select([s], [], [])[0] == [s])
length = s.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)
data, _, _, sender = s.recvmsg(length)
print(len(data) == length, kinds(data), sender)
ask(s, 4, 99, 8)
data, sender = s.recvfrom(4096)
print(kinds(data), struct.unpack_from('i', data, 16)[0], sender)
s.settimeout(0)
try: s.recv(1)
except BlockingIOError: print('nothing')
s.settimeout(None)
# A child has the same socket, and another thread.
if os.fork() == 0:
    ask(s, 4, 1, 9)
    os._exit(0)
os.wait()
print(kinds(s.recv(4096)), kinds(s.recv(4096)))
t = threading.Thread(target=lambda: ask(s, 0, 1, 10))
t.start()
print(kinds(s.recv(4096)))
t.join()
";
    if let Some(text) = python(&format!("{ASK}{script}")) {
        let expected = "True\nTrue\nTrue [(16, 0, 7)] (0, 0)\n[(2, 0, 8)] -19 (0, 0)\nnothing\n\
                        [(16, 0, 9)] [(2, 256, 9)]\n[(16, 0, 10)]\n";
        assert_eq!(text, expected);
    }
}

/// More than the buffer of a socket takes waits for who reads.
#[test]
fn long_answers_come_whole_into_small_buffers() {
    let script = "
s = made()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
ask(s, 0x300, 0, 7)
found = []
while not found or found[-1][0] != 3: found += kinds(s.recv(16384))
print(len(found), sorted(set(found)))
# Who never receives is told so.
try:
    while True: ask(s, 0x300, 0, 8)
except OSError as error: print(error.errno)
s.settimeout(0)
try:
    while True: s.recv(16384)
except BlockingIOError: pass
s.settimeout(None)
ask(s, 0, 1, 9)
print(kinds(s.recv(16384)))
";
    let Some(text) = has(&["fuse", "python3"]).then(|| {
        let boot = tempfile::NamedTempFile::new().unwrap();
        let made: String = (0..400).map(|n| format!("1 ip link add long-name-{n} type dummy\n")).collect();
        std::fs::write(boot.path(), made).unwrap();
        let script = format!("{ASK}{script}");
        let output = exec_with(&["--boot", boot.path().to_str().unwrap()], &["python3", "-c", &script]).unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }) else {
        return;
    };
    assert_eq!(text, "403 [(3, 2, 7), (16, 2, 7)]\n105\n[(16, 0, 9)]\n");
}

#[test]
fn what_is_refused_is_told_with_its_reason() {
    let lines = [
        ("unshare -Ur ip link add d0 type dummy", "RTNETLINK answers: Operation not permitted"),
        ("ip link set lo mtu 1400", "attribute 4 of a device"),
        ("ip link set nosuch up", "Cannot find device \"nosuch\""),
        ("ip route add 10.0.0.0/8 dev eth0", "nothing for rtnetlink messages of type 24"),
        ("ip link del lo", "lo cannot be deleted"),
        ("ip netns exec none true", "Cannot open network namespace \"none\": No such file or directory"),
    ];
    for (line, words) in lines {
        if !has(&["fuse", "ip"]) {
            return;
        }
        let Some(text) = bash(&format!("{line} 2>&1; true")) else { return };
        let is_permission = words.ends_with("permitted") && text.contains("CAP_NET_ADMIN missing");
        assert!(text.contains(words) || is_permission, "{line}: {text}");
    }
}

/// A socket is of the namespace that it was made in, and the lab changes no other than the caller's.
#[test]
fn a_socket_of_another_namespace_is_refused_and_not_mistaken() {
    let script = "
import ctypes
s = made()
ask(s, 0, 1, 7)
print(kinds(s.recv(4096)))
ctypes.CDLL(None).unshare(0x40000000)
ask(s, 0, 1, 8)
data = s.recv(4096)
print(kinds(data), struct.unpack_from('i', data, 16)[0])
t = made()
ask(t, 0, 2, 9)
print(struct.unpack_from('i', t.recv(4096), 16)[0])
";
    if let Some(text) = python(&format!("{ASK}{script}")) {
        assert_eq!(text, "[(16, 0, 7)]\n[(2, 0, 8)] -95\n-19\n");
    }
}

/// Garbage ends nothing and gives what Linux gives.
#[test]
fn messages_of_any_bytes_do_no_harm() {
    let script = "
import random
random.seed(1)
s = made()
s.settimeout(0)
def drained():
    while True:
        try: s.recv(65536)
        except BlockingIOError: return
for n in range(300):
    length = random.randrange(16, 200)
    body = bytes(random.choice([0, 1, 2, 4, 8, 16, 255, random.randrange(256)]) for _ in range(length - 16))
    kind = random.choice([16, 17, 18, 19, 20, 21, 22, 26, 30, 88, 90, 108, random.randrange(65536)])
    s.send(struct.pack('IHHII', random.choice([length, 0, 15, length + 1]), kind, random.randrange(65536), n, 0) + body)
    drained()
s.send(b'')
try: s.send(bytes(70000))
except OSError as error: print(error.errno)
drained()
s.settimeout(None)
ask(s, 0, 1, 7)
print(kinds(s.recv(4096)))
";
    if let Some(text) = python(&format!("{ASK}{script}")) {
        assert_eq!(text, "90\n[(16, 0, 7)]\n");
    }
}

/// The journal has what was done over sockets: it boots into the same devices.
#[test]
fn the_journal_boots_into_the_same_devices() {
    if !has(&["fuse", "ip"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("a.lab");
    let journal = journal.to_str().unwrap();
    let script = "ip netns add blue && ip link add v0 type veth peer name v1 netns blue && ip link set v0 up name w && \
                  ip addr add 10.0.0.1/8 dev w && ip -o addr show dev w && ip netns list";
    let first = exec_with(&["--journal", journal], &["sh", "-c", script]).unwrap();
    assert!(first.status.success(), "{first:?}");
    let lines = std::fs::read_to_string(journal).unwrap();
    assert!(
        !lines.contains("# 2 ") && lines.contains(" ip link add name v0 type veth peer name v1 netns fd:"),
        "{lines}"
    );
    let again = exec_with(&["--boot", journal], &["sh", "-c", "ip -o addr show dev w; ip netns list"]).unwrap();
    assert_eq!(again.stdout, first.stdout, "{again:?}");
}

/// The host has no device of the lab's, and the lab none of the host's.
#[test]
fn the_hosts_network_is_not_touched() {
    if !has(&["fuse", "ip"]) {
        return;
    }
    let devices = || Command::new("ip").args(["-o", "link"]).output().unwrap().stdout;
    let before = devices();
    let made = command(&[], &["sh", "-c", "ip link add nslab0 type dummy && ip -br link"]).output().unwrap();
    let listed = String::from_utf8_lossy(&made.stdout).into_owned();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["lo", "eth0", "nslab0"], "{made:?}");
    assert_eq!(devices(), before);
}

/// A socket holds the namespace that it was made in, whoever has it, as on Linux: until close, exec or exit returns.
#[test]
fn a_socket_holds_its_network_namespace_until_it_is_closed() {
    let script = "
import array, ctypes, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
NEWNET = 0x40000000
def own(): return os.readlink('/proc/thread-self/ns/net')
def fresh():
    # The number that a new namespace gets, which ends at once.
    return subprocess.run(['unshare', '-n', 'readlink', '/proc/self/ns/net'], capture_output=True, text=True).stdout.strip()
first = fresh()
def made(family=socket.AF_NETLINK):
    # A socket of a namespace that nobody else is in.
    here = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
    assert libc.unshare(NEWNET) == 0
    assert own() == first, own()
    made = socket.socket(family, socket.SOCK_RAW, 0)
    assert libc.setns(here, NEWNET) == 0
    os.close(here)
    return made
def held(what):
    print(what, fresh() != first)
held('before')
s = made()
held('open')
t = socket.socket(fileno=os.dup(s.fileno()))
s.close()
held('copied')
t.close()
held('closed')
s = made()
(ready, is_ready), (end, is_end) = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.close(is_end)
    os.write(is_ready, b'x')
    os.read(end, 1)
    os._exit(0)
os.read(ready, 1)
s.close()
held('with a child')
os.close(is_end)
os.waitpid(child, 0)
held('with nobody')
s = made()
left, right = socket.socketpair()
left.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [s.fileno()]))])
s.close()
held('on its way')
right.close(); left.close()
held('lost')
s = made()
child = os.fork()
if child == 0:
    # It is closed on exec.
    os.execvp('sh', ['sh', '-c', 'kill -STOP $$'])
s.close()
os.waitpid(child, os.WUNTRACED)
held('exec')
os.kill(child, 9)
os.waitpid(child, 0)
";
    let expected = "before False\nopen True\ncopied True\nclosed False\nwith a child True\nwith nobody False\non its way True\nlost False\nexec False\n";
    if let Some(text) = python(script) {
        assert_eq!(text, expected);
    }
}
