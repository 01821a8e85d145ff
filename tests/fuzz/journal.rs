//! Journals that are cut, changed and mixed up: what is read of one is what was written, from its start.

use std::path::PathBuf;

use nslab::host::{Booting, Lab};
use nslab::journal::{Journal, Sync, Whole, whole};
use nslab::kernel::Kernel;
use nslab::script::run::run_boot_file;
use nslab::script::{Machine, Setup};
use tempfile::TempDir;

use super::lines;
use super::mutate::{Random, fuzz, mutated};

/// A journal of some calls, and where it is.
fn journal() -> (TempDir, PathBuf, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.lab");
    let lab = Lab::new(Kernel::boot()).with_journal(Some(Journal::create(&path, Sync::Kernel).unwrap()));
    let boot = dir.path().join("boot.lab");
    std::fs::write(&boot, "1 clone newuser\n2 unshare newnet newuts\n1 clone\n2 sethostname \"a b\"\n").unwrap();
    run_boot_file(&mut Booting(&lab), &boot).unwrap();
    let mkdir = Setup::Mkdir { path: b"cgroup/a b".to_vec(), mode: 0o700 };
    Booting(&lab).set(&mkdir).unwrap();
    drop(lab);
    let text = std::fs::read(&path).unwrap();
    (dir, path, text)
}

/// The ends of its lines.
fn ends(text: &[u8]) -> Vec<usize> {
    (1..=text.len()).filter(|&end| text[end - 1] == b'\n').collect()
}

#[test]
fn a_journal_cut_at_any_byte_keeps_the_lines_before() {
    let (_dir, path, text) = journal();
    let ends = ends(&text);
    for cut in 0..text.len() {
        let lines = ends.iter().filter(|&&end| end <= cut).count();
        let len = lines.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!(whole(&text[..cut]), Ok(Whole { len, lines: lines as u64, is_torn: len < cut }), "{cut}");
        std::fs::write(&path, &text[..cut]).unwrap();
        if lines > 0 {
            run_boot_file(&mut Booting(&Lab::new(Kernel::boot())), &path).unwrap();
        }
    }
}

#[test]
fn a_journal_changed_at_any_byte_is_damaged() {
    let (_dir, _, text) = journal();
    let ends = ends(&text);
    for at in 0..text.len() {
        let line = ends.iter().filter(|&&end| end <= at).count() + 1;
        for byte in (0..=255).filter(|&byte| byte != text[at]) {
            let mut changed = text.clone();
            changed[at] = byte;
            let found = whole(&changed);
            // The last line without its end is as good as cut, and so is one with a blank in place of its last letter.
            let is_cut =
                at + 2 >= text.len() && found.is_ok_and(|found| found.is_torn && found.lines + 1 == line as u64);
            assert!(found == Err(line) || is_cut, "byte {at} as {byte}: {found:?}");
        }
    }
}

#[test]
fn a_journal_of_anything_boots_or_is_refused() {
    let (_dir, path, text) = journal();
    let corpus: Vec<_> =
        text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).chain([text.clone()]).collect();
    fuzz(800, |seed| {
        let mut random = Random::new(seed);
        let mut mixed = if random.below(2) == 0 { text.clone() } else { corpus[0].clone() };
        mixed.truncate(random.below(mixed.len() + 1).max(corpus[0].len()));
        (0..random.below(3)).for_each(|_| mixed.extend(mutated(&mut random, &corpus)));
        if let Ok(whole) = whole(&mixed) {
            assert!(text.starts_with(&mixed[..whole.len]), "seed {seed}: {}", String::from_utf8_lossy(&mixed));
        }
        std::fs::write(&path, &mixed).unwrap();
        let booted = run_boot_file(&mut Booting(&Lab::new(Kernel::boot())), &path);
        let resumed = Journal::claim(&path).and_then(|file| Journal::resume(file, Sync::Kernel));
        assert_eq!(booted.is_ok(), resumed.is_ok(), "seed {seed}: {booted:?}, {resumed:?}");
    });
}

/// Its sums are right, and so nothing but the reader of its lines can refuse it.
#[test]
fn a_journal_whose_lines_say_anything_boots_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = lines();
    fuzz(400, |seed| {
        let mut random = Random::new(seed);
        let path = dir.path().join(format!("{seed}.lab"));
        let mut journal = Journal::create(&path, Sync::Kernel).unwrap();
        for _ in 0..=random.below(5) {
            let line = String::from_utf8_lossy(&mutated(&mut random, &corpus)).replace('\n', " ");
            journal.note(&line, "").unwrap();
        }
        let lines = journal.lines();
        drop(journal);
        let text = std::fs::read(&path).unwrap();
        assert_eq!(whole(&text), Ok(Whole { len: text.len(), lines, is_torn: false }), "seed {seed}");
        // Whatever comes of it.
        let _ = run_boot_file(&mut Booting(&Lab::new(Kernel::boot())), &path);
        std::fs::remove_file(&path).unwrap();
    });
}
