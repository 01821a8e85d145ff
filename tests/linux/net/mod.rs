//! Random programs about network namespaces: devices, addresses, ids, sockets.

pub mod call;
pub mod listing;
mod netlink;
pub mod view;

use nslab::syscall::{AnyCall, LabCall, Syscall};

use crate::area::{Area, PLAIN};
use crate::pair::Pair;
use crate::program;
use view::Tcp;

pub const AREA: Area = Area {
    name: "net",
    programs: 25,
    length: 60,
    prelude: &[
        (1, "clone newnet"),
        (2, "clone newnet"),
        (2, "clone newuser newnet"),
        (2, "clone"),
        (1, "write proc/4/uid_map \"0 0 10\""),
    ],
    step: program::net::step,
    observe: |pair: &mut Pair, call| {
        let is_about_sockets = |call: &AnyCall| {
            matches!(
                call,
                AnyCall::Lab(LabCall::Bind(_) | LabCall::Connect(_))
                    | AnyCall::Linux(Syscall::Close { .. } | Syscall::Exit { .. })
            )
        };
        let is_seen = call.is_none_or(|(_, call)| is_about_sockets(call));
        pair.compare_nets(if is_seen { Tcp::Seen } else { Tcp::Skipped })
    },
    ..PLAIN
};
