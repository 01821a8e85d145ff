//! Random requests to what answers FUSE, without FUSE: any inode number, name, position and content.
//! `NSLAB_FUZZ_SECONDS` and the like are as in `tests/fuzz`.

#[path = "../../tests/common/mutate.rs"]
mod mutate;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::AccessFlags;

use super::answer::{Caller, Connection, Shared};
use super::bounds::Bounds;
use super::drawer::Drawers;
use super::notify::Notices;
use super::poll::Pollers;
use crate::control::VERBS;
use crate::host::Lab;
use crate::host::fault::Op;
use crate::kernel::Kernel;
use crate::kernel::node::Top;
use crate::tree::Style;
use mutate::{Random, fuzz, mutated};

/// Requests that each lab gets.
const REQUESTS: usize = 400;
const OPS: [Op; 5] = [Op::Stat, Op::Readlink, Op::Open, Op::Read, Op::Readdir];
/// Names besides those that are listed.
const NAMES: &[&str] = &[
    "proc",
    "ctl",
    "as",
    "kernel",
    "cgroup",
    "self",
    "1",
    "2",
    "batch",
    "faults",
    "ns",
    "x",
    "",
    "..",
    "-1",
    "4294967296",
];
const BATCHES: &[&str] = &[
    "1 clone newuser newpid newns newnet newipc newuts\n",
    "A = 1 clone\n$A exit 3\n1 wait -1\n",
    "1 kill 2 SIGKILL\n1 wait 2\n",
    "1 mkdir /sys/fs/cgroup/a\n1 write /sys/fs/cgroup/a/cgroup.procs 1\n",
    "1 mount tmpfs none /tmp\n1 mkdir /tmp/a\n",
    "1 open proc/2/ns/net\n",
];
const TEXTS: &[&str] = &["1", "0 0 1", "deny", "-1", "stat 2 EIO", "exit 2 after=read", "core", "", "\n"];

/// The numbers that a client knows, and what it makes of them.
struct Client {
    connection: Connection,
    random: Random,
    inodes: Vec<u64>,
    handles: Vec<u64>,
    names: Vec<Vec<u8>>,
    batches: Vec<Vec<u8>>,
    texts: Vec<Vec<u8>>,
}

impl Client {
    fn caller(&mut self) -> Caller {
        Caller { uid: *self.random.pick(&[0, 0, 0, 65534]), tid: *self.random.pick(&[0, 1, 2, std::process::id()]) }
    }

    fn inode(&mut self) -> u64 {
        if self.random.below(50) == 0 { self.random.number() } else { *self.random.pick(&self.inodes) }
    }

    fn handle(&mut self) -> u64 {
        if self.handles.is_empty() { 0 } else { *self.random.pick(&self.handles) }
    }

    fn name(&mut self) -> Vec<u8> {
        match self.random.below(8) {
            0 => NAMES[self.random.below(NAMES.len())].as_bytes().to_vec(),
            1 => mutated(&mut self.random, &self.names),
            _ => self.random.pick(&self.names).clone(),
        }
    }

    /// Positions that the host's kernel may send.
    fn offset(&mut self) -> u64 {
        match self.random.below(4) {
            0 => self.random.number() >> 1,
            1 => self.random.number() >> 50,
            _ => 0,
        }
    }

    fn text(&mut self) -> Vec<u8> {
        if self.random.below(3) == 0 {
            mutated(&mut self.random, &self.batches)
        } else {
            mutated(&mut self.random, &self.texts)
        }
    }

    fn request(&mut self) {
        let (caller, inode, handle, offset) = (self.caller(), self.inode(), self.handle(), self.offset());
        let size = *self.random.pick(&[0, 1, 7, 4096, u32::MAX]);
        match self.random.below(16) {
            0..4 => {
                let name = self.name();
                if let Ok(entry) = self.connection.lookup(caller, inode, OsStr::from_bytes(&name)) {
                    self.inodes.push(entry.nodeid);
                }
            }
            4 => drop(self.connection.getattr(inode)),
            5 => drop(self.connection.readlink(inode)),
            6 => drop(self.connection.access(caller, inode, AccessFlags::from_bits_truncate(size as i32))),
            7 => {
                let flags = *self.random.pick(&[0, 1, 2, 3, libc::O_APPEND | 1]);
                self.handles.extend(self.connection.open(caller, inode, flags).map(|(handle, _)| handle));
            }
            8 => self.list(caller, inode, offset),
            9 | 10 => drop(self.connection.read(handle, offset, size)),
            11 | 12 => {
                let text = self.text();
                if let Ok(handle) = self.connection.handle(handle) {
                    self.connection.write(&handle, offset, &text);
                }
            }
            13 => {
                let name = self.name();
                let name = OsStr::from_bytes(&name);
                drop(self.connection.mkdir(caller, inode, name, 0o755));
                if self.random.below(2) == 0 {
                    drop(self.connection.rmdir(inode, name));
                }
            }
            14 => {
                let command = *self.random.pick(&[0xb701, 0xb702, 0xb703, 0xb704, 0x8004_b706, 0xb70a, 0]);
                drop(self.connection.ioctl(inode, command));
                drop(self.connection.exits_after(*self.random.pick(&OPS), inode));
            }
            _ => {
                self.connection.shared.handles.remove(handle);
                if inode != crate::tree::ROOT_INO {
                    self.connection.inodes.forget(inode, 1);
                }
            }
        }
    }

    fn list(&mut self, caller: Caller, inode: u64, offset: u64) {
        let Ok((handle, _)) = self.connection.opendir(caller, inode) else { return };
        self.handles.push(handle);
        let Ok(listing) = self.connection.readdir(handle, 0) else { return };
        let entries = &listing.items;
        self.names.extend(entries.iter().take(40).map(|entry| entry.name.clone().into_bytes()));
        let entry = self.random.below(entries.len().max(1));
        if let Some(entry) = entries.get(entry) {
            let name = OsStr::from_bytes(entry.name.as_bytes());
            self.inodes.extend(self.connection.lookup(caller, inode, name).map(|entry| entry.nodeid));
        }
        drop(self.connection.readdir(handle, offset));
    }
}

#[test]
fn any_requests_are_answered() {
    let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec());
    let made_trouble = include_str!("../../fixtures/fuzz/requests.txt").lines().map(|line| line.as_bytes().to_vec());
    let texts = texts.chain(made_trouble);
    let texts: Vec<_> = texts.chain(VERBS.iter().map(|verb| verb.example.as_bytes().to_vec())).collect();
    let batches: Vec<_> = BATCHES.iter().map(|text| text.as_bytes().to_vec()).collect();
    fuzz(200, |seed| {
        let (notices, waiting) = Notices::new();
        let (drawers, jobs) = Drawers::new();
        let shared = Shared::new(Lab::new(Kernel::boot()), 0, Bounds::default(), (notices, drawers, Pollers::new().0));
        let shared = Arc::new(shared.expect("a kernel nobody has touched"));
        let top = if seed % 4 == 0 { Top::Proc } else { Top::Lab };
        let device = File::open("/dev/null").expect("every host has it");
        let connection = Connection::new(shared, (top, Style::Mount), device, 1);
        let (names, random) = (NAMES.iter().map(|name| name.as_bytes().to_vec()).collect(), Random::new(seed));
        let inodes = vec![crate::tree::ROOT_INO];
        let (texts, batches) = (texts.clone(), batches.clone());
        let mut client = Client { connection, random, inodes, handles: Vec::new(), names, batches, texts };
        (0..REQUESTS).for_each(|_| client.request());
        // A panic in a call is an error of the lab from then on.
        assert!(client.connection.shared.lab.read(|_| ()).is_ok(), "seed {seed}");
        drop((waiting, jobs));
    });
}
