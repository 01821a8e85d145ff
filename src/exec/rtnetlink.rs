//! What programs ask over sockets of netlink(7), and what they are answered.

use std::io;

use super::Supervisor;
use super::fd::Shown;
use super::netlink::own_net;
use super::regs::Regs;
use super::sys::Tid;
use crate::abi::netlink::{self, Header, Reader, Wanted};
use crate::abi::{Call, Memory, call};
use crate::bail;
use crate::err;
use crate::errno::Result;
use crate::kernel::TaskId;
use crate::kernel::file::O_RDONLY;
use crate::syscall::ip::{Ip, Netns};
use crate::syscall::{LabCall, Return};

/// A datagram has no more bytes.
const DATAGRAM_MAX: u64 = 1 << 16;

impl Supervisor {
    pub(super) fn netlink_send(&mut self, tid: Tid, regs: Regs, inode: u64) -> io::Result<()> {
        // What is asked is asked once: no call begins anew after that.
        if self.with_scratch(tid, regs, &[0])?.is_none() {
            return Ok(());
        }
        let sent = self.sent(tid, &regs).and_then(|bytes| {
            self.netlinks.check_room(inode)?;
            let portid = self.netlink_port(tid, inode)?;
            Ok((portid, bytes))
        });
        let (portid, bytes) = match sent {
            Ok(sent) => sent,
            Err(error) => return self.refuse(tid, regs, &error),
        };
        for (header, body) in netlink::messages(&bytes) {
            let datagrams = self.netlink_answer(tid, inode, (&header, body), portid);
            let Ok(socket) = self.netlinks.socket(inode) else { break };
            socket.pending.extend(datagrams);
        }
        self.tell(tid, regs, inode, Some(bytes.len() as i64))
    }

    /// What is sent, to the kernel.
    ///
    /// # Errors
    /// EFAULT; EMSGSIZE; ECONNREFUSED: it is for another socket.
    fn sent(&self, tid: Tid, regs: &Regs) -> Result<Vec<u8>> {
        let memory: &dyn Memory = &self.memory(tid);
        let args = regs.args();
        let (to, pieces) = if call(regs.number()) == Some(Call::Sendto) {
            ((args[4], args[5]), vec![(args[1], args[2])])
        } else {
            // `struct msghdr`: name, its length, pieces, how many.
            let word = |at: u64| memory.u64(args[1].wrapping_add(at));
            let (name, length, list, count) = (word(0)?, memory.u32(args[1].wrapping_add(8))?, word(16)?, word(24)?);
            if count > libc::UIO_MAXIOV as u64 {
                bail!(EMSGSIZE, "{} pieces", count);
            }
            let piece = |index: u64| {
                let at = list.wrapping_add(16 * index);
                Ok((memory.u64(at)?, memory.u64(at.wrapping_add(8))?))
            };
            ((name, u64::from(length)), (0..count).map(piece).collect::<Result<_>>()?)
        };
        if to.0 != 0 && self.sockaddr(tid, to.0, to.1)?.is_some_and(|to| to.portid != 0) {
            bail!(ECONNREFUSED, "no other netlink socket is reached");
        }
        let mut bytes = Vec::new();
        for (addr, length) in pieces {
            if length > DATAGRAM_MAX - bytes.len() as u64 {
                bail!(EMSGSIZE, "more than {} bytes", DATAGRAM_MAX);
            }
            bytes.extend(memory.bytes(addr, length as usize)?);
        }
        Ok(bytes)
    }

    /// The datagrams that answer a message (`netlink_rcv_skb`).
    fn netlink_answer(&mut self, tid: Tid, inode: u64, message: (&Header, &[u8]), portid: u32) -> Vec<Vec<u8>> {
        let (header, body) = message;
        let reader = Reader { portid, seq: header.seq };
        let ack = || header.wants_ack().then(|| netlink::acknowledge(header, reader));
        if !header.is_request() {
            return ack().into_iter().collect();
        }
        match self.rtnetlink(tid, inode, message, reader) {
            Ok((wanted, datagrams)) => {
                let is_told = matches!(wanted, Wanted::Nothing | Wanted::One);
                datagrams.into_iter().chain(ack().filter(|_| is_told)).collect()
            }
            Err(error) => {
                if self.options.explain {
                    self.say_refusal(tid, &format!("rtnetlink({})", header.kind), &error);
                }
                let (has_reasons, is_capped) =
                    self.netlinks.socket(inode).map_or((false, false), |socket| (socket.has_reasons, socket.is_capped));
                let reason = error.reason();
                let reason = has_reasons.then_some(reason.as_str());
                vec![netlink::refuse(header, body, &error, reader, reason, is_capped)]
            }
        }
    }

    /// Asks the lab.
    fn rtnetlink(
        &mut self,
        tid: Tid,
        inode: u64,
        (header, body): (&Header, &[u8]),
        reader: Reader,
    ) -> Result<(Wanted, Vec<Vec<u8>>)> {
        let net = self.netlinks.socket(inode)?.net;
        let task = self.task(tid).map_err(|_| err!(ESRCH, "the caller is gone"))?;
        let asked = self.lab.read(|k| {
            if own_net(k, task) != Some(net) {
                bail!(EOPNOTSUPP, "the caller has left the network namespace in which it has made the socket");
            }
            netlink::asked(k, task, net, header, body)
        })??;
        let (ip, opened) = self.with_namespaces(tid, task, asked.ip);
        let given = ip.and_then(|ip| {
            let done = self.perform(task, &LabCall::Ip(ip).into());
            done.map_err(|stop| stop.error().clone())
        });
        opened.into_iter().for_each(|fd| self.close(task, fd));
        let given: Return = given?;
        let datagrams = self.lab.read(|k| netlink::answer(k, net, &given, &asked.wanted, reader))??;
        Ok((asked.wanted, datagrams))
    }

    /// A command, the program's descriptors replaced by such of the lab, which are to be closed.
    fn with_namespaces(&mut self, tid: Tid, task: TaskId, mut ip: Ip) -> (Result<Ip>, Vec<i32>) {
        let mut opened = Vec::new();
        for netns in ip.netns_mut() {
            let Netns::Fd(fd) = *netns else { continue };
            let lab_fd = self.shown(tid, fd).and_then(|shown| match shown {
                Shown::Ns(ns_type, inum) => {
                    self.descriptor(task, &LabCall::OpenNs { ns_type, inum, flags: O_RDONLY }.into())
                }
                _ => bail!(EINVAL, "descriptor {} is no network namespace", fd),
            });
            match lab_fd {
                Ok(lab_fd) => {
                    *netns = Netns::Fd(lab_fd);
                    opened.push(lab_fd);
                }
                Err(error) => return (Err(error), opened),
            }
        }
        (Ok(ip), opened)
    }
}
