//! Random mounts and umounts in shared trees. Where a mount appears and disappears elsewhere is compared with what the
//! definition says, read off by scanning all mounts: who is a peer or a slave of whom.

use std::collections::{BTreeMap, BTreeSet};

use nslab::control::{parse_write, verb};
use nslab::kernel::mount::flags::MountFlags;
use nslab::kernel::mount::site::Path;
use nslab::kernel::node::{Node, Place};
use nslab::kernel::{Kernel, MountId, TaskId};
use nslab::syscall::{AnyCall, dispatch};
use nslab::tree;
use proptest::prelude::*;

fn call(line: &str) -> AnyCall {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    parse_write(verb(name).unwrap(), rest.as_bytes()).unwrap()
}

/// Four tasks, the last two in user namespaces of their own, in copies of one tree with a shared mount on `/w`.
fn scene() -> (Kernel, Vec<TaskId>) {
    let mut k = Kernel::boot();
    let init = k.init.task;
    for line in ["mount tmpfs w /w", "mkdir /w/a", "mkdir /w/a/a", "mkdir /w/b", "mount --make-shared /w"] {
        dispatch(&mut k, init, &call(line)).unwrap();
    }
    let flags = ["clone", "clone newns", "clone newns newuser", "clone newns newuser"];
    let tasks = flags.map(|line| dispatch(&mut k, init, &call(line)).unwrap().to_string());
    let tasks = tasks.iter().map(|nr| k.find_task(nr.parse().unwrap()).unwrap()).collect();
    (k, tasks)
}

fn line() -> impl Strategy<Value = String> {
    let path = || prop::sample::select(&["/w", "/w/a", "/w/b", "/w/a/a", "/w/b/a"][..]);
    let verb = prop::sample::select(
        &[
            "mount tmpfs n PATH",
            "mount tmpfs m PATH",
            "mount --bind PATH PATH",
            "mount --rbind PATH PATH",
            "mount --move PATH PATH",
            "mount --make-shared PATH",
            "mount --make-rshared PATH",
            "mount --make-slave PATH",
            "mount --make-private PATH",
            "umount PATH",
            "umount PATH",
            "umount -l PATH",
            "mkdir PATH",
        ][..],
    );
    (verb, path(), path()).prop_map(|(verb, one, other)| verb.replacen("PATH", one, 1).replacen("PATH", other, 1))
}

/// By definition: from a mount to the other members of its group, and from a group to the mounts whose master is in it.
fn receivers(k: &Kernel, origin: MountId) -> BTreeSet<MountId> {
    let group = |mount: MountId| k.vfs.mounts[mount].group;
    let mut reached = BTreeSet::from([origin]);
    loop {
        let groups: BTreeSet<u32> = reached.iter().map(|&m| group(m)).filter(|&group| group != 0).collect();
        let more = k.vfs.mounts.iter().filter(|(_, mount)| {
            let above = mount.master.map_or(0, group);
            groups.contains(&mount.group) || groups.contains(&above)
        });
        let before = reached.len();
        reached.extend(more.map(|(id, _)| id));
        if reached.len() == before {
            reached.remove(&origin);
            return reached;
        }
    }
}

fn is_below(k: &Kernel, place: Place, top: Place) -> bool {
    match (place, top) {
        (Place::Dentry(dentry), Place::Dentry(top)) => k.is_dentry_below(dentry, top),
        _ => place == top,
    }
}

type Tree = BTreeMap<MountId, Option<(MountId, Place)>>;

fn mounts(k: &Kernel) -> Tree {
    let place = |m: &nslab::kernel::mount::tree::Mount| m.place_in_tree().map(|(parent, site)| (parent, site.place));
    k.vfs.mounts.iter().filter(|(_, m)| m.tree.is_some()).map(|(id, m)| (id, place(m))).collect()
}

fn target(k: &Kernel, task: TaskId, path: &[u8]) -> Option<Path> {
    tree::resolve_file(k, task, path, true).ok().and_then(|node: Node| node.path()).map(|path| k.topmost(path))
}

/// A new mount appears on its target and on all that receive from that and see the place.
fn check_new(k: &Kernel, before: &Tree, at: Path, expected: &BTreeSet<MountId>) {
    let after = mounts(k);
    let new: BTreeSet<MountId> = after.keys().filter(|mount| !before.contains_key(mount)).copied().collect();
    let parents: BTreeSet<MountId> = new.iter().filter_map(|mount| after[mount].map(|(parent, _)| parent)).collect();
    assert_eq!(&parents, expected, "parents of the new mounts");
    assert_eq!(new.len(), expected.len());
    assert!(new.iter().all(|mount| after[mount].is_some_and(|(_, place)| place == at.place)));
    let groups: BTreeSet<bool> = new.iter().map(|&m| k.vfs.mounts[m].is_shared()).collect();
    assert!(groups.contains(&k.vfs.mounts[at.mount].is_shared()));
    for &mount in &new {
        let parent = after[&mount].map(|(parent, _)| &k.vfs.mounts[parent]).unwrap();
        assert_eq!(k.vfs.mounts[mount].is_shared(), parent.is_shared(), "shared as its parent is");
    }
}

/// What goes with one umounted mount lay at its place on a mount that receives from its parent, and had nothing else on
/// it; what stays there is protected or locked.
fn check_umount(
    k: &Kernel,
    before: &Tree,
    gone: MountId,
    counterparts: &BTreeSet<MountId>,
    protected: &BTreeSet<MountId>,
) {
    let after = mounts(k);
    let removed: BTreeSet<MountId> = before.keys().filter(|mount| !after.contains_key(mount)).copied().collect();
    let allowed: BTreeSet<MountId> = counterparts.iter().copied().chain([gone]).collect();
    assert!(removed.is_subset(&allowed), "{removed:?} of {allowed:?}");
    let required: BTreeSet<MountId> = allowed.difference(protected).copied().collect();
    assert!(required.is_subset(&removed), "{required:?} had to go, {removed:?} went");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mounts_appear_and_go_where_the_definition_says(
        program in prop::collection::vec((0..4usize, line()), 60)
    ) {
        let (mut k, tasks) = scene();
        for (actor, line) in program {
            let before = mounts(&k);
            let path = line.rsplit(' ').next().unwrap_or_default();
            let at = target(&k, tasks[actor], path.as_bytes());
            let reached = at.map(|at| {
                let sees = |&m: &MountId| is_below(&k, at.place, k.vfs.mounts[m].root.place());
                receivers(&k, at.mount).into_iter().filter(sees).chain([at.mount]).collect::<BTreeSet<_>>()
            });
            let counterparts: BTreeSet<MountId> = at.and_then(|at| before.get(&at.mount).copied().flatten()).map(|(parent, place)| {
                receivers(&k, parent).iter().filter_map(|&m| k.vfs.mounts[m].at.get(&place).copied()).collect()
            }).unwrap_or_default();
            let has_other = |&m: &MountId| {
                let mount = &k.vfs.mounts[m];
                mount.at.keys().any(|&place| place != mount.root.place())
            };
            let covers = |&m: &MountId| k.vfs.mounts[m].place_in_tree().is_some_and(|(p, s)| k.vfs.mounts[p].root.place() == s.place);
            let locked = |&m: &MountId| k.vfs.mounts[m].flags.contains(MountFlags::LOCKED);
            let kept: BTreeSet<MountId> = counterparts.iter().copied().filter(|m| has_other(m) || covers(m) || locked(m)).collect();
            if dispatch(&mut k, tasks[actor], &call(&line)).is_err() {
                continue;
            }
            match (&line[..line.find(' ').unwrap_or(line.len())], at, reached) {
                ("mount", Some(at), Some(reached)) if line.starts_with("mount tmpfs") => check_new(&k, &before, at, &reached),
                ("umount", Some(at), _) if !line.contains("-l") => check_umount(&k, &before, at.mount, &counterparts, &kept),
                _ => {}
            }
        }
    }
}
