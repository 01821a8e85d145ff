//! What Linux shows: `proc`.

pub(super) mod machine;
pub(super) mod max_namespaces;
pub(super) mod pid;
pub(super) mod sys;
pub(super) mod system;
pub(super) mod sysvipc;
