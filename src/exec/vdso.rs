//! The vDSO of programs: code of the kernel's in their memory, which tells the time without a call (vdso(7)). Nobody can answer
//! what is no call; so in a time namespace the code is replaced, in the memory of that program alone, by one that makes a call.

use std::io;

use super::processes::Processes;
use super::sys::Tid;

/// `clock_gettime`: `mov eax, 228; syscall; ret`.
const MAKES_CALL: [u8; 8] = [0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0xc3];

/// Where in the vDSO of this host the function is, once somebody has looked.
#[derive(Debug, Default)]
pub struct Vdso {
    clock_gettime: Option<u64>,
}

impl Vdso {
    /// Has the vDSO of a stopped thread make calls to tell the time. A program without one does so anyway.
    ///
    /// # Errors
    /// It has no such function, or its memory does not change.
    pub fn ask_time(&mut self, host: &dyn Processes, tid: Tid) -> io::Result<()> {
        let Some(base) = base(&host.proc_file(tid, "auxv")?) else { return Ok(()) };
        let offset = match self.clock_gettime {
            Some(offset) => offset,
            None => symbol(&image(host, tid, base)?, b"__vdso_clock_gettime")
                .ok_or_else(|| io::Error::other("the vDSO of this host has no clock_gettime"))?,
        };
        self.clock_gettime = Some(offset);
        host.poke(tid, base + offset, u64::from_ne_bytes(MAKES_CALL))
    }
}

fn word<const N: usize>(bytes: &[u8], at: u64) -> Option<[u8; N]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u64_at(bytes: &[u8], at: u64) -> Option<u64> {
    word(bytes, at).map(u64::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: u64) -> Option<u64> {
    word(bytes, at).map(|word| u32::from_ne_bytes(word).into())
}

fn u16_at(bytes: &[u8], at: u64) -> Option<u64> {
    word(bytes, at).map(|word| u16::from_ne_bytes(word).into())
}

/// The address of the vDSO: in the auxiliary vector, pairs of numbers, what stands behind AT_SYSINFO_EHDR.
fn base(auxv: &[u8]) -> Option<u64> {
    const AT_SYSINFO_EHDR: u64 = 33;
    let pairs = (0..auxv.len() as u64).step_by(16);
    pairs.filter(|&at| u64_at(auxv, at) == Some(AT_SYSINFO_EHDR)).find_map(|at| u64_at(auxv, at + 8))
}

/// The vDSO as it is in memory, a few pages, which may be fewer than are looked for.
fn image(host: &dyn Processes, tid: Tid, base: u64) -> io::Result<Vec<u8>> {
    const PAGE: usize = 4096;
    const PAGES_MAX: usize = 16;
    let mut image = Vec::new();
    for at in 0..PAGES_MAX {
        let mut page = vec![0; PAGE];
        match host.read_memory(tid, base + (at * PAGE) as u64, &mut page) {
            Ok(()) => image.extend(page),
            Err(error) if image.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(image)
}

/// The headers of the program that have a type (elf(5)), by their places.
fn headers(image: &[u8], kind: u64) -> impl Iterator<Item = u64> + '_ {
    let table = u64_at(image, 32).zip(u16_at(image, 54)).zip(u16_at(image, 56));
    let ((first, size), count) = table.unwrap_or_default();
    (0..count).map(move |index| first + index * size).filter(move |&at| u32_at(image, at) == Some(kind))
}

/// The value of a symbol, relative to the start of a shared object that is in memory as it is in its file.
fn symbol(image: &[u8], name: &[u8]) -> Option<u64> {
    const PT_DYNAMIC: u64 = 2;
    const DT_STRTAB: u64 = 5;
    const DT_SYMTAB: u64 = 6;
    const ENTRY: usize = 24;
    let dynamic = headers(image, PT_DYNAMIC).find_map(|at| u64_at(image, at + 8))?;
    let entries =
        || (dynamic..image.len() as u64).step_by(16).take_while(|&at| u64_at(image, at).is_some_and(|t| t != 0));
    let tagged = |tag| entries().find(|&at| u64_at(image, at) == Some(tag)).and_then(|at| u64_at(image, at + 8));
    let (names, symbols) = (tagged(DT_STRTAB)?, tagged(DT_SYMTAB)?);
    let is_named = |at: u64| {
        let text = names.checked_add(u32_at(image, at)?)?;
        let text = image.get(usize::try_from(text).ok()?..)?;
        text.strip_prefix(name).map(|rest| rest.first() == Some(&0))
    };
    // How many there are is told only to those who hash: the table ends with the image.
    let end = image.len() as u64;
    (symbols..end).step_by(ENTRY).find(|&at| is_named(at) == Some(true)).and_then(|at| u64_at(image, at + 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::sys;

    #[test]
    fn the_vdso_of_this_machine_tells_the_time() {
        let auxv = std::fs::read("/proc/self/auxv").unwrap();
        let own = std::process::id().cast_signed();
        let Some(base) = base(&auxv) else { return };
        let mut image = vec![0; 4096];
        sys::read_memory(own, base, &mut image).unwrap();
        let mut more = vec![0; 4096];
        if sys::read_memory(own, base + 4096, &mut more).is_ok() {
            image.extend(more);
        }
        let found = symbol(&image, b"__vdso_clock_gettime").unwrap();
        assert!(found > 0 && found < image.len() as u64, "{found:#x}");
        assert_eq!(symbol(&image, b"__vdso_clock"), None);
        // What is no such object has no symbols.
        assert_eq!(symbol(&image[..100], b"__vdso_clock_gettime"), None);
        assert_eq!(symbol(&[], b"__vdso_clock_gettime"), None);
    }
}
