//! System V objects, message queues, and their limits.

use std::collections::BTreeMap;

use super::Writer;
use crate::control::lex::quote;
use crate::kernel::capability::Cap;
use crate::kernel::ns::NsType;
use crate::record::Seen;
use crate::record::files::Bare;
use crate::record::ipc::{Ipc, Object, Queue, Sort, sizes};
use crate::record::lab::LabFacts;
use crate::record::topology::{Extent, Own};
use crate::syscall::Become;

/// A segment that goes when nobody has attached it any more, one that is not swapped (`include/linux/shm.h`).
const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;
/// The files that a process makes are without these permissions (umask(2) of all tasks of a lab).
const UMASK: u32 = 0o022;

impl Writer<'_> {
    pub(super) fn ipc(&mut self) {
        let start = self.text.len();
        self.section("System V objects and message queues.");
        let before = self.text.len();
        for (inum, ns) in &self.topology.namespaces {
            if let (Own::Ipc(ipc), Some(actor)) = (&ns.own, self.actor(*inum)) {
                self.limits(*inum, &actor, ipc, i128::max);
                for object in &ipc.objects {
                    self.object(*inum, &actor, object);
                }
                for queue in &ipc.queues {
                    self.queue(&actor, queue);
                }
                self.limits(*inum, &actor, ipc, |_, wanted| wanted);
                if actor == "1" {
                    self.acts_as(&actor, 0, 0);
                }
            }
        }
        if self.text.len() == before {
            self.text.truncate(start);
        }
    }

    /// Of a limit as it is and as it is to be each number is what `choose` gives: while things are made none is lowered.
    fn limits(&mut self, inum: u32, actor: &str, ipc: &Ipc, choose: fn(i128, i128) -> i128) {
        let now = LabFacts(&Bare(&self.k)).ipc(&Seen { ns_type: NsType::Ipc, inum, at: None, member: None }).limits;
        for (sysctl, wanted) in &ipc.limits {
            let Some(now) = now.get(sysctl) else { continue };
            let numbers = |text: &str| text.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<i128>>();
            let value =
                numbers(now).into_iter().zip(numbers(wanted)).map(|(now, wanted)| choose(now, wanted).to_string());
            let value = value.collect::<Vec<_>>().join(" ");
            if value == *now {
                continue;
            }
            let (uid, gid) = self.root_of(inum);
            self.acts_as(actor, uid, gid);
            self.line(&format!("{actor} write proc/sys/{sysctl} {}", quote(value.as_bytes())));
        }
    }

    /// The root user and group of the user namespace that owns a namespace, whom its limits belong to.
    fn root_of(&self, inum: u32) -> (u32, u32) {
        let owner = self.topology.namespaces.get(&inum).and_then(|ns| self.topology.namespaces.get(&ns.owner?));
        let Some(Own::User(user)) = owner.map(|ns| &ns.own) else { return (0, 0) };
        let root = |map: &[Extent]| map.iter().find(|extent| extent.first == 0).map_or(0, |extent| extent.lower);
        (root(&user.uid_map), root(&user.gid_map))
    }

    /// The user and group that a task makes things for; what it may do stays as it is.
    fn acts_as(&mut self, actor: &str, uid: u32, gid: u32) {
        let task = if actor == "1" { Some(self.k.init.task) } else { self.keeper_task(actor) };
        let Some(ids) = task.map(|task| &self.k.cred_of(task).ids) else { return };
        let mut words = String::new();
        if ids.euid.0 != uid {
            words += &format!(" uid={uid}");
        }
        if ids.egid.0 != gid {
            words += &format!(" gid={gid}");
        }
        if !words.is_empty() {
            self.line(&format!("become {actor}{words}"));
        }
    }

    fn object(&mut self, inum: u32, actor: &str, object: &Object) {
        let (verb, words) = match object.sort {
            Sort::Sem(count) => ("sem", format!(" {count}")),
            Sort::Msg { .. } => ("msg", String::new()),
            Sort::Shm(size) => ("shm", format!(" {size}")),
        };
        self.acts_as(actor, object.cuid, object.cgid);
        let id = object.id;
        let key = if object.key == 0 { "private".to_owned() } else { object.key.to_string() };
        self.line(&format!("{actor} write proc/sys/kernel/{verb}_next_id {id}"));
        if !self.line(&format!("{actor} {verb}get {key}{words} create excl {:04o}", object.mode & 0o777)) {
            return;
        }
        if let Sort::Msg { count, bytes } = object.sort {
            for size in sizes(count, bytes) {
                self.line(&format!("{actor} msgsnd {id} 1 size={size}"));
            }
        }
        if object.mode & SHM_LOCKED != 0 {
            self.line(&format!("{actor} shmctl {id} lock"));
        }
        if (object.uid, object.gid) != (object.cuid, object.cgid) {
            // Numbers are those of the caller's user namespace.
            let (initial, owner) =
                (self.topology.initial(NsType::User), self.topology.namespaces.get(&inum).and_then(|ns| ns.owner));
            if actor != "1" && owner.is_some() && owner != initial {
                let _ = initial.map(|initial| self.line(&format!("become {actor} user={initial}")));
            }
            self.line(&format!("{actor} {verb}ctl {id} set uid={} gid={}", object.uid, object.gid));
        }
    }

    fn queue(&mut self, actor: &str, queue: &Queue) {
        self.acts_as(actor, queue.uid, queue.gid);
        if queue.mode & UMASK != 0 {
            self.unsaid.note("a message queue that others than its owner may write: the language has no umask");
        }
        let name = self.name(b"queue", 0);
        let (maxmsg, msgsize) = (queue.maxmsg, queue.msgsize);
        if !self.line(&format!(
            "{name} = {actor} mq_open {} create excl rdwr maxmsg={maxmsg} msgsize={msgsize} {:04o}",
            quote(&queue.name),
            queue.mode
        )) {
            return;
        }
        for size in sizes(queue.count, queue.bytes) {
            self.line(&format!("{actor} mq_send ${name} 0 size={size}"));
        }
        self.line(&format!("{actor} mq_close ${name}"));
    }

    /// Who has attached which segments of memory; those that are to go then go when nobody has.
    pub(super) fn attachments(&mut self) {
        let ipc = NsType::Ipc.ops().name;
        for task in self.topology.tasks.values().filter(|task| !task.attached.is_empty()) {
            let (Some(id), Some(name)) = (self.found(task.tid), self.names.get(&task.tid).cloned()) else { continue };
            let Some(&inum) = task.namespaces.get(ipc) else { continue };
            let is_trusted = self.k.ns_capable(id, self.k.init.user_ns, Cap::IPC_OWNER);
            let objects = self.topology.ipc(inum).into_iter().flat_map(|ipc| &ipc.objects);
            let owners: BTreeMap<i32, u32> = objects
                .filter(|object| matches!(object.sort, Sort::Shm(_)))
                .map(|object| (object.id, object.uid))
                .collect();
            for (segment, is_readonly) in &task.attached {
                let Some(owner) = owners.get(segment) else { continue };
                let mut other = Become::default();
                if !is_trusted && *owner != task.uids[1] {
                    other.user_ns = self.topology.initial(NsType::User);
                    other.effective = Some(1 << Cap::IPC_OWNER.number());
                }
                let readonly = if *is_readonly { " rdonly" } else { "" };
                self.line_as(task, &name, &other, &format!("{name} shmat {segment}{readonly}"));
            }
        }
        for (inum, ns) in &self.topology.namespaces {
            let (Own::Ipc(ipc), Some(actor)) = (&ns.own, self.actor(*inum)) else { continue };
            for object in ipc.objects.iter().filter(|object| object.mode & SHM_DEST != 0) {
                self.line(&format!("{actor} shmctl {} rmid", object.id));
            }
        }
    }
}
