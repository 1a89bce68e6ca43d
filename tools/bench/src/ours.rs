//! Our part in a contest: the service and what it starts, counted in a group of its own.

use std::time::Duration;

use crate::{
    Outcome,
    contest::Contestant,
    lives::Lives,
    usage::{Group, Groups},
};

/// Ours.
pub struct Ours {
    /// What it does.
    pub lives: Lives,
    group: Group,
}

impl Ours {
    /// Starts a service that is counted.
    pub fn start(groups: &Groups) -> Outcome<Ours> {
        let group = groups.make("ours")?;
        group.enter()?;
        let lives = Lives::start()?;
        // Containers have groups of their own below a folder of the service's.
        let group = group.with(groups.holder(lives.running().runtime_id()));
        Ok(Ours { lives, group })
    }
}

impl Contestant for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn cycle(&mut self) -> Outcome<Duration> {
        self.lives.cycle()
    }

    fn exec(&mut self) -> Outcome<Duration> {
        self.lives.exec()
    }
}
