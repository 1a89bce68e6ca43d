//! `hcs top`
//!
//! ```text
//!   sampler  asks every system for its figures, all at once
//!   screen   a terminal that is drawn over and over, and is afterwards as it was
//! ```

mod sampler;
mod screen;

use std::{thread, time::Duration};

use rustix::termios::isatty;
use serde_json::json;

use crate::{
    Context,
    colour::Palette,
    failure::Failure,
    output::{self, Table},
};
use sampler::{Row, Sampler};
use screen::Screen;

/// Show what systems use, the busiest first, again and again. The key q ends it.
///
/// Where the output is no terminal, one table is printed. A system that does not answer in time is shown with question
/// marks, and keeps no other waiting.
#[derive(clap::Args)]
pub struct Top {
    /// Print one table, of what happens within one interval.
    #[arg(long)]
    once: bool,
    /// How long from one look to the next.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    interval: Duration,
    /// Print a line of JSON for each look.
    #[arg(long)]
    json: bool,
    /// Only these systems: their ids, or beginnings of them.
    #[arg(value_name = "SYSTEM")]
    ids: Vec<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    const SHORTEST: f64 = 0.1;
    const LONGEST: f64 = 3600.0;
    match text.parse::<f64>() {
        Ok(number) if (SHORTEST..=LONGEST).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err(format!("expected a number of seconds from {SHORTEST} to {LONGEST}")),
    }
}

impl Top {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        client.link().attend();
        let mut sampler = Sampler::new(client, self.ids, self.interval);
        // Rates are of the time between two looks.
        sampler.sample()?;
        if !self.json && !self.once && isatty(std::io::stdout()) {
            return watch(&mut sampler, self.interval);
        }
        loop {
            thread::sleep(self.interval);
            let rows = sampler.sample()?;
            if self.json {
                output::line(&document(&rows).to_string())?;
            } else {
                table(&rows).print()?;
            }
            if self.once || !self.json {
                return Ok(());
            }
        }
    }
}

fn watch(sampler: &mut Sampler, interval: Duration) -> Result<(), Failure> {
    /// Somebody waits for the first table.
    const FIRST: Duration = Duration::from_millis(300);
    let mut screen = Screen::open()?;
    if screen.is_left_within(FIRST.min(interval))? {
        return Ok(());
    }
    loop {
        // What is wider than the screen is cut, and a colour is not to be cut in two.
        screen.draw(&table(&sampler.sample()?).lines(Palette::NONE))?;
        if screen.is_left_within(interval)? {
            return Ok(());
        }
    }
}

fn table(rows: &[Row]) -> Table<8> {
    let mut table = Table::new(["ID", "STATE", "CPU", "MEMORY", "LIMIT", "PROCESSES", "READ/S", "WRITTEN/S"]);
    for row in rows {
        let unknown = || if row.answers { String::new() } else { "?".to_owned() };
        let bytes = |value: Option<u64>| value.map_or_else(unknown, short);
        table.row([
            row.id.clone(),
            row.state.clone(),
            row.cpu.map_or_else(unknown, |cpu| format!("{cpu:.1}%")),
            bytes(row.memory),
            bytes(row.limit),
            row.processes.map_or_else(unknown, |count| count.to_string()),
            bytes(row.read),
            bytes(row.written),
        ]);
    }
    table
}

/// A number of bytes in few letters.
fn short(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0}{}", UNITS[unit])
    } else {
        format!("{value:.1}{}", UNITS[unit])
    }
}

fn document(rows: &[Row]) -> serde_json::Value {
    let systems: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "Id": row.id,
                "State": row.state,
                "Answers": row.answers,
                "CpuPercent": row.cpu,
                "MemoryBytes": row.memory,
                "MemoryLimitBytes": row.limit,
                "Processes": row.processes,
                "ReadBytesPerSecond": row.read,
                "WriteBytesPerSecond": row.written,
            })
        })
        .collect();
    json!({ "Systems": systems })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_intervals_sensible() {
        let sizes = [0, 1023, 1024, 200 << 10, 3 << 29, 5 << 40].map(short);
        assert_eq!(sizes, ["0B", "1023B", "1.0K", "200K", "1.5G", "5.0T"]);
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(["0", "-1", "x", "NaN", "1e9"].iter().all(|wrong| seconds(wrong).is_err()));
    }

    #[test]
    fn a_system_that_does_not_answer_has_question_marks() {
        let row = Row { id: "web".into(), state: "Running".into(), answers: false, ..Row::default() };
        assert_eq!(
            table(std::slice::from_ref(&row)).lines(Palette::NONE)[1],
            "web  Running  ?    ?       ?      ?          ?       ?"
        );
        assert_eq!(document(&[row])["Systems"][0]["CpuPercent"], serde_json::Value::Null);
    }
}
