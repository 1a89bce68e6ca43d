//! hcs: the command line of the Host Compute System.
//!
//! ```text
//!   main      parses, runs the verb, tells its failure in one line
//!   verbs/    one file per verb: its arguments and what it does
//!   attach    a process with its input and output here
//!   passage   an output of it that goes to one of ours
//!   detachable  a terminal at something that goes on when one leaves it
//!   target    which systems, as people name them
//!   recipe    from what `run` is given to documents
//!   scratch   folders for what containers of images write
//!   host_path paths of this host
//!   size      sizes as people write them
//!   private   a service for one command
//!   programs  those that belong to this one
//!   failure   why a verb failed, and the exit code for that
//!   document  documents from files or the standard input
//!   output    tables and JSON
//!   colour    where people look
//!   progress  bars for long work
//!   terminal  raw mode and window sizes, for processes with a console
//! ```
//!
//! There is no runtime, and the client's link has a thread only if a verb needs one: each waits for what it asked.
#![forbid(unsafe_code)]
// They panic where nobody takes what is said; `output::note` does not.
#![deny(clippy::print_stderr)]

mod attach;
mod colour;
mod detachable;
mod document;
mod failure;
mod host_path;
mod output;
mod passage;
mod private;
mod programs;
mod progress;
mod recipe;
mod scratch;
mod size;
mod target;
mod terminal;
mod verbs;

use std::{env, path::PathBuf, process::ExitCode};

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser};
use hcs::{Cause, Client, link::Options};

use failure::Failure;
use private::Private;
use verbs::Verb;

/// Containers and virtual machines on this host.
#[derive(Parser)]
#[command(name = "hcs", version, max_term_width = 100, after_help = AFTER_HELP, after_long_help = format!("{AFTER_HELP}\n\n{}", failure::exit_codes()))]
struct Arguments {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    verb: Verb,
}

/// What can stand before and behind every verb.
#[derive(clap::Args)]
struct Everywhere {
    /// The service's socket [default: that of HCS_SOCKET, or below HCS_ROOT, or /run/hcs/hcs.sock].
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Start a service for this command alone, with a folder of its own; both end with it.
    #[arg(long, global = true, conflicts_with = "socket")]
    private: bool,
}

impl Arguments {
    /// What was asked for. Of a command line that is right only the parser of its verb is made, which saves most of the time
    /// that starting takes; a mistake, or a question for help, needs all of them, to be listed or to guess which was meant.
    fn asked() -> Arguments {
        let matches = Arguments::of_the_verb()
            .and_then(|parser| parser.try_get_matches().ok())
            .unwrap_or_else(|| Arguments::of_all_verbs().get_matches());
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The parser of the first word that is a verb. If it is something else, the value of an option, the parser takes nothing.
    fn of_the_verb() -> Option<Command> {
        let verb = env::args_os().skip(1).find_map(|word| Verb::parser(word.to_str()?))?;
        Some(Everywhere::augment_args(Command::new("hcs")).subcommand(verb).subcommand_required(true))
    }

    /// The parser of the whole command line.
    fn of_all_verbs() -> Command {
        let mut parser = Arguments::command();
        parser.build();
        parser
    }
}

const AFTER_HELP: &str = "\
A first container, of a folder with a root file system:
  hcs run -it /srv/web sh

The same step by step:
  hcs template container --path /srv/web > web.json
  hcs create web web.json
  hcs start web
  hcs exec -it web -- sh
  hcs kill web";

/// What every verb gets.
struct Context {
    options: Options,
    /// Whether the service ends with this command.
    is_private: bool,
}

impl Context {
    /// Connects to the service. A verb that does something else for long while it has handles must attend the link.
    fn client(&self) -> Result<Client, Failure> {
        Client::connect_unattended(self.options.clone()).map_err(|error| {
            let is_away = error.cause == Cause::ServiceNotAvailable;
            let failure = Failure::from(error);
            if is_away { failure.and(HOW_TO_START) } else { failure }
        })
    }
}

/// What to try when there is no service.
const HOW_TO_START: &str = "Start it with `systemctl start hcsd`, or with `hcsd` as root; or put `--private` behind `hcs`, and a \
                            service is started for this command alone.";

/// Tells a failure.
fn tell(failure: &Failure) {
    output::failure(&failure.message);
}

fn main() -> ExitCode {
    verbs::completion::answer_shell();
    let Arguments { everywhere: Everywhere { socket, private }, verb } = Arguments::asked();
    let outcome = if private {
        Private::start()
            .and_then(|service| verb.run(&Context { options: service.options(), is_private: true }))
    } else {
        let socket = socket.unwrap_or_else(|| Options::default().socket);
        // Whoever reads of it later is in another folder.
        host_path::absolute(&socket)
            .and_then(|socket| verb.run(&Context { options: Options { socket }, is_private: false }))
    };
    match outcome {
        Ok(code) => code,
        // Whoever read the output has read enough.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            failure.code()
        }
    }
}
