//! The life of a container, and a process in one that is there: ours beside the runtimes that are installed, taking
//! turns in one run.

use std::{env, process::Command, thread, time::Duration};

use crate::{
    Outcome,
    contestants::{Contestant, Cost, Ours, Runtime},
    figures::{Figures, heading},
    usage,
};

const ROUNDS: usize = 40;
/// The pause between two measurements, in which a machine that has nothing else to do falls asleep.
const GAP: Duration = Duration::from_millis(30);

/// Enters a view of the host in which every peer works (one of them refuses a hybrid cgroup tree), and measures there.
pub fn measure() -> Outcome {
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" cycle-inside";
    let status =
        Command::new("unshare").args(["--mount", "sh", "-c", script]).arg(env::current_exe()?).status()?;
    if status.success() { Ok(()) } else { Err("the measurement failed".into()) }
}

/// The measurement.
pub fn measure_inside() -> Outcome {
    let ours = Ours::start()?;
    let root_fs = ours.root_fs();
    let folder = root_fs.with_file_name("peers");
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(ours)];
    for program in ["crun", "runc", "youki"] {
        match Runtime::prepare(program, &folder, &root_fs)? {
            Some(runtime) => contestants.insert(contestants.len() - 1, Box::new(runtime)),
            None => println!("{program} is not installed and left out"),
        }
    }
    // Ours is last in the list, so that it is dropped last: the folder is its service's.
    let favoured = if usage::favours_dynamic_cgroups() { "on" } else { "off" };
    println!("favordynmods is {favoured}; {ROUNDS} rounds, all taking turns");
    for (what, gap) in [("back to back", Duration::ZERO), ("with gaps of 30 ms", GAP)] {
        table(&format!("container cycle, {what}"), &mut contestants, gap, |one| one.cycle())?;
        table(&format!("process in a container, {what}"), &mut contestants, gap, |one| one.exec())?;
    }
    Ok(())
}

fn table(
    title: &str,
    contestants: &mut [Box<dyn Contestant>],
    gap: Duration,
    action: impl Fn(&mut dyn Contestant) -> Outcome<Cost>,
) -> Outcome {
    let mut figures: Vec<(Figures, Duration)> = contestants.iter().map(|_| Default::default()).collect();
    for round in 0..=ROUNDS {
        for (contestant, (walls, processor)) in contestants.iter_mut().zip(&mut figures) {
            thread::sleep(gap);
            let cost = action(contestant.as_mut())?;
            // The first round only warms up.
            if round > 0 {
                walls.add(cost.wall);
                *processor += cost.processor;
            }
        }
    }
    println!("\n{title}");
    println!("{} {:>12} {:>12}", heading(), "processor", "of crun");
    let of_first = figures[0].0.percentile(0.5).as_secs_f64();
    for (contestant, (walls, processor)) in contestants.iter().zip(&figures) {
        let ratio = walls.percentile(0.5).as_secs_f64() / of_first;
        let each = processor.as_secs_f64() * 1e6 / ROUNDS as f64;
        println!("{} {each:>12.0} {ratio:>12.2}", walls.line(&contestant.name()));
    }
    Ok(())
}
