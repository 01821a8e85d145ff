//! `kernel/ns/<kind>/<inum>`: what all namespaces have (`struct ns_common`, owner, charge, who holds it), then what the
//! kind has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::nsproxy::SLOT_NAMES;
use super::{Field, Item, Struct, dir, ipc, list, mnt, objects, pointer, show, task_item, task_items, value};
use crate::kernel::audit::{self, Holder};
use crate::kernel::file::FileKind;
use crate::kernel::mount::sb::fs_type;
use crate::kernel::net::dev::DevKind;
use crate::kernel::node::Object;
use crate::kernel::ns::{
    ENTRIES, NS_TABLE, NetNamespace, NsKind, NsState, PidNamespace, TimeNamespace, UserNamespace, UtsNamespace,
};
use crate::kernel::table::Id;
use crate::kernel::task::Mm;
use crate::kernel::ucounts::UcountsId;
use crate::kernel::uid_map::UidGidMap;
use crate::kernel::{CredId, Kernel, NsId, PidId, TaskId};
use crate::tree::fixed::index_u8;
use crate::tree::mqueue;
use crate::tree::proc::pid::text::offset_line;

/// Stands in names for what is not UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

impl Struct for NsId {
    fn fields(self, k: &Kernel) -> [&'static [Field<NsId>]; 2] {
        let own = match k.namespaces[self].state {
            NsState::Uts(_) => UTS,
            NsState::Pid(_) => PID,
            NsState::User(_) => USER,
            NsState::Time(_) => TIME,
            NsState::Cgroup(_) => CGROUP,
            NsState::Net(_) => NET,
            NsState::Ipc(_) => ipc::NAMESPACE,
            NsState::Mnt(_) => mnt::NAMESPACE,
        };
        [COMMON, own]
    }

    fn is_alive(self, k: &Kernel) -> bool {
        k.namespaces.contains(self)
    }
}

static COMMON: &[Field<NsId>] = &[
    dir(""),
    value("inum", |k, id| show(k.namespaces[id].common.inum)),
    value("ns_id", |k, id| show(k.namespaces[id].common.ns_id)),
    pointer("ops", ops),
    value("stashed", |k, id| show(u8::from(k.namespaces[id].common.stashed.is_some()))),
    value("count", |k, id| show(k.namespaces[id].common.count)),
    value("holders", |k, id| show(holders(k, id))),
    pointer("user_ns", |k, id| k.ns_owner(id).map(|owner| Object::Ns(owner.any()))),
    pointer("parent", |k, id| k.namespaces[id].common.parent.as_ref().map(|parent| Object::Ns(parent.id()))),
    value("ucounts", |k, id| {
        show(k.namespaces[id].common.ucounts.as_ref().map_or(String::new(), |u| ucounts(k, u.id())))
    }),
    list(
        "tasks",
        |k, id| task_items(k, super::tasks(k).map(|(_, task)| task).filter(|&task| is_member(k, id, task))),
        |k, id, nr| task_item(k, nr, |task| is_member(k, id, task)),
    ),
    value("pins", |k, id| show(pins(k, id))),
];

static UTS: &[Field<NsId>] = &[
    dir("name"),
    value("name/sysname", |k, id| Some(uts(k, id)?.sysname.clone())),
    value("name/nodename", |k, id| Some(uts(k, id)?.nodename.clone())),
    value("name/release", |k, id| Some(uts(k, id)?.release.clone())),
    value("name/version", |k, id| Some(uts(k, id)?.version.clone())),
    value("name/machine", |k, id| Some(uts(k, id)?.machine.clone())),
    value("name/domainname", |k, id| Some(uts(k, id)?.domainname.clone())),
];

static PID: &[Field<NsId>] = &[
    value("level", |k, id| show(pid(k, id)?.level)),
    pointer("child_reaper", |k, id| pid(k, id)?.child_reaper.filter(|&t| k.tasks.contains(t)).map(Object::Task)),
    value("pid_allocated", |k, id| show(pid(k, id)?.pid_allocated)),
    value("adding", |k, id| show(u8::from(pid(k, id)?.adding))),
    value("last_pid", |k, id| show(pid(k, id)?.last_pid())),
    list(
        "idr",
        |k, id| {
            let numbers = pid(k, id).into_iter().flat_map(|ns| ns.idr.iter());
            numbers.map(|(nr, pid)| (nr.unsigned_abs(), number(k, pid))).collect()
        },
        |k, id, nr| pid(k, id)?.idr.get(i32::try_from(nr).ok()?).map(|pid| number(k, pid)),
    ),
    value("pid_max", |k, id| show(pid(k, id)?.pid_max)),
    value("hide_pid", |_, _| show(0)),
    value("reboot", |k, id| show(pid(k, id)?.reboot)),
];

static USER: &[Field<NsId>] = &[
    value("uid_map", |k, id| show(map(&user(k, id)?.uid_map))),
    value("gid_map", |k, id| show(map(&user(k, id)?.gid_map))),
    value("projid_map", |k, id| show(map(&user(k, id)?.projid_map))),
    value("level", |k, id| show(user(k, id)?.level)),
    value("owner", |k, id| show(user(k, id)?.owner.0)),
    value("group", |k, id| show(user(k, id)?.group.0)),
    value("flags", |k, id| show(if user(k, id)?.setgroups_allowed { "USERNS_SETGROUPS_ALLOWED" } else { "" })),
    value("parent_could_setfcap", |k, id| show(u8::from(user(k, id)?.parent_could_setfcap))),
    value("may_mount_proc", |k, id| may_mount(k, id, b"proc")),
    value("may_mount_sysfs", |k, id| may_mount(k, id, b"sysfs")),
    value("ucount_max", |k, id| show(ucount_max(user(k, id)?))),
];

static TIME: &[Field<NsId>] = &[
    value("offsets", |k, id| {
        let time = time(k, id)?;
        show(offset_line("monotonic", time.monotonic) + &offset_line("boottime", time.boottime))
    }),
    value("frozen_offsets", |k, id| show(u8::from(time(k, id)?.frozen_offsets))),
];

static CGROUP: &[Field<NsId>] =
    &[value("root_cset", |k, id| Some(k.cgroup_path(k.cgroup_ns_root(k.namespaces.typed(id)?), k.cgroup.root())))];

static NET: &[Field<NsId>] = &[
    objects("dev_base_head", devices, device),
    value("ifindex", |k, id| show(net(k, id)?.ifindex)),
    value("dev_base_seq", |k, id| show(net(k, id)?.dev_base_seq)),
    pointer("loopback_dev", |k, id| {
        k.devices_of(k.namespaces.typed(id)?)
            .find(|(_, dev)| dev.kind == DevKind::Loopback)
            .map(|(dev, _)| Object::Dev(dev))
    }),
    list(
        "netns_ids",
        |k, id| {
            let ids = net(k, id).into_iter().flat_map(|net| net.netns_ids.iter());
            ids.map(|(nsid, peer)| (nsid.unsigned_abs(), Item::Pointer(Object::Ns(peer.any())))).collect()
        },
        |k, id, nsid| {
            let peer = net(k, id)?.netns_ids.get(i32::try_from(nsid).ok()?)?;
            Some(Item::Pointer(Object::Ns(peer.any())))
        },
    ),
    // Kernel sockets, of which there are none, count here; the namespace itself does once.
    value("passive", |_, _| show(1)),
];

/// The state of a namespace of this kind.
fn state<S: NsKind>(k: &Kernel, id: NsId) -> Option<&S> {
    k.namespaces.get(id).and_then(|ns| ns.as_kind())
}

fn net(k: &Kernel, id: NsId) -> Option<&NetNamespace> {
    state(k, id)
}

fn uts(k: &Kernel, id: NsId) -> Option<&UtsNamespace> {
    state(k, id)
}

fn pid(k: &Kernel, id: NsId) -> Option<&PidNamespace> {
    state(k, id)
}

fn user(k: &Kernel, id: NsId) -> Option<&UserNamespace> {
    state(k, id)
}

fn time(k: &Kernel, id: NsId) -> Option<&TimeNamespace> {
    state(k, id)
}

/// The table of the entry called like the kind.
fn ops(k: &Kernel, id: NsId) -> Option<Object> {
    let name = k.namespaces[id].ops().name;
    ENTRIES.iter().position(|entry| entry.name == name).map(|entry| Object::Ops(index_u8(entry)))
}

/// The tasks that are in the namespace: whose link of its kind leads here.
fn is_member(k: &Kernel, id: NsId, task: TaskId) -> bool {
    let name = k.namespaces[id].ops().name;
    let entry = ENTRIES.iter().find(|entry| entry.name == name);
    entry.is_some_and(|entry| k.ns_entry(task, entry) == Some(id))
}

/// The devices of a network namespace under the names of their directories.
fn devices(k: &Kernel, id: NsId) -> Vec<(String, Object)> {
    let devices = k.namespaces.typed(id).into_iter().flat_map(|net| k.devices_of(net));
    devices.map(|(dev, row)| (String::from_utf8_lossy(&row.name).into_owned(), Object::Dev(dev))).collect()
}

/// One of them. A name that is not UTF-8 is shown as another.
fn device(k: &Kernel, id: NsId, name: &[u8]) -> Option<Object> {
    if name.windows(REPLACEMENT.len()).any(|window| window == REPLACEMENT) {
        return devices(k, id).into_iter().find(|(known, _)| known.as_bytes() == name).map(|(_, dev)| dev);
    }
    let dev = k.find_dev(k.namespaces.typed(id)?, name)?;
    (k.net.devices[dev].name == name).then_some(Object::Dev(dev))
}

/// What a number stands for: the task, or what else keeps the number in use.
fn number(k: &Kernel, id: PidId) -> Item {
    let attached = &k.pids[id].attached;
    match attached.task {
        Some(task) => Item::Pointer(Object::Task(task)),
        None => Item::Value(format!("group of {}, session of {}", attached.group.len(), attached.session)),
    }
}

/// A line per extent as the kernel stores it: first, lower first, count.
fn map(map: &UidGidMap) -> String {
    map.extents.iter().map(|e| format!("{} {} {}\n", e.first, e.lower_first, e.count)).collect()
}

/// Whether the type could be mounted in one of its mount namespaces.
fn may_mount(k: &Kernel, id: NsId, fs: &[u8]) -> Option<Vec<u8>> {
    let user_ns = k.namespaces.typed(id)?;
    show(u8::from(fs_type(fs).is_some_and(|fs| k.may_mount(user_ns, fs))))
}

/// The limits of a user namespace, a line for each kind.
fn ucount_max(user: &UserNamespace) -> String {
    NS_TABLE.map(|ops| format!("{} {}\n", ops.name, user.ucount_max[ops.ucount])).concat()
}

/// A `struct ucounts`: whose it is, then for each kind how many live namespaces are charged to it and how many may be.
pub(super) fn ucounts(k: &Kernel, id: UcountsId) -> String {
    let ucounts = &k.ucounts.table[id];
    let ns = ucounts.ns.id();
    let max = &k.namespaces[ns].ucount_max;
    let mut text = format!("ns {}\nuid {}\ncount {}\n", k.ns_arg(ns), ucounts.uid.0, ucounts.count);
    for ops in NS_TABLE {
        let _ = writeln!(text, "{} {} of {}", ops.name, ucounts.ucount[ops.ucount], max[ops.ucount]);
    }
    let [nproc, msgqueue] = ucounts.rlimit;
    let _ = write!(text, "nproc {nproc}\nmsgqueue {msgqueue}\n");
    text
}

/// A line for each counted reference; as many as `count` says.
fn holders(k: &Kernel, id: NsId) -> String {
    let held = audit::holders(k).remove(&id).unwrap_or_default();
    let users = Users::collect(k);
    held.into_iter().map(|holder| users.line(k, holder) + "\n").collect()
}

/// Which tasks, by number, use an object that tasks share.
#[derive(Default)]
struct Users {
    creds: BTreeMap<CredId, Vec<String>>,
    mms: BTreeMap<Id<Mm>, Vec<String>>,
}

impl Users {
    fn collect(k: &Kernel) -> Users {
        let mut users = Users::default();
        for (nr, id) in super::tasks(k) {
            users.creds.entry(k.tasks[id].cred.id()).or_default().push(nr.to_string());
            if let Some(mm) = k.mm_id_of(id) {
                users.mms.entry(mm).or_default().push(nr.to_string());
            }
        }
        users
    }

    fn line(&self, k: &Kernel, holder: Holder) -> String {
        match holder {
            Holder::Static => "static".to_owned(),
            Holder::NsProxy(nsproxy, slot) => format!("nsproxy {} {}", nsproxy.index(), SLOT_NAMES[slot]),
            Holder::Cred(cred) => match self.creds.get(&cred) {
                Some(tasks) => format!("cred of task {}", tasks.join(" ")),
                None => "cred of an open file".to_owned(),
            },
            Holder::Ucounts(ucounts) => format!("ucounts uid {}", k.ucounts.table[ucounts].uid.0),
            Holder::Owned(ns) => format!("{} user_ns", k.ns_arg(ns)),
            Holder::Child(ns) => format!("{} parent", k.ns_arg(ns)),
            Holder::Pid(pid) => format!("pid {}", k.pids[pid].nr()),
            Holder::Mm(mm) => {
                format!("mm of task {}", self.mms.get(&mm).map_or(String::new(), |tasks| tasks.join(" ")))
            }
            Holder::Stash => "stashed".to_owned(),
            Holder::File(_) => "open file".to_owned(),
            Holder::Socket(socket) => format!("socket {}", k.net.sockets[socket].ino),
            Holder::SuperBlock(sb) => {
                let sb = &k.vfs.sbs[sb];
                format!("superblock {} {}:{}", sb.fs_name(), sb.device.0, sb.device.1)
            }
            Holder::ShmFile(file) => format!("shm attachment of segment {}", k.shm_files[file].shmid),
            Holder::MqueueFs(fs) => match k.mqueue_fs[fs].ns {
                Some(ns) => format!("mqueue superblock of {}", k.ns_arg(ns)),
                None => "mqueue superblock of a freed namespace".to_owned(),
            },
            Holder::Notify(queue) => format!("mq_notify on {}", mqueue::name(k, queue)),
        }
    }
}

/// A line for each descriptor that shows the namespace, `fd <pid> <number>`, and for each bind mount of its file,
/// `mount <mount namespace> <path>`; `program <count>` for real descriptors of programs. A table that tasks share is shown of
/// the first of them.
fn pins(k: &Kernel, id: NsId) -> String {
    // To find them takes a look at all descriptors there are.
    if k.namespaces[id].common.pins == 0 {
        return String::new();
    }
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    for (nr, task) in super::tasks(k) {
        let Some(files) = k.tasks[task].live.as_ref().map(|live| live.files.id()).filter(|files| seen.insert(*files))
        else {
            continue;
        };
        for (fd, descriptor) in k.files[files].fds.entries() {
            if matches!(k.open_files[descriptor.file.id()].kind, FileKind::Ns(ns) if ns == id) {
                let _ = writeln!(text, "fd {nr} {fd}");
            }
        }
    }
    if let Some(count) = k.programs.pins.get(&id) {
        let _ = writeln!(text, "program {count}");
    }
    text + &mnt::pins(k, id)
}
