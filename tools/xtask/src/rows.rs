//! The dependency rule of the tree: a folder at the root is a row, and a crate depends only on crates of its own
//! row and of the rows that the row's README allows. The README has the rule in one line, for people and for us:
//!
//! ```text
//! May depend on: `ground`, `wire`.
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    Outcome,
    workspace::{Crate, Workspace},
};

const MARK: &str = "May depend on:";

/// The rows that each row may depend on, besides itself.
type Rules = BTreeMap<String, BTreeSet<String>>;

/// Checks the tree.
pub fn run() -> Outcome {
    let workspace = Workspace::load()?;
    let rules = read_rules(&workspace)?;
    let violations = violations(&workspace.crates, &rules);
    if !violations.is_empty() {
        return Err(format!("the rule of rows is broken:\n  {}", violations.join("\n  ")));
    }
    println!("{} crates in {} rows keep the rule", workspace.crates.len(), rules.len());
    Ok(())
}

fn read_rules(workspace: &Workspace) -> Outcome<Rules> {
    let mut rules = Rules::new();
    for row in workspace.crates.iter().filter_map(|it| row(&it.folder)) {
        let readme = workspace.root.join(row).join("README.md");
        let text = fs::read_to_string(&readme).map_err(|error| format!("{}: {error}", readme.display()))?;
        let rule = parse_rule(&text).ok_or_else(|| format!("{}: no line `{MARK} …`", readme.display()))?;
        rules.insert(row.to_owned(), rule);
    }
    Ok(rules)
}

/// The rows named in the README's line of the rule; `None` if there is no such line.
fn parse_rule(readme: &str) -> Option<BTreeSet<String>> {
    let line = readme.lines().find_map(|line| line.strip_prefix(MARK))?;
    // The names are between backticks: every second piece.
    Some(line.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The row of a folder: the first folder below the root.
fn row(folder: &Path) -> Option<&str> {
    if folder.is_absolute() { None } else { folder.iter().next()?.to_str() }
}

fn violations(crates: &[Crate], rules: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    for it in crates {
        let Some(own) = row(&it.folder) else { continue };
        let allowed = &rules[own];
        for dependency in &it.dependencies {
            let wanted = row(dependency);
            if !wanted.is_some_and(|wanted| wanted == own || allowed.contains(wanted)) {
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let allowed = if allowed.is_empty() { "no other row".to_owned() } else { allowed.join(", ") };
                let (from, to) = (it.folder.display(), dependency.display());
                found.push(format!("{from} depends on {to}; {own}/README.md allows {allowed}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with `cargo metadata --no-deps`, less what is not read.
    const RECORDED: &str = include_str!("data/metadata.json");

    fn recorded_crates() -> Vec<Crate> {
        Workspace::parse(RECORDED).unwrap().crates
    }

    fn rules(lines: &[(&str, &str)]) -> Rules {
        lines.iter().map(|(row, line)| ((*row).to_owned(), parse_rule(line).unwrap())).collect()
    }

    fn rules_of_the_record() -> Rules {
        rules(&[
            ("ground", "May depend on: no other row."),
            ("wire", "May depend on: `ground`."),
            ("engines", "May depend on: `ground`."),
            ("client", "May depend on: `ground`, `wire`."),
            ("tests", "May depend on: `ground`, `wire`, `client`."),
        ])
    }

    #[test]
    fn the_record_is_read() {
        let crates = recorded_crates();
        assert_eq!(crates.len(), 6);
        assert_eq!(crates[2].folder, Path::new("wire/ipc"));
        assert_eq!(crates[2].dependencies, [Path::new("ground/core"), Path::new("ground/schema")]);
    }

    #[test]
    fn the_recorded_tree_keeps_the_rule() {
        assert_eq!(violations(&recorded_crates(), &rules_of_the_record()), [""; 0]);
    }

    #[test]
    fn a_dependency_to_the_right_is_found() {
        let mut crates = recorded_crates();
        crates[0].dependencies.push("wire/ipc".into());
        let found = violations(&crates, &rules_of_the_record());
        assert_eq!(found, ["ground/schema depends on wire/ipc; ground/README.md allows no other row"]);
    }

    #[test]
    fn a_dependency_on_a_row_that_is_not_allowed_is_found() {
        let mut crates = recorded_crates();
        crates[3].dependencies.push("wire/ipc".into());
        let found = violations(&crates, &rules_of_the_record());
        assert_eq!(found, ["engines/container depends on wire/ipc; engines/README.md allows ground"]);
    }

    #[test]
    fn a_test_dependency_counts() {
        let mut rules = rules_of_the_record();
        rules.get_mut("tests").unwrap().remove("client");
        let found = violations(&recorded_crates(), &rules);
        assert_eq!(found, ["tests depends on client/hcs; tests/README.md allows ground, wire"]);
    }

    #[test]
    fn a_dependency_outside_of_the_tree_is_found() {
        let mut crates = recorded_crates();
        crates[1].dependencies.push("/elsewhere/helper".into());
        let found = violations(&crates, &rules_of_the_record());
        assert_eq!(found, ["ground/core depends on /elsewhere/helper; ground/README.md allows no other row"]);
    }

    #[test]
    fn a_readme_without_the_line_has_no_rule() {
        assert_eq!(parse_rule("# ground\n\nIt depends on `nothing`.\n"), None);
    }
}
