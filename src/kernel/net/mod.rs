//! The network: devices and what is configured on them, ports and socket names. No packet is ever sent; what can be
//! observed of isolation follows from which objects are in which namespace.

pub mod addr;
pub mod bound;
pub mod bridge;
pub mod conf;
pub mod dev;
pub mod link;
pub mod name;
pub mod netns;
pub mod reach;
pub mod socket;

use std::collections::BTreeMap;

use super::table::{Id, Table};
use bridge::BridgePorts;
use dev::NetDevice;
use socket::Socket;

pub type DevId = Id<NetDevice>;
pub type SocketId = Id<Socket>;

/// All devices and sockets, of all namespaces.
#[derive(Clone, Debug, Default)]
pub struct Net {
    pub devices: Table<NetDevice>,
    pub sockets: Table<Socket>,
    /// The ports of each bridge that has any.
    pub(super) ports: BTreeMap<DevId, BridgePorts>,
    /// Devices whose carrier has changed.
    pub linkwatch: Vec<DevId>,
    /// Devices made so far: their hardware addresses count up.
    pub devices_made: u32,
    /// Sockets made so far: their inode numbers count up.
    pub sockets_made: u64,
}
