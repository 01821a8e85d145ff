//! Names of ioctl requests: namespace files (ioctl_nsfs(2), `include/uapi/linux/nsfs.h`), pidfds
//! (`include/uapi/linux/pidfd.h`) and sockets.

use super::word::{choose, number, unexpected};
use crate::errno::Result;
use crate::syscall::ioctl::*;

const NAMES: &[(&str, u32)] = &[
    ("NS_GET_USERNS", NS_GET_USERNS),
    ("NS_GET_PARENT", NS_GET_PARENT),
    ("NS_GET_NSTYPE", NS_GET_NSTYPE),
    ("NS_GET_OWNER_UID", NS_GET_OWNER_UID),
    ("NS_GET_MNTNS_ID", NS_GET_MNTNS_ID),
    ("NS_GET_PID_FROM_PIDNS", NS_GET_PID_FROM_PIDNS),
    ("NS_GET_TGID_FROM_PIDNS", NS_GET_TGID_FROM_PIDNS),
    ("NS_GET_PID_IN_PIDNS", NS_GET_PID_IN_PIDNS),
    ("NS_GET_TGID_IN_PIDNS", NS_GET_TGID_IN_PIDNS),
    ("NS_MNT_GET_INFO", NS_MNT_GET_INFO),
    ("NS_MNT_GET_NEXT", NS_MNT_GET_NEXT),
    ("NS_MNT_GET_PREV", NS_MNT_GET_PREV),
    ("NS_GET_ID", NS_GET_ID),
    ("SIOCGSKNS", SIOCGSKNS),
];

/// A request by its name or number.
///
/// # Errors
/// EINVAL: no request has that name.
pub fn parse(word: &str) -> Result<u32> {
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return number(word, "REQUEST");
    }
    choose(word, NAMES).or_else(|| pidfd_request(word)).ok_or_else(|| unexpected("REQUEST", word))
}

/// `PIDFD_GET_<ENTRY>_NAMESPACE`.
fn pidfd_request(word: &str) -> Option<u32> {
    let entry = word.strip_prefix("PIDFD_GET_")?.strip_suffix("_NAMESPACE")?;
    let mut requests = (PIDFD_GET_NAMESPACE_FIRST..).zip(pidfd_entries());
    requests.find(|(_, known)| known.name.to_ascii_uppercase() == entry).map(|(request, _)| request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_headers() {
        assert_eq!(parse("NS_GET_PARENT").unwrap(), 0xb702);
        assert_eq!(parse("PIDFD_GET_CGROUP_NAMESPACE").unwrap(), 0xff01);
        assert_eq!(parse("PIDFD_GET_PID_NAMESPACE").unwrap(), 0xff05);
        assert_eq!(parse("PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE").unwrap(), 0xff06);
        assert_eq!(parse("PIDFD_GET_USER_NAMESPACE").unwrap(), 0xff09);
        assert_eq!(parse("0x8004b703").unwrap(), 0x8004_b703);
    }

    #[test]
    fn unknown_names_are_refused() {
        for word in ["NS_GET_FOO", "PIDFD_GET_FOO_NAMESPACE", "", "-1", "0x100000000"] {
            assert!(parse(word).is_err(), "{word}");
        }
    }
}
