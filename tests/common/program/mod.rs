//! Random programs: steps that pick tasks, descriptors and texts by index among what there is at that moment, and the lines
//! of the `.lab` language they become.

pub mod cgroup;
pub mod core;
pub mod ipc;
pub mod mnt;
pub mod net;
pub mod sandbox;
#[path = "../walk.rs"]
mod walk;
mod words;

use nslab::errno::Result;
use nslab::kernel::ns::{ENTRIES, NS_TABLE};
use nslab::kernel::{Kernel, TaskId};
use nslab::script::Call;
use nslab::syscall::CloneFlags;
use proptest::prelude::*;

/// One step: who does what.
#[derive(Clone, Debug)]
pub struct Step {
    /// Stands for a task, which whoever runs the step picks.
    pub actor: usize,
    pub op: Op,
}

/// What is done; numbers named after things are indices into what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Clone {
        flags: u64,
        set_tid: Vec<i64>,
        exit_signal: Option<u64>,
    },
    Unshare {
        flags: u64,
    },
    SetnsEntry {
        task: usize,
        entry: usize,
        flags: u64,
    },
    SetnsPidfd {
        task: usize,
        flags: u64,
    },
    SetnsFd {
        fd: i32,
        flags: u64,
    },
    OpenEntry {
        task: usize,
        entry: usize,
        flags: &'static str,
    },
    OpenPidfd {
        task: usize,
        flags: &'static str,
    },
    PidfdGetfd {
        fd: i32,
        other: i32,
    },
    Ioctl {
        fd: i32,
        request: u32,
        task: usize,
    },
    /// A verb with a task's number between two texts.
    Named {
        before: &'static str,
        task: usize,
        after: String,
    },
    /// A verb with the numbers of two tasks.
    Pair {
        verb: &'static str,
        first: usize,
        second: usize,
        after: String,
    },
    /// A verb and words that depend on nothing.
    Plain(String),
    Map {
        task: usize,
        file: &'static str,
        text: &'static str,
    },
    Limit {
        kind: usize,
        value: u32,
    },
    /// A line with `{WORD:INDEX}` where `fill` knows what stands for them at that moment.
    Filled {
        line: String,
        fill: Fill,
    },
}

/// What stands for `{WORD:INDEX}` in a line of a task. `None`: nothing, and then there is no line.
pub type Fill = fn(&Kernel, TaskId, &str, usize) -> Option<String>;

/// A step whose line has holes.
pub fn filled_step(fill: Fill, line: impl Strategy<Value = String>) -> impl Strategy<Value = Step> {
    (any::<usize>(), line).prop_map(move |(actor, line)| Step { actor, op: Op::Filled { line, fill } })
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// The number of a task.
    Pid(i32),
}

/// A line as it was run: the caller, and the words after it.
#[derive(Clone, Debug)]
pub struct Line {
    pub actor: i32,
    pub verb: String,
    pub words: Vec<Vec<Piece>>,
}

impl Line {
    /// The call of this line.
    ///
    /// # Errors
    /// It is none: a mistake of the generator.
    pub fn call(&self) -> Result<Call> {
        let words = self.words.iter().map(|word| {
            let bytes = word.iter().map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Pid(nr) => nr.to_string(),
            });
            nslab::control::lex::Word { bytes: bytes.collect::<String>().into_bytes(), column: 1 }
        });
        Call::new(&self.verb, words.collect())
    }
}

/// Turns a step of a task into a line for the kernel as it is. `None` when there is nothing to do it with.
pub fn line_of(k: &Kernel, actor: TaskId, step: &Step) -> Option<Line> {
    let nr = |index: usize| Piece::Pid(pick_number(k, index));
    let text = |text: String| vec![Piece::Text(text)];
    let words = |verb: &str, words: Vec<Vec<Piece>>| Line { actor: k.task_nr(actor), verb: verb.to_owned(), words };
    let entry_path = |task: usize, entry: usize| {
        vec![Piece::Text("/proc/".to_owned()), nr(task), Piece::Text(format!("/ns/{}", ENTRIES[entry].name))]
    };
    Some(match &step.op {
        Op::Clone { flags, set_tid, exit_signal } => {
            let mut all = flag_words(*flags);
            if !set_tid.is_empty() {
                let list: Vec<String> = set_tid.iter().map(ToString::to_string).collect();
                all.push(text(format!("set_tid={}", list.join(","))));
            }
            all.extend(exit_signal.map(|signal| text(format!("exit_signal={signal}"))));
            words("clone", all)
        }
        Op::Unshare { flags } if *flags == 0 => words("unshare", vec![text("0".to_owned())]),
        Op::Unshare { flags } => words("unshare", flag_words(*flags)),
        Op::SetnsEntry { task, entry, flags } => {
            let flags = if *flags == 1 { ENTRIES[*entry].ns_type.ops().clone_flag } else { *flags };
            words("setns", [vec![entry_path(*task, *entry)], flag_words(flags)].concat())
        }
        Op::SetnsPidfd { task, flags } => {
            words("setns", [vec![vec![Piece::Text("pidfd:".to_owned()), nr(*task)]], flag_words(*flags)].concat())
        }
        Op::SetnsFd { fd, flags } => words("setns", [vec![text(format!("fd:{fd}"))], flag_words(*flags)].concat()),
        Op::OpenEntry { task, entry, flags } => {
            words("open", [vec![entry_path(*task, *entry)], optional(flags)].concat())
        }
        Op::OpenPidfd { task, flags } => {
            words("open", [vec![vec![Piece::Text("pidfd:".to_owned()), nr(*task)]], optional(flags)].concat())
        }
        Op::PidfdGetfd { fd, other } => words("pidfd_getfd", vec![text(fd.to_string()), text(other.to_string())]),
        Op::Ioctl { fd, request, task } => {
            let argument = matches!(request, 0x8004_b706..=0x8004_b709).then(|| vec![nr(*task)]);
            let all = [text(fd.to_string()), text(format!("{request:#x}"))].into_iter().chain(argument);
            words("ioctl", all.collect())
        }
        Op::Named { before, task, after } => {
            let (verb, prefix) = before.split_once(' ')?;
            let mut all: Vec<Vec<Piece>> = prefix.split_whitespace().map(|word| text(word.to_owned())).collect();
            if prefix == "-" {
                all = vec![vec![Piece::Text("-".to_owned()), nr(*task)]];
            } else {
                all.push(vec![nr(*task)]);
            }
            all.extend(optional(after));
            words(verb, all)
        }
        Op::Pair { verb, first, second, after } => {
            words(verb, [vec![vec![nr(*first)], vec![nr(*second)]], optional(after)].concat())
        }
        Op::Plain(line) => plain_line(k.task_nr(actor), line)?,
        Op::Filled { line, fill } => {
            plain_line(k.task_nr(actor), &fill_in(line, |word, index| fill(k, actor, word, index))?)?
        }
        Op::Map { task, file, text: content } => {
            let path = vec![Piece::Text("/proc/".to_owned()), nr(*task), Piece::Text(format!("/{file}"))];
            words("write", vec![path, text((*content).to_owned())])
        }
        Op::Limit { kind, value } => {
            let path = format!("/proc/sys/user/{}", NS_TABLE[*kind].ucount_name);
            words("write", vec![text(path), text(value.to_string())])
        }
    })
}

/// The line with its holes filled; text in braces that is no `WORD:INDEX` stays.
fn fill_in(line: &str, fill: impl Fn(&str, usize) -> Option<String>) -> Option<String> {
    let mut pieces = line.split('{');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let hole = piece.split_once('}').and_then(|(hole, after)| Some((hole.split_once(':')?, after)));
        match hole.and_then(|((word, index), after)| Some((word, index.parse().ok()?, after))) {
            Some((word, index, after)) => out += &(fill(word, index)? + after),
            None => out += &format!("{{{piece}"),
        }
    }
    Some(out)
}

pub fn plain_line(actor: i32, line: &str) -> Option<Line> {
    let words = nslab::control::lex::control_words(line).ok()?;
    let mut words = words.into_iter().map(|word| String::from_utf8_lossy(&word.bytes).into_owned());
    let verb = words.next()?;
    Some(Line { actor, verb, words: words.map(|word| vec![Piece::Text(word)]).collect() })
}

fn optional(words: &str) -> Vec<Vec<Piece>> {
    words.split_whitespace().map(|word| vec![Piece::Text(word.to_owned())]).collect()
}

/// The words for flags: names where they have one.
fn flag_words(flags: u64) -> Vec<Vec<Piece>> {
    let (mut rest, mut names) = (flags, Vec::new());
    for ops in NS_TABLE.iter().filter(|ops| flags & ops.clone_flag != 0) {
        names.push(format!("new{}", ops.name));
        rest &= !ops.clone_flag;
    }
    for (name, flag) in CloneFlags::from_bits_retain(rest).iter_names() {
        if !name.is_empty() && name != "_" {
            names.push(name.to_lowercase());
            rest &= !flag.bits();
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names.into_iter().map(|name| vec![Piece::Text(name)]).collect()
}

/// The number of any task there is, zombies included; sometimes one that nobody has.
pub fn pick_number(k: &Kernel, index: usize) -> i32 {
    let tasks: Vec<TaskId> = k.tasks.iter().map(|(id, _)| id).collect();
    if index.is_multiple_of(40) { 3999 } else { k.task_nr(tasks[index / 40 % tasks.len()]) }
}
