//! `proc/<pid>/net/{snmp,netstat,sockstat,arp}`: counters of a network namespace in which nothing is ever sent
//! (`net/ipv4/proc.c`, `net/ipv4/arp.c`).

use crate::errno::Result;
use crate::kernel::TaskId;
use crate::kernel::net::conf::FORWARDING;
use crate::kernel::net::socket::Family;
use crate::tree::look::Look;

use super::net::namespace;

/// A protocol and its counters, each of which is 0 but those whose value is given.
type Mib = (&'static str, &'static str);

const SNMP: [Mib; 4] = [
    (
        "Icmp",
        "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps \
         InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost \
         OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps \
         OutTimestampReps OutAddrMasks OutAddrMaskReps",
    ),
    (
        "Tcp",
        "RtoAlgorithm=1 RtoMin=200 RtoMax=120000 MaxConn=-1 ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab \
         InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors",
    ),
    ("Udp", UDP),
    ("UdpLite", UDP),
];

const UDP: &str =
    "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors";

const IP: &str = "DefaultTTL=64 InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers \
                  OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails \
                  FragCreates OutTransmits";

/// The counters that programs know best; which ones there are differs from kernel to kernel.
const NETSTAT: [Mib; 2] = [
    (
        "TcpExt",
        "SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled RcvPruned OfoPruned OutOfWindowIcmps \
         LockDroppedIcmps ArpFilter TW TWRecycled TWKilled PAWSActive PAWSEstab DelayedACKs DelayedACKLocked \
         DelayedACKLost ListenOverflows ListenDrops TCPHPHits TCPPureAcks TCPHPAcks TCPTimeouts TCPLossProbes \
         TCPBacklogDrop TCPSynRetrans TCPOrigDataSent TCPKeepAlive TCPDelivered TCPOFOQueue TCPRcvQDrop",
    ),
    (
        "IpExt",
        "InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets InMcastOctets \
         OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts \
         ReasmOverlaps",
    ),
];

const SNMP6: [Mib; 4] = [
    (
        "Ip6",
        "InReceives InHdrErrors InTooBigErrors InNoRoutes InAddrErrors InUnknownProtos InTruncatedPkts InDiscards \
         InDelivers OutForwDatagrams OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails \
         FragOKs FragFails FragCreates InMcastPkts OutMcastPkts InOctets OutOctets InMcastOctets OutMcastOctets \
         InBcastOctets OutBcastOctets InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts OutTransmits",
    ),
    (
        "Icmp6",
        "InMsgs InErrors OutMsgs OutErrors InCsumErrors OutRateLimitHost InDestUnreachs InPktTooBigs InTimeExcds \
         InParmProblems InEchos InEchoReplies OutDestUnreachs OutPktTooBigs OutTimeExcds OutParmProblems OutEchos \
         OutEchoReplies",
    ),
    ("Udp6", UDP6),
    ("UdpLite6", UDP6),
];

const UDP6: &str = "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors MemErrors";

/// Name, bytes of a socket, which sockets have it, memory and pressure, and which of 18 operations there are.
const PROTOCOLS: [(&str, u32, Option<Family>, &str, &str); 5] = [
    ("UDPv6", 1472, None, "    0   NI       0", "yyynyyynyyyynnyyyn"),
    ("TCPv6", 2432, None, "    0   no     192", "yyyyyyyyyyyynyyyyy"),
    ("UNIX", 1152, Some(Family::Unix), "   -1   NI       0", "ynnnnnnnnnnnnnnnnn"),
    ("UDP", 1344, Some(Family::Udp), "    0   NI       0", "yyynyyynyyyynnyyyn"),
    ("TCP", 2304, Some(Family::Tcp), "    0   no     192", "yyyyyyyyyyyynyyyyy"),
];

/// A line of names and a line of values.
fn mib(protocol: &str, counters: &str) -> String {
    let counters = counters.split(' ').map(|counter| counter.split_once('=').unwrap_or((counter, "0")));
    let (names, values): (Vec<_>, Vec<_>) = counters.unzip();
    format!("{protocol}: {}\n{protocol}: {}\n", names.join(" "), values.join(" "))
}

pub(super) fn snmp(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let net = namespace(look)?;
    let forwarding = if look.k.namespaces[net].conf.all[FORWARDING] != 0 { 1 } else { 2 };
    let rest = SNMP.iter().map(|(protocol, counters)| mib(protocol, counters));
    Ok((mib("Ip", &format!("Forwarding={forwarding} {IP}")) + &rest.collect::<String>()).into_bytes())
}

pub(super) fn netstat(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    namespace(look)?;
    Ok(NETSTAT.iter().map(|(protocol, counters)| mib(protocol, counters)).collect::<String>().into_bytes())
}

pub(super) fn sockstat(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let sockets = look.k.sockets_of(namespace(look)?);
    let of = |family| sockets.iter().filter(|(_, socket)| socket.family == family).count();
    let (tcp, udp) = (of(Family::Tcp), of(Family::Udp));
    let text = format!(
        "sockets: used {}\nTCP: inuse {tcp} orphan 0 tw 0 alloc {tcp} mem 0\nUDP: inuse {udp} mem 0\n\
         UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
        sockets.len()
    );
    Ok(text.into_bytes())
}

/// No socket is of IPv6.
pub(super) fn sockstat6(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    namespace(look)?;
    Ok(b"TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n".to_vec())
}

/// The counters of IPv6, a line each: no packet ever went over it.
pub(super) fn snmp6(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    namespace(look)?;
    let names =
        SNMP6.iter().flat_map(|(protocol, counters)| counters.split(' ').map(move |name| format!("{protocol}{name}")));
    Ok(names.map(|name| format!("{name:<32}\t0\n")).collect::<String>().into_bytes())
}

/// The protocols that sockets can have, and how many have them in this namespace (`proto_seq_show`).
pub(super) fn protocols(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    let sockets = look.k.sockets_of(namespace(look)?);
    let line = |&(name, size, family, memory, calls): &(&str, u32, Option<Family>, &str, &str)| {
        let count = sockets.iter().filter(|(_, socket)| Some(socket.family) == family).count();
        let calls = calls.chars().map(|call| format!(" {call:>2}")).collect::<String>();
        format!("{name:<9} {size:>4} {count:>6}  {memory}   yes  kernel     {calls}\n")
    };
    let head = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n";
    Ok((head.to_owned() + &PROTOCOLS.iter().map(line).collect::<String>()).into_bytes())
}

/// Nobody has asked for a hardware address yet.
pub(super) fn arp(look: &Look<'_>, _: TaskId) -> Result<Vec<u8>> {
    namespace(look)?;
    Ok(b"IP address       HW type     Flags       HW address            Mask     Device\n".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_stand_one_above_the_other() {
        assert_eq!(mib("Tcp", "RtoMin=200 InSegs"), "Tcp: RtoMin InSegs\nTcp: 200 0\n");
    }
}
