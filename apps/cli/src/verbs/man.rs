//! `hcs man`
//!
//! A page for the command, and one for each verb and each verb's verbs. Names, synopses and options come from what
//! parses the command line; what is added here is true of every verb, and the examples, which a test parses.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_mangen::{
    Man as Page,
    roff::{Roff, bold, roman},
};

use crate::{
    Arguments,
    failure::{EXIT_CODES, Failure},
};

/// Write the manual: a page for this command and one for each verb, for man(1).
///
/// For good: hcs man /usr/share/man/man1
#[derive(clap::Args)]
pub struct Man {
    /// Where; made if it is not there.
    folder: PathBuf,
}

/// A term and what it means.
type Entry = (&'static str, &'static str);

const ENVIRONMENT: &[Entry] = &[
    ("HCS_SOCKET", "The socket of the service."),
    (
        "HCS_ROOT",
        "The folder of a private service: its socket is run/hcs.sock below, its images are in lib/images.",
    ),
    ("NO_COLOR", "Nothing is coloured, whatever the terminal can."),
];

const FILES: &[Entry] = &[
    ("/run/hcs/hcs.sock", "The socket of the service. Root and the members of the group hcs may use it."),
    ("/run/hcs/systems", "A folder for each living system: its record and the socket of its worker."),
    ("/var/lib/hcs", "What stays over a reboot: settings, crash reports, images."),
];

/// Verbs, what their example does, and the example.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("list", "What is there, for a program:", "hcs list --json"),
    ("create", "A system of a document:", "hcs create web web.json"),
    ("start", "It runs:", "hcs start web"),
    ("exec", "A shell in it:", "hcs exec -it web -- sh"),
    ("stop", "An orderly end:", "hcs stop web"),
    ("kill", "An end at once:", "hcs kill web"),
    ("pause", "It stands still:", "hcs pause web"),
    ("resume", "It goes on:", "hcs resume web"),
    ("save", "A paused machine, to a file:", "hcs save vm /srv/vm.vmrs"),
    ("screenshot", "What is on the screen of a machine:", "hcs screenshot vm picture.png"),
    ("ps", "Its processes:", "hcs ps web"),
    ("events", "What happens to it, for a program:", "hcs events --json web"),
    ("validate", "Every mistake in a document:", "hcs validate web.json"),
    ("layer", "A layer from a tar:", "hcs layer import /srv/base base.tar"),
    (
        "layer-attach",
        "A container's root, of a writable layer and its parent:",
        "hcs layer attach /srv/web /srv/base",
    ),
    ("image", "An image from a registry:", "hcs image pull debian:stable-slim"),
    ("image-list", "The images that are there:", "hcs image list"),
    ("disk", "An empty disk of 10 GiB:", "hcs disk create disk.vhdx 10G"),
    ("vm-image-build", "What a utility machine boots from:", "hcs vm image build /srv/utility"),
    ("call", "Any call of the interface:", "hcs call --system web GetComputeSystemProperties"),
    ("completion", "For this session:", "source <(hcs completion bash)"),
    ("doctor", "What this host can do:", "hcs doctor"),
    ("cleanup", "What crashed runs have left:", "hcs cleanup --dry-run"),
    ("template", "A document to begin with:", "hcs template container --path /srv/web"),
    ("top", "What systems use:", "hcs top"),
    ("man", "For good:", "hcs man /usr/share/man/man1"),
];

impl Man {
    pub fn run(self) -> Result<(), Failure> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| Failure::io(&error, &path)
        };
        fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        for (name, text) in pages(&Arguments::of_all_verbs())? {
            let path = self.folder.join(format!("{name}.1"));
            fs::write(&path, text).map_err(failed(&path))?;
        }
        Ok(())
    }
}

/// The pages of a command and of its verbs: their names and their text.
fn pages(command: &Command) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let text =
        page(command, &name).map_err(|error| Failure::io(&error, &format!("writing the page {name}")))?;
    let mut all = vec![(name, text)];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        all.extend(pages(verb)?);
    }
    Ok(all)
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let page = Page::new(command.clone())
        .title(name.to_uppercase())
        .manual("Host Compute System")
        .source(format!("hcs {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    if command.get_arguments().next().is_some() {
        page.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    list(&mut rest, "EXIT STATUS", EXIT_CODES);
    list(&mut rest, "ENVIRONMENT", ENVIRONMENT);
    list(&mut rest, "FILES", FILES);
    examples(&mut rest, name);
    rest.control("SH", ["SEE ALSO"]);
    rest.text([
        bold(if name == "hcs" { "hcsd" } else { "hcs" }),
        roman(if name == "hcs" { "(8)" } else { "(1)" }),
    ]);
    rest.to_writer(&mut text)?;
    Ok(text)
}

fn list(page: &mut Roff, heading: &str, entries: &[Entry]) {
    page.control("SH", [heading]);
    for (term, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(meaning.replace('\n', " "))]);
    }
}

/// Those of the verb; on the page of the command, all.
fn examples(page: &mut Roff, name: &str) {
    let verb = name.strip_prefix("hcs-");
    let mut examples = EXAMPLES.iter().filter(|(of, ..)| verb.is_none_or(|verb| verb == *of)).peekable();
    if examples.peek().is_none() {
        return;
    }
    page.control("SH", ["EXAMPLES"]);
    for (_, what, line) in examples {
        page.control("TP", []);
        page.text([roman(*what)]);
        page.text([bold(*line)]);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_example_is_understood_and_of_its_verb() {
        for (verb, _, line) in EXAMPLES {
            let line = line.trim_start_matches("source <(").trim_end_matches(')');
            if let Err(error) = Arguments::command().try_get_matches_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
            assert!(line.starts_with(&format!("hcs {}", verb.replace('-', " "))), "{verb}: {line}");
        }
    }

    #[test]
    fn every_verb_has_a_page_with_what_is_true_of_all() {
        let command = Arguments::of_all_verbs();
        let pages = pages(&command).unwrap();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        {
            let name = format!("hcs-{}", verb.get_name());
            let (_, text) = pages.iter().find(|(page, _)| *page == name).expect(&name);
            let text = String::from_utf8_lossy(text);
            for section in ["SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
                assert!(text.contains(section), "{name} has no {section}");
            }
        }
        assert!(pages.iter().any(|(name, _)| name == "hcs-vm-image-build"));
    }
}
