//! The words of ip(8).

use std::net::{IpAddr, SocketAddr};

use super::args::Args;
use super::word::{number, unexpected};
use crate::bail;
use crate::errno::Result;
use crate::syscall::ip::{DevAddress, Ip, LinkAdd, LinkEnd, LinkSet, Netns};
use crate::syscall::socket::SocketName;
use crate::syscall::{LabCall, PidArg};

pub(super) const USAGE: &str = "link add [NAME] [index N] [address MAC] [netns PID] type dummy|bridge|veth [peer name P [index N] \
    [address MAC] [netns PID]]|link set D [up|down] [name N] [index N] [netns PID|fd:FD] [master BR|nomaster]|link property add dev D \
    altname N|link del D|link [show [D]]|addr add|del A/P dev D|addr [show [D]]|netns set PID N|auto|netns get PID|\
    netns list-id";

pub(super) fn parse(args: &mut Args<'_>) -> Result<LabCall> {
    let call = match args.text("link, addr or netns")? {
        "link" => link(args)?,
        "addr" => address(args)?,
        "netns" => namespace(args)?,
        word => return Err(unexpected("link, addr or netns", word)),
    };
    Ok(LabCall::Ip(call))
}

fn link(args: &mut Args<'_>) -> Result<Ip> {
    Ok(match args.optional_text()? {
        None => Ip::LinkShow { dev: None },
        Some("show") => Ip::LinkShow { dev: shown(args) },
        Some("add") => Ip::LinkAdd(link_add(args)?),
        Some("set") => Ip::LinkSet(link_set(args)?),
        Some("del") => Ip::LinkDel { dev: args.bytes("D")?.to_vec() },
        Some("property") => {
            keyword(args, "add")?;
            keyword(args, "dev")?;
            let dev = args.bytes("D")?.to_vec();
            keyword(args, "altname")?;
            Ip::AltnameAdd { dev, name: args.bytes("N")?.to_vec() }
        }
        Some(word) => return Err(unexpected("add, set, property, del or show", word)),
    })
}

/// The device a listing is limited to.
fn shown(args: &mut Args<'_>) -> Option<Vec<u8>> {
    args.optional().map(<[u8]>::to_vec)
}

fn keyword(args: &mut Args<'_>, word: &'static str) -> Result<()> {
    args.choice(word, &[(word, ())])
}

fn link_add(args: &mut Args<'_>) -> Result<LinkAdd> {
    let mut add = LinkAdd { end: LinkEnd::default(), kind: String::new(), peer: LinkEnd::default() };
    loop {
        match args.bytes("type")? {
            b"type" => break,
            b"index" => add.end.index = index(args)?,
            b"address" => add.end.address = Some(mac(args)?),
            b"netns" => add.end.netns = Some(netns(args)?),
            b"name" => add.end.name = args.bytes("NAME")?.to_vec(),
            name if add.end.name.is_empty() => add.end.name = name.to_vec(),
            word => return Err(unexpected("type", &String::from_utf8_lossy(word))),
        }
    }
    add.kind = args.text("the kind")?.to_owned();
    if add.kind != "veth" {
        return Ok(add);
    }
    if args.optional_choice("peer", &[("peer", ())])?.is_none() {
        return Ok(add);
    }
    while let Some(word) = args.optional_text()? {
        match word {
            "name" => add.peer.name = args.bytes("P")?.to_vec(),
            "index" => add.peer.index = index(args)?,
            "address" => add.peer.address = Some(mac(args)?),
            "netns" => add.peer.netns = Some(netns(args)?),
            _ => return Err(unexpected("name, index, address or netns", word)),
        }
    }
    Ok(add)
}

fn link_set(args: &mut Args<'_>) -> Result<LinkSet> {
    let mut set = LinkSet { dev: args.bytes("D")?.to_vec(), ..LinkSet::default() };
    while let Some(word) = args.optional_text()? {
        match word {
            "up" => set.up = Some(true),
            "down" => set.up = Some(false),
            "name" => set.name = Some(args.bytes("N")?.to_vec()),
            "index" => set.index = Some(index(args)?),
            "netns" => set.netns = Some(netns(args)?),
            "master" => set.master = Some(Some(args.bytes("BR")?.to_vec())),
            "nomaster" => set.master = Some(None),
            _ => return Err(unexpected("up, down, name, index, netns, master or nomaster", word)),
        }
    }
    Ok(set)
}

/// An ifindex, from 1 on.
fn index(args: &mut Args<'_>) -> Result<i32> {
    match args.number("N")? {
        index @ 1.. => Ok(index),
        index => bail!(EINVAL, "{} is no index", index),
    }
}

/// A hardware address, as `02:00:00:00:00:01`.
fn mac(args: &mut Args<'_>) -> Result<[u8; 6]> {
    let word = args.text("MAC")?;
    let bytes = word.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<Vec<u8>>>();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| unexpected("MAC", word))
}

fn netns(args: &mut Args<'_>) -> Result<Netns> {
    let word = args.text("PID or fd:FD")?;
    match word.strip_prefix("fd:") {
        Some(fd) => number(fd, "the number of fd:FD").map(Netns::Fd),
        None => number(word, "PID").map(PidArg::Initial).map(Netns::Pid),
    }
}

fn address(args: &mut Args<'_>) -> Result<Ip> {
    Ok(match args.optional_text()? {
        None => Ip::AddrShow { dev: None },
        Some("show") => Ip::AddrShow { dev: shown(args) },
        Some("add") => Ip::AddrAdd(dev_address(args)?),
        Some("del") => Ip::AddrDel(dev_address(args)?),
        Some(word) => return Err(unexpected("add, del or show", word)),
    })
}

/// `A/P dev D`; without `/P` the address alone.
fn dev_address(args: &mut Args<'_>) -> Result<DevAddress> {
    let word = args.text("A/P")?;
    let (addr, prefixlen) = word.split_once('/').map_or((word, None), |(addr, prefixlen)| (addr, Some(prefixlen)));
    let addr: IpAddr = addr.parse().map_err(|_| unexpected("A/P", word))?;
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    let prefixlen = prefixlen.map_or(Ok(longest), |prefixlen| number(prefixlen, "P"))?;
    if prefixlen > longest {
        return Err(unexpected("A/P", word));
    }
    keyword(args, "dev")?;
    Ok(DevAddress { addr, prefixlen, dev: args.bytes("D")?.to_vec() })
}

fn namespace(args: &mut Args<'_>) -> Result<Ip> {
    Ok(match args.text("set, get or list-id")? {
        "set" => {
            let pid = args.pid("PID")?;
            let word = args.text("N or auto")?;
            Ip::NetnsSet { pid, id: if word == "auto" { -1 } else { number(word, "N or auto")? } }
        }
        "get" => Ip::NetnsGet { pid: args.pid("PID")? },
        "list-id" => Ip::NetnsListId,
        word => return Err(unexpected("set, get or list-id", word)),
    })
}

/// What bind and connect are given: `tcp|udp|unix IP:PORT|@name|/path`; an IPv6 address stands in brackets.
pub(super) fn socket_name(args: &mut Args<'_>) -> Result<SocketName> {
    let family = args.text("tcp, udp or unix")?;
    let name = args.bytes("IP:PORT, @name or /path")?;
    let inet = || -> Result<SocketAddr> {
        let text = String::from_utf8_lossy(name);
        text.parse().map_err(|_| unexpected("IP:PORT", &text))
    };
    match (family, name) {
        ("tcp", _) => inet().map(SocketName::Tcp),
        ("udp", _) => inet().map(SocketName::Udp),
        ("unix", [b'@', name @ ..]) => Ok(SocketName::Abstract(name.to_vec())),
        ("unix", [b'/', ..]) => Ok(SocketName::Path(name.to_vec())),
        ("unix", _) => Err(unexpected("@name or /path", &String::from_utf8_lossy(name))),
        _ => Err(unexpected("tcp, udp or unix", family)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse_write, verb};
    use super::*;
    use crate::syscall::AnyCall;

    fn ip(line: &str) -> Result<Ip> {
        match parse_write(verb("ip").unwrap(), line.as_bytes())? {
            AnyCall::Lab(LabCall::Ip(call)) => Ok(call),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_veth_has_two_ends() {
        let line = "link add v0 index 5 netns 2 type veth peer name v1 index 6 address 2:0:0:0:a:FF netns fd:3";
        let end =
            LinkEnd { name: b"v0".to_vec(), index: 5, address: None, netns: Some(Netns::Pid(PidArg::Initial(2))) };
        let address = Some([2, 0, 0, 0, 10, 255]);
        let peer = LinkEnd { name: b"v1".to_vec(), index: 6, address, netns: Some(Netns::Fd(3)) };
        assert_eq!(ip(line).unwrap(), Ip::LinkAdd(LinkAdd { end, kind: "veth".to_owned(), peer }));
        assert!(ip("link add type veth").is_ok() && ip("link add d0 type dummy").is_ok());
        for line in [
            "link add",
            "link add a b type dummy",
            "link add a type dummy peer name b",
            "link add a index 0 type dummy",
            "link add a address 2:0:0:0:0 type dummy",
            "link add a address 2:0:0:0:0:100 type dummy",
        ] {
            assert!(ip(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_address_has_a_prefix_of_its_family() {
        let add = |addr: &str, prefixlen| DevAddress { addr: addr.parse().unwrap(), prefixlen, dev: b"lo".to_vec() };
        assert_eq!(ip("addr add 10.0.0.1/8 dev lo").unwrap(), Ip::AddrAdd(add("10.0.0.1", 8)));
        assert_eq!(ip("addr del ::1 dev lo").unwrap(), Ip::AddrDel(add("::1", 128)));
        assert!(ip("addr add 10.0.0.1/33 dev lo").is_err() && ip("addr add x dev lo").is_err());
    }

    #[test]
    fn names_of_sockets_have_the_form_of_their_family() {
        for line in ["tcp 127.0.0.1:80", "udp [::1]:80", "unix @x", "unix /run/x"] {
            assert!(parse_write(verb("bind").unwrap(), line.as_bytes()).is_ok(), "{line}");
        }
        for line in ["tcp 127.0.0.1", "tcp @x", "unix x", "sctp 127.0.0.1:1"] {
            assert!(parse_write(verb("connect").unwrap(), line.as_bytes()).is_err(), "{line}");
        }
    }
}
