//! `proc/<pid>/smaps` and `smaps_rollup` (`show_smap`, `show_smaps_rollup` in `fs/proc/task_mmu.c`): what of each
//! mapping is in memory.

use std::fmt::Write as _;

use super::image;
use super::maps::{Mapping, NAME_COLUMN, mappings};
use crate::errno::Result;
use crate::kernel::TaskId;
use crate::tree::look::Look;

/// A mapping's lines, by address; nothing of a task without memory.
pub(super) fn render(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let mut text = String::new();
    for mapping in mappings(look.k, task)? {
        text.push_str(&mapping.line());
        for (name, kib) in [("Size", mapping.size()), ("KernelPageSize", image::PAGE), ("MMUPageSize", image::PAGE)] {
            write_size(&mut text, name, kib);
        }
        let usage = Usage::of(&mapping);
        for (name, kib) in [("Rss", usage.resident), ("Pss", usage.resident), ("Pss_Dirty", usage.dirty)] {
            write_size(&mut text, name, kib);
        }
        write_rest(&mut text, &usage);
        let _ = writeln!(text, "{:<16}{:>8}\nVmFlags: {} ", "THPeligible:", 0, vm_flags(&mapping));
    }
    Ok(text.into_bytes())
}

/// The sums over all mappings.
pub(super) fn render_sum(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    let mappings = mappings(look.k, task)?;
    let (Some(first), Some(last)) = (mappings.first(), mappings.last()) else { return Ok(Vec::new()) };
    let range = format!("{:08x}-{:08x} ---p 00000000 00:00 0 ", first.start, last.end);
    let mut text = format!("{range:<NAME_COLUMN$}[rollup]\n");
    let usage = mappings.iter().map(Usage::of).fold(Usage::default(), Usage::plus);
    let sizes = [
        ("Rss", usage.resident),
        ("Pss", usage.resident),
        ("Pss_Dirty", usage.dirty),
        ("Pss_Anon", usage.dirty),
        ("Pss_File", usage.resident - usage.dirty),
        ("Pss_Shmem", 0),
    ];
    for (name, kib) in sizes {
        write_size(&mut text, name, kib);
    }
    write_rest(&mut text, &usage);
    Ok(text.into_bytes())
}

/// KiB in memory. No page is shared with another task, and what was written is anonymous.
#[derive(Default)]
struct Usage {
    resident: u64,
    dirty: u64,
}

impl Usage {
    fn of(mapping: &Mapping) -> Usage {
        Usage { resident: mapping.resident, dirty: if mapping.is_writable() { mapping.resident } else { 0 } }
    }

    fn plus(self, other: Usage) -> Usage {
        Usage { resident: self.resident + other.resident, dirty: self.dirty + other.dirty }
    }
}

/// The lines both files end with.
fn write_rest(text: &mut String, usage: &Usage) {
    let sizes = [
        ("Shared_Clean", 0),
        ("Shared_Dirty", 0),
        ("Private_Clean", usage.resident - usage.dirty),
        ("Private_Dirty", usage.dirty),
        ("Referenced", usage.resident),
        ("Anonymous", usage.dirty),
        ("KSM", 0),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", 0),
    ];
    for (name, kib) in sizes {
        write_size(text, name, kib);
    }
}

fn write_size(text: &mut String, name: &str, kib: u64) {
    let _ = writeln!(text, "{:<16}{kib:>8} kB", format!("{name}:"));
}

/// Readable, writable, executable, shared; then what it may become.
fn vm_flags(mapping: &Mapping) -> String {
    let may = [('r', "rd"), ('w', "wr"), ('x', "ex"), ('s', "sh")];
    let now = may.into_iter().filter(|(letter, _)| mapping.access.contains(*letter)).map(|(_, flag)| flag);
    now.chain(["mr", "mw", "me"]).chain(mapping.is_shared().then_some("ms")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::kernel::node::{ITSELF, Node, TaskDir, View};
    use crate::tree::Viewer;

    fn text(render: fn(&Look<'_>, TaskId) -> Result<Vec<u8>>) -> String {
        let k = Kernel::boot();
        let node = Node { view: View::Caller, place: TaskDir::process(k.init.task).entry(ITSELF) };
        let look = Look::now(&k, Viewer(k.init.task), node).unwrap();
        String::from_utf8(render(&look, k.init.task).unwrap()).unwrap()
    }

    #[test]
    fn anonymous_memory_is_what_status_says() {
        let sum = text(render_sum);
        assert!(sum.contains(&format!("\nAnonymous:      {:>8} kB\n", image::RSS_ANON)), "{sum}");
        assert_eq!(sum.lines().count(), 23);
    }

    #[test]
    fn a_mapping_has_the_lines_of_linux() {
        let all = text(render);
        assert!(all.contains("\nTHPeligible:           0\nVmFlags: rd ex mr mw me \n"), "{all}");
        assert_eq!(all.lines().count(), 6 * 25);
    }
}
