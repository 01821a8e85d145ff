//! The numbers of namespaces that `/proc` shows (`proc_alloc_inum`).

use super::{NsOps, NsType};
use crate::bail;
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::kernel::table::LowestFree;

/// The numbers that are free, and those that the running call has asked for.
#[derive(Clone, Debug)]
pub struct Inums {
    /// Namespaces and entries of `/proc` share them.
    pub pool: LowestFree,
    asked: Vec<(NsType, u32)>,
    /// The running call makes what was seen on another machine.
    describes: bool,
}

impl Inums {
    pub(in crate::kernel) fn starting_at(first: u32) -> Inums {
        Inums { pool: LowestFree::starting_at(first), asked: Vec::new(), describes: false }
    }

    /// The number of a new namespace, and the further ones that its kind takes. One whose number was asked for takes no
    /// further ones: they might be those that the next one asks for.
    pub(super) fn alloc(&mut self, ops: &NsOps) -> (u32, Vec<u32>) {
        if let Some(at) = self.asked.iter().position(|(ns_type, _)| *ns_type == ops.ns_type) {
            let (_, inum) = self.asked.swap_remove(at);
            self.pool.take(inum);
            return (inum, Vec::new());
        }
        (self.pool.alloc(), (0..ops.extra_inums).map(|_| self.pool.alloc()).collect())
    }
}

impl Kernel {
    /// Whether new namespaces could have these numbers; `flags` say which are made.
    ///
    /// # Errors
    /// EINVAL: no such namespace is made, or two numbers for one; EEXIST: a number is taken.
    pub(crate) fn check_inums(&self, flags: u64, asked: &[(NsType, u32)]) -> Result<()> {
        for (at, &(ns_type, inum)) in asked.iter().enumerate() {
            let ops = ns_type.ops();
            if flags & ops.clone_flag == 0 {
                bail!(EINVAL, "inum={}:{} without {}: no such namespace is made", ops.name, inum, ops.clone_flag_name);
            }
            if asked[..at].iter().any(|(other, _)| *other == ns_type) {
                bail!(EINVAL, "two numbers for one new {} namespace", ops.name);
            }
            let is_asked_twice = asked[..at].iter().any(|(_, other)| *other == inum);
            if is_asked_twice || self.ns_by_inum.contains_key(&inum) || !self.inums.pool.is_free(inum) {
                bail!(EEXIST, "inum {} is taken", inum);
            }
        }
        Ok(())
    }

    /// Makes the call that runs give its new namespaces these numbers, and forgets them after it, whatever comes of it.
    pub(crate) fn with_inums<T>(&mut self, asked: &[(NsType, u32)], call: impl FnOnce(&mut Kernel) -> T) -> T {
        self.inums.asked = asked.to_vec();
        self.inums.describes = true;
        let result = call(self);
        self.inums.asked.clear();
        self.inums.describes = false;
        result
    }

    /// Whether the running call makes what was seen on another machine: it takes no capability to choose numbers.
    pub(crate) fn is_described(&self) -> bool {
        self.inums.describes
    }
}
