//! The proof: the same programs on the real Linux kernel and on the lab, compared call by call.
//!
//! Without the standard runtime (`no_main`): it would open descriptors 0 to 2 in a worker that has none.
//!
//! `options.rs` has the variables of the environment that ask for something else.
//!
//! Who is not root runs random programs of the area `core` alone; the rest is said to be skipped.
//!
//! Programs use the uids 1, 5, 41000, 41001 and 65534, whose processes RLIMIT_NPROC counts: a difference of EAGAIN comes from
//! others that have some for longer than a moment.
#![no_main]

mod area;
mod cases;
mod cgroup;
mod decode;
mod draw;
mod encode;
#[path = "../common/files.rs"]
mod files;
mod ipc;
mod look;
mod machine;
mod mnt;
mod net;
mod numbers;
mod observe;
mod options;
mod pair;
mod patience;
mod planted;
#[path = "../common/program/mod.rs"]
mod program;
mod raw;
mod record;
mod report;
mod run;
#[path = "../common/sites.rs"]
mod sites;
mod third;
mod verbs;

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::path::Path;

use area::Area;
use nslab::kernel::Kernel;
use nslab::script::file::{Case, load};
use nslab::script::run::{Outcome, run_case};
use options::Options;
use pair::Pair;
use report::{ByArea, CaseCounts, Counts};
use run::Tally;

/// Runs all checks. A worker that has just called exec comes here too.
///
/// # Safety
/// What the C runtime promises: `argv` has `argc` C strings.
#[expect(unsafe_code, reason = "the C entry point")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: argv has argc C strings.
    let args = (0..argc as usize).map(|at| unsafe { CStr::from_ptr(*argv.add(at)) }.to_string_lossy().into_owned());
    let args: Vec<String> = args.collect();
    if let [_, flag, slot] = args.as_slice()
        && flag == "--worker"
    {
        raw::serve_after_exec(slot.parse().unwrap_or(0));
    }
    if args.iter().any(|arg| arg == "--list") {
        list(&args);
        return 0;
    }
    match all_checks() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Tells cargo-nextest which tests are here. It asks for those that are ignored, too: there are none.
fn list(args: &[String]) {
    if !args.iter().any(|arg| arg == "--ignored") {
        println!("linux: test");
    }
}

/// Why nothing can be compared on this machine.
fn obstacle() -> Option<&'static str> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with("6.18.") {
        return Some("the kernel is not Linux 6.18, whose behaviour the lab has");
    }
    let user_ns = fs::read_link("/proc/self/ns/user").unwrap_or_default();
    if user_ns != Path::new("user:[4026531837]") {
        return Some("this is not the initial user namespace");
    }
    let pid_ns = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    (pid_ns != Path::new("pid:[4026531836]")).then_some("this is not the initial pid namespace")
}

fn all_checks() -> Result<(), String> {
    if let Some(obstacle) = obstacle() {
        println!("linux: skipped: {obstacle}");
        return Ok(());
    }
    raw::create_region().map_err(|error| format!("shared memory: {error}"))?;
    raw::call(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER as u64, 1, 0, 0, 0, 0]);
    let socket = raw::descriptor_channel().map_err(|error| format!("socket pair: {error}"))?;
    let mut pair = Pair::new(socket)?;
    let options = Options::of_environment();
    pair.is_in_lab = options.is_in_lab;
    if let Some(directory) = &options.record {
        return record_into(&mut pair, directory, &options);
    }
    if let Some(name) = &options.cases {
        let failed: usize = check_cases(&mut pair, name)?.values().map(|family| family.failed).sum();
        return if failed == 0 { Ok(()) } else { Err(format!("linux: {failed} cases failed")) };
    }
    let is_root = raw::call(libc::SYS_geteuid, [0; 6]) == 0;
    planted::check(&mut pair)?;
    if options.is_in_lab {
        let mut differ = 0;
        for area in options.areas()?.into_iter().filter(|area| third::has(area.name, options.has_cases())) {
            differ += check_programs(&mut pair, area, &format!("{} in a lab", area.name), &options)?.differ;
        }
        return if differ == 0 { Ok(()) } else { Err(format!("linux: {differ} programs differ")) };
    }
    if is_root {
        ipc::planted::check(&mut pair)?;
    } else {
        println!("linux: cases: skipped: this is not root");
    }
    println!("linux: planted errors: ok");
    let has_cases = is_root && options.has_cases();
    let cases = if has_cases { check_cases(&mut pair, "")? } else { BTreeMap::new() };
    let mut counts = ByArea::new();
    for area in options.areas()? {
        let not_root = (area.needs_root && !is_root).then_some("this is not root");
        let no_cgroups = || cgroup::obstacle().filter(|_| area.name == cgroup::AREA.name);
        if let Some(obstacle) = not_root.or_else(no_cgroups) {
            println!("linux: {}: skipped: {obstacle}", area.name);
            continue;
        }
        counts.insert(area.name.to_owned(), check_programs(&mut pair, area, area.name, &options)?);
    }
    let failed: usize = cases.values().map(|family| family.failed).sum();
    let differ: u64 = counts.values().map(|area| area.differ).sum();
    if let Some(file) = &options.report {
        report::add_logs(&mut counts, &options.logs)?;
        fs::write(file, report::text(&counts, &cases)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if failed as u64 + differ > 0 {
        return Err(format!("linux: {failed} cases failed, {differ} programs differ"));
    }
    third::run(&options)?;
    // A run of one area, or of one that is not root, does not come to all verbs.
    if has_cases && counts.len() == area::AREAS.len() { verbs::check(&pair.compared) } else { Ok(()) }
}

fn check_programs(pair: &mut Pair, area: &Area, name: &str, options: &Options) -> Result<Counts, String> {
    let mut tally = Tally::default();
    run::run_programs(pair, area, options, &mut tally)?;
    let counts = Counts::of(&tally);
    println!("{}", counts.line(name));
    for difference in &tally.unsteady {
        println!("linux: {name}: once only: {difference}");
    }
    Ok(counts)
}

/// Runs the case files on both sides; a case that cannot run here stops at the first line that says so.
fn check_cases(pair: &mut Pair, part: &str) -> Result<BTreeMap<String, CaseCounts>, String> {
    let mut families: BTreeMap<String, CaseCounts> = BTreeMap::new();
    for file in files::files("fixtures/cases", "lab") {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if !name.contains(part) {
            continue;
        }
        let family_name = name.split('-').next().unwrap_or_default();
        let family = families.entry(family_name.to_owned()).or_default();
        pair.is_sandboxed = matches!(family_name, "mnt" | "pin");
        for case in load(&file).map_err(|error| error.to_string())? {
            family.total += 1;
            // What needs a mounted lab is not compared.
            if !matches!(run_case(&mut Kernel::boot(), &case), Outcome::Passed) {
                family.not_here += 1;
                continue;
            }
            family.bare += 1;
            match run_case_steadily(pair, &case)? {
                Outcome::Passed => family.passed += 1,
                Outcome::NotHere => family.not_here += 1,
                Outcome::Failed(message) => {
                    println!("{message}");
                    family.failed += 1;
                }
            }
        }
    }
    (pair.is_init_dirty, pair.is_sandboxed) = (true, false);
    pair.restart()?;
    let sum = |count: fn(&CaseCounts) -> usize| families.values().map(count).sum::<usize>();
    println!(
        "linux: cases: {} passed, {} failed, {} not run here",
        sum(|a| a.passed),
        sum(|a| a.failed),
        sum(|a| a.not_here)
    );
    Ok(families)
}

/// Runs a case on both sides; a difference has to come every time.
fn run_case_steadily(pair: &mut Pair, case: &Case) -> Result<Outcome, String> {
    let mut outcome = Outcome::NotHere;
    for _ in 0..run::REPEATS {
        pair.restart()?;
        outcome = match run_case(pair, case) {
            // Both agree, on something else: the case is about a root that may do more than this one.
            Outcome::Failed(message) if !message.contains(&format!("{:?}", cases::DIFFERS)) => Outcome::NotHere,
            outcome => outcome,
        };
        if !matches!(outcome, Outcome::Failed(_)) {
            break;
        }
    }
    Ok(outcome)
}

fn record_into(pair: &mut Pair, directory: &Path, options: &Options) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    for area in options.areas()? {
        for (name, text) in record::record(pair, area, options.seed)? {
            fs::write(directory.join(name), text).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
