//! `hcs logs`

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use hcs::{Said, output::OutputStream};
use serde_json::json;

use super::Target;
use crate::{Context, failure::Failure, output};

/// Show what was said in a system: by processes whose output is kept, or on the consoles of a virtual machine.
///
/// Output is kept of processes that were created with "Linux": {"Log": {}}, as by `hcs run --detach`, until the system ends;
/// of a virtual machine without being asked for. What was said on a standard error is shown on that of this command. Lines of other processes than the first begin
/// with their number in brackets.
#[derive(clap::Args)]
pub struct Logs {
    /// Go on with what comes, until the system ends, or the process of --process.
    #[arg(short, long)]
    follow: bool,
    /// Begin with that many lines before the end, not with everything that is kept.
    #[arg(short = 'n', long, value_name = "LINES")]
    lines: Option<usize>,
    /// Only what this process has said.
    #[arg(short, long, value_name = "PID")]
    process: Option<u32>,
    /// Begin each line with the time at which it was heard.
    #[arg(short, long)]
    timestamps: bool,
    /// Print each line as a line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Logs {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let system = self.target.open(context)?;
        if self.follow {
            system.link().attend();
        }
        let mut printer = Printer::new(self.timestamps, self.json);
        let mut shown = BTreeMap::new();
        if let Some(lines) = self.lines {
            // What is shown of now is known by its place when it comes once more.
            for said in last(system.output(self.process, false).wait()?, lines, &mut shown)? {
                printer.print(&said).map_err(Failure::output)?;
            }
            if !self.follow {
                return printer.finish().map_err(Failure::output);
            }
        }
        for said in system.output(self.process, self.follow).wait()? {
            let said = said.map_err(|error| Failure::io(&error, "reading what was said"))?;
            if let Some(said) = without(said, &shown) {
                printer.print(&said).map_err(Failure::output)?;
            }
        }
        printer.finish().map_err(Failure::output)
    }
}

/// Who speaks, and where.
type Voice = (Option<u32>, OutputStream);

fn voice(said: &Said) -> Voice {
    (said.process, said.stream)
}

/// The last lines of what is kept. Notes how far each process is with it.
fn last(
    all: impl Iterator<Item = io::Result<Said>>,
    lines: usize,
    shown: &mut BTreeMap<Option<u32>, u64>,
) -> Result<Vec<Said>, Failure> {
    let mut parts = Vec::new();
    for said in all {
        let said = said.map_err(|error| Failure::io(&error, "reading what was said"))?;
        shown.insert(said.process, said.offset + said.bytes.len() as u64);
        parts.extend(by_line(said));
    }
    let mut within_line = BTreeSet::new();
    let mut begins: Vec<usize> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if !within_line.contains(&voice(part)) {
            begins.push(at);
        }
        match part.bytes.ends_with(b"\n") {
            true => within_line.remove(&voice(part)),
            false => within_line.insert(voice(part)),
        };
    }
    let from =
        begins.len().checked_sub(lines).map_or(0, |first| begins.get(first).copied().unwrap_or(parts.len()));
    Ok(parts.split_off(from))
}

/// Each line by itself; the last may go on in what comes.
fn by_line(said: Said) -> impl Iterator<Item = Said> {
    let mut offset = said.offset;
    let mut missed = said.missed;
    let lines: Vec<Vec<u8>> = said.bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.into_iter().map(move |bytes| {
        let (process, stream, time) = (said.process, said.stream, said.time);
        let part = Said { process, stream, time, offset, missed: std::mem::take(&mut missed), bytes };
        offset += part.bytes.len() as u64;
        part
    })
}

/// What is left of a piece behind what was shown already.
fn without(mut said: Said, shown: &BTreeMap<Option<u32>, u64>) -> Option<Said> {
    let before = shown.get(&said.process).map_or(0, |shown| shown.saturating_sub(said.offset));
    if before >= said.bytes.len() as u64 && before > 0 {
        return None;
    }
    said.bytes.drain(..before as usize);
    said.offset += before;
    Some(said)
}

/// As much of a line is kept until it is whole.
const LONGEST_LINE: usize = 1 << 20;

/// Prints what was said.
struct Printer {
    timestamps: bool,
    json: bool,
    /// Whose lines bear no number.
    first: Option<Option<u32>>,
    /// Whose line is not at its end.
    within: Option<Voice>,
    /// Lines that are printed when they are whole.
    unfinished: BTreeMap<Voice, Said>,
}

impl Printer {
    fn new(timestamps: bool, json: bool) -> Printer {
        Printer { timestamps, json, first: None, within: None, unfinished: BTreeMap::new() }
    }

    fn print(&mut self, said: &Said) -> io::Result<()> {
        if said.missed > 0 && !self.json {
            let who = said.process.map_or("the console".to_owned(), |process| format!("process {process}"));
            output::note(&format!("{} bytes of {who} were dropped before they were read", said.missed));
        }
        let mut out: Box<dyn Write> = match said.stream {
            OutputStream::StdErr if !self.json => Box::new(io::stderr().lock()),
            _ => Box::new(io::stdout().lock()),
        };
        for part in by_line(said.clone()) {
            if self.json {
                self.collect(part, &mut out)?;
            } else {
                self.print_part(&part, &mut out)?;
            }
        }
        out.flush()
    }

    fn print_part(&mut self, part: &Said, out: &mut dyn Write) -> io::Result<()> {
        let first = *self.first.get_or_insert(part.process);
        let voice = voice(part);
        if self.within != Some(voice) {
            // A line that is interrupted by somebody else is broken where one could not tell them apart.
            if self.within.is_some_and(|within| within.0 != voice.0 || self.timestamps) {
                out.write_all(b"\n")?;
            }
            if self.timestamps {
                write!(out, "{} ", part.timestamp())?;
            }
            if let Some(process) = part.process.filter(|_| part.process != first) {
                write!(out, "[{process}] ")?;
            }
        }
        self.within = (!part.bytes.ends_with(b"\n")).then_some(voice);
        out.write_all(&part.bytes)
    }

    /// Collects the parts of a line and prints it when it is whole.
    fn collect(&mut self, part: Said, out: &mut dyn Write) -> io::Result<()> {
        let mut line = match self.unfinished.remove(&voice(&part)) {
            None => part,
            Some(mut begun) => {
                begun.bytes.extend(part.bytes);
                begun
            }
        };
        // A line that does not end is told in parts, or it would be kept for ever.
        if line.bytes.pop_if(|last| *last == b'\n').is_none() && line.bytes.len() < LONGEST_LINE {
            self.unfinished.insert(voice(&line), line);
            return Ok(());
        }
        writeln!(out, "{}", as_json(&line))
    }

    /// Nothing comes any more.
    fn finish(self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.unfinished.values().try_for_each(|line| writeln!(out, "{}", as_json(line)))
    }
}

fn as_json(line: &Said) -> serde_json::Value {
    let text = String::from_utf8_lossy(&line.bytes);
    let mut object = json!({
        "Time": line.timestamp(),
        "Stream": line.stream.name(),
        "Text": text.trim_end_matches('\r'),
    });
    if let Some(process) = line.process {
        object["ProcessId"] = process.into();
    }
    if line.missed > 0 {
        object["MissedBytes"] = line.missed.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn said(process: u32, offset: u64, text: &str) -> Said {
        Said {
            process: Some(process),
            stream: OutputStream::StdOut,
            time: UNIX_EPOCH,
            offset,
            missed: 0,
            bytes: text.into(),
        }
    }

    fn shown(printer: &mut Printer, pieces: &[Said]) -> String {
        let mut out = Vec::new();
        for piece in pieces {
            for part in by_line(piece.clone()) {
                printer.print_part(&part, &mut out).unwrap();
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_others_bear_their_number_and_no_line_is_mixed_up() {
        let pieces = [said(2, 0, "a\nb"), said(5, 0, "c\nd\n"), said(2, 3, "e\n")];
        assert_eq!(shown(&mut Printer::new(false, false), &pieces), "a\nb\n[5] c\n[5] d\ne\n");
        let timed = shown(&mut Printer::new(true, false), &pieces[..2]);
        assert!(timed.lines().all(|line| line.starts_with("1970-01-01T00:00:00.0000000Z ")), "{timed}");
    }

    #[test]
    fn the_last_lines_are_whole_and_what_was_shown_does_not_come_again() {
        let pieces = || [said(2, 0, "one\ntw"), said(2, 6, "o\nthree")].map(Ok).into_iter();
        for (lines, expected) in [(0, ""), (1, "three"), (2, "two\nthree"), (9, "one\ntwo\nthree")] {
            let mut places = BTreeMap::new();
            let found = last(pieces(), lines, &mut places).unwrap();
            assert_eq!(shown(&mut Printer::new(false, false), &found), expected, "{lines}");
            assert_eq!(places, BTreeMap::from([(Some(2), 13)]));
            let again: Vec<Said> = pieces().filter_map(|piece| without(piece.unwrap(), &places)).collect();
            assert_eq!(again, []);
            let partly = without(said(2, 10, "ree\nfour"), &places).unwrap();
            assert_eq!((partly.offset, &partly.bytes[..]), (13, &b"\nfour"[..]));
        }
    }
}
