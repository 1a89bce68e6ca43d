//! `hcs-bench compare A B`: two builds, folders with programs, judged by the same measurements in turns.
//!
//! Judged are service, worker and command line: who calls them is this program, for both.
//!
//! Programs of both run at the same time, each served by a process of its own, and are asked in the order A B B A: what drifts
//! meanwhile disturbs both alike. That is a block, which yields one ratio. After some blocks everything is started anew (a
//! sitting), because where things lie in memory differs from start to start by more than builds do. The verdict is about the
//! median of all ratios and the interval in which it lies with a certainty of 95 %.

mod statistics;
pub mod subject;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use self::{
    statistics::{Interval, interval},
    subject::{SUBJECTS, Subject},
};
use crate::{Outcome, facts, resident::Resident};

/// What is asked for.
struct Request {
    builds: [PathBuf; 2],
    subjects: Vec<&'static Subject>,
    json: Option<PathBuf>,
    seed: u64,
}

impl Request {
    fn parse(words: &[&str]) -> Outcome<Request> {
        let (mut builds, mut subjects, mut json, mut seed) = (Vec::new(), Vec::new(), None, None);
        let mut has_machines = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--machines" => has_machines = true,
                "--json" => json = Some(words.next().ok_or("--json takes a file")?.into()),
                "--seed" => seed = Some(words.next().ok_or("--seed takes a number")?.parse()?),
                folder if builds.len() < 2 => builds.push(programs(folder)?),
                name => {
                    let found = SUBJECTS.iter().find(|subject| subject.name == name);
                    let names: Vec<&str> = SUBJECTS.iter().map(|subject| subject.name).collect();
                    subjects.push(found.ok_or_else(|| format!("{name} is none of {}", names.join(", ")))?);
                }
            }
        }
        if subjects.is_empty() {
            subjects = SUBJECTS.iter().filter(|subject| has_machines || !subject.takes_machines).collect();
        }
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let builds = builds.try_into().map_err(|_| "compare takes two folders with programs")?;
        Ok(Request { builds, subjects, json, seed: seed.unwrap_or_else(now) })
    }
}

/// A folder with programs.
fn programs(folder: &str) -> Outcome<PathBuf> {
    let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
    match folder.join("hcsd").is_file() {
        true => Ok(folder),
        false => {
            Err(format!("{} has no hcsd: it is not where a build puts its programs", folder.display()).into())
        }
    }
}

/// What is written to the file.
#[derive(Serialize)]
struct Comparison {
    builds: [PathBuf; 2],
    machine: facts::Machine,
    seed: u64,
    subjects: Vec<Judged>,
}

/// What became of one subject.
#[derive(Serialize)]
struct Judged {
    name: &'static str,
    /// B over A.
    ratio: f64,
    low: f64,
    high: f64,
    verdict: &'static str,
    /// Of each sitting.
    ratios: Vec<Vec<f64>>,
}

/// Judges.
pub fn run(words: &[&str]) -> Outcome {
    let Request { builds, subjects, json, seed } = Request::parse(words)?;
    println!("A {}\nB {}\nthe seed is {seed}\n", builds[0].display(), builds[1].display());
    println!("{:<10} {:>7} {:>7} {:>7}", "B over A", "median", "from", "to");
    let mut judged = Vec::new();
    for subject in subjects {
        let ratios = sittings(subject, &builds)?;
        let Interval { median, low, high } = interval(&ratios, seed);
        let verdict = match () {
            () if low > 1.0 => "B is slower",
            () if high < 1.0 => "B is faster",
            () => "no difference",
        };
        println!("{:<10} {median:>7.3} {low:>7.3} {high:>7.3}  {verdict}", subject.name);
        judged.push(Judged { name: subject.name, ratio: median, low, high, verdict, ratios });
    }
    if let Some(file) = json {
        let comparison = Comparison { builds, machine: facts::machine(), seed, subjects: judged };
        fs::write(file, serde_json::to_string_pretty(&comparison)? + "\n")?;
    }
    Ok(())
}

/// The ratios of each sitting.
fn sittings(subject: &Subject, builds: &[PathBuf; 2]) -> Outcome<Vec<Vec<f64>>> {
    let start = |build: &Path| {
        let mut command = Command::new(env::current_exe()?);
        Resident::start(command.args(["subject", subject.name]).env("HCS_BIN_DIR", build))
    };
    let mut sittings = Vec::new();
    for number in 0..subject.sittings {
        // Neither is always the first to be started.
        let order = if number % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut residents = [start(&builds[order[0]])?, start(&builds[order[1]])?];
        if number % 2 == 1 {
            residents.reverse();
        }
        let [a, b] = &mut residents;
        for warms_up in [&mut *a, &mut *b] {
            warms_up.act()?;
        }
        let block = |_| -> Outcome<f64> {
            let [first, second, third, fourth] = [a.act()?, b.act()?, b.act()?, a.act()?];
            Ok(ratio(second + third, first + fourth))
        };
        sittings.push((0..subject.blocks).map(block).collect::<Outcome<_>>()?);
    }
    Ok(sittings)
}

fn ratio(ours: Duration, other: Duration) -> f64 {
    ours.as_secs_f64() / other.as_secs_f64()
}
