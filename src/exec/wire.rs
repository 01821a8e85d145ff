//! What the supervisor, in the daemon that holds a lab, and the process that has the programs say to each other: private to the
//! two ends of one version of nslab.
//!
//! A message is its length and its bytes. The processes' end tells of a stop ([`Event`]); the supervisor answers by things to do
//! ([`Order`]), the last of which asks for an answer, or for the next event.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use super::sys::{RawRegs, RawSiginfo, Tid, from_words, to_words};

/// The first message of each end: who does not say the same is of another version.
pub const GREETING: &str = concat!("nslab ", env!("CARGO_PKG_VERSION"), " programs 2");

/// No message is longer: the arguments of a program are what is largest.
const MESSAGE_MAX: usize = 1 << 26;

/// What a supervisor asks for. Each goes with a process, three numbers and some bytes, as far as it needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    Wait,
    Ring,
    Seize,
    Begin,
    HasEnded,
    Resume,
    Interrupt,
    EventMessage,
    Registers,
    SetRegisters,
    Siginfo,
    SetSiginfo,
    ReadMemory,
    WriteMemory,
    Poke,
    Kill,
    Queue,
    ProcFile,
    Link,
    Enters,
    Inode,
    OwnGroup,
    SetGroup,
    StopWith,
    StandIn,
    EndStandIn,
    LookAtAll,
    Say,
    /// There are no processes left: the end of all.
    Over,
    /// It went wrong, as the bytes say: the end of all.
    Fails,
}

/// All of them, each at the place that its number is.
const ALL: [What; 30] = [
    What::Wait,
    What::Ring,
    What::Seize,
    What::Begin,
    What::HasEnded,
    What::Resume,
    What::Interrupt,
    What::EventMessage,
    What::Registers,
    What::SetRegisters,
    What::Siginfo,
    What::SetSiginfo,
    What::ReadMemory,
    What::WriteMemory,
    What::Poke,
    What::Kill,
    What::Queue,
    What::ProcFile,
    What::Link,
    What::Enters,
    What::Inode,
    What::OwnGroup,
    What::SetGroup,
    What::StopWith,
    What::StandIn,
    What::EndStandIn,
    What::LookAtAll,
    What::Say,
    What::Over,
    What::Fails,
];

impl What {
    /// Whether the other end says what came of it.
    pub fn is_answered(self) -> bool {
        match self {
            What::Seize
            | What::Begin
            | What::EventMessage
            | What::Registers
            | What::Siginfo
            | What::ReadMemory
            | What::WriteMemory
            | What::Poke
            | What::ProcFile
            | What::Link
            | What::Enters
            | What::Inode
            | What::StandIn
            | What::OwnGroup => true,
            What::Wait
            | What::Ring
            | What::HasEnded
            | What::Resume
            | What::Interrupt
            | What::SetRegisters
            | What::SetSiginfo
            | What::Kill
            | What::Queue
            | What::SetGroup
            | What::StopWith
            | What::EndStandIn
            | What::LookAtAll
            | What::Say
            | What::Over
            | What::Fails => false,
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub what: What,
    pub tid: Tid,
    pub numbers: [u64; 2],
    pub bytes: Vec<u8>,
}

/// A thread has stopped or ended, with what most who hear of that ask next.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub tid: Tid,
    pub status: i32,
    pub message: Option<u64>,
    pub regs: Option<RawRegs>,
    pub info: Option<RawSiginfo>,
    /// Memory, by address.
    pub memory: Vec<(u64, Vec<u8>)>,
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other end of the socket {why}"))
}

/// Puts values one after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn number(&mut self, number: u64) {
        self.0.extend(number.to_ne_bytes());
    }

    /// What no length stands before.
    pub fn text(&mut self, text: &str) {
        self.0.extend(text.as_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub fn order(&mut self, what: What, tid: Tid, numbers: [u64; 2], bytes: &[u8]) {
        self.0.push(what as u8);
        [tid as u64, numbers[0], numbers[1]].into_iter().for_each(|number| self.number(number));
        self.bytes(bytes);
    }

    pub fn event(&mut self, event: &Event) {
        let Event { tid, status, message, regs, info, memory } = event;
        self.number(*tid as u64);
        self.number(*status as u64);
        let message = message.map(|message| [message]);
        let regs = regs.map(to_words);
        let optional = [message.as_ref().map(|one| &one[..]), regs.as_ref().map(|words| &words[..])];
        for words in optional {
            self.number(words.map_or(0, |words| words.len() as u64));
            words.into_iter().flatten().for_each(|word| self.number(*word));
        }
        self.bytes(&info.map(|info| info_bytes(&info)).unwrap_or_default());
        self.number(memory.len() as u64);
        for (addr, bytes) in memory {
            self.number(*addr);
            self.bytes(bytes);
        }
    }

    /// What came of an order: an errno, or bytes.
    pub fn reply(&mut self, reply: io::Result<Vec<u8>>) {
        let errno = reply.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
        self.number(errno as u64);
        self.bytes(&reply.unwrap_or_default());
    }
}

/// Takes values one after the other.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| broken("sent too little"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// # Errors
    /// There is none.
    pub fn number(&mut self) -> io::Result<u64> {
        self.take(8).map(|bytes| bytes.try_into().map(u64::from_ne_bytes).unwrap_or_default())
    }

    /// # Errors
    /// There are none.
    pub fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| broken("sent too much"))?;
        self.take(length)
    }

    /// # Errors
    /// What comes is no order.
    pub fn order(&mut self) -> io::Result<Order> {
        let what = usize::from(self.take(1)?[0]);
        let what = *ALL.get(what).ok_or_else(|| broken("wants what nobody knows"))?;
        let (tid, numbers) = (self.number()? as Tid, [self.number()?, self.number()?]);
        Ok(Order { what, tid, numbers, bytes: self.bytes()?.to_vec() })
    }

    fn words(&mut self) -> io::Result<Vec<u64>> {
        let length = self.number()?;
        (0..length).map(|_| self.number()).collect()
    }

    /// # Errors
    /// What comes is no event.
    pub fn event(&mut self) -> io::Result<Event> {
        let (tid, status) = (self.number()? as Tid, self.number()? as i32);
        let message = self.words()?.first().copied();
        let regs = self.words()?.try_into().ok().map(from_words);
        let info = info_of(self.bytes()?);
        let pieces = self.number()?;
        let piece = |reader: &mut Reader<'a>| Ok((reader.number()?, reader.bytes()?.to_vec()));
        let memory = (0..pieces).map(|_| piece(self)).collect::<io::Result<_>>()?;
        Ok(Event { tid, status, message, regs, info, memory })
    }

    /// # Errors
    /// The errno that the other end has got.
    pub fn reply(&mut self) -> io::Result<Vec<u8>> {
        match self.number()? {
            0 => self.bytes().map(<[u8]>::to_vec),
            errno => Err(io::Error::from_raw_os_error(errno as i32)),
        }
    }
}

pub fn info_bytes(info: &RawSiginfo) -> Vec<u8> {
    info.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub fn info_of(bytes: &[u8]) -> Option<RawSiginfo> {
    let words: Vec<i32> =
        bytes.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(i32::from_ne_bytes).collect();
    words.try_into().ok().map(RawSiginfo)
}

pub fn reg_bytes(regs: RawRegs) -> Vec<u8> {
    to_words(regs).iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub fn regs_of(bytes: &[u8]) -> io::Result<RawRegs> {
    let words: Vec<u64> =
        bytes.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_ne_bytes).collect();
    words.try_into().map(from_words).map_err(|_| broken("has other registers"))
}

/// A socket with an end of this version at the other side.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    /// What has arrived and was not yet looked at.
    arrived: RefCell<Vec<u8>>,
}

impl Wire {
    pub fn new(stream: UnixStream) -> Wire {
        Wire { stream, arrived: RefCell::default() }
    }

    /// # Errors
    /// The other end is gone.
    pub fn send(&self, message: &Writer) -> io::Result<()> {
        let length = u32::try_from(message.0.len()).map_err(io::Error::other)?;
        let bytes = [&length.to_ne_bytes()[..], &message.0].concat();
        (&self.stream).write_all(&bytes)
    }

    /// # Errors
    /// UnexpectedEof: the other end is gone. InvalidData: it is no end of this kind.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        const AT_ONCE: usize = 1 << 14;
        let mut arrived = self.arrived.borrow_mut();
        loop {
            let length = arrived.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize);
            if length.is_some_and(|length| length > MESSAGE_MAX) {
                return Err(broken("says too much"));
            }
            if let Some(length) = length
                && arrived.len() >= 4 + length
            {
                let rest = arrived.split_off(4 + length);
                let message = std::mem::replace(&mut *arrived, rest).split_off(4);
                return Ok(message);
            }
            let (old, wanted) = (arrived.len(), length.map_or(AT_ONCE, |length| 4 + length));
            arrived.resize(wanted.max(old + AT_ONCE), 0);
            let read = (&self.stream).read(&mut arrived[old..]);
            arrived.truncate(old + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_has_the_number_of_its_place() {
        for (index, what) in ALL.into_iter().enumerate() {
            assert_eq!(what as usize, index, "{what:?}");
            let mut writer = Writer::default();
            writer.order(what, -7, [1, u64::MAX], b"text");
            let mut reader = Reader(&writer.0);
            let order = Order { what, tid: -7, numbers: [1, u64::MAX], bytes: b"text".to_vec() };
            assert_eq!((reader.order().unwrap(), reader.is_empty()), (order, true));
        }
        assert!(Reader(&[ALL.len() as u8; 64]).order().is_err());
    }

    #[test]
    fn an_event_arrives_as_it_was_sent() {
        let regs = from_words(std::array::from_fn(|index| index as u64));
        let info = RawSiginfo(std::array::from_fn(|index| index as i32));
        let memory = vec![(7, b"abc".to_vec()), (u64::MAX, Vec::new())];
        let event = Event { tid: 9, status: -1, message: Some(3), regs: Some(regs), info: Some(info), memory };
        for event in [event, Event::default()] {
            let mut writer = Writer::default();
            writer.event(&event);
            let read = Reader(&writer.0).event().unwrap();
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
            for cut in 0..writer.0.len() {
                assert!(Reader(&writer.0[..cut]).event().is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn messages_arrive_whole_however_they_are_cut() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (ours, theirs) = (Wire::new(ours), Wire::new(theirs));
        let long = vec![7; 100_000];
        let sender = std::thread::spawn(move || {
            for length in [0, 1, 100_000] {
                let mut writer = Writer::default();
                writer.bytes(&long[..length]);
                theirs.send(&writer).unwrap();
            }
        });
        for length in [0, 1, 100_000] {
            let message = ours.receive().unwrap();
            assert_eq!(Reader(&message).bytes().unwrap().len(), length);
        }
        sender.join().unwrap();
        assert_eq!(ours.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
