//! What programs ask that changes nothing and never waits: answered from the state, without a call of the lab.

use super::Memory;
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::cred::{OVERFLOW_ID, SECBIT_KEEP_CAPS};
use crate::kernel::signal::Rlimit;
use crate::kernel::{Kernel, TaskId};
use crate::syscall::{PidArg, Resource};

/// A question of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Getpid,
    Gettid,
    Getppid,
    /// getuid and its like.
    Id(Id),
    /// getresuid, getresgid.
    Ids(Ids),
    /// getgroups into room for as many; without room it is only their count.
    Getgroups {
        room: usize,
    },
    Uname,
    /// Sets in 32-bit words, one or two of them each.
    Capget {
        pid: PidArg,
        words: usize,
    },
    /// capget or capset with a header of no known version: what the newest is. A probe succeeds.
    CapVersion {
        is_probe: bool,
    },
    Getrlimit {
        pid: PidArg,
        resource: Resource,
    },
    /// prctl: PR_GET_NAME, PR_GET_PDEATHSIG, PR_GET_KEEPCAPS, PR_GET_CHILD_SUBREAPER, PR_GET_NO_NEW_PRIVS.
    Name,
    Pdeathsig,
    Keepcaps,
    ChildSubreaper,
    NoNewPrivs,
    /// PR_CAP_AMBIENT_IS_SET
    Ambient {
        cap: u64,
    },
    /// Something that succeeds and says nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    Uid,
    Euid,
    Gid,
    Egid,
}

/// Real, effective and saved ids of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    Users,
    Groups,
}

/// What a question is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The result of the call; nothing goes to memory.
    Number(i64),
    /// An `int` in memory.
    Int(i32),
    /// Three ids, an address for each.
    Ids([u32; 3]),
    /// Groups, whose count is the result.
    Groups(Vec<u32>),
    /// `struct new_utsname`, or another block of bytes.
    Bytes(Vec<u8>),
    /// Where somebody asks for it.
    Limit(Rlimit),
    /// The newest version of capability headers, in memory, and what the call fails with.
    CapVersion { is_probe: bool },
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

impl Question {
    /// # Errors
    /// ESRCH: no such task; EINVAL: too little room, no capability; EPERM: another's limits.
    pub fn answer(&self, k: &Kernel, me: TaskId) -> Result<Reply> {
        let number = |n: i32| Ok(Reply::Number(i64::from(n)));
        let own_ns = k.task_active_pid_ns(me);
        match *self {
            Question::Getpid => number(k.task_tgid_nr_ns(me, own_ns)),
            Question::Gettid => number(k.task_nr_ns(me, own_ns)),
            Question::Getppid => number(k.task_ppid_nr_ns(me, own_ns)),
            Question::Id(id) => {
                let ([uid, euid, _], [gid, egid, _]) = (ids(k, me, Ids::Users), ids(k, me, Ids::Groups));
                let id = match id {
                    Id::Uid => uid,
                    Id::Euid => euid,
                    Id::Gid => gid,
                    Id::Egid => egid,
                };
                Ok(Reply::Number(i64::from(id)))
            }
            Question::Ids(which) => Ok(Reply::Ids(ids(k, me, which))),
            Question::Getgroups { room } => groups(k, me, room),
            Question::Uname => uname(k, me),
            Question::Capget { pid, words } => capget(k, me, pid, words),
            Question::CapVersion { is_probe } => Ok(Reply::CapVersion { is_probe }),
            Question::Getrlimit { pid, resource } => getrlimit(k, me, pid, resource),
            Question::Name => {
                let mut name = k.tasks[me].comm.to_vec();
                name.resize(16, 0);
                Ok(Reply::Bytes(name))
            }
            Question::Pdeathsig => Ok(Reply::Int(k.tasks[me].pdeath_signal)),
            Question::Keepcaps => number(i32::from(k.cred_of(me).has_securebit(SECBIT_KEEP_CAPS))),
            Question::ChildSubreaper => Ok(Reply::Int(i32::from(k.signal_of(me).is_child_subreaper))),
            Question::NoNewPrivs => number(i32::from(k.tasks[me].no_new_privs)),
            Question::Ambient { cap } => match Cap::from_number(cap) {
                Some(cap) => number(i32::from(k.cred_of(me).ambient.has(cap))),
                None => bail!(EINVAL, "{} is no capability", cap),
            },
            Question::Nothing => number(0),
        }
    }
}

/// Real, effective and saved, as the task's user namespace has them.
fn ids(k: &Kernel, me: TaskId, which: Ids) -> [u32; 3] {
    let cred = k.cred_of(me);
    let (ids, ns) = (&cred.ids, &k.namespaces[cred.user_ns.id()]);
    let own = match which {
        Ids::Users => [ids.uid, ids.euid, ids.suid].map(|id| ns.from_kuid(id)),
        Ids::Groups => [ids.gid, ids.egid, ids.sgid].map(|id| ns.from_kgid(id)),
    };
    own.map(|id| id.unwrap_or(OVERFLOW_ID))
}

fn groups(k: &Kernel, me: TaskId, room: usize) -> Result<Reply> {
    let cred = k.cred_of(me);
    let count = cred.groups.len();
    if room == 0 {
        return Ok(Reply::Number(count as i64));
    }
    if count > room {
        bail!(EINVAL, "{} groups, and room for {}", count, room);
    }
    let ns = &k.namespaces[cred.user_ns.id()];
    Ok(Reply::Groups(cred.groups.iter().map(|&gid| ns.from_kgid(gid).unwrap_or(OVERFLOW_ID)).collect()))
}

/// `struct new_utsname`: six fields of 65 bytes.
fn uname(k: &Kernel, me: TaskId) -> Result<Reply> {
    let Some(nsproxy) = k.nsproxy_of(me) else { bail!(ESRCH, "the task is dead and has no namespaces") };
    let names = &k.namespaces[nsproxy.uts_ns()];
    let fields = [&names.sysname, &names.nodename, &names.release, &names.version, &names.machine, &names.domainname];
    let mut bytes = Vec::with_capacity(6 * 65);
    for (end, field) in (1..).map(|index| 65 * index).zip(fields) {
        bytes.extend(field.iter().take(64));
        bytes.resize(end, 0);
    }
    Ok(Reply::Bytes(bytes))
}

/// The task with this number, or the caller.
fn find(k: &Kernel, me: TaskId, pid: PidArg) -> Result<TaskId> {
    let number = pid.number();
    match if number == 0 { Some(me) } else { k.find_task_by_pid_ns(number, k.task_active_pid_ns(me)) } {
        Some(task) => Ok(task),
        None => bail!(ESRCH, "pid {} does not exist or is not visible", number),
    }
}

/// `struct __user_cap_data_struct`, once or twice: effective, permitted, inheritable.
fn capget(k: &Kernel, me: TaskId, pid: PidArg, words: usize) -> Result<Reply> {
    let cred = k.cred_of(find(k, me, pid)?);
    let sets = [cred.effective, cred.permitted, cred.inheritable].map(|set| set.bits());
    let words = [0, 32].into_iter().take(words);
    Ok(Reply::Bytes(words.flat_map(|shift| sets.map(|set| ((set >> shift) as u32).to_ne_bytes()).concat()).collect()))
}

fn getrlimit(k: &Kernel, me: TaskId, pid: PidArg, resource: Resource) -> Result<Reply> {
    let target = find(k, me, pid)?;
    k.check_prlimit(me, target)?;
    Ok(Reply::Limit(resource.of(&k.signal_of(target).rlimits)))
}

impl Reply {
    /// Puts it where it was asked for; the result of the call.
    ///
    /// # Errors
    /// EFAULT; EINVAL: a header of no known version.
    pub fn write(&self, to: [u64; 3], memory: &mut dyn Memory) -> Result<i64> {
        match self {
            Reply::Number(number) => return Ok(*number),
            Reply::Int(value) => memory.put_u32(to[0], *value as u32)?,
            Reply::Ids(ids) => {
                for (addr, id) in to.into_iter().zip(ids) {
                    memory.put_u32(addr, *id)?;
                }
            }
            Reply::Groups(groups) => {
                memory.write(to[0], &groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect::<Vec<u8>>())?;
                return Ok(groups.len() as i64);
            }
            Reply::Limit(_) if to[0] == 0 => {}
            Reply::Limit(Rlimit { soft, hard }) => {
                memory.write(to[0], &[soft.to_ne_bytes(), hard.to_ne_bytes()].concat())?;
            }
            Reply::Bytes(bytes) => memory.write(to[0], bytes)?,
            Reply::CapVersion { is_probe } => {
                memory.put_u32(to[0], CAPABILITY_VERSION_3)?;
                if !is_probe {
                    bail!(EINVAL, "the version of the header is none of the three there are");
                }
            }
        }
        Ok(0)
    }
}
