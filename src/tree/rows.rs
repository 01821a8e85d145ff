//! Static directory tables: each row names a file by its path below the root of the table; the root is the row with
//! the empty path. Directories come before what they hold.

/// The files directly in the directory at `base`, with their rows, in the order of the table.
pub(super) fn children<'p>(
    paths: impl Iterator<Item = &'static str> + 'p,
    base: &'p str,
) -> impl Iterator<Item = (u16, &'static str)> + 'p {
    (0u16..).zip(paths).filter_map(move |(row, path)| Some((row, name_in(path, base)?)))
}

/// The row of the file called `name` in the directory at `base`.
pub(super) fn child(paths: impl Iterator<Item = &'static str>, base: &str, name: &[u8]) -> Option<u16> {
    children(paths, base).find(|(_, child)| child.as_bytes() == name).map(|(row, _)| row)
}

fn name_in(path: &'static str, base: &str) -> Option<&'static str> {
    let rest = if base.is_empty() { path } else { path.strip_prefix(base)?.strip_prefix('/')? };
    (!rest.is_empty() && !rest.contains('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 6] = ["", "a", "a/b", "a/b/c", "ab", "a/d"];

    #[test]
    fn a_directory_holds_what_is_one_step_below() {
        let in_a: Vec<_> = children(PATHS.into_iter(), "a").collect();
        assert_eq!(in_a, [(2, "b"), (5, "d")]);
        let top: Vec<_> = children(PATHS.into_iter(), "").collect();
        assert_eq!(top, [(1, "a"), (4, "ab")]);
        assert_eq!(child(PATHS.into_iter(), "a/b", b"c"), Some(3));
        assert_eq!(child(PATHS.into_iter(), "a/b", b"b"), None);
    }
}
