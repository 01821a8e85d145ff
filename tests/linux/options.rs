//! What a run is asked for, by variables of the environment:
//!
//! | variable | meaning |
//! |---|---|
//! | `NSLAB_LINUX_AREA` | the one area to run random programs of, see `area.rs`; no case files then |
//! | `NSLAB_LINUX_RUNS` | random programs to run of each area, or a range `FROM..TO` of their numbers |
//! | `NSLAB_LINUX_CASES` | case files to run, by a part of their name; nothing else runs then |
//! | `NSLAB_LINUX_SEED` | another series of programs |
//! | `NSLAB_LINUX_SHRINK` | most runs to make a program that differs shorter, 250 without it |
//! | `NSLAB_LINUX_REPORT` | the file to write the report to |
//! | `NSLAB_LINUX_LOGS` | logs of other runs that count in the report, separated by `:` |
//! | `NSLAB_LINUX_LAB_RUNS` | as `NSLAB_LINUX_RUNS`, of the programs that run in a lab too, see `third.rs`; 20 without it |
//! | `NSLAB_LINUX_IN_LAB` | this is a run in a lab |
//! | `NSLAB_LINUX_RECORD` | the directory to record programs into |

use std::env;
use std::ops::Range;
use std::path::PathBuf;

use crate::area::{AREAS, Area};

pub struct Options {
    area: Option<String>,
    runs: String,
    pub cases: Option<String>,
    pub seed: u64,
    pub shrink: u32,
    pub report: Option<PathBuf>,
    pub logs: String,
    pub record: Option<PathBuf>,
    pub is_in_lab: bool,
    pub lab_runs: String,
}

impl Options {
    pub fn of_environment() -> Options {
        let text = |name: &str| env::var(format!("NSLAB_LINUX_{name}")).ok();
        Options {
            area: text("AREA"),
            runs: text("RUNS").unwrap_or_default(),
            cases: text("CASES"),
            seed: text("SEED").and_then(|seed| seed.parse().ok()).unwrap_or(0),
            shrink: text("SHRINK").and_then(|runs| runs.parse().ok()).unwrap_or(250),
            report: text("REPORT").map(PathBuf::from),
            logs: text("LOGS").unwrap_or_default(),
            record: text("RECORD").map(PathBuf::from),
            is_in_lab: text("IN_LAB").is_some(),
            lab_runs: text("LAB_RUNS").unwrap_or_else(|| "20".to_owned()),
        }
    }

    pub fn has_cases(&self) -> bool {
        self.area.is_none()
    }

    /// The area that is asked for, or all.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn areas(&self) -> Result<Vec<&'static Area>, String> {
        let Some(name) = &self.area else { return Ok(AREAS.iter().collect()) };
        let chosen = AREAS.iter().find(|area| area.name == name);
        chosen.map(|area| vec![area]).ok_or_else(|| format!("NSLAB_LINUX_AREA: no area is called {name}"))
    }

    /// The numbers of an area's programs to run.
    pub fn programs(&self, area: &Area) -> Range<u64> {
        let (from, to) = self.runs.split_once("..").unwrap_or(("0", &self.runs));
        from.parse().unwrap_or(0)..to.parse().unwrap_or(area.programs)
    }
}
