//! Files of `proc` about a machine that has a disk, a console and one node of memory, and on which nothing happens.

use std::fmt::Write as _;

use super::system::CPUS;
use crate::errno::Result;
use crate::tree::look::Look;

/// Drivers by major number (`devinfo_show`).
pub(in crate::tree) fn devices(_: &Look<'_>) -> Result<Vec<u8>> {
    const CHARACTER: [(u8, &str); 9] = [
        (1, "mem"),
        (4, "/dev/vc/0"),
        (4, "tty"),
        (4, "ttyS"),
        (5, "/dev/tty"),
        (5, "/dev/console"),
        (5, "/dev/ptmx"),
        (10, "misc"),
        (136, "pts"),
    ];
    const BLOCK: [(u8, &str); 2] = [(7, "loop"), (254, "virtblk")];
    let lines = |drivers: &[(u8, &str)]| drivers.iter().map(|(major, name)| format!("{major:3} {name}\n")).collect();
    let [character, block]: [String; 2] = [lines(&CHARACTER), lines(&BLOCK)];
    Ok(format!("Character devices:\n{character}\nBlock devices:\n{block}").into_bytes())
}

/// Drivers of the major number 10 by minor number (`misc_seq_show`).
pub(in crate::tree) fn misc(_: &Look<'_>) -> Result<Vec<u8>> {
    const DRIVERS: [(u8, &str); 3] = [(229, "fuse"), (200, "tun"), (237, "loop-control")];
    Ok(DRIVERS.iter().map(|(minor, name)| format!("{minor:3} {name}\n")).collect::<String>().into_bytes())
}

/// Nobody was ever scheduled. No domains: the processors are alike (`show_schedstat`).
pub(in crate::tree) fn schedstat(_: &Look<'_>) -> Result<Vec<u8>> {
    let cpus = (0..CPUS).map(|cpu| format!("cpu{cpu} 0 0 0 0 0 0 0 0 0\n")).collect::<String>();
    Ok(format!("version 17\ntimestamp 4294892296\n{cpus}").into_bytes())
}

/// A zone of memory, in pages. With the others it makes what `meminfo` has as MemTotal and MemFree.
struct Zone {
    name: &'static str,
    start: u64,
    managed: u64,
    free: u64,
    /// What is kept from those who could use another zone.
    protection: u64,
}

const ZONES: [Zone; 2] = [
    Zone { name: "DMA", start: 1, managed: 3840, free: 3840, protection: 4036 },
    Zone { name: "DMA32", start: 4096, managed: 1_044_736, free: 979_200, protection: 0 },
];

/// Pages of the largest block, and how many sizes of blocks there are (`MAX_PAGE_ORDER`).
const BLOCK_MAX: u64 = 1024;
const ORDERS: usize = 11;

/// Free blocks of each size, in columns; all are of the largest but what is left (`frag_show`).
pub(in crate::tree) fn buddyinfo(_: &Look<'_>) -> Result<Vec<u8>> {
    let line = |zone: &Zone| {
        let rest = (0..ORDERS - 1).map(|order| (zone.free % BLOCK_MAX) >> order & 1);
        let columns: String = rest.chain([zone.free / BLOCK_MAX]).map(|count| format!("{count:6} ")).collect();
        format!("Node 0, zone {:>8} {columns}\n", zone.name)
    };
    Ok(ZONES.iter().map(line).collect::<String>().into_bytes())
}

/// Counters in pages that agree with `meminfo` and `vmstat` (`zoneinfo_show`).
pub(in crate::tree) fn zoneinfo(_: &Look<'_>) -> Result<Vec<u8>> {
    const OF_NODE: [(&str, u64); 20] = [
        ("nr_inactive_anon", 2048),
        ("nr_active_anon", 2048),
        ("nr_inactive_file", 14_336),
        ("nr_active_file", 14_336),
        ("nr_unevictable", 0),
        ("nr_slab_reclaimable", 4096),
        ("nr_slab_unreclaimable", 4096),
        ("nr_isolated_anon", 0),
        ("nr_isolated_file", 0),
        ("nr_anon_pages", 4096),
        ("nr_mapped", 2048),
        ("nr_file_pages", 32_768),
        ("nr_dirty", 0),
        ("nr_writeback", 0),
        ("nr_shmem", 1024),
        ("nr_vmscan_write", 0),
        ("nr_dirtied", 0),
        ("nr_written", 0),
        ("nr_kernel_stack", 1024),
        ("nr_page_table_pages", 512),
    ];
    let mut text = String::new();
    for (at, zone) in ZONES.iter().enumerate() {
        let _ = writeln!(text, "Node 0, zone {:>8}", zone.name);
        if at == 0 {
            text.push_str("  per-node stats\n");
            OF_NODE.iter().for_each(|(name, count)| writeln!(text, "      {name:<12} {count}").unwrap_or_default());
        }
        let Zone { start, managed, free, protection, .. } = zone;
        let (min, span) = (managed / 512, managed + 158);
        let watermarks =
            [("boost", 0), ("min", min), ("low", min * 5 / 4), ("high", min * 3 / 2), ("promo", min * 7 / 4)];
        let _ = writeln!(text, "  pages free     {free}");
        let sizes = [("spanned", span), ("present", span), ("managed", *managed), ("cma", 0)];
        for (name, pages) in watermarks.into_iter().chain(sizes) {
            let _ = writeln!(text, "        {name:<8} {pages}");
        }
        let _ = writeln!(text, "        protection: (0, {protection}, {protection}, {protection})");
        for (name, count) in [
            ("nr_free_pages", *free),
            ("nr_mlock", 0),
            ("nr_free_cma", 0),
            ("numa_hit", 0),
            ("numa_miss", 0),
            ("numa_foreign", 0),
            ("numa_local", 0),
            ("numa_other", 0),
        ] {
            let _ = writeln!(text, "      {name:<12} {count}");
        }
        text.push_str("  pagesets\n");
        for cpu in 0..CPUS {
            let _ = write!(
                text,
                "    cpu: {cpu}\n              count:    0\n              high:     0\n              batch:    1\n"
            );
        }
        let _ = write!(text, "  node_unreclaimable:  0\n  start_pfn:           {start}\n");
    }
    Ok(text.into_bytes())
}

/// Dentries, unused ones, age limit, pages wanted, negative ones (`dentry_stat`).
pub(in crate::tree) fn dentry_state(look: &Look<'_>) -> Result<Vec<u8>> {
    Ok(format!("{}\t0\t45\t0\t0\t0\n", look.k.vfs.dentries.len()).into_bytes())
}

/// Inodes, unused ones, and five numbers that are not used (`inodes_stat`).
pub(in crate::tree) fn inode_state(look: &Look<'_>) -> Result<Vec<u8>> {
    Ok(format!("{}\t0\t0\t0\t0\t0\t0\n", look.k.vfs.dentries.len()).into_bytes())
}

/// Inodes and unused ones.
pub(in crate::tree) fn inode_nr(look: &Look<'_>) -> Result<Vec<u8>> {
    Ok(format!("{}\t0\n", look.k.vfs.dentries.len()).into_bytes())
}

/// How many terminals there may be in all instances of devpts.
pub(in crate::tree) fn pty_max(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"4096\n".to_vec())
}

/// How many of them are for the initial instance.
pub(in crate::tree) fn pty_reserve(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"1024\n".to_vec())
}

/// Nobody has a terminal.
pub(in crate::tree) fn pty_nr(_: &Look<'_>) -> Result<Vec<u8>> {
    Ok(b"0\n".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::tree::{ROOT, Viewer};

    #[test]
    fn zones_have_all_memory() {
        assert_eq!(ZONES.iter().map(|zone| zone.managed).sum::<u64>() * 4, 4_194_304);
        assert_eq!(ZONES.iter().map(|zone| zone.free).sum::<u64>() * 4, 3_932_160);
        let k = Kernel::boot();
        let text = buddyinfo(&Look::now(&k, Viewer(k.init.task), ROOT).unwrap()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let pages = |line: &str| -> u64 {
            let counts = line.split_whitespace().skip(4).map(|count| count.parse::<u64>().unwrap());
            counts.enumerate().map(|(order, count)| count << order).sum()
        };
        assert_eq!(text.lines().map(pages).collect::<Vec<_>>(), ZONES.map(|zone| zone.free));
    }
}
