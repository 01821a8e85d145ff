//! A line of a journal, as what was done.

use crate::control::lex::{Template, quote};
use crate::script::Call;
use crate::script::statement::{CallLine, Expect, Statement};
use crate::syscall::AnyCall;

/// A call that a line of a journal tells of.
#[derive(Debug)]
pub struct Told {
    /// The number of who has made it.
    pub pid: i32,
    /// The verb, and the words after it; of a call that a program waits in, those of that call.
    pub verb: String,
    pub words: Vec<Vec<u8>>,
    pub call: AnyCall,
    pub has_failed: bool,
    /// What came of it, where the line says so.
    pub result: Option<Vec<u8>>,
}

impl Told {
    /// `None`: the line tells of no call.
    pub fn of(statement: &Statement) -> Option<Told> {
        let Statement::Call(CallLine { expect, pid, verb, args, .. }) = statement else { return None };
        let words: Vec<_> = args.iter().map(|arg| arg.expand(|_| None).ok()).collect::<Option<_>>()?;
        let call = Call::new(verb, words.clone()).ok()?.syscall;
        let pid = std::str::from_utf8(pid.literal()?).ok()?.parse().ok()?;
        let mut words: Vec<Vec<u8>> = words.into_iter().map(|word| word.bytes).collect();
        let mut verb = (*verb).to_owned();
        let call = match call {
            AnyCall::Waiting(call) => {
                // `program waits CALL ARGS…`
                verb = String::from_utf8(words.get(1)?.clone()).ok()?;
                words.drain(..2);
                AnyCall::Linux(call)
            }
            call @ (AnyCall::Linux(_) | AnyCall::Lab(_) | AnyCall::Tick { .. }) => call,
        };
        let result = match expect {
            Expect::Text(text) => text.literal().map(<[u8]>::to_vec),
            _ => None,
        };
        let has_failed = matches!(expect, Expect::Errno(_));
        Some(Told { pid, verb, words, call, has_failed, result })
    }

    /// The first number of the result.
    pub fn number(&self) -> Option<i32> {
        let text = std::str::from_utf8(self.result.as_ref()?).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// The words after the verb as they are written.
    pub fn line(&self) -> String {
        self.words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word of a journal, in which nothing stands for something else.
pub fn bytes(word: &Template) -> Vec<u8> {
    word.literal().unwrap_or_default().to_vec()
}
