//! A contest: all take turns in one run, so that what disturbs the machine disturbs everybody.

use std::{thread, time::Duration};

use crate::{
    Outcome,
    figures::Figure,
    floor::Floor,
    lives::Lives,
    load::Load,
    ours::Ours,
    promises,
    report::Report,
    runtime::{PROGRAMS, Runtime},
    samples::Samples,
    usage::{Group, Groups},
};

const ROUNDS: usize = 40;
/// The pause between two measurements, in which a machine that has nothing else to do falls asleep.
const GAP: Duration = Duration::from_millis(30);
/// How long what goes on after the last answer may take.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Somebody who runs containers.
pub trait Contestant {
    /// One word.
    fn name(&self) -> &'static str;
    /// Where its processor time is counted.
    fn group(&self) -> &Group;
    /// A container's whole life: made, started, its process has ended, all removed.
    fn cycle(&mut self) -> Outcome<Duration>;
    /// A process in a container that is there, until its end.
    fn exec(&mut self) -> Outcome<Duration>;
}

/// Everybody who takes part.
pub struct Contest {
    peers: Vec<Box<dyn Contestant>>,
    ours: Ours,
    groups: Groups,
}

/// What one contestant took.
struct Taken {
    wall: Samples,
    /// For each action.
    processor: Duration,
}

impl Contest {
    /// Gathers whom there is.
    pub fn gather(report: &mut Report) -> Outcome<Contest> {
        let groups = Groups::new();
        let ours = Ours::start(&groups)?;
        let root_fs = ours.lives.root_fs();
        let folder = root_fs.with_file_name("peers");
        let mut peers: Vec<Box<dyn Contestant>> = Vec::new();
        match Floor::prepare(&folder.join("floor"), &root_fs, &groups)? {
            Some(floor) => peers.push(Box::new(floor)),
            None => report.is_absent("floor", "it needs cgroup v1"),
        }
        for program in PROGRAMS {
            if report.has(program) {
                peers.push(Box::new(Runtime::prepare(program, &folder, &root_fs, &groups)?));
            }
        }
        groups.leave()?;
        Ok(Contest { peers, ours, groups })
    }

    /// Our part alone.
    pub fn lives(&self) -> &Lives {
        &self.ours.lives
    }

    /// Measures on an idle and on a busy machine, back to back and with gaps. Its promises begin with the name of what is done:
    /// `life-time-crun-idle`.
    pub fn measure(
        &mut self,
        report: &mut Report,
        what: &str,
        action: fn(&mut dyn Contestant) -> Outcome<Duration>,
    ) -> Outcome {
        for (machine, is_busy) in [("idle", false), ("busy", true)] {
            let _load = is_busy.then(Load::start).transpose()?;
            for (pace, gap) in [("back to back", Duration::ZERO), ("with gaps of 30 ms", GAP)] {
                let mut taken = self.take_turns(gap, action)?;
                let ours = taken.pop().ok_or("nobody took part")?;
                for (peer, other) in self.peers.iter().map(|peer| peer.name()).zip(&taken) {
                    let about = |kind| format!("{what}, {kind}, {machine} machine, {pace}");
                    let time = Figure::new(about("time"), &ours.wall).beside(peer, &other.wall);
                    let processor =
                        Figure::new(about("processor"), ours.processor).beside(peer, other.processor);
                    for (kind, figure) in [("time", time), ("processor", processor)] {
                        let id = format!("{what}-{kind}-{peer}-{machine}");
                        // Not every peer is one that something is promised of.
                        let is_promised = promises::limit(&id).is_ok();
                        report.note(if is_promised { figure.promised(&id)? } else { figure });
                    }
                }
            }
        }
        Ok(())
    }

    /// Everybody's, ours last.
    fn take_turns(
        &mut self,
        gap: Duration,
        action: fn(&mut dyn Contestant) -> Outcome<Duration>,
    ) -> Outcome<Vec<Taken>> {
        let Contest { peers, ours, groups } = self;
        let mut all: Vec<&mut dyn Contestant> = peers.iter_mut().map(|peer| peer.as_mut() as _).collect();
        all.push(ours);
        let mut walls: Vec<Samples> = all.iter().map(|_| Samples::default()).collect();
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
        let taken = all.iter().zip(walls).zip(used).map(|((one, wall), before)| {
            Ok(Taken { wall, processor: (one.group().used()? - before) / ROUNDS as u32 })
        });
        taken.collect()
    }
}
