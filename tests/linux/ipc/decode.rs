//! What the kernel leaves in memory after a call on IPC objects or clocks, as the text the lab answers.

use crate::ipc::clock;
use crate::raw::Slot;

/// Offset of what such a call writes or reads: room for messages of up to [`ROOM`] bytes and their type.
pub const BUFFER: usize = 4096;
pub const ROOM: usize = 12_000;
/// How far below the lab's addresses the machine's are: there, others are at the end of the address space.
pub const ADDRESS_SHIFT: u64 = 0x1000_0000_0000;
/// The addresses that are shifted.
pub const SHIFTED: std::ops::Range<u64> = 0x7000_0000_0000..0x7fff_ffff_f000;

/// The three families of System V objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Msg,
    Sem,
    Shm,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Number,
    /// The message of msgrcv. `waits`: without IPC_NOWAIT no message means waiting.
    Message {
        waits: bool,
    },
    MqMessage,
    MqAttr,
    /// Where memory was attached.
    Address,
    Pid,
    /// All values of a set of so many.
    Values(usize),
    /// Owner, mode and state. With the identifier in front where it is the result; `now` stands for any time but never.
    Stat {
        family: Family,
        indexed: bool,
        now: u64,
    },
    Limits(Family),
    Usage(Family),
    Clock(clock::Asked),
}

impl Shape {
    /// The answer, from the result and the worker's data; pids through `lab`.
    pub fn text(self, worker: &Slot, result: i64, lab: &dyn Fn(i32) -> String) -> String {
        let bytes = |length: usize, at: usize| String::from_utf8_lossy(&worker.read_data(at, length)).into_owned();
        let memory = Memory(worker);
        match self {
            Shape::Number => result.to_string(),
            Shape::Message { .. } => bytes(result as usize, BUFFER + 8),
            Shape::MqMessage => bytes(result as usize, BUFFER),
            Shape::MqAttr => {
                let [flags, maxmsg, msgsize, curmsgs] = [0, 8, 16, 24].map(|at| memory.long(at));
                format!("flags={flags} maxmsg={maxmsg} msgsize={msgsize} curmsgs={curmsgs}")
            }
            Shape::Address => {
                let address = result as u64;
                let shifted = address + ADDRESS_SHIFT;
                format!("{:#x}", if SHIFTED.contains(&shifted) { shifted } else { address })
            }
            Shape::Pid => memory.pid_text(result as i32, lab),
            Shape::Values(count) => {
                let values: Vec<String> = (0..count).map(|at| memory.short(2 * at).to_string()).collect();
                values.join(" ")
            }
            Shape::Stat { family, indexed, now } => {
                let id = if indexed { format!("id={result} ") } else { String::new() };
                format!("{id}{} {}", memory.perm(), memory.state(family, now, lab))
            }
            Shape::Limits(family) => format!("{} max_idx={result}", memory.limits(family)),
            Shape::Usage(Family::Shm) => format!("{} max_idx={result}", memory.shm_usage()),
            Shape::Usage(family) => format!("{} max_idx={result}", memory.limits(family)),
            Shape::Clock(asked) => asked.text(memory.long(0), memory.long(8)),
        }
    }
}

/// The structs at [`BUFFER`], as on x86-64.
struct Memory<'a>(&'a Slot);

impl Memory<'_> {
    fn read<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.read_data(BUFFER + at, N).try_into().expect("as many bytes as asked for")
    }
    fn short(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.read(at))
    }
    fn int(&self, at: usize) -> i32 {
        i32::from_ne_bytes(self.read(at))
    }
    fn long(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.read(at))
    }
    fn pid(&self, at: usize, lab: &dyn Fn(i32) -> String) -> String {
        self.pid_text(self.int(at), lab)
    }
    fn pid_text(&self, nr: i32, lab: &dyn Fn(i32) -> String) -> String {
        if nr == 0 { "0".to_owned() } else { lab(nr) }
    }

    /// `struct ipc64_perm`
    fn perm(&self) -> String {
        let [key, uid, gid, cuid, cgid, mode] = [0, 4, 8, 12, 16, 20].map(|at| self.int(at) as u32);
        let key = key.cast_signed();
        format!("key={key:#x} uid={uid} gid={gid} cuid={cuid} cgid={cgid} mode=0{mode:03o} seq={}", self.short(24))
    }

    /// What follows the perm in `struct msqid64_ds`, `semid64_ds`, `shmid64_ds`.
    fn state(&self, family: Family, now: u64, lab: &dyn Fn(i32) -> String) -> String {
        let time = |at| if self.long(at) == 0 { 0 } else { now };
        match family {
            Family::Msg => format!(
                "stime={} rtime={} ctime={} cbytes={} qnum={} qbytes={} lspid={} lrpid={}",
                time(48),
                time(56),
                time(64),
                self.long(72),
                self.long(80),
                self.long(88),
                self.pid(96, lab),
                self.pid(100, lab)
            ),
            Family::Sem => format!("otime={} ctime={} nsems={}", time(48), time(64), self.long(80)),
            Family::Shm => format!(
                "segsz={} atime={} dtime={} ctime={} cpid={} lpid={} nattch={}",
                self.long(48),
                time(56),
                time(64),
                time(72),
                self.pid(80, lab),
                self.pid(84, lab),
                self.long(88)
            ),
        }
    }

    /// `struct msginfo`, `seminfo`, `shminfo64`
    fn limits(&self, family: Family) -> String {
        let ints = |names: &[&str]| {
            let all: Vec<String> =
                names.iter().enumerate().map(|(at, name)| format!("{name}={}", self.int(4 * at))).collect();
            all.join(" ")
        };
        match family {
            Family::Msg => {
                let names = ["msgpool", "msgmap", "msgmax", "msgmnb", "msgmni", "msgssz", "msgtql"];
                format!("{} msgseg={}", ints(&names), self.short(28))
            }
            Family::Sem => ints(&[
                "semmap", "semmni", "semmns", "semmnu", "semmsl", "semopm", "semume", "semusz", "semvmx", "semaem",
            ]),
            Family::Shm => {
                let [max, min, mni, seg, all] = [0, 8, 16, 24, 32].map(|at| self.long(at));
                format!("shmmax={max} shmmin={min} shmmni={mni} shmseg={seg} shmall={all}")
            }
        }
    }

    /// `struct shm_info`
    fn shm_usage(&self) -> String {
        let [tot, rss, swp, attempts, successes] = [8, 16, 24, 32, 40].map(|at| self.long(at));
        let ids = self.int(0);
        format!(
            "used_ids={ids} shm_tot={tot} shm_rss={rss} shm_swp={swp} swap_attempts={attempts} \
             swap_successes={successes}"
        )
    }
}
