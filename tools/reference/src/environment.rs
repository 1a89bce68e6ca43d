//! The page of environment variables and exit codes.

use crate::page::Page;

/// Variable, who reads it, what it means.
const VARIABLES: &[[&str; 3]] = &[
    [
        "HCS_ROOT",
        "`hcsd`, all clients",
        "The folder of a private service: its socket and state are below it. Without it `/run/hcs` and `/var/lib/hcs`.",
    ],
    [
        "HCS_SOCKET",
        "`hcsd`, all clients",
        "The socket of the service, where it is not `run/hcs.sock` below the root.",
    ],
    ["HCS_WORKER", "`hcsd`", "The program of the workers, where it is not `hcs-worker` beside `hcsd`."],
    ["HCS_QEMU", "`hcsd`", "QEMU, where it is not that of the system."],
    [
        "HCS_GUEST_PATIENCE",
        "`hcsd`",
        "How many seconds the start of a virtual machine waits for its agent; 120 without it.",
    ],
    [
        "HCS_LOG",
        "`hcsd`",
        "What is logged to the standard error: `info` (without it), `debug`, `hcsd::system=trace` …",
    ],
    ["HCS_LOG_FORMAT", "`hcsd`", "`json` for one JSON object a line."],
    [
        "NO_COLOR",
        "`hcs`",
        "No colour, if it is set and not empty. There is none anyway where the output is no terminal.",
    ],
];

/// Exit code of `hcs`, and what it means.
const EXIT_CODES: &[[&str; 2]] = &[
    ["0", "It is done."],
    ["1", "The call failed; the reason is on the standard error."],
    ["2", "The arguments are wrong."],
    ["3", "There is no such system, image or process."],
    ["4", "No service can be reached."],
    ["124", "`hcs wait --timeout`: the time ran out."],
    ["125", "`hcs exec`, `hcs run`: the program could not be run."],
    ["128 and N", "`hcs exec`, `hcs run`: the program died of signal N."],
    ["any other", "`hcs exec`, `hcs run`: the exit code of the program."],
];

/// The page.
pub fn page() -> Page {
    let mut page = Page::new(
        "environment.md",
        "Environment and exit codes",
        "What programs read beside their arguments, and what they end with.",
    );
    page.heading(2, "Environment variables");
    page.table(
        ["Variable", "Read by", "Meaning"],
        VARIABLES.iter().map(|row| [format!("`{}`", row[0]), row[1].to_owned(), row[2].to_owned()]),
    );
    page.heading(2, "Exit codes of hcs");
    page.table(["Code", "Meaning"], EXIT_CODES.iter().map(|row| row.map(str::to_owned)));
    page
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The rows of the tree that ship.
    const SHIPPED: &[&str] = &["apps", "client", "engines", "service", "storage", "wire"];

    /// The variables of ours that the programs read and the page does not have.
    fn untold(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for row in SHIPPED {
            walk(&root.join(row), &mut found);
        }
        found.sort();
        found.dedup();
        found.retain(|name| !VARIABLES.iter().any(|row| row[0] == name));
        found
    }

    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_of_tests = path.ends_with("tests") || path.ends_with("examples");
            if path.is_dir() && !is_of_tests {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                found.extend(variables(&text).map(str::to_owned));
            }
        }
    }

    /// What between quotes looks like a variable of ours.
    fn variables(text: &str) -> impl Iterator<Item = &str> {
        let is_name = |piece: &&str| {
            piece.starts_with("HCS_")
                && !piece.starts_with("HCS_E_")
                && piece.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
        };
        text.split('"').filter(is_name)
    }

    #[test]
    fn every_variable_that_a_program_reads_is_told() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(untold(&root), [""; 0]);
    }

    #[test]
    fn a_variable_is_known_by_its_quotes_and_its_name() {
        let text = r#"env::var("HCS_ROOT"); "HCS_E_TERMINATED"; // HCS_NOTHING "hcs""#;
        assert_eq!(variables(text).collect::<Vec<_>>(), ["HCS_ROOT"]);
    }
}
