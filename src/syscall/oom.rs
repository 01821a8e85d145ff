//! Writes to `oom_score_adj` (`__set_oom_adj` in `fs/proc/base.c`).

use super::write::{Writing, Written};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::signal::Oom;
use crate::kernel::{Kernel, SignalId, TaskId};

/// Bytes of a text that are read (`PROC_NUMBUF` less the NUL).
const NUMBER_BYTES: usize = 12;
/// The ends of the scale (`OOM_SCORE_ADJ_MAX`).
const SCALE: std::ops::RangeInclusive<i64> = -1000..=1000;

/// Sets the adjustment of a process, and of those that share its memory.
///
/// # Errors
/// EINVAL: no number from -1000 to 1000; ERANGE: more than an int holds; ESRCH: the task is gone; EACCES: lower than
/// somebody with CAP_SYS_RESOURCE last set it, and the writer has none in the initial user namespace.
pub(super) fn write_score_adj(k: &mut Kernel, process: TaskId, w: &Writing) -> Result<Written> {
    let text = &w.bytes[..w.bytes.len().min(NUMBER_BYTES)];
    let Some(number) = parse_int(text) else { bail!(EINVAL, "this is no number") };
    if i32::try_from(number).is_err() {
        bail!(ERANGE, "{} does not fit into an int", number);
    }
    let score_adj = i16::try_from(number).ok().filter(|_| SCALE.contains(&number));
    let Some(score_adj) = score_adj else { bail!(EINVAL, "{} is not from -1000 to 1000", number) };
    if !k.tasks.contains(process) {
        bail!(ESRCH, "the task is gone");
    }
    let is_privileged = k.ns_capable(w.task, k.init.user_ns, Cap::SYS_RESOURCE);
    let signal = k.tasks[process].signal;
    let min = k.signals[signal].oom.score_adj_min;
    if score_adj < min && !is_privileged {
        bail!(
            EACCES,
            "{} is below {}, and CAP_SYS_RESOURCE is missing in {}",
            number,
            i64::from(min),
            k.ns_arg(k.init.user_ns)
        );
    }
    for signal in sharers(k, signal) {
        let old = k.signals[signal].oom;
        let score_adj_min = if is_privileged { score_adj } else { old.score_adj_min };
        k.signals[signal].oom = Oom { score_adj, score_adj_min };
    }
    Ok(Written::in_place(text.len()))
}

/// A process and all others but init that have its memory.
fn sharers(k: &Kernel, signal: SignalId) -> Vec<SignalId> {
    let mm_of = |signal| k.threads_of(signal).find_map(|task| k.mm_id_of(task));
    let Some(mm) = mm_of(signal).filter(|mm| k.mms[*mm].users > 1) else { return vec![signal] };
    let init = k.tasks[k.init.task].signal;
    let others = k.signals.iter().map(|(other, _)| other).filter(|&other| other != signal && other != init);
    std::iter::once(signal).chain(others.filter(|&other| mm_of(other) == Some(mm))).collect()
}

/// A number in the notation of C with white space around it (`strstrip`, `kstrtoint`). `None`: it is none.
fn parse_int(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text.split(|&byte| byte == 0).next()?).ok()?;
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let is_digits = digits.chars().all(|c| c.is_digit(radix));
    i64::from_str_radix(digits, radix).ok().filter(|_| is_digits).map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_c() {
        let numbers = ["500\n", " -7 ", "+3", "0x10", "010", "0", "99999999999"].map(|text| parse_int(text.as_bytes()));
        assert_eq!(numbers, [500, -7, 3, 16, 8, 0, 99_999_999_999].map(Some));
        assert_eq!(["", "-", "a", "1 2", "--1", "+-1", "0x", "08"].map(|text| parse_int(text.as_bytes())), [None; 8]);
    }
}
