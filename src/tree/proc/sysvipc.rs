//! `proc/sysvipc`: all objects of the IPC namespace the opener was in, whatever their mode, by index. Numbers are those
//! of the opener's pid namespace, ids those of its user namespace (`sysvipc_proc_seqops` in `ipc/util.c`).

use crate::bail;
use crate::errno::Result;
use crate::kernel::ipc::Perm;
use crate::kernel::ipc::msg::MsgQueue;
use crate::kernel::ipc::sem::SemSet;
use crate::kernel::ipc::shm::ShmSegment;
use crate::kernel::ns::IpcNamespace;
use crate::kernel::pid::Pid;
use crate::kernel::refcount::Held;
use crate::tree::look::Look;

const MSG_HEADER: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
                          stime      rtime      ctime\n";
const SEM_HEADER: &str = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const SHM_HEADER: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      \
                          atime      dtime      ctime                   rss                  swap\n";

/// # Errors
/// ESRCH: the opener is a zombie.
fn namespace<'k>(look: &Look<'k>) -> Result<&'k IpcNamespace> {
    match look.bound_to() {
        Some(ns) => Ok(look.k.ipc(ns)),
        None => bail!(ESRCH, "a zombie has no IPC namespace"),
    }
}

/// `sysvipc_msg_proc_show`
pub(in crate::tree) fn msg(look: &Look<'_>) -> Result<Vec<u8>> {
    let row = |queue: &MsgQueue| {
        format!(
            "{}  {:>10} {:>10} {:>5} {:>5} {} {:>10} {:>10} {:>10}\n",
            start(&queue.perm),
            queue.cbytes(),
            queue.messages().len(),
            nr(look, queue.lspid.as_ref()),
            nr(look, queue.lrpid.as_ref()),
            ids(look, &queue.perm),
            queue.stime,
            queue.rtime,
            queue.ctime
        )
    };
    Ok(table(MSG_HEADER, namespace(look)?.msg_ids.objects.values().map(row)))
}

/// `sysvipc_sem_proc_show`
pub(in crate::tree) fn sem(look: &Look<'_>) -> Result<Vec<u8>> {
    let row = |set: &SemSet| {
        let (start, ids) = (start(&set.perm), ids(look, &set.perm));
        format!("{start} {:>10} {ids} {:>10} {:>10}\n", set.sems.len(), set.otime, set.ctime)
    };
    Ok(table(SEM_HEADER, namespace(look)?.sem_ids.objects.values().map(row)))
}

/// `sysvipc_shm_proc_show`; nobody ever touches a page.
pub(in crate::tree) fn shm(look: &Look<'_>) -> Result<Vec<u8>> {
    let row = |segment: &ShmSegment| {
        format!(
            "{} {:>21} {:>5} {:>5}  {:>5} {} {:>10} {:>10} {:>10} {:>21} {:>21}\n",
            start(&segment.perm),
            segment.segsz,
            nr(look, segment.cpid.as_ref()),
            nr(look, segment.lpid.as_ref()),
            segment.nattch,
            ids(look, &segment.perm),
            segment.atime,
            segment.dtime,
            segment.ctime,
            0,
            0
        )
    };
    Ok(table(SHM_HEADER, namespace(look)?.shm_ids.objects.values().map(row)))
}

fn table(header: &str, rows: impl Iterator<Item = String>) -> Vec<u8> {
    std::iter::once(header.to_owned()).chain(rows).collect::<String>().into_bytes()
}

fn start(perm: &Perm) -> String {
    format!("{:>10} {:>10}  {:>4o}", perm.key, perm.id, perm.mode)
}

fn ids(look: &Look<'_>, perm: &Perm) -> String {
    let (uid, gid) = (look.uid(perm.uid), look.gid(perm.gid));
    format!("{uid:>5} {gid:>5} {:>5} {:>5}", look.uid(perm.cuid), look.gid(perm.cgid))
}

fn nr(look: &Look<'_>, pid: Option<&Held<Pid>>) -> i32 {
    pid.and_then(|held| look.k.pids[held.id()].nr_in(look.opener_pid_ns)).unwrap_or(0)
}
