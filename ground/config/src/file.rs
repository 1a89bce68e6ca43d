//! A configuration file: every line that it has is a setting with a value that is allowed, or it is a mistake.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use crate::settings::{SETTINGS, Setting, Settings};

/// Something in a file that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What was found, and what is allowed.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Where the file of a service is looked for.
pub fn usual_path(root: Option<&Path>) -> PathBuf {
    root.map_or("/etc/hcs/config.toml".into(), |root| root.join("etc/config.toml"))
}

/// Reads the text of a file. It is taken whole, or every mistake in it is told.
pub fn parse(text: &str) -> Result<Settings, Vec<Mistake>> {
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| Mistake {
            line: line_at(error.span().map_or(0, |span| span.start)),
            what: format!("this is no TOML: {}", error.message().replace('\n', ", ")),
        })
        .collect();
    let mut settings = Settings::default();
    // What was guessed of a text that is no TOML is not judged.
    if mistakes.is_empty() {
        for (name, value) in table.get_ref() {
            if let Err(what) = take(&mut settings, name.get_ref(), value.get_ref()) {
                mistakes.push(Mistake { line: line_at(name.span().start), what });
            }
        }
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
}

fn take(settings: &mut Settings, name: &str, value: &DeValue<'_>) -> Result<(), String> {
    let Some(setting) = Setting::find(name) else { return Err(unknown(name)) };
    let refusal = |found: String| format!("{name}: found {found}; allowed is {}", setting.allowed);
    let text = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => number.to_string(),
            Err(_) => return Err(refusal("a number out of range".to_owned())),
        },
        DeValue::Boolean(truth) => truth.to_string(),
        other => return Err(refusal(article(other.type_str()))),
    };
    if value.type_str() != setting.toml_type {
        return Err(refusal(format!("{} ({text})", article(value.type_str()))));
    }
    settings.set(setting, &text).map_err(|error| format!("{name}: {error}"))
}

fn article(kind: &str) -> String {
    format!("{} {kind}", if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
}

/// A name that is none, with the one that was meant, or with all that there are.
fn unknown(name: &str) -> String {
    let names = SETTINGS.iter().map(|setting| setting.name);
    // People write what they know from elsewhere.
    let hint = match hcs_schema::nearest(&name.replace('_', "-"), names.clone()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
    };
    format!("{name}: there is no such setting; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn a_file_is_read() {
        let settings =
            parse("# mine\ngroup = 'operators'\nmax-connections = 1_000\nmetrics = false\n").unwrap();
        assert_eq!(settings.group.as_deref(), Some("operators"));
        assert_eq!(settings.max_connections.map(|it| it.get()), Some(1000));
        assert_eq!(settings.metrics, Some(false));
        assert_eq!(settings.socket, None);
        assert_eq!(parse("").unwrap(), Settings::default());
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "max_conections = 3\n\ngroup = 7\nsocket = \"hcs.sock\"\nlog-format = \"xml\"\nmetrics = \"yes\"\n";
        assert_eq!(
            mistakes(text),
            [
                "line 1: max_conections: there is no such setting; did you mean max-connections?",
                "line 3: group: found an integer (7); allowed is a name, of letters, digits and any of _ . -",
                "line 4: socket: found \"hcs.sock\"; allowed is a path that begins with /",
                "line 5: log-format: found \"xml\"; allowed is text or json",
                "line 6: metrics: found a string (yes); allowed is true or false",
            ]
        );
    }

    #[test]
    fn a_section_is_no_setting() {
        assert!(
            mistakes("[limits]\nmax-connections = 3\n")[0]
                .starts_with("line 1: limits: there is no such setting; there are run-folder,")
        );
        assert_eq!(
            mistakes("qemu = { path = \"/q\" }"),
            ["line 1: qemu: found a table; allowed is a path that begins with /, or auto"]
        );
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for number in ["0", "-1", "4294967296", "99999999999999999999"] {
            let told = mistakes(&format!("max-connections = {number}"));
            assert!(told[0].contains("allowed is a whole number from 1 on"), "{told:?}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let told = mistakes("group = \"a\"\nsocket /run/x\n");
        assert!(told[0].starts_with("line 2: this is no TOML: "), "{told:?}");
        let told = mistakes("group = \"a\"\ngroup = \"b\"\n");
        assert!(told[0].starts_with("line 2: this is no TOML: duplicate key"), "{told:?}");
    }
}
