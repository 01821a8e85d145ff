//! The words for what a call gives: what a control file reads and a script compares.

use std::fmt;

use super::listing;
use crate::errno::Result;
use crate::kernel::signal::{CLD_CONTINUED, CLD_EXITED, CLD_STOPPED, Siginfo};
use crate::syscall::outcome::{
    ChildInfo, IpcStat, Mqattr, MsgInfo, MsqidDs, SemInfo, SemidDs, ShmInfo, ShmUsage, ShmidDs, Stat, Time, Waited,
};
use crate::syscall::{Outcome, Return, SigAction, Stop, WaitFor};
use crate::tree::FileType;

/// The words for an outcome, without a newline. A call that would wait is refused, but for a wait for children: that
/// answers 0, as if it had been told not to wait.
///
/// # Errors
/// Why the call failed or waits.
pub fn answer(outcome: Outcome) -> Result<Vec<u8>> {
    match outcome {
        Ok(Return::Bytes(bytes) | Return::Message { text: bytes, .. } | Return::MqMessage { text: bytes, .. }) => {
            Ok(bytes)
        }
        Ok(Return::Picture(picture)) => Ok(picture.draw()),
        Ok(result) => Ok(result.to_string().into_bytes()),
        Err(Stop::Blocked { on: WaitFor::Child, .. }) => Ok(b"0".to_vec()),
        Err(Stop::Blocked { why, .. }) => Err(why),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The words for a result; what is not UTF-8 in bytes is replaced.
impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self))
    }
}

/// Errno and reason, of a call that would wait those of one that must not.
impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

fn text(result: &Return) -> String {
    match result {
        Return::Num(number) => number.to_string(),
        Return::Rlimit(_) => "0".to_owned(),
        Return::Fd(fd) => fd.to_string(),
        Return::Pid(numbers) => numbers.initial().to_string(),
        Return::Address(address) => format!("{address:#x}"),
        Return::Bytes(bytes) | Return::Message { text: bytes, .. } | Return::MqMessage { text: bytes, .. } => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Return::Picture(picture) => String::from_utf8_lossy(&picture.draw()).into_owned(),
        Return::Names(names) => names.join("\n"),
        Return::Stat(found) => stat(found),
        Return::Wait(None) | Return::Waitid(None) => "0".to_owned(),
        Return::Wait(Some(Waited { pid, status, .. })) => format!("{} {status}", pid.initial()),
        Return::Waitid(Some(ChildInfo { siginfo, .. })) => child_info(siginfo),
        Return::Sigaction { action: SigAction::Ignore, .. } => "ignore".to_owned(),
        Return::Sigaction { action: SigAction::Default, .. } => "default".to_owned(),
        Return::Sigaction { action: SigAction::Handler, runs } => format!("handler {runs}"),
        Return::Siginfo(Siginfo { signo, code, pid, uid, status, value }) => {
            // The two lie in the same place.
            let status = i64::from(*status) | value.cast_signed();
            format!("signo={signo} code={code} pid={} uid={uid} status={status}", pid.initial())
        }
        Return::Time(Time { seconds, nanoseconds }) => format!("{seconds}.{nanoseconds:09}"),
        Return::Mqattr(Mqattr { flags, maxmsg, msgsize, curmsgs }) => {
            format!("flags={flags} maxmsg={maxmsg} msgsize={msgsize} curmsgs={curmsgs}")
        }
        Return::MsgStat(perm, ds) => format!("{} {}", ipc_stat(perm), msqid_ds(ds)),
        Return::MsgInfo(info) => msg_info(info),
        Return::SemStat(perm, SemidDs { otime, ctime, nsems }) => {
            format!("{} otime={otime} ctime={ctime} nsems={nsems}", ipc_stat(perm))
        }
        Return::SemInfo(info) => sem_info(info),
        Return::SemValues(values) => values.iter().map(i32::to_string).collect::<Vec<_>>().join(" "),
        Return::ShmStat(perm, ds) => format!("{} {}", ipc_stat(perm), shmid_ds(ds)),
        Return::ShmInfo(ShmInfo { shmmax, shmmin, shmmni, shmseg, shmall, max_idx }) => {
            format!("shmmax={shmmax} shmmin={shmmin} shmmni={shmmni} shmseg={shmseg} shmall={shmall} max_idx={max_idx}")
        }
        Return::ShmUsage(ShmUsage { used_ids, shm_tot, max_idx }) => format!(
            "used_ids={used_ids} shm_tot={shm_tot} shm_rss=0 shm_swp=0 swap_attempts=0 swap_successes=0 \
             max_idx={max_idx}"
        ),
        Return::Links(links) => listing::links(links),
        Return::Addresses(addresses) => listing::addresses(addresses),
        Return::Nsids(ids) => listing::nsids(ids),
    }
}

/// `type mode uid gid ino`
fn stat(Stat { file_type, mode, uid, gid, ino }: &Stat) -> String {
    let file_type = match file_type {
        FileType::Directory => "directory",
        FileType::File => "file",
        FileType::Symlink => "symlink",
        FileType::Socket => "socket",
    };
    format!("{file_type} {mode:04o} {uid} {gid} {ino}")
}

/// `PID exited|killed|stopped|continued N`
fn child_info(Siginfo { pid, code, status, .. }: &Siginfo) -> String {
    let word = match *code {
        CLD_EXITED => "exited",
        CLD_STOPPED => "stopped",
        CLD_CONTINUED => "continued",
        _ => "killed",
    };
    format!("{} {word} {status}", pid.initial())
}

fn ipc_stat(IpcStat { id, key, uid, gid, cuid, cgid, mode, seq }: &IpcStat) -> String {
    let id = id.map_or(String::new(), |id| format!("id={id} "));
    format!("{id}key={key:#x} uid={uid} gid={gid} cuid={cuid} cgid={cgid} mode=0{mode:03o} seq={seq}")
}

fn msqid_ds(MsqidDs { stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid }: &MsqidDs) -> String {
    format!(
        "stime={stime} rtime={rtime} ctime={ctime} cbytes={cbytes} qnum={qnum} qbytes={qbytes} lspid={} lrpid={}",
        lspid.initial(),
        lrpid.initial()
    )
}

fn msg_info(info: &MsgInfo) -> String {
    let MsgInfo { msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg, max_idx } = info;
    format!(
        "msgpool={msgpool} msgmap={msgmap} msgmax={msgmax} msgmnb={msgmnb} msgmni={msgmni} msgssz={msgssz} \
         msgtql={msgtql} msgseg={msgseg} max_idx={max_idx}"
    )
}

fn sem_info(info: &SemInfo) -> String {
    let SemInfo { semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem, max_idx } = info;
    format!(
        "semmap={semmap} semmni={semmni} semmns={semmns} semmnu={semmnu} semmsl={semmsl} semopm={semopm} \
         semume={semume} semusz={semusz} semvmx={semvmx} semaem={semaem} max_idx={max_idx}"
    )
}

fn shmid_ds(ShmidDs { segsz, atime, dtime, ctime, cpid, lpid, nattch }: &ShmidDs) -> String {
    format!(
        "segsz={segsz} atime={atime} dtime={dtime} ctime={ctime} cpid={} lpid={} nattch={nattch}",
        cpid.initial(),
        lpid.initial()
    )
}
