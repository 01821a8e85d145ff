//! What the tests share.

use std::path::{Path, PathBuf};

use nslab::script::file::{Case, load};

/// The cases of the files whose name starts with one of `families`, file by file.
pub fn cases(families: &[&str]) -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases");
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".lab") && families.iter().any(|family| name.starts_with(&format!("{family}-")))
    };
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(is_wanted).collect();
    files.sort();
    assert!(!files.is_empty(), "no case files in {}", dir.display());
    files.iter().flat_map(|file| load(file).unwrap_or_else(|error| panic!("{error}"))).collect()
}
