//! What can be seen of a network namespace, on both sides as the same texts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use nslab::errno::Errno;
use nslab::kernel::TaskId;
use nslab::kernel::net::DevId;
use nslab::kernel::net::dev::NetDevice;
use nslab::kernel::task::TaskState;
use nslab::syscall::ip::Ip;
use nslab::syscall::{LabCall, dispatch};

use super::listing::{Device, Net, masked_if_inet6, masked_listing};
use crate::observe::{lab_text, real_text};
use crate::pair::Pair;
use crate::patience::Wait;
use crate::program::net::own_net;

/// One thing seen: what it is, and its text.
type Sight = (&'static str, Result<String, Errno>);

/// Makes a file what is compared of it.
type Mask = fn(&str) -> String;

const FILES: [(&str, Mask); 8] = [
    ("net/dev", names_only),
    ("net/route", trimmed),
    ("net/if_inet6", masked_if_inet6),
    ("net/unix", unix_lines),
    ("net/tcp", tcp_lines),
    ("net/tcp6", tcp_lines),
    ("net/udp", udp_lines),
    ("net/udp6", udp_lines),
];

/// A file of `net` as it is compared; `None` for one that is not.
pub fn masked_file(path: &str) -> Option<Mask> {
    FILES.iter().find(|(name, _)| path.ends_with(name)).map(|(_, mask)| *mask)
}

fn names_only(text: &str) -> String {
    let names = text.lines().map(|line| line.rsplit_once(": ").map_or(line, |(name, _)| name));
    names.collect::<Vec<_>>().join("\n")
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The lines after the first through `mask`, in an order that does not depend on hashes.
fn sorted(text: &str, mask: impl Fn(&[&str]) -> Option<String>) -> String {
    let words = |line: &str| mask(&line.split_whitespace().collect::<Vec<_>>());
    let mut lines: Vec<String> = text.lines().skip(1).filter_map(words).collect();
    lines.sort();
    [text.lines().next().unwrap_or_default().trim_end(), &lines.join("\n")].join("\n")
}

/// Without the addresses of objects and inode numbers.
fn unix_lines(text: &str) -> String {
    sorted(text, |words| {
        let mut words = words.to_vec();
        words.remove(0);
        words.remove(5);
        Some(words.join(" "))
    })
}

/// Ends, state and owner of what listens or is connected. What the machine keeps after a connection is not part of the
/// lab.
fn tcp_lines(text: &str) -> String {
    sorted(text, |words| {
        let [_, local, remote, state @ ("01" | "0A"), _, _, _, uid, ..] = words else { return None };
        Some(format!("{} {} {state} {uid}", end(local), end(remote)))
    })
}

fn udp_lines(text: &str) -> String {
    sorted(text, |words| {
        let [_, local, remote, state, _, _, _, uid, ..] = words else { return None };
        Some(format!("{} {} {state} {uid}", end(local), end(remote)))
    })
}

/// Ports given out automatically are drawn at random.
fn end(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((addr, port)) if u16::from_str_radix(port, 16).is_ok_and(|port| port >= 32768) => format!("{addr}:auto"),
        _ => text.to_owned(),
    }
}

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;

/// Whether TCP sockets are looked at, which takes long: the machine looks for them in tables of its whole self.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    Skipped,
    Seen,
}

fn files(tcp: Tcp) -> impl Iterator<Item = (&'static str, Mask)> {
    FILES.into_iter().filter(move |(file, _)| tcp == Tcp::Seen || !file.contains("tcp"))
}

fn device_line(index: i32, name: &str, flags: u32) -> String {
    format!("{index} {name} {:#x}", flags & (IFF_UP | IFF_RUNNING))
}

impl Pair {
    /// Compares every network namespace but the host's that a live task is in, until they agree or patience ends: the
    /// machine ends namespaces in its own time.
    ///
    /// # Errors
    /// The two differ.
    pub fn compare_nets(&mut self, tcp: Tcp) -> Result<(), String> {
        let mut seen = BTreeMap::new();
        for (id, task) in self.k.tasks.iter().filter(|(_, task)| task.state == TaskState::Running) {
            if let Some(net) = own_net(&self.k, id).filter(|_| !self.k.is_cgroup_frozen(task.cgroup.id())) {
                seen.entry(net).or_insert(id);
            }
        }
        for task in seen.into_values() {
            let lab = self.lab_net(task, tcp);
            let nr = self.k.task_nr(task);
            let Some(real) = self.machine.numbers.real(nr) else { continue };
            let links = self.askable_links(task);
            let wait = Wait::start();
            while let ControlFlow::Break((what, lab, there)) = difference(&lab, &real_net(real, &links, tcp)) {
                if wait.is_over(self.patience()) {
                    return Err(format!("{what} of task {nr}: lab {lab:?}, machine {there:?}"));
                }
                wait.pause();
            }
        }
        Ok(())
    }

    /// The indexes of the devices in the namespace of a task that can be asked for without a trace: an answer about a device
    /// whose other end is elsewhere gives that namespace an id if it had none.
    fn askable_links(&self, task: TaskId) -> Vec<i32> {
        let Some(net) = own_net(&self.k, task) else { return Vec::new() };
        let is_known = |dev: &NetDevice| {
            let other = dev.peer().map_or(net, |peer| self.k.net.devices[peer].net);
            other == net || self.k.peernet2id(net, other).is_some()
        };
        self.k.devices_of(net).filter(|(_, dev)| is_known(dev)).map(|(_, dev)| dev.ifindex).collect()
    }

    fn lab_net(&mut self, task: TaskId, tcp: Tcp) -> Vec<Sight> {
        let k = &self.k;
        let files = files(tcp).map(|(file, mask)| (file, lab_text(k, task, file).map(|text| mask(&text))));
        let mut all: Vec<Sight> = files.collect();
        let net = own_net(k, task).expect("only other namespaces are looked at");
        let device = |(id, dev): (DevId, &NetDevice)| {
            let runs = matches!(k.operstate(id).name(), "UP" | "UNKNOWN");
            let flags = if dev.is_up { IFF_UP } else { 0 } | if dev.is_up && runs { IFF_RUNNING } else { 0 };
            device_line(dev.ifindex, &String::from_utf8_lossy(&dev.name), flags)
        };
        all.push(("devices", Ok(k.devices_of(net).map(device).collect::<Vec<_>>().join("\n"))));
        for (what, call) in LISTINGS {
            let text = dispatch(&mut self.k, task, &LabCall::Ip(call).into());
            all.push((what, text.map(|text| masked_listing(&text.to_string())).map_err(|stop| stop.errno())));
        }
        all
    }
}

/// Listings that change nothing on either side.
const LISTINGS: [(&str, Ip); 2] = [("addresses", Ip::AddrShow { dev: None }), ("namespace ids", Ip::NetnsListId)];

fn real_net(real: i32, links: &[i32], tcp: Tcp) -> Vec<Sight> {
    let net = match Net::of(real).and_then(|net| net.settle_links(links).map(|()| net)) {
        Ok(net) => net,
        Err(errno) => return vec![("the namespace", Err(errno))],
    };
    let mut all: Vec<Sight> =
        files(tcp).map(|(file, mask)| (file, real_text(real, file).map(|text| mask(&text)))).collect();
    let text = |device: &Device| device_line(device.index, &device.name, device.flags);
    all.push(("devices", net.devices().map(|all| all.iter().map(text).collect::<Vec<_>>().join("\n"))));
    all.extend(LISTINGS.map(|(what, call)| (what, net.listing(&call).map(|text| masked_listing(&text)))));
    all
}

type Difference = (&'static str, Result<String, Errno>, Option<Result<String, Errno>>);

fn difference(lab: &[Sight], there: &[Sight]) -> ControlFlow<Difference> {
    for (what, text) in lab {
        let other = there.iter().find(|(known, _)| known == what).map(|(_, text)| text.clone());
        if other.as_ref() != Some(text) {
            return ControlFlow::Break((what, text.clone(), other));
        }
    }
    ControlFlow::Continue(())
}
