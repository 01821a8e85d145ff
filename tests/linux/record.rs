//! Recorded programs: random programs with what the machine answered, as `.lab` files that run anywhere.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nslab::control::lex::quote;
use nslab::errno::Errno;
use nslab::kernel::ns::ENTRIES;
use proptest::strategy::ValueTree;

use crate::area::Area;
use crate::draw::program_tree;
use crate::observe::{initial_number, lab_links, lab_status, lab_text};
use crate::pair::Pair;
use crate::program::sandbox::SANDBOX;
use crate::run::{Outcome, run_steps};

/// Programs in one file.
const PER_FILE: usize = 50;
/// The areas recorded, the name of their files, and the programs in them.
const RECORDED: [(&str, &str, usize); 3] = [("core", "programs", 520), ("ipc", "ipc", 80), ("mnt", "mnt", 40)];
/// Programs looked at while choosing.
const CANDIDATES: u64 = 4000;
/// The lines of `status` that a recorded program ends with.
const STATUS: [&str; 6] = ["State", "PPid", "Uid", "Gid", "NSpid", "CapEff"];

/// Records programs of an area until there are enough, those first that reach what none before did; the files by name,
/// and their texts. The programs are half as long as others.
///
/// # Errors
/// The machine's side does not start, or differs: then there is nothing to record.
pub fn record(pair: &mut Pair, area: &Area, seed: u64) -> Result<Vec<(String, String)>, String> {
    let Some((_, name, programs)) = RECORDED.into_iter().find(|(recorded, ..)| *recorded == area.name) else {
        return Ok(Vec::new());
    };
    let (mut reached, mut chosen, mut others) = (BTreeSet::new(), Vec::new(), Vec::new());
    for index in 0..CANDIDATES {
        if chosen.len() >= programs {
            break;
        }
        let outcome = run_steps(pair, area, &program_tree(area, seed, index, area.length / 2).current())?;
        if outcome.difference.is_some() || outcome.is_unordered {
            continue;
        }
        let new = features(&outcome).into_iter().filter(|feature| reached.insert(feature.clone())).count();
        let text = case_text(pair, area, index, &outcome)?;
        if new > 0 { chosen.push(text) } else { others.push(text) }
    }
    let missing = programs.saturating_sub(chosen.len());
    chosen.extend(others.into_iter().take(missing));
    let files = chosen.chunks(PER_FILE).enumerate();
    Ok(files.map(|(at, programs)| (format!("{name}-{at:02}.lab"), format!("{HEADER}{}", programs.concat()))).collect())
}

const HEADER: &str = "\
# Random programs recorded on Linux 6.18: each line says what the real kernel answered. Numbers of tasks and namespaces
# are the lab's; the machine's were mapped to them one to one. Made by the test `linux`, not by hand.
";

/// What a program reaches: places that refuse, and results of each verb with its first word.
fn features(outcome: &Outcome) -> Vec<String> {
    let results = outcome.ran.iter().map(|ran| {
        let errno = ran.result.as_ref().err().map_or("ok".to_owned(), |errno| format!("{errno:?}"));
        let call = ran.line.call();
        let word = match (&call, ran.line.verb.as_str()) {
            (Ok(call), "clone" | "unshare" | "prctl" | "ioctl") => call.line(),
            _ => String::new(),
        };
        format!("{} {word} {errno}", ran.line.verb)
    });
    outcome.sites.iter().cloned().chain(results).collect()
}

fn case_text(pair: &Pair, area: &Area, index: u64, outcome: &Outcome) -> Result<String, String> {
    let mut text = format!("\ncase linux-{}-{index:04}\n", area.name);
    for line in pair.init_lines()? {
        let words: Vec<String> = line.iter().map(|word| quote(word.as_bytes())).collect();
        let _ = writeln!(text, "1 {}", words.join(" "));
    }
    for line in SANDBOX.lines().filter(|_| area.is_sandboxed) {
        let _ = writeln!(text, "1 {line}");
    }
    for ran in &outcome.ran {
        let expected = match &ran.result {
            Ok(value) => format!("= {}", quote(value.as_bytes())),
            Err(errno) => format!("! {errno:?}"),
        };
        let _ = writeln!(text, "{expected} {}", crate::run::text_of(&ran.line));
    }
    for (task, _) in pair.k.tasks.iter().filter(|(id, _)| *id != pair.k.init.task) {
        let nr = pair.k.task_nr(task);
        for (at, link) in lab_links(&pair.k, task).into_iter().enumerate() {
            let name = ENTRIES[at].name;
            match link {
                Ok(number) if number == initial_number(at) => {}
                Ok(number) => {
                    let kind = ENTRIES[at].ns_type.ops().name;
                    let _ = writeln!(text, "= {kind}:[{number}] 1 readlink proc/{nr}/ns/{name}");
                }
                Err(errno) => {
                    let _ = writeln!(text, "! {} 1 readlink proc/{nr}/ns/{name}", errno_name(errno));
                }
            }
        }
        if area.is_sandboxed && !pair.k.tasks[task].is_dead() {
            let mounts = lab_text(&pair.k, task, "mountinfo").map_err(errno_name)?;
            let _ = writeln!(text, "= {} 1 read proc/{nr}/mountinfo", quote(mounts.as_bytes()));
        }
        let lines: Vec<String> = lab_status(&pair.k, task)
            .iter()
            .filter(|(name, _)| STATUS.contains(name))
            .map(|(name, value)| {
                // A state has its word behind the letter.
                let end = if *name == "State" { ' ' } else { '$' };
                format!("^{name}:\\\\s{}{end}", value.replace('\t', r"\\s"))
            })
            .collect();
        let _ = writeln!(text, "~ \"(?ms){}\" 1 read proc/{nr}/status", lines.join(".*"));
    }
    Ok(text)
}

fn errno_name(errno: Errno) -> String {
    format!("{errno:?}")
}
