//! The registers of a stopped thread, as far as calls go. What is of the architecture is here, and in the table of numbers of
//! [`crate::abi`].

use super::sys::RawRegs;
use crate::abi::Registers;

/// Registers of a thread that is at the start or end of a call.
#[derive(Clone, Copy, Debug)]
pub struct Regs(pub RawRegs);

/// What a filter knows the architecture by: `AUDIT_ARCH_X86_64`.
pub const ARCH: u32 = 0xc000_003e;
/// Numbers from here on are those of the x32 interface.
pub const X32: u32 = 0x4000_0000;

/// No call: the kernel makes none, and leaves the result as it is.
const NO_CALL: u64 = u64::MAX;
/// Bytes of the instruction that makes a call.
const INSTRUCTION: u64 = 2;

/// pause(2), for who waits.
pub const PAUSE: u64 = 34;
/// clock_nanosleep(2), for who waits no longer than some time; what the kernel makes of it after a stop.
pub const CLOCK_NANOSLEEP: u64 = 230;
pub const RESTART_SYSCALL: u64 = 219;
pub const MMAP: u64 = 9;
pub const OPENAT: u64 = 257;
pub const PWRITE64: u64 = 18;
pub const MEMFD_CREATE: u64 = 319;
pub const CLONE: u64 = 56;
pub const CLONE3: u64 = 435;

/// What the kernel takes for a call that begins anew, unless a handler runs that was set without SA_RESTART.
pub const ERESTARTSYS: i64 = -512;
/// The same, unless any handler runs.
pub const ERESTARTNOHAND: i64 = -514;

impl Regs {
    pub fn call(&self) -> Registers {
        let r = &self.0;
        Registers { number: r.orig_rax, args: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] }
    }

    pub fn number(&self) -> u64 {
        self.0.orig_rax
    }

    pub fn args(&self) -> [u64; 6] {
        self.call().args
    }

    /// Another call.
    #[must_use]
    pub fn with(mut self, number: u64, args: [u64; 6]) -> Regs {
        self.0.orig_rax = number;
        [self.0.rdi, self.0.rsi, self.0.rdx, self.0.r10, self.0.r8, self.0.r9] = args;
        self
    }

    /// From the end of the call that was made: as if it had been the call that was `wanted`. Where a signal has interrupted it,
    /// the real kernel begins with what it finds here.
    #[must_use]
    pub fn as_wanted(self, wanted: &Regs) -> Regs {
        self.with(wanted.number(), wanted.args())
    }

    pub fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    #[must_use]
    pub fn with_result(mut self, result: i64) -> Regs {
        self.0.rax = result.cast_unsigned();
        self
    }

    /// No call, and this result.
    #[must_use]
    pub fn skipped(mut self, result: i64) -> Regs {
        self.0.orig_rax = NO_CALL;
        self.with_result(result)
    }

    /// From the end of a call: the call that was to be made first is made now.
    #[must_use]
    pub fn again(mut self) -> Regs {
        self.0.rip -= INSTRUCTION;
        self.0.rax = self.0.orig_rax;
        self.0.orig_rax = NO_CALL;
        self
    }
}
