//! The seccomp filter of programs: which calls stop for the supervisor, made of the table of calls.

use std::io;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, sock_filter,
};

use super::Supervisor;
use super::regs::{ARCH, Regs, X32};
use super::sys::Tid;
use super::tracee::Tracee;
use crate::abi::{Call, Condition, LIMITS, PASSING, Translate, Treatment, calls, number};

/// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH_AT: u32 = 4;

/// The lower half of an argument.
const fn arg(index: usize) -> u32 {
    16 + 8 * index as u32
}

/// When a call stops for the supervisor.
#[derive(Clone, Copy, Debug)]
enum Stops {
    Never,
    Always,
    /// Where the table says so.
    If(Condition),
    /// Unless the argument is 0: a process that is the caller itself, a change that is none.
    Unless(usize),
    /// Where the table says so, and unless the argument is 0.
    IfOrUnless(Condition, usize),
    /// It does not stop, and fails: nobody wants to hear of it.
    Errno(i32),
}

fn stops(call: Call) -> Stops {
    match call.treatment() {
        // Who asks for what goes with messages gets another filter.
        Treatment::Translated(Translate::Netlink) if call == Call::Setsockopt => Stops::If(PASSING),
        // It may have credentials with it.
        Treatment::Translated(Translate::Netlink) if call == Call::Sendmsg => Stops::Always,
        // There are other filters for who has netlink sockets, has made a descriptor of signalfd, or is in a time namespace.
        Treatment::Passed | Treatment::Translated(Translate::Netlink | Translate::Signals | Translate::Clock(_)) => {
            Stops::Never
        }
        // Each program asks for it when it starts.
        Treatment::Refused { errno, .. } if call == Call::SetRobustList => Stops::Errno(errno as i32),
        // What only asks for an action the real kernel answers, and for limits that the lab does not have.
        Treatment::Emulated(_) if call == Call::RtSigaction => Stops::Unless(1),
        Treatment::Emulated(_) if call == Call::Prlimit64 => Stops::IfOrUnless(LIMITS, 0),
        Treatment::Translated(Translate::Pids([first])) => Stops::Unless(*first),
        treatment => treatment.condition().map_or(Stops::Always, Stops::If),
    }
}

/// What the `si_errno` of a SIGSYS says that our filter sends: a call of another architecture. Were the supervisor asked as for
/// others, it would take the number for one of ours.
pub const FOREIGN: i32 = 0x6e73;

/// The program: calls of another architecture are none, and the supervisor hears of them by a signal.
pub fn program() -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH_AT),
        jump(BPF_JEQ, ARCH, 1, 0),
        ret(SECCOMP_RET_TRAP | FOREIGN.unsigned_abs()),
        load(NR),
        jump(BPF_JGE, X32, 0, 1),
        ret(SECCOMP_RET_TRACE),
    ];
    let mut last = 0;
    for (number, call) in calls() {
        let number = u32::try_from(number).unwrap_or(X32);
        last = last.max(number);
        let body = body(stops(call));
        if !body.is_empty() {
            program.push(jump(BPF_JEQ, number, 0, u8::try_from(body.len()).unwrap_or(u8::MAX)));
            program.extend(body);
        }
    }
    // What is newer than the table, and the numbers between its parts, which nobody has had.
    program.extend([jump(BPF_JGE, last + 1, 0, 1), ret(SECCOMP_RET_TRACE), ret(SECCOMP_RET_ALLOW)]);
    program
}

/// What those who have netlink sockets get besides: their calls about sockets stop.
pub fn netlink() -> Vec<sock_filter> {
    let stops = |call: Call| matches!(call.treatment(), Treatment::Translated(Translate::Netlink));
    let numbers = calls().filter(|(_, call)| stops(*call)).filter_map(|(number, _)| u32::try_from(number).ok());
    let tests = numbers.flat_map(|number| [jump(BPF_JEQ, number, 0, 1), ret(SECCOMP_RET_TRACE)]);
    std::iter::once(load(NR)).chain(tests).chain([ret(SECCOMP_RET_ALLOW)]).collect()
}

/// What those get besides who have made a descriptor of signalfd: reads stop from so many, from `first` on.
pub fn reads(first: i32, count: i32) -> Vec<sock_filter> {
    let read = u32::try_from(number(Call::Read)).unwrap_or(X32);
    let (first, end) = (first.unsigned_abs(), (first + count).unsigned_abs());
    vec![
        load(NR),
        jump(BPF_JEQ, read, 0, 4),
        load(arg(0)),
        jump(BPF_JGE, first, 0, 2),
        jump(BPF_JGE, end, 1, 0),
        ret(SECCOMP_RET_TRACE),
        ret(SECCOMP_RET_ALLOW),
    ]
}

/// What those get besides who are in a time namespace with offsets: their calls about the time stop.
pub fn clock() -> Vec<sock_filter> {
    let mut program = vec![load(NR)];
    for (number, call) in calls() {
        let Treatment::Translated(translate) = call.treatment() else { continue };
        let (Some(condition), Ok(number)) = (translate.clock(), u32::try_from(number)) else { continue };
        let body = body(Stops::If(condition));
        program.push(jump(BPF_JEQ, number, 0, u8::try_from(body.len()).unwrap_or(u8::MAX)));
        program.extend(body);
    }
    program.push(ret(SECCOMP_RET_ALLOW));
    program
}

/// `struct sock_fprog` for memory at `addr`, and behind it the program.
fn bytes(program: &[sock_filter], addr: u64) -> Vec<u8> {
    const LEN: u64 = 16;
    let mut bytes = [program.len() as u64, addr + LEN].map(u64::to_ne_bytes).concat();
    for line in program {
        bytes.extend(line.code.to_ne_bytes());
        bytes.extend([line.jt, line.jf]);
        bytes.extend(line.k.to_ne_bytes());
    }
    bytes
}

/// What follows where the number is that of a call: each way ends.
fn body(stops: Stops) -> Vec<sock_filter> {
    match stops {
        Stops::Never => Vec::new(),
        Stops::Always => vec![ret(SECCOMP_RET_TRACE)],
        Stops::Errno(number) => vec![ret(errno(number))],
        Stops::Unless(index) => unless(index).to_vec(),
        Stops::If(condition) => tests(condition).chain([ret(SECCOMP_RET_ALLOW)]).collect(),
        Stops::IfOrUnless(condition, index) => tests(condition).chain(unless(index)).collect(),
    }
}

/// Both halves of an argument are looked at: it may be an address.
fn unless(index: usize) -> [sock_filter; 6] {
    [
        load(arg(index)),
        jump(BPF_JEQ, 0, 0, 3),
        load(arg(index) + 4),
        jump(BPF_JEQ, 0, 0, 1),
        ret(SECCOMP_RET_ALLOW),
        ret(SECCOMP_RET_TRACE),
    ]
}

fn tests(condition: Condition) -> impl Iterator<Item = sock_filter> {
    condition.any.iter().flat_map(move |(mask, value)| {
        let masked = statement(BPF_ALU | BPF_AND | BPF_K, *mask);
        [load(arg(condition.arg)), masked, jump(BPF_JEQ, *value, 0, 1), ret(SECCOMP_RET_TRACE)]
    })
}

fn errno(number: i32) -> u32 {
    SECCOMP_RET_ERRNO | number.unsigned_abs()
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn ret(value: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, value)
}

fn jump(test: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt: yes, jf: no, k }
}

impl Supervisor {
    /// The call that gives a further filter to all threads of a process; the program of the filter is written to memory of ours.
    pub(super) fn filtering(
        &mut self,
        tid: Tid,
        regs: Regs,
        scratch: u64,
        program: &[sock_filter],
    ) -> io::Result<Regs> {
        const SET_MODE_FILTER: u64 = 1;
        self.host.write_memory(tid, scratch, &bytes(program, scratch))?;
        let args = [SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC, scratch, 0, 0, 0];
        Ok(regs.with(number(Call::Seccomp), args))
    }

    /// The threads of the process that a thread is of.
    pub(super) fn threads_with(&mut self, tid: Tid) -> io::Result<impl Iterator<Item = &mut Tracee>> {
        let tgid = self.tracee(tid)?.tgid;
        Ok(self.tracees.values_mut().filter(move |tracee| tracee.tgid == tgid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Rewrite;

    /// What the kernel would make of the program, for a call.
    fn verdict(arch: u32, nr: u32, args: [u32; 6]) -> u32 {
        run(&program(), arch, nr, args)
    }

    fn run(program: &[sock_filter], arch: u32, nr: u32, args: [u32; 6]) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let mut go = |is: bool| at += usize::from(if is { jt } else { jf });
            if code == BPF_LD | BPF_W | BPF_ABS {
                a = match k {
                    NR => nr,
                    ARCH_AT => arch,
                    // Here the upper halves are 0.
                    other if other % 8 == 4 => 0,
                    other => args[(other as usize - 16) / 8],
                };
            } else if code == BPF_ALU | BPF_AND | BPF_K {
                a &= k;
            } else if code == BPF_JMP | BPF_JEQ | BPF_K {
                go(a == k);
            } else if code == BPF_JMP | BPF_JGE | BPF_K {
                go(a >= k);
            } else {
                return k;
            }
        }
    }

    #[test]
    fn each_call_ends_where_the_table_says() {
        for (number, call) in calls() {
            let verdict = verdict(ARCH, number as u32, [1; 6]);
            match call.treatment() {
                Treatment::Passed => assert_eq!(verdict, SECCOMP_RET_ALLOW, "{call:?}"),
                Treatment::Emulated(_) | Treatment::Rewritten(Rewrite::Paths(_) | Rewrite::Queue) => {
                    assert_eq!(verdict, SECCOMP_RET_TRACE, "{call:?}");
                }
                Treatment::Refused { .. } => assert_ne!(verdict, SECCOMP_RET_ALLOW, "{call:?}"),
                Treatment::Rewritten(Rewrite::Ioctl) | Treatment::Translated(_) => {}
            }
        }
    }

    #[test]
    fn reads_stop_from_the_descriptors_of_a_block() {
        let program = reads(16, 8);
        let stops = |nr, fd| run(&program, ARCH, nr, [fd, 0, 0, 0, 0, 0]) == SECCOMP_RET_TRACE;
        let stopped: Vec<u32> = (0..40).filter(|fd| stops(0, *fd)).collect();
        assert_eq!(stopped, (16..24).collect::<Vec<_>>());
        assert!(!stops(1, 17) && !stops(0, u32::MAX));
    }

    #[test]
    fn calls_about_the_time_stop_for_those_who_ask_for_it() {
        let both = |nr, args| [verdict(ARCH, nr, args), run(&clock(), ARCH, nr, args)];
        let (passes, stops) = ([SECCOMP_RET_ALLOW; 2], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE]);
        // clock_gettime of the wall clock, and of the monotonic one; clock_nanosleep for, and until, some time.
        for (nr, args, expected) in [
            (228, [0; 6], passes),
            (228, [1, 0, 0, 0, 0, 0], stops),
            (230, [1, 0, 0, 0, 0, 0], passes),
            (230, [1, 1, 0, 0, 0, 0], stops),
            (202, [0, 128, 0, 0, 0, 0], passes),
            (202, [0, 9 | 128, 0, 0, 0, 0], stops),
            (202, [0, 9 | 256, 0, 0, 0, 0], passes),
            (449, [0, 0, 0, 0, 1, 0], stops),
            (99, [0; 6], stops),
            (39, [0; 6], [SECCOMP_RET_TRACE, SECCOMP_RET_ALLOW]),
        ] {
            assert_eq!(both(nr, args), expected, "{nr} {args:?}");
        }
    }

    #[test]
    fn other_interfaces_and_unknown_numbers_never_reach_the_kernel() {
        const I386: u32 = 0x4000_0003;
        assert_eq!(verdict(I386, 20, [0; 6]), SECCOMP_RET_TRAP | FOREIGN.unsigned_abs());
        assert_eq!(verdict(ARCH, X32 + 39, [0; 6]), SECCOMP_RET_TRACE);
        assert_eq!(verdict(ARCH, 470, [0; 6]), SECCOMP_RET_TRACE);
    }

    #[test]
    fn arguments_decide_where_the_table_says_so() {
        let ioctl = |request| verdict(ARCH, 16, [0, request, 0, 0, 0, 0]);
        assert_eq!(
            [ioctl(0x5401), ioctl(0xb701), ioctl(0x5410)],
            [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, SECCOMP_RET_TRACE]
        );
        let futex = |operation| verdict(ARCH, 202, [0, operation, 0, 0, 0, 0]);
        assert_eq!([futex(128), futex(6 | 128)], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE]);
        let socket = |family| verdict(ARCH, 41, [family, 0, 0, 0, 0, 0]);
        assert_eq!([socket(1), socket(2), socket(16)], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, SECCOMP_RET_TRACE]);
        let affinity = |pid| verdict(ARCH, 204, [pid, 0, 0, 0, 0, 0]);
        assert_eq!([affinity(0), affinity(7)], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE]);
        let sigaction = |new| verdict(ARCH, 13, [17, new, 0, 8, 0, 0]);
        assert_eq!([sigaction(0), sigaction(0x1000)], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE]);
        let option = |name| verdict(ARCH, 54, [3, 1, name, 0, 0, 0]);
        assert_eq!([option(2), option(16), option(76)], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, SECCOMP_RET_TRACE]);
        let prlimit = |pid, resource| verdict(ARCH, 302, [pid, resource, 0, 0, 0, 0]);
        assert_eq!([prlimit(0, 3), prlimit(0, 6)], [SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE]);
        assert_eq!([prlimit(7, 3), prlimit(7, 6)], [SECCOMP_RET_TRACE; 2]);
    }
}
