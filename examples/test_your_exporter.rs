//! A small exporter, and how to test it: the program takes the place of procfs as its argument, the tests give it that
//! of a lab.
//!
//! ```sh
//! cargo run --example test_your_exporter /proc   # what this machine has
//! cargo test --example test_your_exporter       # what the tests say
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How many namespaces of each kind have processes in them, as metrics.
fn metrics(procfs: &Path) -> io::Result<String> {
    let mut found: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for process in fs::read_dir(procfs)? {
        let process = process?;
        if process.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()) {
            collect(&process.path(), &mut found);
        }
    }
    let mut text = String::new();
    for (kind, inums) in &found {
        writeln!(text, "namespaces{{kind=\"{kind}\"}} {}", inums.len()).map_err(io::Error::other)?;
    }
    Ok(text)
}

/// A process may end while we look at it, and a zombie has no namespaces: neither is an error.
fn collect(process: &Path, found: &mut BTreeMap<String, BTreeSet<u64>>) {
    for entry in fs::read_dir(process.join("ns")).into_iter().flatten().flatten() {
        if let Ok(namespace) = fs::metadata(entry.path()) {
            found.entry(entry.file_name().to_string_lossy().into_owned()).or_default().insert(namespace.ino());
        }
    }
}

fn main() -> io::Result<()> {
    let procfs = std::env::args().nth(1).unwrap_or_else(|| "/proc".to_owned());
    print!("{}", metrics(Path::new(&procfs))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nslab::testing::Lab;

    fn of(lab: &Lab) -> String {
        metrics(&lab.at("proc")).unwrap()
    }

    #[test]
    fn a_namespace_that_many_share_counts_once() {
        let lab = Lab::boot("A = 1 clone net\n$A clone\n$A clone\n").unwrap();
        assert!(of(&lab).contains("namespaces{kind=\"net\"} 2\n"), "{}", of(&lab));
        assert!(of(&lab).contains("namespaces{kind=\"ipc\"} 1\n"), "{}", of(&lab));
    }

    #[test]
    fn a_zombie_is_no_error_and_counts_nothing() {
        let lab = Lab::boot("A = 1 clone net\n$A exit\n").unwrap();
        assert!(of(&lab).contains("namespaces{kind=\"net\"} 1\n"), "{}", of(&lab));
    }

    #[test]
    fn a_namespace_that_comes_or_goes_is_seen_by_the_next_scrape() {
        let lab = Lab::new().unwrap();
        let child = lab.spawn(1, "ipc").unwrap();
        assert!(of(&lab).contains("namespaces{kind=\"ipc\"} 2\n"), "{}", of(&lab));
        lab.call(child, "exit").unwrap();
        assert!(of(&lab).contains("namespaces{kind=\"ipc\"} 1\n"), "{}", of(&lab));
    }
}
