//! What `kernel/` of a lab tells of its namespaces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use super::ipc::{Ipc, LIMITS, Object, Queue, Sort, limit};
use super::net::{Device, LOOPBACK, Net};
use super::topology::{Extent, Missing, Mount, Namespace, Offset, Own, Task, User};
use super::{Facts, Files, Seen, mountinfo, userns};
use crate::kernel::ns::{Holds, NS_TABLE, NsType};
use crate::syscall::ip::PHYSICAL;

/// Reads `kernel/` of a lab.
pub struct LabFacts<'a>(pub &'a dyn Files);

impl LabFacts<'_> {
    pub(super) fn text(&self, path: &str) -> String {
        let text = self.0.read(path).unwrap_or_default();
        String::from_utf8_lossy(text.strip_suffix(b"\n").unwrap_or(&text)).into_owned()
    }

    pub(super) fn number<T: FromStr + Default>(&self, path: &str) -> T {
        self.text(path).parse().unwrap_or_default()
    }

    /// The number of the namespace that a link leads to.
    fn pointer(&self, path: &str) -> Option<u32> {
        let text = self.0.link(path).ok()?;
        String::from_utf8_lossy(&text).rsplit('/').next()?.parse().ok()
    }

    /// Where a field of a namespace is.
    pub(super) fn field(seen: &Seen, name: &str) -> String {
        format!("kernel/ns/{}/{}/{name}", seen.ns_type.ops().name, seen.inum)
    }

    fn map(&self, path: &str) -> Vec<Extent> {
        let text = self.text(path);
        let line = |line: &str| {
            let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
            Some(Extent { first: numbers.next()??, lower: numbers.next()??, count: numbers.next()?? })
        };
        text.lines().filter_map(line).collect()
    }

    fn user(&self, seen: &Seen) -> User {
        let field = |name| Self::field(seen, name);
        User {
            owner: self.number(&field("owner")),
            group: self.number(&field("group")),
            uid_map: self.map(&field("uid_map")),
            gid_map: self.map(&field("gid_map")),
            denies_setgroups: !self.text(&field("flags")).contains("USERNS_SETGROUPS_ALLOWED"),
            limits: userns::parse(&self.text(&field("ucount_max"))),
        }
    }

    fn net(&self, seen: &Seen, missing: &mut Missing) -> Net {
        let dir = Self::field(seen, "dev_base_head");
        let mut devices = Vec::new();
        for name in self.0.names(&dir).unwrap_or_default() {
            match self.device(&dir, &name) {
                Some(device) => devices.push(device),
                None => missing.note("a device whose name is no text"),
            }
        }
        devices.sort_by_key(|device: &Device| device.index);
        let ids = self.0.names(&Self::field(seen, "netns_ids")).unwrap_or_default().into_iter().filter_map(|id| {
            let id = String::from_utf8(id).ok()?;
            Some((id.parse().ok()?, self.pointer(&format!("{}/{id}", Self::field(seen, "netns_ids")))?))
        });
        Net { devices, ids: ids.collect() }
    }

    /// What the kernel has of an IPC namespace.
    pub(super) fn ipc(&self, seen: &Seen) -> Ipc {
        let field = |name: &str| Self::field(seen, name);
        let limits = LIMITS.iter().map(|(sysctl, name)| (*sysctl, limit(&self.text(&field(name))))).collect();
        let mut objects = Vec::new();
        for dir in ["ids/0-sem", "ids/1-msg", "ids/2-shm"] {
            let names = self.0.names(&field(dir)).unwrap_or_default();
            let ids = names.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
            objects.extend(ids.map(|id| self.object(&field(dir), id)));
        }
        objects.sort();
        let queues = self.0.read(&field("mq_mnt")).unwrap_or_default();
        let queues = queues.split(|&byte| byte == b'\n').filter_map(queue).collect();
        Ipc { limits, objects, queues }
    }

    fn object(&self, dir: &str, id: i32) -> Object {
        let number = |name: &str| self.number::<u32>(&format!("{dir}/{id}/perm/{name}"));
        let own = |name: &str| self.number::<u64>(&format!("{dir}/{id}/{name}"));
        let sort = match dir.rsplit('-').next() {
            Some("sem") => Sort::Sem(own("sem_nsems")),
            Some("msg") => Sort::Msg { count: own("q_qnum"), bytes: own("q_cbytes") },
            _ => Sort::Shm(own("shm_segsz")),
        };
        let mode = u32::from_str_radix(&self.text(&format!("{dir}/{id}/perm/mode")), 8).unwrap_or_default();
        let key = self.number(&format!("{dir}/{id}/perm/key"));
        let (uid, gid, cuid, cgid) = (number("uid"), number("gid"), number("cuid"), number("cgid"));
        Object { sort, id, key, mode, uid, gid, cuid, cgid }
    }

    fn device(&self, dir: &str, name: &[u8]) -> Option<Device> {
        let dir = format!("{dir}/{}", std::str::from_utf8(name).ok()?);
        let text = |name: &str| self.text(&format!("{dir}/{name}"));
        let lines = |name: &str| -> Vec<Vec<u8>> {
            let text = self.0.read(&format!("{dir}/{name}")).unwrap_or_default();
            text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
        };
        // `…/4026532181/dev_base_head/eth0`
        let related = |name: &str| -> Option<(u32, i32)> {
            let link = String::from_utf8(self.0.link(&format!("{dir}/{name}")).ok()?).ok()?;
            let (rest, name) = link.rsplit_once('/')?;
            let inum = rest.strip_suffix("/dev_base_head")?.rsplit('/').next()?.parse().ok()?;
            let index = self.text(&format!("kernel/ns/net/{inum}/dev_base_head/{name}/ifindex"));
            Some((inum, index.parse().ok()?))
        };
        let mut address = [0; 6];
        for (byte, text) in address.iter_mut().zip(text("dev_addr").split(':')) {
            *byte = u8::from_str_radix(text, 16).ok()?;
        }
        let mut addresses = lines("ip_ptr");
        addresses.extend(lines("ip6_ptr"));
        let kind = match &*text("rtnl_link_ops") {
            "NULL" if address == [0; 6] => LOOPBACK.to_owned(),
            "NULL" => PHYSICAL.to_owned(),
            kind => kind.to_owned(),
        };
        Some(Device {
            index: text("ifindex").parse().ok()?,
            name: name.to_vec(),
            altnames: lines("altnames"),
            kind,
            address,
            is_up: text("is_up") == "1",
            has_carrier: text("carrier") == "1",
            master: related("master").map(|(_, index)| index),
            peer: related("peer"),
            addresses: addresses.iter().filter_map(|line| inet(line)).collect(),
        })
    }

    /// As a task sees them whose root directory is the top; where there is none, those that the kernel has, by number.
    fn mounts(&self, seen: &Seen) -> Vec<Mount> {
        let tasks = self.0.names(&Self::field(seen, "tasks")).unwrap_or_default();
        let tasks = tasks.iter().map(|task| String::from_utf8_lossy(task));
        let tables = tasks
            .filter(|task| self.directory(task, "root").is_some_and(|root| root == b"/"))
            .filter_map(|task| self.0.read(&format!("proc/{task}/mountinfo")).ok());
        if let Some(table) = tables.max_by_key(Vec::len) {
            return table.split(|&byte| byte == b'\n').filter_map(mountinfo::parse).collect();
        }
        let list = Self::field(seen, "list");
        let mounts = self.0.names(&list).unwrap_or_default().into_iter().filter_map(|id| {
            let line = self.0.read(&format!("{list}/{}", String::from_utf8_lossy(&id))).ok()?;
            mountinfo::parse(line.strip_suffix(b"\n").unwrap_or(&line))
        });
        // That which all others are on is hidden from tasks.
        let hidden: u32 = self.number(&Self::field(seen, "root"));
        let mut mounts: Vec<Mount> = mounts.filter(|mount| mount.id != hidden).collect();
        mounts.sort_by_key(|mount| mount.id);
        mounts
    }

    /// The `root` or `pwd` of a task; the dead have none.
    fn directory(&self, task: &str, which: &str) -> Option<Vec<u8>> {
        let text = self.0.read(&format!("kernel/task/{task}/fs/{which}")).ok()?;
        Some(text.strip_suffix(b"\n").unwrap_or(&text).to_vec())
    }
}

/// `NAME mode 0600 uid 0 gid 0 mq_maxmsg 10 mq_msgsize 8192 mq_curmsgs 0 qsize 0`; names may have blanks.
fn queue(line: &[u8]) -> Option<Queue> {
    let mut words: Vec<&[u8]> = line.rsplitn(15, |&byte| byte == b' ').collect();
    let name = words.pop().filter(|_| words.len() == 14)?.to_vec();
    // Back to front, each number before its name.
    let number = |at: usize| -> Option<u64> { std::str::from_utf8(words[2 * at]).ok()?.parse().ok() };
    let mode = u32::from_str_radix(std::str::from_utf8(words[12]).ok()?, 8).ok()?;
    let (uid, gid) = (u32::try_from(number(5)?).ok()?, u32::try_from(number(4)?).ok()?);
    let (maxmsg, msgsize, count, bytes) = (number(3)?, number(2)?, number(1)?, number(0)?);
    Some(Queue { name, mode, uid, gid, maxmsg, msgsize, count, bytes })
}

/// `10.0.0.1/8 scope universe`
fn inet(line: &[u8]) -> Option<(IpAddr, u8)> {
    let (address, prefixlen) = std::str::from_utf8(line).ok()?.split(' ').next()?.split_once('/')?;
    Some((address.parse().ok()?, prefixlen.parse().ok()?))
}

/// `monotonic 5 0`, a clock a line.
pub(super) fn offsets(text: &str) -> Vec<Offset> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (clock, seconds, nanos) =
            (words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Offset { clock, seconds, nanos })
    };
    text.lines().filter_map(line).collect()
}

impl Facts for LabFacts<'_> {
    fn others(&self) -> Vec<Seen> {
        let of = |ns_type: NsType| {
            let names = self.0.names(&format!("kernel/ns/{}", ns_type.ops().name)).unwrap_or_default();
            names.into_iter().filter_map(move |name| {
                let inum = String::from_utf8(name).ok()?.parse().ok()?;
                Some(Seen { ns_type, inum, at: None, member: None })
            })
        };
        let mut all: Vec<Seen> = NS_TABLE.iter().flat_map(|ops| of(ops.ns_type)).collect();
        all.sort_by_key(|seen| seen.inum);
        all
    }

    fn initial(&self) -> Vec<(NsType, u32)> {
        let is_initial =
            |seen: &Seen| self.text(&Self::field(seen, "ns_id")) == seen.ns_type.ops().init_ns_id.to_string();
        self.others().into_iter().filter(is_initial).map(|seen| (seen.ns_type, seen.inum)).collect()
    }

    fn describe(&self, seen: &Seen, missing: &mut Missing) -> Namespace {
        let field = |name| Self::field(seen, name);
        let bytes = |name| {
            let text = self.0.read(&field(name)).unwrap_or_default();
            text.strip_suffix(b"\n").unwrap_or(&text).to_vec()
        };
        let own = match seen.ns_type.ops().holds {
            Holds::IdMaps => Own::User(self.user(seen)),
            Holds::HostNames => Own::Names { node: bytes("name/nodename"), domain: bytes("name/domainname") },
            Holds::Mounts => Own::Mnt(self.mounts(seen)),
            Holds::Offsets => Own::Time(offsets(&self.text(&field("offsets")))),
            Holds::CgroupRoot => Own::Cgroup { root: Some(bytes("root_cset")).filter(|root| !root.is_empty()) },
            Holds::Devices => Own::Net(self.net(seen, missing)),
            Holds::IpcObjects => Own::Ipc(self.ipc(seen)),
            Holds::PidNumbers => Own::Plain,
        };
        Namespace {
            ns_type: seen.ns_type,
            owner: self.pointer(&field("user_ns")),
            parent: self.pointer(&field("parent")).filter(|_| seen.ns_type == NsType::Pid),
            own,
        }
    }

    /// All namespaces of a lab are listed.
    fn above(&self, _: &Seen) -> Vec<Seen> {
        Vec::new()
    }

    fn relate(&self, _: &mut BTreeMap<u32, Namespace>, _: &mut Missing) {}

    /// What the kernel itself has: init, who reads, may be in another user namespace and be told other ids.
    fn complete(&self, task: &mut Task) {
        let field = |name: &str| format!("kernel/task/{}/{name}", task.tid);
        let ids = |names: [&str; 4]| names.map(|name| self.number(&field(&format!("cred/{name}"))));
        let (uids, gids) = (ids(["uid", "euid", "suid", "fsuid"]), ids(["gid", "egid", "sgid", "fsgid"]));
        let groups = self.text(&field("cred/group_info"));
        let securebits = self.text(&field("cred/securebits"));
        let dumpable = self.text(&field("mm/dumpable"));
        let for_children = self.0.link(&field("nsproxy")).ok().and_then(|nsproxy| {
            let index = String::from_utf8_lossy(&nsproxy).rsplit('/').next()?.to_owned();
            self.pointer(&format!("kernel/nsproxy/{index}/pid_ns_for_children"))
        });
        (task.uids, task.gids) = (uids, gids);
        task.groups = groups.split_whitespace().filter_map(|gid| gid.parse().ok()).collect();
        task.securebits = securebits.strip_prefix("0x").and_then(|bits| u32::from_str_radix(bits, 16).ok());
        task.is_dumpable = dumpable != "0";
        if !task.is_kthread {
            task.root = self.directory(&task.tid.to_string(), "root");
            task.cwd = self.directory(&task.tid.to_string(), "pwd");
        }
        if let Some(inum) = for_children {
            task.namespaces.insert("pid_for_children", inum);
        }
    }
}
