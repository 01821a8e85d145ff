//! mq_notify(3) with SIGEV_THREAD: the C library has a thread that receives from a netlink socket, to which the lab sends what that
//! thread is to begin with.

use super::Supervisor;
use super::sys::Tid;
use crate::abi::{Call, call};
use crate::errno::Result;
use crate::{bail, err};

impl Supervisor {
    /// The socket that a descriptor shows (`netlink_getsockbyfd`).
    ///
    /// # Errors
    /// EBADF; ENOTSOCK; EINVAL: a socket of another family.
    pub(super) fn netlink_inode(&self, tid: Tid, fd: i32) -> Result<u64> {
        let Ok(link) = self.host.link(tid, &format!("fd/{fd}")) else { bail!(EBADF, "descriptor {} is not open", fd) };
        if !link.starts_with(b"socket:") {
            bail!(ENOTSOCK, "descriptor {} is no socket", fd);
        }
        let inode = self.host.inode(tid, fd).ok().filter(|inode| self.netlinks.has(*inode));
        inode.ok_or_else(|| err!(EINVAL, "descriptor {} is no socket of netlink", fd))
    }

    /// A datagram from the kernel that nobody has asked for: who receives does so again, and has the program send it to itself.
    pub(super) fn tell_socket(&mut self, inode: u64, datagram: Vec<u8>) {
        let Ok(socket) = self.netlinks.socket(inode) else { return };
        socket.pending.push_back(datagram);
        for tid in self.netlinks.receivers(inode) {
            // Another call of it, which nobody looks at, would fail with EINTR.
            let state = self.host.proc_file(tid, "syscall").unwrap_or_default();
            let number = String::from_utf8_lossy(&state).split(' ').next().and_then(|number| number.parse().ok());
            if state.starts_with(b"running") || matches!(number.and_then(call), Some(Call::Recvfrom | Call::Recvmsg)) {
                // It may be gone.
                let _ = self.host.interrupt(tid);
            }
        }
    }
}
