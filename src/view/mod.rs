//! Layer 4: the live page of `nslab view`: a matrix of tasks and namespaces, the objects, the trace, a command line, and a
//! time line of all steps so far. [`Timeline`] is a lab of its own, [`Mounted`] one that is mounted; [`serve`] gives either
//! to browsers.
//!
//! The page is `page.html`, `page.css` and `page.js` beside this file, embedded as they are: nothing is built and nothing is
//! fetched from elsewhere.

mod complete;
mod graph;
mod http;
pub mod lesson;
mod mounted;
mod object;
mod pulse;
mod source;
mod timeline;

pub use http::{Door, serve};
pub use mounted::Mounted;
pub use pulse::Pulse;
pub use source::{Answer, Source, Step};
pub use timeline::Timeline;
