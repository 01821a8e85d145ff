//! `kernel/tree.json`: namespaces and tasks of this instant for programs.

use serde_json::{Map, Value, json};

use super::census::{Census, comm, numbers};
use super::look::Look;
use super::proc::pid::status;
use crate::errno::Result;
use crate::kernel::ns::ENTRIES;
use crate::kernel::{NsId, TaskId, UserNsId};

/// The whole file: an object with `namespaces`, by inum, and `tasks`, by number.
pub(super) fn render(look: &Look<'_>) -> Result<Vec<u8>> {
    let census = Census::take(look.k);
    let namespaces: Vec<Value> = look.k.ns_by_inum.values().map(|&ns| namespace(&census, ns)).collect();
    let tasks: Vec<Value> = census.tasks.iter().map(|&(_, one)| task(&census, one)).collect();
    Ok(format!("{:#}\n", json!({ "namespaces": namespaces, "tasks": tasks })).into_bytes())
}

fn namespace(census: &Census<'_>, ns: NsId) -> Value {
    let k = census.k;
    let namespace = &k.namespaces[ns];
    let inum = |ns: Option<NsId>| ns.map(|ns| k.namespaces[ns].common.inum);
    json!({
        "type": namespace.ops().name,
        "inum": namespace.common.inum,
        "ns_id": namespace.common.ns_id,
        "count": namespace.common.count,
        "pins": namespace.common.pins,
        "owner": inum(k.ns_owner(ns).map(UserNsId::any)),
        "parent": inum(k.ns_parent(ns)),
        "tasks": census.members(ns).iter().map(|&task| k.task_nr(task)).collect::<Vec<_>>(),
    })
}

fn task(census: &Census<'_>, task: TaskId) -> Value {
    let k = census.k;
    let links = ENTRIES.iter().filter_map(|entry| {
        let ns = k.ns_entry(task, entry)?;
        Some((entry.name.to_owned(), Value::from(k.ns_arg(ns).to_string())))
    });
    json!({
        "pid": k.task_nr(task),
        "tgid": k.task_nr(k.leader_of(task)),
        "ppid": k.task_ppid_nr_ns(task, k.init.pid_ns),
        "uid": k.cred_of(task).ids.uid.0,
        "state": &status::state(k.tasks[task].state)[..1],
        "comm": comm(k, task),
        "nspid": numbers(k, task),
        "nsproxy": k.nsproxy_id_of(task).map(|id| id.index()),
        "ns": Value::Object(links.collect::<Map<_, _>>()),
        "not_as_init": census.differing(task),
    })
}
