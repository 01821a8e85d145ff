//! The calls of the real kernel that need `unsafe`: ptrace(2), wait4(2), memory of other processes, signals with what belongs to
//! them. All of it is here, and nothing here decides anything.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_long, c_void};
use std::io;
use std::mem;
use std::ptr;

/// A thread or process of the host.
pub type Tid = i32;

/// The registers of a stopped thread, as the architecture has them.
pub type RawRegs = libc::user_regs_struct;

/// `siginfo_t` as words. Signal, errno, code, nothing; then, of most, pid, uid, and a value or status.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct RawSiginfo(pub [i32; 32]);

/// How a stopped thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// To its next event.
    Cont,
    /// To the end of the call it is in, or its next event.
    ToExit,
    /// It stays stopped, as its process is, and tells when that is over.
    Listen,
}

/// What a traced thread tells of. Its children are traced as all calls that make them ask for it (CLONE_PTRACE).
const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACESECCOMP | libc::PTRACE_O_TRACEEXEC;

/// Registers as numbers, in the order that the kernel has them in.
pub type RegWords = [u64; 27];

pub fn to_words(regs: RawRegs) -> RegWords {
    // SAFETY: both are as many numbers of 64 bits, which the compiler checks the sum of.
    unsafe { mem::transmute::<RawRegs, RegWords>(regs) }
}

pub fn from_words(words: RegWords) -> RawRegs {
    // SAFETY: as above; registers may be any numbers.
    unsafe { mem::transmute::<RegWords, RawRegs>(words) }
}

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A request of ptrace whose arguments are numbers.
fn request(request: libc::c_uint, tid: Tid, addr: usize, data: usize) -> io::Result<()> {
    // SAFETY: these requests read and write no memory of ours.
    check(unsafe { libc::ptrace(request, tid, addr, data) }).map(drop)
}

/// A request of ptrace that reads or writes one value of ours.
fn request_with<T>(request: libc::c_uint, tid: Tid, data: &mut T) -> io::Result<()> {
    // SAFETY: `data` is valid for the size of what the request takes, which is the type it is called with here.
    check(unsafe { libc::ptrace(request, tid, 0_usize, ptr::from_mut(data).cast::<c_void>()) }).map(drop)
}

/// Traces a child from now on. Only this thread may ask about it then. `dies_with_us`: it is killed when we end.
///
/// # Errors
/// EPERM: the host does not allow it.
pub fn seize(tid: Tid, dies_with_us: bool) -> io::Result<()> {
    let options = if dies_with_us { OPTIONS | libc::PTRACE_O_EXITKILL } else { 0 };
    request(libc::PTRACE_SEIZE, tid, 0, options as usize)
}

/// Lets a stopped thread go on, with a signal or 0.
///
/// # Errors
/// ESRCH: it is gone, or being killed.
pub fn resume(tid: Tid, how: Resume, signal: i32) -> io::Result<()> {
    let how = match how {
        Resume::Cont => libc::PTRACE_CONT,
        Resume::ToExit => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    request(how, tid, 0, signal as usize)
}

/// Makes a running thread stop.
///
/// # Errors
/// ESRCH
pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0)
}

/// What belongs to the event a thread is stopped at: the new child, the former number.
///
/// # Errors
/// ESRCH
pub fn event_message(tid: Tid) -> io::Result<u64> {
    let mut message = 0_u64;
    request_with(libc::PTRACE_GETEVENTMSG, tid, &mut message)?;
    Ok(message)
}

/// # Errors
/// ESRCH
pub fn registers(tid: Tid) -> io::Result<RawRegs> {
    // SAFETY: registers are numbers, for which all bits may be 0.
    let mut regs: RawRegs = unsafe { mem::zeroed() };
    request_with(libc::PTRACE_GETREGS, tid, &mut regs)?;
    Ok(regs)
}

/// # Errors
/// ESRCH
pub fn set_registers(tid: Tid, mut regs: RawRegs) -> io::Result<()> {
    request_with(libc::PTRACE_SETREGS, tid, &mut regs)
}

/// What belongs to the signal a thread is about to get.
///
/// # Errors
/// ESRCH; EINVAL: it is not stopped at a signal.
pub fn siginfo(tid: Tid) -> io::Result<RawSiginfo> {
    let mut info = RawSiginfo([0; 32]);
    request_with(libc::PTRACE_GETSIGINFO, tid, &mut info)?;
    Ok(info)
}

/// # Errors
/// ESRCH
pub fn set_siginfo(tid: Tid, mut info: RawSiginfo) -> io::Result<()> {
    request_with(libc::PTRACE_SETSIGINFO, tid, &mut info)
}

/// Waits until a child or traced thread of this thread stops or ends; its number and status word.
///
/// # Errors
/// ECHILD: there is none.
pub fn wait() -> io::Result<(Tid, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid to write.
        let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match check(tid.into()) {
            Ok(_) => return Ok((tid, status)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads memory of a process.
///
/// # Errors
/// EFAULT: not all of it can be read; ESRCH.
pub fn read_memory(tid: Tid, addr: u64, bytes: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: addr as *mut c_void, iov_len: bytes.len() };
    // SAFETY: the local part is the slice; the other is memory of another process, which the kernel checks.
    let read = unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
    whole(read, bytes.len())
}

/// Writes memory of a process.
///
/// # Errors
/// EFAULT: not all of it can be written; ESRCH.
pub fn write_memory(tid: Tid, addr: u64, bytes: &[u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: addr as *mut c_void, iov_len: bytes.len() };
    // SAFETY: the local part is the slice, which is only read; the other is memory of another process, which the kernel checks.
    let written = unsafe { libc::process_vm_writev(tid, &raw const local, 1, &raw const remote, 1, 0) };
    whole(written, bytes.len())
}

/// Writes a word to memory of a stopped thread, also where that may only be read or run: the thread gets a copy of its own.
///
/// # Errors
/// EIO: there is no memory, or it is shared; ESRCH.
pub fn poke(tid: Tid, addr: u64, word: u64) -> io::Result<()> {
    let addr = usize::try_from(addr).map_err(io::Error::other)?;
    request(libc::PTRACE_POKEDATA, tid, addr, word as usize)
}

/// The time of a clock of this machine, nanoseconds.
///
/// # Errors
/// EINVAL: it has no such clock.
pub fn time(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid to write.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) }.into())?;
    Ok(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

fn whole(done: isize, length: usize) -> io::Result<()> {
    match usize::try_from(done) {
        Ok(done) if done == length => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// ESRCH
pub fn kill(pid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends a signal with what belongs to it: to the process `tgid`, or to its thread `tid`. The code has to be negative.
///
/// # Errors
/// ESRCH; EAGAIN: too many signals are queued.
pub fn queue(tgid: Tid, tid: Option<Tid>, signal: i32, info: &RawSiginfo) -> io::Result<()> {
    let info = ptr::from_ref(info);
    // SAFETY: `info` is as large as siginfo_t and only read.
    check(match tid {
        Some(tid) => unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, tgid, tid, signal, info) },
        None => unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, tgid, signal, info) },
    })
    .map(drop)
}

/// Makes a child process that runs `child` and then ends with what it gives.
///
/// # Errors
/// EAGAIN, ENOMEM
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<Tid> {
    // SAFETY: the caller has one thread only, so that the child finds no lock that somebody else holds.
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        let code = child();
        // SAFETY: ends the process; nothing of the parent's is run, flushed or dropped.
        unsafe { libc::_exit(code) }
    }
    Ok(pid as Tid)
}

/// Makes a child process that does nothing, holds nothing open, and is killed when this thread ends.
///
/// # Errors
/// EAGAIN, ENOMEM
pub fn stand_in() -> io::Result<Tid> {
    // SAFETY: takes no arguments.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the child makes only calls of the kernel, which ask for no lock that another thread may hold.
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        // SAFETY: these take numbers only; the child uses no descriptor.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
            while libc::getppid() == parent {
                libc::pause();
            }
            libc::_exit(0)
        }
    }
    Ok(pid as Tid)
}

/// Kills a child, and waits until it is gone.
pub fn end(tid: Tid) {
    // It may be gone, by another's hand.
    let _ = kill(tid, libc::SIGKILL);
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(tid, ptr::null_mut(), libc::__WALL) };
}

/// Capabilities over files, which programs keep if we have them: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
/// CAP_FSETID. Files are the host's, with the rights of who runs the program.
const OVER_FILES: u32 = 0b1_1111;

/// Gives up all capabilities but those over files, for good, and whatever a program could gain by exec.
///
/// # Errors
/// None on any Linux that is.
pub fn drop_privileges() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    // Effective, permitted, inheritable; then the same of higher numbers.
    let mut sets = [0_u32; 6];
    // SAFETY: prctl is given numbers; capget and capset are given structs of the sizes they have in version 3.
    unsafe {
        for capability in OVER_FILES.trailing_ones().. {
            // EINVAL: past the last one. EPERM: whoever cannot drop them has none to use.
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                break;
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        check(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()))?;
        let kept = sets[1] & OVER_FILES;
        sets = [kept, kept, 0, 0, 0, 0];
        check(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()))?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
    }
    Ok(())
}

/// Has all further calls of this process pass a filter.
///
/// # Errors
/// EINVAL: the host has no seccomp filters.
pub fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    const MODE_FILTER: c_long = 1;
    // SAFETY: the program is only read.
    check(unsafe { libc::syscall(libc::SYS_seccomp, MODE_FILTER, 0, &raw const program) }).map(drop)
}

/// Becomes another program, which is looked for in `$PATH`; only the error of that returns.
pub fn exec(argv: &[CString]) -> io::Error {
    let mut pointers: Vec<_> = argv.iter().map(|word| word.as_ptr()).collect();
    pointers.push(ptr::null());
    // SAFETY: a list of strings that ends with a null pointer, as the call wants it.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Restores the default action of a signal, or ignores it.
pub fn set_action(signal: i32, is_ignored: bool) {
    let action = if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: no handler is installed.
    unsafe { libc::signal(signal, action) };
}

/// Closes all descriptors but some.
pub fn close_all_but(kept: &[i32]) {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        close_range(first, fd.checked_sub(1));
        first = fd + 1;
    }
    close_range(first, Some(u32::MAX));
}

fn close_range(first: u32, last: Option<u32>) {
    let Some(last) = last.filter(|last| *last >= first) else { return };
    // SAFETY: whoever calls this uses none of them any more.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// A segment of shared memory of this kernel that is attached here, read-only, and goes with its last attachment.
#[derive(Debug)]
pub struct Mapping {
    /// What others attach it by.
    pub id: i32,
    at: *const c_void,
}

// SAFETY: the address is only kept to let go of it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Of so many bytes; only the user's own programs may attach it.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC: the host has no room; EINVAL: more than its `shmmax`; ENOSYS.
    pub fn new(size: usize) -> io::Result<Mapping> {
        // SAFETY: takes numbers only.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, size, libc::IPC_CREAT | libc::SHM_NORESERVE | 0o600) };
        let id = check(id.into())? as c_int;
        // SAFETY: it is attached where nothing else is.
        let at = unsafe { libc::shmat(id, ptr::null(), libc::SHM_RDONLY) };
        let error = io::Error::last_os_error();
        // SAFETY: no struct is given where none is written.
        unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) };
        if at.addr() == usize::MAX { Err(error) } else { Ok(Mapping { id, at }) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody here reads or writes what is attached there.
        unsafe { libc::shmdt(self.at) };
    }
}
