//! Arguments of the mount calls: the words of mount(8) become the flags and the data of mount(2).

use super::args::Args;
use super::lex::quote;
use super::target::{self, Target};
use super::word::{self, choose, unexpected};
use crate::errno::Result;
use crate::kernel::mount::flags::{MsFlags, UmountFlags};
use crate::kernel::mount::recorded::RecordedMount;
use crate::syscall::mount::{MountArgs, MoveMountFlags};
use crate::syscall::{AnyCall, LabCall, Syscall};

/// A word of `-o`: the flags it sets or clears.
enum OptionWord {
    Set(MsFlags),
    Clear(MsFlags),
}

use OptionWord::{Clear, Set};

const REC: MsFlags = MsFlags::REC;

/// The words that are flags (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS").
static OPTION_WORDS: &[(&str, OptionWord)] = &[
    ("defaults", Set(MsFlags::empty())),
    ("ro", Set(MsFlags::RDONLY)),
    ("rw", Clear(MsFlags::RDONLY)),
    ("nosuid", Set(MsFlags::NOSUID)),
    ("suid", Clear(MsFlags::NOSUID)),
    ("nodev", Set(MsFlags::NODEV)),
    ("dev", Clear(MsFlags::NODEV)),
    ("noexec", Set(MsFlags::NOEXEC)),
    ("exec", Clear(MsFlags::NOEXEC)),
    ("sync", Set(MsFlags::SYNCHRONOUS)),
    ("async", Clear(MsFlags::SYNCHRONOUS)),
    ("dirsync", Set(MsFlags::DIRSYNC)),
    ("mand", Set(MsFlags::MANDLOCK)),
    ("nomand", Clear(MsFlags::MANDLOCK)),
    ("noatime", Set(MsFlags::NOATIME)),
    ("atime", Clear(MsFlags::NOATIME)),
    ("nodiratime", Set(MsFlags::NODIRATIME)),
    ("diratime", Clear(MsFlags::NODIRATIME)),
    ("relatime", Set(MsFlags::RELATIME)),
    ("norelatime", Clear(MsFlags::RELATIME)),
    ("strictatime", Set(MsFlags::STRICTATIME)),
    ("nostrictatime", Clear(MsFlags::STRICTATIME)),
    ("lazytime", Set(MsFlags::LAZYTIME)),
    ("nolazytime", Clear(MsFlags::LAZYTIME)),
    ("nosymfollow", Set(MsFlags::NOSYMFOLLOW)),
    ("symfollow", Clear(MsFlags::NOSYMFOLLOW)),
    ("silent", Set(MsFlags::SILENT)),
    ("loud", Clear(MsFlags::SILENT)),
    ("remount", Set(MsFlags::REMOUNT)),
    ("bind", Set(MsFlags::BIND)),
    ("rbind", Set(MsFlags::BIND.union(REC))),
    ("rec", Set(REC)),
    ("move", Set(MsFlags::MOVE)),
    ("shared", Set(MsFlags::SHARED)),
    ("rshared", Set(MsFlags::SHARED.union(REC))),
    ("slave", Set(MsFlags::SLAVE)),
    ("rslave", Set(MsFlags::SLAVE.union(REC))),
    ("private", Set(MsFlags::PRIVATE)),
    ("rprivate", Set(MsFlags::PRIVATE.union(REC))),
    ("unbindable", Set(MsFlags::UNBINDABLE)),
    ("runbindable", Set(MsFlags::UNBINDABLE.union(REC))),
];

/// The words of umount that are flags.
const UMOUNT_FLAGS: &[(&str, UmountFlags)] = &[
    ("-l", UmountFlags::DETACH),
    ("-f", UmountFlags::FORCE),
    ("--expire", UmountFlags::EXPIRE),
    ("--nofollow", UmountFlags::NOFOLLOW),
];

/// Flags, and the other words as data.
fn options(text: &str) -> (MsFlags, Vec<u8>) {
    let (mut flags, mut data) = (MsFlags::empty(), Vec::new());
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match OPTION_WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, Set(set))) => flags |= *set,
            Some((_, Clear(clear))) => flags -= *clear,
            None => data.push(word),
        }
    }
    (flags, data.join(",").into_bytes())
}

pub(super) fn mount(args: &mut Args<'_>) -> Result<AnyCall> {
    let first = args.bytes("TYPE or -o")?;
    let operation = first.strip_prefix(b"--").and_then(|word| std::str::from_utf8(word).ok());
    match (first, operation) {
        (b"-o", _) => flagged(args).map(AnyCall::Linux),
        (_, Some(word)) => {
            let flags = operation_flags(word)?;
            let source = if flags.intersects(MsFlags::TYPES) { None } else { Some(args.bytes("SRC")?.to_vec()) };
            let target = args.bytes("DST")?.to_vec();
            Ok(Syscall::Mount(MountArgs { source, target, fs_type: None, flags, data: Vec::new() }).into())
        }
        _ => {
            let source = Some(args.bytes("SOURCE")?.to_vec());
            let target = args.bytes("TARGET")?.to_vec();
            let mut text = args.optional_text()?.unwrap_or_default();
            if text == "-o" {
                text = args.text("OPTS")?;
            }
            let (flags, data) = options(text);
            let mount = MountArgs { source, target, fs_type: Some(first.to_vec()), flags, data };
            match seen(args, first)? {
                Some(_) if !mount.data.is_empty() => Err(unexpected("a flag of the mount", text)),
                Some(seen) => Ok(LabCall::MountAs { args: mount, seen }.into()),
                None => Ok(Syscall::Mount(mount).into()),
            }
        }
    }
}

/// `dev=MAJOR:MINOR [root=PATH] [shared=GROUP] [master=GROUP] [unbindable] [super=OPTS]`: what was seen of a superblock.
fn seen(args: &mut Args<'_>, fs: &[u8]) -> Result<Option<RecordedMount>> {
    let Some(device) = args.keyed("dev=") else { return Ok(None) };
    let device = word::text(device)?;
    let Some((major, minor)) = device.split_once(':') else { return Err(unexpected("dev=MAJOR:MINOR", device)) };
    let device = (word::number(major, "MAJOR")?, word::number(minor, "MINOR")?);
    let root = args.keyed("root=").unwrap_or(b"/").to_vec();
    let mut number = |key| args.keyed_number(key)?.map(|group| word::number(&group.to_string(), key)).transpose();
    let (shared, master) = (number("shared=")?, number("master=")?);
    let is_unbindable = args.take("unbindable");
    let mut words = word::text(args.keyed("super=").unwrap_or(b"rw"))?.split(',');
    let read_only = match words.next() {
        Some("ro") => true,
        Some("rw") => false,
        first => return Err(unexpected("super=ro or super=rw", first.unwrap_or_default())),
    };
    let words = words.map(str::to_owned).collect();
    let fs = word::text(fs)?.to_owned();
    let ns = match (&*fs, target::parse(&root)) {
        ("nsfs", Ok(Target::Ns { ns_type, inum })) => Some((ns_type, inum)),
        _ => None,
    };
    Ok(Some(RecordedMount { fs, device, root, ns, shared, master, is_unbindable, read_only, words }))
}

/// `--bind` and its like; `--make-rshared` and its like.
fn operation_flags(word: &str) -> Result<MsFlags> {
    let name = match word {
        "bind" | "rbind" | "move" => Some(word),
        _ => word.strip_prefix("make-"),
    };
    match name.map(options) {
        Some((flags, data)) if data.is_empty() && !flags.is_empty() => Ok(flags),
        _ => Err(unexpected("--bind, --rbind, --move or --make-TYPE", word)),
    }
}

/// One call with exactly these flags.
fn flagged(args: &mut Args<'_>) -> Result<Syscall> {
    let (flags, data) = options(args.text("FLAGS")?);
    let first = args.bytes("DST")?.to_vec();
    let (source, target) = match args.optional() {
        Some(target) => (Some(first), target.to_vec()),
        None => (None, first),
    };
    Ok(Syscall::Mount(MountArgs { source, target, fs_type: None, flags, data }))
}

pub(super) fn umount(args: &mut Args<'_>) -> Result<Syscall> {
    let mut flags = UmountFlags::empty();
    loop {
        let word = args.bytes("PATH")?;
        match std::str::from_utf8(word).ok().and_then(|word| choose(word, UMOUNT_FLAGS)) {
            Some(flag) => flags |= flag,
            None => return Ok(Syscall::Umount { path: word.to_vec(), flags }),
        }
    }
}

/// The words for a mount; `None`: some of its flags have none.
pub(super) fn words(MountArgs { source, target, fs_type, flags, data }: &MountArgs) -> Option<String> {
    let changes = MsFlags::BIND | MsFlags::MOVE | MsFlags::REMOUNT | MsFlags::TYPES;
    let mut left = *flags;
    let mut options = Vec::new();
    for (word, set) in OPTION_WORDS {
        let Set(set) = set else { continue };
        if set.bits().count_ones() == 1 && left.contains(*set) {
            left -= *set;
            options.push((*word).to_owned());
        }
    }
    if !left.is_empty() {
        return None;
    }
    let target = quote(target);
    match fs_type {
        Some(fs_type) if !flags.intersects(changes) => {
            let source = source.as_deref().unwrap_or(b"none");
            options.extend(Some(String::from_utf8(data.clone()).ok()?).filter(|data| !data.is_empty()));
            let options =
                if options.is_empty() { String::new() } else { format!(" -o {}", quote(options.join(",").as_bytes())) };
            Some(format!("mount {} {} {target}{options}", quote(fs_type), quote(source)))
        }
        _ => {
            let options = if options.is_empty() { "defaults".to_owned() } else { options.join(",") };
            let source = source.as_ref().map_or(String::new(), |source| format!("{} ", quote(source)));
            Some(format!("mount -o {options} {source}{target}"))
        }
    }
}

/// The words for an umount.
pub(super) fn umount_words(path: &[u8], flags: UmountFlags) -> String {
    let set = UMOUNT_FLAGS.iter().filter(|(_, flag)| flags.contains(*flag));
    format!("umount {}{}", set.map(|(word, _)| format!("{word} ")).collect::<String>(), quote(path))
}

pub(super) fn move_mount(args: &mut Args<'_>) -> Result<Syscall> {
    let mut from = args.bytes("fd:FD or PATH")?;
    let mut flags = MoveMountFlags::empty();
    if from == b"--beneath" {
        (from, flags) = (args.bytes("fd:FD or PATH")?, MoveMountFlags::BENEATH);
    }
    Ok(Syscall::MoveMount { from: from.to_vec(), to: args.bytes("TARGET")?.to_vec(), flags })
}

pub(super) fn mount_setattr(args: &mut Args<'_>) -> Result<Syscall> {
    const TYPES: &[(&str, MsFlags)] = &[
        ("shared", MsFlags::SHARED),
        ("slave", MsFlags::SLAVE),
        ("private", MsFlags::PRIVATE),
        ("unbindable", MsFlags::UNBINDABLE),
    ];
    let path = args.bytes("PATH")?.to_vec();
    let words = args.text("TYPE")?.split(',');
    let types = words.map(|word| choose(word, TYPES).ok_or_else(|| unexpected("a type of propagation", word)));
    let propagation = types.collect::<Result<Vec<MsFlags>>>()?.into_iter().collect();
    Ok(Syscall::MountSetattr { path, propagation })
}

#[cfg(test)]
mod tests {
    use super::super::{parse_write, verb};
    use super::*;

    fn call(line: &str) -> Result<Syscall> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match parse_write(verb(name).unwrap(), rest.as_bytes())? {
            AnyCall::Linux(call) => Ok(call),
            other => panic!("{other:?}"),
        }
    }

    fn mounted(line: &str) -> MountArgs {
        match call(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
            Syscall::Mount(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_are_flags_or_data() {
        let args = mounted("mount tmpfs x /d -o ro,size=1m,nosuid,mode=700,rw");
        assert_eq!((args.flags, &args.data[..]), (MsFlags::NOSUID, &b"size=1m,mode=700"[..]));
        assert_eq!(mounted("mount tmpfs x /d ro").flags, MsFlags::RDONLY);
    }

    #[test]
    fn operations_have_their_flags() {
        assert_eq!(mounted("mount --rbind /a /b").flags, MsFlags::BIND | MsFlags::REC);
        let args = mounted("mount --make-rslave /a");
        assert_eq!((args.flags, args.source, args.target), (MsFlags::SLAVE | MsFlags::REC, None, b"/a".to_vec()));
        let args = mounted("mount -o bind,shared /a /b");
        assert_eq!((args.flags, args.fs_type), (MsFlags::BIND | MsFlags::SHARED, None));
        assert_eq!(mounted("mount -o remount,ro /a").source, None);
        for line in ["mount --frob /a /b", "mount --make-frob /a", "mount --make- /a", "mount", "mount -o"] {
            assert!(call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn umount_takes_its_flags() {
        let flags = UmountFlags::DETACH | UmountFlags::NOFOLLOW;
        assert_eq!(call("umount -l --nofollow /a").unwrap(), Syscall::Umount { path: b"/a".to_vec(), flags });
    }
}
