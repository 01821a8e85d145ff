//! System V objects, POSIX message queues, and the limits of both.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::mqueue::{MQ_OFlag, mq_close, mq_getattr, mq_open};
use nix::sys::stat::Mode;
use procfs_core::process::{MMapPath, MemoryMaps};

use super::Files;
use super::read::parsed;

/// The limits of an IPC namespace: where in `proc/sys` they are, and the field of the namespace.
pub const LIMITS: [(&str, &str); 12] = [
    ("kernel/msgmax", "msg_ctlmax"),
    ("kernel/msgmnb", "msg_ctlmnb"),
    ("kernel/msgmni", "msg_ctlmni"),
    ("kernel/sem", "sem_ctls"),
    ("kernel/shmmax", "shm_ctlmax"),
    ("kernel/shmall", "shm_ctlall"),
    ("kernel/shmmni", "shm_ctlmni"),
    ("fs/mqueue/queues_max", "mq_queues_max"),
    ("fs/mqueue/msg_max", "mq_msg_max"),
    ("fs/mqueue/msgsize_max", "mq_msgsize_max"),
    ("fs/mqueue/msg_default", "mq_msg_default"),
    ("fs/mqueue/msgsize_default", "mq_msgsize_default"),
];

/// An IPC namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipc {
    /// By their places in `proc/sys`.
    pub limits: BTreeMap<&'static str, String>,
    /// By kind and identifier.
    pub objects: Vec<Object>,
    /// By name.
    pub queues: Vec<Queue>,
}

/// What a System V object is, with what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// So many semaphores.
    Sem(u64),
    /// So many messages with so many bytes together.
    Msg { count: u64, bytes: u64 },
    /// So many bytes.
    Shm(u64),
}

/// A System V object. Ids are of the initial user namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    pub sort: Sort,
    pub id: i32,
    pub key: i32,
    /// Permissions; of segments of memory SHM_DEST and SHM_LOCKED too.
    pub mode: u32,
    /// The owner, and who made it.
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
}

/// A POSIX message queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    pub name: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub maxmsg: u64,
    pub msgsize: u64,
    /// How many messages there are, with how many bytes together.
    pub count: u64,
    pub bytes: u64,
}

/// Sizes that so many messages may have.
pub fn sizes(count: u64, bytes: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |at| bytes / count + u64::from(at < bytes % count))
}

/// What `/proc` and system calls show in the namespace that the caller is in. `names` may be those of queues.
pub(super) fn here(names: &[Vec<u8>], queues: &Path) -> io::Result<Ipc> {
    let read = |path: &str| io::Result::Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned());
    let mut ipc = Ipc::default();
    for (sysctl, _) in LIMITS {
        // A kernel without message queues has none of theirs.
        let Ok(text) = read(&format!("/proc/sys/{sysctl}")) else { continue };
        ipc.limits.insert(sysctl, limit(&text));
    }
    for row in rows(&read("/proc/sysvipc/sem")?) {
        ipc.objects.extend(object(&row, "semid", |row| Some(Sort::Sem(number(row, "nsems")?))));
    }
    for row in rows(&read("/proc/sysvipc/msg")?) {
        ipc.objects.extend(object(&row, "msqid", |row| {
            Some(Sort::Msg { count: number(row, "qnum")?, bytes: number(row, "cbytes")? })
        }));
    }
    for row in rows(&read("/proc/sysvipc/shm")?) {
        ipc.objects.extend(object(&row, "shmid", |row| Some(Sort::Shm(number(row, "size")?))));
    }
    ipc.objects.sort();
    ipc.queues = names.iter().filter_map(|name| queue(name, queues).ok()).collect();
    ipc.queues.sort();
    Ok(ipc)
}

/// Numbers with one blank between them.
pub(super) fn limit(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of a table, by the words of its first one. The parser of `procfs-core` knows one of the tables, and ids of 16
/// bits.
fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    lines.map(|line| names.iter().copied().zip(line.split_whitespace()).collect()).collect()
}

fn number<T: std::str::FromStr>(row: &BTreeMap<&str, &str>, name: &str) -> Option<T> {
    row.get(name)?.parse().ok()
}

fn object(
    row: &BTreeMap<&str, &str>,
    id: &str,
    sort: impl FnOnce(&BTreeMap<&str, &str>) -> Option<Sort>,
) -> Option<Object> {
    Some(Object {
        sort: sort(row)?,
        id: number(row, id)?,
        key: number(row, "key")?,
        mode: u32::from_str_radix(row.get("perms")?, 8).ok()?,
        uid: number(row, "uid")?,
        gid: number(row, "gid")?,
        cuid: number(row, "cuid")?,
        cgid: number(row, "cgid")?,
    })
}

/// A queue of the namespace that the caller is in, if `dir` is where that shows its queues.
fn queue(name: &[u8], dir: &Path) -> io::Result<Queue> {
    let file = dir.join(crate::record::files::name(name));
    let meta = std::fs::metadata(&file)?;
    let path = [b"/", name].concat();
    let open = mq_open(&path[..], MQ_OFlag::O_RDONLY | MQ_OFlag::O_NONBLOCK, Mode::empty(), None)?;
    let attr = mq_getattr(&open);
    mq_close(open)?;
    let attr = attr?;
    let text = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
    let bytes = text.strip_prefix("QSIZE:").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(Queue {
        name: name.to_vec(),
        mode: meta.mode() & 0o777,
        uid: meta.uid(),
        gid: meta.gid(),
        maxmsg: attr.maxmsg().cast_unsigned(),
        msgsize: attr.msgsize().cast_unsigned(),
        count: attr.curmsgs().cast_unsigned(),
        bytes: bytes.unwrap_or(0),
    })
}

/// The segments of memory that a process has attached, each with whether it may only be read.
pub(super) fn attached(files: &dyn Files, pid: i32, known: &BTreeSet<i32>) -> Vec<(i32, bool)> {
    let maps: MemoryMaps = match files.read(&format!("proc/{pid}/maps")).map(|text| parsed(&text)) {
        Ok(Ok(maps)) => maps,
        _ => return Vec::new(),
    };
    let segment = |map: procfs_core::process::MemoryMap| {
        let is_writable = map.perms.contains(procfs_core::process::MMPermissions::WRITE);
        let id = i32::try_from(map.inode).ok().filter(|id| known.contains(id))?;
        matches!(map.pathname, MMapPath::Vsys(_)).then_some((id, !is_writable))
    };
    let mut all: Vec<(i32, bool)> = maps.0.into_iter().filter_map(segment).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_by_the_names_of_its_columns() {
        let text = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n\
                    \x20        7          3   640          2 70000     5     6     7          0          9\n";
        let rows = rows(text);
        let found = object(&rows[0], "semid", |row| Some(Sort::Sem(number(row, "nsems")?))).unwrap();
        let object = Object { sort: Sort::Sem(2), id: 3, key: 7, mode: 0o640, uid: 70000, gid: 5, cuid: 6, cgid: 7 };
        assert_eq!((rows.len(), found), (1, object));
    }

    #[test]
    fn messages_have_all_bytes() {
        assert_eq!(sizes(3, 8).collect::<Vec<_>>(), [3, 3, 2]);
        assert_eq!(sizes(2, 1).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(sizes(0, 0).count(), 0);
    }
}
