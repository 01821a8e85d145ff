//! UTS namespaces: the names uname(2) gives (`kernel/utsname.c`).

use super::{Holds, NsKind, Owned, Slot, UtsNsId};
use crate::kernel::nsproxy::NsProxy;
use crate::kernel::{Current, Kernel};

/// Longest name (`__NEW_UTS_LEN`), bytes.
pub const UTS_LEN: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UtsNamespace {
    pub sysname: Vec<u8>,
    pub nodename: Vec<u8>,
    pub release: Vec<u8>,
    pub version: Vec<u8>,
    pub machine: Vec<u8>,
    pub domainname: Vec<u8>,
}

/// A name of a UTS namespace that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UtsName {
    Node,
    Domain,
}

impl UtsNamespace {
    pub fn name(&mut self, name: UtsName) -> &mut Vec<u8> {
        match name {
            UtsName::Node => &mut self.nodename,
            UtsName::Domain => &mut self.domainname,
        }
    }
}

/// How often a name was set, in whichever namespace: what poll(2) on its sysctl tells of (`uts_proc_notify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtsEvents {
    node: u64,
    domain: u64,
}

impl UtsEvents {
    pub fn of(self, name: UtsName) -> u64 {
        match name {
            UtsName::Node => self.node,
            UtsName::Domain => self.domain,
        }
    }

    pub(crate) fn note(&mut self, name: UtsName) {
        match name {
            UtsName::Node => self.node += 1,
            UtsName::Domain => self.domain += 1,
        }
    }
}

impl Kernel {
    /// Gives the initial namespace, of which all others are copies, another release, version and machine.
    pub(in crate::kernel) fn name_machine(&mut self, new: [&Option<Vec<u8>>; 3]) {
        let ns: UtsNsId = self.init_ns();
        let uts = &mut self.namespaces[ns];
        for (name, new) in [&mut uts.release, &mut uts.version, &mut uts.machine].into_iter().zip(new) {
            if let Some(new) = new {
                name.clone_from(new);
            }
        }
    }
}

impl NsKind for UtsNamespace {
    const NAME: &'static str = "uts";
    const CLONE_FLAG: u64 = 0x0400_0000;
    const CLONE_FLAG_NAME: &'static str = "CLONE_NEWUTS";
    const INIT_INUM: u32 = 4_026_531_838;
    const INIT_NS_ID: u64 = 1;
    const UCOUNT: usize = 2;
    const UCOUNT_NAME: &'static str = "max_uts_namespaces";
    const SLOT: Option<Slot> = Some(Slot::Uts);
    const HOLDS: Holds = Holds::HostNames;

    fn initial() -> UtsNamespace {
        UtsNamespace {
            sysname: b"Linux".to_vec(),
            nodename: b"nslab".to_vec(),
            release: b"6.18.0".to_vec(),
            version: b"#1 SMP PREEMPT_DYNAMIC nslab".to_vec(),
            machine: b"x86_64".to_vec(),
            domainname: b"(none)".to_vec(),
        }
    }

    /// A copy of the creator's current names (`clone_uts_ns`).
    fn create(k: &Kernel, task: Current) -> UtsNamespace {
        let current = k.current_nsproxy(task).uts_ns();
        k.namespaces[current].clone()
    }
}

impl Owned for UtsNamespace {}

impl NsProxy {
    /// The UTS namespace.
    pub fn uts_ns(&self) -> UtsNsId {
        self.typed(Slot::Uts)
    }
}
