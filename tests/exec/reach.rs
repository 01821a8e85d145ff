//! What would reach beyond the lab: the host's `/proc` by other names, processes of the host, and nslab itself.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

use super::mounted::Lab;
use super::{bash, exec, has, python};

/// Names that lead into `/proc`, in a directory that `$0` is.
const NAMES: &str = "
cd $0; ln -s /proc p; ln -s p q; ln -s / r; ln -s /proc/1/comm c; mkdir d; ln -s ../q d/up
exec 9</
for name in p/1/comm q/1/comm r/proc/1/comm c d/up/1/comm d/../p/1/comm $0/p/1/comm $0/c $0/r/proc/1/comm \
    /proc/self/root/proc/1/comm /proc/self/fd/9/proc/1/comm /proc/$$/root/proc/1/comm /dev/fd/9/proc/1/comm
do echo $name $(cat $name); done
cd /; echo cwd $(cat /proc/self/cwd/proc/1/comm proc/1/comm)
echo $(readlink $0/p/self/ns/uts) $(stat -L -c %i $0/r/proc/self/ns/uts)
cat $0/p/self/comm; ls -d $0/p/self/fd/9
rm $0/c $0/p; ls $0; ls -d /proc/1";

#[test]
fn by_all_names_proc_is_that_of_the_lab() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let Some(output) = exec(&["bash", "-c", NAMES, dir]) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let comms: Vec<&str> = lines.by_ref().take(13).collect();
    assert!(comms.len() == 13 && comms.iter().all(|line| line.ends_with(" init")), "{comms:?}");
    let rest: Vec<&str> = lines.collect();
    let fd = format!("{dir}/p/self/fd/9");
    let expected = ["cwd init init", "uts:[4026531838] 4026531838", "cat", &fd, "d", "q", "r", "/proc/1"];
    assert_eq!(rest, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn by_no_name_a_program_writes_to_the_proc_of_the_host() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let script = "cd $0; ln -s /proc p; ln -s /proc/sys/kernel/hostname h; exec 9</
        for name in p/sys/kernel/hostname h /proc/self/root/proc/sys/kernel/hostname /dev/fd/9/proc/sys/kernel/hostname
        do echo by$((n += 1)) > $name; hostname; done";
    let Some(output) = exec(&["bash", "-c", script, dir.path().to_str().unwrap()]) else { return };
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "by1\nby2\nby3\nby4\n", "{output:?}");
}

/// The numbers that programs know are of the lab: a process of the host that has one of them is not meant.
#[test]
fn no_descriptor_signals_a_process_of_the_host() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let script = format!(
        "
import fcntl, os, signal, socket, struct
signal.signal(signal.SIGIO, signal.SIG_IGN)
FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP, F_SETOWN_EX, F_GETOWN_EX = 0x8901, 0x8902, 0x8903, 0x8904, 15, 16
def attempt(number, *how):
    a, b = socket.socketpair()
    try:
        how[0](a, *how[1:], number if how[0] is fcntl.fcntl else struct.pack('i', number))
        print('set', struct.unpack('i', fcntl.ioctl(a, FIOGETOWN, bytes(4)))[0], end=' ')
    except OSError as error:
        print(error.errno, end=' ')
    fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC)
    b.send(b'x')
for number in {stranger}, -{stranger}, os.getpid(), -os.getpgrp():
    for how in (fcntl.ioctl, FIOSETOWN), (fcntl.ioctl, SIOCSPGRP), (fcntl.fcntl, fcntl.F_SETOWN):
        attempt(number, *how)
print()
os.setpgid(0, 0)
attempt(-os.getpid(), fcntl.ioctl, FIOSETOWN)
",
        stranger = stranger.id()
    );
    let text = python(&script).unwrap();
    assert_eq!(text, "3 3 3 3 3 3 set 2 set 2 set 2 1 1 1 \nset -2 ");
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger has got a signal");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// The group that the first program begins in has nslab and others of the host in it.
#[test]
fn priorities_of_processes_of_the_host_stay() {
    let script = "
import os, resource
for which, who in (os.PRIO_USER, 0), (os.PRIO_USER, 65534), (os.PRIO_PGRP, 0), (os.PRIO_PGRP, os.getpgrp()):
    try: os.setpriority(which, who, 5)
    except OSError as error: print(error.errno, end=' ')
os.setpriority(os.PRIO_PROCESS, 0, 3)
os.setpgid(0, 0)
os.setpriority(os.PRIO_PGRP, 0, 4)
print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PGRP, os.getpid()))
";
    if let Some(text) = python(script) {
        assert_eq!(text, "1 1 1 1 4 4\n");
    }
}

/// nslab has memory in each program. One that unmaps all that it does not know, or may not write to it, runs none the less.
#[test]
fn a_program_may_take_our_memory_away() {
    let script = "
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.munmap.argtypes = libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int][:0]
def ours():
    for line in open('/proc/self/maps'):
        begin, end = (int(number, 16) for number in line.split()[0].split('-'))
        if end - begin == 3 * 4096 and line.split()[1:3] == ['rw-p', '00000000'] and len(line.split()) == 5:
            yield begin, end - begin
def take(how):
    for begin, size in list(ours()):
        if how: libc.syscall(10, ctypes.c_long(begin), ctypes.c_long(size), ctypes.c_long(how - 1))
        else: libc.munmap(begin, size)
open('/proc/self/status').read()
for how in 0, 1, 2:
    take(how)
    print(open('/proc/self/comm').read().strip(), end=' ')
    take(how)
    args = (ctypes.c_uint64 * 8)(0x100000000, 0, 0, 0, 17, 0, 0, 0)
    child = libc.syscall(435, args, ctypes.c_long(64))
    if child == 0: os._exit(3)
    print(os.waitpid(child, 0)[1], end=' ')
    take(how)
    print(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno() > 0, end=' ')
    file = os.open('/proc/self/ns/uts', os.O_RDONLY)
    take(how)
    print(libc.ioctl(file, 0xb701) > 0)
";
    if let Some(text) = python(script) {
        assert_eq!(text, "python3 768 True True\n".repeat(3));
    }
}

/// Who answers for a filter has calls made as they are, past ours.
#[test]
fn filters_have_no_listeners() {
    let script = "
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
code = ctypes.create_string_buffer(struct.pack('HBBI', 0x06, 0, 0, 0x7fff0000))
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 1, ctypes.addressof(code)))
print(libc.syscall(317, 1, 8, filter), ctypes.get_errno(), libc.syscall(317, 1, 0, filter))
";
    if let Some(text) = python(script) {
        assert_eq!(text, "-1 22 0\n");
    }
}

/// As a shell or a test that ends a job: all processes of its group at once.
#[test]
fn nothing_is_left_of_a_group_that_is_killed() {
    if !has(&["fuse"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nslab"));
    command.args(["exec", "--", "sh", "-c", "echo ready; exec sleep 1000"]).env("TMPDIR", dir.path());
    let mut child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut output, &mut [0; 6]).unwrap();
    let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    let is_left = || {
        fs::read_to_string("/proc/mounts").unwrap().contains(dir.path().to_str().unwrap())
            || fs::read_dir(dir.path()).unwrap().next().is_some()
    };
    while is_left() {
        thread::yield_now();
    }
}

#[test]
fn host_paths_with_links_stay_those_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let script = format!(
        "cd {dir}; mkdir a b; echo text > a/f; ln -s ../a b/up; ln -s b/up/f f; ln -s f g; ln -s nowhere h
        cat g b/up/f {dir}/b/up/../a/f; echo new > h; cat nowhere; mv g k; readlink k; cat /proc/self/root{dir}/k
        ls {dir}/missing/x 2>/dev/null || echo missing"
    );
    if let Some(text) = bash(&script) {
        assert_eq!(text, "text\ntext\ntext\nnew\nf\ntext\nmissing\n");
    }
}

/// Who walks through the mount of a lab stays in it: `rm -rf` of a directory that the mount is in once meant the host's files.
const WALK: &str = "
import os, sys
mount, file = sys.argv[1], sys.argv[2]
if not os.path.isdir(mount + '/kernel'):
    mount += '/' + os.listdir(mount)[0]
def opened(path, *names):
    try:
        fd = os.open(path, os.O_RDONLY)
        for name in names:
            fd = os.open(name, os.O_RDONLY, dir_fd=fd)
        return fd
    except OSError:
        return None
ways = [(mount, 'as', '1', 'root'), (mount + '/as/1/root',), (mount, 'proc', '1', 'root'), (mount, 'proc', '1', 'cwd'),
        (mount + '/proc/1/root',), (mount + '/proc/1/root/tmp', '..'), (mount + '/ctl/../as/1', 'root'),
        (mount + '/kernel/../as/1/root/etc', '..'), (mount + '/proc/1/root/root', '..', '..', '..', '..')]
for way in ways:
    fd = opened(*way)
    if fd is None:
        continue
    for path in file, 'tmp/../' + file, './' + file, '../root/' + file:
        for call in os.stat, os.open, os.unlink:
            try:
                call(path, os.O_RDONLY, dir_fd=fd) if call is os.open else call(path, dir_fd=fd)
                print('reached', way, path, call.__name__)
            except OSError:
                pass
    os.fchdir(fd)
    if os.path.exists(file):
        print('reached', way, 'by the working directory')
os.chdir('/proc/self')
print(open('../..' + file_of_host).read() if (file_of_host := sys.argv[3]) else '')";

#[test]
fn who_walks_through_the_mount_of_a_lab_stays_in_it() {
    if !has(&["fuse", "python3"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, temporary) = (dir.path().join("file"), dir.path().join("t"));
    fs::write(&file, "text").unwrap();
    fs::create_dir(&temporary).unwrap();
    let path = file.to_str().unwrap();
    let walk = |mount: &str| ["python3", "-c", WALK, mount, &path[1..], path].map(str::to_owned);
    let words = walk(temporary.to_str().unwrap());
    let mut private = super::command(&[], &words.each_ref().map(String::as_str));
    let lab = Lab::new().unwrap();
    let words = walk(lab.dir().to_str().unwrap());
    let seen = [private.env("TMPDIR", &temporary).output().unwrap(), lab.exec(&words.each_ref().map(String::as_str))];
    for seen in seen {
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "text\n", "{seen:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
}
