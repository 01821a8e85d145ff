//! Messages of rtnetlink(7), by which programs ask for devices, addresses and namespace ids: bytes to [`Asked`], and what was
//! asked for to messages back. Pure, like the rest of this layer: descriptors in a message are the program's own.

mod message;
mod reply;
mod request;

pub use message::{Header, messages};
pub use reply::{Reader, acknowledge, answer, refuse};
pub use request::{Asked, Wanted, asked};

/// `AF_NETLINK`
pub const AF_NETLINK: u16 = 16;
/// The protocol of rtnetlink(7).
pub const NETLINK_ROUTE: i32 = 0;
/// Bytes of `struct sockaddr_nl`: family, two bytes of nothing, port, groups.
pub const ADDRESS_LEN: usize = 12;

/// `struct sockaddr_nl`
pub fn address(portid: u32, groups: u32) -> [u8; ADDRESS_LEN] {
    let mut bytes = [0; ADDRESS_LEN];
    bytes[..2].copy_from_slice(&AF_NETLINK.to_ne_bytes());
    bytes[4..8].copy_from_slice(&portid.to_ne_bytes());
    bytes[8..].copy_from_slice(&groups.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::message::{Attributes, Message};
    use super::*;
    use crate::errno::Errno;
    use crate::kernel::{Kernel, NetNsId};
    use crate::syscall::ip::{Ip, LinkAdd, LinkEnd, LinkSet, Netns};
    use crate::syscall::{PidArg, dispatch};

    const REQUEST: u16 = 1;
    const DUMP: u16 = 0x300;
    const GETLINK: u16 = 18;
    const NEWLINK: u16 = 16;
    const GETADDR: u16 = 22;
    const GETNSID: u16 = 90;

    fn machine() -> (Kernel, NetNsId) {
        let k = Kernel::boot();
        let net = k.nsproxy_of(k.init.task).unwrap().net_ns();
        (k, net)
    }

    fn request(kind: u16, flags: u16, body: &[u8], fill: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::new(Header { kind, flags: REQUEST | flags, seq: 7, portid: 0 }, body);
        fill(&mut message);
        message.finish()
    }

    /// The one message that these bytes are.
    fn one(bytes: &[u8]) -> (Header, &[u8]) {
        messages(bytes).next().unwrap()
    }

    fn meant(k: &Kernel, net: NetNsId, bytes: &[u8]) -> Result<Asked, Errno> {
        let (header, body) = one(bytes);
        asked(k, k.init.task, net, &header, body).map_err(|error| error.errno)
    }

    /// `struct ifinfomsg` of the device with an index.
    fn link(index: i32, flags: u32, change: u32) -> Vec<u8> {
        [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()].concat()
    }

    #[test]
    fn messages_end_where_their_length_says_or_where_nothing_is_left() {
        let first = request(GETLINK, 0, &link(1, 0, 0), |_| {});
        let both = [&first[..], &request(GETADDR, DUMP, &[0; 4], |_| {})].concat();
        assert_eq!(messages(&both).map(|(header, _)| header.kind).collect::<Vec<_>>(), [GETLINK, GETADDR]);
        for cut in 0..first.len() {
            assert_eq!(messages(&first[..cut]).count(), 0, "{cut}");
        }
        let mut short = first;
        short[0] = 15;
        assert_eq!(messages(&short).count(), 0);
    }

    #[test]
    fn attributes_that_do_not_fit_end_the_list() {
        let mut message = Message::new(Header::default(), &[]);
        message.attribute(3, b"lo\0");
        message.attribute(4, &[1, 2, 3, 4]);
        let bytes = &message.finish()[16..];
        let found: Vec<_> = Attributes(bytes).map(|(kind, value)| (kind, value.len())).collect();
        assert_eq!(found, [(3, 3), (4, 4)]);
        for cut in 0..bytes.len() {
            assert!(Attributes(&bytes[..cut]).count() < 2, "{cut}");
        }
        assert_eq!(Attributes(&[3, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn devices_are_named_by_index_or_name() {
        let (k, net) = machine();
        let single = |body: Vec<u8>, name: Option<&[u8]>| {
            let bytes = request(GETLINK, 0, &body, |message| {
                if let Some(name) = name {
                    message.attribute(3, name);
                }
            });
            meant(&k, net, &bytes)
        };
        let show = |dev: &[u8]| Ok(Asked { ip: Ip::LinkShow { dev: Some(dev.to_vec()) }, wanted: Wanted::One });
        assert_eq!(single(link(1, 0, 0), None), show(b"lo"));
        assert_eq!(single(link(0, 0, 0), Some(b"eth0\0")), show(b"eth0"));
        assert_eq!(single(link(99, 0, 0), None), Err(Errno::ENODEV));
        assert_eq!(single(link(0, 0, 0), None), Err(Errno::EINVAL));
        assert_eq!(single(vec![0; 3], None), Err(Errno::EINVAL));
        let dump = request(GETLINK, DUMP, &link(0, 0, 0), |_| {});
        assert_eq!(meant(&k, net, &dump), Ok(Asked { ip: Ip::LinkShow { dev: None }, wanted: Wanted::All }));
    }

    #[test]
    fn a_link_is_made_and_changed_by_the_same_message() {
        let (k, net) = machine();
        let add = request(NEWLINK, 0x600, &link(0, 0, 0), |message| {
            message.attribute(3, b"v0\0");
            message.nested(18, |info| {
                info.attribute(1, b"veth");
                info.nested(2, |data| {
                    data.nested(1, |peer| {
                        peer.bytes(&link(0, 0, 0));
                        peer.attribute(1, &[2, 0, 0, 0, 0, 1]);
                        peer.attribute(3, b"v1\0");
                        peer.attribute(19, &7_u32.to_ne_bytes());
                    });
                });
            });
        });
        let peer = LinkEnd {
            name: b"v1".to_vec(),
            index: 0,
            address: Some([2, 0, 0, 0, 0, 1]),
            netns: Some(Netns::Pid(PidArg::Own(7))),
        };
        let end = LinkEnd { name: b"v0".to_vec(), index: 0, address: None, netns: None };
        let made = Ip::LinkAdd(LinkAdd { end, kind: "veth".to_owned(), peer });
        assert_eq!(meant(&k, net, &add), Ok(Asked { ip: made, wanted: Wanted::Nothing }));
        let set = |body: Vec<u8>, kind: u16, value: &[u8]| {
            meant(&k, net, &request(NEWLINK, 0, &body, |message| message.attribute(kind, value)))
        };
        let changed = |set: LinkSet| Ok(Asked { ip: Ip::LinkSet(set), wanted: Wanted::Nothing });
        let dev = b"lo".to_vec();
        assert_eq!(
            set(link(1, 1, 1), 3, b"x\0"),
            changed(LinkSet { dev: dev.clone(), up: Some(true), name: Some(b"x".to_vec()), ..LinkSet::default() })
        );
        assert_eq!(
            set(link(1, 0, 0), 28, &5_u32.to_ne_bytes()),
            changed(LinkSet { dev: dev.clone(), netns: Some(Netns::Fd(5)), ..LinkSet::default() })
        );
        assert_eq!(set(link(1, 0, 0), 10, &[0; 4]), changed(LinkSet { dev, master: Some(None), ..LinkSet::default() }));
        // What the lab does not have is refused, not forgotten.
        assert_eq!(set(link(1, 0, 0), 4, &1400_u32.to_ne_bytes()), Err(Errno::EOPNOTSUPP));
        assert_eq!(set(link(1, 2, 2), 3, b"x\0"), Err(Errno::EOPNOTSUPP));
        assert_eq!(set(link(1, 0, 0), 10, &[0; 3]), Err(Errno::EINVAL));
    }

    #[test]
    fn what_is_asked_for_comes_back_in_messages_of_its_kind() {
        let (mut k, net) = machine();
        let bytes = request(GETLINK, DUMP, &link(0, 0, 0), |_| {});
        let (header, body) = one(&bytes);
        let Asked { ip, wanted } = asked(&k, k.init.task, net, &header, body).unwrap();
        let init = k.init.task;
        let given = dispatch(&mut k, init, &crate::syscall::LabCall::Ip(ip).into()).unwrap();
        let reader = Reader { portid: 5, seq: 7 };
        let datagrams = answer(&k, net, &given, &wanted, reader).unwrap();
        let all: Vec<(Header, Vec<u8>)> =
            datagrams.iter().flat_map(|datagram| messages(datagram)).map(|(h, b)| (h, b.to_vec())).collect();
        assert_eq!(all.iter().map(|(header, _)| header.kind).collect::<Vec<_>>(), [NEWLINK, NEWLINK, 3]);
        assert!(all.iter().all(|(header, _)| (header.seq, header.portid, header.flags) == (7, 5, 2)));
        let names: Vec<&[u8]> =
            all[..2].iter().map(|(_, body)| Attributes(&body[16..]).find(|(kind, _)| *kind == 3).unwrap().1).collect();
        assert_eq!(names, [&b"lo\0"[..], b"eth0\0"]);
    }

    #[test]
    fn a_namespace_is_asked_for_by_process_or_descriptor() {
        let (k, net) = machine();
        let by = |kind, value: u32| {
            meant(&k, net, &request(GETNSID, 0, &[0; 4], |message| message.attribute(kind, &value.to_ne_bytes())))
        };
        let get = |netns| Ok(Asked { ip: Ip::NetnsGet { netns }, wanted: Wanted::One });
        assert_eq!(by(2, 7), get(Netns::Pid(PidArg::Own(7))));
        assert_eq!(by(3, 7), get(Netns::Fd(7)));
        assert_eq!(by(9, 7), Err(Errno::EINVAL));
        let unknown = request(99, 0, &[0; 4], |_| {});
        assert_eq!(meant(&k, net, &unknown), Err(Errno::EOPNOTSUPP));
    }

    #[test]
    fn a_refusal_has_the_request_and_the_reason() {
        let bytes = request(GETLINK, 4, &link(99, 0, 0), |_| {});
        let (k, net) = machine();
        let (header, body) = one(&bytes);
        let error = asked(&k, k.init.task, net, &header, body).unwrap_err();
        let reader = Reader { portid: 5, seq: 7 };
        let whole = refuse(&header, body, &error, reader, Some("why"), false);
        let (refused, payload) = one(&whole);
        assert_eq!((refused.kind, refused.flags), (2, 0x200));
        assert_eq!(payload[..4], (-19_i32).to_ne_bytes());
        assert_eq!(&payload[4..4 + bytes.len()], &bytes[..]);
        assert_eq!(Attributes(&payload[4 + bytes.len()..]).next(), Some((1, &b"why\0"[..])));
        let capped = refuse(&header, body, &error, reader, None, true);
        assert_eq!((one(&capped).0.flags, one(&capped).1.len()), (0x100, 4 + 16));
        let done = acknowledge(&header, reader);
        assert_eq!((one(&done).1[..4].to_vec(), one(&done).1.len()), (vec![0; 4], 4 + 16));
    }
}
