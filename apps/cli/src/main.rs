//! hcs: the command line of the Host Compute System.
//!
//! ```text
//!   main      parses, runs the verb, tells its failure in one line
//!   verbs/    one file per verb: its arguments and what it does
//!   failure   why a verb failed, and the exit code for that
//!   document  documents from files or the standard input
//!   output    tables and JSON
//!   progress  bars for long work
//!   terminal  raw mode and window sizes, for `exec -t`
//! ```
//!
//! There is no runtime: the client's link has a thread of its own, and each verb waits for what it asked.
#![forbid(unsafe_code)]

mod document;
mod failure;
mod output;
mod progress;
mod terminal;
mod verbs;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use hcs::{Client, link::Options};

use failure::Failure;
use verbs::Verb;

/// Containers and virtual machines on this host.
#[derive(Parser)]
#[command(name = "hcs", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    /// The service's socket [default: that of HCS_SOCKET, or below HCS_ROOT, or /run/hcs/hcs.sock].
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
A first container:
  hcs create web web.json      with {\"SchemaVersion\":{\"Major\":2,\"Minor\":1},
                                     \"Container\":{\"Storage\":{\"Path\":\"/srv/web\"}}} in web.json
  hcs start web
  hcs exec -it web -- sh
  hcs kill web";

/// What every verb gets.
struct Context {
    options: Options,
}

impl Context {
    /// Connects to the service.
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect_to(self.options.clone())?)
    }
}

fn main() -> ExitCode {
    verbs::completion::answer_shell();
    let Arguments { socket, verb } = Arguments::parse();
    let options = socket.map_or_else(Options::default, |socket| Options { socket });
    match verb.run(&Context { options }) {
        Ok(code) => code,
        // Whoever read the output has read enough.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hcs: {}", failure.message);
            failure.code
        }
    }
}
