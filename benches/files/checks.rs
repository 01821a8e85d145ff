//! Reads that begin after an acknowledged write and have to show it, or a later one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::acknowledged::{Acknowledged, Write};
use crate::client::Random;

/// One read at random, in one of several ways; an error says what was stale.
pub fn check(lab: &Path, acknowledged: &Acknowledged, random: &mut Random) -> Result<(), String> {
    let top = ["proc", "../procfs"][random.below(2)];
    match random.below(5) {
        0 => {
            let least = acknowledged.get(Write::Hostname);
            at_least(&lab.join(top).join("sys/kernel/hostname"), 'h', least, random.below(4))
        }
        1 => {
            let least = acknowledged.get(Write::Comm);
            at_least(&lab.join(top).join("3/comm"), 'a', least, random.below(4))
        }
        2 => {
            let least = acknowledged.get(Write::Made);
            let listed = fs::read_dir(lab.join("cgroup")).map_err(|error| format!("cgroup: {error}"))?;
            let names = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            let highest = names.filter_map(|name| name.strip_prefix('c')?.parse::<u64>().ok()).max();
            match highest {
                Some(highest) if highest >= least => Ok(()),
                // Another one may have come and gone during the listing, never all of them.
                _ if least == 0 || acknowledged.get(Write::Made) > least => Ok(()),
                seen => Err(format!("stale: cgroup lists {seen:?} as the last, c{least} was made")),
            }
        }
        3 => {
            let removed = acknowledged.get(Write::Removed);
            is_gone(&lab.join(format!("cgroup/c{removed}")))
        }
        _ => {
            let dead = acknowledged.get(Write::Dead);
            let tops = ["proc", "ctl", "as", "../procfs"];
            // Under its own number a program finds what `self` leads to.
            if [0, u64::from(std::process::id())].contains(&dead) {
                return Ok(());
            }
            is_gone(&lab.join(tops[random.below(tops.len())]).join(dead.to_string()))
        }
    }
}

fn is_gone(name: &Path) -> Result<(), String> {
    match fs::symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        seen => {
            let link = fs::read_link(name);
            let later = fs::symlink_metadata(name).map(|file| file.file_type());
            Err(format!("stale: {} is gone: {seen:?}, link to {link:?}, {later:?} later", name.display()))
        }
    }
}

fn at_least(path: &Path, letter: char, least: u64, way: usize) -> Result<(), String> {
    let ways: [fn(&File) -> io::Result<String>; 4] = [read, pread, splice, map];
    let seen = File::open(path).and_then(|file| ways[way](&file));
    let number = seen.as_ref().ok().and_then(|text| text.trim_end().strip_prefix(letter)?.parse::<u64>().ok());
    match number {
        Some(number) if number >= least => Ok(()),
        // Before the first write it has another name.
        _ if least == 0 => Ok(()),
        _ => Err(format!("stale: {} shows {seen:?} in way {way} after {letter}{least}", path.display())),
    }
}

fn read(mut file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text).map(|_| text)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pread(file: &File) -> io::Result<String> {
    let mut bytes = [0; 100];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(text(&bytes[..read]))
}

fn splice(file: &File) -> io::Result<String> {
    let (mut read, write) = io::pipe()?;
    // SAFETY: both descriptors are open.
    let moved = unsafe {
        libc::splice(file.as_raw_fd(), std::ptr::null_mut(), write.as_raw_fd(), std::ptr::null_mut(), 100, 0)
    };
    drop(write);
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut text = String::new();
    read.read_to_string(&mut text).map(|_| text)
}

fn map(file: &File) -> io::Result<String> {
    let size = file.metadata()?.len() as usize;
    if size == 0 {
        return Ok("no size".to_owned());
    }
    // SAFETY: a new mapping of a page; the file does not get shorter than a byte, and it is unmapped after its use.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0);
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let seen = text(std::slice::from_raw_parts(start.cast(), size.min(4096)));
        libc::munmap(start, 4096);
        Ok(seen)
    }
}
