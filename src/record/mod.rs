//! Layer 3: recordings. What is read of a machine, or of a lab, becomes plain data, a [`Topology`]; that becomes a script
//! in the `.lab` language. [`read`] reads what both show the same way, [`lab`] and [`host`] the rest ([`Facts`]).
//!
//! What programs do in a lab becomes a script too ([`calls`]), and what they leave behind is told ([`leaks`]).
//!
//! [`write()`] has a kernel of its own on which it tries each line, so that a script never says what the language cannot do,
//! and only what would otherwise be different.

pub mod anonymize;
pub mod calls;
pub mod files;
pub mod host;
pub mod ipc;
pub mod lab;
pub mod leaks;
mod mountinfo;
pub mod net;
mod netlink;
mod nsfs;
pub mod read;
mod script;
pub mod topology;
pub mod userns;

use std::collections::BTreeMap;

use crate::kernel::ns::NsType;

pub use files::Files;
pub use script::{END, write, write_aloud};
pub use topology::Topology;

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// These processes, what is below them and what is above them; empty: all.
    pub pids: Vec<i32>,
    pub threads: bool,
    pub kernel_threads: bool,
    /// The process that records, which is left out.
    pub recorder: Option<i32>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { pids: Vec::new(), threads: true, kernel_threads: true, recorder: None }
    }
}

/// A namespace that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub ns_type: NsType,
    pub inum: u32,
    /// A file that shows it, from the root of the files on.
    pub at: Option<Vec<u8>>,
    /// A task that is in it.
    pub member: Option<i32>,
}

/// What the files of tasks do not tell of namespaces.
pub trait Facts {
    /// Namespaces besides those that the tasks are in.
    fn others(&self) -> Vec<Seen>;

    /// The initial namespaces.
    fn initial(&self) -> Vec<(NsType, u32)>;

    /// What is known of one; what is not known is said in `missing`.
    fn describe(&self, seen: &Seen, missing: &mut topology::Missing) -> topology::Namespace;

    /// The namespace that owns another one or that it is nested in, where no task is in it.
    fn above(&self, seen: &Seen) -> Vec<Seen>;

    /// Puts into network namespaces their devices, and which others they know. It is asked when all have been described.
    fn relate(&self, namespaces: &mut BTreeMap<u32, topology::Namespace>, missing: &mut topology::Missing);

    /// Puts into a task what its files do not show, or show otherwise to who reads them.
    fn complete(&self, task: &mut topology::Task);
}
