//! `kernel/trace` as a file that grows: the text of all steps in a row, of which the end is kept.

use super::handle::slice;
use crate::kernel::Kernel;
use crate::tree;

/// Text beyond which the oldest half is dropped, in bytes.
const KEPT_MAX: usize = 1 << 20;

/// The end of a text that grows.
#[derive(Debug, Default)]
pub(super) struct Stream {
    text: String,
    /// Bytes dropped before `text`.
    dropped: u64,
    /// Number of the last step in it.
    last: u64,
}

impl Stream {
    /// Adds what happened since.
    pub(super) fn update(&mut self, k: &Kernel) -> &mut Stream {
        let (text, last) = tree::trace_after(k, self.last);
        self.last = last;
        self.push(&text);
        self
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        if self.text.len() > KEPT_MAX {
            let half = self.text.len() / 2;
            let line = self.text.as_bytes()[half..].iter().position(|&byte| byte == b'\n');
            let cut = line.map_or(self.text.len(), |end| half + end + 1);
            self.text.drain(..cut);
            self.dropped += cut as u64;
        }
    }

    /// Where the text ends, counted from the first step on.
    pub(super) fn end(&self) -> u64 {
        self.dropped + self.text.len() as u64
    }

    /// At most `size` bytes at `offset` of a file. Its start is what was oldest at the last read from there, kept in
    /// `start`; who seeks to the end first counts from the first step, as the file's size does.
    pub(super) fn read(&self, start: &mut u64, offset: u64, size: u32) -> Vec<u8> {
        if offset == 0 {
            *start = self.dropped;
        }
        let position = (*start + offset).saturating_sub(self.dropped);
        slice(self.text.as_bytes(), position, size).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_not_in_the_way_of_a_reader() {
        let mut stream = Stream::default();
        let line = "x".repeat(1023) + "\n";
        (0..1100).for_each(|_| stream.push(&line));
        assert_eq!(stream.end(), 1100 * 1024);
        assert!(stream.text.len() <= KEPT_MAX);
        let mut start = 0;
        assert_eq!(stream.read(&mut start, 0, 4), b"xxxx");
        assert_eq!(stream.read(&mut start, stream.text.len() as u64, 4), b"");
        stream.push("new\n");
        assert_eq!(stream.read(&mut start, stream.text.len() as u64 - 4, 9), b"new\n");
        assert_eq!(stream.read(&mut 0, stream.end() - 4, 9), b"new\n");
    }
}
