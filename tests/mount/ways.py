"""Tries every way to read on files below DIR, a `proc`; prints a line for each: FILE, WAY, what came of it.

What came is `content` (what plain reads give), `empty`, `other` or the name of an errno.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile

PROC = sys.argv[1]
FILES = [
    "self/status", "self/mountinfo", "self/uid_map", "self/ns/net", "self/cmdline", "sys/kernel/hostname", "self/limits",
    "uptime", "self", "self/cwd",
]
# A link that is not followed, which O_PATH alone opens.
LINKS = ["self", "self/cwd", "self/ns/net"]
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    result = getattr(libc, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def whole(fd):
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def by_ones(fd):
    parts = []
    while part := os.read(fd, 7):
        parts.append(part)
    return b"".join(parts)


def positioned(fd):
    parts, at = [], 0
    while part := os.pread(fd, 100, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def vectors(fd):
    parts = []
    while True:
        buffers = [bytearray(50), bytearray(1000)]
        count = os.readv(fd, buffers)
        if count == 0:
            return b"".join(parts)
        parts.append(b"".join(buffers)[:count] if count > 50 else bytes(buffers[0][:count]))


def through_a_pipe(move):
    def way(fd):
        source, sink = os.pipe()
        parts = []
        while count := move(fd, sink):
            parts.append(os.read(source, count))
        return b"".join(parts)
    return way


def through_a_file(move):
    def way(fd):
        target = os.memfd_create("target")
        while move(fd, target):
            pass
        os.lseek(target, 0, os.SEEK_SET)
        return whole(target)
    return way


def mapped(fd):
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size if size else 4096, prot=mmap.PROT_READ) as pages:
        return bytes(pages[:size])


def by_aio(fd):
    """One read of 64 KiB by io_submit(2)."""
    context, buffer = ctypes.c_ulong(), ctypes.create_string_buffer(65536)
    call("syscall", 206, 1, ctypes.byref(context))
    control = struct.pack("QIIHhIQQqQII", 0, 0, 0, 0, 0, fd, ctypes.addressof(buffer), 65536, 0, 0, 0, 0)
    block = ctypes.create_string_buffer(control)
    blocks = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    call("syscall", 209, context, 1, blocks)
    events = ctypes.create_string_buffer(32)
    while True:
        try:
            call("syscall", 208, context, 1, 1, events, None)
            break
        except InterruptedError:
            pass  # By what is left of a ring of io_uring(7).
    result = struct.unpack("QQqq", events.raw)[2]
    call("syscall", 207, context)
    if result < 0:
        raise OSError(-result, "io_getevents")
    return buffer.raw[:result]


def by_io_uring(fd):
    """One read of 64 KiB by io_uring(7)."""
    params = ctypes.create_string_buffer(120)
    ring = call("syscall", 425, 1, params)
    try:
        sq_entries, cq_entries = struct.unpack_from("II", params)
        _, sq_tail, _, _, _, _, sq_array = struct.unpack_from("7I", params, 40)
        _, cq_tail, _, _, _, cqes = struct.unpack_from("6I", params, 80)
        queue = mmap.mmap(ring, sq_array + sq_entries * 4, offset=0)
        done = mmap.mmap(ring, cqes + cq_entries * 16, offset=0x8000000)
        entries = mmap.mmap(ring, sq_entries * 64, offset=0x10000000)
        buffer = ctypes.create_string_buffer(65536)
        # IORING_OP_READ at offset 0
        entries[:64] = struct.pack("BBHiQQIIQ", 22, 0, 0, fd, 0, ctypes.addressof(buffer), 65536, 0, 0).ljust(64, b"\0")
        queue[sq_array:sq_array + 4] = struct.pack("I", 0)
        queue[sq_tail:sq_tail + 4] = struct.pack("I", 1)
        queued = 1
        while done[cq_tail] == 0:
            with contextlib.suppress(InterruptedError):
                queued -= call("syscall", 426, ring, queued, 1, 1, None, 0)
        result = struct.unpack_from("Qi", done, cqes)[1]
        if result < 0:
            raise OSError(-result, "io_uring_enter")
        return buffer.raw[:result]
    finally:
        os.close(ring)


def by_preadv2(fd):
    """Only what is there without waiting."""
    buffer = bytearray(65536)
    return bytes(buffer[:os.preadv(fd, [buffer], 0, os.RWF_NOWAIT)])


def by_copyfile(fd):
    """As programs in Python copy."""
    with tempfile.NamedTemporaryFile() as target:
        shutil.copyfile(f"/proc/self/fd/{fd}", target.name)
        return target.read()


def by_program(*words):
    """As programs do it that look at the size first; what they say is not compared."""
    def way(fd):
        if shutil.which(words[0]) is None:
            return whole(fd)
        with tempfile.TemporaryDirectory() as directory:
            target = os.path.join(directory, "target")
            done = subprocess.run([*words, f"/proc/self/fd/{fd}", target], pass_fds=[fd], capture_output=True)
            if done.returncode:
                raise OSError(errno.EIO, "it failed")
            with open(target, "rb") as copy:
                return copy.read()
    return way


def mask(fd):
    """The type and what else statx(2) knows, of what each file system has."""
    buffer = ctypes.create_string_buffer(256)
    call("syscall", 332, fd, b"", 0x1000, 0x7FF, buffer)
    return b"%o" % (struct.unpack_from("H", buffer, 28)[0] & 0o170000)


def seek(whence, offset=0):
    return lambda fd: b"%d" % os.lseek(fd, offset, whence)


def seek_by_size(whence):
    def way(fd):
        reached = os.lseek(fd, 0, whence)
        return b"size" if reached == os.fstat(fd).st_size else b"%d" % reached
    return way


def polled(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLPRI | select.POLLOUT)
    return b"%d" % poll.poll(0)[0][1]


def epolled(fd):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN | select.EPOLLPRI)
        return b"%d" % epoll.poll(0)[0][1]


def handle(fd):
    size = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    call("name_to_handle_at", fd, b"", size, ctypes.byref(mount), 0x1000)
    return b"a handle"


CONTENT = {
    "read": whole, "read 7 bytes": by_ones, "pread": positioned, "readv": vectors, "mmap": mapped, "aio": by_aio,
    "io_uring": by_io_uring, "preadv2 NOWAIT": by_preadv2, "shutil.copyfile": by_copyfile, "cp": by_program("cp"),
    "busybox cp": by_program("busybox", "cp"), "dd O_DIRECT": by_program("sh", "-c", "dd iflag=direct if=$0 of=$1"),
    "sendfile": through_a_pipe(lambda fd, sink: os.sendfile(sink, fd, None, 65536)),
    "sendfile to a file": through_a_file(lambda fd, to: os.sendfile(to, fd, None, 65536)),
    "splice": through_a_pipe(lambda fd, sink: os.splice(fd, sink, 65536)),
    "copy_file_range": through_a_file(lambda fd, to: os.copy_file_range(fd, to, 65536)),
}
ANSWERS = {
    "seek set": seek(os.SEEK_SET, 3), "seek cur": seek(os.SEEK_CUR, 3), "seek before": seek(os.SEEK_SET, -1),
    "seek end": seek_by_size(os.SEEK_END), "seek data": seek(os.SEEK_DATA), "seek hole": seek_by_size(os.SEEK_HOLE),
    "name_to_handle_at": handle, "statx": mask, "FIONREAD": lambda fd: b"%d" % call("ioctl", fd, 0x541B, ctypes.byref(ctypes.c_int())),
    "poll": polled, "epoll": epolled, "seek 99": seek(99),
    "fallocate": lambda fd: call("fallocate", fd, 0, ctypes.c_long(0), ctypes.c_long(1)) or b"",
    "ftruncate": lambda fd: os.ftruncate(fd, 0) or b"",
    "listxattr": lambda fd: b"%d" % len(os.listxattr(fd)), "getxattr": lambda fd: os.getxattr(fd, "user.x"),
    "setxattr": lambda fd: os.setxattr(fd, "user.x", b"1") or b"",
    "fsync": lambda fd: os.fsync(fd) or b"", "flock": lambda fd: fcntl.flock(fd, fcntl.LOCK_SH) or b"",
    "write": lambda fd: b"%d" % os.write(fd, b"x"), "getdents": lambda fd: b"%d" % bool(os.listdir(fd)),
    "fadvise": lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED) or b"",
}
OPENS = {
    "O_DIRECT": os.O_DIRECT, "O_DIRECTORY": os.O_DIRECTORY, "O_NOFOLLOW": os.O_NOFOLLOW, "O_PATH": os.O_PATH,
    "O_NOATIME": os.O_NOATIME, "O_TMPFILE": os.O_TMPFILE | os.O_RDWR, "O_CREAT|O_EXCL": os.O_CREAT | os.O_EXCL,
    "O_APPEND": os.O_APPEND, "O_NONBLOCK": os.O_NONBLOCK,
}
RESOLVES = {
    "NO_XDEV": 0x01, "NO_MAGICLINKS": 0x02, "NO_SYMLINKS": 0x04, "BENEATH": 0x08, "IN_ROOT": 0x10, "CACHED": 0x20,
}


def attempt(way):
    try:
        return way()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except (ValueError, IndexError) as error:
        return type(error).__name__


def with_open(path, flags, way):
    def tried():
        fd = os.open(path, flags)
        try:
            return way(fd)
        finally:
            os.close(fd)
    return attempt(tried)


def openat2(name, resolve):
    top = os.open(PROC, os.O_PATH)
    how = struct.pack("QQQ", os.O_RDONLY, 0, resolve)
    try:
        os.close(call("syscall", 437, top, name.encode(), how, len(how)))
        return "opened"
    finally:
        os.close(top)


for name in FILES:
    path = os.path.join(PROC, name)
    content = with_open(path, os.O_RDONLY, whole)
    for way, does in CONTENT.items():
        came = with_open(path, os.O_RDONLY, does)
        if isinstance(came, bytes):
            came = "content" if came == content else "empty" if not came else "other"
        if name == "uptime" and came == "other":
            came = "content"  # The time goes on.
        print(name, way, came, sep="\t")
    for way, does in ANSWERS.items():
        came = with_open(path, os.O_RDONLY, does)
        print(name, way, came.decode() if isinstance(came, bytes) else came, sep="\t")
    for way, flags in OPENS.items():
        came = with_open(path, flags, lambda fd: b"opened")
        print(name, way, came.decode() if isinstance(came, bytes) else came, sep="\t")
    for way, resolve in RESOLVES.items():
        print(name, "openat2 " + way, attempt(lambda: openat2(name, resolve)), sep="\t")
    print(name, "access W_OK", os.access(path, os.W_OK), sep="\t")
    print(name, "inotify", attempt(lambda: "watched" if call("inotify_add_watch", call("inotify_init"), path.encode(), 0xFFF) else ""), sep="\t")
    print(name, "truncate", attempt(lambda: os.truncate(path, 0) or "done"), sep="\t")
    print(name, "chmod", attempt(lambda: os.chmod(path, 0o644) or "done"), sep="\t")
    print(name, "utimes", attempt(lambda: os.utime(path) or "done"), sep="\t")

for name in LINKS:
    path = os.path.join(PROC, name)
    for way, does in {**CONTENT, **ANSWERS}.items():
        came = with_open(path, os.O_PATH | os.O_NOFOLLOW, does)
        came = came.decode(errors="replace") if isinstance(came, bytes) else came
        print(name + " itself", way, came, sep="\t")
