//! What tools print of a topology, on the machine and in the lab that boots from its recording.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::made::{differ, printed};

/// All columns of `lsns`, of the namespaces that only these processes are in. The owners and parents, for which lsns has to
/// open files of namespaces, are compared with `kernel/`; so are the ids of networks, in [`compare_named`].
///
/// # Errors
/// The first difference.
pub fn compare_lsns(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    const BY_IOCTL: [&str; 3] = ["pns", "ons", "netnsid"];
    let command = "lsns -J --output-all";
    let rows = |text: String| -> Vec<Value> {
        let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let rows = all["namespaces"].as_array().unwrap().iter();
        let number = |row: &Value, column: &str| row[column].as_i64().unwrap_or_default();
        let is_own = |row: &&Value| {
            number(row, "ns") > 4_026_532_000 && i32::try_from(number(row, "pid")).is_ok_and(|pid| pids.contains(&pid))
        };
        rows.filter(is_own).cloned().collect()
    };
    let (of_machine, of_lab) = (rows(printed(None, command)), rows(printed(Some(lab), command)));
    if of_machine.len() < 4 {
        return Err(format!("lsns shows nothing of the topology: {of_machine:?}"));
    }
    let plain = |rows: &[Value]| -> Vec<String> {
        let without = |row: &Value| {
            let mut row = row.clone();
            BY_IOCTL.iter().for_each(|column| drop(row.as_object_mut().unwrap().remove(*column)));
            row.to_string()
        };
        let mut rows: Vec<String> = rows.iter().map(without).collect();
        rows.sort();
        rows
    };
    differ(&plain(&of_machine), &plain(&of_lab), command)?;
    for row in &of_machine {
        let kind = row["type"].as_str().unwrap();
        for (column, pointer) in [("ons", "user_ns"), ("pns", "parent")] {
            let shown = row[column].as_u64().filter(|inum| *inum != 0);
            let link = fs::read_link(lab.join(format!("kernel/ns/{kind}/{}/{pointer}", row["ns"]))).ok();
            let there = link.and_then(|link| link.file_name()?.to_str()?.parse().ok());
            if shown.is_some() && shown != there {
                return Err(format!("{column} of {row}: in the lab {there:?}"));
            }
        }
    }
    Ok(())
}

/// `pstree -N`, of the namespaces that only these processes are in.
///
/// # Errors
/// The first difference.
pub fn compare_pstree(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    for kind in ["ipc", "mnt", "net", "pid", "user", "uts"] {
        let of_others: BTreeSet<u64> =
            numbers_of("/proc").filter(|pid| !pids.contains(pid)).flat_map(|pid| inum(pid, kind)).collect();
        let own: BTreeSet<u64> = pids.iter().filter_map(|pid| inum(*pid, kind)).collect();
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
            parts.retain(|number, _| own.contains(number) && !of_others.contains(number));
            parts.into_iter().map(|(number, lines)| format!("{number}\n{}", lines.join("\n"))).collect::<Vec<_>>()
        };
        let of_machine = parts(printed(None, &command));
        if of_machine.is_empty() {
            return Err(format!("{command} shows nothing of the topology"));
        }
        // The lab has no processes of others but who looks.
        differ(&of_machine, &parts(printed(Some(lab), &command)), &command)?;
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

/// Files of the processes: maps, time offsets, limits, cgroups; root and working directories.
///
/// # Errors
/// The first difference.
pub fn compare_files(pids: &BTreeSet<i32>, lab: &Path) -> Result<(), String> {
    let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let files = format!("grep -Hs . /proc/{{{list}}}/{{uid_map,gid_map,setgroups,timens_offsets,cgroup}}");
    let limits = format!("grep -HEs 'processes|open files|msgqueue' /proc/{{{list}}}/limits");
    for command in [files, limits] {
        // On this machine cgroups of the first version may be there too, which a lab has not.
        let lines = |text: String| -> Vec<String> {
            let is_shared = |line: &&str| !line.contains("/cgroup:") || line.contains("/cgroup:0::");
            text.lines().filter(is_shared).map(str::to_owned).collect()
        };
        let (of_machine, of_lab) = (lines(printed(None, &command)), lines(printed(Some(lab), &command)));
        if of_machine.len() < pids.len() {
            return Err(format!("{command}: {of_machine:?}"));
        }
        differ(&of_machine, &of_lab, &command)?;
    }
    for pid in pids {
        for (link, file) in [("root", "root"), ("cwd", "pwd")] {
            let of_machine = fs::read_link(format!("/proc/{pid}/{link}")).ok();
            let of_machine = of_machine.map(|path| path.to_string_lossy().into_owned());
            let of_lab = fs::read_to_string(lab.join(format!("kernel/task/{pid}/fs/{file}"))).ok();
            if of_machine.as_deref() != of_lab.as_deref().map(|path| path.trim_end_matches('\n')) {
                return Err(format!("{link} of {pid}: {of_machine:?}, in the lab {of_lab:?}"));
            }
        }
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
    // The ids, for which ip(8) asks a socket, are compared with `kernel/`.
    let netns = "ip netns list 2>/dev/null | cut -d' ' -f1 | sort; ip netns pids red; ls -i /run/netns";
    let of_machine = printed(None, &format!("nsenter -t {named} -m bash -c {netns:?}"));
    let view = lab.join(format!("as/{named}/root/run/netns"));
    let over =
        format!("mount -t tmpfs none /run && mkdir /run/netns && mount --bind {} /run/netns && ", view.display());
    differ(&lines(&of_machine), &lines(&printed(Some(lab), &format!("{over}{netns}"))), "ip netns")?;
    let mut seen = BTreeSet::new();
    for pid in pids {
        let Some(net) = inum(*pid, "net").filter(|inum| seen.insert(*inum)) else { continue };
        let ids = printed(None, &format!("nsenter -t {pid} -n ip netns list-id | cut -d' ' -f2 | sort"));
        let of_lab = printed(None, &format!("ls {}/kernel/ns/net/{net}/netns_ids | sort", lab.display()));
        differ(&lines(&ids), &lines(&of_lab), "ip netns list-id")?;
    }
    seen.clear();
    for pid in pids {
        let Some(user) = inum(*pid, "user").filter(|inum| seen.insert(*inum)) else { continue };
        let limits = "cd /proc/sys/user && grep . max_*_namespaces | sed 's/max_//; s/_namespaces:/ /' | sort";
        // Nobody enters the user namespace that he is in.
        let is_own = inum(std::process::id().cast_signed(), "user") == Some(user);
        let enter = if is_own { String::new() } else { format!("nsenter -t {pid} -U --preserve-credentials ") };
        let of_machine = printed(None, &format!("{enter}bash -c {limits:?}"));
        let of_lab = printed(None, &format!("sort {}/kernel/ns/user/{user}/ucount_max", lab.display()));
        differ(&lines(&of_machine), &lines(&of_lab), "max_*_namespaces")?;
    }
    Ok(())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// What a recording must not change: namespaces, mounts, ids of networks, limits, objects, devices. What others do on the
/// machine meanwhile, and counters, are left out.
pub fn state(pids: &BTreeSet<i32>) -> Vec<String> {
    let list = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    let own = inum(std::process::id().cast_signed(), "ipc").unwrap_or_default();
    let command = format!(
        "for p in {list}; do \
             readlink /proc/$p/ns/* /proc/$p/root /proc/$p/cwd; ls /proc/$p/fd /proc/$p/task; \
             grep -v ' /tmp/' /proc/$p/mountinfo; grep -Ev 'ctxt_switches|SigQ|Cpus|Mems|Rss|Vm' /proc/$p/status; \
             cat /proc/$p/uid_map /proc/$p/limits; \
             nsenter -t $p -n ip netns list-id; nsenter -t $p -n bash -c \"cut -d: -f1 /proc/net/dev; cat /proc/net/route\"; \
             [ $(readlink /proc/$p/ns/ipc) = 'ipc:[{own}]' ] || nsenter -t $p -i cat /proc/sysvipc/shm /proc/sysvipc/msg /proc/sysvipc/sem; \
             for n in /proc/$p/root/run/netns/*; do [ -e $n ] && nsenter --net=$n ip netns list-id; done; \
         done 2>/dev/null; cat /proc/sys/user/max_* /proc/sys/kernel/hostname /proc/sys/fs/mqueue/*"
    );
    lines(&printed(None, &command))
}
