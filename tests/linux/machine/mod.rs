//! The real kernel: a process that stands for init, its descendants as workers, and the calls they make.

mod boot;
mod look;
mod reply;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nslab::errno::Errno;
use nslab::kernel::ns::ENTRIES;
use nslab::kernel::signal::Sighand;
use nslab::kernel::table::Id;
use nslab::kernel::{Kernel, TaskId};
use nslab::syscall::{AnyCall, Syscall};

use crate::encode::cred::{capget, getrlimit};
use crate::encode::{Answer, Arg, Context, Job, Opening, Raw, encode};
use crate::numbers::Numbers;
use crate::observe::initial_number;
use crate::patience::{PATIENCE, Wait};
use crate::raw::{self, CONTROL_SIZE, DATA_SIZE, FD_PROGRAM, FD_SOCKET, SLOTS};

pub use look::TEXT;

/// What a call came to on the machine, in the lab's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done(Result<String, Errno>),
    /// It succeeded with a value that is the machine's own.
    Unlike,
    /// The caller did not live to tell, or is stopped.
    Silent,
    /// Neither an answer nor a death.
    Hung,
}

/// The machine's side of one running program.
pub struct Machine {
    pub numbers: Numbers,
    /// The slot of each live task, by its number in the lab.
    slots: BTreeMap<i32, usize>,
    /// The signal actions that the task of each slot has, or had when it died: handlers it ran count on.
    sighands: BTreeMap<usize, Id<Sighand>>,
    next_slot: usize,
    /// A pidfd of every process by its real number, to end it in any case.
    started: BTreeMap<i32, OwnedFd>,
    socket: RawFd,
    /// The real pid of the process that stands for init.
    init: i32,
    /// How long a call may take before it counts as hanging.
    pub patience: Duration,
    /// The process that stands for init is in a mount namespace of its own, whose number stands for the initial one.
    sandbox: Option<u32>,
}

/// A call ready to be made: everything that depends on the state before it.
pub struct Prepared {
    nr: i32,
    slot: usize,
    job: Job,
    answer: Answer,
    /// Numbers of the caller's namespace and what they are in the lab's initial one.
    answers: Vec<(i32, i32)>,
    /// Slots of the tasks that share the caller's signal actions.
    sharers: Vec<usize>,
    in_initial: bool,
}

impl Machine {
    /// Starts the process that stands for init; sandboxed in a mount namespace of its own, of which nothing propagates.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub fn start(socket: RawFd, is_sandboxed: bool) -> io::Result<Machine> {
        raw::beat();
        raw::slot(0).reset();
        let result = raw::spawn(0);
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result as i32));
        }
        let mut machine = Machine {
            numbers: Numbers::default(),
            slots: BTreeMap::from([(1, 0)]),
            sighands: BTreeMap::new(),
            next_slot: 1,
            started: BTreeMap::new(),
            socket,
            init: result as i32,
            patience: PATIENCE,
            sandbox: None,
        };
        machine.adopt(0, 1).map_err(io::Error::other)?;
        machine.set_up_init().map_err(io::Error::other)?;
        if is_sandboxed {
            machine.sandbox = Some(machine.leave_mounts().map_err(io::Error::other)?);
        }
        Ok(machine)
    }

    pub fn is_sandboxed(&self) -> bool {
        self.sandbox.is_some()
    }

    /// The number that stands for the initial one of an entry.
    pub fn initial_number(&self, at: usize) -> u32 {
        self.sandbox.filter(|_| ENTRIES[at].name == "mnt").unwrap_or_else(|| initial_number(at))
    }

    /// Effective, permitted and inheritable capabilities of a worker.
    pub fn capabilities(&self, slot: usize) -> [u64; 3] {
        self.make(slot, &capget(), None);
        let words: Vec<u64> = (0..6).map(|at| u64::from(raw::slot(slot).read_u32(at * 4))).collect();
        [0, 1, 2].map(|set| words[set] | words[set + 3] << 32)
    }

    fn simple(&self, slot: usize, number: i64, args: &[u64]) -> i64 {
        let args: Vec<Arg> = args.iter().map(|&arg| Arg::Value(arg)).collect();
        self.make(slot, &crate::encode::call(number, &args), None).unwrap_or(-i64::from(libc::ETIME))
    }

    /// Learns who serves a new slot: its real number, and a pidfd if it is a process.
    fn adopt(&mut self, slot: usize, lab: i32) -> Result<(), String> {
        raw::slot(slot).wait(PATIENCE).ok_or("a new worker does not report")?;
        let hello = raw::slot(slot).hello();
        let numbers = hello.split_once("/task/").and_then(|(tgid, tid)| Some((tgid.parse().ok()?, tid.parse().ok()?)));
        let (tgid, tid): (i32, i32) = numbers.ok_or_else(|| format!("a worker reports {hello:?}"))?;
        self.numbers.bind(lab, tid);
        self.slots.insert(lab, slot);
        if tgid == tid {
            let pidfd = raw::call(libc::SYS_pidfd_open, [tid as u64, 0, 0, 0, 0, 0]);
            if pidfd >= 0 {
                self.started.insert(tid, raw::own(pidfd as RawFd));
            }
        }
        Ok(())
    }

    /// Lets go of a process that is gone: a pidfd would keep its struct pid, and with it its pid namespace.
    pub fn forget(&mut self, real: i32) {
        self.started.remove(&real);
    }

    pub fn init_pid(&self) -> i32 {
        self.init
    }

    pub fn slot_of(&self, lab: i32) -> Option<usize> {
        self.slots.get(&lab).copied()
    }

    /// Whether there is room for another task.
    pub fn has_room(&self) -> bool {
        self.next_slot < SLOTS
    }

    /// Encodes a call against the state before it; `None` if it has no counterpart here.
    pub fn prepare(&mut self, k: &Kernel, me: TaskId, syscall: &AnyCall) -> Option<Prepared> {
        for (id, task) in k.tasks.iter() {
            self.slot_of(k.task_nr(id)).map(|slot| self.sighands.insert(slot, task.sighand.id()));
        }
        let nr = k.task_nr(me);
        let slot = self.slot_of(nr)?;
        let (job, answer) = self.in_context(k, me, |context| {
            let encoded = encode(context, syscall)?;
            let difference = crate::decode::difference(context, syscall, &encoded.0);
            assert_eq!(difference, None);
            Some(encoded)
        })?;
        if matches!(job, Job::Clone { .. }) && !self.has_room() {
            return None;
        }
        let answers = match answer {
            Answer::Pid | Answer::Wait | Answer::Waitid | Answer::Siginfo => self.numbers.answers(k, me),
            Answer::Ipc(_) => crate::ipc::encode::numbers(k, me, &self.numbers),
            _ => Vec::new(),
        };
        let in_initial = k.task_active_pid_ns(me) == k.init.pid_ns;
        let sharers =
            if matches!(syscall, AnyCall::Linux(Syscall::Sigaction { .. })) { self.sharers(k, me) } else { Vec::new() };
        Some(Prepared { nr, slot, job, answer, answers, sharers, in_initial })
    }

    /// Encodes something against the state there is.
    pub fn in_context<T>(&self, k: &Kernel, me: TaskId, encode: impl Fn(&Context<'_>) -> Option<T>) -> Option<T> {
        let slot = self.slot_of(k.task_nr(me))?;
        encode(&Context {
            k,
            me,
            numbers: &self.numbers,
            handler: raw::slot(slot).handler(),
            limit: &|resource| self.limit(slot, resource),
            capabilities: &|| self.capabilities(slot),
            is_sandboxed: self.is_sandboxed(),
        })
    }

    fn sharers(&self, k: &Kernel, me: TaskId) -> Vec<usize> {
        let sighand = k.tasks[me].sighand.id();
        self.sighands.iter().filter(|(_, of_slot)| **of_slot == sighand).map(|(&slot, _)| slot).collect()
    }

    fn limit(&self, slot: usize, resource: i32) -> (u64, u64) {
        self.make(slot, &getrlimit(resource), None);
        let bytes = raw::slot(slot).read_data(0, 16);
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        (word(0), word(8))
    }

    /// Makes the call. `survives` says whether the lab expects the caller to be able to tell.
    pub fn run(&mut self, prepared: &Prepared, survives: bool) -> Reply {
        // A program may be slow, but it goes on.
        raw::beat();
        let slot = prepared.slot;
        let patience = if survives { self.patience } else { Duration::ZERO };
        let result = match &prepared.job {
            Job::Refused(errno) => Some(-i64::from(*errno)),
            Job::Call(raw) => self.make_within(slot, raw, None, patience),
            Job::Through(opening, raw) => self.through(slot, opening, raw),
            Job::Hand { nr, entry } => self.hand(slot, *nr, entry),
            Job::Clone { args, set_tid } => self.clone(slot, *args, set_tid),
            Job::Exec { name } => self.exec(slot, name),
            Job::Netlink(_) | Job::Listing(_) | Job::Socket { .. } => return self.run_network(prepared, &prepared.job),
        };
        match result {
            None if survives => Reply::Hung,
            None => Reply::Silent,
            Some(result) => self.reply(prepared, result),
        }
    }

    /// One call of one worker: its result, `None` if it does not come in time.
    pub fn make(&self, slot: usize, raw: &Raw, opened: Option<i64>) -> Option<i64> {
        self.make_within(slot, raw, opened, self.patience)
    }

    fn make_within(&self, slot: usize, raw: &Raw, opened: Option<i64>, patience: Duration) -> Option<i64> {
        let worker = raw::slot(slot);
        // A worker that was stopped in its last call has not told its result.
        worker.wait(self.patience)?;
        for (offset, bytes) in &raw.data {
            worker.write_data(*offset, bytes);
        }
        let mut args = [0; 6];
        for (to, from) in args.iter_mut().zip(&raw.args) {
            *to = match from {
                Arg::Value(value) => *value,
                Arg::Data(offset) => worker.data_address() + offset,
                Arg::Opened => opened.unwrap_or(-1) as u64,
            };
        }
        worker.post_call(raw.number, args);
        worker.wait(patience)
    }

    fn through(&self, slot: usize, opening: &Opening, raw: &Raw) -> Option<i64> {
        let fd = match opening {
            Opening::Call(open) => self.make(slot, open, None)?,
            Opening::Handed { nr, entry } => self.hand(slot, *nr, entry)?,
        };
        if fd < 0 {
            return Some(fd);
        }
        let result = self.make(slot, raw, Some(fd))?;
        self.simple(slot, libc::SYS_close, &[fd as u64]);
        Some(result)
    }

    /// Gives a worker a descriptor of the namespace that an entry of a task shows.
    fn hand(&self, slot: usize, nr: i32, entry: &str) -> Option<i64> {
        let path = format!("/proc/{}/ns/{entry}\0", self.numbers.real(nr)?);
        let open = raw::call(libc::SYS_open, [path.as_ptr() as u64, libc::O_RDONLY as u64, 0, 0, 0, 0]);
        if open < 0 {
            return Some(open);
        }
        let open = raw::own(open as RawFd);
        let sent = raw::send_descriptor(self.socket, open.as_raw_fd());
        if sent < 0 {
            return Some(sent);
        }
        drop(open);
        let worker = raw::slot(slot);
        let at = |offset: u64| worker.data_address() + offset;
        let message: [u64; 7] = [0, 0, at(64), 1, at(128), CONTROL_SIZE as u64, 0];
        let iov: [u64; 2] = [at(256), 1];
        worker.write_data(0, &message.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>());
        worker.write_data(64, &iov.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>());
        let received = self.simple(slot, libc::SYS_recvmsg, &[FD_SOCKET as u64, at(0), libc::MSG_DONTWAIT as u64]);
        if received < 0 {
            return Some(received);
        }
        // Without room for a descriptor the message comes without it (MSG_CTRUNC).
        let control = worker.read_data(128, 8);
        if worker.read_u32(40) < 20 || control.iter().all(|&byte| byte == 0) {
            return Some(-i64::from(libc::EMFILE));
        }
        Some(i64::from(worker.read_u32(144)))
    }

    fn clone(&mut self, slot: usize, mut args: [u64; 11], set_tid: &[i32]) -> Option<i64> {
        let worker = raw::slot(slot);
        worker.wait(self.patience)?;
        let child = raw::slot(self.next_slot);
        child.reset();
        let (stack, stack_size) = child.stack();
        (args[5], args[6]) = (stack, stack_size);
        for pointer in &mut args[1..4] {
            if *pointer != 0 {
                *pointer += worker.data_address();
            }
        }
        if !set_tid.is_empty() {
            args[8] = worker.data_address() + 2048;
            worker.write_data(2048, &set_tid.iter().flat_map(|tid| tid.to_ne_bytes()).collect::<Vec<u8>>());
        }
        worker.write_data(1024, &args.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>());
        worker.post_clone(1024, self.next_slot);
        worker.wait(self.patience)
    }

    /// After a clone that both sides made: the child has this number in the lab.
    pub fn child_started(&mut self, lab: i32) -> Result<(), String> {
        self.next_slot += 1;
        self.adopt(self.next_slot - 1, lab)
    }

    /// The program of a worker anew, serving the same slot.
    fn exec(&self, slot: usize, name: &[u8]) -> Option<i64> {
        let index = format!("{slot}\0");
        let words = [b"nslab-worker\0".to_vec(), b"--worker\0".to_vec(), index.into_bytes()];
        let data = raw::slot(slot).data_address();
        let (mut text, mut pointers) = (Vec::new(), Vec::new());
        for word in &words {
            pointers.push(data + 3072 + text.len() as u64);
            text.extend_from_slice(word);
        }
        pointers.push(0);
        let pointers: Vec<u8> = pointers.iter().flat_map(|pointer| pointer.to_ne_bytes()).collect();
        let exec = Raw {
            number: libc::SYS_execveat,
            args: vec![
                Arg::Value(FD_PROGRAM as u64),
                Arg::Data(4096),
                Arg::Data(2048),
                Arg::Data(2048 + 8 * words.len() as u64),
                Arg::Value(libc::AT_EMPTY_PATH as u64),
            ],
            data: vec![(2048, pointers), (3072, text), (4096, vec![0])],
        };
        let result = self.make(slot, &exec, None)?;
        if result == 0 {
            raw::slot(slot).write_data(2048, &[name, b"\0"].concat());
            self.simple(slot, libc::SYS_prctl, &[libc::PR_SET_NAME as u64, data + 2048, 0, 0, 0]);
        }
        Some(result)
    }

    /// After an exec by a thread: it serves its slot under the number of the leader.
    pub fn renumber(&mut self, from: i32, to: i32) {
        if let Some(slot) = self.slots.remove(&from) {
            self.slots.insert(to, slot);
        }
    }

    /// Ends every process but the one that stands for init, which reaps them all, and forgets them. False if that
    /// process is no good any more.
    pub fn end_program(&mut self) -> bool {
        let init = self.init;
        for (_, pidfd) in self.started.extract_if(.., |&pid, _| pid != init) {
            let fd = pidfd.as_raw_fd() as u64;
            raw::call(libc::SYS_pidfd_send_signal, [fd, libc::SIGKILL as u64, 0, 0, 0, 0]);
        }
        let wait = Wait::start();
        let options = (libc::WNOHANG | libc::__WALL) as u64;
        let reaped = loop {
            match self.simple(0, libc::SYS_wait4, &[u64::MAX, 0, options, 0]) {
                1.. => {}
                0 if !wait.is_over(PATIENCE) => wait.pause(),
                result => break result == -i64::from(libc::ECHILD),
            }
        };
        self.numbers = Numbers::default();
        self.numbers.bind(1, init);
        self.slots = BTreeMap::from([(1, 0)]);
        self.sighands.clear();
        self.next_slot = 1;
        raw::beat();
        reaped
    }
}

impl Machine {
    pub fn socket(&self) -> RawFd {
        self.socket
    }

    /// Ends every process, the one that stands for init last.
    pub fn retire(&mut self) {
        if self.started.is_empty() {
            return;
        }
        for pidfd in self.started.values().rev() {
            let fd = pidfd.as_raw_fd() as u64;
            raw::call(libc::SYS_pidfd_send_signal, [fd, libc::SIGKILL as u64, 0, 0, 0, 0]);
        }
        // Whatever is left comes here, to the subreaper that the controller is.
        let wait = Wait::start();
        let options = (libc::WNOHANG | libc::__WALL) as u64;
        while !wait.is_over(PATIENCE) {
            match raw::call(libc::SYS_wait4, [u64::MAX, 0, options, 0, 0, 0]) {
                1.. => {}
                0 => wait.pause(),
                _ => break,
            }
        }
        self.started.clear();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Prepared {
    fn lab_number(&self, nr: i32) -> Option<i32> {
        self.answers.iter().find(|(here, _)| *here == nr).map(|(_, lab)| *lab)
    }

    pub fn is_clone(&self) -> bool {
        matches!(self.job, Job::Clone { .. })
    }

    pub fn is_listing(&self) -> bool {
        matches!(self.job, Job::Listing(_))
    }

    pub fn nr(&self) -> i32 {
        self.nr
    }

    pub fn slot(&self) -> usize {
        self.slot
    }
}

pub const SYS_RESOURCE: u64 = 24;
/// RLIMIT_NPROC of every worker: high enough not to matter until a program lowers it.
pub const NPROC: u64 = 10_000;
const _: () = assert!(DATA_SIZE >= 16 * 1024);
