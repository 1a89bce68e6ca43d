//! Colours, for people at terminals alone: a file, a pipe or a program never gets any, and neither does who has set `NO_COLOR`.
//!
//! Tables and messages are painted with it; nothing is told by a colour only.

use std::{borrow::Cow, env, os::fd::AsFd};

use rustix::termios::isatty;

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The names of columns.
    Heading,
    /// Something that works.
    Good,
    /// Something that people may want to look at.
    Attention,
    /// Something that does not work.
    Bad,
    /// Something that is over.
    Faint,
}

impl Ink {
    /// That of a word in a column named STATE.
    pub fn of_state(word: &str) -> Option<Ink> {
        match word {
            "Running" | "ok" => Some(Ink::Good),
            "Paused" | "warning" => Some(Ink::Attention),
            "missing" => Some(Ink::Bad),
            "Stopped" | "Saved" | "SavedAsTemplate" => Some(Ink::Faint),
            _ => None,
        }
    }

    /// As terminals have understood it since ECMA-48.
    fn rendition(self) -> &'static str {
        match self {
            Ink::Heading => "1",
            Ink::Good => "32",
            Ink::Attention => "33",
            Ink::Bad => "31",
            Ink::Faint => "2",
        }
    }
}

/// Whether an output takes colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    is_coloured: bool,
}

impl Palette {
    /// For what is read by programs.
    pub const NONE: Palette = Palette { is_coloured: false };

    /// That of an output of this program.
    pub fn of(output: impl AsFd) -> Palette {
        let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_able = env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
        Palette { is_coloured: !is_unwanted && is_able && isatty(output) }
    }

    /// The text, painted or as it is.
    pub fn paint(self, ink: Ink, text: &str) -> Cow<'_, str> {
        match self.is_coloured {
            true => Cow::Owned(format!("\x1b[{}m{text}\x1b[0m", ink.rendition())),
            false => Cow::Borrowed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_gets_text_alone() {
        let (_reader, pipe) = rustix::pipe::pipe().unwrap();
        assert_eq!(Palette::of(pipe), Palette::NONE);
        assert_eq!(Palette::NONE.paint(Ink::Bad, "missing"), "missing");
    }

    #[test]
    fn paint_ends_where_the_text_ends() {
        let palette = Palette { is_coloured: true };
        assert_eq!(palette.paint(Ink::Good, "Running"), "\x1b[32mRunning\x1b[0m");
    }
}
