//! Layer 4: the lab as a FUSE file system. [`mount()`] puts it on a directory, [`unmount`] takes it off.
//!
//! What may be cached by the host's kernel is, for as long as it is true. The thread that is asked to change the lab does
//! so itself (`write`), then hands what became stale, and its answer, to the one thread that notifies the host's kernel
//! (`notify`): a read that starts after a write has returned shows it, and nothing ever waits for itself.

mod answer;
mod barrier;
mod bounds;
mod card;
mod connection;
mod drawer;
mod error;
mod filesystem;
#[cfg(test)]
mod fuzz;
mod handle;
mod inode;
mod ioctl;
mod kept;
mod labs;
mod mountinfo;
mod notify;
mod open;
mod options;
mod point;
mod poll;
mod read;
mod requests;
mod session;
mod stream;
mod text;
mod write;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::INodeNo;

use answer::{Caller, Connection};
use handle::State;
use write::Written;

use crate::err;
use crate::errno::{Errno, Error, Result};
use crate::host::fault::Op;
use crate::lab::{self, FILES};

pub use bounds::{Bounds, parse_size};
pub use card::Part;
pub use error::MountError;
pub use labs::{Found, Health, Reach, is_alone_in_mount_namespace, labs};
pub use options::Options;
pub use point::{Point, Users, find_fusermount, find_lab, is_lab, unmount, unmount_all};
pub use requests::Opcode;
pub use session::{Gauge, Mounted, Served, is_in_lab, mount, mount_proc, open_device};

/// A mount of the lab, as fuser asks it.
#[derive(Debug)]
struct LabFs {
    connection: Arc<Connection>,
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `answer`; a panic in it, which is an error of ours, becomes EIO for the one who asked.
fn caught<T>(answer: impl FnOnce() -> Result<T>) -> Result<T> {
    let panicked = |_| Err(err!(EIO, "an internal error of nslab"));
    let outer = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(answer));
    IS_CAUGHT.set(outer);
    result.unwrap_or_else(panicked)
}

/// Whether a panic of this thread, as it is reported, fails one request only. Any other ends a thread that clients
/// would wait for.
pub fn is_caught() -> bool {
    IS_CAUGHT.get()
}

/// The errno to reply. Two kinds must never be: those Linux keeps inside, which leave the asker hanging, and EINTR,
/// which makes programs try again for ever.
fn host_errno(error: &Error) -> fuser::Errno {
    match error.errno {
        Errno::EINTR | Errno::UnknownErrno => fuser::Errno::EIO,
        errno => fuser::Errno::from_i32(errno as i32),
    }
}

impl Connection {
    /// Lets those tasks exit that do so after this operation, before the one who asked for it has the answer. It does not
    /// wait for caches: the one who asked may hold what that waits for.
    fn done(&self, op: Op, ino: u64) {
        // Whatever becomes of it, who asked gets an answer.
        let _ = caught(|| self.exits_after(op, ino));
    }
}

impl LabFs {
    fn count(&self, opcode: Opcode) {
        self.connection.requests.count(opcode);
    }

    /// Writes to an open file.
    ///
    /// # Errors
    /// EBADF; EIO: what was done could not be noted.
    fn write_file(&self, fh: u64, offset: u64, bytes: &[u8]) -> Result<Written> {
        let done = caught(|| Ok(self.connection.write(&*self.connection.handle(fh)?, offset, bytes)))?;
        self.connection.shared.lab.settle().map(|()| done)
    }

    /// Whether `caller` makes and removes directories in this one; `false`: nobody does.
    ///
    /// # Errors
    /// EROFS, EACCES
    fn may_change_dir(&self, caller: Caller, parent: INodeNo) -> Result<bool> {
        let dir = self.connection.identity(parent.0)?.node;
        if !self.connection.is_program(caller) {
            lab::may_change(dir)?;
        }
        if !FILES.ask(dir.place, |dir| dir.takes_dirs()) {
            return Ok(false);
        }
        self.connection.check_writer(caller).map(|()| true)
    }

    /// Makes or removes a directory and answers.
    fn change_dir<T: Send + 'static>(
        &self,
        change: impl FnOnce() -> Result<T>,
        answer: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let result = caught(change);
        let result = self.connection.shared.lab.settle().and(result);
        self.connection.shared.notices.after(move || answer(result));
    }

    /// Whether nothing but its content can be changed, not even its times (`S_IMMUTABLE`).
    fn is_immutable(&self, ino: INodeNo) -> bool {
        self.connection.identity(ino.0).is_ok_and(|identity| FILES.is_immutable(identity.node))
    }

    /// Why a name in a directory of the tree cannot change; `otherwise` where the file system would be writable.
    fn refusal(&self, dir: INodeNo, otherwise: fuser::Errno) -> fuser::Errno {
        match caught(|| lab::may_change(self.connection.identity(dir.0)?.node)) {
            Ok(()) => otherwise,
            Err(error) => host_errno(&error),
        }
    }

    /// A line of `ctl/batch` whose end was never written ends with the file.
    fn finish_batch(&self, fh: u64) {
        let Ok(handle) = self.connection.handle(fh) else { return };
        let State::Batch(_, batch) = &handle.state else { return };
        if handle::lock(batch).tail.is_empty() {
            return;
        }
        // Nobody waits for what comes of it.
        let _ = self.write_file(fh, 0, b"\n");
    }

    /// Closes a file or directory.
    fn close(&self, fh: u64) {
        let closed = || {
            self.finish_batch(fh);
            self.connection.shared.close(fh);
            Ok(())
        };
        let _ = caught(closed);
    }
}
