//! What those who use a mount may use up of the process that serves it. The objects of the lab have bounds of their own
//! (`--max-tasks`, `--max-memory`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::err;
use crate::errno::Result;

/// As many times more than one user may have open, all users together that may not write may.
pub(super) const OTHERS: u64 = 4;
/// Programs that write through a buffer of this many bytes, or a multiple, cut lines where it is full.
pub(super) const BUFFER: u64 = 4096;

/// The bounds of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many files and directories one user of the host may have open.
    pub open_files: u64,
    /// How much content, in bytes, open files keep: those of the user who mounted and of root, and those of all others.
    pub renderings: u64,
    /// How many names a directory may have for those who list it.
    pub listing: u64,
    /// How many bytes of `ctl/batch` one write executes.
    pub batch: u64,
    /// How many inodes the host's kernel may keep before it is made to forget those that nobody uses.
    pub inodes: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { open_files: 1 << 16, renderings: 1 << 30, listing: 1 << 23, batch: 1 << 16, inodes: 1 << 20 }
    }
}

impl Bounds {
    /// Takes a mount option, `max_listing=1000` for example; `None`: no bound has this name, or
    /// the value is 0 or not a size.
    pub(super) fn add(&mut self, word: &str) -> Option<()> {
        let (name, size) = word.split_once('=')?;
        let bound = self.bound(name)?;
        *bound = parse_size(size)?;
        // Only whole buffers: a line that a writer's buffer has cut is known by their length.
        self.batch = self.batch.next_multiple_of(BUFFER);
        Some(())
    }

    fn bound(&mut self, name: &str) -> Option<&mut u64> {
        match name {
            "max_open_files" => Some(&mut self.open_files),
            "max_renderings" => Some(&mut self.renderings),
            "max_inodes" => Some(&mut self.inodes),
            "max_listing" => Some(&mut self.listing),
            "max_batch" => Some(&mut self.batch),
            _ => None,
        }
    }

    /// The name of the bound that a mount option is about, whatever value it gives.
    pub fn named(word: &str) -> Option<&str> {
        let name = word.split('=').next()?;
        Bounds::default().bound(name).map(|_| name)
    }
}

/// A number above 0, or one with K, M, G or T behind it.
pub fn parse_size(word: &str) -> Option<u64> {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &word[number.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|&size| size > 0)
}

/// Room for what open files keep.
#[derive(Debug)]
pub(super) struct Purse {
    max: u64,
    used: AtomicU64,
}

/// A part of a purse, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    purse: Arc<Purse>,
    bytes: u64,
}

impl Purse {
    pub(super) fn new(max: u64) -> Arc<Purse> {
        Arc::new(Purse { max, used: AtomicU64::new(0) })
    }

    /// # Errors
    /// ENOMEM: there is no room, as of read(2) and getdents(2) where Linux has no memory for what they give.
    pub(super) fn charge(self: &Arc<Purse>, bytes: usize) -> Result<Charge> {
        let bytes = bytes as u64;
        // Given back by the drop, also if it does not fit.
        let charge = Charge { purse: Arc::clone(self), bytes };
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.max {
            return Err(err!(ENOMEM, "open files keep {} bytes of content, the limit (max_renderings)", self.max));
        }
        Ok(charge)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.purse.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    #[test]
    fn a_purse_gets_back_what_was_charged_and_what_was_refused() {
        let purse = Purse::new(10);
        let charge = purse.charge(6).unwrap();
        assert_eq!(purse.charge(5).unwrap_err().errno, Errno::ENOMEM);
        assert!(purse.charge(4).is_ok());
        drop(charge);
        assert!(purse.charge(10).is_ok());
    }

    #[test]
    fn a_size_is_a_number_above_nothing() {
        assert_eq!(["7", "2K", "1g"].map(parse_size), [Some(7), Some(2048), Some(1 << 30)]);
        assert_eq!(["0", "", "K", "-1", "1x", "1 K", "99999999T"].map(parse_size), [None; 7]);
    }

    #[test]
    fn a_batch_is_cut_at_whole_buffers() {
        let mut bounds = Bounds::default();
        assert_eq!((bounds.add("max_batch=1"), bounds.batch), (Some(()), BUFFER));
        assert_eq!((bounds.add("max_batch=5K"), bounds.batch), (Some(()), 2 * BUFFER));
        assert_eq!((bounds.add("max_listing=0"), bounds.add("max_frob=1"), bounds.add("ro")), (None, None, None));
    }
}
