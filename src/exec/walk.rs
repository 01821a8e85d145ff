//! Where paths lead. What a path of a program says is not where it leads: a link on the way may lead into `/proc` and the other
//! directories that are the task's own. A path is looked at name by name, as the real kernel walks it, up to where it enters one.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::path::{OF_TASK, is_of_task, plain};
use crate::abi::{Call, Registers, call};

/// Links that are followed at most (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// `AT_SYMLINK_NOFOLLOW` and `AT_SYMLINK_FOLLOW`.
const NOFOLLOW: u64 = 0x100;
const FOLLOW: u64 = 0x400;

/// Where `path`, which starts with a slash, leads by links of the host, if that is into a directory of the task's own: from
/// there on, the path as it is written. `follows`: a link at its end is followed as well.
pub fn enters(path: &[u8], follows: bool) -> Option<Vec<u8>> {
    if !may_have_links(path, follows) {
        return None;
    }
    let (mut at, mut links) = (Vec::new(), 0);
    let mut names: VecDeque<Vec<u8>> = path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
    while let Some(name) = names.pop_front() {
        match &name[..] {
            b"" | b"." => continue,
            b".." => {
                let end = at.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                at.truncate(end);
                continue;
            }
            _ => {}
        }
        let next = [&at[..], b"/", &name].concat();
        if is_of_task(&next) {
            let rest = names.iter().flat_map(|name| [b"/", &name[..]].concat());
            return Some(next.into_iter().chain(rest).collect());
        }
        if names.is_empty() && !follows {
            return None;
        }
        match link(&next) {
            Ok(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                if target.starts_with(b"/") {
                    at.clear();
                }
                for name in target.split(|&byte| byte == b'/').rev() {
                    names.push_front(name.to_vec());
                }
            }
            // EINVAL: no link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => at = next,
            // It leads nowhere, or nobody may know where.
            Err(_) => return None,
        }
    }
    None
}

fn link(path: &[u8]) -> io::Result<Vec<u8>> {
    std::fs::read_link(Path::new(OsStr::from_bytes(path))).map(|target| target.into_os_string().into_vec())
}

/// Whether it has to be looked at name by name: the real kernel says at once that a path has no links.
fn may_have_links(path: &[u8], follows: bool) -> bool {
    let end = if follows { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::PATH | OFlags::CLOEXEC | end;
    let opened = openat2(CWD, OsStr::from_bytes(path), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
    // What is not there, up to where it is not there, has none either.
    !matches!(opened, Ok(_) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS))
}

/// Whether a call follows a link at the end of a path, which is its argument `index`. `open_how` reads the flags of openat2(2),
/// and those that say how the path is walked.
pub fn follows(registers: &Registers, index: usize, open_how: impl Fn(u64) -> [u64; 2]) -> bool {
    let args = registers.args;
    let opens = |flags: u64| {
        let new = (libc::O_CREAT | libc::O_EXCL) as u64;
        flags & libc::O_NOFOLLOW as u64 == 0 && flags & new != new
    };
    match call(registers.number) {
        Some(
            Call::Lstat
            | Call::Lchown
            | Call::Readlink
            | Call::Readlinkat
            | Call::Unlink
            | Call::Unlinkat
            | Call::Rmdir
            | Call::Mkdir
            | Call::Mkdirat
            | Call::Mknod
            | Call::Mknodat
            | Call::Symlink
            | Call::Symlinkat
            | Call::Link
            | Call::Rename
            | Call::Renameat
            | Call::Renameat2
            | Call::Lsetxattr
            | Call::Lgetxattr
            | Call::Llistxattr
            | Call::Lremovexattr,
        ) => false,
        Some(Call::Open) => opens(args[1]),
        Some(Call::Openat) => opens(args[2]),
        Some(Call::Openat2) => opens(open_how(args[2])[0]),
        Some(Call::Newfstatat | Call::Utimensat | Call::Faccessat2 | Call::Fchmodat2) => args[3] & NOFOLLOW == 0,
        Some(Call::Statx | Call::Setxattrat | Call::Getxattrat | Call::Listxattrat | Call::Removexattrat) => {
            args[2] & NOFOLLOW == 0
        }
        Some(Call::Fchownat | Call::Execveat | Call::FileGetattr | Call::FileSetattr) => args[4] & NOFOLLOW == 0,
        Some(Call::NameToHandleAt) => args[4] & FOLLOW != 0,
        Some(Call::Linkat) => index == 1 && args[4] & FOLLOW != 0,
        Some(Call::InotifyAddWatch) => args[2] & u64::from(libc::IN_DONT_FOLLOW) == 0,
        _ => true,
    }
}

/// The path from a directory on.
pub fn from(dir: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") { path.to_vec() } else { [dir, b"/", path].concat() }
}

/// A path that goes on behind a link of the caller's own directory in `/proc`, which leads where `target` says: `root`, `cwd` and
/// those of descriptors. The real kernel would go on in the host's tree.
pub fn behind_own_link(below: &[u8], target: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut names = below.splitn(3, |&byte| byte == b'/');
    let first = names.next()?;
    let (link, rest) = match first {
        b"root" => return Some(plain(&[&b"/"[..], below.strip_prefix(b"root/")?].concat())),
        b"cwd" => ("cwd".to_owned(), below.strip_prefix(b"cwd/")?.to_vec()),
        b"fd" => {
            let number = std::str::from_utf8(names.next()?).ok()?;
            (format!("fd/{number}"), names.next()?.to_vec())
        }
        _ => return None,
    };
    let target = target(&link).filter(|target| target.starts_with(b"/"))?;
    Some(plain(&from(&target, &rest)))
}

/// Whether a path, as it is written, goes up from a directory of the task's own: the host may not have that directory.
pub(super) fn goes_up(path: &[u8]) -> bool {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                let dir = names.iter().fold(Vec::new(), |path, name| [&path, &b"/"[..], name].concat());
                if OF_TASK.contains(&&dir[..]) {
                    return true;
                }
                names.pop();
            }
            name => names.push(name),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_into_the_directories_of_tasks() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        let up = "../".repeat(dir.path().components().count());
        for (name, target) in [
            ("proc", "/proc"),
            ("again", "proc"),
            ("d/up", "../again"),
            ("root", "/"),
            ("name", "/proc/sys/kernel/hostname"),
            ("far", &format!("{up}proc")),
            ("loop", "loop"),
            ("usr", "/usr"),
        ] {
            symlink(target, at(name)).unwrap();
        }
        for (path, follows, expected) in [
            ("proc/1/comm", true, Some("/proc/1/comm")),
            ("again/1", true, Some("/proc/1")),
            ("d/up/self/", true, Some("/proc/self/")),
            ("d/./up/../x", true, Some("/proc/../x")),
            ("root/proc/1", true, Some("/proc/1")),
            ("root/usr/../proc/1", true, Some("/proc/1")),
            ("name", true, Some("/proc/sys/kernel/hostname")),
            ("far/1", true, Some("/proc/1")),
            ("root/run/netns/a", true, Some("/run/netns/a")),
            ("proc", true, Some("/proc")),
            ("proc", false, None),
            ("name", false, None),
            ("proc/1", false, Some("/proc/1")),
            ("usr/bin", true, None),
            ("loop", true, None),
            ("none/proc", true, None),
            ("d", true, None),
        ] {
            let found = enters(at(path).as_os_str().as_bytes(), follows);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn paths_go_on_behind_links_of_the_own_directory() {
        let target = |link: &str| match link {
            "cwd" => Some(b"/tmp".to_vec()),
            "fd/9" => Some(b"/".to_vec()),
            "fd/8" => Some(b"pipe:[7]".to_vec()),
            _ => None,
        };
        for (below, expected) in [
            ("root/proc/1", Some("/proc/1")),
            ("root", None),
            ("cwd/../proc", Some("/proc")),
            ("fd/9/proc/1", Some("/proc/1")),
            ("fd/9", None),
            ("fd/8/x", None),
            ("fd/7/x", None),
            ("status", None),
        ] {
            let found = behind_own_link(below.as_bytes(), target);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{below}");
        }
    }

    #[test]
    fn paths_may_go_up_from_a_directory_of_the_task() {
        for (path, goes) in
            [("/dev/mqueue/..", true), ("/run/./netns/../x", true), ("/proc/1/..", false), ("/dev/../proc", false)]
        {
            assert_eq!(goes_up(path.as_bytes()), goes, "{path}");
        }
    }
}
