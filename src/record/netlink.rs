//! What rtnetlink(7) tells of the network namespace that the caller is in.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Prop};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{RouteMessage, RouteProtocol};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::net::{Device, LOOPBACK};
use crate::syscall::ip::PHYSICAL;

/// Where the other end of a device is: the id of its namespace, none if it is this one, and its index there.
pub(super) type Link = (Option<i32>, i32);
/// The other ends of the devices of a namespace, by index.
pub(super) type Links = BTreeMap<i32, Link>;

/// A socket that asks.
#[derive(Debug)]
pub(super) struct Rtnetlink(Socket);

impl Rtnetlink {
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> io::Result<Rtnetlink> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Rtnetlink(socket))
    }

    /// The answers to a request: one, or with NLM_F_DUMP all there are.
    ///
    /// # Errors
    /// What the kernel answers; InvalidData: an answer that cannot be read.
    fn ask(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(request));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.0.recv_from_full()?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    _ => {}
                }
                // The last one may be without what fills it to a whole number of words.
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(answers);
            }
        }
    }

    /// The devices, by index, and where the other ends of pairs are: of the namespace with this id, or of the socket's own. To
    /// say where they are Linux gives the namespaces of the other ends ids in that of the socket (`rtnl_fill_link_netnsid`).
    ///
    /// # Errors
    /// As [`Rtnetlink::ask`]; EPERM: CAP_NET_ADMIN is missing in the other namespace.
    pub fn devices(&self, of: Option<i32>) -> io::Result<(BTreeMap<i32, Device>, Links)> {
        let (mut devices, mut links) = (BTreeMap::new(), BTreeMap::new());
        let mut request = LinkMessage::default();
        request.attributes.extend(of.map(LinkAttribute::IfNetnsId));
        for answer in self.ask(RouteNetlinkMessage::GetLink(request), NLM_F_DUMP)? {
            let RouteNetlinkMessage::NewLink(message) = answer else { continue };
            let (device, link) = device(&message);
            links.extend(link.map(|link| (device.index, link)));
            devices.insert(device.index, device);
        }
        Ok((devices, links))
    }

    /// Gives devices of the namespace their addresses.
    ///
    /// # Errors
    /// As [`Rtnetlink::ask`].
    pub fn addresses(&self, devices: &mut BTreeMap<i32, Device>) -> io::Result<()> {
        for answer in self.ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)? {
            let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
            let device = i32::try_from(message.header.index).ok().and_then(|index| devices.get_mut(&index));
            if let (Some(device), Some(address)) = (device, address(&message)) {
                device.addresses.push((address, message.header.prefix_len));
            }
        }
        Ok(())
    }

    /// Gives an open namespace an id.
    ///
    /// # Errors
    /// As [`Rtnetlink::ask`].
    pub fn name(&self, namespace: impl AsFd, id: i32) -> io::Result<()> {
        let mut request = NsidMessage::default();
        request.attributes.push(NsidAttribute::Fd(namespace.as_fd().as_raw_fd().cast_unsigned()));
        request.attributes.push(NsidAttribute::Id(id));
        self.ask(RouteNetlinkMessage::NewNsId(request), NLM_F_ACK).map(drop)
    }

    /// How many routes there are that do not follow from the addresses.
    ///
    /// # Errors
    /// As [`Rtnetlink::ask`].
    pub fn further_routes(&self) -> io::Result<usize> {
        let answers = self.ask(RouteNetlinkMessage::GetRoute(RouteMessage::default()), NLM_F_DUMP)?;
        let is_further = |answer: &&RouteNetlinkMessage| matches!(answer, RouteNetlinkMessage::NewRoute(route) if route.header.protocol != RouteProtocol::Kernel);
        Ok(answers.iter().filter(is_further).count())
    }

    /// The ids that other namespaces have here.
    ///
    /// # Errors
    /// As [`Rtnetlink::ask`].
    pub fn ids(&self) -> io::Result<Vec<i32>> {
        let answers = self.ask(RouteNetlinkMessage::GetNsId(NsidMessage::default()), NLM_F_DUMP)?;
        Ok(answers.iter().filter_map(id).collect())
    }

    /// The id that an open namespace has here.
    pub fn id_of(&self, namespace: impl AsFd) -> Option<i32> {
        let mut request = NsidMessage::default();
        request.attributes.push(NsidAttribute::Fd(namespace.as_fd().as_raw_fd().cast_unsigned()));
        let answers = self.ask(RouteNetlinkMessage::GetNsId(request), 0).ok()?;
        answers.iter().find_map(id)
    }
}

fn id(answer: &RouteNetlinkMessage) -> Option<i32> {
    let RouteNetlinkMessage::NewNsId(message) = answer else { return None };
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => Some(*id).filter(|id| *id >= 0),
        _ => None,
    })
}

fn device(message: &LinkMessage) -> (Device, Option<Link>) {
    let header = &message.header;
    let mut device = Device {
        index: i32::try_from(header.index).unwrap_or_default(),
        is_up: header.flags.contains(LinkFlags::Up),
        kind: if header.link_layer_type == LinkLayerType::Loopback { LOOPBACK } else { PHYSICAL }.to_owned(),
        has_carrier: true,
        ..Device::default()
    };
    let (mut index, mut nsid) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name.clone().into_bytes(),
            LinkAttribute::Address(address) => device.address = address[..].try_into().unwrap_or_default(),
            LinkAttribute::Carrier(carrier) => device.has_carrier = *carrier != 0,
            LinkAttribute::Controller(master) => device.master = i32::try_from(*master).ok(),
            LinkAttribute::Link(link) => index = i32::try_from(*link).ok(),
            LinkAttribute::LinkNetNsId(id) => nsid = Some(*id),
            LinkAttribute::LinkInfo(info) => {
                let kind = info.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
                device.kind = kind.unwrap_or(device.kind);
            }
            LinkAttribute::PropList(names) => device.altnames.extend(names.iter().filter_map(|name| match name {
                Prop::AltIfName(name) => Some(name.clone().into_bytes()),
                _ => None,
            })),
            _ => {}
        }
    }
    (device, index.map(|index| (nsid, index)))
}

/// Of a point-to-point link the own one.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |local: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if local => Some(*address),
            AddressAttribute::Address(address) if !local => Some(*address),
            _ => None,
        })
    };
    find(true).or_else(|| find(false))
}
