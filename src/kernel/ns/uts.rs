//! UTS namespaces: the names uname(2) gives (`kernel/utsname.c`).

use super::{NsOps, NsState, NsType, Slot};
use crate::kernel::{Kernel, TaskId};

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

impl UtsNamespace {
    /// What a lab boots with.
    pub fn initial() -> UtsNamespace {
        UtsNamespace {
            sysname: b"Linux".to_vec(),
            nodename: b"nslab".to_vec(),
            release: b"6.18.0".to_vec(),
            version: b"#1 SMP PREEMPT_DYNAMIC nslab".to_vec(),
            machine: b"x86_64".to_vec(),
            domainname: b"(none)".to_vec(),
        }
    }
}

pub static OPS: NsOps = NsOps {
    ns_type: NsType::Uts,
    name: "uts",
    clone_flag: 0x0400_0000,
    clone_flag_name: "CLONE_NEWUTS",
    init_inum: 4_026_531_838,
    init_ns_id: 1,
    initial: || NsState::Uts(UtsNamespace::initial()),
    ucount: 2,
    ucount_name: "max_uts_namespaces",
    slot: Some(Slot::Uts),
    setns_slot: None,
    extra_inums: 0,
    has_parent: false,
    check_create: super::always_creatable,
    create,
    setup: super::no_setup,
    teardown: super::no_teardown,
    check_install: super::check_install_admin,
};

/// A copy of the creator's current names (`clone_uts_ns`).
fn create(k: &Kernel, task: TaskId) -> NsState {
    let current = k.task_ns(task, Slot::Uts).expect("the creator is alive");
    NsState::Uts(k.namespaces[current].uts().clone())
}
