//! Stand-ins for what a machine's owner has chosen: names of hosts, programs, directories, cgroups. The same word gets the same
//! stand-in throughout, in the order of their appearance; what every machine has keeps its name.

use std::collections::BTreeMap;

use super::topology::{Own, Topology};

/// Directories that every machine has, and names of files of the kernel's.
const KNOWN: [&str; 34] = [
    "",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var",
    "lib",
    "lib64",
    "usr",
    "etc",
    "home",
    "root",
    "mnt",
    "srv",
    "opt",
    "boot",
    "bin",
    "sbin",
    "log",
    "cache",
    "fs",
    "cgroup",
    "kernel",
    "debug",
    "tracing",
    "security",
    "config",
    "mqueue",
    "pts",
    "shm",
    "hugepages",
    "user",
    "netns",
];
/// What systemd adds to names.
const ENDINGS: [&str; 6] = [".slice", ".service", ".scope", ".socket", ".mount", ".lock"];

/// Replaces all names in a topology.
pub fn anonymize(topology: &mut Topology) {
    let mut names = StandIns::default();
    for task in topology.tasks.values_mut() {
        if !task.is_kthread && task.tid != 1 {
            task.comm = names.of("program", &task.comm);
        }
        if !task.argv.is_empty() {
            task.argv = vec![task.comm.clone()];
        }
        task.cgroup = task.cgroup.take().map(|path| names.path("group", &path));
    }
    for ns in topology.namespaces.values_mut() {
        match &mut ns.own {
            Own::Names { node, domain } => {
                *node = names.of("host", node);
                if domain != b"(none)" {
                    *domain = names.of("domain", domain);
                }
            }
            Own::Mnt(mounts) => {
                for mount in mounts {
                    if mount.fs != "nsfs" {
                        mount.root = names.path("dir", &mount.root);
                    }
                    mount.point = names.path("dir", &mount.point);
                    if mount.source != mount.fs.as_bytes() && mount.source != b"none" {
                        mount.source = names.path("device", &mount.source);
                    }
                    mount.super_options = plain_options(&mount.super_options);
                }
            }
            Own::Cgroup { root } => *root = root.take().map(|path| names.path("group", &path)),
            Own::User(_) | Own::Time(_) | Own::Plain => {}
        }
    }
}

/// Options without values that name something: paths, labels.
fn plain_options(options: &str) -> String {
    let is_plain = |option: &&str| {
        option.split_once('=').is_none_or(|(_, value)| value.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    options.split(',').filter(is_plain).collect::<Vec<_>>().join(",")
}

/// Which word stands for which.
#[derive(Default)]
struct StandIns(BTreeMap<(&'static str, Vec<u8>), usize>);

impl StandIns {
    /// The stand-in for a word of a kind: the kind and a number.
    fn of(&mut self, kind: &'static str, word: &[u8]) -> Vec<u8> {
        let next = self.0.keys().filter(|(of, _)| *of == kind).count() + 1;
        let number = *self.0.entry((kind, word.to_vec())).or_insert(next);
        format!("{kind}{number}").into_bytes()
    }

    /// A path, name by name.
    fn path(&mut self, kind: &'static str, path: &[u8]) -> Vec<u8> {
        let names = path.split(|&byte| byte == b'/').map(|name| match std::str::from_utf8(name) {
            Ok(known) if KNOWN.contains(&known) => name.to_vec(),
            Ok(text) => {
                let ending = ENDINGS.iter().find(|ending| text.ends_with(**ending)).copied().unwrap_or_default();
                [&self.of(kind, &name[..name.len() - ending.len()])[..], ending.as_bytes()].concat()
            }
            Err(_) => self.of(kind, name),
        });
        names.collect::<Vec<_>>().join(&b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_word_has_the_same_stand_in() {
        let mut names = StandIns::default();
        assert_eq!(names.path("group", b"/system.slice/nginx.service"), b"/group1.slice/group2.service");
        assert_eq!(names.path("group", b"/nginx.slice"), b"/group2.slice");
        assert_eq!(names.path("dir", b"/var/lib/secret"), b"/var/lib/dir1");
        assert_eq!(plain_options("rw,lowerdir=/a/b,size=5k"), "rw,size=5k");
    }
}
