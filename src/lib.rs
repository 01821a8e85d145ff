//! nslab: a simulated Linux namespace kernel (reference behaviour: Linux 6.18) that can be mounted.
//!
//! Layers, uses go only down:
//!
//! | layer | modules | what |
//! |---|---|---|
//! | L5 | [`cli`] | the command |
//! | L4 | [`fuse`], [`testing`], [`view`] | the mount; the live page |
//! | L3 | [`host`], [`lab`], [`script`], [`journal`], [`record`] | the lab that threads share; the whole file tree; the `.lab` language; what was done; recordings |
//! | L2 | [`control`], [`abi`] | text, or registers and memory of a program, to [`syscall::AnyCall`] |
//! | L1c | [`syscall`] | what a task may ask |
//! | L1b | [`tree`] | the lab's files, read-only over the kernel |
//! | L1a | [`kernel`] | the simulated kernel's objects |
//! | L0 | [`errno`] | errors with reasons |

pub mod abi;
pub mod cli;
pub mod control;
pub mod errno;
pub mod exec;
pub mod fuse;
pub mod host;
pub mod journal;
pub mod kernel;
pub mod lab;
pub mod record;
pub mod script;
pub mod syscall;
pub mod testing;
pub mod tree;
pub mod view;
