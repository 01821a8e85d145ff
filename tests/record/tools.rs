//! What tools print of a topology, on the machine and in the lab that boots from its recording.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::made::{differ, in_lab, printed};

/// All columns of `lsns`, of the namespaces that only these processes are in.
///
/// # Errors
/// The first difference.
pub fn compare_lsns(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    let command = "lsns -J --output-all";
    let rows = |text: String| -> Vec<String> {
        let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let rows = all["namespaces"].as_array().unwrap().iter();
        let number = |row: &Value, column: &str| row[column].as_i64().unwrap_or_default();
        let is_own = |row: &&Value| {
            number(row, "ns") > 4_026_532_000 && i32::try_from(number(row, "pid")).is_ok_and(|pid| pids.contains(&pid))
        };
        let mut rows: Vec<String> = rows.filter(is_own).map(Value::to_string).collect();
        rows.sort();
        rows
    };
    let (of_machine, of_lab) = (rows(printed(None, command)), rows(in_lab(lab, 1, command)));
    if of_machine.len() < 4 {
        return Err(format!("lsns shows nothing of the topology: {of_machine:?}"));
    }
    differ(&of_machine, &of_lab, command)
}

/// `pstree -N`, of the namespaces that only these processes are in.
///
/// # Errors
/// The first difference.
pub fn compare_pstree(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    for kind in ["ipc", "mnt", "net", "pid", "user", "uts"] {
        let of_others: BTreeSet<u64> =
            numbers_of("/proc").filter(|pid| !pids.contains(pid)).flat_map(|pid| inum(pid, kind)).collect();
        let command = format!("pstree -A -l -p -N {kind}");
        // A headline with the number of the namespace, then its processes.
        let parts = |text: String| {
            let mut parts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            let mut part = None;
            for line in text.lines() {
                let number = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok());
                match number {
                    Some(number) => part = Some(parts.entry(number).or_default()),
                    None => part.as_mut().into_iter().for_each(|part| part.push(line.to_owned())),
                }
            }
            parts.retain(|number, _| !of_others.contains(number));
            parts.into_iter().map(|(number, lines)| format!("{number}\n{}", lines.join("\n"))).collect::<Vec<_>>()
        };
        let of_machine = parts(printed(None, &command));
        if of_machine.is_empty() {
            return Err(format!("{command} shows nothing of the topology"));
        }
        // The lab has no processes of others but who looks.
        differ(&of_machine, &parts(in_lab(lab, 1, &command)), &command)?;
    }
    Ok(())
}

fn numbers_of(dir: &str) -> impl Iterator<Item = i32> {
    super::made::names(dir).into_iter().filter_map(|name| name.parse().ok())
}

fn inum(pid: i32, kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    link.to_str()?.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// Files and links of the processes: maps, time offsets, limits, cgroups, root and working directories.
///
/// # Errors
/// The first difference.
pub fn compare_files(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let files = format!("grep -Hs . /proc/{{{list}}}/{{uid_map,gid_map,setgroups,timens_offsets,cgroup}}");
    let limits = format!("grep -HEs 'processes|open files|msgqueue' /proc/{{{list}}}/limits");
    let links = format!("for f in /proc/{{{list}}}/{{root,cwd}}; do echo $f $(readlink $f); done");
    for command in [files, limits, links] {
        // On this machine cgroups of the first version may be there too, which a lab has not.
        let lines = |text: String| -> Vec<String> {
            let is_shared = |line: &&str| !line.contains("/cgroup:") || line.contains("/cgroup:0::");
            text.lines().filter(is_shared).map(str::to_owned).collect()
        };
        let (of_machine, of_lab) = (lines(printed(None, &command)), lines(in_lab(lab, 1, &command)));
        if of_machine.len() < pids.len() {
            return Err(format!("{command}: {of_machine:?}"));
        }
        differ(&of_machine, &of_lab, &command)?;
    }
    Ok(())
}

/// `ip netns` where a process has named network namespaces, and how many namespaces users may have.
///
/// # Errors
/// The first difference.
pub fn compare_named(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    let named = pids.iter().find(|pid| Path::new(&format!("/proc/{pid}/root/run/netns/red")).exists());
    let named = named.ok_or("nobody has named a network namespace")?;
    let netns = "ip netns list | sort; ip netns pids red; for n in red blue; do ip -n $n -o link | cut -d: -f1,2; ip netns exec $n readlink /proc/self/ns/net; done";
    let of_machine = printed(None, &format!("nsenter -t {named} -m -n bash -c {netns:?}"));
    differ(&lines(&of_machine), &lines(&in_lab(lab, *named, netns)), "ip netns")?;
    let limits = "cd /proc/sys/user && grep . max_*_namespaces";
    let mut seen = BTreeSet::new();
    for pid in pids {
        if inum(*pid, "user").is_some_and(|inum| seen.insert(inum)) {
            let of_machine = printed(None, &format!("nsenter -t {pid} -U bash -c {limits:?}"));
            differ(&lines(&of_machine), &lines(&in_lab(lab, *pid, limits)), "max_*_namespaces")?;
        }
    }
    Ok(())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// What a recording must not change: namespaces, mounts, ids of networks, limits, objects, devices.
pub fn state(pids: &BTreeSet<i32>) -> Vec<String> {
    let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    let command = format!(
        "for p in {list}; do \
             readlink /proc/$p/ns/* /proc/$p/root /proc/$p/cwd; ls /proc/$p/fd /proc/$p/task; cat /proc/$p/mountinfo; \
             grep -v ctxt_switches /proc/$p/status; cat /proc/$p/uid_map /proc/$p/limits; \
             nsenter -t $p -n ip netns list-id; nsenter -t $p -n cat /proc/net/dev /proc/net/route; \
             nsenter -t $p -i cat /proc/sysvipc/shm /proc/sysvipc/msg /proc/sysvipc/sem; \
             for n in /proc/$p/root/run/netns/*; do [ -e $n ] && nsenter --net=$n ip netns list-id; done; \
         done 2>/dev/null; ls /run/netns; cat /proc/sys/user/max_* /proc/sys/kernel/hostname /proc/sys/fs/mqueue/*; \
         lsns -n -r -o NS,TYPE | sort -n | awk '$1 > 4026532000'"
    );
    lines(&printed(None, &command))
}
