//! What is given along with a signal.

use super::args::Args;
use super::word::{choose, number, unexpected};
use crate::errno::Result;
use crate::kernel::signal::GivenInfo;
use crate::syscall::{PIDFD_SIGNAL_PROCESS_GROUP, PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP, Syscall};

/// What sigqueue(3) gives along, without a word about it.
const QUEUED: GivenInfo = GivenInfo { code: -1, pid: 0, uid: 0, value: 0 };

/// Flags of pidfd_send_signal.
const TARGETS: &[(&str, u32)] = &[
    ("thread", PIDFD_SIGNAL_THREAD),
    ("thread_group", PIDFD_SIGNAL_THREAD_GROUP),
    ("process_group", PIDFD_SIGNAL_PROCESS_GROUP),
];

/// All that is left, as what is given along.
///
/// # Errors
/// EINVAL: a word that says nothing about it.
pub(super) fn queued(args: &mut Args<'_>) -> Result<GivenInfo> {
    let mut info = QUEUED;
    while let Some(word) = args.optional_text()? {
        set(&mut info, word)?;
    }
    Ok(info)
}

fn set(info: &mut GivenInfo, word: &str) -> Result<()> {
    match word.split_once('=') {
        Some(("code", value)) => info.code = number(value, "CODE")?,
        Some(("pid", value)) => info.pid = number(value, "PID")?,
        Some(("uid", value)) => info.uid = number(value, "UID")?,
        Some(("value", value)) => info.value = number(value, "VALUE")?,
        _ => return Err(unexpected("code=N, pid=N, uid=N or value=N", word)),
    }
    Ok(())
}

pub(super) fn pidfd_send_signal(args: &mut Args<'_>) -> Result<Syscall> {
    let (fd, signo) = (args.number("FD")?, args.signal()?);
    let (mut flags, mut info) = (0, None);
    while let Some(word) = args.optional_text()? {
        match choose(word, TARGETS) {
            Some(flag) => flags |= flag,
            None => set(info.get_or_insert(QUEUED), word)?,
        }
    }
    Ok(Syscall::PidfdSendSignal { fd, signo, info, flags })
}
