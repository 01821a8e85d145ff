//! The data of mount(2): options that belong to a superblock.

use std::fmt::Write as _;

use crate::bail;
use crate::errno::Result;

/// Size of a page, bytes; sizes are in whole pages.
const PAGE: u64 = 4096;
/// The memory of the lab, bytes: what a size in percent is of.
const MEMORY: u64 = 4 << 30;

/// Whom an instance of `proc` hides from those who may not look into them (`enum proc_hidepid`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HidePid {
    #[default]
    Off,
    /// What is in the directories of processes.
    NoAccess,
    /// The processes.
    Invisible,
    /// Those that the reader may not trace, whatever his groups.
    NotPtraceable,
}

impl HidePid {
    /// The numbers and names of the option `hidepid`.
    const NAMES: [(&str, &str, HidePid); 4] = [
        ("0", "off", HidePid::Off),
        ("1", "noaccess", HidePid::NoAccess),
        ("2", "invisible", HidePid::Invisible),
        ("4", "ptraceable", HidePid::NotPtraceable),
    ];

    fn of(value: &str) -> Option<HidePid> {
        let named = HidePid::NAMES.iter().find(|(number, name, _)| [*number, *name].contains(&value));
        named.map(|(_, _, hide)| *hide)
    }

    fn name(self) -> &'static str {
        HidePid::NAMES.iter().find(|(_, _, hide)| *hide == self).map_or("", |(_, name, _)| *name)
    }
}

/// What `proc` is mounted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcOptions {
    pub hide_pid: HidePid,
    /// The kernel id of the group that nothing is hidden from.
    pub gid: u32,
    /// `subset=pid`: it has nothing but processes. It is shown, and has the rest all the same.
    is_subset: bool,
}

/// Options of a superblock that are shown. Each type has some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SbOptions {
    /// Bytes.
    pub size: Option<u64>,
    pub nr_inodes: Option<u64>,
    /// Of the root directory.
    pub mode: Option<u16>,
    /// Owner of the root directory, kernel ids.
    pub uid: u32,
    pub gid: u32,
    /// Options that are shown as they were given.
    pub words: Vec<String>,
    /// SB_SYNCHRONOUS, SB_DIRSYNC, SB_MANDLOCK, SB_LAZYTIME by name, in the order shown.
    pub sb_flags: Vec<&'static str>,
    /// The mode and owner of the root directory are options of the type.
    pub shows_owner: bool,
    pub proc: ProcOptions,
}

impl SbOptions {
    /// What mountinfo and mounts show behind `ro` or `rw`: `,size=1024k,mode=700` (`shmem_show_options`).
    pub fn shown(&self) -> String {
        let mut text = String::new();
        if let Some(size) = self.size {
            let _ = write!(text, ",size={}k", size.div_ceil(PAGE) * (PAGE / 1024));
        }
        if let Some(nr_inodes) = self.nr_inodes {
            let _ = write!(text, ",nr_inodes={nr_inodes}");
        }
        if let Some(mode) = self.mode.filter(|&mode| self.shows_owner && mode != 0o1777) {
            let _ = write!(text, ",mode={mode:03o}");
        }
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if self.shows_owner && id != 0 {
                let _ = write!(text, ",{name}={id}");
            }
        }
        for word in &self.words {
            let _ = write!(text, ",{word}");
        }
        text
    }
}

/// A type without options.
pub(super) fn none(options: SbOptions, data: &[u8]) -> Result<SbOptions> {
    each(data, |key, _| bail!(EINVAL, "the file system has no option {}", key.to_owned()))?;
    Ok(options)
}

pub(super) fn tmpfs(mut options: SbOptions, data: &[u8]) -> Result<SbOptions> {
    options.shows_owner = true;
    each(data, |key, value| {
        match key {
            "size" => options.size = Some(size(value)?),
            "nr_blocks" => options.size = Some(size(value)?.saturating_mul(PAGE)),
            "nr_inodes" => options.nr_inodes = Some(size(value)?),
            "mode" => options.mode = Some(octal(value)?),
            "uid" => options.uid = number(value)?,
            "gid" => options.gid = number(value)?,
            _ => bail!(EINVAL, "tmpfs has no option {}", key.to_owned()),
        }
        Ok(())
    })?;
    Ok(options)
}

/// Unknown options are ignored, as Linux does for compatibility.
pub(super) fn ramfs(mut options: SbOptions, data: &[u8]) -> Result<SbOptions> {
    each(data, |key, value| {
        if key == "mode" {
            options.mode = Some(octal(value)?);
            options.words.push(format!("mode={value}"));
        }
        Ok(())
    })?;
    Ok(options)
}

pub(super) fn proc(mut options: SbOptions, data: &[u8]) -> Result<SbOptions> {
    let mut given = options.proc;
    each(data, |key, value| {
        match (key, HidePid::of(value)) {
            ("hidepid", Some(hide)) => given.hide_pid = hide,
            ("gid", _) => given.gid = number(value)?,
            ("subset", _) if value == "pid" => given.is_subset = true,
            _ => bail!(EINVAL, "proc has no option {} or not this value", key.to_owned()),
        }
        Ok(())
    })?;
    options.proc = given;
    // `proc_show_options`
    let gid = (given.gid != 0).then(|| format!("gid={}", given.gid));
    let hide_pid = (given.hide_pid != HidePid::Off).then(|| format!("hidepid={}", given.hide_pid.name()));
    options.words = gid.into_iter().chain(hide_pid).chain(given.is_subset.then(|| "subset=pid".to_owned())).collect();
    Ok(options)
}

pub(super) fn devpts(mut options: SbOptions, data: &[u8]) -> Result<SbOptions> {
    let mut shown = [("mode", 0o600), ("ptmxmode", 0)];
    each(data, |key, value| {
        match (key, shown.iter_mut().find(|(name, _)| *name == key)) {
            (_, Some((_, mode))) => *mode = octal(value)?,
            ("uid" | "gid" | "max", _) => drop(number(value)?),
            ("newinstance", _) => {}
            _ => bail!(EINVAL, "devpts has no option {}", key.to_owned()),
        }
        Ok(())
    })?;
    options.words = shown.iter().map(|(name, mode)| format!("{name}={mode:03o}")).collect();
    Ok(options)
}

/// Namespace roots are borders of delegation.
pub(super) const NSDELEGATE: &str = "nsdelegate";

pub(super) fn cgroup2(mut options: SbOptions, data: &[u8]) -> Result<SbOptions> {
    const KNOWN: [&str; 4] = [NSDELEGATE, "favordynmods", "memory_localevents", "memory_recursiveprot"];
    each(data, |key, _| {
        if !KNOWN.contains(&key) {
            bail!(EINVAL, "cgroup2 has no option {}", key.to_owned());
        }
        options.words.push(key.to_owned());
        Ok(())
    })?;
    Ok(options)
}

/// Calls `take` with each option's name and value.
fn each<'d>(data: &'d [u8], mut take: impl FnMut(&'d str, &'d str) -> Result<()>) -> Result<()> {
    let Ok(text) = std::str::from_utf8(data) else { bail!(EINVAL, "the options are not text") };
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        take(key, value)?;
    }
    Ok(())
}

/// A number with a unit (`memparse`), or percents of the memory.
fn size(value: &str) -> Result<u64> {
    if let Some(percent) = value.strip_suffix('%') {
        return Ok(MEMORY * u64::from(number(percent)?) / 100);
    }
    let (digits, shift) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (&value[..at], 10),
        Some((at, 'm' | 'M')) => (&value[..at], 20),
        Some((at, 'g' | 'G')) => (&value[..at], 30),
        _ => (value, 0),
    };
    match digits.parse::<u64>() {
        Ok(count) => Ok(count.saturating_mul(1 << shift)),
        Err(_) => bail!(EINVAL, "{} is no size", value.to_owned()),
    }
}

fn number(value: &str) -> Result<u32> {
    match value.parse() {
        Ok(number) => Ok(number),
        Err(_) => bail!(EINVAL, "{} is no number of 32 bits", value.to_owned()),
    }
}

fn octal(value: &str) -> Result<u16> {
    match u16::from_str_radix(value, 8) {
        Ok(mode) => Ok(mode & 0o7777),
        Err(_) => bail!(EINVAL, "{} is no mode", value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data: &str) -> String {
        tmpfs(SbOptions::default(), data.as_bytes()).unwrap().shown()
    }

    #[test]
    fn tmpfs_shows_sizes_in_kibibytes_and_modes_in_octal() {
        assert_eq!(shown("mode=700,size=1m"), ",size=1024k,mode=700");
        assert_eq!(shown("size=5000"), ",size=8k");
        assert_eq!(shown("size=50%"), ",size=2097152k");
        assert_eq!(shown("mode=1777"), "");
        assert_eq!(shown("gid=6,uid=5,nr_inodes=1k"), ",nr_inodes=1024,uid=5,gid=6");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn proc_shows_who_is_hidden_by_name() {
        let given = |before: SbOptions, data: &str| proc(before, data.as_bytes()).unwrap();
        let first = given(SbOptions::default(), "hidepid=2,gid=5");
        assert_eq!((first.shown().as_str(), first.proc.hide_pid), (",gid=5,hidepid=invisible", HidePid::Invisible));
        // A later mount changes what it names.
        assert_eq!(given(first.clone(), "hidepid=off,subset=pid").shown(), ",gid=5,subset=pid");
        assert_eq!(given(first, "gid=0,hidepid=ptraceable").shown(), ",hidepid=ptraceable");
        assert!(proc(SbOptions::default(), b"hidepid=3").is_err());
    }

    #[test]
    fn unknown_options_are_refused_but_by_ramfs() {
        for parse in [none, tmpfs, proc, devpts, cgroup2] {
            assert!(parse(SbOptions::default(), b"bogus").is_err());
        }
        assert_eq!(ramfs(SbOptions::default(), b"bogus=1").unwrap(), SbOptions::default());
        assert!(tmpfs(SbOptions::default(), b"size=x").is_err());
    }
}
