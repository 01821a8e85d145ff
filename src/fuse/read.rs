//! What reads of open files and directories give: one instant for each reader, from the first byte to the last.

use std::sync::{Arc, Mutex};

use super::answer::{Connection, viewer};
use super::bounds::Purse;
use super::handle::{Handle, State, lock, slice};
use super::kept::{Content, Kept};
use super::poll::polled_at;
use crate::bail;
use crate::errno::Result;
use crate::host::fault::Op;
use crate::lab::FILES;
use crate::tree::{self, DirEntry, Rendering};

impl Connection {
    /// The count of content that open files keep: those of users who may write, or those of all others.
    pub(super) fn purse(&self, may_write: bool) -> &Arc<Purse> {
        &self.shared.purses[usize::from(!may_write)]
    }

    /// A read from the start takes a new picture of the file; the reads that follow get the rest of the same one.
    ///
    /// # Errors
    /// What the tree says; ENOMEM: open files keep as much as they may.
    pub(super) fn read(&self, fh: u64, offset: u64, size: u32) -> Result<Vec<u8>> {
        let handle = self.handle(fh)?;
        if offset == 0 {
            self.shared.lab.check_fault(Op::Read, || self.inodes.full_path(handle.ino))?;
        }
        Ok(match &handle.state {
            State::Control { answer, .. } | State::Batch(answer, _) => lock(answer).read(offset, size),
            State::Faults(refusal) => match &mut *lock(refusal) {
                Some(reason) => reason.read(offset, size),
                None => slice(self.shared.lab.faults.text().as_bytes(), offset, size).to_vec(),
            },
            State::Version { text, .. } => self.version_part(&handle, text, offset, size)?,
            State::Content(content) => match self.content(&handle, content, offset)? {
                Content::Text(text) => slice(&text.items, offset, size).to_vec(),
                Content::Drawing(drawing) => slice(drawing.draw(self.purse(handle.may_write))?, offset, size).to_vec(),
            },
            State::Stream(start) => {
                self.shared.lab.read(|k| self.trace().update(k).read(&mut lock(start), offset, size))?
            }
            State::Listing(_) => bail!(EISDIR, "a directory"),
        })
    }

    /// Whether a read takes long, as it looks at all of a large lab; and whether by one who may write.
    pub(super) fn is_long_read(&self, fh: u64, offset: u64) -> Option<bool> {
        let handle = self.shared.handles.get(fh)?;
        let State::Content(content) = &handle.state else { return None };
        let is_long = match &*lock(content) {
            Some(Content::Text(_)) if offset > 0 => false,
            Some(Content::Drawing(drawing)) if offset > 0 => drawing.drawn().is_none(),
            _ => self.shared.shelves.is_large(&handle.file),
        };
        is_long.then_some(handle.may_write)
    }

    /// A part of a version; what is left of it once its task is gone.
    fn version_part(&self, handle: &Handle, text: &[u8], offset: u64, size: u32) -> Result<Vec<u8>> {
        let node = handle.file.node;
        self.shared.lab.read(|k| {
            let is_kept = || FILES.ask(node.place, |file| file.is_kept_when_gone());
            if node.task().is_none_or(|task| k.tasks.contains(task)) || is_kept() {
                return Ok(slice(text, offset, size).to_vec());
            }
            Ok(slice(&tree::read_open(k, viewer(k, node)?, &handle.file)?, offset, size).to_vec())
        })?
    }

    fn content(&self, handle: &Handle, kept: &Mutex<Option<Content>>, offset: u64) -> Result<Content> {
        let old = lock(kept).clone().filter(|_| offset > 0);
        if let Some(old) = old {
            return Ok(old);
        }
        let new = self.shared.lab.read_at(|k, version| {
            let viewer = viewer(k, handle.file.node)?;
            if let Ok(now) = polled_at(k, &handle.file) {
                handle.seen.read(now);
            }
            let take = || Rendering::take(k, viewer, &handle.file);
            self.shared.shelves.content(self.purse(handle.may_write), (k, version), &handle.file, take)
        })??;
        *lock(kept) = Some(new.clone());
        Ok(new)
    }

    /// The names of a directory; those that start at `offset` 0 are taken anew.
    ///
    /// # Errors
    /// What the tree says; ENOMEM: there are more than may be listed, or open files keep as much as they may.
    pub(super) fn readdir(&self, fh: u64, offset: u64) -> Result<Arc<Kept<DirEntry>>> {
        let handle = self.handle(fh)?;
        if offset == 0 {
            self.shared.lab.check_fault(Op::Readdir, || self.inodes.full_path(handle.ino))?;
        }
        let State::Listing(kept) = &handle.state else { bail!(ENOTDIR, "not a directory") };
        let old = lock(kept).clone().filter(|_| offset > 0);
        if let Some(old) = old {
            return Ok(old);
        }
        let dir = handle.file.node;
        let new = self.shared.lab.read_at(|k, version| {
            let viewer = viewer(k, dir)?;
            let take = || {
                let entries = tree::readdir(k, viewer, dir)?;
                if entries.len() as u64 > self.shared.bounds.listing {
                    bail!(ENOMEM, "{} names, max_listing is {}", entries.len(), self.shared.bounds.listing);
                }
                Ok(entries)
            };
            self.shared.shelves.listing(self.purse(handle.may_write), (dir, version), take)
        })??;
        *lock(kept) = Some(Arc::clone(&new));
        Ok(new)
    }
}
