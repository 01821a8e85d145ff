//! Random programs about mounts: propagation above all.

pub mod encode;
pub mod look;
pub mod observe;

use crate::area::Area;
use crate::program;

pub const AREA: Area = Area {
    name: "mnt",
    programs: 50,
    length: 60,
    prelude: &[
        (1, "clone newns"),
        (2, "mkdir /w/a"),
        (2, "mkdir /w/b"),
        (2, "mkdir /w/c"),
        (2, "touch /w/f"),
        (2, "mount tmpfs one /w/a"),
        (2, "mkdir /w/a/x"),
        (2, "mkdir /w/a/x/y"),
        (2, "touch /w/a/f"),
        (2, "mount --make-shared /w/a"),
        (2, "clone newns"),
        (2, "clone"),
    ],
    needs_root: true,
    is_sandboxed: true,
    step: program::mnt::step,
    observe: observe::observe,
};
