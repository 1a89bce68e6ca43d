//! Asks every system for its figures.
//!
//! Each is asked by a thread of its own, and what has not come in time comes with a later look: a system that hangs costs a
//! thread, which ends with the program, and is not asked again before it has answered. It is opened only for the moment of
//! the question, because a handle would keep a system alive that is to end with its last one.

use std::{
    collections::HashMap,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use hcs::{
    Client, Error,
    schema::{Any, Properties, SystemPropertyQuery},
};
use serde_json::Value;

use crate::failure::Failure;

/// How long a look waits for those who are slow.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is asked; each is answered by itself, so that what one system does not have hides nothing else.
const PROPERTIES: [&str; 3] = ["Statistics", "Memory", "ProcessList"];

/// What a system uses.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// Whether it has answered this time.
    pub answers: bool,
    /// Of one processor, in percent.
    pub cpu: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// And how many there may be.
    pub limit: Option<u64>,
    /// How many processes there are.
    pub processes: Option<usize>,
    /// Bytes read in a second.
    pub read: Option<u64>,
    /// Bytes written in a second.
    pub written: Option<u64>,
}

/// The counters of a system at one time.
#[derive(Clone, Copy, Debug)]
struct Counters {
    at: Instant,
    runtime_100ns: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
}

/// What is known of a system.
#[derive(Default)]
struct Known {
    is_asked: bool,
    before: Option<Counters>,
    row: Row,
}

/// An answer: whose, when it came, and what it is.
type Answer = (String, Instant, Result<Properties, Error>);

/// Asks again and again.
pub struct Sampler {
    client: Client,
    wanted: Vec<String>,
    patience: Duration,
    known: HashMap<String, Known>,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl Sampler {
    /// Asks all systems, or those of which one of these is the id or its beginning.
    pub fn new(client: Client, wanted: Vec<String>, interval: Duration) -> Sampler {
        let (sender, answers) = mpsc::channel();
        let wanted = wanted.iter().map(|name| name.to_uppercase()).collect();
        Sampler { client, wanted, patience: PATIENCE.min(interval), known: HashMap::new(), sender, answers }
    }

    /// Looks once; the busiest first.
    pub fn sample(&mut self) -> Result<Vec<Row>, Failure> {
        let mut present = Vec::new();
        for system in self.client.list(None).wait()? {
            let id = system.id.unwrap_or_default();
            // Another system of the same id is another one.
            let key = system.runtime_id.map_or_else(|| id.clone(), |guid| guid.to_string());
            if self.is_wanted(&id) {
                let known = self.known.entry(key.clone()).or_default();
                known.row.id = id;
                known.row.state = system.state.map_or("Created", |state| state.as_str()).to_owned();
                known.row.answers = false;
                present.push(key);
            }
        }
        self.known.retain(|key, _| present.contains(key));
        self.ask(&present);
        self.listen();
        let mut rows: Vec<Row> = self.known.values().map(|known| known.row.clone()).collect();
        rows.sort_by(|one, other| {
            other.cpu.unwrap_or(0.0).total_cmp(&one.cpu.unwrap_or(0.0)).then_with(|| one.id.cmp(&other.id))
        });
        Ok(rows)
    }

    fn is_wanted(&self, id: &str) -> bool {
        let id = id.to_uppercase();
        self.wanted.is_empty() || self.wanted.iter().any(|name| id.starts_with(name))
    }

    fn ask(&mut self, present: &[String]) {
        for key in present {
            let Some(known) = self.known.get_mut(key).filter(|known| !known.is_asked) else { continue };
            known.is_asked = true;
            let (client, sender) = (self.client.clone(), self.sender.clone());
            let (key, id) = (key.clone(), known.row.id.clone());
            thread::spawn(move || {
                let answer =
                    client.open(&id).wait().and_then(|system| system.properties(Some(&query())).wait());
                // Who has left needs no answer.
                let _ = sender.send((key, Instant::now(), answer));
            });
        }
    }

    /// Takes the answers that come in time.
    fn listen(&mut self) {
        let deadline = Instant::now() + self.patience;
        while self.known.values().any(|known| known.is_asked) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((key, at, answer)) = self.answers.recv_timeout(left) else { return };
            if let Some(known) = self.known.get_mut(&key) {
                known.is_asked = false;
                // One that ends meanwhile is not on the next list.
                if let Ok(properties) = answer {
                    known.take(at, &properties);
                }
            }
        }
    }
}

impl Known {
    fn take(&mut self, at: Instant, properties: &Properties) {
        const PAGE: u64 = 4096;
        let [statistics, memory, processes] = PROPERTIES.map(|name| response(properties, name));
        let statistics = |path: &str| statistics.pointer(path).and_then(Value::as_u64);
        let now = Counters {
            at,
            runtime_100ns: statistics("/Processor/TotalRuntime100ns"),
            read: statistics("/Storage/ReadSizeBytes"),
            written: statistics("/Storage/WriteSizeBytes"),
        };
        let row = &mut self.row;
        row.answers = true;
        row.memory = statistics("/Memory/MemoryUsageCommitBytes");
        row.limit =
            memory.pointer("/VirtualMachineMemory/AssignedMemory").and_then(Value::as_u64).map(|n| n * PAGE);
        row.processes = processes.as_array().map(Vec::len);
        if let Some(before) = self.before.replace(now) {
            row.cpu = rate(&before, &now, |one| one.runtime_100ns).map(|share| share / 1e7 * 100.0);
            row.read = rate(&before, &now, |one| one.read).map(|bytes| bytes as u64);
            row.written = rate(&before, &now, |one| one.written).map(|bytes| bytes as u64);
        }
    }
}

/// How much more there is in a second.
fn rate(before: &Counters, now: &Counters, of: fn(&Counters) -> Option<u64>) -> Option<f64> {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let more = of(now)?.saturating_sub(of(before)?);
    (seconds > 0.0).then(|| more as f64 / seconds)
}

fn query() -> SystemPropertyQuery {
    let nothing = || Any::from_value(&serde_json::json!({})).ok();
    let queries = PROPERTIES.iter().filter_map(|name| Some(((*name).to_owned(), nothing()?)));
    SystemPropertyQuery { queries: Some(queries.collect()), ..Default::default() }
}

/// What a property was answered with; null if there is none of it.
fn response(properties: &Properties, name: &str) -> Value {
    let responses = properties.property_responses.as_ref();
    let response = responses.and_then(|all| all.get(name)).and_then(|one| one.response.as_ref());
    response.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between() {
        let begin = Instant::now();
        let counters = |after: u64, runtime: Option<u64>, read: u64| Counters {
            at: begin + Duration::from_secs(after),
            runtime_100ns: runtime,
            read: Some(read),
            written: None,
        };
        let (before, now) = (counters(0, Some(0), 100), counters(2, Some(10_000_000), 300));
        assert_eq!(rate(&before, &now, |one| one.runtime_100ns), Some(5_000_000.0));
        assert_eq!(rate(&before, &now, |one| one.read), Some(100.0));
        assert_eq!(rate(&before, &now, |one| one.written), None);
        assert_eq!(rate(&before, &before, |one| one.read), None);
        assert_eq!(
            rate(&now, &counters(3, Some(0), 0), |one| one.read),
            Some(0.0),
            "a system that began anew"
        );
    }
}
