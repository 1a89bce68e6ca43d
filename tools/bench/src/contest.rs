//! A contest: all take turns in one run, so that what disturbs the machine disturbs everybody.

use std::{env, process::Command, thread, time::Duration};

use crate::{
    Outcome,
    figures::{Figures, heading},
    floor::Floor,
    load::Load,
    ours::Ours,
    runtime::{PROGRAMS, Runtime},
    usage::{self, Group, Groups},
};

const ROUNDS: usize = 40;
/// The pause between two measurements, in which a machine that has nothing else to do falls asleep.
const GAP: Duration = Duration::from_millis(30);
/// How long what goes on after the last answer may take.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Somebody who runs containers.
pub trait Contestant {
    /// For the table.
    fn name(&self) -> String;
    /// Where its processor time is counted.
    fn group(&self) -> &Group;
    /// A container's whole life: made, started, its process has ended, all removed.
    fn cycle(&mut self) -> Outcome<Duration>;
    /// A process in a container that is there, until its end.
    fn exec(&mut self) -> Outcome<Duration>;
}

/// What is promised of ours: its share of a peer's or the floor's figure at most.
pub struct Promise {
    /// The beginning of the other's name.
    pub other: &'static str,
    /// Ours over the other's.
    pub at_most: f64,
}

/// Everybody who takes part.
pub struct Contest {
    peers: Vec<Box<dyn Contestant>>,
    ours: Ours,
    groups: Groups,
    missed: Vec<String>,
}

/// Runs a measurement in a view of the host in which every peer works: one of them refuses a hybrid cgroup tree.
pub fn run_apart(measurement: &str) -> Outcome {
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(env::current_exe()?).arg(measurement);
    if command.status()?.success() {
        Ok(())
    } else {
        Err("the measurement failed, or a promise is not kept".into())
    }
}

impl Contest {
    /// Gathers whom there is.
    pub fn gather() -> Outcome<Contest> {
        let groups = Groups::new();
        let ours = Ours::start(&groups)?;
        let root_fs = ours.root_fs();
        let folder = root_fs.with_file_name("peers");
        let mut peers: Vec<Box<dyn Contestant>> = Vec::new();
        match Floor::prepare(&folder.join("floor"), &root_fs, &groups)? {
            Some(floor) => peers.push(Box::new(floor)),
            None => println!("the floor needs cgroup v1 and is left out"),
        }
        for program in PROGRAMS {
            match Runtime::prepare(program, &folder, &root_fs, &groups)? {
                Some(runtime) => peers.push(Box::new(runtime)),
                None => println!("{program} is not installed and left out"),
            }
        }
        groups.leave()?;
        let favoured = if usage::favours_dynamic_cgroups() { "on" } else { "off" };
        println!("favordynmods is {favoured}; {ROUNDS} rounds, all taking turns");
        Ok(Contest { peers, ours, groups, missed: Vec::new() })
    }

    /// Our part alone.
    pub fn ours(&self) -> &Ours {
        &self.ours
    }

    /// Measures on an idle and on a busy machine, back to back and with gaps.
    pub fn measure(
        &mut self,
        what: &str,
        promises: &[Promise],
        action: fn(&mut dyn Contestant) -> Outcome<Duration>,
    ) -> Outcome {
        for busy in [false, true] {
            let load = busy.then(Load::start).transpose()?;
            for gap in [Duration::ZERO, GAP] {
                let machine = if load.is_some() { "all processors busy" } else { "idle machine" };
                let pace = if gap.is_zero() { "back to back" } else { "with gaps of 30 ms" };
                self.table(&format!("{what}, {machine}, {pace}"), promises, gap, action)?;
            }
        }
        Ok(())
    }

    /// An error if a promise was not kept.
    pub fn verdict(self) -> Outcome {
        for missed in &self.missed {
            println!("not kept: {missed}");
        }
        if self.missed.is_empty() { Ok(()) } else { Err("a promise is not kept".into()) }
    }

    fn table(
        &mut self,
        title: &str,
        promises: &[Promise],
        gap: Duration,
        action: fn(&mut dyn Contestant) -> Outcome<Duration>,
    ) -> Outcome {
        let Contest { peers, ours, groups, missed } = self;
        let mut all: Vec<&mut dyn Contestant> = peers.iter_mut().map(|peer| peer.as_mut() as _).collect();
        all.push(ours);
        let mut walls: Vec<Figures> = all.iter().map(|_| Figures::default()).collect();
        let mut used = Vec::new();
        for round in 0..=ROUNDS {
            // The first round only warms up.
            if round == 1 {
                used = all.iter().map(|one| one.group().used()).collect::<Outcome<Vec<_>>>()?;
            }
            for (contestant, walls) in all.iter_mut().zip(&mut walls) {
                groups.leave()?;
                thread::sleep(gap);
                contestant.group().enter()?;
                let wall = action(*contestant)?;
                if round > 0 {
                    walls.add(wall);
                }
            }
        }
        groups.leave()?;
        thread::sleep(AFTERMATH);
        let figures: Vec<(f64, f64)> = all
            .iter()
            .zip(&walls)
            .zip(used)
            .map(|((one, walls), before)| {
                let processor = (one.group().used()? - before).as_secs_f64() / ROUNDS as f64;
                Ok((walls.percentile(0.5).as_secs_f64(), processor))
            })
            .collect::<Outcome<_>>()?;
        println!("\n{title}");
        println!("{} {:>11} {:>10} {:>10}", heading(), "processor", "ours/wall", "ours/proc.");
        let (our_wall, our_processor) = figures.last().copied().unwrap_or_default();
        for ((contestant, walls), (wall, processor)) in all.iter().zip(&walls).zip(&figures) {
            let (by_wall, by_processor) = (our_wall / wall, our_processor / processor);
            let line = walls.line(&contestant.name());
            println!("{line} {:>11.0} {by_wall:>10.2} {by_processor:>10.2}", processor * 1e6);
            for promise in promises.iter().filter(|promise| contestant.name().starts_with(promise.other)) {
                for (kind, ratio) in [("wall", by_wall), ("processor", by_processor)] {
                    if ratio > promise.at_most {
                        let Promise { other, at_most } = promise;
                        missed.push(format!("{title}: {ratio:.2} of {other} ({kind}), promised {at_most}"));
                    }
                }
            }
        }
        Ok(())
    }
}
