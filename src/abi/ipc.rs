//! The structs of msgctl(2), semctl(2) and shmctl(2) as 64-bit architectures have them (`include/uapi/asm-generic/*buf.h`, and
//! of x86 `semid64_ds`).

use super::Memory;
use super::answer::number;
use crate::errno::Result;
use crate::syscall::Return;
use crate::syscall::outcome::{IpcStat, MsgInfo, MsqidDs, SemInfo, SemidDs, ShmInfo, ShmUsage, ShmidDs};

/// How many bytes IPC_SET reads of each family.
pub(super) struct SetBytes {
    pub msg: usize,
    pub sem: usize,
    pub shm: usize,
}

/// `struct msqid64_ds`, `struct semid64_ds`, `struct shmid64_ds`.
pub(super) const IPC_SET_BYTES: SetBytes = SetBytes { msg: 120, sem: 104, shm: 112 };

/// Where a struct goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtlAnswer {
    pub(super) to: u64,
}

impl CtlAnswer {
    /// Writes what a command gave, if that goes to memory; the result of the call.
    ///
    /// # Errors
    /// EFAULT
    pub(super) fn write(self, given: &Return, memory: &mut dyn Memory) -> Result<i64> {
        let (bytes, result) = match given {
            Return::MsgStat(stat, ds) => (msqid_ds(stat, ds), stat.id.unwrap_or(0)),
            Return::SemStat(stat, ds) => (semid_ds(stat, ds), stat.id.unwrap_or(0)),
            Return::ShmStat(stat, ds) => (shmid_ds(stat, ds), stat.id.unwrap_or(0)),
            Return::MsgInfo(info) => (msginfo(info), info.max_idx),
            Return::SemInfo(info) => (seminfo(info), info.max_idx),
            Return::ShmInfo(info) => (shminfo(info), info.max_idx),
            Return::ShmUsage(usage) => (shm_info(usage), usage.max_idx),
            Return::SemValues(values) => (values.iter().flat_map(|value| (*value as u16).to_ne_bytes()).collect(), 0),
            _ => return Ok(number(given)),
        };
        memory.write(self.to, &bytes)?;
        Ok(result.into())
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn ints(ints: &[i32]) -> Vec<u8> {
    ints.iter().flat_map(|int| int.to_ne_bytes()).collect()
}

/// `struct ipc64_perm`: 48 bytes, the last 22 of which are nothing.
fn perm(stat: &IpcStat) -> Vec<u8> {
    let IpcStat { id: _, key, uid, gid, cuid, cgid, mode, seq } = *stat;
    let mut bytes = ints(&[key, uid as i32, gid as i32, cuid as i32, cgid as i32, i32::from(mode)]);
    bytes.extend((seq as u16).to_ne_bytes());
    bytes.resize(48, 0);
    bytes
}

fn msqid_ds(stat: &IpcStat, ds: &MsqidDs) -> Vec<u8> {
    let MsqidDs { stime, rtime, ctime, cbytes, qnum, qbytes, ref lspid, ref lrpid } = *ds;
    let pids = ints(&[lspid.own(), lrpid.own()]);
    [perm(stat), words(&[stime, rtime, ctime, cbytes, qnum, qbytes]), pids, words(&[0; 2])].concat()
}

/// x86 has room for a time of more bits behind each.
fn semid_ds(stat: &IpcStat, ds: &SemidDs) -> Vec<u8> {
    [perm(stat), words(&[ds.otime, 0, ds.ctime, 0, ds.nsems, 0, 0])].concat()
}

fn shmid_ds(stat: &IpcStat, ds: &ShmidDs) -> Vec<u8> {
    let ShmidDs { segsz, atime, dtime, ctime, ref cpid, ref lpid, nattch } = *ds;
    let pids = ints(&[cpid.own(), lpid.own()]);
    [perm(stat), words(&[segsz, atime, dtime, ctime]), pids, words(&[nattch, 0, 0])].concat()
}

/// The last field is shorter.
fn msginfo(info: &MsgInfo) -> Vec<u8> {
    let MsgInfo { msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg, max_idx: _ } = *info;
    ints(&[msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, i32::from(msgseg)])
}

fn seminfo(info: &SemInfo) -> Vec<u8> {
    let SemInfo { semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem, max_idx: _ } = *info;
    ints(&[semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem])
}

fn shminfo(info: &ShmInfo) -> Vec<u8> {
    let ShmInfo { shmmax, shmmin, shmmni, shmseg, shmall, max_idx: _ } = *info;
    words(&[shmmax, shmmin, shmmni, shmseg, shmall, 0, 0, 0, 0])
}

/// Of pages in memory and in swap the lab knows none.
fn shm_info(usage: &ShmUsage) -> Vec<u8> {
    [ints(&[usage.used_ids, 0]), words(&[usage.shm_tot, 0, 0, 0, 0])].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::memory::Pieces;
    use crate::abi::{Decoded, Registers, calls, decode};
    use crate::errno::Errno;
    use crate::kernel::Kernel;
    use crate::kernel::ipc::mqueue::NotifyMethod;
    use crate::syscall::ipc::IpcCtl;
    use crate::syscall::sem::SemCtl;
    use crate::syscall::{Syscall, dispatch};

    const AT: u64 = 0x1000;

    fn made(name: &str, args: &[u64], memory: &Pieces) -> std::result::Result<Decoded, Errno> {
        let (number, _) = calls().find(|(_, call)| call.name() == name).unwrap();
        let mut registers = Registers { number, args: [0; 6] };
        registers.args[..args.len()].copy_from_slice(args);
        decode(&registers, memory).map_err(|error| error.errno)
    }

    /// Makes a call as init; its result and what it has written.
    fn call(k: &mut Kernel, name: &str, args: &[u64]) -> (i64, Vec<u8>) {
        let mut memory = Pieces::default().with(AT, &[0xee; 256]);
        let Ok(Decoded::Call { call, answer, .. }) = made(name, args, &memory) else { panic!("{name}") };
        let init = k.init.task;
        let given = dispatch(k, init, &call.into()).unwrap();
        let result = answer.write(&given, &mut memory).unwrap();
        (result, (&memory as &dyn Memory).bytes(AT, 256).unwrap())
    }

    fn long(bytes: &[u8], at: usize) -> u64 {
        u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    fn int(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// How many bytes of the memory a struct took.
    fn length(bytes: &[u8]) -> usize {
        bytes.iter().rposition(|byte| *byte != 0xee).unwrap() + 1
    }

    #[test]
    fn stat_has_the_fields_where_the_c_library_looks_for_them() {
        let mut k = Kernel::boot();
        assert_eq!(call(&mut k, "msgget", &[7, 0o1640]).0, 0);
        assert_eq!(call(&mut k, "semget", &[8, 3, 0o1600]).0, 0);
        assert_eq!(call(&mut k, "shmget", &[9, 5000, 0o1604]).0, 0);
        let (_, msg) = call(&mut k, "msgctl", &[0, 2, AT]);
        assert_eq!((length(&msg), int(&msg, 0), int(&msg, 20), long(&msg, 88)), (120, 7, 0o640, 16384));
        let (_, sem) = call(&mut k, "semctl", &[0, 0, 2, AT]);
        assert_eq!((length(&sem), int(&sem, 0), int(&sem, 20), long(&sem, 80)), (104, 8, 0o600, 3));
        let (_, shm) = call(&mut k, "shmctl", &[0, 2, AT]);
        assert_eq!((length(&shm), long(&shm, 48), int(&shm, 80), long(&shm, 88)), (112, 5000, 1, 0));
    }

    #[test]
    fn info_has_the_size_that_the_c_library_expects() {
        let mut k = Kernel::boot();
        for key in 1..4 {
            call(&mut k, "msgget", &[key, 0o1600]);
            call(&mut k, "semget", &[key, 1, 0o1600]);
            call(&mut k, "shmget", &[key, 1, 0o1600]);
        }
        for (name, args, size) in [
            ("msgctl", &[0, 3, AT][..], 32),
            ("msgctl", &[0, 12, AT], 32),
            ("semctl", &[0, 0, 3, AT], 40),
            ("semctl", &[0, 0, 19, AT], 40),
            ("shmctl", &[0, 3, AT], 72),
            ("shmctl", &[0, 14, AT], 48),
        ] {
            let (highest, bytes) = call(&mut k, name, args);
            assert_eq!((highest, length(&bytes)), (2, size), "{name} {args:?}");
        }
        assert_eq!(call(&mut k, "msgctl", &[1, 11, AT]).0, 1);
    }

    #[test]
    fn a_message_and_values_go_there_and_back() {
        let mut k = Kernel::boot();
        call(&mut k, "msgget", &[0, 0o600]);
        let memory = Pieces::default().with(AT, &[&7_u64.to_ne_bytes()[..], b"text"].concat());
        let Ok(Decoded::Call { call: send, .. }) = made("msgsnd", &[0, AT, 4, 0], &memory) else { panic!() };
        let init = k.init.task;
        dispatch(&mut k, init, &send.into()).unwrap();
        let (length, bytes) = call(&mut k, "msgrcv", &[0, AT, 99, 0, 0]);
        assert_eq!((length, long(&bytes, 0), &bytes[8..13]), (4, 7, &b"text\xee"[..]));
        call(&mut k, "semget", &[0, 2, 0o600]);
        let set = Syscall::Semctl { id: 0, op: SemCtl::Setall(vec![1, 300]) };
        dispatch(&mut k, init, &set.into()).unwrap();
        let (_, bytes) = call(&mut k, "semctl", &[0, 0, 13, AT]);
        assert_eq!(bytes[..5], [1, 0, 44, 1, 0xee]);
    }

    #[test]
    fn memory_is_looked_at_when_linux_does() {
        let none = Pieces::default();
        assert_eq!(made("msgctl", &[u64::MAX, 1, 0], &none), Err(Errno::EINVAL));
        assert_eq!(made("shmctl", &[0, u64::MAX, 0], &none), Err(Errno::EINVAL));
        for (name, args) in [
            ("msgctl", &[0, 1, AT][..]),
            ("semctl", &[0, 0, 1, AT]),
            ("shmctl", &[0, 1, AT]),
            ("msgsnd", &[0, AT, 4, 0]),
            ("semop", &[0, AT, 1]),
            ("semtimedop", &[0, AT, 0, AT]),
        ] {
            assert_eq!(made(name, args, &none), Err(Errno::EFAULT), "{name}");
        }
        assert_eq!(made("semop", &[0, AT, 1 << 20], &none), Err(Errno::E2BIG));
        // A command of x86 with 32 bits has a bit more, which here is none.
        let Ok(Decoded::Call { call, .. }) = made("msgctl", &[0, 0x102, AT], &none) else { panic!() };
        assert_eq!(call, Syscall::Msgctl { id: 0, op: IpcCtl::Unknown(0x102) });
    }

    #[test]
    fn queues_have_attributes_messages_and_a_way_to_be_told() {
        let name = Pieces::default().with(AT, &[&b"q"[..], &[0; 4095]].concat()).with(2 * AT, &words(&[9, 4, 64, 0]));
        let registers = |flags, mode, attr| Registers { number: 240, args: [AT, flags, mode, attr, 0, 0] };
        let open = |flags, mode, attr| crate::abi::mq_open(&registers(flags, mode, attr), &name);
        let made = open(0o102, 0o7_0600, 2 * AT).unwrap();
        assert_eq!((made.name.as_slice(), made.attr, made.mode), (&b"q"[..], Some((4, 64)), 0o600));
        assert_eq!(open(2, 0o600, 0).map(|made| (made.attr, made.mode)).unwrap(), (None, 0));
        assert_eq!(open(2, 0, 3 * AT).map_err(|error| error.errno), Err(Errno::EFAULT));
        let mut memory = Pieces::default().with(AT, &[0xee; 96]);
        let given = Return::MqMessage { prio: 7, text: b"text".to_vec() };
        let answer = crate::abi::Answer::MqMessage { to: AT + 8, prio: AT };
        assert_eq!(answer.write(&given, &mut memory).unwrap(), 4);
        let bytes = (&memory as &dyn Memory).bytes(AT, 13).unwrap();
        assert_eq!((int(&bytes, 0), &bytes[8..]), (7, &b"text\xee"[..]));
        let attr = crate::syscall::outcome::Mqattr { flags: 0o4000, maxmsg: 4, msgsize: 64, curmsgs: 1 };
        crate::abi::Answer::Mqattr { to: AT }.write(&Return::Mqattr(attr), &mut memory).unwrap();
        assert_eq!(length(&(&memory as &dyn Memory).bytes(AT, 96).unwrap()), 64);
    }

    #[test]
    fn notices_come_by_signal_by_socket_or_not_at_all() {
        let event = |signo: i32, notify: i32| [words(&[77]), ints(&[signo, notify]), words(&[0; 6])].concat();
        let method = |signo, notify| {
            let memory = Pieces::default().with(AT, &event(signo, notify));
            match made("mq_notify", &[3, AT], &memory) {
                Ok(Decoded::Call { call: Syscall::MqNotify { method, .. }, .. }) => Ok(method),
                Ok(other) => panic!("{other:?}"),
                Err(errno) => Err(errno),
            }
        };
        assert_eq!(method(10, 0), Ok(Some(NotifyMethod::Signal { signo: 10, value: 77 })));
        assert_eq!(method(0, 1), Ok(Some(NotifyMethod::None)));
        // Where the cookie is, nothing can be read.
        assert_eq!((method(5, 2), method(0, 3)), (Err(Errno::EFAULT), Err(Errno::EINVAL)));
        assert_eq!(made("mq_notify", &[3, AT], &Pieces::default()), Err(Errno::EFAULT));
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for (seconds, nanos, expected) in
            [(0, 0, Ok(())), (-1, 0, Err(Errno::EINVAL)), (0, 1_000_000_000, Err(Errno::EINVAL))]
        {
            let time = [i64::to_ne_bytes(seconds), i64::to_ne_bytes(nanos)].concat();
            let memory = Pieces::default().with(AT, &time);
            assert_eq!(made("semtimedop", &[0, 0, 0, AT], &memory).map(drop), expected, "{seconds} {nanos}");
        }
    }
}
