//! How many namespaces users may have in a user namespace. Linux shows that to who is in it alone, and no process with threads
//! may enter one (`userns_install`): a process of the recorder's own does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};

use super::Files;
use crate::kernel::ns::{NS_TABLE, NsType};

/// The option by which `nslab record` becomes that process.
pub const OPTION: &str = "user-namespace";

/// A limit for each kind of namespace.
pub type Limits = BTreeMap<NsType, i64>;

/// Reads lines of a kind and a limit, as `kernel/ns/user/…/ucount_max` has them.
pub(super) fn parse(text: &str) -> Limits {
    let line = |line: &str| {
        let (kind, limit) = line.split_once(' ')?;
        Some((NsType::from_name(kind)?, limit.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The limits that `proc` shows to who is in the namespace.
pub(super) fn shown(files: &dyn Files) -> Limits {
    let read = |path: &str| String::from_utf8_lossy(&files.read(path).ok()?).trim().parse().ok();
    let limits = NS_TABLE.iter().map(|ops| (ops.ns_type, read(&format!("proc/sys/user/{}", ops.ucount_name))));
    limits.filter_map(|(ns_type, limit)| Some((ns_type, limit?))).collect()
}

/// Asks another process, which enters the namespace; it is `program`, run as `nslab`.
///
/// # Errors
/// It cannot be run; EPERM: it may not enter, without CAP_SYS_ADMIN there.
pub(super) fn ask(program: &Path, namespace: OwnedFd) -> io::Result<Limits> {
    let mut command = Command::new(program);
    command.args(["record", &format!("--{OPTION}")]).stdin(namespace).stderr(Stdio::null());
    let output = command.output()?;
    if !output.status.success() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// What that process does: enters the namespace which is its standard input, and prints the limits.
///
/// # Errors
/// EINVAL: that is no user namespace, or the process has threads; EPERM.
pub fn answer() -> io::Result<()> {
    setns(io::stdin(), CloneFlags::CLONE_NEWUSER)?;
    let text = shown(&super::files::Disk("/".into())).iter().fold(String::new(), |mut text, (ns_type, limit)| {
        let _ = writeln!(text, "{} {limit}", ns_type.ops().name);
        text
    });
    io::stdout().lock().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kinds_are_read() {
        let limits = parse("uts 5\nnet 2147483647\nfoo 3\nipc x\n");
        assert_eq!(limits, Limits::from([(NsType::Uts, 5), (NsType::Net, 2_147_483_647)]));
    }
}
