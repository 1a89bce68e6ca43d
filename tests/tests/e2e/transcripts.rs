//! Transcripts: pages for people with commands and what these print, held to be true.
//!
//! A page is Markdown. What stands in its blocks of ```` ```console ```` is typed at a shell, line by line, in a folder with
//! a root file system (`rootfs`), and with a service of the page's own:
//!
//! - `$ ` begins a command, `> ` goes on with it;
//! - `? 3` behind a command is its exit code, where that is not 0;
//! - the lines after it are what it prints, to either output. `[..]` stands for anything within a line, `...` for any lines,
//!   `[ROOT]` for the folder of the service, `[GUID]` for 36 letters of which nobody knows more.
//!
//! `<!-- with: image -->` puts an OCI layout `web-image` into the folder, `<!-- with: machine -->` the folder `utility` with an
//! image of a utility machine. `HCS_TRANSCRIPTS=write` writes pages anew where they are not true.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hcs_tests::{Service, binaries, host, machine::Guest};
use snapbox::{Data, IntoData, Redactions, filter::NormalizeToExpected};

use crate::images::{Images, text};

const GUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/// A command of a page and what it does.
struct Exchange {
    /// The number of its line.
    line: usize,
    command: String,
    /// The lines that it says it prints, with the exit code before them.
    expected: String,
    /// Where those lines are in the page.
    place: std::ops::Range<usize>,
}

/// The page's commands, in order.
fn exchanges(page: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let (mut inside, mut offset) = (false, 0);
    for (number, line) in page.split_inclusive('\n').enumerate() {
        let end = offset + line.len();
        let bare = line.trim_end();
        if bare.starts_with("```") {
            inside = bare == "```console";
        } else if let (true, Some(command)) = (inside, bare.strip_prefix("$ ")) {
            found.push(Exchange {
                line: number + 1,
                command: command.to_owned(),
                expected: String::new(),
                place: end..end,
            });
        } else if let (true, Some(exchange)) = (inside, found.last_mut()) {
            match bare.strip_prefix("> ") {
                Some(more) if exchange.expected.is_empty() => {
                    exchange.command += "\n";
                    exchange.command += more;
                    exchange.place = end..end;
                }
                _ => {
                    exchange.expected += line;
                    exchange.place.end = end;
                }
            }
        }
        offset = end;
    }
    found
}

/// A page's surroundings.
struct Scene {
    service: Service,
    folder: PathBuf,
    path: String,
}

impl Scene {
    fn set(page: &str) -> Scene {
        let mut service = Service::start();
        service.be_patient();
        let folder = service.root().join("work");
        fs::create_dir(&folder).unwrap();
        symlink(service.rootfs(), folder.join("rootfs")).unwrap();
        if page.contains("<!-- with: image -->") {
            let images = Images::new();
            host("cp", &["-a", text(&images.layout()), text(&folder.join("web-image"))]);
        }
        if page.contains("<!-- with: machine -->") {
            let guest = Guest::utility(service.root(), &service.rootfs());
            symlink(guest.folder(), folder.join("utility")).unwrap();
        }
        let programs = binaries::find("hcs");
        let path = format!("{}:{}", text(programs.parent().unwrap()), std::env::var("PATH").unwrap());
        Scene { service, folder, path }
    }

    /// What a command prints, with the exit code before it where that is not 0.
    fn type_in(&self, command: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("HCS_ROOT", self.service.root())
            .env_remove("HCS_SOCKET")
            .stdin(Stdio::null())
            .output()
            .expect("running a shell");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.code() {
            Some(0) => printed,
            code => format!("? {}\n{printed}", code.map_or("signal".to_owned(), |code| code.to_string())),
        }
    }
}

/// Runs a page; what is not as it says, or the page as it should be.
fn run(path: &Path) -> Result<(), String> {
    let page = fs::read_to_string(path).unwrap();
    let scene = Scene::set(&page);
    let mut redactions = Redactions::new();
    redactions.insert("[ROOT]", scene.service.root().display().to_string()).unwrap();
    redactions.insert("[GUID]", regex::Regex::new(GUID).unwrap()).unwrap();
    let rule = NormalizeToExpected::new().redact_with(&redactions);
    let (mut true_page, mut copied, mut wrong) = (String::new(), 0, String::new());
    for exchange in exchanges(&page) {
        let said = scene.type_in(&exchange.command);
        let expected = exchange.expected.as_str().into_data();
        let seen = rule.normalize(Data::text(&said), &expected).to_string();
        true_page += &page[copied..exchange.place.start];
        true_page += &seen;
        copied = exchange.place.end;
        if seen != exchange.expected {
            let Exchange { line, command, expected, .. } = exchange;
            wrong += &format!(
                "\n{}:{line}: $ {command}\n-- expected:\n{expected}-- seen:\n{said}",
                path.display()
            );
        }
    }
    true_page += &page[copied..];
    if std::env::var_os("HCS_TRANSCRIPTS").is_some_and(|what| what == "write") {
        fs::write(path, true_page).unwrap();
        return Ok(());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// All pages of a folder and below that have commands.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|ending| ending == "md")
            && fs::read_to_string(&path).unwrap().contains("```console")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Runs all pages of a folder at the root of the tree, or those whose name has the text in `HCS_PAGE`.
fn all_are_true(folder: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let only = std::env::var("HCS_PAGE").unwrap_or_default();
    let pages: Vec<PathBuf> =
        pages(&root.join(folder)).into_iter().filter(|page| text(page).contains(&only)).collect();
    let wrong: String = pages.iter().filter_map(|page| run(page).err()).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_verb_does_as_its_transcript_says() {
    all_are_true("tests/transcripts");
}

#[test]
fn the_commands_of_the_documentation_do_as_it_says() {
    all_are_true("docs");
}

#[test]
fn a_page_that_is_not_true_is_told_with_its_lines() {
    let folder = hcs_tests::folder::Folder::new();
    let path = folder.join("page.md");
    let page =
        "```console\n$ echo one &&\n> echo two\none\n[..]o\n$ false\n$ hcs list -q\n```\n\n$ not a command\n";
    fs::write(&path, page).unwrap();
    let wrong = run(&path).unwrap_err();
    assert!(wrong.contains("page.md:6: $ false\n-- expected:\n-- seen:\n? 1\n"), "{wrong}");
    assert!(!wrong.contains("echo one"), "{wrong}");
}
