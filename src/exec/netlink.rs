//! Sockets of netlink(7). What the real kernel would say is of the host's network; the lab answers instead ([`crate::abi::netlink`]).
//!
//! Such a socket is really one of the AF_UNIX family that is connected to itself: at a send the supervisor reads the request and has
//! the program send the answer to itself. So descriptors, poll(2) and waiting are the real kernel's business. The calls that differ
//! between the families stop for programs that have made a netlink socket, and their descendants: these get another filter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::Supervisor;
use super::filter;
use super::regs::Regs;
use super::sys::{Resume, Tid};
use super::tracee::Doing;
use crate::abi::netlink::{ADDRESS_LEN, AF_NETLINK, NETLINK_ROUTE, address};
use crate::abi::{Call, Memory, call, number};
use crate::bail;
use crate::err;
use crate::errno::Result;
use crate::kernel::ns::NsType;
use crate::kernel::{Kernel, NetNsId, TaskId};
use crate::syscall::LabCall;
use crate::syscall::program::Program;

/// The sockets, by the numbers of their inodes.
#[derive(Debug, Default)]
pub struct Netlinks {
    pub(super) sockets: BTreeMap<u64, Socket>,
    /// How many were made: each has a name of its own.
    made: u64,
    /// The threads that receive from one, or are about to.
    pub(super) receiving: BTreeMap<Tid, u64>,
    /// Finds out which are closed.
    probe: Option<UnixDatagram>,
}

/// Bytes that may be pending before no more is asked.
const PENDING_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Socket {
    /// The namespace it was made in, which it holds until the last descriptor of it is closed.
    pub net: NetNsId,
    /// `struct sockaddr_un` of what it really is. The name is there as long as the socket.
    name: Vec<u8>,
    /// 0: not bound yet.
    portid: u32,
    groups: u32,
    /// NETLINK_EXT_ACK: reasons are told in words.
    pub has_reasons: bool,
    /// NETLINK_CAP_ACK: requests are not told again.
    pub is_capped: bool,
    /// What the program has yet to send itself.
    pub pending: VecDeque<Vec<u8>>,
    /// The last of that had no room.
    pub(super) is_full: bool,
}

/// Where a name begins in `struct sockaddr_un`, after the family and the 0 that says that it is in no directory.
const NAME_AT: usize = 3;

/// What comes next of a socket that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Filter,
    Socket,
    Bind,
    Connect,
    /// It went wrong, as the number says.
    Close(i64),
}

/// A socket that is being made.
#[derive(Debug)]
pub struct Making {
    regs: Regs,
    step: Step,
    fd: i32,
    /// `struct sockaddr_un`
    name: Vec<u8>,
}

const SOL_SOCKET: u64 = 1;
const SOL_NETLINK: u64 = 270;

impl Supervisor {
    /// socket(2) of the family AF_NETLINK, a step at a time.
    pub(super) fn netlink_socket(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        const AF_UNIX: u64 = 1;
        const FLAGS: u64 = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
        let [_, kind, protocol, ..] = regs.args();
        if let Err(error) = check_socket(kind as i32 & !(FLAGS as i32), protocol as i32) {
            return self.refuse(tid, regs, &error);
        }
        let Some(scratch) = self.with_scratch(tid, regs, &[0])? else { return Ok(()) };
        let making = match self.take_doing(tid)? {
            // Unless a handler of a signal has come between.
            Doing::Making(making) if making.regs.call() == regs.call() => *making,
            _ => {
                let step = if self.tracee(tid)?.has_netlink { Step::Socket } else { Step::Filter };
                Making { regs, step, fd: -1, name: self.netlinks.name(tid) }
            }
        };
        let fd = making.fd as u64;
        let with = |call, [first, second, third]: [u64; 3]| regs.with(number(call), [first, second, third, 0, 0, 0]);
        let real = match making.step {
            Step::Filter => self.filtering(tid, regs, scratch, &filter::netlink())?,
            Step::Socket => with(Call::Socket, [AF_UNIX, libc::SOCK_DGRAM as u64 | kind & FLAGS, 0]),
            Step::Bind | Step::Connect => {
                self.host.write_memory(tid, scratch, &making.name)?;
                let call = if making.step == Step::Bind { Call::Bind } else { Call::Connect };
                with(call, [fd, scratch, making.name.len() as u64])
            }
            Step::Close(_) => with(Call::Close, [fd, 0, 0]),
        };
        self.tracee(tid)?.doing = Doing::Making(Box::new(Making { regs, ..making }));
        self.host.set_registers(tid, real.0)?;
        self.host.resume(tid, Resume::ToExit, 0)
    }

    pub(super) fn netlink_step_ends(&mut self, tid: Tid, regs: Regs, mut making: Making) -> io::Result<()> {
        let given = regs.result();
        let next = match making.step {
            Step::Filter if given == 0 => {
                self.threads_with(tid)?.for_each(|tracee| tracee.has_netlink = true);
                Ok(Step::Socket)
            }
            // A thread with a filter of its own cannot be given ours.
            Step::Filter if given > 0 => Err(-i64::from(libc::EAGAIN)),
            Step::Socket if given >= 0 => {
                making.fd = given as i32;
                Ok(Step::Bind)
            }
            Step::Bind if given == 0 => Ok(Step::Connect),
            Step::Bind if given == -i64::from(libc::EADDRINUSE) => {
                making.name = self.netlinks.name(tid);
                Ok(Step::Bind)
            }
            Step::Connect if given == 0 => Err(i64::from(making.fd)),
            Step::Bind | Step::Connect => Ok(Step::Close(given)),
            Step::Close(error) => Err(error),
            Step::Filter | Step::Socket => Err(given),
        };
        match next {
            Ok(step) => {
                let again = making.regs.again();
                self.tracee(tid)?.doing = Doing::Making(Box::new(Making { step, ..making }));
                self.host.set_registers(tid, again.0)?;
            }
            Err(result) => {
                if result >= 0 {
                    self.note_netlink(tid, making.fd, making.name)?;
                }
                self.host.set_registers(tid, regs.as_wanted(&making.regs).with_result(result).0)?;
            }
        }
        self.host.resume(tid, Resume::Cont, 0)
    }

    fn note_netlink(&mut self, tid: Tid, fd: i32, name: Vec<u8>) -> io::Result<()> {
        let task = self.task(tid)?;
        let net = self.lab.read(|k| own_net(k, task)).ok().flatten();
        let (Some(net), Ok(inode)) = (net, self.host.inode(tid, fd)) else { return Ok(()) };
        let (has_reasons, is_capped, is_full) = (false, false, false);
        let pending = VecDeque::new();
        let socket = Socket { net, name, portid: 0, groups: 0, has_reasons, is_capped, pending, is_full };
        self.netlinks.sockets.insert(inode, socket);
        self.hold_net(net, |ns_type, inum| Program::Pins { ns_type, inum });
        Ok(())
    }

    /// A socket holds its namespace, or lets it go.
    fn hold_net(&mut self, net: NetNsId, told: impl FnOnce(NsType, u32) -> Program) {
        let found = self.lab.read(|k| Some((k.init.task, k.namespaces.get(net.any())?.common.inum)));
        if let Ok(Some((init, inum))) = found {
            // Of a lab that is broken everything fails.
            let _ = self.perform_now(init, &LabCall::Program(told(NsType::Net, inum)).into());
        }
    }

    /// Sockets that are closed hold nothing any more.
    pub(super) fn forget_netlinks(&mut self) {
        for net in self.netlinks.take_closed() {
            self.hold_net(net, |ns_type, inum| Program::Unpins { ns_type, inum });
        }
    }

    /// Whether programs hold namespaces otherwise than by sockets.
    pub(super) fn has_other_pins(&self) -> bool {
        let sockets = self.netlinks.sockets.len() as u64;
        let pins = |k: &Kernel| k.programs.pins.values().map(|pins| u64::from(*pins)).sum::<u64>();
        self.lab.read(pins).is_ok_and(|pins| pins > sockets)
    }

    /// A call about a socket, of a program that has made one of netlink.
    pub(super) fn on_netlink(&mut self, tid: Tid, regs: Regs) -> io::Result<()> {
        let args = regs.args();
        if self.netlinks.sockets.is_empty() {
            return self.on_socket(tid, regs);
        }
        let inode = self.host.inode(tid, args[0] as i32).ok().filter(|inode| self.netlinks.sockets.contains_key(inode));
        let Some(inode) = inode else { return self.on_socket(tid, regs) };
        if let Doing::Telling(telling) = &self.tracee(tid)?.doing
            && telling.regs.call() == regs.call()
        {
            let result = telling.result;
            return self.tell(tid, regs, inode, result);
        }
        let done = match call(regs.number()) {
            Some(Call::Sendto | Call::Sendmsg) => return self.netlink_send(tid, regs, inode),
            Some(Call::Recvfrom | Call::Recvmsg) => return self.netlink_receive(tid, regs, inode),
            Some(Call::Setsockopt) if args[1] == SOL_SOCKET => return self.host.resume(tid, Resume::Cont, 0),
            Some(Call::Setsockopt) => self.netlink_option(tid, inode, &args),
            Some(Call::Bind) => self.netlink_bind(tid, inode, &args),
            Some(Call::Connect) => self.netlink_port(tid, inode).map(drop),
            Some(Call::Getsockname) => self.netlink_name(tid, inode, &args),
            _ => return self.host.resume(tid, Resume::Cont, 0),
        };
        match done {
            Ok(()) => self.skip(tid, regs, 0),
            Err(error) => self.refuse(tid, regs, &error),
        }
    }

    /// `netlink_bind`
    fn netlink_bind(&mut self, tid: Tid, inode: u64, args: &[u64; 6]) -> Result<()> {
        let [_, addr, length, ..] = *args;
        let Some(given) = self.sockaddr(tid, addr, length)? else { bail!(EINVAL, "no address of netlink") };
        let Sockaddr { portid, groups } = given;
        match self.netlinks.sockets.get(&inode).map_or(0, |socket| socket.portid) {
            0 if portid == 0 => self.netlink_port(tid, inode).map(drop)?,
            0 => {
                self.check_port(inode, portid)?;
                self.netlinks.socket(inode)?.portid = portid;
            }
            bound if bound != portid && portid != 0 => bail!(EINVAL, "the socket has the port {} already", bound),
            _ => {}
        }
        self.netlinks.socket(inode)?.groups = groups;
        Ok(())
    }

    /// The port of a socket: if it has none yet, the number of the process, or another if that is taken (`netlink_autobind`).
    pub(super) fn netlink_port(&mut self, tid: Tid, inode: u64) -> Result<u32> {
        const FIRST_OTHER: i32 = -4097;
        let bound = self.netlinks.socket(inode)?.portid;
        if bound != 0 {
            return Ok(bound);
        }
        let task = self.task(tid).map_err(|_| err!(ESRCH, "the caller is gone"))?;
        let own = self.lab.read(|k| k.task_tgid_nr_ns(task, k.task_active_pid_ns(task)))?;
        if self.netlinks.has_port(inode, own.cast_unsigned())? {
            self.forget_netlinks();
        }
        let net = self.netlinks.socket(inode)?.net;
        let others = self.netlinks.sockets.values().filter(|socket| socket.net == net);
        let taken: BTreeSet<u32> = others.map(|socket| socket.portid).collect();
        let mut ports = std::iter::once(own).chain((i32::MIN..=FIRST_OTHER).rev()).map(i32::cast_unsigned);
        let port = ports.find(|port| !taken.contains(port)).ok_or_else(|| err!(EADDRINUSE, "all ports are taken"))?;
        self.netlinks.socket(inode)?.portid = port;
        Ok(port)
    }

    /// # Errors
    /// EADDRINUSE: another socket of the namespace has the port.
    fn check_port(&mut self, inode: u64, portid: u32) -> Result<()> {
        self.forget_netlinks();
        if self.netlinks.has_port(inode, portid)? {
            bail!(EADDRINUSE, "the port {} is taken", portid);
        }
        Ok(())
    }

    fn netlink_name(&mut self, tid: Tid, inode: u64, args: &[u64; 6]) -> Result<()> {
        let [_, addr, length_at, ..] = *args;
        let socket = self.netlinks.socket(inode)?;
        let name = address(socket.portid, socket.groups);
        let memory: &mut dyn Memory = &mut self.memory(tid);
        let room = memory.u32(length_at)? as usize;
        memory.write(addr, &name[..room.min(ADDRESS_LEN)])?;
        memory.put_u32(length_at, ADDRESS_LEN as u32)
    }

    /// `netlink_setsockopt`; nobody sends to groups.
    fn netlink_option(&mut self, tid: Tid, inode: u64, args: &[u64; 6]) -> Result<()> {
        const ADD_MEMBERSHIP: u64 = 1;
        const DROP_MEMBERSHIP: u64 = 2;
        const CAP_ACK: u64 = 10;
        const EXT_ACK: u64 = 11;
        const GET_STRICT_CHK: u64 = 12;
        let [_, level, name, addr, length, _] = *args;
        if level != SOL_NETLINK || !matches!(name, ADD_MEMBERSHIP..=5 | 8 | CAP_ACK..=GET_STRICT_CHK) {
            bail!(ENOPROTOOPT, "netlink has no option {} of level {}", name, level);
        }
        if length < 4 {
            bail!(EINVAL, "{} bytes are no value", length);
        }
        let value = (&self.memory(tid) as &dyn Memory).u32(addr)?;
        let socket = self.netlinks.socket(inode)?;
        let group = value.checked_sub(1).and_then(|group| 1_u32.checked_shl(group)).unwrap_or(0);
        match name {
            ADD_MEMBERSHIP => socket.groups |= group,
            DROP_MEMBERSHIP => socket.groups &= !group,
            CAP_ACK => socket.is_capped = value != 0,
            EXT_ACK => socket.has_reasons = value != 0,
            _ => {}
        }
        Ok(())
    }

    /// A `struct sockaddr_nl`; `None`: another family.
    ///
    /// # Errors
    /// EFAULT; EINVAL: it is too short.
    pub(super) fn sockaddr(&self, tid: Tid, addr: u64, length: u64) -> Result<Option<Sockaddr>> {
        if length < ADDRESS_LEN as u64 {
            bail!(EINVAL, "an address of netlink has {} bytes, not {}", ADDRESS_LEN, length);
        }
        let memory: &dyn Memory = &self.memory(tid);
        let family = memory.u32(addr)? as u16;
        let (portid, groups) = (memory.u32(addr.wrapping_add(4))?, memory.u32(addr.wrapping_add(8))?);
        Ok((family == AF_NETLINK).then_some(Sockaddr { portid, groups }))
    }
}

/// `struct sockaddr_nl`
pub(super) struct Sockaddr {
    pub portid: u32,
    pub groups: u32,
}

impl Netlinks {
    /// A thread has stopped, wherever it was.
    pub(super) fn receives_no_more(&mut self, tid: Tid) {
        if !self.receiving.is_empty() {
            self.receiving.remove(&tid);
        }
    }

    pub(super) fn has(&self, inode: u64) -> bool {
        self.sockets.contains_key(&inode)
    }

    pub(super) fn receivers(&self, inode: u64) -> Vec<Tid> {
        self.receiving.iter().filter(|(_, of)| **of == inode).map(|(tid, _)| *tid).collect()
    }

    /// `struct sockaddr_un` with a name that nobody has, and that is in no directory.
    fn name(&mut self, tid: Tid) -> Vec<u8> {
        const AF_UNIX: u16 = 1;
        self.made += 1;
        [&AF_UNIX.to_ne_bytes()[..], b"\0", format!("nslab/netlink/{tid}/{}", self.made).as_bytes()].concat()
    }

    /// Those that are closed are no more. Gives the namespaces that they were made in.
    fn take_closed(&mut self) -> Vec<NetNsId> {
        if self.sockets.is_empty() {
            return Vec::new();
        }
        if self.probe.is_none() {
            // Without room for it, sockets are open for longer than they are.
            self.probe = UnixDatagram::unbound().ok();
        }
        let Some(probe) = &self.probe else { return Vec::new() };
        let closed = self.sockets.extract_if(.., |_, socket| is_closed(probe, &socket.name));
        closed.map(|(_, socket)| socket.net).collect()
    }

    /// All that programs have.
    pub(super) fn close_all(&mut self) {
        self.sockets.values_mut().for_each(|socket| socket.name.clear());
    }

    /// # Errors
    /// EBADF: it is gone.
    pub(super) fn socket(&mut self, inode: u64) -> Result<&mut Socket> {
        self.sockets.get_mut(&inode).ok_or_else(|| err!(EBADF, "the socket is gone"))
    }

    /// # Errors
    /// ENOBUFS: the program receives none of what it asks for.
    pub(super) fn check_room(&mut self, inode: u64) -> Result<()> {
        let pending: usize = self.socket(inode)?.pending.iter().map(Vec::len).sum();
        if pending > PENDING_MAX {
            bail!(ENOBUFS, "{} bytes of answers wait to be received", pending);
        }
        Ok(())
    }

    /// Whether another socket of the same namespace has a port.
    fn has_port(&mut self, inode: u64, portid: u32) -> Result<bool> {
        let net = self.socket(inode)?.net;
        Ok(self.sockets.iter().any(|(other, socket)| *other != inode && socket.net == net && socket.portid == portid))
    }
}

/// Whether a local socket is gone that had a name. One that is there lets nobody but itself connect to it.
fn is_closed(probe: &UnixDatagram, name: &[u8]) -> bool {
    let Some(name) = name.get(NAME_AT..) else { return true };
    let connected = SocketAddr::from_abstract_name(name).and_then(|address| probe.connect_addr(&address));
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// # Errors
/// ESOCKTNOSUPPORT; EPROTONOSUPPORT: one that the lab does not have.
fn check_socket(kind: i32, protocol: i32) -> Result<()> {
    if !matches!(kind, libc::SOCK_RAW | libc::SOCK_DGRAM) {
        bail!(ESOCKTNOSUPPORT, "netlink has sockets of the types SOCK_RAW and SOCK_DGRAM, not {}", kind);
    }
    if protocol != NETLINK_ROUTE {
        bail!(EPROTONOSUPPORT, "a lab has only NETLINK_ROUTE, not protocol {}", protocol);
    }
    Ok(())
}

pub(super) fn own_net(k: &Kernel, task: TaskId) -> Option<NetNsId> {
    k.nsproxy_of(task).map(|own| own.net_ns())
}
