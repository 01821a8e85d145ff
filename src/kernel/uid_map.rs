//! Id maps of user namespaces (`kernel/user_namespace.c`): lookup both ways, and the text written to a map file.

use super::scan::{Scanner, until_nul};
use crate::bail;
use crate::errno::Result;

/// Lines a map may have (`UID_GID_MAP_MAX_EXTENTS`).
pub const MAP_MAX_EXTENTS: usize = 340;
/// Up to this many extents are looked up, and shown, in the order written (`UID_GID_MAP_MAX_BASE_EXTENTS`).
const MAP_MAX_UNSORTED: usize = 5;

/// `count` ids from `first` on inside are `lower` on outside. `lower_first` is stored as a kernel id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub first: u32,
    pub lower_first: u32,
    pub count: u32,
}

/// A map; empty until written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UidGidMap {
    pub extents: Vec<Extent>,
}

/// Which of the three maps of a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapKind {
    Uid,
    Gid,
    Projid,
}

impl UidGidMap {
    /// A map of these extents; more than five are kept sorted by inside id (`sort_idmaps`).
    pub fn new(mut extents: Vec<Extent>) -> UidGidMap {
        if extents.len() > MAP_MAX_UNSORTED {
            extents.sort_by_key(|e| e.first);
        }
        UidGidMap { extents }
    }

    /// Not written yet.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// The map of the initial user namespace: every id but -1 onto itself.
    pub fn identity() -> UidGidMap {
        UidGidMap { extents: vec![Extent { first: 0, lower_first: 0, count: u32::MAX }] }
    }

    /// Inside id to kernel id (`map_id_down`); `None` if unmapped.
    pub fn map_id_down(&self, id: u32) -> Option<u32> {
        self.extents.iter().find(|e| id >= e.first && id - e.first < e.count).map(|e| e.lower_first + (id - e.first))
    }

    /// The kernel id of the first of `count` inside ids, if one extent maps them all (`map_id_range_down`).
    pub fn map_id_range_down(&self, first: u32, count: u32) -> Option<u32> {
        let is_covered =
            |e: &Extent| first >= e.first && u64::from(first - e.first) + u64::from(count) <= e.count.into();
        self.extents.iter().find(|e| is_covered(e)).map(|e| e.lower_first + (first - e.first))
    }

    /// Kernel id to inside id (`map_id_up`); `None` if unmapped.
    pub fn map_id_up(&self, id: u32) -> Option<u32> {
        self.extents
            .iter()
            .find(|e| id >= e.lower_first && id - e.lower_first < e.count)
            .map(|e| e.first + (id - e.lower_first))
    }
}

impl Extent {
    /// `inside lower count`, decimal, taken modulo 2^32 each.
    fn parse(line: &[u8]) -> Option<Extent> {
        let mut scan = Scanner::new(line);
        let mut field = || {
            scan.skip_spaces();
            let number = scan.wrapping_decimal()?;
            (scan.is_at_space() || scan.is_at_end()).then_some(number as u32)
        };
        let extent = Extent { first: field()?, lower_first: field()?, count: field()? };
        scan.skip_spaces();
        scan.is_at_end().then_some(extent)
    }

    /// Some inside id, or some outside id, is in both.
    fn overlaps(&self, other: &Extent) -> bool {
        let meet = |a: u32, b: u32| a < b + other.count && b < a + self.count;
        meet(self.first, other.first) || meet(self.lower_first, other.lower_first)
    }

    fn is_wrapping(&self) -> bool {
        let wraps = |first: u32| first.checked_add(self.count).is_none();
        self.count == 0 || wraps(self.first) || wraps(self.lower_first)
    }
}

/// Reads what was written to a map file: a line for each extent, in the order of the lines, outside ids as written
/// (`map_write`).
///
/// # Errors
/// EINVAL: syntax, an id that is none, an empty or wrapping range, overlapping lines, more than 340 lines.
pub fn parse_map(text: &[u8]) -> Result<Vec<Extent>> {
    let text = until_nul(text);
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&b| b == b'\n');
    let mut extents: Vec<Extent> = Vec::new();
    for (number, line) in (1u32..).zip(lines) {
        let Some(extent) = Extent::parse(line) else {
            bail!(EINVAL, "line {}: not three decimal numbers", number);
        };
        if extent.first == u32::MAX || extent.lower_first == u32::MAX {
            bail!(EINVAL, "line {}: 4294967295 is no id", number);
        }
        if extent.is_wrapping() {
            bail!(EINVAL, "line {}: the range is empty or goes beyond 4294967295", number);
        }
        if extents.iter().any(|other| extent.overlaps(other)) {
            bail!(EINVAL, "line {}: overlaps a line before", number);
        }
        if extents.len() == MAP_MAX_EXTENTS {
            bail!(EINVAL, "more than {} lines", MAP_MAX_EXTENTS);
        }
        extents.push(extent);
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(first: u32, lower_first: u32, count: u32) -> Extent {
        Extent { first, lower_first, count }
    }

    fn accepts(text: &str) -> bool {
        parse_map(text.as_bytes()).is_ok()
    }

    #[test]
    fn white_space_is_free_and_the_last_newline_optional() {
        for text in ["0 0 1", "   0 0 1", "0 0 1  \n", "0\t0\x0b1\n", "0 0 1\n1 1 1", "0 0 1\0junk"] {
            assert!(accepts(text), "{text:?}");
        }
        for text in ["", "\n", " ", "0 0 1\n\n", "0 0 1\n ", "\n0 0 1", "0 0", "0 0 1 1", "0 0 1 x", "0 0 1x"] {
            assert!(!accepts(text), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_plain_decimal() {
        for text in ["-1 0 1", "+0 0 1", "0x0 0 1", "0,0,1"] {
            assert!(!accepts(text), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_cut_to_32_bits() {
        assert_eq!(parse_map(b"4294967301 7 1").ok(), Some(vec![extent(5, 7, 1)]));
        assert!(!accepts("0 0 4294967296"));
    }

    #[test]
    fn ranges_end_below_the_id_that_is_none() {
        for text in ["0 0 4294967295", "4294967294 0 1", "0 4294967294 1"] {
            assert!(accepts(text), "{text:?}");
        }
        for text in ["0 0 0", "4294967295 0 1", "0 4294967295 1", "4294967294 0 2", "0 4294967294 2"] {
            assert!(!accepts(text), "{text:?}");
        }
    }

    #[test]
    fn lines_must_not_overlap_on_either_side() {
        assert!(accepts("0 0 10\n10 10 10"));
        assert!(!accepts("0 0 10\n9 10 1"));
        assert!(!accepts("0 0 10\n10 9 1"));
        assert!(!accepts("5 5 1\n0 0 10"));
    }

    #[test]
    fn a_map_has_at_most_340_lines() {
        let lines = |n: u32| (0..n).map(|i| format!("{i} {i} 1\n")).collect::<String>();
        assert!(accepts(&lines(340)));
        assert!(!accepts(&lines(341)));
    }

    #[test]
    fn more_than_five_extents_are_sorted() {
        let written = |n: u32| (0..n).map(|i| extent(n - i, i, 1)).collect::<Vec<_>>();
        assert_eq!(UidGidMap::new(written(5)).extents, written(5));
        assert_eq!(UidGidMap::new(written(6)).extents[0], extent(1, 5, 1));
    }

    #[test]
    fn a_range_maps_only_inside_one_extent() {
        let map = UidGidMap::new(vec![extent(0, 100, 10), extent(10, 110, 10)]);
        assert_eq!(map.map_id_range_down(3, 7), Some(103));
        assert_eq!(map.map_id_range_down(10, 10), Some(110));
        assert_eq!(map.map_id_range_down(5, 6), None);
        assert_eq!(map.map_id_range_down(20, 1), None);
        assert_eq!((map.map_id_down(19), map.map_id_up(119)), (Some(119), Some(19)));
    }
}
