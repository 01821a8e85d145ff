# One reader of `benches/stress.rs`, which puts the ways of `tests/mount/ways.py` before it: LAB SHARED INDEX. SHARED is a file
# of numbers: what writers have been acknowledged, by slot, and what the readers tell.

import random
import re

LAB, SHARED, INDEX = sys.argv[1], sys.argv[2], int(sys.argv[3])

WRITERS, KINDS = 2, 8
NAME, HOST, MOUNT, CLOCK, PID, LINK, CGROUP, DEVICE = range(KINDS)
STOP, READERS = WRITERS * KINDS + 1, WRITERS * KINDS + 2
READS, STALE, TORN, NUL, FAILED = range(5)
numbers = mmap.mmap(os.open(SHARED, os.O_RDWR), 4096)
END = b"nonvoluntary_ctxt_switches:\t0\n"


def get(slot):
    return struct.unpack_from("Q", numbers, slot * 8)[0]


def count(what):
    slot = READERS + INDEX * 8 + what
    struct.pack_into("Q", numbers, slot * 8, get(slot) + 1)


def told(kind, task):
    """The latest number that a write was acknowledged with; of what all writers move on, the least that it can be."""
    of_all = [get(writer * KINDS + kind) for writer in range(WRITERS)]
    return sum(of_all) if kind == CLOCK else max(of_all) if kind == PID else of_all[task]


def largest(pattern):
    pattern = re.compile(pattern)
    return lambda text: max(map(int, pattern.findall(text)), default=None)


def uptime(text):
    found = re.match(rb"(\d+)\.(\d\d) ", text)
    return int(found[1]) * 100 + int(found[2]) if found else None


# Path, kind, the number in a text, what a whole text is like; `None`: a live file.
FILES = [
    ("proc/{t}/comm", NAME, largest(rb"n(\d+)\n"), rb"n\d+\n"),
    ("proc/{t}/status", NAME, largest(rb"^Name:\tn(\d+)\n"), rb"(?s)Name:\tn\d+\nUmask.*" + END),
    ("proc/{t}/stat", NAME, largest(rb"\(n(\d+)\)"), rb"\d+ \(n\d+\) S( -?\d+){49}\n"),
    ("as/{t}/proc/sys/kernel/hostname", HOST, largest(rb"h(\d+)\n"), rb"h\d+\n"),
    ("proc/{t}/mountinfo", MOUNT, largest(rb" v(\d+) rw"), None),
    ("proc/{t}/mounts", MOUNT, largest(rb"v(\d+) /"), None),
    ("proc/{t}/net/dev", DEVICE, largest(rb"d(\d+):"), None),
    ("cgroup/w{w}/cgroup.max.depth", CGROUP, largest(rb"^(\d+)\n"), None),
    ("proc/uptime", CLOCK, uptime, None),
    ("proc/loadavg", PID, largest(rb" (\d+)\n$"), None),
    ("proc/stat", PID, largest(rb"processes (\d+)\n"), None),
]
# Ways by the pages of a file. Of a live file they are as long as it was at the lookup, and of one that is kept
# open they may be those of an earlier read (SEMANTICS.md).
BY_SIZE = {"sendfile", "sendfile to a file", "splice", "copy_file_range", "mmap"}
# Programs of their own are no ways to read.
WAYS = {name: way for name, way in CONTENT.items() if name not in ("cp", "busybox cp", "dd O_DIRECT", "shutil.copyfile")}
REFUSALS = {errno.ENODEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV}


def wrong(what, *details):
    count(what)
    print(["reads", "stale", "torn", "NUL", "failed"][what], *details, file=sys.stderr)


def judge(path, way, text, kind, number, whole_text, known):
    """What a read gave that began when `known` had been acknowledged."""
    if b"\0" in text:
        return wrong(NUL, path, way, text[:200])
    found = number(text)
    if whole_text is not None and not re.fullmatch(whole_text, text):
        return wrong(TORN, path, way, text[:200], text[-80:])
    if found is None:
        if whole_text is None and way in BY_SIZE:
            return
        return wrong(TORN, path, way, text[:200])
    if found < known:
        wrong(STALE, path, way, found, known)


def by(way, fd, path):
    try:
        return WAYS[way](fd)
    except ValueError:
        return None
    except OSError as error:
        if error.errno not in REFUSALS:
            wrong(FAILED, path, way, error)
        return None


kept = {}


def look(tasks):
    writer = random.randrange(WRITERS)
    form, kind, number, whole_text = random.choice(FILES)
    path = os.path.join(LAB, form.format(t=tasks[writer], w=writer))
    way = random.choice(list(WAYS))
    known = told(kind, writer)
    if random.random() < 0.5:
        fd = os.open(path, os.O_RDONLY)
        text = by(way, fd, path)
        os.close(fd)
    elif whole_text is None:
        # A live file that is kept: each read from the start shows what there is then.
        if path not in kept:
            kept[path] = os.open(path, os.O_RDONLY)
        fd = kept[path]
        os.lseek(fd, 0, os.SEEK_SET)
        text = None if way in BY_SIZE else by(way, fd, path)
    else:
        # A version that is kept: it shows what there was at the open, of which later writes change nothing.
        if path not in kept or random.random() < 0.1:
            if path in kept:
                os.close(kept[path][0])
            fd = os.open(path, os.O_RDONLY)
            kept[path] = fd, whole(fd)
            judge(path, "read", kept[path][1], kind, number, whole_text, known)
        fd, first = kept[path]
        os.lseek(fd, 0, os.SEEK_SET)
        text = by(way, fd, path)
        if text is not None and text != first:
            wrong(TORN, path, way, "kept", text[:80], first[:80])
        text = None
    if text is not None:
        judge(path, way, text, kind, number, whole_text, known)
    count(READS)


def link(tasks):
    """Numbers of namespaces only grow here."""
    writer = random.randrange(WRITERS)
    path = os.path.join(LAB, f"proc/{tasks[writer]}/ns/uts")
    known = told(LINK, writer)
    found = int(os.readlink(path)[5:-1]) if random.random() < 0.5 else os.stat(path).st_ino
    if found < known:
        wrong(STALE, path, found, known)
    count(READS)


def short_lived():
    """A task that is made and ends again: whole or gone."""
    pid = told(PID, 0) - random.randrange(3)
    path = os.path.join(LAB, f"proc/{pid}/status")
    try:
        with open(path, "rb", buffering=0) as file:
            text = whole(file.fileno())
        if not text.endswith(END) or b"\0" in text:
            wrong(TORN, path, text[-80:])
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            wrong(FAILED, path, error)
    count(READS)


def main():
    random.seed(INDEX)
    tasks = [get(WRITERS * KINDS + 40 + writer) for writer in range(WRITERS)]
    while not get(STOP):
        look(tasks)
        if random.random() < 0.3:
            link(tasks)
        if random.random() < 0.1:
            short_lived()


main()
