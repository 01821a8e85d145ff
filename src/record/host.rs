//! What the machine itself tells of its namespaces: by ioctl(2) on their files, and by threads that enter them for a look.
//! Nothing on the machine changes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, fstat, fstatfs, openat};

use super::files::{Disk, Files};
use super::ipc::{self, Ipc};
use super::lab::offsets;
use super::net::{Device, Net, VETH};
use super::netlink::{Links, Rtnetlink};
use super::topology::{Extent, Missing, Mount, Namespace, Own, Task, User};
use super::{Facts, Seen, mountinfo, nsfs, read, userns};
use crate::errno::describe;
use crate::kernel::ns::{ENTRIES, Holds, NsType};

/// The machine, or a tree of files that looks like one.
#[derive(Debug)]
pub struct HostFacts {
    files: Disk,
    /// Namespaces that no task is in, which related ones have led to.
    opened: RefCell<BTreeMap<u32, OwnedFd>>,
    /// Network namespaces, by inum.
    nets: RefCell<BTreeMap<u32, Seen>>,
    /// The program that is run to look into user namespaces.
    program: Option<PathBuf>,
}

/// What there is in a network namespace.
struct Looked {
    devices: BTreeMap<i32, Device>,
    links: Links,
    /// The namespaces, by inum, that `links` names by ids; `None`: by the ids that they have there.
    ids: Option<BTreeMap<i32, u32>>,
    /// How many routes do not follow from addresses.
    routes: usize,
}

/// `NSFS_MAGIC` in `include/uapi/linux/magic.h`
const NSFS_MAGIC: u64 = 0x6e73_6673;

impl HostFacts {
    /// `root` has the `proc` to look at: `/`.
    pub fn new(root: PathBuf) -> HostFacts {
        HostFacts { files: Disk(root), opened: RefCell::default(), nets: RefCell::default(), program: None }
    }

    /// With this program, which is `nslab`, limits of user namespaces are seen too.
    pub fn with_program(self, program: PathBuf) -> HostFacts {
        HostFacts { program: Some(program), ..self }
    }

    fn dir(tid: i32) -> String {
        format!("proc/{tid}")
    }

    fn open(&self, seen: &Seen) -> io::Result<OwnedFd> {
        if let Some(fd) = self.opened.borrow().get(&seen.inum) {
            return fd.try_clone();
        }
        let path = seen.at.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let open = |path: &[u8]| self.open_ns(OsStr::from_bytes(path), seen.inum);
        open(path).or_else(|error| match below_root(path) {
            Some(below) => open(below),
            None => Err(error),
        })
    }

    /// Another task may have the number by now, another file be at the path: a device, a pipe. Nothing but the file of the
    /// namespace is opened for reading.
    fn open_ns(&self, path: &OsStr, wanted: u32) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let found = openat(CWD, self.files.0.join(path), flags, Mode::empty())?;
        let is_ns = u64::try_from(fstatfs(&found)?.f_type).is_ok_and(|magic| magic == NSFS_MAGIC);
        if !is_ns || inum(&found) != Some(wanted) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?.into())
    }

    /// What a thread in the namespace gives.
    ///
    /// # Errors
    /// EPERM: it takes CAP_SYS_ADMIN to enter; ENOENT: it is gone; what the look gives.
    fn inside<T: Send>(&self, seen: &Seen, look: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let own = self.files.link(&format!("proc/self/ns/{}", seen.ns_type.ops().name));
        if own.is_ok_and(|own| read::inum(&own) == Some(seen.inum)) {
            return look();
        }
        let fd = self.open(seen)?;
        std::thread::scope(|scope| {
            let look = || -> io::Result<T> {
                if seen.ns_type == NsType::Mnt {
                    unshare(CloneFlags::CLONE_FS)?;
                }
                setns(fd, CloneFlags::empty())?;
                look()
            };
            scope.spawn(look).join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        })
    }

    /// Whether a link of a process leads to the file of this name, for who records or for the process: then the end of the
    /// name is its own, and not what the kernel adds to those of files that have been removed.
    fn is_at(&self, link: &str, path: &[u8], tgid: i32) -> bool {
        let file = |path: PathBuf| std::fs::metadata(path).map(|there| (there.dev(), there.ino())).ok();
        let there = file(self.files.0.join(link));
        let below = [format!("proc/{tgid}/root").as_bytes(), path].concat();
        let names = [PathBuf::from(OsStr::from_bytes(path)), self.files.0.join(OsStr::from_bytes(&below))];
        there.is_some() && names.into_iter().any(|name| file(name) == there)
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.files.read(path).unwrap_or_default()).into_owned()
    }

    fn user(&self, seen: &Seen, missing: &mut Missing) -> User {
        let owner = self.open(seen).and_then(nsfs::owner_uid).unwrap_or(0);
        let Some(tid) = seen.member else {
            // All that may be inside is: else nothing nested in it could be made.
            missing.note("the maps of a user namespace that no task is in: the whole is mapped");
            let whole = vec![Extent { first: 0, lower: 0, count: u32::MAX }];
            let limits = self.limits(seen, missing);
            return User { owner, uid_map: whole.clone(), gid_map: whole, limits, ..User::default() };
        };
        let map = |file: &str| {
            let line = |line: &str| {
                let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
                Some(Extent { first: numbers.next()??, lower: numbers.next()??, count: numbers.next()?? })
            };
            self.text(&format!("{}/{file}", Self::dir(tid))).lines().filter_map(line).collect()
        };
        let denies_setgroups = self.text(&format!("{}/setgroups", Self::dir(tid))).starts_with("deny");
        let (uid_map, gid_map) = (map("uid_map"), map("gid_map"));
        User { owner, group: 0, uid_map, gid_map, denies_setgroups, limits: self.limits(seen, missing) }
    }

    fn limits(&self, seen: &Seen, missing: &mut Missing) -> userns::Limits {
        let own = self.files.link("proc/self/ns/user");
        if own.is_ok_and(|own| read::inum(&own) == Some(seen.inum)) {
            return userns::shown(&self.files);
        }
        let Some(program) = &self.program else { return userns::Limits::new() };
        self.open(seen).and_then(|namespace| userns::ask(program, namespace)).unwrap_or_else(|_| {
            missing.note("the limits of a user namespace: CAP_SYS_ADMIN would show them");
            userns::Limits::new()
        })
    }

    fn mounts(&self, seen: &Seen, missing: &mut Missing) -> Vec<Mount> {
        let of_task = |dir: &str| self.files.read(&format!("{dir}/mountinfo"));
        let table = match seen.member {
            Some(tid) => of_task(&Self::dir(tid)),
            None => self.inside(seen, || std::fs::read("/proc/thread-self/mountinfo")).or_else(|error| {
                let path = seen.at.as_ref().and_then(|at| std::str::from_utf8(at).ok());
                let dir = path.and_then(|path| path.strip_suffix("/ns/mnt")).ok_or(error)?;
                missing.note(
                    "mounts above the root directories of all tasks that are there: CAP_SYS_ADMIN would show them",
                );
                of_task(dir)
            }),
        };
        if table.is_err() {
            missing.note("the mounts of a mount namespace: CAP_SYS_PTRACE would show them");
        }
        table.unwrap_or_default().split(|&byte| byte == b'\n').filter_map(mountinfo::parse).collect()
    }

    fn names(&self, seen: &Seen, missing: &mut Missing) -> Own {
        let names = || {
            let read = |name: &str| {
                let text = std::fs::read(format!("/proc/sys/kernel/{name}"))?;
                io::Result::Ok(text.strip_suffix(b"\n").unwrap_or(&text).to_vec())
            };
            Ok((read("hostname")?, read("domainname")?))
        };
        let names = self.inside(seen, names);
        if names.is_err() {
            missing.note("the host name of a namespace: CAP_SYS_ADMIN would show it");
        }
        let (node, domain) = names.unwrap_or_else(|_| (b"(none)".to_vec(), b"(none)".to_vec()));
        Own::Names { node, domain }
    }

    /// A socket in a network namespace of its own, in which those that were seen have ids: to ask there gives nobody an id in
    /// theirs. `None`: it takes CAP_SYS_ADMIN.
    fn asker(&self) -> Option<(Rtnetlink, BTreeMap<i32, u32>)> {
        let open = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Rtnetlink::open()
        };
        let socket = std::thread::scope(|scope| scope.spawn(open).join()).ok()?.ok()?;
        let mut ids = BTreeMap::new();
        for (id, (inum, seen)) in (0..).zip(self.nets.borrow().iter()) {
            if self.open(seen).and_then(|namespace| socket.name(namespace, id)).is_ok() {
                ids.insert(id, *inum);
            }
        }
        Some((socket, ids))
    }

    /// # Errors
    /// EPERM: it takes CAP_SYS_ADMIN to look; what rtnetlink(7) answers.
    fn look(&self, seen: &Seen, asker: Option<&(Rtnetlink, BTreeMap<i32, u32>)>) -> io::Result<Looked> {
        let from_outside = asker.and_then(|(socket, ids)| {
            let (id, _) = ids.iter().find(|(_, inum)| **inum == seen.inum)?;
            let (devices, links) = socket.devices(Some(*id)).ok()?;
            Some(Looked { devices, links, ids: Some(ids.clone()), routes: 0 })
        });
        self.inside(seen, || {
            let socket = Rtnetlink::open()?;
            let mut looked = match from_outside {
                Some(looked) => looked,
                None => {
                    let (devices, links) = socket.devices(None)?;
                    Looked { devices, links, ids: None, routes: 0 }
                }
            };
            socket.addresses(&mut looked.devices)?;
            looked.routes = socket.further_routes()?;
            Ok(looked)
        })
    }

    fn ipc(&self, seen: &Seen, missing: &mut Missing) -> Ipc {
        // The queues of a namespace are where one of its tasks has mounted them.
        let queues = seen.member.map(|tid| self.files.0.join(format!("proc/{tid}/root/dev/mqueue")));
        let names = seen.member.and_then(|tid| self.files.names(&format!("proc/{tid}/root/dev/mqueue")).ok());
        let look = || ipc::here(&names.unwrap_or_default(), &queues.unwrap_or_default());
        self.inside(seen, look).unwrap_or_else(|_| {
            missing.note("the objects and limits of an IPC namespace: CAP_SYS_ADMIN would show them");
            Ipc::default()
        })
    }

    /// The namespaces that have ids in one.
    fn ids(&self, seen: &Seen) -> BTreeMap<i32, u32> {
        let look = || {
            let socket = Rtnetlink::open()?;
            Ok((socket.ids()?.len(), socket))
        };
        let Ok((count, socket)) = self.inside(seen, look) else { return BTreeMap::new() };
        let nets = self.nets.borrow();
        let others = nets.values().filter(|other| other.inum != seen.inum);
        let known = others.filter_map(|other| Some((socket.id_of(self.open(other).ok()?)?, other.inum)));
        known.take(count).collect()
    }

    /// The cgroup that is the root of a namespace: what the path of a member has in front of what the namespace shows.
    fn cgroup_root(&self, seen: &Seen) -> Option<Vec<u8>> {
        let tid = seen.member?;
        let path = |text: Vec<u8>| {
            let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
            Some(line.to_vec())
        };
        let file = self.files.0.join(format!("proc/{tid}/cgroup"));
        let whole = path(std::fs::read(&file).ok()?)?;
        let inner = path(self.inside(seen, || std::fs::read(&file)).ok()?)?;
        let inner = inner.strip_suffix(b"/").unwrap_or(&inner);
        let root = whole.strip_suffix(inner)?.to_vec();
        Some(if root.is_empty() { b"/".to_vec() } else { root })
    }
}

/// The rest of `proc/7/root/…`: the root of a task may be hidden, and be the own one.
fn below_root(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"proc/")?;
    rest[rest.iter().position(|&byte| byte == b'/')?..].strip_prefix(b"/root/")
}

/// The inum of an open namespace file.
fn inum(fd: impl AsFd) -> Option<u32> {
    fstat(fd).ok().and_then(|stat| u32::try_from(stat.st_ino).ok())
}

impl Facts for HostFacts {
    /// Those of files that are mounted, and of descriptors, are found with the tasks.
    fn others(&self) -> Vec<Seen> {
        Vec::new()
    }

    /// Those of kthreadd; where it is hidden or not there, those of process 1, or the recorder's own.
    fn initial(&self) -> Vec<(NsType, u32)> {
        let of = |dir: &str| -> Vec<(NsType, u32)> {
            let entries = ENTRIES.iter().filter(|entry| !entry.name.ends_with("_for_children"));
            let link = |name: &str| read::inum(&self.files.link(&format!("proc/{dir}/ns/{name}")).ok()?);
            entries.filter_map(|entry| Some((entry.ns_type, link(entry.name)?))).collect()
        };
        let is_kthreadd = self.text("proc/2/comm").trim() == "kthreadd";
        let dirs = if is_kthreadd { &["2", "1", "self"][..] } else { &["1", "self"][..] };
        dirs.iter().map(|dir| of(dir)).find(|all| !all.is_empty()).unwrap_or_default()
    }

    fn describe(&self, seen: &Seen, missing: &mut Missing) -> Namespace {
        let own = match seen.ns_type.ops().holds {
            Holds::IdMaps => Own::User(self.user(seen, missing)),
            Holds::HostNames => self.names(seen, missing),
            Holds::Mounts => Own::Mnt(self.mounts(seen, missing)),
            Holds::Offsets => {
                let text = seen.member.map(|tid| self.text(&format!("proc/{tid}/timens_offsets")));
                Own::Time(offsets(&text.unwrap_or_default()))
            }
            Holds::CgroupRoot => Own::Cgroup { root: self.cgroup_root(seen) },
            Holds::Devices => {
                self.nets.borrow_mut().insert(seen.inum, seen.clone());
                Own::Net(Net::default())
            }
            Holds::IpcObjects => Own::Ipc(self.ipc(seen, missing)),
            Holds::PidNumbers => Own::Plain,
        };
        let fd = self.open(seen);
        let of = |related: fn(OwnedFd) -> io::Result<OwnedFd>| inum(related(fd.as_ref().ok()?.try_clone().ok()?).ok()?);
        Namespace {
            ns_type: seen.ns_type,
            owner: of(nsfs::user_ns),
            parent: of(nsfs::parent).filter(|_| seen.ns_type == NsType::Pid),
            own,
        }
    }

    fn above(&self, seen: &Seen) -> Vec<Seen> {
        let Ok(fd) = self.open(seen) else { return Vec::new() };
        let mut found = Vec::new();
        let mut keep = |ns_type, related: io::Result<OwnedFd>| {
            let Some((inum, fd)) = related.ok().and_then(|fd| Some((inum(&fd)?, fd))) else { return };
            self.opened.borrow_mut().entry(inum).or_insert(fd);
            found.push(Seen { ns_type, inum, at: None, member: None });
        };
        keep(NsType::User, nsfs::user_ns(&fd));
        if seen.ns_type == NsType::Pid {
            keep(NsType::Pid, nsfs::parent(&fd));
        }
        found
    }

    fn relate(&self, namespaces: &mut BTreeMap<u32, Namespace>, missing: &mut Missing) {
        let asker = self.asker();
        for (inum, seen) in self.nets.borrow().iter() {
            let Some(Own::Net(net)) = namespaces.get_mut(inum).map(|ns| &mut ns.own) else { continue };
            let looked = match self.look(seen, asker.as_ref()) {
                Ok(looked) => looked,
                Err(error) => {
                    missing.note(match error.kind() {
                        io::ErrorKind::PermissionDenied => {
                            "the devices of a network namespace: CAP_SYS_ADMIN would show them".to_owned()
                        }
                        _ => format!("the devices of a network namespace: {}", describe(&error)),
                    });
                    continue;
                }
            };
            for _ in 0..looked.routes {
                missing.note("a route that does not follow from addresses: the language has none");
            }
            net.ids = self.ids(seen);
            let ids = looked.ids.as_ref().unwrap_or(&net.ids);
            net.devices = looked.devices.into_values().collect();
            for device in &mut net.devices {
                let peer = looked.links.get(&device.index).filter(|_| device.kind == VETH);
                device.peer = peer.and_then(|(id, index)| {
                    let net = id.map_or(Some(inum), |id| ids.get(&id));
                    Some((*net?, *index))
                });
            }
        }
    }

    /// Whoever may follow the links of a task sees where they lead.
    fn complete(&self, task: &mut Task) {
        if task.is_kthread {
            return;
        }
        let directory = |link: &str| {
            let at = format!("proc/{}/task/{}/{link}", task.tgid, task.tid);
            let text = self.files.link(&at).ok()?;
            // What has been removed is there again in the lab.
            let path = match text.strip_suffix(b" (deleted)") {
                Some(path) if !self.is_at(&at, &text, task.tgid) => path.to_vec(),
                _ => text,
            };
            Some(path).filter(|path| path.starts_with(b"/"))
        };
        (task.root, task.cwd) = (directory("root"), directory("cwd"));
    }
}
