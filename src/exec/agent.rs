//! The end of who has started a program in a lab that stays: has the processes, and does to them what the supervisor, in the
//! lab's daemon, wants.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::path::is_of_host;
use super::processes::{Here, Processes};
use super::regs::Regs;
use super::sys::{self, Resume, Tid};
use super::there::{RINGS, RUNS, address};
use super::tracee::{ProgramMemory, Stop};
use super::walk;
use super::wire::{self, Event, GREETING, Order, Reader, What, Wire, Writer};
use crate::abi::{self, Call, Memory, PathAt, Rewrite, Treatment};
use crate::errno::{Result, describe};

/// Whom to ask for a lab.
#[derive(Clone, Copy, Debug)]
pub struct Daemon {
    pub pid: i32,
    /// The user who has mounted it.
    pub uid: u32,
    pub device: u32,
}

/// Why programs do not run in a lab, or not any more.
#[derive(Debug)]
pub enum Lost {
    /// Nobody there runs programs: why its socket cannot be reached.
    NotServing(io::Error),
    /// Another process has the name of the socket.
    Impostor,
    /// It is of another version of nslab, which says this.
    Version(String),
    /// What the daemon says against it.
    Refused(String),
    /// The daemon is gone, or the lab.
    Gone,
    /// This host does not do what it should.
    Host(io::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::NotServing(why) => {
                write!(f, "no programs can be run in this lab: it is a private one, or out of reach: {}", describe(why))
            }
            Lost::Impostor => write!(f, "another process has taken the socket of this lab"),
            Lost::Version(other) => {
                write!(f, "the lab is served by another version, {other}: unmount it and mount it anew")
            }
            Lost::Refused(why) => write!(f, "{why}"),
            Lost::Gone => write!(f, "the lab is gone, and its programs with it"),
            Lost::Host(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Lost {}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Lost::Gone,
            _ => Lost::Host(error),
        }
    }
}

/// Has the processes of a lab that another process holds.
#[derive(Debug)]
pub struct Agent {
    wire: Wire,
    here: Rc<Here>,
    bell: Tid,
    /// The threads that have stopped, and not ended.
    known: RefCell<BTreeSet<Tid>>,
    is_lost: Arc<AtomicBool>,
    answer: RefCell<Writer>,
    /// Paths of the host are the supervisor's business as well.
    looks_at_all: Cell<bool>,
}

/// Connects, and shakes hands.
fn greet(daemon: Daemon) -> std::result::Result<(Wire, UnixStream), Lost> {
    let connected = address(daemon.pid, daemon.device).and_then(|address| UnixStream::connect_addr(&address));
    let stream = connected.map_err(Lost::NotServing)?;
    let peer = getsockopt(&stream, PeerCredentials).map_err(io::Error::from)?;
    if peer.uid() != daemon.uid || peer.pid() != daemon.pid {
        return Err(Lost::Impostor);
    }
    let wire = Wire::new(stream.try_clone()?);
    let mut greeting = Writer::default();
    greeting.text(GREETING);
    wire.send(&greeting)?;
    let answer = wire.receive()?;
    let mut reader = Reader(&answer);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let greeting = text(reader.bytes()?);
    if greeting != GREETING {
        return Err(Lost::Version(greeting));
    }
    match text(reader.bytes()?) {
        refusal if refusal.is_empty() => Ok((wire, stream)),
        refusal => Err(Lost::Refused(refusal)),
    }
}

impl Agent {
    /// Asks a daemon to run the program that `here` has, the child `first`, as a child of the task with number `parent`.
    ///
    /// # Errors
    /// The daemon is not there, another user's, or of another version.
    pub fn new(
        daemon: Daemon,
        here: Here,
        (first, bell): (Tid, Tid),
        (parent, explain): (i32, bool),
    ) -> std::result::Result<Agent, Lost> {
        let (wire, ring) = greet(daemon)?;
        let mut message = Writer::default();
        message.number(RINGS);
        wire.send(&message)?;
        wire.receive()?;
        let is_lost = Arc::new(AtomicBool::new(false));
        listen(ring, bell, Arc::clone(&is_lost))?;
        let (wire, _) = greet(daemon)?;
        let mut message = Writer::default();
        let own = nix::unistd::getpid().as_raw();
        for number in [RUNS, own as u64, first as u64, parent as u64, u64::from(explain)] {
            message.number(number);
        }
        wire.send(&message)?;
        Ok(Agent {
            wire,
            here: Rc::new(here),
            bell,
            known: RefCell::new([first].into()),
            is_lost,
            answer: RefCell::default(),
            looks_at_all: Cell::default(),
        })
    }

    /// Does what the supervisor wants until no process is left; tells `has_ended` of the first one's status word.
    ///
    /// # Errors
    /// It went wrong: no process is left then either.
    pub fn serve(&self, mut has_ended: impl FnMut(i32)) -> std::result::Result<(), Lost> {
        let served = self.serve_orders(&mut has_ended);
        if served.is_err() {
            self.end_all();
        }
        served
    }

    fn serve_orders(&self, has_ended: &mut dyn FnMut(i32)) -> std::result::Result<(), Lost> {
        loop {
            let message = self.wire.receive()?;
            let mut reader = Reader(&message);
            while !reader.is_empty() {
                let order = reader.order()?;
                match order.what {
                    What::Over => return Ok(()),
                    What::Fails => return Err(Lost::Refused(String::from_utf8_lossy(&order.bytes).into_owned())),
                    What::HasEnded => has_ended(order.numbers[0] as i32),
                    What::Wait => self.wait()?,
                    what => {
                        let done = self.act(&order);
                        if what.is_answered() {
                            self.answer.borrow_mut().reply(done);
                            self.wire.send(&self.answer.take())?;
                        }
                    }
                }
            }
        }
    }

    /// Tells of the next stop.
    fn wait(&self) -> std::result::Result<(), Lost> {
        let event = loop {
            break match self.here.wait()? {
                Some((tid, status)) => match self.event(tid, status) {
                    Some(event) => event,
                    None => continue,
                },
                None if self.is_lost.load(Ordering::SeqCst) => return Err(Lost::Gone),
                None => Event::default(),
            };
        };
        let mut message = Writer::default();
        message.event(&event);
        Ok(self.wire.send(&message)?)
    }

    /// A stop, and what the supervisor will ask about it; `None`: nobody wants to hear of it, and the thread goes on. What cannot
    /// be told is asked for in vain, then.
    fn event(&self, tid: Tid, status: i32) -> Option<Event> {
        let mut event = Event { tid, status, ..Event::default() };
        match Stop::of(status) {
            Stop::Ended(_) => {
                self.known.borrow_mut().remove(&tid);
                return Some(event);
            }
            Stop::Filter => {
                event.regs = sys::registers(tid).ok();
                let noted = event.regs.map(|regs| self.memory_of(tid, Regs(regs)));
                if noted.as_ref().is_some_and(|(_, is_of_host)| *is_of_host)
                    && self.here.resume(tid, Resume::Cont, 0).is_ok()
                {
                    return None;
                }
                event.memory = noted.map(|(memory, _)| memory).unwrap_or_default();
            }
            Stop::Exit | Stop::Event(_) => event.regs = sys::registers(tid).ok(),
            Stop::Exec => event.message = sys::event_message(tid).ok(),
            Stop::Signal(_) => event.info = sys::siginfo(tid).ok(),
        }
        self.known.borrow_mut().insert(tid);
        Some(event)
    }

    /// The memory that is read for the arguments of a call, and whether all of that is paths of the host.
    fn memory_of(&self, tid: Tid, regs: Regs) -> (Vec<(u64, Vec<u8>)>, bool) {
        let host = Rc::clone(&self.here) as Rc<dyn Processes>;
        let noted = Noted { memory: ProgramMemory { host, tid }, pieces: RefCell::default() };
        let call = regs.call();
        match abi::call(call.number).map(Call::treatment) {
            Some(Treatment::Rewritten(Rewrite::Paths(paths))) => {
                let read = |at: &PathAt| (&noted as &dyn Memory).path(call.args[at.path]);
                let how =
                    |at: u64| [0, 16].map(|field| (&noted as &dyn Memory).u64(at.wrapping_add(field)).unwrap_or(0));
                let is_of_host = |at: &PathAt, path: &[u8]| {
                    is_of_host(path) && self.here.enters(path, walk::follows(&call, at.path, how)).is_none()
                };
                let of_host = paths.iter().filter(|at| read(at).is_ok_and(|path| is_of_host(at, &path))).count();
                // Whether a task may become another program the lab is asked, whichever file that is in.
                let is_exec = matches!(abi::call(call.number), Some(Call::Execve | Call::Execveat));
                (noted.pieces.take(), of_host == paths.len() && !is_exec && !self.looks_at_all.get())
            }
            Some(Treatment::Emulated(_)) => {
                // What it reads is asked for again.
                let _ = abi::decode(&call, &noted);
                (noted.pieces.take(), false)
            }
            _ => (Vec::new(), false),
        }
    }

    fn act(&self, order: &Order) -> io::Result<Vec<u8>> {
        let Order { what, tid, numbers: [first, second], ref bytes } = *order;
        let here = &*self.here;
        let number = |number: u64| number.to_ne_bytes().to_vec();
        let text = || std::str::from_utf8(bytes).map_err(io::Error::other);
        let none = |()| Vec::new();
        match what {
            What::Ring => here.ring().map(|_| Vec::new()),
            What::Seize => here.seize(tid).map(none),
            What::Begin => here.begin().map(none),
            What::Resume => here.resume(tid, how(first), second as i32).map(none),
            What::Interrupt => here.interrupt(tid).map(none),
            What::EventMessage => here.event_message(tid).map(number),
            What::Registers => here.registers(tid).map(wire::reg_bytes),
            What::SetRegisters => here.set_registers(tid, wire::regs_of(bytes)?).map(none),
            What::Siginfo => here.siginfo(tid).map(|info| wire::info_bytes(&info)),
            What::SetSiginfo => {
                let info = wire::info_of(bytes).ok_or(io::ErrorKind::InvalidData)?;
                here.set_siginfo(tid, info).map(none)
            }
            What::ReadMemory => {
                let mut read = vec![0; usize::try_from(second).map_err(io::Error::other)?];
                here.read_memory(tid, first, &mut read).map(|()| read)
            }
            What::WriteMemory => here.write_memory(tid, first, bytes).map(none),
            What::Poke => here.poke(tid, first, second).map(none),
            What::Kill => here.kill(tid, first as i32).map(none),
            What::Queue => {
                let info = wire::info_of(bytes).ok_or(io::ErrorKind::InvalidData)?;
                let thread = first as Tid;
                here.queue(tid, (thread != 0).then_some(thread), second as i32, &info).map(none)
            }
            What::ProcFile => here.proc_file(tid, text()?),
            What::Link => here.link(tid, text()?),
            What::Enters => Ok(here.enters(bytes, first != 0).unwrap_or_default()),
            What::Inode => here.inode(tid, first as i32).map(number),
            What::OwnGroup => {
                let (group, session) = here.own_group();
                Ok([number(group as u64), number(session as u64)].concat())
            }
            What::SetGroup => {
                here.set_group(tid, first as Tid);
                Ok(Vec::new())
            }
            What::StopWith => {
                here.stop_with(tid);
                Ok(Vec::new())
            }
            What::StandIn => here.stand_in().map(|tid| number(tid as u64)),
            What::EndStandIn => {
                here.end_stand_in(tid);
                Ok(Vec::new())
            }
            What::LookAtAll => {
                self.looks_at_all.set(true);
                Ok(Vec::new())
            }
            What::Say => {
                here.say(text()?);
                Ok(Vec::new())
            }
            What::Wait | What::HasEnded | What::Over | What::Fails => Ok(Vec::new()),
        }
    }

    /// Ends all processes; returns when none is left.
    fn end_all(&self) {
        self.here.end_stand_ins();
        for tid in self.known.borrow().iter().copied().chain([self.bell]) {
            // It may be gone.
            let _ = sys::kill(tid, libc::SIGKILL);
        }
        while let Ok((tid, status)) = sys::wait() {
            if !matches!(Stop::of(status), Stop::Ended(_)) {
                let _ = sys::kill(tid, libc::SIGKILL);
                let _ = sys::resume(tid, Resume::Cont, 0);
            }
        }
    }
}

fn how(number: u64) -> Resume {
    [Resume::Cont, Resume::ToExit, Resume::Listen].into_iter().find(|how| *how as u64 == number).unwrap_or(Resume::Cont)
}

/// Hears when the daemon rings, and when it is gone.
fn listen(ring: UnixStream, bell: Tid, is_lost: Arc<AtomicBool>) -> io::Result<()> {
    let listen = move || {
        let mut bytes = [0; 64];
        while !is_lost.load(Ordering::SeqCst) {
            if !matches!((&ring).read(&mut bytes), Ok(1..)) {
                is_lost.store(true, Ordering::SeqCst);
            }
            // It is there as long as we are.
            let _ = sys::kill(bell, libc::SIGUSR1);
        }
    };
    thread::Builder::new().name("ring".to_owned()).spawn(listen).map(drop)
}

/// Memory of a program that notes what is read of it.
struct Noted {
    memory: ProgramMemory,
    pieces: RefCell<Vec<(u64, Vec<u8>)>>,
}

impl Memory for Noted {
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()> {
        self.memory.read(addr, bytes)?;
        self.pieces.borrow_mut().push((addr, bytes.to_vec()));
        Ok(())
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write(addr, bytes)
    }
}
