//! `nslab view`: the live page.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::show::lab_dir;
use super::{Outcome, print};
use crate::view::{Door, Mounted, Pulse, Source, Timeline, serve};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A mounted lab to show; without it $LAB, or else a new lab that ends with the page
    dir: Option<PathBuf>,
    /// Show this script as a lesson in a new lab: its comments are the text, a button executes the next statement
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    boot: Option<PathBuf>,
    /// Where to serve the page; port 0 means any free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Serves the page until it is interrupted. The URL, with the token that lets a browser in, is the only line it prints.
pub fn run(args: Args) -> Outcome {
    let pulse = Arc::new(Pulse::default());
    let dir = args.dir.is_some() || args.boot.is_none() && std::env::var_os("LAB").is_some();
    let lab: Box<dyn Source> = match &args.boot {
        Some(file) => Box::new(Timeline::open(file)?),
        None if dir => {
            let dir = lab_dir(args.dir)?;
            let opened = Mounted::open(&dir, Arc::clone(&pulse));
            Box::new(opened.map_err(|error| format!("{}: {}", dir.display(), crate::errno::describe(&error)))?)
        }
        None => Box::new(Timeline::new()),
    };
    let listener = TcpListener::bind(args.listen).map_err(|error| {
        format!("{}: {}: choose another with --listen", args.listen, crate::errno::describe(&error))
    })?;
    if !args.listen.ip().is_loopback() {
        eprintln!("nslab: the page is not for this machine alone: who can read the network can read the token");
    }
    let door = Door::new(listener.local_addr()?)?;
    print(&format!("{}\n", door.url()))?;
    serve(listener, door, lab, pulse)?;
    Ok(ExitCode::SUCCESS)
}
