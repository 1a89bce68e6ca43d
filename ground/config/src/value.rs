//! What the value of a setting may be.

use std::{num::NonZeroU32, path::PathBuf};

/// A type of values.
pub(crate) trait Value: Sized {
    /// What stands for one in a usage.
    const PLACEHOLDER: &'static str;
    /// What one may be, to be put after "allowed is".
    const ALLOWED: &'static str;
    /// How TOML calls its type.
    const TOML_TYPE: &'static str = "string";

    /// The value that a text stands for.
    fn from_text(text: &str) -> Option<Self>;

    /// The value as TOML.
    fn to_toml(&self) -> String;
}

/// A program that may be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// It is looked for where it usually is.
    Auto,
    /// It is this one.
    At(PathBuf),
}

/// Which lines of the log are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Value for PathBuf {
    const PLACEHOLDER: &'static str = "PATH";
    const ALLOWED: &'static str = "a path that begins with /";

    fn from_text(text: &str) -> Option<PathBuf> {
        text.starts_with('/').then(|| text.into())
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Value for Program {
    const PLACEHOLDER: &'static str = "PATH";
    const ALLOWED: &'static str = "a path that begins with /, or auto";

    fn from_text(text: &str) -> Option<Program> {
        if text == "auto" { Some(Program::Auto) } else { PathBuf::from_text(text).map(Program::At) }
    }

    fn to_toml(&self) -> String {
        match self {
            Program::Auto => quoted("auto"),
            Program::At(path) => path.to_toml(),
        }
    }
}

/// A name.
impl Value for String {
    const PLACEHOLDER: &'static str = "NAME";
    const ALLOWED: &'static str = "a name, of letters, digits and any of _ . -";

    fn from_text(text: &str) -> Option<String> {
        is_word(text, "_.-").then(|| text.to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for NonZeroU32 {
    const PLACEHOLDER: &'static str = "NUMBER";
    const ALLOWED: &'static str = "a whole number from 1 on";
    const TOML_TYPE: &'static str = "integer";

    fn from_text(text: &str) -> Option<NonZeroU32> {
        text.parse().ok()
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const PLACEHOLDER: &'static str = "BOOL";
    const ALLOWED: &'static str = "true or false";
    const TOML_TYPE: &'static str = "boolean";

    fn from_text(text: &str) -> Option<bool> {
        text.parse().ok()
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for LogFilter {
    const PLACEHOLDER: &'static str = "FILTER";
    const ALLOWED: &'static str =
        "off, error, warn, info, debug or trace, or several TARGET=LEVEL with commas between them";

    fn from_text(text: &str) -> Option<LogFilter> {
        let is_level = |word: &str| {
            ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str())
        };
        let is_part = |part: &str| match part.split_once('=') {
            Some((target, level)) => is_word(target, "_:-") && is_level(level),
            None => is_level(part),
        };
        text.split(',').all(is_part).then(|| LogFilter(text.to_owned()))
    }

    fn to_toml(&self) -> String {
        quoted(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> LogFilter {
        LogFilter("info".to_owned())
    }
}

impl LogFilter {
    /// As it was said.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogFormat {
    const PLACEHOLDER: &'static str = "FORMAT";
    const ALLOWED: &'static str = "text or json";

    fn from_text(text: &str) -> Option<LogFormat> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

fn is_word(text: &str, besides: &str) -> bool {
    !text.is_empty() && text.chars().all(|it| it.is_ascii_alphanumeric() || besides.contains(it))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted += &format!("\\u{:04X}", u32::from(control)),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_targets_with_levels() {
        for good in ["info", "DEBUG", "hcsd::system=trace", "warn,hcsd::worker=debug,off"] {
            assert!(LogFilter::from_text(good).is_some(), "{good}");
        }
        for bad in ["", "loud", "hcsd=loud", "info,", "=info", "a b=info"] {
            assert!(LogFilter::from_text(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_program_is_looked_for_or_has_a_path_from_the_root() {
        assert_eq!(Program::from_text("auto"), Some(Program::Auto));
        assert_eq!(Program::from_text("/opt/qemu"), Some(Program::At("/opt/qemu".into())));
        assert_eq!(Program::from_text("qemu"), None);
    }

    #[test]
    fn what_is_shown_means_the_same_to_a_reader_of_toml() {
        let odd = "/a \"b\"\\c\n\u{7f}ü";
        let text = format!("x = {}", PathBuf::from(odd).to_toml());
        let table = toml::de::DeTable::parse(&text).unwrap();
        assert_eq!(table.get_ref().get("x").unwrap().get_ref().as_str(), Some(odd));
    }
}
