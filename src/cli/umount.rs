//! `nslab umount`: takes labs off their directories, whatever state they are in.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Outcome, complete};
use crate::fuse::{self, Users};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lab is mounted
    #[arg(required_unless_present = "all", add = complete::lab())]
    dir: Option<PathBuf>,
    /// Unmount all mounted labs, and labs of yours that no process can reach any more
    #[arg(short, long, conflicts_with = "dir")]
    all: bool,
    /// Unmount a lab that is in use; programs that use it can go on until they close its files
    #[arg(short, long)]
    lazy: bool,
    /// Unmount a lab that is in use; programs that use it get errors
    #[arg(short, long, conflicts_with = "lazy")]
    force: bool,
}

pub fn run(args: &Args) -> Outcome {
    let users = match args {
        Args { lazy: true, .. } => Users::Leave,
        Args { force: true, .. } => Users::Abort,
        _ => Users::Keep,
    };
    let results = match &args.dir {
        Some(dir) => vec![fuse::unmount(dir, users)],
        None => fuse::unmount_all(users)?,
    };
    let mut code = ExitCode::SUCCESS;
    for result in results {
        match result {
            Ok(None) => {}
            Ok(Some(remark)) => eprintln!("nslab: {remark}"),
            Err(error) => {
                eprintln!("nslab: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
