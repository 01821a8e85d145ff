//! `nslab tree`, `graph`, `trace` and `ps`: pictures of a mounted lab, or of one that a script makes without a mount.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::colour::paint;
use super::ps::Order;
use super::{Outcome, boot_on, complete, fit, print, ps as table};
use crate::control::target::{self, Target};
use crate::errno::describe;
use crate::fuse::{Part, find_lab, is_lab};
use crate::kernel::Kernel;
use crate::kernel::node::View;
use crate::kernel::ns::{NS_TABLE, NsType};
use crate::tree::graph::{Focus, draw_dot, draw_matrix, draw_svg};
use crate::tree::{self, Census, Viewer};

/// How often a trace that is followed is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Steps a trace without a mount keeps.
const STEPS: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A mounted lab; without it $LAB or the current directory
    #[arg(add = complete::lab_or_directory())]
    dir: Option<PathBuf>,
    /// Show the lab that this script makes, without a mount
    #[arg(long, value_name = "FILE", conflicts_with = "dir", add = complete::script())]
    boot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Of pictures in lines.
#[derive(Debug, clap::Args)]
pub struct TextArgs {
    #[command(flatten)]
    show: Args,
    /// Do not fold lines to the width of the terminal or of COLUMNS
    #[arg(short, long)]
    wide: bool,
}

#[derive(Debug, clap::Args)]
pub struct PsArgs {
    #[command(flatten)]
    text: TextArgs,
    /// Print each task below its parent
    #[arg(short, long, conflicts_with = "json")]
    tree: bool,
}

#[derive(Debug, clap::Args)]
pub struct GraphArgs {
    #[command(flatten)]
    show: Args,
    /// Print the graph in the language of graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Draw the matrix of tasks and kinds alone, without the objects
    #[arg(long, conflicts_with_all = ["json", "dot"])]
    matrix: bool,
    /// Show only this task, its ancestors and descendants, and tasks that share a namespace with it
    #[arg(long, value_name = "PID", conflicts_with = "json")]
    pid: Vec<i32>,
    /// Show only the tasks in this namespace, given as net:[4026532177] or as 4026532177
    #[arg(long, value_name = "NS", value_parser = inum, conflicts_with = "json")]
    ns: Vec<u32>,
    /// Show only these kinds of namespaces, such as net,pid
    #[arg(long = "type", value_name = "KIND", value_delimiter = ',', value_parser = kind, conflicts_with = "json")]
    types: Vec<NsType>,
}

fn inum(text: &str) -> Result<u32, String> {
    match target::parse(text.as_bytes()) {
        Ok(Target::Ns { inum, .. }) => Ok(inum),
        Ok(_) => text.parse().map_err(|_| "a namespace is net:[4026532177], or its number alone".to_owned()),
        Err(error) => Err(error.reason()),
    }
}

fn kind(text: &str) -> Result<NsType, String> {
    let kinds = || NS_TABLE.iter().map(|ops| ops.name).collect::<Vec<_>>().join(", ");
    NsType::from_name(text).ok_or_else(|| format!("the kinds are {}", kinds()))
}

#[derive(Debug, clap::Args)]
pub struct TraceArgs {
    #[command(flatten)]
    text: TextArgs,
    /// Print later steps as they happen, until the lab is unmounted
    #[arg(short, long, conflicts_with = "boot")]
    follow: bool,
}

/// Where the pictures come from.
enum Source {
    Mount(PathBuf),
    Kernel(Box<Kernel>),
}

impl Source {
    fn of(args: &Args) -> Result<Source, Box<dyn Error>> {
        if args.boot.is_none() {
            return lab_dir(args.dir.clone()).map(Source::Mount);
        }
        let mut kernel = Kernel::boot();
        kernel.trace.start(STEPS);
        boot_on(&mut kernel, args.boot.as_deref())?;
        Ok(Source::Kernel(Box::new(kernel)))
    }

    /// The file called `name` below `kernel/`.
    fn read(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let bytes = match self {
            Source::Mount(dir) => {
                let file = dir.join("kernel").join(name);
                fs::read(&file).map_err(|error| unreadable(dir, &file, &error))?
            }
            Source::Kernel(kernel) => {
                let init = kernel.init.task;
                let node = tree::resolve(kernel, init, View::Caller, format!("kernel/{name}").as_bytes(), true)?;
                tree::read(kernel, Viewer(init), node)?
            }
        };
        Ok(String::from_utf8(bytes)?)
    }
}

/// The lab meant: the directory named, else `$LAB`, else the current one.
pub(super) fn lab_dir(named: Option<PathBuf>) -> Result<PathBuf, Box<dyn Error>> {
    let from = named.is_none().then(|| std::env::var_os("LAB").map(PathBuf::from)).flatten();
    let remedy = match (&named, &from) {
        (Some(_), _) => "mount one there with nslab mount",
        (None, Some(_)) => "set LAB to one, or name one",
        (None, None) => "name one, or a script with --boot",
    };
    let dir = named.or(from).unwrap_or_else(|| PathBuf::from("."));
    match fs::canonicalize(&dir) {
        Ok(dir) if is_lab(&dir) => whole(dir),
        Err(error) if is_lab(&dir) || is_cut(&error) => Err(unreadable(&dir, &dir, &error).into()),
        Err(error) => {
            Err(format!("{}: {}: `nslab list` shows the labs there are", dir.display(), describe(&error)).into())
        }
        Ok(_) => Err(format!("{}: not a mounted lab: {remedy}", dir.display()).into()),
    }
}

/// The lab itself, for the directory of a mount of its `proc`, where its pictures are not.
fn whole(dir: PathBuf) -> Result<PathBuf, Box<dyn Error>> {
    match find_lab(&dir).map(|lab| lab.part) {
        Ok(Part::ProcOf(lab)) => Ok(lab),
        Ok(Part::Proc) => Err(format!(
            "{}: only proc of this lab is mounted, and there are no pictures in it: mount the lab as well, with `nslab \
             mount DIR --proc PDIR`",
            dir.display()
        )
        .into()),
        Ok(Part::Whole) | Err(_) => Ok(dir),
    }
}

/// Whether the daemon of a lab is gone.
fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::ConnectionAborted)
}

/// Why a file of a lab cannot be read, and what to do.
fn unreadable(dir: &Path, file: &Path, error: &io::Error) -> String {
    let dir = dir.display();
    let remedy = match error.kind() {
        io::ErrorKind::NotConnected | io::ErrorKind::ConnectionAborted => {
            format!("the process of this lab is gone: run `nslab umount {dir}`, then mount a new one")
        }
        io::ErrorKind::PermissionDenied => {
            "only the user who mounted the lab may look, unless it was with `-o allow_other`".to_owned()
        }
        _ => format!("`nslab doctor {dir}` says how the lab is"),
    };
    format!("{}: {}: {remedy}", file.display(), describe(error))
}

impl TextArgs {
    /// How many columns a line may have; `None`: any number.
    fn width(&self) -> Option<usize> {
        if self.wide { None } else { fit::width() }
    }

    /// A table or several, for people.
    fn drawn(&self, tables: &str) -> String {
        match self.width() {
            Some(width) => paint(&fit::tables(tables, width)),
            None => paint(tables),
        }
    }
}

pub fn tree(args: &TextArgs) -> Outcome {
    let source = Source::of(&args.show)?;
    print(&if args.show.json { source.read("tree.json")? } else { args.drawn(&source.read("tree")?) })
}

pub fn graph(args: &GraphArgs) -> Outcome {
    let source = Source::of(&args.show)?;
    let focus = Focus { pids: args.pid.clone(), inums: args.ns.clone(), types: args.types.clone() };
    if args.show.json {
        return print(&source.read("tree.json")?);
    }
    if focus == Focus::default() && !args.matrix {
        return print(&source.read(if args.dot { "graph.dot" } else { "graph.svg" })?);
    }
    let census = Census::from_json(&source.read("tree.json")?)?;
    print(&match (args.dot, args.matrix) {
        (true, _) => draw_dot(&census, &focus)?,
        (_, true) => draw_matrix(&census, &focus)?,
        _ => draw_svg(&census, &focus)?,
    })
}

pub fn ps(args: &PsArgs) -> Outcome {
    let show = &args.text.show;
    let all = Source::of(show)?.read("tree.json")?;
    if show.json {
        return print(&table::json(table::tasks(&all)?)?);
    }
    let order = if args.tree { Order::Tree } else { Order::ByPid };
    print(&args.text.drawn(&table::table(table::tasks(&all)?, order)?))
}

pub fn trace(args: &TraceArgs) -> Outcome {
    let TextArgs { show, .. } = &args.text;
    let width = args.text.width();
    let line = |line: &str| match width {
        _ if show.json => line_json(line),
        Some(width) => paint(&fit::trace(line, width)),
        None => paint(line),
    };
    match Source::of(show)? {
        Source::Mount(dir) if args.follow => follow(&dir, line),
        source => print(&source.read("trace")?.split_inclusive('\n').map(line).collect::<String>()),
    }
}

/// Prints lines as they come, until the lab is unmounted or nobody reads them.
fn follow(dir: &Path, show: impl Fn(&str) -> String) -> Outcome {
    let file = dir.join("kernel/trace");
    let mut trace = BufReader::new(File::open(&file).map_err(|error| unreadable(dir, &file, &error))?);
    let mut line = String::new();
    let mut out = anstream::stdout();
    loop {
        match trace.read_line(&mut line) {
            Ok(0) => thread::sleep(POLL),
            Ok(_) if !line.ends_with('\n') => {}
            Ok(_) => {
                if out.write_all(show(&line).as_bytes()).and_then(|()| out.flush()).is_err() {
                    return Ok(ExitCode::SUCCESS);
                }
                line.clear();
            }
            Err(error) if is_cut(&error) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(unreadable(dir, &file, &error).into()),
        }
    }
}

/// A line of the trace as an object on a line.
fn line_json(line: &str) -> String {
    let mut words = line.split_whitespace();
    let numbers = words.next().zip(words.next()).and_then(|(n, pid)| Some((n.parse().ok()?, pid.parse().ok()?)));
    let object = match numbers {
        Some((number, pid)) => {
            let (number, pid): (u64, i32) = (number, pid);
            json!({ "number": number, "pid": pid, "step": words.collect::<Vec<_>>().join(" ") })
        }
        None => json!({ "note": line.trim() }),
    };
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_line_of_the_trace_becomes_an_object() {
        let object: Value = serde_json::from_str(&line_json("     7     2    put_nsproxy 0 2 -> 1\n")).unwrap();
        assert_eq!(object, json!({"number": 7, "pid": 2, "step": "put_nsproxy 0 2 -> 1"}));
        assert_eq!(line_json("# 3 steps lost\n"), "{\"note\":\"# 3 steps lost\"}\n");
    }

    #[test]
    fn pictures_need_a_lab_and_say_so() {
        let error = lab_dir(Some(PathBuf::from("/"))).unwrap_err();
        assert_eq!(error.to_string(), "/: not a mounted lab: mount one there with nslab mount");
    }

    #[test]
    fn a_script_is_shown_without_a_mount() {
        let script = tempfile::Builder::new().suffix(".lab").tempfile().unwrap();
        fs::write(&script, "1 clone net\n").unwrap();
        let args = Args { dir: None, boot: Some(script.path().to_owned()), json: false };
        let source = Source::of(&args).unwrap();
        assert!(source.read("tree").unwrap().contains("net:[4026532177]"));
        assert!(source.read("trace").unwrap().contains("clone(CLONE_NEWNET)"));
        assert!(source.read("nothing").is_err());
    }
}
