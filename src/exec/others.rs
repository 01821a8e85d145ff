//! Directories of other programs in `/proc`: what the lab knows nothing of is the real process's, for who may look into it.

use super::Supervisor;
use crate::kernel::TaskId;
use crate::kernel::ptrace::PtraceMode;
use crate::tree;

/// Entries that are the real process's, also for others. Those that a program could write to, and those that tell the host's
/// numbers of processes, are the lab's.
const OF_HOST: [&[u8]; 9] = [b"fd", b"exe", b"maps", b"auxv", b"environ", b"cwd", b"root", b"smaps", b"pagemap"];

impl Supervisor {
    /// Where the host has a file of another process than the caller's, by the name of its directory in `/proc` and what is
    /// below that. `None`: the lab has it, or says why the caller may not look.
    pub(super) fn of_other(&self, task: TaskId, number: &[u8], name: &[u8], below: &[u8]) -> Option<Vec<u8>> {
        // What is behind its links is looked for by the lab, which has a /proc there.
        let names = below.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).count();
        let is_behind = names > if name == b"fd" { 2 } else { 1 };
        if is_behind || !OF_HOST.contains(&name) || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let other = self.lab.read(|k| {
            let dir = tree::resolve_file(k, task, &[b"/proc/", number].concat(), true).ok()?;
            let other = dir.task().filter(|other| k.tasks.get(*other).is_some_and(|other| !other.is_dead()))?;
            k.ptrace_may_access(task, other, PtraceMode::ReadFsCreds).is_ok().then_some(other)
        });
        let real = self.tracees.get(self.by_task.get(&other.ok()??)?)?;
        Some([format!("/proc/{}", real.tid).as_bytes(), below].concat())
    }
}
