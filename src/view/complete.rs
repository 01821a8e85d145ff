//! What a word of the command line may become, where it is a path.

use crate::record::Files;

const WORDS_MAX: usize = 60;

/// The paths that begin with `word`, for task `pid`: those of its own file tree if it begins with a slash, else those of
/// the lab as the task sees it. Directories end in a slash.
pub(super) fn paths(files: &dyn Files, pid: u32, word: &str) -> Vec<String> {
    let Some((dir, begin)) = word.rsplit_once('/') else { return Vec::new() };
    if word.split('/').any(|name| name == "..") {
        return Vec::new();
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let first = dir.split('/').next().unwrap_or_default();
    let place = match first {
        "" => format!("as/{pid}/root{dir}"),
        "proc" | "cgroup" | "mqueue" => format!("as/{pid}/{dir}"),
        number if is_number(number) => format!("as/{pid}/proc/{dir}"),
        _ => return Vec::new(),
    };
    let names = files.names(&place).unwrap_or_default();
    let mut found: Vec<String> = names
        .into_iter()
        .map(|name| String::from_utf8_lossy(&name).into_owned())
        .filter(|name| name.starts_with(begin))
        .take(WORDS_MAX)
        .collect();
    found.sort();
    let is_dir = |name: &str| {
        let path = format!("{place}/{name}");
        files.link(&path).is_err() && files.names(&path).is_ok()
    };
    found.into_iter().map(|name| format!("{dir}/{name}{}", if is_dir(&name) { "/" } else { "" })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::record::files::Bare;

    #[test]
    fn words_become_paths() {
        let k = Kernel::boot();
        let paths = |word: &str| paths(&Bare(&k), 1, word);
        assert_eq!(paths("proc/1/ns/u"), ["proc/1/ns/user", "proc/1/ns/uts"]);
        assert_eq!(paths("1/ns/ne"), ["1/ns/net"]);
        assert!(paths("/").contains(&"/proc/".to_owned()) && paths("proc/").contains(&"proc/1/".to_owned()));
        assert!(paths("u").is_empty() && paths("/../").is_empty() && paths("etc/").is_empty());
    }
}
