//! Words for whoever reads the log of a program that has no other way to say them.
//!
//! Workers and what they run outlive the service and have its standard error. That may be a log on a full disk, a terminal that
//! is gone, or a pipe that nobody reads: none of that is a reason to die, or to stand still, with a system.

use std::{fmt, os::fd::AsFd};

use rustix::event::PollFlags;

use crate::ready;

/// The longest line: a pipe that takes anything takes this much at once.
const LONGEST: usize = 4096;

/// Says a line on the standard error, as `eprintln!` does, to whoever takes it now: nothing is waited for, and nothing fails.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => { $crate::complaint::say(::std::io::stderr(), ::std::format_args!($($words)*)) };
}

/// What [`complain!`] does.
pub fn say(place: impl AsFd, line: fmt::Arguments<'_>) {
    let mut line = line.to_string();
    let end = (0..LONGEST).rev().find(|end| line.is_char_boundary(*end));
    line.truncate(end.unwrap_or(0));
    line.push('\n');
    if ready::now(&place, PollFlags::OUT) == Ok(PollFlags::OUT) {
        // Who has gone meanwhile is not told.
        let _ = rustix::io::write(&place, line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::{io::Errno, pipe::PipeFlags};

    use super::*;

    #[test]
    fn a_line_is_said_whole_or_cut_at_a_letter() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        say(&writer, format_args!("hcs-worker: {}", 7));
        say(&writer, format_args!("{}", "é".repeat(LONGEST)));
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "hcs-worker: 7");
        assert_eq!((lines.len(), lines[1].len()), (2, LONGEST - 2));
    }

    #[test]
    fn nobody_and_a_full_pipe_cost_nothing() {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK).unwrap();
        while rustix::io::write(&writer, &[0; LONGEST]) != Err(Errno::AGAIN) {}
        // As a pipe of others is: it would be waited for.
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
        say(&writer, format_args!("full"));
        drop(reader);
        say(&writer, format_args!("gone"));
    }
}
