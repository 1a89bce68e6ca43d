//! A program that does something each time when it is asked, and says how long that took: a line to it, a line with nanoseconds
//! from it. It ends with its input.

use std::{
    io::{BufRead, BufReader, Write, stdin},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::Outcome;

/// One that runs.
pub struct Resident {
    process: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
}

impl Resident {
    /// Starts it.
    pub fn start(command: &mut Command) -> Outcome<Resident> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answer = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        Ok(Resident { ask: process.stdin.take(), answer, process })
    }

    /// Has it done once.
    pub fn act(&mut self) -> Outcome<Duration> {
        self.ask.as_mut().ok_or("it is closed")?.write_all(b"\n")?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        let nanoseconds = line.trim().parse().map_err(|_| format!("it has failed, and says {line:?}"))?;
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.ask = None;
        let _ = self.process.wait();
    }
}

/// The other side, in this program.
pub fn serve(mut act: impl FnMut() -> Outcome<Duration>) -> Outcome {
    for line in stdin().lines() {
        line?;
        println!("{}", act()?.as_nanos());
    }
    Ok(())
}
