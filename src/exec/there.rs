//! The daemon's end: supervisors of processes that another process has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use super::Supervisor;
use super::processes::{Processes, Ring};
use super::segment::Segments;
use super::supervisor::Options;
use super::sys::{RawRegs, RawSiginfo, Resume, Tid};
use super::wire::{self, Event, GREETING, Reader, What, Wire, Writer};
use crate::errno::describe;
use crate::fuse::Served;
use crate::host::{find_caller, lock};

/// Connections that ring bells, of processes that have not yet asked for anything else.
type Rings = Arc<Mutex<BTreeMap<i32, UnixStream>>>;

/// The address of the socket of a lab: nothing in any directory, and gone with its daemon. Anybody may connect; who may do more
/// the other end tells.
///
/// # Errors
/// None for names as short as ours.
pub fn address(daemon: i32, device: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("nslab/{daemon}/{device}"))
}

/// Runs programs in a lab that stays, for those who connect to its socket.
///
/// # Errors
/// The socket or a thread cannot be made.
pub fn listen(served: &Served) -> io::Result<()> {
    let pid = nix::unistd::getpid().as_raw();
    let listener = UnixListener::bind_addr(&address(pid, served.point().device())?)?;
    let (served, rings, segments) = (served.clone(), Rings::default(), Arc::<Segments>::default());
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // We have no descriptor for it, and will be asked to take it again at once.
                thread::sleep(PAUSE);
                continue;
            };
            if !may_ask(&stream) {
                refuse(&stream);
                continue;
            }
            let (served, rings, segments) = (served.clone(), Arc::clone(&rings), Arc::clone(&segments));
            // Who gets no thread sees the end of the connection.
            let _ = thread::Builder::new().name("programs".to_owned()).spawn(move || {
                // It is gone, which its programs' end has told already.
                let _ = greet(&served, &rings, segments, stream);
            });
        }
    };
    thread::Builder::new().name("programs".to_owned()).spawn(accept).map(drop)
}

/// The pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether who has connected may have programs here: root and the user who has mounted the lab. Anybody else can connect as often
/// as he likes, and costs no thread and no memory: nothing that he says is read.
fn may_ask(stream: &UnixStream) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}

/// Says no to a connection, without waiting for it.
fn refuse(stream: &UnixStream) {
    let mut answer = Writer::default();
    answer.bytes(GREETING.as_bytes());
    answer.bytes(b"this lab is another user's");
    // It may be gone, or have no room for that.
    let _ = stream.set_nonblocking(true).and_then(|()| Wire::new(stream.try_clone()?).send(&answer));
}

/// What follows the greeting of a connection: that it rings.
pub const RINGS: u64 = 0;
/// That programs are to be run.
pub const RUNS: u64 = 1;

fn greet(served: &Served, rings: &Rings, segments: Arc<Segments>, stream: UnixStream) -> io::Result<()> {
    let peer = getsockopt(&stream, PeerCredentials)?;
    let ring = stream.try_clone()?;
    let wire = Wire::new(stream);
    let greeting = wire.receive()?;
    let mut answer = Writer::default();
    answer.bytes(GREETING.as_bytes());
    answer.bytes(b"");
    wire.send(&answer)?;
    if greeting != GREETING.as_bytes() {
        return Ok(());
    }
    let message = wire.receive()?;
    let mut reader = Reader(&message);
    if reader.number()? == RINGS {
        lock(rings).insert(peer.pid(), ring);
        return wire.send(&Writer::default());
    }
    let ring = lock(rings).remove(&peer.pid()).ok_or(io::ErrorKind::NotConnected)?;
    let (orders, event, looks_at_all) = Default::default();
    let there = Rc::new(There { wire, ring: Arc::new(ring), orders, event, looks_at_all });
    let (own, child, parent) = (reader.number()? as Tid, reader.number()? as Tid, reader.number()? as i32);
    let options = Options { explain: reader.number()? != 0 };
    if own != peer.pid() {
        return there.ends(What::Fails, "the lab's daemon is in another pid namespace");
    }
    let ran = run(served.clone(), Rc::clone(&there), options, segments, (child, parent));
    match ran {
        Ok(()) => there.ends(What::Over, ""),
        Err(error) => there.ends(What::Fails, &describe(&error)),
    }
}

fn run(
    served: Served,
    there: Rc<There>,
    options: Options,
    segments: Arc<Segments>,
    (child, parent): (Tid, i32),
) -> io::Result<()> {
    let mut supervisor = Supervisor::new(served, there, options, segments)?;
    let started = supervisor.start(child, |k| find_caller(k, parent));
    match started {
        Ok(()) => supervisor.serve(),
        Err(_) => {
            supervisor.gives_up();
            started
        }
    }
}

/// Processes of another process.
#[derive(Debug)]
struct There {
    wire: Wire,
    ring: Arc<UnixStream>,
    /// What is to be done before the next question.
    orders: RefCell<Writer>,
    /// The last event, as long as its thread is as it was then.
    event: RefCell<Event>,
    /// What [`Processes::look_at_all`] asks for was ordered.
    looks_at_all: Cell<bool>,
}

impl There {
    fn order(&self, what: What, tid: Tid, numbers: [u64; 2], bytes: &[u8]) {
        self.orders.borrow_mut().order(what, tid, numbers, bytes);
    }

    fn flush(&self) -> io::Result<()> {
        self.wire.send(&self.orders.take())
    }

    fn ask(&self, what: What, tid: Tid, numbers: [u64; 2], bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.order(what, tid, numbers, bytes);
        self.flush()?;
        Reader(&self.wire.receive()?).reply()
    }

    fn ask_number(&self, what: What, tid: Tid, number: u64) -> io::Result<u64> {
        Reader(&self.ask(what, tid, [number, 0], b"")?).number()
    }

    fn ends(&self, what: What, text: &str) -> io::Result<()> {
        self.order(what, 0, [0; 2], text.as_bytes());
        self.flush()
    }

    /// What came with the event that a thread is stopped at.
    fn known<T>(&self, tid: Tid, of: impl FnOnce(&Event) -> Option<T>) -> Option<T> {
        let event = self.event.borrow();
        if event.tid == tid { of(&event) } else { None }
    }
}

impl Processes for There {
    fn wait(&self) -> io::Result<Option<(Tid, i32)>> {
        self.order(What::Wait, 0, [0; 2], b"");
        self.flush()?;
        let event = Reader(&self.wire.receive()?).event()?;
        let stopped = (event.tid, event.status);
        *self.event.borrow_mut() = event;
        Ok((stopped.0 != 0).then_some(stopped))
    }

    fn ring(&self) -> io::Result<Ring> {
        self.order(What::Ring, 0, [0; 2], b"");
        let ring = Arc::clone(&self.ring);
        Ok(Box::new(move || {
            // A full socket rings already; one that is gone needs no bell.
            let _ = (&*ring).write(b"r");
        }))
    }

    fn seize(&self, tid: Tid) -> io::Result<()> {
        self.ask(What::Seize, tid, [0; 2], b"").map(drop)
    }

    fn begin(&self) -> io::Result<()> {
        self.ask(What::Begin, 0, [0; 2], b"").map(drop)
    }

    fn has_ended(&self, status: i32) {
        self.order(What::HasEnded, 0, [status as u64, 0], b"");
    }

    fn resume(&self, tid: Tid, how: Resume, signal: i32) -> io::Result<()> {
        if self.event.borrow().tid == tid {
            self.event.take();
        }
        self.order(What::Resume, tid, [how as u64, signal as u64], b"");
        Ok(())
    }

    fn interrupt(&self, tid: Tid) -> io::Result<()> {
        self.order(What::Interrupt, tid, [0; 2], b"");
        Ok(())
    }

    fn event_message(&self, tid: Tid) -> io::Result<u64> {
        self.known(tid, |event| event.message).map_or_else(|| self.ask_number(What::EventMessage, tid, 0), Ok)
    }

    fn registers(&self, tid: Tid) -> io::Result<RawRegs> {
        let known = self.known(tid, |event| event.regs);
        known.map_or_else(|| wire::regs_of(&self.ask(What::Registers, tid, [0; 2], b"")?), Ok)
    }

    fn set_registers(&self, tid: Tid, regs: RawRegs) -> io::Result<()> {
        let mut event = self.event.borrow_mut();
        if event.tid == tid {
            event.regs = Some(regs);
        }
        self.order(What::SetRegisters, tid, [0; 2], &wire::reg_bytes(regs));
        Ok(())
    }

    fn siginfo(&self, tid: Tid) -> io::Result<RawSiginfo> {
        if let Some(info) = self.known(tid, |event| event.info) {
            return Ok(info);
        }
        let bytes = self.ask(What::Siginfo, tid, [0; 2], b"")?;
        wire::info_of(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn set_siginfo(&self, tid: Tid, info: RawSiginfo) -> io::Result<()> {
        self.order(What::SetSiginfo, tid, [0; 2], &wire::info_bytes(&info));
        Ok(())
    }

    fn read_memory(&self, tid: Tid, addr: u64, bytes: &mut [u8]) -> io::Result<()> {
        let length = bytes.len();
        let piece = |event: &Event| {
            let (_, piece) = event.memory.iter().find(|(at, piece)| *at == addr && piece.len() == length)?;
            Some(piece.clone())
        };
        let asked = || self.ask(What::ReadMemory, tid, [addr, length as u64], b"");
        let read = self.known(tid, piece).map_or_else(asked, Ok)?;
        if read.len() != length {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.copy_from_slice(&read);
        Ok(())
    }

    fn write_memory(&self, tid: Tid, addr: u64, bytes: &[u8]) -> io::Result<()> {
        // What was read before may be another text now, whichever thread it was of.
        self.event.borrow_mut().memory.clear();
        self.ask(What::WriteMemory, tid, [addr, 0], bytes).map(drop)
    }

    fn poke(&self, tid: Tid, addr: u64, word: u64) -> io::Result<()> {
        self.event.borrow_mut().memory.clear();
        self.ask(What::Poke, tid, [addr, word], b"").map(drop)
    }

    fn kill(&self, pid: Tid, signal: i32) -> io::Result<()> {
        self.order(What::Kill, pid, [signal as u64, 0], b"");
        Ok(())
    }

    fn queue(&self, tgid: Tid, tid: Option<Tid>, signal: i32, info: &RawSiginfo) -> io::Result<()> {
        self.order(What::Queue, tgid, [tid.unwrap_or(0) as u64, signal as u64], &wire::info_bytes(info));
        Ok(())
    }

    fn proc_file(&self, tid: Tid, file: &str) -> io::Result<Vec<u8>> {
        self.ask(What::ProcFile, tid, [0; 2], file.as_bytes())
    }

    fn link(&self, tid: Tid, name: &str) -> io::Result<Vec<u8>> {
        self.ask(What::Link, tid, [0; 2], name.as_bytes())
    }

    fn enters(&self, path: &[u8], follows: bool) -> Option<Vec<u8>> {
        // Who cannot say so any more makes no call either.
        let entered = self.ask(What::Enters, 0, [u64::from(follows), 0], path).unwrap_or_default();
        (!entered.is_empty()).then_some(entered)
    }

    fn inode(&self, tid: Tid, fd: i32) -> io::Result<u64> {
        self.ask_number(What::Inode, tid, fd as u64)
    }

    fn own_group(&self) -> (Tid, Tid) {
        let own = || {
            let bytes = self.ask(What::OwnGroup, 0, [0; 2], b"")?;
            let mut reader = Reader(&bytes);
            io::Result::Ok((reader.number()? as Tid, reader.number()? as Tid))
        };
        // Who cannot say so any more has no processes either.
        own().unwrap_or_default()
    }

    fn set_group(&self, tgid: Tid, group: Tid) {
        self.order(What::SetGroup, tgid, [group as u64, 0], b"");
    }

    fn stop_with(&self, tgid: Tid) {
        self.order(What::StopWith, tgid, [0; 2], b"");
    }

    fn stand_in(&self) -> io::Result<Tid> {
        self.ask_number(What::StandIn, 0, 0).map(|tid| tid as Tid)
    }

    fn end_stand_in(&self, tid: Tid) {
        self.order(What::EndStandIn, tid, [0; 2], b"");
    }

    fn look_at_all(&self) {
        if !self.looks_at_all.replace(true) {
            self.order(What::LookAtAll, 0, [0; 2], b"");
        }
    }

    fn say(&self, line: &str) {
        self.order(What::Say, 0, [0; 2], line.as_bytes());
    }
}
