//! The adapter to fuser: takes each request of the host's kernel, counts it, has it answered and replies.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, FileAttr, FileHandle, Filesystem, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, Version, WriteFlags,
};

use super::answer::{Caller, Entry, host_type};
use super::requests::Opcode;
use super::{LabFs, caught, host_errno, ioctl};
use crate::errno::Result;
use crate::host::fault::Op;
use crate::tree::{DirEntry, FileType};

/// Capabilities of the FUSE connection that are used where the host's kernel has them.
///
/// Not `FUSE_ATOMIC_O_TRUNC`: it has the host's kernel cut off the pages of a version, which others may have mapped.
///
/// `FUSE_ASYNC_DIO`, although reads have nothing to wait for: without it the host's kernel leaves the position of an io_uring
/// read where it was, and reads a live file over and over until the buffer is full.
const WANTED: InitFlags =
    InitFlags::FUSE_CACHE_SYMLINKS.union(InitFlags::FUSE_PARALLEL_DIROPS).union(InitFlags::FUSE_ASYNC_DIO);

/// The first version of the interface in which names can be dropped without waiting (`FUSE_NOTIFY_PRUNE`).
const ABI_OF_PRUNE: Version = Version(7, 45);

/// Answers with an inode under the number the kernel has for it.
fn reply_entry(reply: ReplyEntry, entry: &Entry) {
    let attr = FileAttr { ino: INodeNo(entry.nodeid), ..entry.attr };
    reply.entry_with_ttls(&entry.attr_ttl, &entry.name_ttl, &attr, Generation(entry.generation));
}

fn caller(req: &Request) -> Caller {
    Caller { uid: req.uid(), tid: req.pid() }
}

impl Filesystem for LabFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        if config.kernel_abi() >= ABI_OF_PRUNE {
            self.connection.inodes.keep_names();
        }
        let offered = WANTED & config.capabilities();
        config.add_capabilities(offered).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.count(Opcode::Lookup);
        let (caller, unique, name) = (caller(req), req.unique(), name.to_owned());
        self.in_turn(caller, move |fs| match caught(|| fs.connection.lookup(caller, parent.0, &name)) {
            Ok(entry) if entry.nodeid == entry.attr.ino.0 => reply_entry(reply, &entry),
            Ok(entry) => {
                fs.connection.notifier.entry_found(unique.into(), &entry);
                // Already answered: the kernel has forgotten the request and takes no second answer.
                reply.error(fuser::Errno::EIO);
            }
            Err(error) => reply.error(host_errno(&error)),
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.count(Opcode::Forget);
        let forget = || {
            self.connection.inodes.forget(ino.0, nlookup);
            Ok(())
        };
        let _ = caught(forget);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.count(Opcode::Getattr);
        let result = caught(|| self.connection.getattr(ino.0));
        self.connection.done(Op::Stat, ino.0);
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
        self.count(Opcode::Setattr);
        let is_fixed = mode.or(uid).or(gid).is_some() || self.is_immutable(ino);
        if is_fixed || !self.connection.may_write(caller(req)) {
            return reply.error(fuser::Errno::EPERM);
        }
        self.getattr(req, ino, fh, reply);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.count(Opcode::Readlink);
        let result = caught(|| self.connection.readlink(ino.0));
        self.connection.done(Op::Readlink, ino.0);
        match result {
            Ok(text) => reply.data(&text),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn access(&self, req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        self.count(Opcode::Access);
        match caught(|| self.connection.access(caller(req), ino.0, mask)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: fuser::OpenFlags, reply: ReplyOpen) {
        self.count(Opcode::Open);
        let caller = caller(req);
        self.in_turn(caller, move |fs| {
            let result = caught(|| fs.connection.open(caller, ino.0, flags.0));
            fs.connection.done(Op::Open, ino.0);
            match result {
                Ok((fh, how)) => reply.opened(FileHandle(fh), how),
                Err(error) => reply.error(host_errno(&error)),
            }
        });
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
        self.count(Opcode::Read);
        let connection = Arc::clone(&self.connection);
        let answer = move || {
            let result = caught(|| connection.read(fh.0, offset, size));
            if offset == 0 {
                connection.done(Op::Read, ino.0);
            }
            match result {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(host_errno(&error)),
            }
        };
        match self.connection.is_long_read(fh.0, offset) {
            Some(may_write) => self.connection.shared.drawers.hand_over(may_write, Box::new(answer)),
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
        self.count(Opcode::Write);
        match self.write_file(fh.0, offset, data) {
            Ok(outcome) => self.connection.shared.notices.after(move || match &outcome.error {
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
        self.count(Opcode::Release);
        self.close(fh.0);
        reply.ok();
    }

    /// At close(2) there is something to do for message queues alone: for other files kernels since Linux 5.16 do not ask.
    fn flush(&self, req: &Request, _ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        self.count(Opcode::Flush);
        self.connection.shared.flush(caller(req), fh.0);
        reply.ok();
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: fuser::OpenFlags, reply: ReplyOpen) {
        self.count(Opcode::Opendir);
        let result = caught(|| self.connection.opendir(caller(req), ino.0));
        self.connection.done(Op::Open, ino.0);
        match result {
            Ok((fh, how)) => reply.opened(FileHandle(fh), how),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    fn readdir(&self, req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.count(Opcode::Readdir);
        self.in_turn(caller(req), move |fs| {
            let result = caught(|| fs.connection.readdir(fh.0, offset));
            if offset == 0 {
                fs.connection.done(Op::Readdir, ino.0);
            }
            match result {
                Ok(listing) => match caught(|| fs.list(ino.0, &listing.items, offset, &mut reply)) {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(host_errno(&error)),
                },
                Err(error) => reply.error(host_errno(&error)),
            }
        });
    }

    fn releasedir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _flags: fuser::OpenFlags, reply: ReplyEmpty) {
        self.count(Opcode::Releasedir);
        self.close(fh.0);
        reply.ok();
    }

    fn statfs(&self, req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.count(Opcode::Statfs);
        self.connection.barrier.meet(req.pid());
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
        self.count(Opcode::Ioctl);
        match caught(|| self.connection.ioctl(ino.0, cmd)) {
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
        self.count(Opcode::Poll);
        let waiter = flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY).then_some(waiter);
        match caught(|| self.connection.poll(fh.0, waiter)) {
            Ok(ready) => reply.poll(ready),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    // There is nothing to write to a disk, and there are no attributes of users' own, as in procfs.

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.count(Opcode::Fsync);
        match self.connection.identity(ino.0) {
            Ok(identity) if identity.node.path().is_some() => reply.ok(),
            _ => reply.error(fuser::Errno::EINVAL),
        }
    }

    fn fsyncdir(&self, req: &Request, ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.count(Opcode::Fsyncdir);
        self.fsync(req, ino, fh, datasync, reply);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.count(Opcode::Listxattr);
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
        self.count(Opcode::Setxattr);
        reply.error(if self.is_immutable(ino) { fuser::Errno::EPERM } else { fuser::Errno::EOPNOTSUPP });
    }

    /// As with [`Filesystem::flush`].
    fn getxattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        self.count(Opcode::Getxattr);
        reply.error(fuser::Errno::ENOSYS);
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.count(Opcode::Removexattr);
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
        self.count(Opcode::Create);
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
        self.count(Opcode::Mknod);
        reply.error(self.refusal(parent, fuser::Errno::ENOENT));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.count(Opcode::Mkdir);
        let mode = (mode & !umask & 0o7777) as u16;
        match caught(|| self.may_change_dir(caller(req), parent)) {
            Ok(true) => self.change_dir(
                || self.connection.mkdir(caller(req), parent.0, name, mode),
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
        self.count(Opcode::Symlink);
        reply.error(self.refusal(parent, fuser::Errno::ENOENT));
    }

    fn link(&self, _req: &Request, _ino: INodeNo, newparent: INodeNo, _newname: &OsStr, reply: ReplyEntry) {
        self.count(Opcode::Link);
        reply.error(self.refusal(newparent, fuser::Errno::ENOENT));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.count(Opcode::Unlink);
        reply.error(self.refusal(parent, fuser::Errno::EPERM));
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.count(Opcode::Rmdir);
        match caught(|| self.may_change_dir(caller(req), parent)) {
            Ok(true) => self.change_dir(
                || self.connection.rmdir(parent.0, name),
                |removed| match removed {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(host_errno(&error)),
                },
            ),
            Ok(false) => reply.error(fuser::Errno::EPERM),
            Err(error) => reply.error(host_errno(&error)),
        }
    }

    /// Never ENOENT, which procfs gives where the new name is not there: the host's kernel would drop the old one
    /// (`fuse_rename_common`).
    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        newparent: INodeNo,
        _newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.count(Opcode::Rename);
        reply.error(self.refusal(newparent, fuser::Errno::EPERM));
    }
}

impl LabFs {
    /// Answers a request that may take as long as the lab is large: the text of a file is made to find its name, and all names of
    /// a directory to list it. Those who may write have it answered here and now; all others one after the other, so that
    /// they keep nobody else waiting, however many they are.
    fn in_turn(&self, caller: Caller, answer: impl FnOnce(&LabFs) + Send + 'static) {
        if self.connection.may_write(caller) {
            return answer(self);
        }
        let fs = LabFs { connection: Arc::clone(&self.connection) };
        self.connection.shared.drawers.hand_over(false, Box::new(move || answer(&fs)));
    }

    /// Fills in the names from number `offset` on, as many as fit: the two dots, then `entries`.
    fn list(&self, ino: u64, entries: &[DirEntry], offset: u64, reply: &mut ReplyDirectory) -> Result<()> {
        let first = usize::try_from(offset).unwrap_or(usize::MAX);
        for index in first..entries.len() + 2 {
            let (number, file_type, name) = match index {
                0 => (ino, FileType::Directory, "."),
                1 => (self.connection.inodes.parent(ino), FileType::Directory, ".."),
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
