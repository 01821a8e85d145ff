//! What `nslab exec` asks of the lab once its program has ended: whether what a file says of it holds, and what was left.

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::record::files::Disk;
use crate::record::leaks::Holdings;
use crate::script::check::{Check, run};

/// What is to be asked, as words of the command.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Execute this script after CMD; if a line fails, the exit status is 1
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Print each task, namespace, pin and IPC object that CMD leaves behind; if there is one, the exit status is 1
    #[arg(long)]
    leaks: bool,
}

/// What will be asked, and what was there before.
#[derive(Debug)]
pub struct After {
    check: Option<Check>,
    before: Option<Holdings>,
}

impl After {
    /// Reads the file, and looks at the lab.
    ///
    /// # Errors
    /// The file is none of the language.
    pub fn new(args: &Args, lab: &Path) -> Result<After, Box<dyn Error>> {
        let check = args.check.as_deref().map(Check::load).transpose()?;
        Ok(After { check, before: args.leaks.then(|| Holdings::of(&Disk(lab.to_owned()))) })
    }

    /// Whether all is as it should be. What is not, is said on standard error.
    pub fn holds(&self, lab: &Path) -> bool {
        let failure = self.check.as_ref().and_then(|check| run(lab, check).err());
        if let Some(failure) = &failure {
            eprintln!("nslab: {failure}");
        }
        let left = self.before.as_ref().map(|before| Holdings::of(&Disk(lab.to_owned())).left_since(before));
        let left = left.unwrap_or_default();
        for left in &left {
            eprintln!("nslab: left: {left}");
        }
        failure.is_none() && left.is_empty()
    }
}
