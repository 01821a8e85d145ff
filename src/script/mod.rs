//! Layer 3: the `.lab` language, one for scripts, case files, `ctl/batch` and boot files. A [`Session`] runs it line by
//! line on a [`Machine`], keeping names; [`mod@file`] reads whole files, [`run`] runs their cases.

pub mod check;
pub mod file;
pub mod profile;
pub mod run;
pub mod seen;
mod session;
pub mod setup;
pub mod statement;

use crate::control::lex::{Word, quote};
use crate::control::{self, Verb};
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::syscall::{AnyCall, dispatch};
use crate::{bail, err};

pub use session::{Failure, ScriptError, Session};
pub use setup::{Opened, Setup};

/// What scripts are run on: a bare kernel, or a lab.
pub trait Machine {
    /// Makes the task with number `pid` (initial pid namespace, a thread's tid too) do a call.
    ///
    /// # Errors
    /// What the call gives; ESRCH if there is no such task.
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>>;

    /// Opens a file for writing, by its path in the mount: what a later line writes to.
    ///
    /// # Errors
    /// Those of [`setup::open`]; EINVAL: no file of lines runs here.
    fn open(&mut self, path: &[u8]) -> Result<Opened> {
        bail!(EINVAL, "this is for files only: open {}", quote(path))
    }

    /// From now on the lines are those of a journal, which repeats what was done before, or no more.
    fn repeats(&mut self, _: bool) {}

    /// Does what a line says that is for files only.
    ///
    /// # Errors
    /// What that gives; EINVAL: this is no file.
    fn set(&mut self, setup: &Setup) -> Result<Vec<u8>> {
        bail!(EINVAL, "the line is for files only: {}", setup.to_string())
    }
}

/// A call of a script, its words parsed.
#[derive(Clone, Debug)]
pub struct Call {
    pub verb: &'static Verb,
    /// What follows the verb, values in place of names.
    pub words: Vec<Word>,
    pub syscall: AnyCall,
}

impl Call {
    /// Parses the words after the verb called `name`.
    ///
    /// # Errors
    /// EINVAL: there is none, or it does not take these words.
    pub fn new(name: &str, words: Vec<Word>) -> Result<Call> {
        let verb = control::find_verb(name)?;
        let syscall = control::parse_words(verb, &words)?;
        Ok(Call { verb, words, syscall })
    }

    /// Parses what was written to a control file.
    ///
    /// # Errors
    /// As [`control::parse_write`].
    pub fn from_write(verb: &'static Verb, bytes: &[u8]) -> Result<Call> {
        let words = control::write_words(verb, bytes)?;
        let syscall = control::parse_words(verb, &words)?;
        Ok(Call { verb, words, syscall })
    }

    /// The call as a line of a script, made by the task with number `pid`.
    pub fn script_line(&self, pid: i32) -> String {
        format!("{pid} {} {}", self.verb.name, self.line()).trim_end().to_owned()
    }

    /// The words after the verb as one line that reads back as the same words, in a control file or a script.
    pub fn line(&self) -> String {
        self.words.iter().map(|word| quote(&word.bytes)).collect::<Vec<_>>().join(" ")
    }
}

impl Machine for Kernel {
    fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
        let task = self.find_task(pid).ok_or_else(|| err!(ESRCH, "no task has the number {}", pid))?;
        control::answer(dispatch(self, task, &call.syscall))
    }

    fn open(&mut self, path: &[u8]) -> Result<Opened> {
        Ok(Opened { line: 0, file: Some(setup::open(self, path)?) })
    }

    /// Nobody looks at a bare kernel who could meet faults or be attached.
    fn set(&mut self, setup: &Setup) -> Result<Vec<u8>> {
        match setup {
            Setup::Limits { tasks, memory } => {
                self.threads_max = tasks.unwrap_or(self.threads_max);
                self.memory.max = memory.unwrap_or(self.memory.max);
            }
            Setup::Boot(profile) => self.boot_as(profile)?,
            Setup::Faults { .. } | Setup::Attach { .. } => {}
            Setup::Mkdir { .. }
            | Setup::Rmdir { .. }
            | Setup::Write { .. }
            | Setup::Tick { .. }
            | Setup::Become { .. } => {
                let (task, call) = setup.host_call(self)?;
                return control::answer(dispatch(self, task, &call));
            }
        }
        Ok(b"0".to_vec())
    }
}

/// `text` without one final newline, as results are compared and kept.
fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::syscall::{LabCall, Syscall};

    /// Notes the calls made. clone gives 2, 3 …; kill is refused; read gives a text with the path in it.
    #[derive(Default)]
    pub(super) struct FakeLab {
        pub(super) calls: Vec<String>,
        tasks: i64,
    }

    impl Machine for FakeLab {
        fn call(&mut self, pid: i32, call: &Call) -> Result<Vec<u8>> {
            self.calls.push(format!("{pid} {} {}", call.verb.name, call.line()).trim_end().to_owned());
            match &call.syscall {
                AnyCall::Linux(Syscall::Clone(_)) => {
                    self.tasks += 1;
                    Ok((self.tasks + 1).to_string().into_bytes())
                }
                AnyCall::Linux(Syscall::Kill { .. }) => Err(err!(EPERM, "refused")),
                AnyCall::Lab(LabCall::Read { path }) => Ok([b"text of ", path.as_slice(), b"\n"].concat()),
                _ => Ok(b"0".to_vec()),
            }
        }
    }
}
