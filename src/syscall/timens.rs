//! Writes to `timens_offsets` of a process (`timens_offsets_write` in `fs/proc/base.c`, `proc_timens_set_offset` in
//! `kernel/time/namespace.c`; time_namespaces(7)).

use super::write::{Writing, Written};
use crate::bail;
use crate::errno::Result;
use crate::kernel::capability::Cap;
use crate::kernel::ns::time::Offset;
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::scan::Scanner;
use crate::kernel::{Kernel, TaskId};

/// Bytes a write must stay below (`PAGE_SIZE`).
const TEXT_LIMIT: usize = 4096;
/// Lines that are looked at.
const LINES_MAX: usize = 2;
const NSEC_PER_SEC: i64 = 1_000_000_000;
/// Most seconds of an offset (`KTIME_SEC_MAX`).
const SEC_MAX: i64 = i64::MAX / NSEC_PER_SEC;
/// Longest name of a clock, bytes.
const CLOCK_NAME_MAX: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Monotonic,
    Boottime,
}

/// Sets offsets of the time namespace the children of `process` get.
///
/// # Errors
/// EINVAL: not at the start of the file, too long, or not `CLOCK SECONDS NANOSECONDS` in the first two lines; ESRCH: the
/// process is dead; EPERM: the opener had no CAP_SYS_TIME; ERANGE: the clock would go below 0 or too far; EACCES: a task
/// is or was in the namespace.
pub fn write_offsets(k: &mut Kernel, process: TaskId, w: &Writing) -> Result<Written> {
    if w.pos != 0 {
        bail!(EINVAL, "the file position is {}, not 0", w.pos);
    }
    if w.bytes.len() >= TEXT_LIMIT {
        bail!(EINVAL, "{} bytes, at most {} are possible", w.bytes.len(), TEXT_LIMIT - 1);
    }
    let (offsets, used) = parse_offsets(w.bytes)?;
    let Some(ns) = k.tasks.get(process).and_then(|_| k.nsproxy_of(process)).map(NsProxy::time_ns_for_children) else {
        bail!(ESRCH, "the process is dead and has no namespaces");
    };
    let owner = k.owner_of(ns);
    if !k.cred_capable(w.opener.rights(), owner, Cap::SYS_TIME) {
        bail!(EPERM, "the opener had no CAP_SYS_TIME in {}, owner of {}", k.ns_arg(owner), k.ns_arg(ns));
    }
    for (_, offset) in &offsets {
        check_range(k.clock.now(), offset)?;
    }
    if k.namespaces[ns].frozen_offsets {
        bail!(EACCES, "a task is or was in {}, its offsets are frozen", k.ns_arg(ns));
    }
    let time = &mut k.namespaces[ns];
    for (clock, offset) in offsets {
        match clock {
            Clock::Monotonic => time.monotonic = offset,
            Clock::Boottime => time.boottime = offset,
        }
    }
    Ok(Written::in_place(used))
}

/// The clock, at `now` nanoseconds without offsets, must stay between 0 and half of what it can hold.
fn check_range(now: u64, offset: &Offset) -> Result<()> {
    if !(-SEC_MAX..=SEC_MAX).contains(&offset.sec) {
        bail!(ERANGE, "{} s is beyond {} s", offset.sec, SEC_MAX);
    }
    let sum = i128::from(now) + offset.nanos();
    let seconds = sum.div_euclid(i128::from(NSEC_PER_SEC));
    if !(0..=i128::from(SEC_MAX / 2)).contains(&seconds) {
        bail!(ERANGE, "with {} s the clock would leave 0 to {} s", offset.sec, SEC_MAX / 2);
    }
    Ok(())
}

/// The offsets in the first two lines, and the bytes these take.
fn parse_offsets(text: &[u8]) -> Result<(Vec<(Clock, Offset)>, usize)> {
    let mut offsets = Vec::new();
    let mut start = 0;
    for line in crate::kernel::scan::until_nul(text).split_inclusive(|&b| b == b'\n') {
        if offsets.len() == LINES_MAX {
            return Ok((offsets, start));
        }
        start += line.len();
        match parse_offset(line) {
            Some(offset) => offsets.push(offset),
            None => bail!(EINVAL, "line {}: not CLOCK SECONDS NANOSECONDS", offsets.len() + 1),
        }
    }
    if offsets.is_empty() {
        bail!(EINVAL, "nothing to set");
    }
    Ok((offsets, text.len()))
}

/// `monotonic` or `boottime` (or its number), seconds, nanoseconds; more on the line is ignored.
fn parse_offset(line: &[u8]) -> Option<(Clock, Offset)> {
    let mut scan = Scanner::new(line);
    scan.skip_spaces();
    let clock = match scan.word(CLOCK_NAME_MAX) {
        b"monotonic" | b"1" => Clock::Monotonic,
        b"boottime" | b"7" => Clock::Boottime,
        _ => return None,
    };
    scan.skip_spaces();
    let negative = scan.skip(b'-');
    // Like sscanf: too large a number wraps around.
    let sec = scan.wrapping_decimal()?.cast_signed();
    scan.skip_spaces();
    let nsec = scan.wrapping_decimal()?;
    let nsec = i64::try_from(nsec).ok().filter(|&nsec| nsec < NSEC_PER_SEC)?;
    Some((clock, Offset { sec: if negative { sec.wrapping_neg() } else { sec }, nsec }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(Vec<(Clock, Offset)>, usize)> {
        parse_offsets(text.as_bytes()).ok()
    }

    fn monotonic(sec: i64, nsec: i64) -> (Clock, Offset) {
        (Clock::Monotonic, Offset { sec, nsec })
    }

    #[test]
    fn blanks_and_text_behind_are_free() {
        let expected = vec![monotonic(1, 7)];
        for text in ["monotonic 1 7", "  monotonic   1   7", "1 1 7 junk", "monotonic1 7", "monotonic 1 7junk\n"] {
            assert_eq!(parsed(text), Some((expected.clone(), text.len())), "{text:?}");
        }
    }

    #[test]
    fn a_line_needs_a_clock_and_two_numbers() {
        for text in ["", "monotonic 1", "realtime 1 0", "monotonic 1 1000000000", "monotonic 1 -1", "monotonic +1 0"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        assert_eq!(parsed("monotonic 1 0\n\n"), None);
        assert_eq!(parsed("monotonic 1 0\nbogus\n"), None);
    }

    #[test]
    fn a_third_line_is_left_alone() {
        let both = vec![monotonic(1, 0), (Clock::Boottime, Offset { sec: -2, nsec: 0 })];
        assert_eq!(parsed("monotonic 1 0\nboottime -2 0\njunk"), Some((both, 28)));
    }

    #[test]
    fn clocks_stay_between_zero_and_half_of_the_range() {
        let fits = |now, sec| check_range(now, &Offset { sec, nsec: 0 }).is_ok();
        assert!(fits(0, 0) && fits(0, SEC_MAX / 2) && fits(5_000_000_000, -5));
        assert!(!fits(0, -1) && !fits(0, SEC_MAX / 2 + 1) && !fits(0, i64::MIN) && !fits(4_999_999_999, -5));
    }
}
