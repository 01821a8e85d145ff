//! What a lab has that can be left behind: tasks, namespaces, what pins these, IPC objects, each with its holder. What was not
//! there before somebody ran was left by him.

use std::collections::BTreeMap;
use std::fmt;

use super::files::Files;
use super::ipc::{Object, Queue, Sort};
use super::lab::LabFacts;
use super::{Facts, Seen};
use crate::kernel::ns::NsType;

/// Something that can be left behind. Who holds it is not part of what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    /// A process by its number, dead ones that nobody has waited for too.
    Task(i32),
    /// By the number that is never given out again (`ns_id`).
    Namespace(u64),
    /// A descriptor or a bind mount of the file of a namespace, as its `pins` says it.
    Pin(u64, String),
    /// A System V object: its namespace, the name of its kind, its identifier.
    Object(u64, &'static str, i32),
    /// A POSIX message queue: its namespace and its name.
    Queue(u64, Vec<u8>),
}

/// What a lab has at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings(BTreeMap<Thing, Left>);

/// Something that was left behind, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// `task 5 (sleep)`, `net:[4026532177]`.
    pub what: String,
    /// Who or what holds it; the parent of a task.
    pub holder: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, held by {}", self.what, self.holder)
    }
}

impl Holdings {
    /// What the lab with these files has.
    pub fn of(files: &dyn Files) -> Holdings {
        let mut all = BTreeMap::new();
        for name in files.names("proc").unwrap_or_default() {
            let number = String::from_utf8(name).ok().and_then(|name| name.parse().ok());
            if let Some((number, left)) = number.and_then(|number| Some((number, task(files, number)?))) {
                all.insert(Thing::Task(number), left);
            }
        }
        let facts = LabFacts(files);
        for seen in facts.others() {
            namespace(&facts, &seen, &mut all);
        }
        Holdings(all)
    }

    /// What is here and was not before, in the order of kinds.
    pub fn left_since(&self, before: &Holdings) -> Vec<Left> {
        let is_new = |thing: &Thing| !before.0.contains_key(thing);
        self.0.iter().filter(|(thing, _)| is_new(thing)).map(|(_, left)| left.clone()).collect()
    }
}

fn text(files: &dyn Files, path: &str) -> String {
    String::from_utf8_lossy(&files.read(path).unwrap_or_default()).trim_end().to_owned()
}

/// `None`: it is gone.
fn task(files: &dyn Files, number: i32) -> Option<Left> {
    let status = text(files, &format!("proc/{number}/status"));
    let field = |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim());
    let (comm, parent, state) = (field("Name:")?, field("PPid:")?, field("State:")?);
    let dead = if state.starts_with('Z') { ", dead" } else { "" };
    let holder = format!("its parent {parent} ({})", text(files, &format!("proc/{parent}/comm")));
    Some(Left { what: format!("task {number} ({comm}{dead})"), holder })
}

/// A namespace, what pins it, and the objects in it.
fn namespace(facts: &LabFacts<'_>, seen: &Seen, all: &mut BTreeMap<Thing, Left>) {
    let field = |name: &str| facts.text(&LabFacts::field(seen, name));
    // It is gone by now.
    let Ok(id) = field("ns_id").parse() else { return };
    let name = format!("{}:[{}]", seen.ns_type.ops().name, seen.inum);
    let pins = field("pins");
    for pin in pins.lines() {
        let left = Left { what: format!("a pin of {name}"), holder: pin_holder(pin) };
        all.insert(Thing::Pin(id, pin.to_owned()), left);
    }
    // What is pinned is stashed, and who pins it says more.
    let holders = field("holders");
    let others = holders.lines().filter(|holder| *holder != "stashed" || pins.is_empty()).map(str::to_owned);
    let holder = pins.lines().map(pin_holder).chain(others).collect::<Vec<_>>().join("; ");
    all.insert(Thing::Namespace(id), Left { what: name.clone(), holder });
    if seen.ns_type == NsType::Ipc {
        let ipc = facts.ipc(seen);
        for object in ipc.objects {
            let (kind, left) = object_left(facts, seen, &object);
            all.insert(Thing::Object(id, kind, object.id), left);
        }
        for queue in ipc.queues {
            let left = queue_left(&name, &queue);
            all.insert(Thing::Queue(id, queue.name), left);
        }
    }
}

/// `fd 3 7`, `mount mnt:[4026531832] /run/netns/blue` or `program 2` in words.
fn pin_holder(pin: &str) -> String {
    match *pin.splitn(3, ' ').collect::<Vec<_>>() {
        ["fd", task, fd] => format!("descriptor {fd} of task {task}"),
        ["mount", ns, path] => format!("the mount at {path} in {ns}"),
        ["program", count] => format!("{count} descriptors of programs"),
        _ => pin.to_owned(),
    }
}

fn object_left(facts: &LabFacts<'_>, seen: &Seen, object: &Object) -> (&'static str, Left) {
    let (kind, dir, of) = match object.sort {
        Sort::Sem(count) => ("a semaphore set", "0-sem", format!("{count} semaphores")),
        Sort::Msg { count, bytes } => ("a message queue", "1-msg", format!("{count} messages, {bytes} bytes")),
        Sort::Shm(bytes) => ("a memory segment", "2-shm", format!("{bytes} bytes")),
    };
    let name = format!("{}:[{}]", seen.ns_type.ops().name, seen.inum);
    let what = format!("{kind}, id {}, key {:#x}, uid {}, {of}", object.id, object.key, object.uid);
    let attached: u64 = match object.sort {
        Sort::Shm(_) => {
            facts.number(&format!("{}/{}/shm_nattch", LabFacts::field(seen, &format!("ids/{dir}")), object.id))
        }
        Sort::Sem(_) | Sort::Msg { .. } => 0,
    };
    let holder = if attached > 0 { format!("{name} and {attached} attachments") } else { name };
    (kind, Left { what, holder })
}

fn queue_left(ns: &str, queue: &Queue) -> Left {
    let name = String::from_utf8_lossy(&queue.name);
    let what = format!("a POSIX message queue, /{name}, uid {}, {} messages", queue.uid, queue.count);
    Left { what, holder: ns.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::record::files::Bare;
    use crate::script::Session;

    /// What lines leave behind, in words.
    fn left(lines: &str) -> Vec<String> {
        let mut k = Kernel::boot();
        let before = Holdings::of(&Bare(&k));
        Session::default().batch(&mut k, lines.as_bytes()).1.unwrap();
        Holdings::of(&Bare(&k)).left_since(&before).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_cleans_up_leaves_nothing() {
        assert_eq!(left(""), [""; 0]);
        let lines = "A = 1 clone newnet newipc newuser\n$A msgget 5 create 600\n$A exit 0\n1 wait $A\n\
                     Q = 1 semget 7 1 create 600\n1 semctl $Q rmid\n";
        assert_eq!(left(lines), [""; 0]);
    }

    #[test]
    fn all_kinds_are_told_with_their_holders() {
        let lines = "A = 1 clone newnet\n$A prctl name leaky\n$A open net:[4026532177]\nB = 1 clone\n$B exit 3\n\
                     1 shmget 5 4096 create 600\n1 mq_open q create 600\n";
        let expected = [
            "task 2 (leaky), held by its parent 1 (init)",
            "task 3 (init, dead), held by its parent 1 (init)",
            "net:[4026532177], held by descriptor 0 of task 2; nsproxy 1 net_ns",
            "a pin of net:[4026532177], held by descriptor 0 of task 2",
            "a memory segment, id 0, key 0x5, uid 0, 4096 bytes, held by ipc:[4026531839]",
            "a POSIX message queue, /q, uid 0, 0 messages, held by ipc:[4026531839]",
        ];
        assert_eq!(left(lines), expected);
    }

    #[test]
    fn a_namespace_that_gets_the_number_of_one_that_is_gone_is_another() {
        let mut k = Kernel::boot();
        let mut run = |lines: &str| {
            Session::default().batch(&mut k, lines.as_bytes()).1.unwrap();
            Holdings::of(&Bare(&k))
        };
        let before = run("1 clone newuts\n");
        let after = run("2 exit 0\n1 wait 2\n1 clone newuts set_tid=2\n");
        let left: Vec<String> = after.left_since(&before).iter().map(|left| left.what.clone()).collect();
        assert_eq!(left, ["uts:[4026532177]"]);
    }
}
