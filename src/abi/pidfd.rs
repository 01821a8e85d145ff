//! `struct pidfd_info`, which PIDFD_GET_INFO fills (`fs/pidfs.c`, `include/uapi/linux/pidfd.h`).

use crate::bail;
use crate::errno::Result;
use crate::kernel::cred::OVERFLOW_ID;
use crate::kernel::{Kernel, TaskId};

/// Bytes of the struct in its first version, and in that of Linux 6.18.
const SIZE_VER0: usize = 64;
const SIZE: usize = 72;

/// PIDFD_GET_INFO without the size of the struct, and where a request has that.
const GET_INFO: u32 = 0xc000_ff0b;
const SIZE_SHIFT: u32 = 16;
const SIZE_MASK: u32 = 0x3fff << SIZE_SHIFT;

/// What a caller asks for, and is told that it got.
const INFO_PID: u64 = 1;
const INFO_CREDS: u64 = 1 << 1;
const INFO_CGROUPID: u64 = 1 << 2;
const INFO_EXIT: u64 = 1 << 3;
const INFO_COREDUMP: u64 = 1 << 4;

/// Whether a process would leave a core dump: not at all, as its user.
const COREDUMP_SKIP: u32 = 1 << 1;
const COREDUMP_USER: u32 = 1 << 2;

/// How a task ended that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As wait4(2) gives it.
    pub status: i32,
    /// The number of the cgroup it was in.
    pub cgroup: u64,
}

/// Whose pidfd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A task that nobody has waited for yet, and the number of its cgroup.
    Task { task: TaskId, cgroup: u64 },
    /// One that is gone, and how it ended if anybody knows.
    Gone(Option<Ended>),
}

/// The bytes of the struct that a request is about; `None`: it is another request.
///
/// # Errors
/// ENOTTY: fewer than the first version had.
pub fn info_size(request: u32) -> Option<Result<usize>> {
    if request & !SIZE_MASK != GET_INFO {
        return None;
    }
    let size = ((request & SIZE_MASK) >> SIZE_SHIFT) as usize;
    let checked = || match size {
        ..SIZE_VER0 => bail!(ENOTTY, "struct pidfd_info of {} bytes, of which it has at least {}", size, SIZE_VER0),
        _ => Ok(size),
    };
    Some(checked())
}

/// What `me` is told who asks for `mask` in a struct of `size` bytes. What Linux does not know is 0.
///
/// # Errors
/// EREMOTE: the caller's pid namespace does not show the task; ESRCH: it is gone, and how it ended was not asked or is not known.
pub fn info(k: &Kernel, me: TaskId, subject: Subject, mask: u64, size: usize) -> Result<Vec<u8>> {
    let (told, cgroup, words) = match subject {
        Subject::Task { task, cgroup } => of_task(k, me, task, mask).map(|(told, words)| (told, cgroup, words))?,
        Subject::Gone(Some(Ended { status, cgroup })) if mask & INFO_EXIT != 0 => {
            let mut words = [0; WORDS];
            words[EXIT_CODE] = status.cast_unsigned();
            (INFO_EXIT | INFO_CGROUPID | mask & INFO_COREDUMP, cgroup, words)
        }
        Subject::Gone(_) => bail!(ESRCH, "the task of the pidfd is gone"),
    };
    let mut bytes = [told.to_ne_bytes(), cgroup.to_ne_bytes()].concat();
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes.resize(size, 0);
    Ok(bytes)
}

/// What follows the two long fields: numbers of processes, eight ids, how it ended, core dumps.
const WORDS: usize = (SIZE - 16) / 4;
const EXIT_CODE: usize = 11;

fn of_task(k: &Kernel, me: TaskId, task: TaskId, mask: u64) -> Result<(u64, [u32; WORDS])> {
    let ns = k.task_active_pid_ns(me);
    let pid = k.task_nr_ns(task, ns);
    if pid == 0 {
        bail!(EREMOTE, "the pid namespace of the caller does not show the process");
    }
    let user = &k.namespaces[k.cred_of(me).user_ns.id()];
    let ids = k.cred_of(task).ids;
    let uid = |id| user.from_kuid(id).unwrap_or(OVERFLOW_ID);
    let gid = |id| user.from_kgid(id).unwrap_or(OVERFLOW_ID);
    let coredump = match k.mm_of(task) {
        Some(mm) if mask & INFO_COREDUMP != 0 => {
            if mm.dumpable {
                COREDUMP_USER
            } else {
                COREDUMP_SKIP
            }
        }
        _ => 0,
    };
    let [pid, tgid, ppid] = [pid, k.task_tgid_nr_ns(task, ns), k.task_ppid_nr_ns(task, ns)].map(i32::cast_unsigned);
    let words = [
        pid,
        tgid,
        ppid,
        uid(ids.uid),
        gid(ids.gid),
        uid(ids.euid),
        gid(ids.egid),
        uid(ids.suid),
        gid(ids.sgid),
        uid(ids.fsuid),
        gid(ids.fsgid),
        0,
        coredump,
        0,
    ];
    Ok((INFO_PID | INFO_CREDS | INFO_CGROUPID | mask & INFO_COREDUMP, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::script::Session;

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn the_size_is_part_of_the_request() {
        for (request, expected) in [
            (0xc048_ff0b, Some(Ok(72))),
            (0xc040_ff0b, Some(Ok(64))),
            (0xc060_ff0b, Some(Ok(96))),
            (0xc03c_ff0b, Some(Err(Errno::ENOTTY))),
            (0xff01, None),
            (0xc048_ff0c, None),
        ] {
            assert_eq!(info_size(request).map(|size| size.map_err(|error| error.errno)), expected, "{request:#x}");
        }
    }

    #[test]
    fn numbers_and_ids_are_those_of_who_asks() {
        let mut k = Kernel::boot();
        let lines = b"1 clone newpid newuser\n1 write proc/2/uid_map \"5 0 10\"\n2 clone\n3 setresuid 7 8 9\n3 prctl dumpable 0\n";
        Session::default().batch(&mut k, lines).1.unwrap();
        let [init, inner, child] = [1, 2, 3].map(|nr| k.find_task(nr).unwrap());
        let subject = Subject::Task { task: child, cgroup: 1 };
        let seen = words(&info(&k, inner, subject, 0, SIZE).unwrap());
        assert_eq!(seen[..7], [7, 0, 1, 0, 2, 2, 1]);
        assert_eq!(seen[7..15], [7, 65534, 8, 65534, 9, 65534, 8, 65534]);
        let outside = words(&info(&k, init, subject, INFO_COREDUMP, 96).unwrap());
        assert_eq!((outside[0], outside[4..7].to_vec(), outside.len()), (0x17, vec![3, 3, 2], 24));
        assert_eq!((outside[7], outside[9], outside[16]), (2, 3, COREDUMP_SKIP));
        let error = info(&k, inner, Subject::Task { task: init, cgroup: 1 }, 0, SIZE).unwrap_err();
        assert_eq!(error.errno, Errno::EREMOTE);
    }

    #[test]
    fn of_who_is_gone_only_the_end_is_known() {
        let k = Kernel::boot();
        let ended = Subject::Gone(Some(Ended { status: 0x300, cgroup: 7 }));
        let gone = |subject, mask| info(&k, k.init.task, subject, mask, SIZE_VER0).map_err(|error| error.errno);
        assert_eq!(gone(ended, INFO_PID), Err(Errno::ESRCH));
        assert_eq!(gone(Subject::Gone(None), INFO_EXIT), Err(Errno::ESRCH));
        let told = words(&gone(ended, u64::MAX).unwrap());
        assert_eq!((told[0], told[2], told[4], told[15], told.len()), (0x1c, 7, 0, 0x300, 16));
    }
}
