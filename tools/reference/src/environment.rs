//! The page of settings and environment variables.

use hcs_config::{Config, SETTINGS, Settings};

use crate::page::{Page, plain};

/// Variables beside those of settings: name, who reads it, what it means.
const VARIABLES: &[[&str; 3]] = &[
    [
        "HCS_ROOT",
        "`hcsd`, all clients",
        "The folder of a private service, below which everything is that it reads and writes. Without it `/etc/hcs`, `/run/hcs` and \
         `/var/lib/hcs`.",
    ],
    ["HCS_SOCKET", "all clients", "The socket of the service, as the setting says it to the service."],
    [
        "HCS_COMPLETE",
        "`hcs`",
        "Set by the scripts of `hcs completion`: it completes a line instead of doing what it says.",
    ],
    ["HCS_CONFIG", "`hcsd`, `hcs config`", "The file of settings, where it is not the usual one."],
];

/// The page.
pub fn page() -> Page {
    let mut page = Page::new(
        "environment.md",
        "Settings and environment",
        "What programs read beside their arguments. What `hcs` ends with stands at the end of [its help](command-line.md#hcs).",
    );
    page.heading(2, "Settings of hcsd");
    page.paragraph(
        "Each can be said on the command line (`--name VALUE`), by a variable, or in the file of settings; the first that says \
         something wins. `hcs config show` tells what holds, `hcs config check` what is wrong with a file.",
    );
    let usual = Config::new(Settings::default(), None);
    page.table(
        ["Setting", "Variable", "Allowed", "Usual", "Meaning"],
        SETTINGS.iter().map(|setting| {
            let meaning: Vec<&str> = setting.what.iter().map(|line| line.trim()).collect();
            [
                format!("`{}`", setting.name),
                format!("`{}`", setting.variable()),
                plain(setting.allowed),
                format!("`{}`", usual.toml(setting)),
                plain(&meaning.join(" ")),
            ]
        }),
    );
    page.heading(2, "Further variables");
    page.table(
        ["Variable", "Read by", "Meaning"],
        VARIABLES.iter().map(|row| [format!("`{}`", row[0]), row[1].to_owned(), row[2].to_owned()]),
    );
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
        found.retain(|name| {
            let is_setting = SETTINGS.iter().any(|setting| setting.variable() == *name);
            !is_setting && !VARIABLES.iter().any(|row| row[0] == name)
        });
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
