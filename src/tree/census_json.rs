//! A [`Census`] from the text of `kernel/tree.json`, so that all that is drawn of a kernel can be drawn of a mounted lab, and
//! of an instant that is past.

use std::collections::BTreeMap;

use serde_json::Value;

use super::census::{Census, NsProxyRow, NsRow, Row, TaskRow};
use crate::kernel::ns::{NS_TABLE, NsType, SLOTS};
use crate::kernel::task::{COMM_MAX, TaskState};

/// What the text lacks.
type Missing = &'static str;

impl Census {
    /// # Errors
    /// What the text is not or lacks, in words.
    pub fn from_json(text: &str) -> Result<Census, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        read(&value).map_err(|missing| format!("tree.json has no {missing}"))
    }
}

fn read(value: &Value) -> Result<Census, Missing> {
    let rows = |name: Missing| value[name].as_array().ok_or(name);
    let (namespaces, nsproxies, tasks) = (rows("namespaces")?, rows("nsproxies")?, rows("tasks")?);
    let places = numbered(namespaces, "inum");
    let namespaces = namespaces.iter().map(|value| namespace(value, &places)).collect::<Result<Vec<_>, _>>()?;
    let mut initial = [0; NS_TABLE.len()];
    for (kind, first) in initial.iter_mut().enumerate() {
        let of_kind = (0..).zip(&namespaces).filter(|(_, ns)| ns.ns_type as usize == kind);
        *first = of_kind.min_by_key(|(_, ns)| ns.ns_id).ok_or("initial namespace")?.0;
    }
    let nsproxy_places = numbered(nsproxies, "index");
    let nsproxies = nsproxies.iter().map(|value| nsproxy(value, &places)).collect::<Result<Vec<_>, _>>()?;
    let task_places = numbered(tasks, "pid");
    let mut census = Census { namespaces, initial, nsproxies, tasks: Vec::new(), numbers: Vec::new() };
    for (row, value) in (0..).zip(tasks) {
        let task = task(value, row, &places, &nsproxy_places, &task_places, &mut census.numbers)?;
        census.tasks.push(task);
    }
    if census.tasks.is_empty() { Err("task") } else { Ok(census) }
}

/// The rows of a table by the number that names each.
fn numbered(rows: &[Value], name: &str) -> BTreeMap<u64, Row> {
    rows.iter().zip(0..).filter_map(|(value, row)| Some((value[name].as_u64()?, row))).collect()
}

fn number<T: TryFrom<u64>>(value: &Value, name: Missing) -> Result<T, Missing> {
    value[name].as_u64().and_then(|number| T::try_from(number).ok()).ok_or(name)
}

/// The row that a number names; `None` where there is none.
fn named(value: &Value, places: &BTreeMap<u64, Row>) -> Option<Row> {
    places.get(&value.as_u64()?).copied()
}

fn namespace(value: &Value, places: &BTreeMap<u64, Row>) -> Result<NsRow, Missing> {
    let ns_type = value["type"].as_str().and_then(NsType::from_name).ok_or("type")?;
    let has_tasks = value["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty());
    Ok(NsRow {
        ns_type,
        inum: number(value, "inum")?,
        ns_id: number(value, "ns_id")?,
        count: number(value, "count")?,
        pins: number(value, "pins")?,
        owner: named(&value["owner"], places),
        parent: named(&value["parent"], places),
        is_shown: ns_type != NsType::Pid || has_tasks,
    })
}

fn nsproxy(value: &Value, places: &BTreeMap<u64, Row>) -> Result<NsProxyRow, Missing> {
    let slots = value["slots"].as_array().ok_or("slots")?;
    let slots: Vec<Row> = slots.iter().filter_map(|inum| named(inum, places)).collect();
    let slots = <[Row; SLOTS]>::try_from(slots).map_err(|_| "slots")?;
    Ok(NsProxyRow { index: number(value, "index")?, count: number(value, "count")?, slots })
}

fn task(
    value: &Value,
    row: Row,
    namespaces: &BTreeMap<u64, Row>,
    nsproxies: &BTreeMap<u64, Row>,
    tasks: &BTreeMap<u64, Row>,
    numbers: &mut Vec<i32>,
) -> Result<TaskRow, Missing> {
    let nested = value["nspid"].as_array().ok_or("nspid")?.iter().skip(1);
    let numbers_at = numbers.len() as u32;
    numbers.extend(nested.filter_map(|number| i32::try_from(number.as_i64()?).ok()));
    let ns = |name: Missing| {
        let text = value["ns"][name].as_str()?;
        let inum = text.split_once('[')?.1.trim_end_matches(']').parse().ok()?;
        namespaces.get(&inum).copied()
    };
    let nsproxy = named(&value["nsproxy"], nsproxies);
    let state = match value["state"].as_str() {
        Some("Z") => TaskState::Zombie,
        Some("T") => TaskState::Stopped,
        _ if nsproxy.is_none() => TaskState::Zapping,
        _ => TaskState::Running,
    };
    let name = value["comm"].as_str().ok_or("comm")?.as_bytes();
    let mut comm = [0; COMM_MAX];
    let comm_len = name.len().min(COMM_MAX);
    comm[..comm_len].copy_from_slice(&name[..comm_len]);
    Ok(TaskRow {
        pid: number(value, "pid")?,
        state,
        is_idle: value["state"] == "I",
        uid: number(value, "uid")?,
        euid: number(value, "euid")?,
        egid: number(value, "egid")?,
        capabilities: number(value, "capabilities")?,
        leader: named(&value["tgid"], tasks).unwrap_or(row),
        parent: named(&value["ppid"], tasks).unwrap_or(row),
        user_ns: ns("user").ok_or("user")?,
        pid_ns: ns("pid").ok_or("pid")?,
        nsproxy,
        comm,
        comm_len: comm_len as u8,
        is_program: value["program"] == true,
        nested: (numbers.len() - numbers_at as usize) as u8,
        numbers_at,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{graph, json, outline};
    use super::*;
    use crate::kernel::Kernel;
    use crate::script::Session;

    #[test]
    fn pictures_of_the_text_are_those_of_the_kernel() {
        let mut k = Kernel::boot();
        let script =
            b"A = 1 clone newuser newnet newpid\n$A clone thread vm sighand\n$A clone uts\n1 clone vm thread sighand\n\
            B = 1 clone\n$B exit\n$A exec \"a b\"\n1 open 2/ns/net\n1 setns fd:0 net\n$A kill 2 STOP\nC = 1 clone\n\
            $C unshare pid\n";
        Session::default().batch(&mut k, script).1.unwrap();
        let census = Census::take(&k);
        let again = Census::from_json(&String::from_utf8(json::draw(&census)).unwrap()).unwrap();
        for draw in [json::draw, outline::draw, graph::svg] {
            let [was, is] = [&census, &again].map(|census| String::from_utf8(draw(census)).unwrap());
            assert_eq!(was, is);
        }
    }

    #[test]
    fn a_text_that_lacks_something_is_refused_with_words() {
        let error = |text: &str| Census::from_json(text).unwrap_err();
        assert_eq!(error("{}"), "tree.json has no namespaces");
        assert!(error("{").starts_with("EOF while parsing"));
    }
}
