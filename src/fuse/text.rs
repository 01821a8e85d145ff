//! The texts of versions: what an inode of a file reads as, from the lookup that made it on.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The most bytes that are kept. A text beyond it is rendered anew when its file is opened.
const BYTES_MAX: usize = 64 << 20;

/// Which of the texts of a file one is; never 0.
pub(super) fn version(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() | 1
}

/// Texts by the number the kernel has for their inode.
#[derive(Debug, Default)]
pub(super) struct Texts {
    by_ino: BTreeMap<u64, (u64, Arc<[u8]>)>,
    /// By the order in which they came.
    by_age: BTreeMap<u64, u64>,
    count: u64,
    bytes: usize,
}

impl Texts {
    pub(super) fn get(&self, ino: u64) -> Option<Arc<[u8]>> {
        self.by_ino.get(&ino).map(|(_, text)| Arc::clone(text))
    }

    /// Keeps the text of an inode, and no longer the oldest ones where there is no room. An inode has one text.
    pub(super) fn keep(&mut self, ino: u64, text: Arc<[u8]>) {
        if self.by_ino.contains_key(&ino) {
            return;
        }
        self.count += 1;
        self.bytes += text.len();
        self.by_ino.insert(ino, (self.count, text));
        self.by_age.insert(self.count, ino);
        while self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.drop(oldest);
        }
    }

    pub(super) fn drop(&mut self, ino: u64) {
        if let Some((age, text)) = self.by_ino.remove(&ino) {
            self.by_age.remove(&age);
            self.bytes -= text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_texts_make_room() {
        let mut texts = Texts::default();
        let text: Arc<[u8]> = vec![b'a'; BYTES_MAX / 2].into();
        for ino in 1..=3 {
            texts.keep(ino, Arc::clone(&text));
        }
        assert_eq!([1, 2, 3].map(|ino| texts.get(ino).is_some()), [false, true, true]);
        texts.keep(2, Arc::clone(&text));
        assert_eq!(texts.bytes, BYTES_MAX);
        texts.drop(3);
        texts.drop(2);
        assert_eq!((texts.bytes, texts.by_age.len()), (0, 0));
    }

    #[test]
    fn another_text_is_another_version() {
        assert_ne!(version(b"a"), version(b"b"));
        assert_ne!(version(b""), 0);
    }
}
