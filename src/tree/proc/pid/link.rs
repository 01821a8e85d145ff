//! `root`, `cwd` and `exe`: where they lead in the task's own file tree.

use crate::kernel::{Kernel, TaskId};

/// The root directory (`proc_root_link`); `None` without fs_struct.
pub(super) fn root(k: &Kernel, task: TaskId) -> Option<Vec<u8>> {
    k.tasks[task].fs.as_ref().map(|_| b"/".to_vec())
}

/// The working directory (`proc_cwd_link`); `None` without fs_struct.
pub(super) fn cwd(k: &Kernel, task: TaskId) -> Option<Vec<u8>> {
    root(k, task)
}

/// The program of the last exec (`proc_exe_link`); `None` without memory. A program given by a bare name is taken
/// from `/bin`.
pub(super) fn exe(k: &Kernel, task: TaskId) -> Option<Vec<u8>> {
    let task = &k.tasks[task];
    task.mm.as_ref()?;
    let program = task.argv.first().unwrap_or(&task.comm);
    let directory: &[u8] = if program.starts_with(b"/") { b"" } else { b"/bin/" };
    Some([directory, program].concat())
}
