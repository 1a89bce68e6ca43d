//! What builds are compared by: measurements of our programs alone. Each is served by a process of its own, for the programs of the
//! folder that `HCS_BIN_DIR` names.

use std::time::Duration;

use crate::{
    Outcome,
    lives::Lives,
    measurements::{boot, command},
    placement::Placement,
    resident,
    samples::Samples,
};

/// Does something once, and says how long that took.
type Action = Box<dyn FnMut() -> Outcome<Duration>>;

/// A subject.
pub struct Subject {
    /// How it is asked for.
    pub name: &'static str,
    /// Whether it is done only when it is asked for: it takes minutes.
    pub takes_machines: bool,
    /// How often everything is started anew.
    pub sittings: usize,
    /// Blocks of a sitting.
    pub blocks: usize,
    /// How many actions are one turn, of which the median counts.
    batch: usize,
    prepare: fn() -> Outcome<Action>,
}

const fn subject(name: &'static str, batch: usize, prepare: fn() -> Outcome<Action>) -> Subject {
    Subject { name, takes_machines: false, sittings: 9, blocks: 6, batch, prepare }
}

const fn machine(name: &'static str, prepare: fn() -> Outcome<Action>) -> Subject {
    Subject { name, takes_machines: true, sittings: 5, blocks: 1, batch: 1, prepare }
}

/// All.
pub const SUBJECTS: &[Subject] = &[
    subject("call", 300, || {
        // Left to the scheduler a wake-up takes now this time, now five times as long.
        let one = *Placement::all()?.first().ok_or("there is no processor")?;
        let mut lives = one.as_server(Lives::start)?;
        Ok(Box::new(move || lives.call()))
    }),
    subject("exec", 11, || {
        let mut lives = Lives::start()?;
        Ok(Box::new(move || lives.exec()))
    }),
    subject("create", 5, || {
        let mut lives = Lives::start()?;
        Ok(Box::new(move || lives.create()))
    }),
    subject("cycle", 5, || {
        let mut lives = Lives::start()?;
        Ok(Box::new(move || lives.cycle()))
    }),
    subject("list", 5, || {
        let lister = command::Lister::start()?;
        Ok(Box::new(move || lister.list()))
    }),
    subject("run", 5, || {
        let runner = command::Runner::start()?;
        Ok(Box::new(move || runner.run()))
    }),
    machine("boot", || {
        let booter = boot::Booter::start()?;
        Ok(Box::new(move || booter.boot()))
    }),
];

/// The process that serves one.
pub fn serve(name: &str) -> Outcome {
    let found = SUBJECTS.iter().find(|subject| subject.name == name);
    let Subject { batch, prepare, .. } = found.ok_or_else(|| format!("there is no subject {name}"))?;
    let mut action = prepare()?;
    resident::serve(|| {
        let turn: Outcome<Samples> = (0..*batch).map(|_| action()).collect();
        Ok(turn?.median())
    })
}
