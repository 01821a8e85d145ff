//! Layer 3: [`Lab`], a kernel that threads share, and all that is about the whole of it: the journal of its calls, the
//! faults its readers meet, the host processes that look with the eyes of a task.
//!
//! # Locks
//! A thread takes them in this order, and waits for nothing else while it holds one:
//!
//! 1. an open `ctl/batch`, for as long as its lines run;
//! 2. *writers*: who holds it is the one that changes the lab, and notes that in the journal;
//! 3. *state*: the kernel, for one writer or many readers;
//! 4. viewers, faults, then the table of inodes, the text of the trace, what open files share, and what belongs to an open
//!    file.
//!
//! A call is noted under *writers* and *state*: the order of the journal is the order in which the calls took effect,
//! and nobody sees an effect that is not noted. Nothing is sent and nobody is waited for under any of them.

mod boot;
pub mod fault;
mod fault_call;
pub mod programs;
pub mod viewers;

use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::control::{self, lex::quote};
use crate::err;
use crate::errno::{Error, Result};
use crate::journal::Journal;
use crate::kernel::change::Change;
use crate::kernel::{Kernel, TaskId};
use crate::script::Setup;
use crate::syscall::{AnyCall, Outcome, Return, dispatch};

use fault::Faults;
use programs::Programs;
use viewers::Viewers;

pub use boot::{Booting, find_caller};

/// The longest result that the journal notes, in bytes.
const TEXT_MAX: usize = 64;

/// A state of a lab: all that is shown in two equal ones is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    changes: u64,
    now: u64,
}

/// A lab that threads share.
#[derive(Debug)]
pub struct Lab {
    writers: Mutex<Option<Journal>>,
    kernel: RwLock<Kernel>,
    /// How many lines the journal has.
    noted: AtomicU64,
    /// How many of them are on the disk, as far as is known.
    settled: AtomicU64,
    /// The journal, where a call waits for the disk before it is acknowledged.
    disk: Option<Arc<File>>,
    /// Until when real time has moved the clock of the lab, if it does.
    ticked: Option<Mutex<Instant>>,
    /// How many changes there were.
    changes: AtomicU64,
    /// What a panic said in the midst of a change: the kernel is half-made since then.
    panic: OnceLock<String>,
    pub faults: Faults,
    pub viewers: Viewers,
    pub programs: Programs,
}

impl Lab {
    pub fn new(kernel: Kernel) -> Lab {
        Lab {
            writers: Mutex::default(),
            kernel: RwLock::new(kernel),
            noted: AtomicU64::default(),
            settled: AtomicU64::default(),
            disk: None,
            ticked: None,
            changes: AtomicU64::default(),
            panic: OnceLock::new(),
            faults: Faults::default(),
            viewers: Viewers::default(),
            programs: Programs::default(),
        }
    }

    /// Notes in `journal` what is done from now on.
    #[must_use]
    pub fn with_journal(self, journal: Option<Journal>) -> Lab {
        let noted = AtomicU64::new(journal.as_ref().map_or(0, Journal::lines));
        let disk = journal.as_ref().and_then(Journal::disk);
        Lab { writers: Mutex::new(journal), noted, disk, ..self }
    }

    /// How many lines the journal has: for who looks at the kernel or changes it, those of all that was done before.
    pub fn noted(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    /// Lets the clock of the lab go on with real time from now on, besides what calls move it.
    #[must_use]
    pub fn in_real_time(self) -> Lab {
        Lab { ticked: Some(Mutex::new(now())), ..self }
    }

    /// Whether the clock goes on with real time.
    pub fn is_in_real_time(&self) -> bool {
        self.ticked.is_some()
    }

    /// The kernel, for who has it alone.
    ///
    /// # Errors
    /// EIO once a writer has panicked.
    pub fn kernel_mut(&mut self) -> Result<&mut Kernel> {
        self.check_whole()?;
        Ok(self.kernel.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the kernel.
    ///
    /// # Errors
    /// EIO once a writer has panicked: a half-made kernel is never shown.
    pub fn read<T>(&self, look: impl FnOnce(&Kernel) -> T) -> Result<T> {
        self.read_at(|kernel, _| look(kernel))
    }

    /// Looks at the kernel, with a name for the state it is in.
    ///
    /// # Errors
    /// As [`Lab::read`].
    pub fn read_at<T>(&self, look: impl FnOnce(&Kernel, Version) -> T) -> Result<T> {
        let kernel = self.kernel.read().unwrap_or_else(PoisonError::into_inner);
        self.check_whole()?;
        if let Some(ticked) = &self.ticked {
            kernel.clock.run_ahead(passed(*lock(ticked)));
        }
        let version = Version { changes: self.changes.load(Ordering::Relaxed), now: kernel.clock.now() };
        Ok(look(&kernel, version))
    }

    /// Makes one call and notes it; gives what came of it and what it changed, once changes are noted: one that failed may have changed something
    /// too, a used-up pid number for example. `caller` finds the task that makes it, `line` is what the journal says of it.
    ///
    /// # Errors
    /// What the call gives; what `caller` gives; EIO once a writer has panicked; those of [`Journal::reserve`], when the
    /// call was not made, and of [`Journal::note`], when it was made and is never acknowledged.
    pub fn perform(
        &self,
        caller: impl FnOnce(&Kernel) -> Result<TaskId>,
        call: &AnyCall,
        line: impl FnOnce(&Kernel, TaskId) -> String,
    ) -> (Outcome, Vec<Change>) {
        self.writer(|kernel, journal| {
            let task = caller(kernel)?;
            noted(kernel, journal, |kernel| line(kernel, task), |kernel| dispatch(kernel, task, call))
        })
    }

    /// Does and notes what is no call, with the kernel as it is. What fails is not noted: it did nothing.
    ///
    /// # Errors
    /// What `set` gives; otherwise as [`Lab::perform`].
    pub fn set<T>(&self, setup: &Setup, set: impl FnOnce(&mut Kernel) -> Result<T>) -> Result<T> {
        let (result, _) = self.writer(|kernel, journal| {
            let Some(journal) = journal else { return set(kernel) };
            let line = setup.to_string();
            journal.reserve(&line)?;
            let value = set(kernel)?;
            journal.note(&line, "")?;
            Ok(value)
        });
        result
    }

    /// Returns once all that was noted is on the disk, where that was asked for.
    ///
    /// # Errors
    /// EIO: it is not, or may not be.
    pub fn settle(&self) -> Result<()> {
        let Some(file) = &self.disk else { return Ok(()) };
        let noted = self.noted();
        if self.settled.load(Ordering::Relaxed) >= noted {
            return Ok(());
        }
        if let Err(error) = file.sync_data() {
            let gone = || err!(EIO, "the journal is gone");
            return Err(lock(&self.writers).as_mut().map_or_else(gone, |journal| journal.fail(&error)));
        }
        self.settled.fetch_max(noted, Ordering::Relaxed);
        Ok(())
    }

    /// Does something as the one writer, the clock moved on to where it is now, and what faults have counted noted. A panic in it, which is an error of ours,
    /// leaves a kernel that nobody may see: all that comes later gets EIO. The journal says nothing of it, so that a lab
    /// which boots with it is as this one was before.
    fn writer<T, E: From<Error>>(
        &self,
        act: impl FnOnce(&mut Kernel, Option<&mut Journal>) -> std::result::Result<T, E>,
    ) -> (std::result::Result<T, E>, Vec<Change>) {
        let mut journal = lock(&self.writers);
        let mut kernel = self.kernel.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.check_whole() {
            return (Err(error.into()), Vec::new());
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        let done = catch_unwind(AssertUnwindSafe(|| {
            self.tick(&mut kernel, journal.as_mut())?;
            self.note_counts(journal.as_mut())?;
            act(&mut kernel, journal.as_mut())
        }));
        self.noted.store(journal.as_ref().map_or(0, Journal::lines), Ordering::Relaxed);
        self.programs.hand_over(&mut kernel);
        match done {
            Ok(result) => (result, kernel.changes.take()),
            Err(panic) => (Err(broken(self.panic.get_or_init(|| words_of(&*panic))).into()), Vec::new()),
        }
    }

    /// # Errors
    /// EIO: a writer has panicked.
    fn check_whole(&self) -> Result<()> {
        self.panic.get().map_or(Ok(()), |panic| Err(broken(panic)))
    }

    /// Real time enters as a call of its own.
    fn tick(&self, kernel: &mut Kernel, journal: Option<&mut Journal>) -> Result<()> {
        let Some(ticked) = &self.ticked else { return Ok(()) };
        let mut ticked = lock(ticked);
        let nanos = passed(*ticked);
        let (init, call) = (kernel.init.task, AnyCall::Tick { nanos });
        let done =
            noted(kernel, journal, |_| Setup::Tick { nanos }.to_string(), |kernel| dispatch(kernel, init, &call));
        done.map_err(|stop| stop.error().clone())?;
        *ticked += Duration::from_nanos(nanos);
        Ok(())
    }
}

/// Makes a call that the journal, if there is one, has room for, and notes it.
fn noted(
    kernel: &mut Kernel,
    journal: Option<&mut Journal>,
    line: impl FnOnce(&Kernel) -> String,
    call: impl FnOnce(&mut Kernel) -> Outcome,
) -> Outcome {
    let Some(journal) = journal else { return call(kernel) };
    let line = line(kernel);
    journal.reserve(&line)?;
    let result = call(kernel);
    journal.note(&line, &outcome(&result))?;
    result
}

/// What the language puts in front of a line for this to come of it. A long text is left out; a picture is one, and is not
/// drawn here, where the state is locked.
fn outcome(outcome: &Outcome) -> String {
    if matches!(outcome, Ok(Return::Picture(_))) {
        return String::new();
    }
    match control::answer(outcome.clone()) {
        Ok(text) if text.len() <= TEXT_MAX => format!("= {} ", quote(&text)),
        Ok(_) => String::new(),
        Err(error) => format!("! {:?} ", error.errno),
    }
}

/// A lock whose holders never leave a half-made value, so that a panic of one does not matter to the next.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds since a moment.
fn passed(since: Instant) -> u64 {
    u64::try_from(now().saturating_duration_since(since).as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "here real time moves the lab's clock, for who asked for it")]
fn now() -> Instant {
    Instant::now()
}

fn broken(panic: &str) -> Error {
    err!(
        EIO,
        "the simulated kernel stopped at an internal error, {}: unmount this lab and mount a new one",
        panic.to_owned()
    )
}

/// What a panic says.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::journal::Sync;
    use crate::script::run::run_boot_file;
    use crate::script::{Call, Machine};

    fn clone(lab: &Lab) -> Result<Vec<u8>> {
        Booting(lab).call(1, &Call::new("clone", Vec::new())?)
    }

    #[test]
    fn a_panic_in_a_change_shows_nobody_a_half_made_kernel_and_leaves_the_journal_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("journal.lab");
        let journal = Journal::create(&file, Sync::Kernel).unwrap();
        let lab = Lab::new(Kernel::boot()).with_journal(Some(journal));
        clone(&lab).unwrap();
        let before = lab.read(|k| format!("{k:?}")).unwrap();
        let setup = Setup::Limits { tasks: Some(7), memory: None };
        let half = lab.set(&setup, |k| {
            k.threads_max = 7;
            if k.threads_max == 7 {
                panic!("index out of bounds");
            }
            Ok(())
        });
        for error in [half.unwrap_err(), clone(&lab).unwrap_err(), lab.read(|_| ()).unwrap_err()] {
            assert!(error.errno == Errno::EIO && error.reason().contains("index out of bounds"), "{error}");
        }
        drop(lab);
        let again = Lab::new(Kernel::boot());
        run_boot_file(&mut Booting(&again), &file).unwrap();
        assert_eq!(again.read(|k| format!("{k:?}")).unwrap(), before);
    }
}
