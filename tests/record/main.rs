//! Recordings: the words of the language that are for them, and what `nslab record` writes.

mod anonymous;
#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/files.rs"]
mod files;
mod guide;
mod host;
mod lab;
mod language;
mod made;
mod made_up;
#[path = "../common/needs.rs"]
mod needs;
mod output;
#[path = "../common/recording.rs"]
mod recording;
mod tools;
mod troubled;
#[path = "../common/unprivileged.rs"]
mod unprivileged;
