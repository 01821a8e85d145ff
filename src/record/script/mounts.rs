//! The mounts of a namespace, made by the first task that is in it.

use super::Writer;
use crate::control::lex::quote;
use crate::kernel::ns::NsType;
use crate::record::Files;
use crate::record::files::Bare;
use crate::record::mountinfo;
use crate::record::topology::{Mount, Own};

/// Options of a mount that the language has words for.
const OPTIONS: [&str; 9] =
    ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"];

impl Writer<'_> {
    /// Makes the mounts of the namespace that a task is in, if nobody has.
    pub(super) fn mounts_of(&mut self, task: &str, number: i32, inum: u32) {
        let Some(namespace) = self.topology.namespaces.get(&inum) else { return };
        let Own::Mnt(wanted) = &namespace.own else { return };
        if wanted.is_empty() || !self.mounted.insert(inum) || same(&self.there(number), wanted) {
            return;
        }
        for nsfs in wanted.iter().filter(|mount| mount.fs == "nsfs") {
            if let Some(inum) = crate::record::read::inum(&nsfs.root).filter(|_| nsfs.root.starts_with(b"pid:")) {
                self.nested_pid_namespace(inum);
            }
        }
        for mount in parents_first(wanted) {
            // On `/` a line takes the place of all that is there; `/.` is what is on top of it.
            let is_over =
                mount.point == b"/" && wanted.iter().any(|other| other.id == mount.parent && other.id != mount.id);
            let point = if is_over { b"/." } else { &mount.point[..] };
            self.line(&mount_line(task, mount, point));
        }
    }

    /// What the task sees now.
    fn there(&self, number: i32) -> Vec<Mount> {
        let text = Bare(&self.k).read(&format!("proc/{number}/mountinfo")).unwrap_or_default();
        text.split(|&byte| byte == b'\n').filter_map(mountinfo::parse).collect()
    }

    /// Mount namespaces that nobody is in, but that were seen: who has made them makes their mounts.
    pub(super) fn unused_mounts(&mut self) {
        let all = self.topology.namespaces.iter().filter(|(_, ns)| ns.ns_type == NsType::Mnt);
        for inum in all.map(|(inum, _)| *inum) {
            let Some(actor) = self.members.get(&inum).cloned() else { continue };
            if let Some(keeper) = self.keeper_numbers.get(&actor).copied() {
                self.mounts_of(&actor, keeper, inum);
            }
        }
    }
}

fn mount_line(task: &str, mount: &Mount, point: &[u8]) -> String {
    let options: Vec<&str> = mount.options.split(',').filter(|option| OPTIONS.contains(option)).collect();
    let options = if options.is_empty() { "rw".to_owned() } else { options.join(",") };
    let mut line =
        format!("{task} mount {} {} {} -o {options}", quote(mount.fs.as_bytes()), quote(&mount.source), quote(point));
    line += &format!(" dev={}:{}", mount.device.0, mount.device.1);
    if mount.root != b"/" {
        line += &format!(" {}", quote(&[b"root=", &mount.root[..]].concat()));
    }
    if let Some(group) = mount.shared {
        line += &format!(" shared={group}");
    }
    if let Some(group) = mount.master {
        line += &format!(" master={group}");
    }
    if mount.is_unbindable {
        line += " unbindable";
    }
    if mount.super_options != "rw" {
        line += &format!(" {}", quote(format!("super={}", mount.super_options).as_bytes()));
    }
    line
}

/// In the order of mounting, but none before the mount it is on.
fn parents_first(mounts: &[Mount]) -> Vec<&Mount> {
    let mut left: Vec<&Mount> = mounts.iter().collect();
    let mut sorted: Vec<&Mount> = Vec::new();
    while !left.is_empty() {
        let waits =
            |mount: &Mount, left: &[&Mount]| left.iter().any(|other| other.id == mount.parent && other.id != mount.id);
        let next = left.iter().position(|mount| !waits(mount, &left)).unwrap_or(0);
        sorted.push(left.remove(next));
    }
    sorted
}

/// Whether two tables say the same but for the numbers of mounts.
fn same(there: &[Mount], wanted: &[Mount]) -> bool {
    let place = |mounts: &[Mount], id: u32| mounts.iter().position(|mount| mount.id == id);
    let plain = |mounts: &[Mount]| -> Vec<(Mount, Option<usize>)> {
        mounts.iter().map(|mount| (Mount { id: 0, parent: 0, ..mount.clone() }, place(mounts, mount.parent))).collect()
    };
    plain(there) == plain(wanted)
}
