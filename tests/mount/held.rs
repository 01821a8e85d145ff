//! What a host program has open stays what it was when it was opened, also when the task behind it changes or is gone.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nslab::testing::Lab;
use rustix::fs::RawDir;

use super::lab;

fn reread(file: &mut File) -> Result<String, Option<i32>> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text)).map_err(|error| error.raw_os_error())?;
    // `auxv` is no text.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn file(lab: &Lab, path: &str) -> File {
    File::open(lab.at(path)).unwrap()
}

fn held(lab: &Lab, path: &str, flags: OFlag) -> OwnedFd {
    open(&lab.at(path), flags | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
}

/// getdents64(2)
fn getdents(fd: &OwnedFd) -> Result<usize, Errno> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut dir = RawDir::new(fd, &mut buffer);
    match dir.next() {
        None => Ok(0),
        Some(Ok(_)) => Ok(1),
        Some(Err(errno)) => Err(Errno::from_raw(errno.raw_os_error())),
    }
}

fn link(fd: &OwnedFd, name: &str) -> Result<String, Errno> {
    readlinkat(fd.as_fd(), name).map(|text| text.to_string_lossy().into_owned())
}

#[test]
fn a_map_is_that_of_the_namespace_it_was_opened_in() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone").unwrap();
    let mut map = OpenOptions::new().read(true).write(true).open(lab.at("proc/2/uid_map")).unwrap();
    let (mut net, mut mounts) = (file(&lab, "proc/2/net/dev"), file(&lab, "proc/2/mountinfo"));
    let (devices, mounted) = (reread(&mut net).unwrap(), reread(&mut mounts).unwrap());
    lab.call(2, "unshare newuser newnet newns").unwrap();
    lab.call(2, "mount tmpfs t /w").unwrap();
    assert_eq!(map.write(b"0 0 1\n").unwrap_err().raw_os_error(), Some(Errno::EPERM as i32));
    assert!(reread(&mut map).unwrap().contains("4294967295"));
    assert_eq!(lab.read("proc/2/uid_map").unwrap(), "");
    assert_eq!(reread(&mut net), Ok(devices));
    assert_eq!(reread(&mut mounts), Ok(mounted));
    assert!(lab.read("proc/2/mountinfo").unwrap().contains(" /w "));
}

#[test]
fn descriptors_outlive_their_process() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone").unwrap();
    let path_only = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let dirs = ["", "/task", "/task/2", "/fd", "/fdinfo", "/ns", "/net"];
    let dirs = dirs.map(|name| (name, held(&lab, &format!("proc/2{name}"), OFlag::O_DIRECTORY)));
    let links = ["cwd", "root", "exe", "ns/uts"].map(|name| (name, held(&lab, &format!("proc/2/{name}"), path_only)));
    let outlive =
        ["mountinfo", "mounts", "uid_map", "setgroups", "net/dev", "net/unix", "environ", "auxv", "task/2/children"];
    let mut outlive = outlive.map(|name| (name, file(&lab, &format!("proc/2/{name}"))));
    let mut end =
        ["status", "stat", "comm", "maps", "cgroup"].map(|name| (name, file(&lab, &format!("proc/2/{name}"))));
    let before: Vec<_> = outlive.iter_mut().map(|(_, file)| reread(file)).collect();
    lab.call(1, "kill 2 SIGKILL").unwrap();
    let zombie: Vec<_> = outlive.iter_mut().map(|(_, file)| reread(file)).collect();
    assert_eq!(zombie, before);
    // They are empty while their task is a zombie, and an error when it is reaped.
    let empty = ["cmdline", "maps", "smaps", "numa_maps", "coredump_filter", "timens_offsets"];
    let mut empty = empty.map(|name| (name, file(&lab, &format!("proc/2/{name}"))));
    for (name, file) in &mut empty {
        assert_eq!(reread(file), Ok(String::new()), "{name} of a zombie");
    }
    for (name, fd) in &links {
        assert_eq!(link(fd, ""), Err(Errno::ENOENT), "{name} of a zombie");
    }
    lab.call(1, "wait 2").unwrap();
    let after: Vec<_> = outlive.iter_mut().map(|(_, file)| reread(file)).collect();
    assert_eq!(after, before);
    for (name, file) in &mut empty {
        assert_eq!(reread(file), Err(Some(Errno::ESRCH as i32)), "{name} that was opened of a zombie");
    }
    for (name, file) in &mut end {
        assert_eq!(reread(file), Err(Some(Errno::ESRCH as i32)), "{name}");
        assert_eq!(fstat(&*file).unwrap().st_mode & 0o777, 0o444 | if *name == "comm" { 0o200 } else { 0 }, "{name}");
    }
    for (name, fd) in &dirs {
        let refusal = if ["", "/task", "/fdinfo"].contains(name) { Errno::ESRCH } else { Errno::ENOENT };
        assert_eq!(openat(fd, "status", OFlag::O_RDONLY, Mode::empty()).unwrap_err(), refusal, "openat {name}");
        assert_eq!(fstatat(fd, "status", AtFlags::empty()).unwrap_err(), refusal, "fstatat {name}");
        assert_eq!(link(fd, "cwd"), Err(refusal), "readlinkat {name}");
        assert_eq!(fstat(fd).is_ok(), *name != "/fd", "fstat {name}");
        // The library takes ENOENT for the end.
        let listed = if *name == "/net" { Err(Errno::EINVAL) } else { Err(Errno::ENOENT) };
        assert_eq!(getdents(fd), listed, "list {name}");
    }
    for (name, fd) in &links {
        assert_eq!(link(fd, ""), Err(if *name == "ns/uts" { Errno::EACCES } else { Errno::ENOENT }), "{name}");
        assert_eq!(fstat(fd).unwrap().st_mode & 0o777, 0o777, "{name}");
    }
}

/// What is known of a descriptor stays known to who has its files open: `fdinfo` by either way to open it, and the link.
#[test]
fn files_of_descriptors_outlive_them() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone").unwrap();
    lab.call(2, "open proc/1/status").unwrap();
    let path_only = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let all = [("fdinfo/0", OFlag::O_RDONLY), ("fdinfo/0", OFlag::O_PATH), ("fd/0", path_only)];
    let all = all.map(|(name, flags)| (name, held(&lab, &format!("proc/2/{name}"), flags)));
    for change in ["2 close 0", "1 kill 2 SIGKILL", "1 wait 2"] {
        let (pid, call) = change.split_once(' ').unwrap();
        lab.call(pid.parse::<i32>().unwrap(), call).unwrap();
        for (name, fd) in &all {
            let mode = fstat(fd).unwrap_or_else(|errno| panic!("{name} after {change}: {errno}")).st_mode;
            assert_eq!(mode, if *name == "fd/0" { 0o120_500 } else { 0o100_444 }, "{name} after {change}");
        }
    }
}

/// Also one whose names the host's kernel has.
#[test]
fn a_listed_directory_of_a_task_that_is_gone_lists_nothing() {
    let Some(lab) = lab() else { return };
    for prefix in ["proc/2", "proc/2/task/2", "as/1/proc/2"] {
        lab.call(1, "clone set_tid=2").unwrap();
        let dirs = ["ns", "fd", "fdinfo", "task", "net", "attr"];
        let dirs = dirs.iter().filter(|name| lab.at(format!("{prefix}/{name}")).exists());
        let listed: Vec<(String, OwnedFd)> = dirs
            .map(|name| format!("{prefix}/{name}"))
            .map(|path| (path.clone(), held(&lab, &path, OFlag::O_DIRECTORY)))
            .collect();
        // A library takes ENOENT for the end.
        let names = |dir: &OwnedFd| {
            rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
            let (mut room, mut count) = (vec![MaybeUninit::uninit(); 4096], 0);
            let mut names = RawDir::new(dir, &mut room);
            while let Some(name) = names.next() {
                name?;
                count += 1;
            }
            Ok(count)
        };
        for (path, dir) in &listed {
            let first = names(dir);
            assert!(first.is_ok() && first == names(dir), "{path}");
        }
        lab.call(1, "kill 2 SIGKILL").unwrap();
        let of_zombie: Vec<_> = listed.iter().map(|(_, dir)| names(dir)).collect();
        lab.call(1, "wait 2").unwrap();
        for (path, dir) in listed.iter().filter(|(path, _)| path.ends_with("/ns")) {
            assert_eq!(names(dir), Err(rustix::io::Errno::NOENT), "{path}: {of_zombie:?}");
        }
    }
}

#[test]
fn an_open_file_keeps_no_namespace() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone newnet").unwrap();
    let mut net = file(&lab, "proc/2/net/dev");
    lab.call(1, "kill 2 SIGKILL").unwrap();
    lab.call(1, "wait 2").unwrap();
    assert_eq!(reread(&mut net), Err(Some(Errno::ESRCH as i32)));
}

#[test]
fn a_held_link_leads_where_the_task_is_now() {
    let Some(lab) = lab() else { return };
    lab.call(1, "clone").unwrap();
    let [cwd, exe] =
        ["cwd", "exe"].map(|name| held(&lab, &format!("proc/2/{name}"), OFlag::O_PATH | OFlag::O_NOFOLLOW));
    let before = link(&cwd, "").unwrap();
    assert_eq!(link(&cwd, "").unwrap(), before);
    lab.call(2, "chdir /run").unwrap();
    assert!(link(&cwd, "").unwrap().ends_with("/run"));
    lab.call(2, "mkdir /w/d").unwrap();
    lab.call(2, "chdir /w/d").unwrap();
    assert!(link(&cwd, "").unwrap().ends_with("/w/d"));
    lab.call(1, "rename /w/d /w/e").unwrap();
    assert!(link(&cwd, "").unwrap().ends_with("/w/e"));
    let program = link(&exe, "").unwrap();
    lab.call(2, "exec /bin/other").unwrap();
    assert_ne!(link(&exe, "").unwrap(), program);
}

#[test]
fn listings_have_the_numbers_of_attributes() {
    use std::os::unix::fs::{DirEntryExt, MetadataExt};
    let Some(lab) = lab() else { return };
    lab.call(1, "clone newnet").unwrap();
    lab.call(2, "open proc/1/status").unwrap();
    let dirs = [
        "",
        "proc",
        "proc/2",
        "proc/2/fd",
        "proc/2/ns",
        "proc/sys/kernel",
        "ctl",
        "ctl/2",
        "kernel/ns",
        "root",
        "as/2",
        "cgroup",
    ];
    for dir in dirs {
        for entry in std::fs::read_dir(lab.at(dir)).unwrap().map(Result::unwrap) {
            let attr = std::fs::symlink_metadata(entry.path()).unwrap();
            assert_eq!(entry.ino(), attr.ino(), "{}", entry.path().display());
        }
    }
    let mut batch = OpenOptions::new().read(true).write(true).open(lab.at("ctl/batch")).unwrap();
    batch.write_all(b"1 stat proc/2/status\n").unwrap();
    let mut line = String::new();
    batch.read_to_string(&mut line).unwrap();
    let number = std::fs::metadata(lab.at("proc/2/status")).unwrap().ino().to_string();
    assert_eq!(line.trim_end().rsplit(' ').next(), Some(&number[..]), "as a task sees it");
}
