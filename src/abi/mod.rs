//! Layer 2: registers and memory of a program to calls of the lab, and results back. Pure: whoever runs the program lends its
//! registers ([`Registers`]) and its memory ([`Memory`]).
//!
//! [`Call`] is the table: what happens to each call. [`decode()`] makes of an emulated one what the lab is asked, [`Decoded`]:
//! a [`Syscall`](crate::syscall::Syscall) for [`dispatch`](crate::syscall::dispatch), a [`Question`] that changes nothing, or the
//! birth of a task. [`Answer`] and [`Reply`] know where the result goes. Descriptors are the program's own: who serves it knows
//! which files of the lab they show. Numbers of processes are those of its pid namespace.

mod answer;
mod call;
mod decode;
mod ipc;
mod memory;
pub mod netlink;
pub mod pidfd;
mod question;
mod treatment;
mod x86_64;

pub use answer::Answer;
pub use call::Call;
pub use decode::{Birth, Decoded, Host, Interrupted, Sleep, Until, mq_open};
use ipc::{CtlAnswer, IPC_SET_BYTES};
pub use memory::Memory;
pub use question::{Question, Reply};
pub use treatment::{Condition, LIMITS, PASSING, PathAt, Rewrite, Translate, Treatment};
pub use x86_64::{call, calls, is_x32, number};

use crate::bail;
use crate::errno::{Error, Result};
use decode::{Asked, translate};

/// What a program's call hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    pub number: u64,
    pub args: [u64; 6],
}

/// What a call asks of the lab, with the checks that Linux makes before it looks at anything but registers and memory.
///
/// # Errors
/// ENOSYS: no such call; the errno of a refused one; what Linux gives for arguments that it does not take, EFAULT among them.
pub fn decode(registers: &Registers, memory: &dyn Memory) -> Result<Decoded> {
    let Some(call) = call(registers.number) else {
        if is_x32(registers.number) {
            bail!(ENOSYS, "a lab has no calls of the x32 interface");
        }
        bail!(ENOSYS, "there is no call {} in Linux 6.18", registers.number as i32);
    };
    let asked = Asked { args: registers.args, memory };
    match call.treatment() {
        Treatment::Emulated(decode) => decode(&asked),
        Treatment::Rewritten(rewrite) => Ok(translate::rewritten(&asked, rewrite)),
        Treatment::Translated(translate) => translate::translated(&asked, translate),
        Treatment::Passed => Ok(Decoded::Pass),
        Treatment::Refused { errno, why } => Err(Error::new(errno, why, Vec::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::memory::Pieces;
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::Kernel;
    use crate::syscall::{CloneFlags, PidArg, Return, Syscall, dispatch};

    /// Where the tests put what calls read, and where calls write.
    const IN: u64 = 0x1000;
    const OUT: u64 = 0x2000;

    fn memory(bytes: &[u8]) -> Pieces {
        Pieces::default().with(IN, bytes).with(OUT, &[0xee; 512])
    }

    /// Decodes a call by name.
    fn made(name: &str, args: &[u64], memory: &Pieces) -> std::result::Result<Decoded, Errno> {
        let mut registers = Registers { number: number(name), args: [0; 6] };
        registers.args[..args.len()].copy_from_slice(args);
        decode(&registers, memory).map_err(|error| error.errno)
    }

    fn number(name: &str) -> u64 {
        calls().find(|(_, call)| call.name() == name).unwrap().0
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// clone3 of a struct of so many words.
    fn clone3(fields: &[(usize, u64)], size: usize) -> std::result::Result<Decoded, Errno> {
        let mut given = vec![0; size.div_ceil(8)];
        fields.iter().for_each(|&(index, value)| given[index] = value);
        made("clone3", &[IN, size as u64], &memory(&words(&given)))
    }

    #[test]
    fn the_table_has_each_call_once_and_each_number_one_call() {
        let numbers: Vec<u64> = calls().map(|(number, _)| number).collect();
        assert_eq!((numbers.len(), numbers.last()), (Call::ALL.len(), Some(&469)));
        let by_number: std::collections::BTreeSet<Call> = calls().map(|(_, call)| call).collect();
        assert_eq!(by_number.len(), Call::ALL.len());
        for (number, call_of) in calls() {
            assert_eq!(call(number), Some(call_of));
        }
        for free in [337, 423, 470, u64::MAX] {
            assert_eq!(call(free), None, "{free}");
        }
        // A few that the C library has constants for.
        for (name, nr) in
            [("read", 0), ("clone", 56), ("unshare", 272), ("setns", 308), ("clone3", 435), ("mseal", 462)]
        {
            assert_eq!(number(name), nr);
        }
    }

    #[test]
    fn clone3_is_checked_as_linux_does() {
        let birth = |decoded| match decoded {
            Ok(Decoded::Birth(birth)) => birth,
            other => panic!("{other:?}"),
        };
        let plain = birth(clone3(&[(0, 0x2000_0000), (4, 17)], 88));
        assert_eq!((plain.call.flags, plain.call.exit_signal), (0x2000_0000, Some(17)));
        assert_eq!(plain.clone3.map(|raw| raw.len()), Some(88));
        assert_eq!(birth(clone3(&[(4, 0)], 64)).call.exit_signal, Some(0));
        for (fields, size, errno) in [
            (&[][..], 63, Errno::EINVAL),
            (&[], 4097, Errno::E2BIG),
            (&[(11, 1)], 96, Errno::E2BIG),
            (&[(9, 33)], 88, Errno::EINVAL),
            (&[(8, IN)], 88, Errno::EINVAL),
            (&[(9, 1)], 88, Errno::EINVAL),
            (&[(4, 65)], 88, Errno::EINVAL),
            (&[(4, 1 << 32)], 88, Errno::EINVAL),
            (&[(0, 1 << 33)], 80, Errno::EINVAL),
            (&[(0, 1 << 33), (10, 1 << 31)], 88, Errno::EINVAL),
            (&[(8, 0x9000), (9, 1)], 88, Errno::EFAULT),
            (&[(5, 1)], 88, Errno::EINVAL),
            (&[(6, 1)], 88, Errno::EINVAL),
            (&[(5, u64::MAX), (6, 1)], 88, Errno::EINVAL),
        ] {
            assert_eq!(clone3(fields, size), Err(errno), "{fields:?} {size}");
        }
        assert_eq!(made("clone3", &[0x9000, 88], &memory(&[])), Err(Errno::EFAULT));
        // What is beyond the struct and 0 does no harm.
        assert_eq!(birth(clone3(&[(4, 17)], 4096)).clone3.map(|raw| raw.len()), Some(88));
        let asked = birth(clone3(&[(8, IN + 4), (9, 1), (0, 0x1f_0000_0000)], 88));
        assert_eq!(asked.call.set_tid, [0x1f]);
    }

    #[test]
    fn the_old_clone_has_its_signal_in_the_flags() {
        let birth = |flags: u64| match made("clone", &[flags, 0, OUT, OUT + 8, 0], &memory(&[])) {
            Ok(Decoded::Birth(birth)) => Ok((birth.call.flags, birth.call.exit_signal)),
            Ok(other) => panic!("{other:?}"),
            Err(errno) => Err(errno),
        };
        assert_eq!(birth(17), Ok((0, Some(17))));
        assert_eq!(birth(0xffff_ffff_0000_0000 | 17), Ok((0, Some(17))));
        // No signal is refused; CLONE_NEWTIME is none of its flags.
        assert_eq!(birth(0x80 | 17), Ok((0, Some(0))));
        let thread = (CloneFlags::THREAD | CloneFlags::VM | CloneFlags::SIGHAND).bits();
        assert_eq!(birth(thread | 17), Ok((thread, Some(0))));
        assert_eq!(birth(CloneFlags::DETACHED.bits()), Ok((0, Some(0))));
        let both = (CloneFlags::PIDFD | CloneFlags::PARENT_SETTID).bits();
        assert_eq!(birth(both), Err(Errno::EINVAL));
    }

    #[test]
    fn capability_headers_have_three_versions() {
        let header = |version: u32, pid: u32| [version.to_ne_bytes(), pid.to_ne_bytes()].concat();
        let capget = |version, pid, data| made("capget", &[IN, data], &memory(&header(version, pid)));
        let asked = |decoded| match decoded {
            Ok(Decoded::Question { question, .. }) => question,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(capget(0x1998_0330, 7, OUT)), Question::Capget { pid: PidArg::Own(7), words: 1 });
        assert_eq!(asked(capget(0x2008_0522, 0, OUT)), Question::Capget { pid: PidArg::Own(0), words: 2 });
        assert_eq!(asked(capget(0x2008_0522, 0, 0)), Question::Nothing);
        assert_eq!(asked(capget(0, 0, 0)), Question::CapVersion { is_probe: true });
        assert_eq!(capget(0x2008_0522, u32::MAX, OUT), Err(Errno::EINVAL));
        // The version is written back, whether that is the end of it or not.
        for (is_probe, expected) in [(true, Ok(0)), (false, Err(Errno::EINVAL))] {
            let mut memory = memory(&[]);
            let written = Reply::CapVersion { is_probe }.write([OUT, 0, 0], &mut memory);
            assert_eq!(written.map_err(|error| error.errno), expected);
            assert_eq!((&memory as &dyn Memory).u32(OUT).unwrap(), 0x2008_0522);
        }
    }

    #[test]
    fn questions_are_answered_in_the_callers_own_numbers() {
        let mut k = Kernel::boot();
        let init = k.init.task;
        let clone = crate::syscall::CloneArgs { flags: 0x2000_0000, ..Default::default() };
        dispatch(&mut k, init, &Syscall::Clone(clone).into()).unwrap();
        let child = k.find_task(2).unwrap();
        let number = |question: Question| question.answer(&k, child).unwrap();
        assert_eq!(number(Question::Getpid), Reply::Number(1));
        assert_eq!(number(Question::Getppid), Reply::Number(0));
        assert_eq!(Question::Gettid.answer(&k, init).unwrap(), Reply::Number(1));
        let Reply::Bytes(names) = number(Question::Uname) else { panic!() };
        assert_eq!((names.len(), &names[..6]), (390, &b"Linux\0"[..]));
        assert_eq!(number(Question::Getgroups { room: 0 }), Reply::Number(0));
    }

    #[test]
    fn waitid_writes_the_fields_it_has_and_wait4_what_it_is_given_room_for() {
        let mut k = Kernel::boot();
        let init = k.init.task;
        let dispatch_as = |k: &mut Kernel, nr, call: Syscall| {
            let task = k.find_task(nr).unwrap();
            dispatch(k, task, &call.into()).unwrap()
        };
        for _ in 0..2 {
            dispatch(&mut k, init, &Syscall::Clone(Default::default()).into()).unwrap();
        }
        dispatch_as(&mut k, 2, Syscall::ExitGroup { code: 7 });
        dispatch_as(&mut k, 3, Syscall::ExitGroup { code: 8 });
        let Ok(Decoded::Call { call, answer, .. }) = made("waitid", &[0, 0, OUT, 4, OUT + 128], &memory(&[])) else {
            panic!()
        };
        let mut at = memory(&[]);
        let given = dispatch_as(&mut k, 1, call);
        assert_eq!(answer.write(&given, &mut at).unwrap(), 0);
        let read = |at: &Pieces, addr| (at as &dyn Memory).u32(addr).unwrap();
        let fields: Vec<u32> = (0..8).map(|index| read(&at, OUT + 4 * index)).collect();
        assert_eq!(fields, [17, 0, 1, 0xeeee_eeee, 2, 0, 7, 0xeeee_eeee]);
        assert_eq!((read(&at, OUT + 128), read(&at, OUT + 128 + 140), read(&at, OUT + 272)), (0, 0, 0xeeee_eeee));
        answer.write_failure(&mut at).unwrap();
        assert_eq!((read(&at, OUT), read(&at, OUT + 16), read(&at, OUT + 32)), (0, 0, 0xeeee_eeee));
        let Ok(Decoded::Call { call, answer, .. }) = made("wait4", &[u64::MAX, 0x9000, 0, 0], &memory(&[])) else {
            panic!()
        };
        // The child is gone all the same, as on Linux.
        let given = dispatch_as(&mut k, 1, call);
        assert_eq!(answer.write(&given, &mut at).map_err(|error| error.errno), Err(Errno::EFAULT));
        assert!(matches!(given, Return::Wait(Some(waited)) if waited.status == 0x800));
    }
}
