//! Running commands with no privilege at all.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The uid and gid of nobody.
const NOBODY: u32 = 65534;

/// Makes a command that root starts run as nobody, in no other group.
pub fn nobody(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY)
}
