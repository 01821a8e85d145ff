//! Raw system calls and the workers that make them: the one file with unsafe code.
//!
//! A worker is a process or thread whose whole program is [`serve`]: it waits for a command in its slot of a shared
//! memory region, makes that one system call, and says what came. It uses no descriptor, no allocation and no thread-local
//! storage, so it may share anything with anybody and lose any right. Every worker has its own stack inside its slot.
#![expect(unsafe_code, reason = "raw system calls and workers without a runtime have no safe form")]

use std::arch::asm;
use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::patience::Wait;

/// Where the region is in every process.
const BASE: usize = 0x5f00_0000_0000;
pub const SLOTS: usize = 256;
const SLOT_SIZE: usize = 64 * 1024;
/// Bytes for arguments and results.
pub const DATA_SIZE: usize = 16 * 1024;
/// Descriptors every worker has, out of the way of those a program opens: the region, the executable, the socket on which
/// descriptors are handed over, the machine's `proc`.
pub const FD_REGION: i32 = 1000;
pub const FD_PROGRAM: i32 = 1001;
pub const FD_SOCKET: i32 = 1002;
const FD_PROC: i32 = 1003;
/// How long an idle worker waits before it looks whether its controller still lives.
const IDLE: Duration = Duration::from_secs(20);

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    /// Tell the own thread number and the addresses of the handler.
    Hello,
    Call,
    /// clone3 with a child that serves another slot.
    Clone,
    /// Read a file whole.
    Look,
}

/// One worker's mailbox, data and stack.
#[repr(C)]
pub struct Slot {
    /// Number of commands given.
    posted: AtomicU32,
    /// Number of commands done; `posted` again once the last one is.
    done: AtomicU32,
    kind: AtomicU32,
    number: AtomicI64,
    args: [AtomicU64; 6],
    result: AtomicI64,
    /// Length of the text of `/proc/thread-self` at the start of the data, set by [`Kind::Hello`].
    hello: AtomicI64,
    handler: AtomicU64,
    restorer: AtomicU64,
    /// How often the handler of each signal ran on this worker.
    runs: [AtomicU32; 65],
    data: [u8; DATA_SIZE],
}

/// Addresses of a slot's signal handler and of what its return goes through.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    pub handler: u64,
    pub restorer: u64,
}

/// The heartbeat of the controller: the last word of the region's own page, in front of the slots.
fn heartbeat() -> &'static AtomicU32 {
    // SAFETY: the region is mapped at BASE before anything else here is used, and stays; the first page is the header.
    unsafe { &*(BASE as *const AtomicU32) }
}

const HEADER: usize = 4096;

/// The slot with this index.
pub fn slot(index: usize) -> &'static Slot {
    assert!(index < SLOTS);
    // SAFETY: as for the heartbeat; all fields are atomics or bytes, for which every bit pattern is valid, and the data
    // bytes are only reached through raw pointers.
    unsafe { &*((BASE + HEADER + index * SLOT_SIZE) as *const Slot) }
}

/// Makes the region and puts the program and itself at their descriptors. Call once, before any worker.
pub fn create_region() -> std::io::Result<()> {
    let length = HEADER + SLOTS * SLOT_SIZE;
    // SAFETY: plain system calls with valid C strings.
    unsafe {
        let region = check(libc::memfd_create(c"nslab-workers".as_ptr(), 0) as i64)? as i32;
        check(i64::from(libc::ftruncate(region, length as libc::off_t)))?;
        check(i64::from(libc::dup2(region, FD_REGION)))?;
        libc::close(region);
        let program = check(i64::from(libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY)))? as i32;
        check(i64::from(libc::dup2(program, FD_PROGRAM)))?;
        libc::close(program);
        let proc = check(i64::from(libc::open(c"/proc".as_ptr(), libc::O_PATH)))? as i32;
        check(i64::from(libc::dup2(proc, FD_PROC)))?;
        libc::close(proc);
    }
    map_region()
}

fn map_region() -> std::io::Result<()> {
    let length = HEADER + SLOTS * SLOT_SIZE;
    // SAFETY: a shared mapping of our own file at an address nothing else uses (NOREPLACE fails otherwise).
    let mapped = unsafe {
        libc::mmap(
            BASE as *mut c_void,
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE,
            FD_REGION,
            0,
        )
    };
    if mapped as usize == BASE { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn check(result: i64) -> std::io::Result<i64> {
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}

/// Tells idle workers that the controller lives.
pub fn beat() {
    heartbeat().fetch_add(1, Ordering::Relaxed);
}

impl Slot {
    /// Makes the slot ready for a new worker.
    pub fn reset(&self) {
        self.done.store(0, Ordering::Relaxed);
        for count in &self.runs {
            count.store(0, Ordering::Relaxed);
        }
        self.kind.store(Kind::Hello as u32, Ordering::Relaxed);
        self.posted.store(1, Ordering::Release);
    }

    /// The address of the data in every worker.
    pub fn data_address(&self) -> u64 {
        self.data.as_ptr() as u64
    }

    pub fn write_data(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= DATA_SIZE);
        // SAFETY: inside the data; the worker does not look at it before the next command.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.data.as_ptr().cast_mut().add(offset), bytes.len()) }
    }

    pub fn read_data(&self, offset: usize, length: usize) -> Vec<u8> {
        assert!(offset + length <= DATA_SIZE);
        // SAFETY: inside the data; the worker is idle.
        (0..length).map(|at| unsafe { ptr::read_volatile(self.data.as_ptr().add(offset + at)) }).collect()
    }

    pub fn read_u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.read_data(offset, 4).try_into().unwrap())
    }

    /// Asks the worker to make a system call.
    pub fn post_call(&self, number: i64, args: [u64; 6]) {
        self.post(Kind::Call, number, args);
    }

    /// Asks the worker for clone3 with arguments at `offset` of the data, for a child that serves slot `child`.
    pub fn post_clone(&self, offset: usize, child: usize) {
        let child = ptr::from_ref(slot(child)) as u64;
        self.post(Kind::Clone, libc::SYS_clone3, [self.data_address() + offset as u64, 88, child, 0, 0, 0]);
    }

    /// Asks the worker for the text of the file whose path is at `path` of the data: `size` bytes at most, to `text`.
    pub fn post_look(&self, path: u64, text: u64, size: u64) {
        let at = self.data_address();
        self.post(Kind::Look, libc::SYS_read, [at + path, at + text, size, 0, 0, 0]);
    }

    fn post(&self, kind: Kind, number: i64, args: [u64; 6]) {
        assert!(self.is_idle(), "a worker has one command at a time");
        self.kind.store(kind as u32, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
        for (to, from) in self.args.iter().zip(args) {
            to.store(from, Ordering::Relaxed);
        }
        self.posted.fetch_add(1, Ordering::Release);
        futex_wake(&self.posted);
    }

    pub fn is_idle(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.posted.load(Ordering::Relaxed)
    }

    /// The result of the last command, negative errno on failure; `None` if it is not there in time.
    pub fn wait(&self, time: Duration) -> Option<i64> {
        let posted = self.posted.load(Ordering::Relaxed);
        for _ in 0..200 {
            if self.is_idle() {
                return Some(self.result.load(Ordering::Relaxed));
            }
            std::hint::spin_loop();
        }
        let start = Wait::start();
        loop {
            let done = self.done.load(Ordering::Acquire);
            if done == posted {
                return Some(self.result.load(Ordering::Relaxed));
            }
            let left = start.left(time)?;
            // It may end early: with the wake of the command before, which comes after that is seen to be done.
            futex_wait(&self.done, done, left);
        }
    }

    /// What `/proc/thread-self` is for the worker, as of its start: `TGID/task/TID` of that proc's pid namespace.
    pub fn hello(&self) -> String {
        let length = usize::try_from(self.hello.load(Ordering::Relaxed)).unwrap_or(0);
        String::from_utf8(self.read_data(DATA_SIZE - 64, length)).unwrap_or_default()
    }

    pub fn handler(&self) -> Handler {
        Handler { handler: self.handler.load(Ordering::Relaxed), restorer: self.restorer.load(Ordering::Relaxed) }
    }

    /// How often the handler of a signal ran here.
    pub fn runs(&self, signo: i32) -> u32 {
        self.runs[signo as usize].load(Ordering::Relaxed)
    }

    pub fn forget_runs(&self, signo: i32) {
        self.runs[signo as usize].store(0, Ordering::Relaxed);
    }

    /// The lowest address of the stack, and its length.
    pub fn stack(&self) -> (u64, u64) {
        let header = size_of::<Slot>().next_multiple_of(64);
        (ptr::from_ref(self) as u64 + header as u64, (SLOT_SIZE - header) as u64)
    }
}

/// Starts the first worker as a child of the calling process, which has no other thread.
pub fn spawn(index: usize) -> i64 {
    let (stack, stack_size) = slot(index).stack();
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
    // cgroup.
    let args: [u64; 11] = [0, 0, 0, 0, libc::SIGCHLD as u64, stack, stack_size, 0, 0, 0, 0];
    // SAFETY: the child runs `serve` on a stack of its own and never returns here.
    unsafe { clone3(args.as_ptr() as u64, 88, slot(index)) }
}

/// The whole life of a worker that was exec'ed anew.
pub fn serve_after_exec(index: usize) -> ! {
    if map_region().is_err() {
        // SAFETY: ends this process.
        unsafe { libc::_exit(121) }
    }
    close_standard_descriptors();
    let slot = slot(index);
    slot.kind.store(Kind::Hello as u32, Ordering::Relaxed);
    let (stack, stack_size) = slot.stack();
    // SAFETY: leaves the stack of `main` for that of the slot, for good.
    unsafe {
        asm!("mov rsp, {stack}", "xor ebp, ebp", "call {serve}", "ud2",
            stack = in(reg) stack + stack_size, serve = sym serve, in("rdi") slot, options(noreturn))
    }
}

/// The C library opens devices at 0 to 2 where they are closed and the ids changed (AT_SECURE). Programs of the tests open
/// no devices.
fn close_standard_descriptors() {
    for fd in 0..3 {
        // SAFETY: an all-zero stat is a value, and the call fills it.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFCHR {
                libc::close(fd);
            }
        }
    }
}

/// Executes commands for ever.
extern "C" fn serve(slot: &'static Slot) -> ! {
    let mut seen = heartbeat().load(Ordering::Relaxed);
    loop {
        let posted = slot.posted.load(Ordering::Acquire);
        if posted == slot.done.load(Ordering::Relaxed) {
            if futex_wait(&slot.posted, posted, IDLE) == -i64::from(libc::ETIMEDOUT) {
                let now = heartbeat().load(Ordering::Relaxed);
                if now == seen {
                    // SAFETY: ends this process.
                    unsafe { syscall(libc::SYS_exit_group, [120, 0, 0, 0, 0, 0]) };
                }
                seen = now;
            }
            continue;
        }
        let args = slot.args.each_ref().map(|arg| arg.load(Ordering::Relaxed));
        let number = slot.number.load(Ordering::Relaxed);
        let result = match slot.kind.load(Ordering::Relaxed) {
            // SAFETY: the controller gives pointers into the data of this slot only.
            1 => unsafe { syscall(number, args) },
            // SAFETY: the controller gives a slot, and a stack in it, that no worker uses.
            2 => unsafe { clone3(args[0], args[1], &*(args[2] as *const Slot)) },
            3 => look(args),
            _ => hello(slot),
        };
        slot.result.store(result, Ordering::Relaxed);
        slot.done.store(posted, Ordering::Release);
        futex_wake(&slot.done);
    }
}

/// Opens, reads to the end and closes: the length, or the negative errno.
fn look([path, text, size, ..]: [u64; 6]) -> i64 {
    // SAFETY: the controller gives pointers into the data of the worker's slot only.
    unsafe {
        let fd = syscall(libc::SYS_openat, [libc::AT_FDCWD as u64, path, libc::O_RDONLY as u64, 0, 0, 0]);
        if fd < 0 {
            return fd;
        }
        let mut used = 0;
        let end = loop {
            match syscall(libc::SYS_read, [fd as u64, text + used, size - used, 0, 0, 0]) {
                length @ 1.. => used += length as u64,
                end => break end,
            }
        };
        syscall(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
        if end < 0 { end } else { used as i64 }
    }
}

fn hello(slot: &Slot) -> i64 {
    slot.handler.store(count_signal as *const () as u64, Ordering::Relaxed);
    slot.restorer.store(restorer as *const () as u64, Ordering::Relaxed);
    let path = c"thread-self".as_ptr() as u64;
    let text = slot.data_address() + DATA_SIZE as u64 - 64;
    // SAFETY: a valid path and the last 64 bytes of the data.
    let length = unsafe { syscall(libc::SYS_readlinkat, [FD_PROC as u64, path, text, 64, 0, 0]) };
    slot.hello.store(length, Ordering::Relaxed);
    0
}

/// The signal handler: counts for the worker on whose stack it runs.
extern "C" fn count_signal(signo: i32) {
    let here = &raw const signo as usize;
    let index = (here - BASE - HEADER) / SLOT_SIZE;
    if index < SLOTS && (0..65).contains(&signo) {
        // SAFETY: as in `slot`; written out so that nothing here can panic.
        let slot = unsafe { &*((BASE + HEADER + index * SLOT_SIZE) as *const Slot) };
        slot.runs[signo as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a signal handler returns to: rt_sigreturn.
#[unsafe(naked)]
extern "C" fn restorer() {
    std::arch::naked_asm!("mov eax, 15", "syscall")
}

fn futex_wait(word: &AtomicU32, value: u32, time: Duration) -> i64 {
    let time = [time.as_secs(), u64::from(time.subsec_nanos())];
    let args = [ptr::from_ref(word) as u64, libc::FUTEX_WAIT as u64, u64::from(value), time.as_ptr() as u64, 0, 0];
    // SAFETY: the word and the time live across the call.
    unsafe { syscall(libc::SYS_futex, args) }
}

fn futex_wake(word: &AtomicU32) {
    let args = [ptr::from_ref(word) as u64, libc::FUTEX_WAKE as u64, u64::MAX >> 33, 0, 0, 0];
    // SAFETY: wakes only.
    unsafe { syscall(libc::SYS_futex, args) };
}

/// A system call: its result, or the negative errno.
///
/// # Safety
/// That of the call.
unsafe fn syscall(number: i64, args: [u64; 6]) -> i64 {
    let result;
    // SAFETY: the caller's business; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _, options(nostack))
    }
    result
}

/// clone3: the child starts in [`serve`] on the stack given in the arguments.
///
/// # Safety
/// The stack belongs to nobody else.
unsafe fn clone3(args: u64, size: u64, child: &'static Slot) -> i64 {
    let result;
    // SAFETY: the child has its own stack and never comes back here.
    unsafe {
        asm!("syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2", "2:",
            inlateout("rax") libc::SYS_clone3 => result, in("rdi") args, in("rsi") size,
            in("r12") ptr::from_ref(child), in("r13") serve as *const (), lateout("rcx") _, lateout("r11") _)
    }
    result
}

/// A call of the controller itself.
pub fn call(number: i64, args: [u64; 6]) -> i64 {
    // SAFETY: used for calls whose pointers live across the call.
    unsafe { syscall(number, args) }
}

/// A descriptor that nobody else closes.
pub fn own(fd: i32) -> OwnedFd {
    // SAFETY: called with descriptors just opened.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A pair of sockets; the second is where workers receive descriptors. The first is the result.
pub fn descriptor_channel() -> std::io::Result<i32> {
    let mut pair = [0i32; 2];
    // SAFETY: room for two descriptors.
    unsafe {
        check(i64::from(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr())))?;
        check(i64::from(libc::dup2(pair[1], FD_SOCKET)))?;
        libc::close(pair[1]);
    }
    Ok(pair[0])
}

/// Bytes of the control message with one descriptor: `CMSG_SPACE(sizeof(int))`.
pub const CONTROL_SIZE: usize = 24;

/// Sends `fd` on `socket`.
pub fn send_descriptor(socket: i32, fd: i32) -> i64 {
    let mut control = [0u8; CONTROL_SIZE];
    control[..8].copy_from_slice(&20u64.to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    control[16..20].copy_from_slice(&fd.to_ne_bytes());
    let byte = [0u8; 1];
    let iov = [byte.as_ptr() as u64, 1];
    let message: [u64; 7] = [0, 0, iov.as_ptr() as u64, 1, control.as_ptr() as u64, CONTROL_SIZE as u64, 0];
    call(libc::SYS_sendmsg, [socket as u64, message.as_ptr() as u64, 0, 0, 0, 0])
}
