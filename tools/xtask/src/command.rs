//! A command line that can be run, and shown so that it can be repeated by hand.

use std::{
    fmt,
    path::Path,
    process::{Command, Stdio},
};

use crate::Outcome;

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    variables: Vec<(String, String)>,
    words: Vec<String>,
}

impl Line {
    /// A command of these words, the program first.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Line {
        Line { variables: Vec::new(), words: words.into_iter().map(str::to_owned).collect() }
    }

    /// The words of a text without quotes.
    pub fn of(text: &str) -> Line {
        Line::new(text.split_whitespace())
    }

    /// Adds words.
    pub fn and<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Line {
        self.words.extend(words.into_iter().map(str::to_owned));
        self
    }

    /// Sets an environment variable.
    pub fn with(mut self, name: &str, value: &Path) -> Line {
        self.variables.push((name.to_owned(), value.display().to_string()));
        self
    }

    /// The same for the standard library, with no input.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Runs it in a folder, its output going where ours goes.
    pub fn run(&self, folder: &Path) -> Outcome {
        let status = self.command().current_dir(folder).status().map_err(|error| self.failed(error))?;
        if status.success() { Ok(()) } else { Err(self.failed(status)) }
    }

    /// Runs it in a folder, and shows what it says only if it fails.
    pub fn run_quietly(&self, folder: &Path) -> Outcome {
        let output = self.command().current_dir(folder).output().map_err(|error| self.failed(error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}\n{said}", self.failed(output.status)))
    }

    /// Runs it in a folder and returns what it prints.
    pub fn output(&self, folder: &Path) -> Outcome<String> {
        let output = self.command().current_dir(folder).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| self.failed(error))?;
        if !output.status.success() {
            return Err(self.failed(output.status));
        }
        String::from_utf8(output.stdout).map_err(|error| self.failed(error))
    }

    /// Whether it can be run and succeeds. Prints nothing.
    pub fn succeeds(&self) -> bool {
        let status = self.command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn failed(&self, why: impl fmt::Display) -> String {
        format!("`{self}`: {why}")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words = self.words.iter().map(|word| quoted(word));
        formatter.write_str(&variables.chain(words).collect::<Vec<_>>().join(" "))
    }
}

/// The word as a shell must be told.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,+@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_as_it_is_typed() {
        let line = Line::new(["hcs", "exec", "demo", "--", "/bin/sh", "-c", "echo it's \"here\""])
            .with("HCS_SOCKET", Path::new("/tmp/a b/hcs.sock"));
        let shown = r#"HCS_SOCKET='/tmp/a b/hcs.sock' hcs exec demo -- /bin/sh -c 'echo it'\''s "here"'"#;
        assert_eq!(line.to_string(), shown);
    }

    #[test]
    fn a_failure_names_the_line_to_repeat() {
        let failure = Line::of("false --quickly").run(Path::new("/")).unwrap_err();
        assert_eq!(failure, "`false --quickly`: exit status: 1");
    }
}
