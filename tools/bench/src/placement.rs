//! Which processors the two sides of a conversation run on. Left to the scheduler the answer changes from run to
//! run, and with it the duration of a wake-up by a factor of five; so both cases are measured, each for itself.

use std::{fmt, str::FromStr};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// The processors of client and server.
#[derive(Clone, Copy)]
pub struct Placement {
    client: usize,
    server: usize,
}

impl Placement {
    /// The cases that this machine has.
    pub fn all() -> Outcome<Vec<Placement>> {
        let allowed = sched_getaffinity(None)?;
        let processors: Vec<usize> =
            (0..CpuSet::MAX_CPU).filter(|one| allowed.is_set(*one)).take(2).collect();
        Ok(match processors[..] {
            [one, other] => {
                vec![Placement { client: one, server: one }, Placement { client: one, server: other }]
            }
            [one] => vec![Placement { client: one, server: one }],
            _ => Vec::new(),
        })
    }

    /// Runs something that starts a server, which inherits its processor.
    pub fn as_server<T>(self, start: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        go_to(self.server)?;
        let started = start();
        go_to(self.client)?;
        started
    }
}

fn go_to(processor: usize) -> Outcome {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(None, &set)?)
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.client, self.server)
    }
}

impl FromStr for Placement {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Outcome<Placement> {
        let (client, server) = text.split_once(',').ok_or("a placement is CLIENT,SERVER")?;
        Ok(Placement { client: client.parse()?, server: server.parse()? })
    }
}

impl Placement {
    /// For people.
    pub fn name(self) -> &'static str {
        if self.client == self.server { "on one processor" } else { "on two processors" }
    }
}
