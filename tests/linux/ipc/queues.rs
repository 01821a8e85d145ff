//! The directory of an IPC namespace's message queues: in the lab `mqueue`, on the machine a mount of it in a mount
//! namespace that is made for the look and goes with its worker.

use nslab::errno::Errno;
use nslab::kernel::TaskId;
use nslab::syscall::{LabCall, Syscall, dispatch};

use crate::encode::{Arg, IN, IN_ARG, NULL, Raw, call, int, with_data, zero_ended};
use crate::machine::TEXT;
use crate::pair::Pair;

/// Where the worker mounts it.
const PLACE: &str = "/tmp";
const TEXT_ARG: Arg = Arg::Data(TEXT as u64);

/// Names, owners, modes and texts of all queues. A reader that may not mount is not asked.
pub fn compare_directory(pair: &mut Pair, reader: TaskId) -> Result<(), String> {
    let nr = pair.k.task_nr(reader);
    if !mount(pair, nr) {
        return Ok(());
    }
    let lab = dispatch(&mut pair.k, reader, &LabCall::Ls { path: b"mqueue".to_vec() }.into());
    let lab = lab.map(|names| names.to_string()).map_err(|stop| stop.errno());
    let machine = names(pair, nr);
    if lab != machine {
        return Err(format!("the queues of task {nr}: lab {lab:?}, machine {machine:?}"));
    }
    for name in lab.unwrap_or_default().lines() {
        let path = format!("mqueue/{name}").into_bytes();
        let lab = dispatch(&mut pair.k, reader, &Syscall::Stat { path }.into());
        // All but the number of the inode.
        let lab = lab.map(|text| text.to_string().rsplit_once(' ').unwrap_or_default().0.to_owned());
        let lab = lab.map_err(|stop| stop.errno());
        let machine = attributes(pair, nr, name);
        if lab != machine {
            return Err(format!("queue {name} of task {nr}: lab {lab:?}, machine {machine:?}"));
        }
    }
    Ok(())
}

/// Mounts the queues where only the worker sees it. False: it may not.
fn mount(pair: &Pair, nr: i32) -> bool {
    let done = |raw: &Raw| pair.machine.text_of(nr, raw).is_ok();
    let mut mount =
        with_data(libc::SYS_mount, &[IN_ARG, Arg::Data(IN as u64 + 16), IN_ARG, NULL, NULL], zero_ended(b"mqueue"));
    mount.data.push((IN + 16, zero_ended(PLACE.as_bytes())));
    let private = Arg::Value(libc::MS_REC | libc::MS_PRIVATE);
    let nobody_else = with_data(libc::SYS_mount, &[NULL, IN_ARG, NULL, private, NULL], zero_ended(b"/"));
    // Each step only after the one before: nothing is ever mounted in a namespace that is not the worker's own.
    done(&call(libc::SYS_unshare, &[int(libc::CLONE_NEWNS)])) && done(&nobody_else) && done(&mount)
}

/// The names in the directory, sorted.
fn names(pair: &Pair, nr: i32) -> Result<String, Errno> {
    let open = [int(libc::AT_FDCWD), IN_ARG, int(libc::O_RDONLY | libc::O_DIRECTORY), NULL];
    let fd = pair.machine.result_of(nr, &with_data(libc::SYS_openat, &open, zero_ended(PLACE.as_bytes())))?;
    let entries = [Arg::Value(fd as u64), TEXT_ARG, Arg::Value(12_000)];
    let bytes = pair.machine.bytes_of(nr, &call(libc::SYS_getdents64, &entries));
    pair.machine.result_of(nr, &call(libc::SYS_close, &[Arg::Value(fd as u64)]))?;
    let (bytes, mut names, mut at) = (bytes?, Vec::new(), 0);
    // struct linux_dirent64: inode, offset, length, type, name.
    while let Some(length) = bytes.get(at + 16..at + 18) {
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        let name = bytes[at + 19..at + length].split(|&byte| byte == 0).next().unwrap_or_default();
        names.push(String::from_utf8_lossy(name).into_owned());
        at += length;
    }
    names.retain(|name| name != "." && name != "..");
    names.sort_unstable();
    Ok(names.join("\n"))
}

/// Type, mode and owner, as the lab's stat has them.
fn attributes(pair: &Pair, nr: i32, name: &str) -> Result<String, Errno> {
    let args = [int(libc::AT_FDCWD), IN_ARG, TEXT_ARG, NULL];
    let path = format!("{PLACE}/{name}").into_bytes();
    pair.machine.result_of(nr, &with_data(libc::SYS_newfstatat, &args, zero_ended(&path)))?;
    let [mode, uid, gid] = pair.machine.words_at(nr, TEXT + 24);
    let kind = if mode & libc::S_IFMT == libc::S_IFREG { "file" } else { "?" };
    Ok(format!("{kind} {:04o} {uid} {gid}", mode & 0o7777))
}
