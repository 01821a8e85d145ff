//! `mountinfo`, `mounts` and `mountstats`: the mounts of a task's namespace that are below its root directory
//! (`fs/proc_namespace.c`; proc_pid_mountinfo(5)).

use std::fmt::Write as _;

use crate::bail;
use crate::errno::Result;
use crate::kernel::mount::flags::MountFlags;
use crate::kernel::mount::sb::SuperBlock;
use crate::kernel::mount::site::Path;
use crate::kernel::mount::tree::Mount;
use crate::kernel::refcount::Held;
use crate::kernel::{Kernel, MntNsId, MountId, TaskId};
use crate::tree::look::Look;
use crate::tree::root::{End, d_path, path_in_sb};

/// One of the three files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Info,
    Mounts,
    Stats,
}

/// Mount flags by their names, in the order shown; a mount that is not read-only shows `rw` instead.
const NAMES: [(MountFlags, &str); 7] = [
    (MountFlags::NOSUID, ",nosuid"),
    (MountFlags::NODEV, ",nodev"),
    (MountFlags::NOEXEC, ",noexec"),
    (MountFlags::NOATIME, ",noatime"),
    (MountFlags::NODIRATIME, ",nodiratime"),
    (MountFlags::RELATIME, ",relatime"),
    (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
];

pub(super) fn mountinfo(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    of_task(look, task, Format::Info)
}

pub(super) fn mounts(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    of_task(look, task, Format::Mounts)
}

pub(super) fn mountstats(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    of_task(look, task, Format::Stats)
}

/// # Errors
/// EINVAL: the task is a zombie.
fn of_task(look: &Look<'_>, task: TaskId, format: Format) -> Result<Vec<u8>> {
    match (look.k.mnt_ns_of(task), look.k.fs_of(task)) {
        (Some(ns), Some(fs)) => Ok(render(look, ns, fs.root.path(), format)),
        _ => bail!(EINVAL, "pid {} is a zombie and in no mount namespace", look.k.task_nr(task)),
    }
}

/// A line for each mount of a namespace below `root`, in the order in which they were made.
pub(in crate::tree) fn render(look: &Look<'_>, ns: MntNsId, root: Path, format: Format) -> Vec<u8> {
    let k = look.k;
    let tree = k.tree_of(ns);
    let mounts = k.vfs.trees[tree].mounts.values().map(Held::id);
    mounts.filter_map(|mount| line(look, mount, root, format)).flatten().collect()
}

/// The line of a mount; `None` if it is not below `root`.
pub(in crate::tree) fn line(look: &Look<'_>, id: MountId, root: Path, format: Format) -> Option<Vec<u8>> {
    let k = look.k;
    let mount = &k.vfs.mounts[id];
    let (point, end) = d_path(look, Path { mount: id, place: mount.root.place() }, root);
    if end == End::Outside {
        return None;
    }
    let sb = &k.vfs.sbs[mount.sb.id()];
    let (point, source) = (escape(&point, b""), source(mount));
    Some(match format {
        Format::Info => info_line(look, id, root, &point),
        Format::Mounts => {
            let is_ro = mount.flags.contains(MountFlags::READONLY) || sb.read_only;
            let flags = flag_names(mount.flags);
            let options = format!("{}{}{flags}{}", ro(is_ro), sb_flags(sb), sb.options.shown());
            [&source[..], b" ", &point, format!(" {} {options} 0 0\n", sb.fs_name()).as_bytes()].concat()
        }
        Format::Stats => {
            let device =
                if mount.source.is_some() { [b"device ", &source[..]].concat() } else { b"no device".to_vec() };
            [&device[..], b" mounted on ", &point, format!(" with fstype {}\n", sb.fs_name()).as_bytes()].concat()
        }
    })
}

fn info_line(look: &Look<'_>, id: MountId, root: Path, point: &[u8]) -> Vec<u8> {
    let k = look.k;
    let mount = &k.vfs.mounts[id];
    let sb = &k.vfs.sbs[mount.sb.id()];
    let parent = mount.parent().map_or(mount.mnt_id, |parent| k.vfs.mounts[parent].mnt_id);
    let ids = format!("{} {parent} {}:{} ", mount.mnt_id, sb.device.0, sb.device.1);
    let shown_root = escape(&path_in_sb(look, Path { mount: id, place: mount.root.place() }), b"");
    let own = format!(" {}{}", ro(mount.flags.contains(MountFlags::READONLY)), flag_names(mount.flags));
    let propagation = propagation(k, id, root);
    let options = format!("{}{}{}", ro(sb.read_only), sb_flags(sb), sb.options.shown());
    let end = format!("{own}{propagation} - {} ", sb.fs_name());
    let line = [ids.as_bytes(), &shown_root, b" ", point, end.as_bytes(), &source(mount), b" ", options.as_bytes()];
    [&line.concat()[..], b"\n"].concat()
}

/// The optional fields.
fn propagation(k: &Kernel, id: MountId, root: Path) -> String {
    let mount = &k.vfs.mounts[id];
    let mut text = String::new();
    if mount.is_shared() {
        let _ = write!(text, " shared:{}", mount.group);
    }
    if let Some(master) = mount.master {
        let group = k.vfs.mounts[master].group;
        let _ = write!(text, " master:{group}");
        if let Some(dominating) = dominating_group(k, id, root).filter(|&dominating| dominating != group) {
            let _ = write!(text, " propagate_from:{dominating}");
        }
    }
    if mount.flags.contains(MountFlags::UNBINDABLE) {
        text.push_str(" unbindable");
    }
    text
}

/// The nearest group up the chain of masters with a member in the same tree and below `root` (`get_dominating_id`).
fn dominating_group(k: &Kernel, id: MountId, root: Path) -> Option<u32> {
    let tree = k.vfs.mounts[id].tree;
    let is_visible = |&peer: &MountId| {
        let peer_mount = &k.vfs.mounts[peer];
        peer_mount.tree == tree && k.is_path_reachable(peer, &peer_mount.root.site(), root)
    };
    let mut masters = std::iter::successors(k.vfs.mounts[id].master, |&master| k.vfs.mounts[master].master);
    let dominating = masters.find_map(|master| k.peers(master).find(is_visible))?;
    Some(k.vfs.mounts[dominating].group)
}

/// The string given to mount(2); `#` could start a comment in a file of this format.
fn source(mount: &Mount) -> Vec<u8> {
    escape(mount.source.as_deref().unwrap_or(b"none"), b"#")
}

fn ro(is_read_only: bool) -> &'static str {
    if is_read_only { "ro" } else { "rw" }
}

fn flag_names(flags: MountFlags) -> String {
    NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect()
}

fn sb_flags(sb: &SuperBlock) -> String {
    sb.options.sb_flags.iter().map(|name| format!(",{name}")).collect()
}

/// Blanks, backslashes and `others` in octal (`mangle_path`).
fn escape(text: &[u8], others: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for &byte in text {
        if b" \t\n\\".contains(&byte) || others.contains(&byte) {
            escaped.extend(format!("\\{byte:03o}").bytes());
        } else {
            escaped.push(byte);
        }
    }
    escaped
}

/// Replaces `\040` and its like, three octal digits of a byte.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if *byte == b'\\' => {
                plain.push(escaped);
                rest = &after[3..];
            }
            _ => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_backslashes_are_octal_and_hashes_only_in_sources() {
        assert_eq!(escape(b"a b\\#", b""), b"a\\040b\\134#");
        assert_eq!(escape(b"a#b\tc\n", b"#"), b"a\\043b\\011c\\012");
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescape(b"a\\9\\134"), b"a\\9\\");
    }
}
