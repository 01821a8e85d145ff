//! Layer 4: the lab as a FUSE file system. [`mount()`] puts it on a directory, [`unmount`] takes it off.
//!
//! What may be cached by the host's kernel is, for as long as it is true. The thread that is asked to change the lab does
//! so itself (`write`), then hands what became stale, and its answer, to the one thread that notifies the host's kernel
//! (`notify`): a read that starts after a write has returned shows it, and nothing ever waits for itself.

mod answer;
mod bounds;
mod card;
mod connection;
mod drawer;
mod error;
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
mod session;
mod stream;
mod text;
mod write;

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, FileAttr, FileHandle, Filesystem, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, Version, WriteFlags,
};

use answer::{Caller, Entry, Shared, host_type};
use handle::State;
use notify::Notifier;
use write::Written;

use crate::err;
use crate::errno::{Errno, Error, Result};
use crate::host::fault::Op;
use crate::lab::{self, FILES};
use crate::tree::{DirEntry, FileType};

pub use bounds::{Bounds, parse_size};
pub use error::MountError;
pub use labs::{Found, Health, Reach, is_alone_in_mount_namespace, labs};
pub use options::Options;
pub use point::{Point, Users, find_fusermount, find_lab, is_lab, unmount, unmount_all};
pub use session::{Gauge, Mounted, mount, open_device};

/// The lab with what only the session's threads need.
#[derive(Debug)]
struct LabFs {
    shared: Arc<Shared>,
    /// For answers only: another thread makes the kernel drop what it has cached.
    connection: Notifier,
}

/// Capabilities of the FUSE connection that are used where the host's kernel has them.
///
/// Not `FUSE_ATOMIC_O_TRUNC`: it has the host's kernel cut off the pages of a version, which others may have mapped.
const WANTED: InitFlags = InitFlags::FUSE_CACHE_SYMLINKS.union(InitFlags::FUSE_PARALLEL_DIROPS);

/// The first version of the interface in which names can be dropped without waiting (`FUSE_NOTIFY_PRUNE`).
const ABI_OF_PRUNE: Version = Version(7, 45);

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

/// Answers with an inode under the number the kernel has for it.
fn reply_entry(reply: ReplyEntry, entry: &Entry) {
    let attr = FileAttr { ino: INodeNo(entry.nodeid), ..entry.attr };
    reply.entry_with_ttls(&entry.attr_ttl, &entry.name_ttl, &attr, Generation(entry.generation));
}

fn caller(req: &Request) -> Caller {
    Caller { uid: req.uid(), tid: req.pid() }
}

impl Shared {
    /// Lets those tasks exit that do so after this operation, before the one who asked for it has the answer. It does not
    /// wait for caches: the one who asked may hold what that waits for.
    fn done(&self, op: Op, ino: u64) {
        // Whatever becomes of it, who asked gets an answer.
        let _ = caught(|| self.exits_after(op, ino));
    }
}

impl LabFs {
    /// Writes to an open file.
    ///
    /// # Errors
    /// EBADF; EIO: what was done could not be noted.
    fn write_file(&self, fh: u64, offset: u64, bytes: &[u8]) -> Result<Written> {
        let done = caught(|| Ok(self.shared.write(&*self.shared.handle(fh)?, offset, bytes)))?;
        self.shared.lab.settle().map(|()| done)
    }

    /// Whether `caller` makes and removes directories in this one; `false`: nobody does.
    ///
    /// # Errors
    /// EROFS, EACCES
    fn may_change_dir(&self, caller: Caller, parent: INodeNo) -> Result<bool> {
        let dir = self.shared.identity(parent.0)?.node;
        lab::may_change(dir)?;
        if !FILES.ask(dir.place, |dir| dir.takes_dirs()) {
            return Ok(false);
        }
        self.shared.check_writer(caller).map(|()| true)
    }

    /// Makes or removes a directory and answers.
    fn change_dir<T: Send + 'static>(
        &self,
        change: impl FnOnce() -> Result<T>,
        answer: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let result = caught(change);
        let result = self.shared.lab.settle().and(result);
        self.shared.notices.after(move || answer(result));
    }

    /// Whether nothing but its content can be changed, not even its times (`S_IMMUTABLE`).
    fn is_immutable(&self, ino: INodeNo) -> bool {
        self.shared.identity(ino.0).is_ok_and(|identity| FILES.is_immutable(identity.node))
    }

    /// Why a name in a directory of the tree cannot change; `otherwise` where the file system would be writable.
    fn refusal(&self, dir: INodeNo, otherwise: fuser::Errno) -> fuser::Errno {
        match caught(|| lab::may_change(self.shared.identity(dir.0)?.node)) {
            Ok(()) => otherwise,
            Err(error) => host_errno(&error),
        }
    }

    /// A line of `ctl/batch` whose end was never written ends with the file.
    fn finish_batch(&self, fh: u64) {
        let Ok(handle) = self.shared.handle(fh) else { return };
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
            self.shared.handles.remove(fh);
            self.shared.pollers.forget(fh);
            Ok(())
        };
        let _ = caught(closed);
    }
}

impl Filesystem for LabFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        if config.kernel_abi() >= ABI_OF_PRUNE {
            self.shared.inodes.keep_names();
        }
        let offered = WANTED & config.capabilities();
        config.add_capabilities(offered).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match caught(|| self.shared.lookup(caller(req), parent.0, name)) {
            Ok(entry) if entry.nodeid == entry.attr.ino.0 => reply_entry(reply, &entry),
            Ok(entry) => {
                self.connection.entry_found(req.unique().into(), &entry);
                // Already answered: the kernel has forgotten the request and takes no second answer.
                reply.error(fuser::Errno::EIO);
            }
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        let forget = || {
            self.shared.inodes.forget(ino.0, nlookup);
            Ok(())
        };
        let _ = caught(forget);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let result = caught(|| self.shared.getattr(ino.0));
        self.shared.done(Op::Stat, ino.0);
        match result {
            Ok((attr, ttl)) => reply.attr(&ttl, &attr),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    /// Cutting off content and setting times change nothing and succeed, as shells and `touch` need it; modes and
    /// owners are those of simulated tasks.
    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let is_fixed = mode.or(uid).or(gid).is_some() || self.is_immutable(ino);
        if is_fixed || !self.shared.may_write(caller(req)) {
            return reply.error(fuser::Errno::EPERM);
        }
        self.getattr(req, ino, fh, reply);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        let result = caught(|| self.shared.readlink(ino.0));
        self.shared.done(Op::Readlink, ino.0);
        match result {
            Ok(text) => reply.data(&text),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn access(&self, req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        match caught(|| self.shared.access(caller(req), ino.0, mask)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: fuser::OpenFlags, reply: ReplyOpen) {
        let result = caught(|| self.shared.open(caller(req), ino.0, flags.0));
        self.shared.done(Op::Open, ino.0);
        match result {
            Ok((fh, how)) => reply.opened(FileHandle(fh), how),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: fuser::OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let shared = Arc::clone(&self.shared);
        let answer = move || {
            let result = caught(|| shared.read(fh.0, offset, size));
            if offset == 0 {
                shared.done(Op::Read, ino.0);
            }
            match result {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(host_errno(&error)),
            }
        };
        match self.shared.is_long_read(fh.0, offset) {
            Some(may_write) => self.shared.drawers.hand_over(may_write, Box::new(answer)),
            None => answer(),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: fuser::OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_file(fh.0, offset, data) {
            Ok(outcome) => self.shared.notices.after(move || match &outcome.error {
                Some(error) if outcome.written == 0 => reply.error(host_errno(error)),
                _ => reply.written(u32::try_from(outcome.written).unwrap_or(u32::MAX)),
            }),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: fuser::OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.close(fh.0);
        reply.ok();
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: fuser::OpenFlags, reply: ReplyOpen) {
        let result = caught(|| self.shared.opendir(caller(req), ino.0));
        self.shared.done(Op::Open, ino.0);
        match result {
            Ok((fh, how)) => reply.opened(FileHandle(fh), how),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let result = caught(|| self.shared.readdir(fh.0, offset));
        if offset == 0 {
            self.shared.done(Op::Readdir, ino.0);
        }
        match result {
            Ok(listing) => match caught(|| self.list(ino.0, &listing.items, offset, &mut reply)) {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(host_errno(&error)),
            },
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn releasedir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: fuser::OpenFlags, reply: ReplyEmpty) {
        self.close(fh.0);
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn ioctl(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        match caught(|| self.shared.ioctl(ino.0, cmd)) {
            Ok(ioctl::Answer::Value(value)) => reply.ioctl(value, &[]),
            Ok(ioctl::Answer::Output(value)) => reply.ioctl(0, &value.to_ne_bytes()),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        waiter: PollNotifier,
        _events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        let waiter = flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY).then_some(waiter);
        match caught(|| self.shared.poll(fh.0, waiter)) {
            Ok(ready) => reply.poll(ready),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    // There is nothing to write to a disk, and there are no attributes of users' own, as in procfs.

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        match self.shared.identity(ino.0) {
            Ok(identity) if identity.node.path().is_some() => reply.ok(),
            _ => reply.error(fuser::Errno::EINVAL),
        }
    }

    fn fsyncdir(&self, req: &Request, ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.fsync(req, ino, fh, datasync, reply);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 { reply.size(0) } else { reply.data(&[]) }
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(if self.is_immutable(ino) { fuser::Errno::EPERM } else { fuser::Errno::EOPNOTSUPP });
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(if self.is_immutable(ino) { fuser::Errno::EPERM } else { fuser::Errno::EOPNOTSUPP });
    }

    // Only cgroups can be made and removed from outside. The errors are those procfs gives.

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(self.refusal(parent, fuser::Errno::ENOENT));
    }

    fn mknod(
        &self,
        _req: &Request,
        parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(self.refusal(parent, fuser::Errno::ENOENT));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mode = (mode & !umask & 0o7777) as u16;
        match caught(|| self.may_change_dir(caller(req), parent)) {
            Ok(true) => self.change_dir(
                || self.shared.mkdir(caller(req), parent.0, name, mode),
                |made| match made {
                    Ok(entry) => reply_entry(reply, &entry),
                    Err(error) => reply.error(host_errno(&error)),
                },
            ),
            Ok(false) => reply.error(fuser::Errno::ENOENT),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn symlink(&self, _req: &Request, parent: INodeNo, _name: &OsStr, _target: &Path, reply: ReplyEntry) {
        reply.error(self.refusal(parent, fuser::Errno::ENOENT));
    }

    fn link(&self, _req: &Request, _ino: INodeNo, newparent: INodeNo, _newname: &OsStr, reply: ReplyEntry) {
        reply.error(self.refusal(newparent, fuser::Errno::ENOENT));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(self.refusal(parent, fuser::Errno::EPERM));
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match caught(|| self.may_change_dir(caller(req), parent)) {
            Ok(true) => self.change_dir(
                || self.shared.rmdir(parent.0, name),
                |removed| match removed {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(host_errno(&error)),
                },
            ),
            Ok(false) => reply.error(fuser::Errno::EPERM),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let otherwise = match caught(|| self.shared.find(newparent.0, newname)) {
            Ok(_) => fuser::Errno::EPERM,
            Err(error) => host_errno(&error),
        };
        reply.error(self.refusal(newparent, otherwise));
    }
}

impl LabFs {
    /// Fills in the names from number `offset` on, as many as fit: the two dots, then `entries`.
    fn list(&self, ino: u64, entries: &[DirEntry], offset: u64, reply: &mut ReplyDirectory) -> Result<()> {
        let first = usize::try_from(offset).unwrap_or(usize::MAX);
        for index in first..entries.len() + 2 {
            let (number, file_type, name) = match index {
                0 => (ino, FileType::Directory, "."),
                1 => (self.shared.inodes.parent(ino), FileType::Directory, ".."),
                _ => {
                    let entry = &entries[index - 2];
                    (entry.ino, entry.file_type, entry.name.as_str())
                }
            };
            if reply.add(INodeNo(number), index as u64 + 1, host_type(file_type), name) {
                break;
            }
        }
        Ok(())
    }
}
