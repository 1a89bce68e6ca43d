//! What verbs print: tables for people, JSON for everybody.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use hcs::System;
use serde_json::Value;

use crate::{
    colour::{Ink, Palette},
    failure::Failure,
};

/// A table with a heading; each column is as wide as its widest cell.
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub fn new(heading: [&str; N]) -> Table<N> {
        Table { rows: vec![heading.map(str::to_owned)] }
    }

    /// Adds a row. An empty cell is shown as a dash, so that every line has as many words as columns.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }));
    }

    /// Its lines.
    pub fn lines(&self, palette: Palette) -> Vec<String> {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        let line = |(number, row): (usize, &[String; N])| {
            let mut line = String::new();
            // Spaces stand before a cell, never behind the last.
            let mut gap = 0;
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let ink = match number {
                    0 => Some(Ink::Heading),
                    _ if self.rows[0][column] == "STATE" => Ink::of_state(cell),
                    _ => None,
                };
                line.extend(std::iter::repeat_n(' ', gap));
                line.push_str(&ink.map_or(Cow::Borrowed(cell.as_str()), |ink| palette.paint(ink, cell)));
                gap = width - cell.chars().count() + 2;
            }
            line
        };
        self.rows.iter().enumerate().map(line).collect()
    }

    /// Prints it.
    pub fn print(&self) -> Result<(), Failure> {
        lines(self.lines(Palette::of(io::stdout())))
    }
}

/// Tells which members of a new system's document have no effect.
pub fn warn_of(system: &System) {
    for warning in system.warnings() {
        warn(&format!("{}: {}", warning.path, warning.message));
    }
}

/// Tells people something beside what a verb prints. That it cannot be told changes nothing of what was done.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "hcs: {text}");
}

/// Tells people that something is not as it should be.
pub fn warn(text: &str) {
    note(&format!("{}: {text}", Palette::of(io::stderr()).paint(Ink::Attention, "warning")));
}

/// Tells people why something was not done.
pub fn failure(text: &str) {
    let _ = writeln!(io::stderr(), "{} {text}", Palette::of(io::stderr()).paint(Ink::Bad, "hcs:"));
}

/// Prints a line.
pub fn line(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::output)
}

/// Prints lines.
pub fn lines(texts: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = texts.into_iter().try_for_each(|text| writeln!(out, "{text}"));
    written.and_then(|()| out.flush()).map_err(Failure::output)
}

/// Prints JSON for people. Order and spelling stay as the service wrote them.
pub fn json(text: &str) -> Result<(), Failure> {
    line(&indented(text))
}

/// Prints objects of our own as an array.
pub fn json_array(objects: Vec<Value>) -> Result<(), Failure> {
    json(&Value::from(objects).to_string())
}

/// JSON with a line per member, its letters otherwise untouched: numbers of 64 bits stay exact.
fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut rest = text.chars().peekable();
    let break_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(letter) = rest.next() {
        match letter {
            '"' => {
                out.push('"');
                let mut escaped = false;
                for letter in rest.by_ref() {
                    out.push(letter);
                    if letter == '"' && !escaped {
                        break;
                    }
                    escaped = letter == '\\' && !escaped;
                }
            }
            '{' | '[' => {
                out.push(letter);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(',');
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_a_letter() {
        let mut table = Table::new(["ID", "STATE"]);
        table.row(["web".to_owned(), "Running".to_owned()]);
        table.row(["ä".to_owned(), String::new()]);
        assert_eq!(table.lines(Palette::NONE), ["ID   STATE", "web  Running", "ä    -"]);
    }

    #[test]
    fn json_is_indented_and_its_values_are_untouched() {
        let text = r#"{"a":[1,18446744073709551615,1.50],"b":{},"c":"x{,\":\\","d":[ ],"e":{"f" : null}}"#;
        let expected = r#"{
  "a": [
    1,
    18446744073709551615,
    1.50
  ],
  "b": {},
  "c": "x{,\":\\",
  "d": [],
  "e": {
    "f": null
  }
}"#;
        assert_eq!(indented(text), expected);
    }
}
