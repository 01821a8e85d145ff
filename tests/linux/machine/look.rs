//! What workers see, for the test itself.

use nslab::errno::Errno;

use super::Machine;
use crate::encode::{Arg, Raw, call};
use crate::raw;

/// Offset of a text that was read, and the bytes there is room for.
pub const TEXT: usize = 4096;
const TEXT_SIZE: u64 = 12_000;

/// What a call came to, if anything.
fn length_of(result: Option<i64>) -> Result<usize, Errno> {
    let result = result.ok_or(Errno::ETIME)?;
    usize::try_from(result).map_err(|_| Errno::from_raw(-result as i32))
}

impl Machine {
    /// A call of a worker with a path at offset 2048 of the data.
    fn at_path(&self, lab: i32, path: &[u8], number: i64, args: &[Arg]) -> Result<usize, Errno> {
        let slot = self.slot_of(lab).ok_or(Errno::ESRCH)?;
        let data = vec![(2048, [path, b"\0"].concat())];
        let result = self.make(slot, &Raw { number, args: args.to_vec(), data }, None).ok_or(Errno::ETIME)?;
        usize::try_from(result).map_err(|_| Errno::from_raw(-result as i32))
    }

    /// The bytes a call of a worker gives of a file it opens first; they are at offset 4096.
    fn of_open_file(&self, lab: i32, path: &[u8], number: i64) -> Result<Vec<u8>, Errno> {
        let slot = self.slot_of(lab).ok_or(Errno::ESRCH)?;
        let open = [Arg::Value(libc::AT_FDCWD as u64), Arg::Data(2048), Arg::Value(0)];
        let fd = Arg::Value(self.at_path(lab, path, libc::SYS_openat, &open)? as u64);
        let length = self.at_path(lab, b"", number, &[fd, Arg::Data(4096), Arg::Value(8192)]);
        let bytes = length.map(|length| raw::slot(slot).read_data(4096, length));
        self.at_path(lab, b"", libc::SYS_close, &[fd])?;
        bytes
    }

    /// What a worker reads at a path: a file's text, or a link's.
    ///
    /// # Errors
    /// Those of open and read, or of readlink.
    pub fn look(&self, lab: i32, path: &[u8], is_link: bool) -> Result<String, Errno> {
        let path = vec![(2048, [path, b"\0"].concat())];
        if is_link {
            let args = vec![Arg::Data(2048), Arg::Data(TEXT as u64), Arg::Value(TEXT_SIZE)];
            return self.text_of(lab, &Raw { number: libc::SYS_readlink, args, data: path });
        }
        let worker = raw::slot(self.slot_of(lab).ok_or(Errno::ESRCH)?);
        worker.wait(self.patience).ok_or(Errno::ETIME)?;
        path.iter().for_each(|(offset, bytes)| worker.write_data(*offset, bytes));
        worker.post_look(2048, TEXT as u64, TEXT_SIZE);
        let length = length_of(worker.wait(self.patience))?;
        Ok(String::from_utf8_lossy(&worker.read_data(TEXT, length)).into_owned())
    }

    /// The result of a call that a worker makes for the test itself.
    ///
    /// # Errors
    /// Those of the call.
    pub fn result_of(&self, lab: i32, raw: &Raw) -> Result<usize, Errno> {
        length_of(self.make(self.slot_of(lab).ok_or(Errno::ESRCH)?, raw, None))
    }

    /// The bytes such a call writes to offset [`TEXT`], its result being their number.
    ///
    /// # Errors
    /// Those of the call.
    pub fn bytes_of(&self, lab: i32, raw: &Raw) -> Result<Vec<u8>, Errno> {
        let slot = self.slot_of(lab).ok_or(Errno::ESRCH)?;
        Ok(raw::slot(slot).read_data(TEXT, length_of(self.make(slot, raw, None))?))
    }

    /// The same as text.
    ///
    /// # Errors
    /// Those of the call.
    pub fn text_of(&self, lab: i32, raw: &Raw) -> Result<String, Errno> {
        self.bytes_of(lab, raw).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Words of a worker's data; zeros if there is no worker.
    pub fn words_at<const N: usize>(&self, lab: i32, offset: usize) -> [u32; N] {
        let worker = self.slot_of(lab).map(raw::slot);
        std::array::from_fn(|at| worker.map_or(0, |worker| worker.read_u32(offset + 4 * at)))
    }

    /// The names in a directory in the order in which a worker reads them.
    ///
    /// # Errors
    /// Those of open and getdents.
    pub fn list(&self, lab: i32, path: &[u8]) -> Result<Vec<String>, Errno> {
        let bytes = self.of_open_file(lab, path, libc::SYS_getdents64)?;
        let mut names = Vec::new();
        let mut rest = &bytes[..];
        // struct linux_dirent64: the length of the entry at 16, the name at 19.
        while let Some(&[low, high]) = rest.get(16..18) {
            let (entry, after) = rest.split_at(usize::from(u16::from_ne_bytes([low, high])));
            let name = entry[19..].split(|&byte| byte == 0).next().unwrap_or_default();
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = after;
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// `type mode uid gid` of a file as a worker sees it.
    ///
    /// # Errors
    /// Those of newfstatat.
    pub fn stat(&self, lab: i32, path: &[u8], follow: bool) -> Result<String, Errno> {
        let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
        let args = [Arg::Value(libc::AT_FDCWD as u64), Arg::Data(2048), Arg::Data(4096), Arg::Value(flags as u64)];
        self.at_path(lab, path, libc::SYS_newfstatat, &args)?;
        let worker = raw::slot(self.slot_of(lab).ok_or(Errno::ESRCH)?);
        let [mode, uid, gid] = [24, 28, 32].map(|at| worker.read_u32(4096 + at));
        let file_type = match mode & libc::S_IFMT {
            libc::S_IFDIR => "directory",
            libc::S_IFLNK => "symlink",
            libc::S_IFSOCK => "socket",
            _ => "file",
        };
        Ok(format!("{file_type} {:04o} {uid} {gid}", mode & 0o7777))
    }

    /// node and domain name as a worker has them.
    pub fn names(&self, lab: i32) -> Option<(String, String)> {
        let slot = self.slot_of(lab)?;
        let uname = call(libc::SYS_uname, &[Arg::Data(0)]);
        self.make(slot, &uname, None).filter(|&result| result == 0)?;
        let field = |at: usize| {
            let bytes = raw::slot(slot).read_data(at * 65, 65);
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(65);
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        Some((field(1), field(5)))
    }
}
