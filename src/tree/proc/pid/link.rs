//! `root`, `cwd` and `exe`: where they lead in the task's own file tree.

use crate::kernel::mount::site::Path;
use crate::kernel::{Kernel, TaskId};

/// Where a magic link leads.
pub(in crate::tree) enum Target {
    Path(Path),
    /// A program, by its name below the task's root directory; no such file is simulated.
    Program(Vec<u8>),
}

/// The root directory (`proc_root_link`); `None` without fs_struct.
pub(super) fn root(k: &Kernel, task: TaskId) -> Option<Target> {
    k.fs_of(task).map(|fs| Target::Path(fs.root.path()))
}

/// The working directory (`proc_cwd_link`); `None` without fs_struct.
pub(super) fn cwd(k: &Kernel, task: TaskId) -> Option<Target> {
    k.fs_of(task).map(|fs| Target::Path(fs.pwd.path()))
}

/// The program of the last exec (`proc_exe_link`); `None` without memory.
pub(super) fn exe(k: &Kernel, task: TaskId) -> Option<Target> {
    k.mm_of(task)?;
    Some(Target::Program(program(k, task)))
}

/// The path of the program of the last exec. One given by a bare name is taken from `/bin`.
pub(super) fn program(k: &Kernel, task: TaskId) -> Vec<u8> {
    let task = &k.tasks[task];
    let program = task.argv.first().map_or(&*task.comm, Vec::as_slice);
    let directory: &[u8] = if program.starts_with(b"/") { b"" } else { b"/bin/" };
    [directory, program].concat()
}
