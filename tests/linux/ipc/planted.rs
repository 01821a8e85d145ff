//! Calls made on the lab alone: what is observed of IPC objects and time namespaces has to notice each.

use nslab::syscall::dispatch;

use super::AREA;
use crate::pair::Pair;
use crate::planted::call_of;

/// What is there on both sides.
const BOTH: [(i32, &str); 5] = [
    (2, "msgget 1 create 600"),
    (2, "semget 1 1 create 600"),
    (2, "shmget 1 1 create 600"),
    (2, "mq_open q create 600"),
    (3, "unshare newtime"),
];
/// What only the lab does, each time anew.
const ALONE: [(i32, &str); 9] = [
    (2, "msgsnd 0 1 text"),
    (2, "semop 0 0,1"),
    (3, "shmat 0"),
    (2, "shmctl 0 rmid"),
    (2, "mq_send 0 1 text"),
    (2, "mq_unlink q"),
    (3, "mq_open p create 640"),
    (2, "write /proc/sys/kernel/shmmni 5"),
    (3, "write /proc/3/timens_offsets \"monotonic 1 0\""),
];

/// Runs the lines.
///
/// # Errors
/// A call was not noticed, or the two differ without one.
pub fn check(pair: &mut Pair) -> Result<(), String> {
    for alone in [None].into_iter().chain(ALONE.map(Some)) {
        pair.restart()?;
        for (actor, text) in AREA.prelude.iter().chain(&BOTH) {
            let task = pair.k.find_task(*actor).ok_or_else(|| format!("no task {actor}"))?;
            let called = pair.call(task, &call_of(text)?.syscall).map_err(|trouble| format!("{text}: {trouble:?}"))?;
            called.map_err(|error| format!("{text}: {error}"))?;
        }
        if let Some((actor, text)) = alone {
            let task = pair.k.find_task(actor).ok_or_else(|| format!("no task {actor}"))?;
            dispatch(&mut pair.k, task, &call_of(text)?.syscall).map_err(|error| format!("{text}: {error}"))?;
        }
        match ((AREA.observe)(pair, None), alone) {
            (Ok(()), Some((_, text))) => return Err(format!("{text}, made by the lab alone, was not noticed")),
            (Err(difference), None) => return Err(format!("IPC objects without an error: {difference}")),
            _ => {}
        }
    }
    Ok(())
}
