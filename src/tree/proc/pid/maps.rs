//! `proc/<pid>/maps` (`show_map_vma` in `fs/proc/task_mmu.c`): the small program every task runs, and attached shared
//! memory.

use super::{image, link};
use crate::errno::Result;
use crate::kernel::ipc::shm::ShmSegment;
use crate::kernel::{Kernel, TaskId};
use crate::tree::look::Look;

/// Where names start.
pub(super) const NAME_COLUMN: usize = 73;
/// KiB of memory in bytes.
const KIB: u64 = 1024;

pub(super) struct Mapping {
    pub start: u64,
    pub end: u64,
    pub access: &'static str,
    /// Bytes of the file in front of it.
    offset: u64,
    device: &'static str,
    inode: u64,
    name: String,
    /// KiB that are in memory.
    pub resident: u64,
}

impl Mapping {
    /// KiB.
    pub fn size(&self) -> u64 {
        (self.end - self.start) / KIB
    }

    pub fn is_writable(&self) -> bool {
        self.access.contains('w')
    }

    pub fn is_shared(&self) -> bool {
        self.access.ends_with('s')
    }

    /// The line of `numa_maps`.
    fn numa_line(&self) -> String {
        let what = match self.name.as_str() {
            "[heap]" => " heap".to_owned(),
            "[stack]" => " stack".to_owned(),
            name => format!(" file={}", name.replace(' ', "\\040")),
        };
        let pages = self.resident / image::PAGE;
        let pages = match (pages, self.is_writable() && !self.is_shared()) {
            (0, _) => String::new(),
            (_, true) => format!(" anon={pages} dirty={pages} N0={pages} kernelpagesize_kB={}", image::PAGE),
            (_, false) => format!(" mapped={pages} N0={pages} kernelpagesize_kB={}", image::PAGE),
        };
        format!("{:08x} default{what}{pages}\n", self.start)
    }

    /// The line of `maps`.
    pub fn line(&self) -> String {
        let Mapping { start, end, access, offset, device, inode, name, .. } = self;
        let text = format!("{start:08x}-{end:08x} {access} {offset:08x} {device} {inode} ");
        format!("{text:<NAME_COLUMN$}{name}\n")
    }
}

/// A line for each mapping, by address; nothing of a task without memory.
pub(super) fn render(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    Ok(mappings(look.k, task)?.iter().map(Mapping::line).collect::<String>().into_bytes())
}

/// The same with the pages in memory, all on the one node (`show_numa_map`).
pub(super) fn render_numa(look: &Look<'_>, task: TaskId) -> Result<Vec<u8>> {
    Ok(mappings(look.k, task)?.iter().map(Mapping::numa_line).collect::<String>().into_bytes())
}

/// The mappings of a task, by address; none of one without memory.
pub(super) fn mappings(k: &Kernel, task: TaskId) -> Result<Vec<Mapping>> {
    let Some(mm) = k.mm_of(task) else { return Ok(Vec::new()) };
    let mut mappings = program(String::from_utf8_lossy(&link::program(k, task)).into_owned());
    for (&start, attachment) in &mm.attachments {
        let file = &k.shm_files[attachment.file.id()];
        let segment: &ShmSegment = k.ipc_object(file.ns.id(), file.shmid)?;
        mappings.push(Mapping {
            start,
            end: start + attachment.size,
            access: if file.readonly { "r--s" } else { "rw-s" },
            offset: attachment.offset,
            device: "00:01",
            inode: u64::from(file.shmid.unsigned_abs()),
            name: format!("/SYSV{:08x} (deleted)", segment.file_key),
            // Nobody ever touches a page of it.
            resident: 0,
        });
    }
    mappings.sort_unstable_by_key(|mapping| mapping.start);
    Ok(mappings)
}

/// Program, heap, library and stack, together of the size that `status` gives.
fn program(exe: String) -> Vec<Mapping> {
    let file = |start, end, access| {
        let resident = (end - start) / KIB;
        Mapping { start, end, access, offset: 0, device: "fe:00", inode: 1, name: exe.clone(), resident }
    };
    let anonymous = |start, end, name: &str, resident| Mapping {
        device: "00:00",
        inode: 0,
        name: name.to_owned(),
        resident,
        ..file(start, end, "rw-p")
    };
    let code = file(image::START_CODE, image::END_CODE, "r-xp");
    let data = file(image::START_DATA, image::END_DATA, "rw-p");
    let heap = anonymous(image::START_BRK, image::END_BRK, "[heap]", 0);
    let (bottom, top) = (image::START_STACK - image::VM_STACK * KIB, image::START_STACK + image::PAGE * KIB);
    let stack = anonymous(bottom, top, "[stack]", image::RSS_ANON - data.resident);
    let (inode, name) = (2, "/lib/libc.so.6".to_owned());
    let end = image::START_LIB + image::VM_LIB * KIB;
    let library = Mapping { inode, name: name.clone(), ..file(image::START_LIB, end, "r-xp") };
    let rest = image::VM_SIZE - [&code, &data, &heap, &stack, &library].map(Mapping::size).iter().sum::<u64>();
    let resident = image::RSS_FILE - code.resident - library.resident;
    let offset = image::VM_LIB * KIB;
    let constants = Mapping { inode, name, resident, offset, ..file(end, end + rest * KIB, "r--p") };
    vec![code, data, heap, library, constants, stack]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_add_up_to_what_status_says() {
        let all = program("/bin/init".to_owned());
        assert_eq!(all.iter().map(Mapping::size).sum::<u64>(), image::VM_SIZE);
        assert_eq!(all.iter().map(|mapping| mapping.resident).sum::<u64>(), image::VM_RSS);
        assert!(
            all.is_sorted_by_key(|mapping| mapping.end) && all.iter().all(|mapping| mapping.resident <= mapping.size())
        );
    }

    #[test]
    fn names_stand_in_a_column() {
        let lines = program("/bin/init".to_owned()).iter().map(Mapping::line).collect::<String>();
        assert!(lines.lines().all(|line| line.find(['/', '[']) == Some(NAME_COLUMN)), "{lines}");
    }
}
