//! The page of the command line: the help of `hcs`, of its verbs, and of theirs.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{Outcome, page::Page};

/// The page, as the program tells it.
pub fn page(program: &Path) -> Outcome<Page> {
    let mut page = Page::new(
        "command-line.md",
        "The command line",
        "What `hcs --help` and `hcs VERB --help` say. Variables: [Settings and environment](environment.md).",
    );
    add(&mut page, program, &[])?;
    Ok(page)
}

fn add(page: &mut Page, program: &Path, verbs: &[&str]) -> Outcome {
    let help = help(program, verbs)?;
    page.heading(verbs.len().min(2) + 2, format!("hcs {}", verbs.join(" ")).trim_end());
    page.code("text", &help);
    for verb in verbs_of(&help) {
        let below: Vec<&str> = verbs.iter().copied().chain([verb]).collect();
        add(page, program, &below)?;
    }
    Ok(())
}

/// The help, as wide as it is anywhere without a terminal.
fn help(program: &Path, verbs: &[&str]) -> Outcome<String> {
    let output = Command::new(program)
        .args(verbs)
        .arg("--help")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} {} --help: {}", program.display(), verbs.join(" "), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The verbs that a help lists.
fn verbs_of(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    listed
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_those_that_the_help_lists() {
        let help = "Containers.\n\nUsage: hcs\n\nCommands:\n  list    Lists\n          them all\n  vm      Of machines\n  help    Print this\n\nOptions:\n  -h\n";
        assert_eq!(verbs_of(help), ["list", "vm"]);
        assert_eq!(verbs_of("Usage: hcs list\n"), [""; 0]);
    }
}
