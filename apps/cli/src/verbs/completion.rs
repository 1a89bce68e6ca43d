//! `hcs completion`
//!
//! The script that a shell gets is small: at each press of the key it runs this program again, which answers from the
//! same description of the command line that parses it ([`answer_shell`]). So ids and names are those of this moment.
//! Whatever goes wrong meanwhile is silence: a service that is not there, or hangs, has nothing to offer.

use std::{env, ffi::OsString, path::PathBuf, sync::mpsc, thread, time::Duration};

use clap::Command;
use clap_complete::{
    ArgValueCandidates, CompleteEnv, CompletionCandidate,
    env::{Bash, EnvCompleter, Fish, Zsh},
};
use hcs::{Client, images, link::Options};

use crate::{Arguments, failure::Failure};

/// Tells this program that it is asked by a shell, and by which one.
const VARIABLE: &str = "HCS_COMPLETE";

/// How long whoever presses the key waits for a service.
const PATIENCE: Duration = Duration::from_millis(500);

/// Print the script that makes a shell complete this command's words.
///
/// Ids of systems and names of images are completed as they are when the key is pressed. For a session:
/// source <(hcs completion bash). For good: hcs completion bash > /usr/share/bash-completion/completions/hcs, and for
/// zsh /usr/share/zsh/vendor-completions/_hcs, for fish /usr/share/fish/vendor_completions.d/hcs.fish.
#[derive(clap::Args)]
pub struct Completion {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub fn run(self) -> Result<(), Failure> {
        let shell: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        shell
            .write_registration(VARIABLE, "hcs", "hcs", "hcs", &mut std::io::stdout().lock())
            .map_err(Failure::output)
    }
}

/// Answers a shell and ends the program, if one asks.
pub fn answer_shell() {
    CompleteEnv::with_factory(|| with_candidates(Arguments::of_all_verbs())).var(VARIABLE).complete();
}

/// Says of the arguments that name something where their candidates come from. An argument is known by its name: what
/// is called `id` is a system, but in `create` and `restore`, where it is a new one; and `image` is one of the store in
/// `hcs image`.
fn with_candidates(command: Command) -> Command {
    command.mut_subcommands(|verb| match verb.get_name() {
        "create" => verb,
        "restore" => offering(verb, &["template"], systems),
        "image" => verb.mut_subcommands(|verb| {
            let named_by = if verb.get_name() == "remove" { "name" } else { "image" };
            offering(verb, &[named_by], images)
        }),
        _ => with_candidates(offering(verb, &["id", "ids"], systems)),
    })
}

/// The verb, whose arguments of these names offer these candidates.
fn offering(verb: Command, names: &[&str], candidates: fn() -> Vec<CompletionCandidate>) -> Command {
    verb.mut_args(|argument| {
        if names.contains(&argument.get_id().as_str()) {
            argument.add(ArgValueCandidates::new(candidates))
        } else {
            argument
        }
    })
}

/// The ids of the systems that are there.
fn systems() -> Vec<CompletionCandidate> {
    let options = socket(env::args_os()).map_or_else(Options::default, |socket| Options { socket });
    let ask = || Client::connect_to(options)?.list(None).wait();
    let systems = in_time(ask).and_then(Result::ok).unwrap_or_default();
    systems.into_iter().filter_map(|system| system.id).map(CompletionCandidate::new).collect()
}

/// The names of the images in the store.
fn images() -> Vec<CompletionCandidate> {
    // Looking for a store would make one.
    let store = images::existing_store().ok().flatten();
    let images = store.and_then(|store| store.list().ok()).unwrap_or_default();
    let names = images.iter().flat_map(|image| image.names.iter());
    names.map(|name| CompletionCandidate::new(name.to_string())).collect()
}

/// What comes of it, if it comes soon. A thread that still waits ends with the program.
fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || sender.send(ask()));
    answer.recv_timeout(PATIENCE).ok()
}

/// The socket that is named on the line that is being completed.
fn socket(line: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = line.skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "--socket" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--socket=")) {
            return Some(path.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_socket_of_the_line_is_asked() {
        let of = |line: &str| socket(line.split(' ').map(OsString::from));
        assert_eq!(of("hcs -- hcs --socket /a kill w").as_deref(), Some(Path::new("/a")));
        assert_eq!(of("hcs -- hcs --socket=/b kill w").as_deref(), Some(Path::new("/b")));
        assert_eq!(of("hcs -- hcs kill w"), None);
        assert_eq!(of("hcs -- hcs kill --socket"), None);
    }

    #[test]
    fn every_verb_that_takes_a_system_offers_those_that_are_there() {
        let command = with_candidates(Arguments::of_all_verbs());
        let offers = |verb: &str| {
            let verb = command.find_subcommand(verb).unwrap();
            let mut named = verb.get_arguments().filter(|one| ["id", "ids"].contains(&one.get_id().as_str()));
            named.any(|argument| argument.get::<ArgValueCandidates>().is_some())
        };
        let verbs = ["start", "kill", "exec", "ps", "save", "events", "inspect", "wait", "top"];
        assert!(verbs.into_iter().all(offers));
        assert!(!offers("create") && !offers("restore"));
    }
}
