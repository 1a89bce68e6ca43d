//! `hcs-bench run`: measurements one after the other, each in a process of its own, so that none begins with what another has
//! left; a file for each, and at the end what became of every promise.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    Outcome, facts, find,
    measurements::MEASUREMENTS,
    promises::{self, Held},
    report::Report,
    specification,
};

/// What is asked for.
struct Request<'a> {
    measurements: Vec<&'a str>,
    into: PathBuf,
    is_kept: bool,
    /// Whether a promise that SPECIFICATION.md says is not kept may be broken.
    is_content_with_known: bool,
}

impl<'a> Request<'a> {
    fn parse(words: &[&'a str]) -> Outcome<Request<'a>> {
        let mut request = Request {
            measurements: Vec::new(),
            into: facts::root().join("target/bench"),
            is_kept: false,
            is_content_with_known: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--keep" => request.is_kept = true,
                "--known" => request.is_content_with_known = true,
                "--into" => request.into = words.next().ok_or("--into takes a folder")?.into(),
                name => request.measurements.push(find(name)?.name),
            }
        }
        if request.measurements.is_empty() {
            request.measurements = MEASUREMENTS.iter().map(|one| one.name).collect();
        }
        Ok(request)
    }
}

/// Does it.
pub fn run(words: &[&str]) -> Outcome {
    let request = Request::parse(words)?;
    fs::create_dir_all(&request.into)?;
    println!("{}", facts::machine().line());
    let (mut reports, mut failed) = (Vec::new(), Vec::new());
    for name in &request.measurements {
        let file = request.into.join(format!("{name}.json"));
        println!("\n== {name}");
        let began = Instant::now();
        match apart(name, &file) {
            Ok(report) => reports.push(report),
            Err(error) => {
                println!("{name}: {error}");
                failed.push(*name);
            }
        }
        println!("== {name} took {:.0} s", began.elapsed().as_secs_f64());
    }
    let before = if request.is_content_with_known { specification::last()? } else { Vec::new() };
    if request.is_kept {
        keep(&reports)?;
    }
    verdict(&reports, &failed, &before)
}

/// Has it done by another process. What that has written counts, not how it ends: a promise that is not kept is an error, too.
fn apart(name: &str, file: &Path) -> Outcome<Report> {
    if file.exists() {
        fs::remove_file(file)?;
    }
    let status = Command::new(env::current_exe()?).args([name, "--json"]).arg(file).status()?;
    match file.exists() {
        true => Report::read(file),
        false => Err(format!("it has failed ({status})").into()),
    }
}

/// Writes them to the tree, and the specification with them.
fn keep(reports: &[Report]) -> Outcome {
    for report in reports {
        report.write(&specification::measured().join(format!("{}.json", report.measurement)))?;
    }
    specification::write()
}

/// Tells every promise that was measured, and all that was missing. A promise that is broken, and was kept before or is new, is an
/// error.
fn verdict(reports: &[Report], failed: &[&str], before: &[Report]) -> Outcome {
    println!("\n== promises");
    let mut broken = 0;
    for promise in promises::all() {
        let Held::Measured { limit, .. } = promise.held else { continue };
        let Some((values, is_kept)) = specification::told(promise, reports) else { continue };
        let was_broken = matches!(specification::told(promise, before), Some((_, false)));
        let word = match (is_kept, was_broken) {
            (true, _) => "kept",
            (false, true) => "not kept, as before",
            (false, false) => "NOT KEPT",
        };
        println!("{word:<19} {:<28} {values} ({limit})", promise.id);
        broken += usize::from(!is_kept && !was_broken);
    }
    for report in reports {
        for (peer, why) in &report.absent {
            println!("{}: {peer} was left out: {why}", report.measurement);
        }
    }
    for name in failed {
        println!("{name} has failed");
    }
    match (broken, failed.len()) {
        (0, 0) => Ok(()),
        (broken, failed) => {
            Err(format!("{broken} promises are not kept, {failed} measurements have failed").into())
        }
    }
}
