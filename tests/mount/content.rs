//! What files read as, by every way to read, and what is told of their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nslab::testing::Lab;

use super::needs::has;
use super::{bash, lab};

/// Files with a text that can be seeked in.
const TEXTS: &[&str] =
    &["self/status", "self/mountinfo", "self/uid_map", "self/cmdline", "sys/kernel/hostname", "self/limits", "uptime"];
const NS: &[&str] = &["self/ns/net"];
const CWD: &[&str] = &["self/cwd"];
const SELF: &[&str] = &["self"];
const ITSELF: &[&str] = &["self itself", "self/cwd itself", "self/ns/net itself"];
/// Those of the texts whose names are of a task, or `self` alone.
const OF_TASK: &[&str] = &["self", "self/status", "self/mountinfo", "self/uid_map", "self/cmdline", "self/limits"];
/// Those of the texts that cannot be polled on Linux.
const UNPOLLED: &[&str] = &["self/status", "self/uid_map", "self/cmdline", "self/limits", "self/ns/net"];
/// Files whose text changes without a call, and those that programs keep open.
const LIVE: &[&str] = &["self/mountinfo", "self/uid_map", "uptime"];

/// What FUSE cannot do as procfs does (SEMANTICS.md): the files, the way, what a lab gives, why.
const OTHERWISE: &[(&[&str], &str, &str, &str)] = &[
    (TEXTS, "seek end", "size", "the host's kernel seeks by the size, which files of procfs have none of"),
    (TEXTS, "seek hole", "size", "as above"),
    (TEXTS, "seek data", "0", "as above"),
    (TEXTS, "name_to_handle_at", "a handle", "the host's kernel makes handles for any FUSE file system"),
    (SELF, "name_to_handle_at", "a handle", "as above"),
    (ITSELF, "name_to_handle_at", "a handle", "as above"),
    (UNPOLLED, "epoll", "1", "every FUSE file can be polled"),
    (OF_TASK, "openat2 CACHED", "EAGAIN", "names of content are asked for anew each time"),
    (LIVE, "mmap", "ENODEV", "size 0 is refused by the library before"),
    (&["uptime"], "chmod", "EPERM", "modes are those of simulated tasks"),
    (NS, "io_uring", "empty", "a namespace file has size 0, and no page is asked for"),
    (NS, "aio", "empty", "as above"),
    (NS, "splice", "empty", "as above"),
    (NS, "sendfile", "empty", "as above"),
    (NS, "pread", "ESPIPE", "a file that cannot be seeked in cannot be read at a position either"),
    (NS, "preadv2 NOWAIT", "ESPIPE", "as above"),
    (NS, "openat2 NO_MAGICLINKS", "opened", "links of a FUSE file system are texts"),
    (NS, "openat2 NO_XDEV", "opened", "links stay inside the lab"),
    (NS, "openat2 BENEATH", "opened", "as above"),
    (NS, "openat2 IN_ROOT", "opened", "as above"),
    (CWD, "openat2 NO_MAGICLINKS", "opened", "links of a FUSE file system are texts"),
    (CWD, "openat2 NO_XDEV", "opened", "links stay inside the lab"),
    (CWD, "openat2 IN_ROOT", "ENOENT", "links stay inside the lab, and `as` is outside `proc`"),
    (SELF, "O_TMPFILE", "ENOTSUP", "the host's kernel answers for FUSE"),
    (CWD, "O_TMPFILE", "ENOTSUP", "as above"),
    (CWD, "access W_OK", "False", "the root directory of a lab is not the directory of the test"),
    (CWD, "chmod", "EPERM", "modes are those of simulated tasks"),
    (CWD, "getdents", "1", "the root directory of a lab has something in it, the directory of the test nothing"),
    (CWD, "getxattr", "ENOTSUP", "files of a lab have no extended attributes"),
    (CWD, "setxattr", "ENOTSUP", "as above"),
    (CWD, "seek end", "size", "each file system seeks in directories in its own way"),
    (CWD, "seek hole", "ENXIO", "as above"),
    (CWD, "seek data", "ENXIO", "as above"),
];

fn ways(proc: &str) -> BTreeMap<(String, String), String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mount/ways.py");
    // One of the files leads to the working directory, whose mode changes then.
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("timeout").args(["60", "python3", script, proc]).current_dir(&dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let cell = |line: &str| {
        let mut words = line.split('\t').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        ((word(), word()), word())
    };
    text.lines().map(cell).collect()
}

#[test]
fn every_way_to_read_gives_the_content_or_what_procfs_gives() {
    if !has(&["fuse", "python3", "root"]) {
        return;
    }
    let Some(lab) = lab() else { return };
    let (real, shown) = (ways("/proc"), ways(&lab.at("proc").to_string_lossy()));
    assert_eq!(real.keys().collect::<Vec<_>>(), shown.keys().collect::<Vec<_>>());
    for (files, way, ..) in OTHERWISE {
        for file in *files {
            assert!(shown.contains_key(&((*file).to_owned(), (*way).to_owned())), "{file} is not tried by {way}");
        }
    }
    let is_known = |file: &str, way: &str, came: &str| {
        OTHERWISE.iter().any(|(files, known, gives, _)| files.contains(&file) && (*known, *gives) == (way, came))
    };
    let wrong: Vec<_> = shown
        .iter()
        .filter(|(cell, came)| real[cell] != **came && *came != "content" && !is_known(&cell.0, &cell.1, came))
        .map(|(cell, came)| format!("{cell:?}: {came:?}, real {:?}", real[cell]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn kept(lab: &Lab, path: &str) -> File {
    File::open(lab.at(path)).unwrap()
}

fn reread(file: &mut File) -> String {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_open_shows_the_text_there_is_then() {
    let Some(lab) = lab() else { return };
    let mut old = kept(&lab, "proc/1/comm");
    assert_eq!(reread(&mut old), "init\n");
    lab.call(1, "prctl name a-longer-name").unwrap();
    assert_eq!((reread(&mut old), old.metadata().unwrap().len()), ("init\n".to_owned(), 5));
    let mut new = kept(&lab, "proc/1/comm");
    assert_eq!((reread(&mut new), new.metadata().unwrap().len()), ("a-longer-name\n".to_owned(), 14));
    lab.call(1, "prctl name init").unwrap();
    assert_eq!(lab.read("proc/1/comm").unwrap(), "init\n");
    assert_eq!(reread(&mut new), "a-longer-name\n");
    let inodes = [&old, &new].map(|file| file.metadata().unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
}

/// What top, findmnt and others keep open.
#[test]
fn files_that_programs_keep_open_show_what_is_new_at_each_read() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone newuser").unwrap();
    let paths =
        ["proc/1/mountinfo", "proc/1/mounts", "proc/2/uid_map", "proc/loadavg", "proc/uptime", "proc/1/net/dev"];
    let mut files = paths.map(|path| kept(&lab, path));
    let before = files.each_mut().map(reread);
    bash(
        &lab,
        "echo tmpfs t /w > ctl/1/mount; echo '0 0 1' > proc/2/uid_map; echo +3s > ctl/1/clock
         echo > ctl/1/clone; echo link add d0 type dummy > ctl/1/ip",
    );
    let after = files.each_mut().map(reread);
    for ((path, before), after) in paths.iter().zip(before).zip(after) {
        assert_ne!(before, after, "{path}");
    }
}

#[test]
fn sizes_are_those_of_the_texts() {
    let Some(lab) = lab() else { return };
    for path in
        ["proc/1/status", "proc/1/mountinfo", "proc/meminfo", "cgroup/cgroup.procs", "ctl/1/usage", "proc/locks"]
    {
        let size = fs::metadata(lab.at(path)).unwrap().len();
        assert_eq!(size, lab.read(path).unwrap().len() as u64, "{path}");
    }
    for path in ["kernel/tree.json", "kernel/graph.svg", "ctl/1/clone", "ctl/batch"] {
        assert_eq!(fs::metadata(lab.at(path)).unwrap().len(), 0, "{path}");
    }
}

/// Rows of SEMANTICS.md: what has no size gives nothing to those who ask the host's kernel for pages.
#[test]
fn files_without_a_size_are_for_reads_alone() {
    let Some(lab) = lab() else { return };
    bash(&lab, "mkdir cgroup/web");
    for (path, reads) in [("kernel/tree", Ok(true)), ("cgroup/web/cgroup.kill", Err(Some(libc::EINVAL)))] {
        let target = tempfile::tempfile().unwrap();
        assert_eq!(rustix::fs::sendfile(&target, kept(&lab, path), None, 4096), Ok(0), "{path}");
        let read = kept(&lab, path).read(&mut [0; 4096]);
        assert_eq!(read.map(|length| length > 0).map_err(|error| error.raw_os_error()), reads, "{path}");
    }
}

/// What poll(2) says at once, or within ten seconds if nothing is there.
fn polled(file: &File, timeout: PollTimeout) -> PollFlags {
    let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
    poll(&mut waiting, timeout).unwrap();
    waiting[0].revents().unwrap()
}

const CHANGED: PollFlags = PollFlags::POLLERR.union(PollFlags::POLLPRI);

#[test]
fn poll_wakes_at_each_change() {
    let Some(lab) = lab() else { return };
    bash(&lab, "mkdir cgroup/web; echo > ctl/1/clone");
    let changes = [
        (
            "proc/1/mountinfo",
            ["echo tmpfs t /w > ctl/1/mount", "echo -o remount,ro /w > ctl/1/mount", "echo /w > ctl/1/umount"],
        ),
        (
            "proc/1/mounts",
            ["echo tmpfs t /w > ctl/1/mount", "echo --bind /w /run > ctl/1/mount", "echo /run > ctl/1/umount"],
        ),
        (
            "proc/sys/kernel/hostname",
            ["echo a > ctl/1/sethostname", "echo a > ctl/1/sethostname", "echo b > proc/sys/kernel/hostname"],
        ),
        (
            "cgroup/web/cgroup.events",
            [
                "echo 2 > cgroup/web/cgroup.procs",
                "echo 1 > cgroup/web/cgroup.freeze",
                "echo 0 > cgroup/web/cgroup.freeze",
            ],
        ),
    ];
    for (path, calls) in changes {
        let mut file = kept(&lab, path);
        reread(&mut file);
        assert_eq!(polled(&file, PollTimeout::ZERO), PollFlags::empty(), "{path}");
        for call in calls {
            std::thread::scope(|threads| {
                let waiting = threads.spawn(|| polled(&file, 10_000_u16.into()));
                bash(&lab, call);
                assert_eq!(waiting.join().unwrap(), CHANGED, "{path}: {call}");
            });
            // A cgroup's file is as it was seen once it is read.
            reread(&mut file);
            assert_eq!(polled(&file, PollTimeout::ZERO), PollFlags::empty(), "{path} after {call}");
        }
    }
}

/// mount(2) tells nobody that a mount propagates otherwise (`do_change_type`), mount_setattr(2) does.
#[test]
fn poll_sleeps_while_only_propagation_changes() {
    let Some(lab) = lab() else { return };
    lab.call(1, "mount tmpfs t /w").unwrap();
    let file = kept(&lab, "proc/1/mountinfo");
    assert_eq!(polled(&file, PollTimeout::ZERO), PollFlags::empty());
    for how in ["shared", "slave", "private", "unbindable"] {
        lab.call(1, &format!("mount --make-{how} /w")).unwrap();
        assert_eq!(polled(&file, PollTimeout::ZERO), PollFlags::empty(), "mount {how}");
        lab.call(1, &format!("mount_setattr /w {how}")).unwrap();
        assert_eq!(polled(&file, PollTimeout::ZERO), CHANGED, "mount_setattr {how}");
        assert_eq!(polled(&file, PollTimeout::ZERO), PollFlags::empty(), "{how}");
    }
}

#[test]
fn epoll_wakes_at_each_change() {
    let Some(lab) = lab() else { return };
    let both = ["proc/1/mountinfo", "proc/1/mounts"].map(|path| kept(&lab, path));
    let waiting = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    for (data, file) in (0..).zip(&both) {
        waiting.add(file, EpollEvent::new(EpollFlags::EPOLLPRI | EpollFlags::EPOLLET, data)).unwrap();
    }
    let mut events = [EpollEvent::empty(); 4];
    assert_eq!(waiting.wait(&mut events, EpollTimeout::ZERO).unwrap(), 0);
    for call in ["echo tmpfs t /w > ctl/1/mount", "echo /w > ctl/1/umount"] {
        bash(&lab, call);
        let mut woken = BTreeSet::new();
        while woken.len() < both.len() {
            let count = waiting.wait(&mut events, EpollTimeout::from(10_000_u16)).unwrap();
            assert!(count > 0, "{call}: {woken:?}");
            for event in &events[..count] {
                assert_eq!(event.events(), EpollFlags::EPOLLERR | EpollFlags::EPOLLPRI);
                woken.insert(event.data());
            }
        }
    }
}

/// Whatever is gone: nothing that is open makes the lab stumble.
#[test]
fn what_is_gone_can_be_polled_and_is_an_error_to_read() {
    let Some(lab) = lab() else { return };
    bash(&lab, "mkdir cgroup/web; echo newns newuts newnet newipc > ctl/1/clone; echo tcp 0.0.0.0:1 > ctl/2/bind");
    let files = ["cgroup/web/cgroup.events", "cgroup/web/cgroup.procs", "proc/2/mountinfo", "proc/2/net/dev"];
    let of_task = ["proc/2/comm", "proc/2/status", "proc/2/fdinfo/0", "kernel/task/2/comm", "proc/2/ns/net"];
    let files: Vec<_> = files.into_iter().chain(of_task).map(|path| kept(&lab, path)).collect();
    bash(&lab, "rmdir cgroup/web; echo 0 > ctl/2/exit; echo > ctl/1/wait");
    for mut file in files {
        assert!(!polled(&file, PollTimeout::ZERO).contains(PollFlags::POLLNVAL));
        let _ = file.read(&mut [0; 8]).map_err(|error| assert_ne!(error.raw_os_error(), Some(libc::EIO)));
        let _ = file.metadata().map_err(|error| assert_ne!(error.raw_os_error(), Some(libc::EIO)));
    }
    assert_eq!(lab.read("proc/1/comm").unwrap(), "init\n");
}

#[test]
fn findmnt_polls() {
    if !has(&["fuse", "findmnt"]) {
        return;
    }
    let Some(lab) = lab() else { return };
    let script = "timeout 20 findmnt --poll --tab-file proc/1/mountinfo --first-only -n -o ACTION,TARGET & sleep 1; \
                  echo 'tmpfs t /w' > ctl/1/mount; wait $!";
    let out = bash(&lab, script);
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["mount", "/w"]);
}

/// With `-o links=linux` a link says what Linux says; otherwise it is a way inside the lab. A program's name is Linux's.
#[test]
fn links_show_what_linux_shows_on_demand() {
    if !has(&["fuse"]) {
        return;
    }
    let texts = |lab: &Lab| ["root", "cwd", "exe", "fd/3"].map(|name| lab.read_link(format!("proc/1/{name}")).unwrap());
    let mut options = nslab::fuse::Options::default();
    let inside = Lab::new().unwrap();
    options.add("links=linux").unwrap();
    let linux = Lab::mount_with(nslab::kernel::Kernel::boot(), &options).unwrap();
    for lab in [&inside, &linux] {
        bash(lab, "echo /run > ctl/1/chdir; exec 3<>ctl/1/open; for f in 0 1 2 3; do echo /proc/1/comm >&3; done");
    }
    let [root, cwd, exe, fd] = texts(&linux).map(|text| text.to_string_lossy().into_owned());
    assert_eq!([root, cwd, exe, fd].join(" "), "/ /run /bin/init /proc/1/comm");
    let [root, cwd, exe, fd] = texts(&inside).map(|text| text.to_string_lossy().into_owned());
    assert_eq!(
        [root, cwd, exe, fd].join(" "),
        "../../as/1/root ../../as/1/root/run /bin/init ../../../as/1/root/proc/1/comm"
    );
    assert_eq!(bash(&inside, "cd -P proc/1/cwd && pwd"), format!("{}/as/1/root/run\n", inside.path().display()));
}

/// As lsof, fuser and netstat find out whose socket it is.
#[test]
fn sockets_and_pidfds_have_attributes() {
    let Some(lab) = lab() else { return };
    bash(&lab, "echo tcp 127.0.0.1:80 > ctl/1/bind; echo pidfd:1 > ctl/1/open; echo pidfd:1 > ctl/1/open");
    let text = lab.read_link("proc/1/fd/0").unwrap();
    let socket = fs::metadata(lab.at("proc/1/fd/0")).unwrap();
    assert_eq!(text.to_string_lossy(), format!("socket:[{}]", socket.ino()));
    assert!(lab.read("proc/1/net/tcp").unwrap().contains(&format!(" {} ", socket.ino())) && socket.ino() > 1000);
    assert_eq!((socket.mode(), socket.len()), (0o140_777, 0));
    let pidfd = fs::metadata(lab.at("proc/1/fd/1")).unwrap();
    assert_eq!(lab.read_link("proc/1/fd/1").unwrap().to_string_lossy(), "anon_inode:[pidfd]");
    assert_eq!((pidfd.mode() & 0o7777, pidfd.len()), (0o700, 0));
    assert_eq!(fs::symlink_metadata(lab.at("proc/1/fd/0")).unwrap().len(), 64);
    assert_eq!(fs::metadata(lab.at("proc/1/fd")).unwrap().len(), 3);
    assert_eq!(fs::read_dir(lab.at("proc/1/fd")).unwrap().count(), 3);
}
