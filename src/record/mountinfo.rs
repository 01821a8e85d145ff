//! Lines of mountinfo (proc_pid_mountinfo(5)). The order of options counts, which the parser of `procfs-core` does not keep.

use super::topology::Mount;
use crate::tree::unescape;

/// Reads `id parent major:minor root point options field… - type source options`.
pub(super) fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut text = || fields.next().map(|field| String::from_utf8_lossy(field).into_owned());
    let (id, parent, device) = (text()?.parse().ok()?, text()?.parse().ok()?, text()?);
    let (major, minor) = device.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    // What has been removed is there again in the lab.
    let root = root.strip_suffix(b"//deleted").unwrap_or(&root).to_vec();
    let options = String::from_utf8_lossy(fields.next()?).into_owned();
    let (mut shared, mut master, mut is_unbindable) = (None, None, false);
    for field in fields.by_ref().take_while(|field| *field != b"-") {
        let field = String::from_utf8_lossy(field);
        match field.split_once(':') {
            Some(("shared", group)) => shared = group.parse().ok(),
            Some(("master", group)) => master = group.parse().ok(),
            _ => is_unbindable |= field == "unbindable",
        }
    }
    let mut text = || fields.next().map(|field| String::from_utf8_lossy(field).into_owned());
    let fs = text()?;
    let source = unescape(text()?.as_bytes());
    let super_options = text()?;
    Some(Mount { id, parent, device, root, point, options, shared, master, is_unbindable, fs, source, super_options })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_all_its_fields() {
        let mount =
            parse(b"36 35 98:0 /a\\040b /mnt rw,noatime shared:7 master:1 - ext3 /dev/root rw,errors=x").unwrap();
        assert_eq!((mount.id, mount.parent, mount.device, &mount.root[..]), (36, 35, (98, 0), &b"/a b"[..]));
        assert_eq!((mount.shared, mount.master, &*mount.fs), (Some(7), Some(1), "ext3"));
        assert_eq!((&*mount.options, &*mount.super_options), ("rw,noatime", "rw,errors=x"));
        assert!(parse(b"36 35 98:0 /a /mnt rw").is_none());
    }
}
