//! What open files keep of what they have shown: one file shows one instant from its first byte to its last. Files that
//! were read in the same state of the lab share it.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::bounds::{Charge, Purse};
use super::handle::lock;
use crate::errno::Result;
use crate::host::Version;
use crate::kernel::Kernel;
use crate::kernel::file::Bound;
use crate::kernel::node::{Node, Place};
use crate::tree::{Census, DirEntry, Picture, Rendering, is_picture};

/// As much content is worth to be shared, in bytes.
const WORTHWHILE: usize = 1 << 16;
/// How many different contents are found again at most.
const SHARED_MAX: usize = 64;

/// Content that open files keep, and the room that it takes.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) items: Vec<T>,
    _charge: Charge,
}

impl Kept<u8> {
    /// # Errors
    /// ENOMEM
    pub(super) fn text(purse: &Arc<Purse>, mut text: Vec<u8>) -> Result<Kept<u8>> {
        text.shrink_to_fit();
        let charge = purse.charge(text.capacity())?;
        Ok(Kept { items: text, _charge: charge })
    }
}

impl Kept<DirEntry> {
    /// # Errors
    /// ENOMEM
    pub(super) fn listing(purse: &Arc<Purse>, entries: Vec<DirEntry>) -> Result<Kept<DirEntry>> {
        let charge = purse.charge(listing_bytes(&entries))?;
        Ok(Kept { items: entries, _charge: charge })
    }
}

fn listing_bytes(entries: &[DirEntry]) -> usize {
    size_of_val(entries) + entries.iter().map(|entry| entry.name.capacity()).sum::<usize>()
}

/// A picture, drawn when its first reader comes to it.
#[derive(Debug)]
pub(super) struct Drawing {
    /// Until it is drawn, with the room that it takes.
    picture: Mutex<Option<(Picture, Charge)>>,
    text: OnceLock<Kept<u8>>,
}

impl Drawing {
    /// # Errors
    /// ENOMEM
    pub(super) fn new(purse: &Arc<Purse>, picture: Picture) -> Result<Drawing> {
        let charge = purse.charge(picture.bytes())?;
        Ok(Drawing { picture: Mutex::new(Some((picture, charge))), text: OnceLock::new() })
    }

    /// What was drawn, if it was.
    pub(super) fn drawn(&self) -> Option<&[u8]> {
        self.text.get().map(|kept| &kept.items[..])
    }

    /// Draws it, unless somebody has, and waits for who does. It takes as long as the lab is large, and needs no lock of it.
    ///
    /// # Errors
    /// ENOMEM: `purse` has no room for it. Others may have.
    pub(super) fn draw(&self, purse: &Arc<Purse>) -> Result<&[u8]> {
        let mut picture = lock(&self.picture);
        if let Some((taken, _)) = &*picture {
            let kept = Kept::text(purse, taken.draw())?;
            let _ = self.text.set(kept);
            *picture = None;
        }
        Ok(self.drawn().unwrap_or_default())
    }
}

/// What is shared, by what it shows and in which state of the lab it was taken. It goes with the last open file that
/// keeps it.
#[derive(Debug)]
pub(super) struct Shelf<K, V>(Mutex<Vec<(K, Version, Weak<V>)>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Shelf<K, V> {
        Shelf(Mutex::default())
    }
}

impl<K: PartialEq, V> Shelf<K, V> {
    pub(super) fn find(&self, key: &K, version: Version) -> Option<Arc<V>> {
        let shelf = lock(&self.0);
        let found = shelf.iter().find(|(known, at, _)| known == key && *at == version);
        found.and_then(|(_, _, value)| value.upgrade())
    }

    /// Whether it was there in any state.
    fn has_seen(&self, key: &K) -> bool {
        lock(&self.0).iter().any(|(known, ..)| known == key)
    }

    /// Puts there what others may have too; an earlier state of the same is not asked for any more.
    pub(super) fn put(&self, key: K, version: Version, value: &Arc<V>) {
        let mut shelf = lock(&self.0);
        shelf.retain(|(known, ..)| *known != key);
        if shelf.len() == SHARED_MAX {
            shelf.remove(0);
        }
        shelf.push((key, version, Arc::downgrade(value)));
    }
}

/// All that open files of a mount share.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    /// What pictures are drawn from. Who needs one waits for who is taking it: the state is looked at once.
    census: Mutex<Option<(Version, Weak<Census>)>>,
    drawings: Shelf<Place, Drawing>,
    texts: Shelf<Bound, Kept<u8>>,
    listings: Shelf<Node, Kept<DirEntry>>,
}

/// What an open file shows.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Text(Arc<Kept<u8>>),
    Drawing(Arc<Drawing>),
}

impl Shelves {
    /// What all pictures of a state of the lab are drawn from.
    fn census(&self, k: &Kernel, version: Version) -> Arc<Census> {
        let mut kept = lock(&self.census);
        let known = kept.as_ref().filter(|(at, _)| *at == version).and_then(|(_, census)| census.upgrade());
        known.unwrap_or_else(|| {
            let census = Arc::new(Census::take(k));
            *kept = Some((version, Arc::downgrade(&census)));
            census
        })
    }

    /// Whether the content of a file is a picture, or was large when it was read last.
    pub(super) fn is_large(&self, file: &Bound) -> bool {
        is_picture(file.node) || self.texts.has_seen(file)
    }

    /// The content of a file in a state of the lab, `take` being asked for it if nobody keeps it.
    ///
    /// # Errors
    /// ENOMEM; what `take` gives.
    pub(super) fn content(
        &self,
        purse: &Arc<Purse>,
        (k, version): (&Kernel, Version),
        file: &Bound,
        take: impl FnOnce() -> Result<Rendering>,
    ) -> Result<Content> {
        if let Some(drawing) = self.drawings.find(&file.node.place, version) {
            return Ok(Content::Drawing(drawing));
        }
        if let Some(text) = self.texts.find(file, version) {
            return Ok(Content::Text(text));
        }
        let picture = Picture::of(file.node.place, || self.census(k, version));
        Ok(match picture.map_or_else(take, |picture| Ok(Rendering::Picture(picture)))? {
            Rendering::Picture(picture) => {
                let drawing = Arc::new(Drawing::new(purse, picture)?);
                self.drawings.put(file.node.place, version, &drawing);
                Content::Drawing(drawing)
            }
            Rendering::Text(text) => {
                let text = Arc::new(Kept::text(purse, text)?);
                if text.items.len() >= WORTHWHILE {
                    self.texts.put(file.clone(), version, &text);
                }
                Content::Text(text)
            }
        })
    }

    /// The names in a directory, as [`Shelves::content`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn listing(
        &self,
        purse: &Arc<Purse>,
        (dir, version): (Node, Version),
        take: impl FnOnce() -> Result<Vec<DirEntry>>,
    ) -> Result<Arc<Kept<DirEntry>>> {
        if let Some(listing) = self.listings.find(&dir, version) {
            return Ok(listing);
        }
        let entries = take()?;
        let is_worthwhile = listing_bytes(&entries) >= WORTHWHILE;
        let listing = Arc::new(Kept::listing(purse, entries)?);
        if is_worthwhile {
            self.listings.put(dir, version, &listing);
        }
        Ok(listing)
    }
}
