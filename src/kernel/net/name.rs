//! Names of devices (`dev_valid_name`, `__dev_alloc_name` in `net/core/dev.c`).

use super::DevId;
use crate::bail;
use crate::errno::Result;
use crate::kernel::scan::is_space;
use crate::kernel::{Kernel, NetNsId};

/// Longest name, bytes (`IFNAMSIZ` less the NUL).
pub const NAME_MAX: usize = 15;
/// Longest altname, bytes (`ALTIFNAMSIZ` less the NUL).
pub const ALTNAME_MAX: usize = 127;

fn is_valid(name: &[u8]) -> bool {
    let is_forbidden = |&byte: &u8| byte == b'/' || byte == b':' || is_space(byte);
    !name.is_empty() && name.len() <= NAME_MAX && name != b"." && name != b".." && !name.iter().any(is_forbidden)
}

/// What is before and behind the `%d` of a pattern; `None`: the name is no pattern.
///
/// # Errors
/// EINVAL: a `%` that is not the only `%d`.
fn split_pattern(name: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some(at) = name.iter().position(|&byte| byte == b'%') else { return Ok(None) };
    match name[at..].strip_prefix(b"%d") {
        Some(rest) if !rest.contains(&b'%') => Ok(Some((&name[..at], rest))),
        _ => bail!(EINVAL, "a pattern has one %d and no other %"),
    }
}

impl Kernel {
    /// The name a device would get: a free one as it is, or the lowest free number in place of `%d`.
    ///
    /// # Errors
    /// EINVAL: it is no device name. EEXIST: it is taken.
    pub fn dev_prep_valid_name(&self, net: NetNsId, name: &[u8]) -> Result<Vec<u8>> {
        if !is_valid(name) {
            bail!(EINVAL, "{} is no name for a device", String::from_utf8_lossy(name).into_owned());
        }
        if let Some((before, behind)) = split_pattern(name)? {
            let numbered = (0..).map(|number: u32| [before, number.to_string().as_bytes(), behind].concat());
            let free = numbered.into_iter().find(|name| self.find_dev(net, name).is_none());
            return Ok(free.expect("there are more numbers than devices"));
        }
        if self.find_dev(net, name).is_some() {
            bail!(EEXIST, "the name {} is taken", String::from_utf8_lossy(name).into_owned());
        }
        Ok(name.to_vec())
    }

    /// Renames a device; its own name is no change (`dev_change_name`).
    ///
    /// # Errors
    /// As [`Kernel::dev_prep_valid_name`].
    pub(crate) fn dev_change_name(&mut self, id: DevId, name: &[u8]) -> Result<()> {
        let dev = &self.net.devices[id];
        if dev.name == name {
            return Ok(());
        }
        let name = self.dev_prep_valid_name(dev.net, name)?;
        let dev = &mut self.net.devices[id];
        let names = &mut self.namespaces[dev.net].names;
        names.insert(name.clone(), id);
        names.remove(&std::mem::replace(&mut dev.name, name));
        for (number, inet) in (1..).zip(&mut dev.inet) {
            inet.label = inet.label.or((number > 1).then_some(number));
        }
        self.rtmsg_ifinfo(id);
        Ok(())
    }

    /// Gives a device one more name.
    ///
    /// # Errors
    /// EEXIST: it is taken.
    pub(crate) fn add_altname(&mut self, id: DevId, name: &[u8]) -> Result<()> {
        if self.find_dev(self.net.devices[id].net, name).is_some() {
            bail!(EEXIST, "the name {} is taken", String::from_utf8_lossy(name).into_owned());
        }
        let dev = &mut self.net.devices[id];
        dev.altnames.push(name.to_vec());
        self.namespaces[dev.net].names.insert(name.to_vec(), id);
        if dev.is_up {
            self.rtmsg_ifinfo(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_words_without_slash_and_colon() {
        assert!(is_valid(b"abcdefghijklmno") && is_valid(b"...") && is_valid(b"x%d"));
        for name in [&b""[..], b".", b"..", b"a/b", b"a:b", b"a b", b"a\n", b"abcdefghijklmnop"] {
            assert!(!is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn patterns_have_one_number() {
        assert_eq!(split_pattern(b"x%dy").unwrap(), Some((&b"x"[..], &b"y"[..])));
        assert_eq!(split_pattern(b"x").unwrap(), None);
        assert!(split_pattern(b"x%s").is_err() && split_pattern(b"%d%d").is_err() && split_pattern(b"%").is_err());
    }
}
