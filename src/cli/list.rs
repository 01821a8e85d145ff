//! `nslab list`: the labs of this machine, as far as the caller may see them.

use std::path::Path;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{Outcome, print};
use crate::fuse::{self, Found, Health, Part, Reach};

const HEAD: [&str; 7] = ["DIRECTORY", "PID", "UID", "BOOT", "AGE", "STATE", "REMARK"];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Outcome {
    let labs = fuse::labs()?;
    let text = if args.json {
        format!("{:#}\n", Value::Array(labs.iter().map(object).collect()))
    } else if labs.is_empty() {
        String::new()
    } else {
        table(&labs)
    };
    print(&text)
}

fn object(lab: &Found) -> Value {
    json!({
        "directory": lab.dir.to_string_lossy(),
        "pid": lab.pid,
        "uid": lab.uid,
        "boot": lab.boot.as_deref().map(Path::to_string_lossy),
        "age": lab.age.map(|age| age.as_secs()),
        "state": lab.health.name(),
        "remark": remark(lab),
    })
}

fn table(labs: &[Found]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(HEAD);
    for lab in labs {
        table.add_row([
            lab.dir.display().to_string(),
            or_dash(lab.pid),
            or_dash(lab.uid),
            or_dash(lab.boot.as_deref().map(Path::display)),
            or_dash(lab.age.map(age)),
            lab.health.name().to_owned(),
            remark(lab).unwrap_or_default(),
        ]);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// In the largest unit of which there are two, or in seconds.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    match units.iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} s"),
    }
}

/// What to say of a lab from whose mount namespace everybody but its process `pid` is gone.
pub(super) fn out_of_reach(pid: &str) -> String {
    format!("nobody can reach it: it is in a mount namespace of its own; `kill {pid}` or `nslab umount --all` ends it")
}

/// What to know of the lab, and what to do.
fn remark(lab: &Found) -> Option<String> {
    let pid = lab.pid.map_or("PID".to_owned(), |pid| pid.to_string());
    match (lab.reach, lab.health) {
        (Reach::Nowhere, _) => Some(out_of_reach(&pid)),
        (Reach::Elsewhere, _) => Some(format!("in the mount namespace of process {pid}")),
        (Reach::Detached, _) => Some(format!("unmounted, but files of it are open; `kill {pid}` ends it")),
        (Reach::Here, Health::Stopped) => Some(format!("`kill -CONT {pid}` lets it go on")),
        (Reach::Here, Health::Broken) => Some(format!("`nslab doctor {}` says why", lab.dir.display())),
        (Reach::Here, Health::Dead | Health::Stuck) => {
            Some(format!("`nslab umount {}` takes it off", lab.dir.display()))
        }
        (Reach::Here, Health::Serving | Health::Unknown) => match &lab.part {
            Part::Whole => None,
            Part::Proc => Some("proc of a lab that is nowhere else".to_owned()),
            Part::ProcOf(dir) => Some(format!("proc of the lab on {}", dir.display())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }
}
