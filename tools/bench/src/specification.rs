//! SPECIFICATION.md: its tables are written from the promises and from what was measured last. What stands around them is written by
//! hand.

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use crate::{
    Outcome, facts,
    measurements::MEASUREMENTS,
    promises::{self, GROUPS, Held, Promise},
    report::Report,
    units::digits,
};

const PAGE: &str = "SPECIFICATION.md";
const BEGIN: &str = "<!-- written by `cargo xtask specification`: ";
const END: &str = "<!-- end -->";

/// The folder of what was measured last.
pub fn measured() -> PathBuf {
    facts::root().join("tools/bench/measured")
}

/// Writes the tables anew.
pub fn write() -> Outcome {
    let path = facts::root().join(PAGE);
    let page = fs::read_to_string(&path)?;
    Ok(fs::write(path, with_tables(&page, &last()?)?)?)
}

/// What was measured last.
pub fn last() -> Outcome<Vec<Report>> {
    let files = MEASUREMENTS.iter().map(|one| measured().join(format!("{}.json", one.name)));
    files.filter(|file| file.exists()).map(|file| Report::read(&file)).collect()
}

/// What reports say of a promise, and whether they keep it. `None` if they say nothing.
pub fn told(promise: &Promise, reports: &[Report]) -> Option<(String, bool)> {
    let Held::Measured { by, limit } = promise.held else { return None };
    let report = reports.iter().find(|report| report.measurement == by)?;
    let mut values = Vec::new();
    let mut is_kept = true;
    for figure in &report.figures {
        if figure.promise.as_ref().is_some_and(|verdict| verdict.id == promise.id) {
            values.push(figure.told(limit));
            // By the limit of today, which may be another than that of the run.
            is_kept &= figure.keeps(limit)?;
        }
    }
    values.dedup();
    (!values.is_empty()).then(|| (values.join(", "), is_kept))
}

/// The page with its tables as they must be.
fn with_tables(page: &str, reports: &[Report]) -> Outcome<String> {
    let mut written = String::new();
    let mut rest = page;
    let mut missing: BTreeSet<&str> = GROUPS.iter().map(|group| group.name).collect();
    missing.extend([BROKEN, OTHERS, PLACES]);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->\n").ok_or("a mark of a table does not end")?;
        let (_, after) = after.split_once(END).ok_or_else(|| format!("{name}: the table has no {END}"))?;
        if !missing.remove(name) {
            return Err(format!("{PAGE}: there is no table {name}, or it is there twice").into());
        }
        write!(written, "{before}{BEGIN}{name} -->\n\n{}\n{END}", table(name, reports))?;
        rest = after;
    }
    match missing.first() {
        None => Ok(written + rest),
        Some(name) => Err(format!("{PAGE} has no place for the table {name}").into()),
    }
}

/// The tables that belong to no group.
const BROKEN: &str = "Not kept";
const OTHERS: &str = "Measured, and not promised";
const PLACES: &str = "Where";

fn table(name: &str, reports: &[Report]) -> String {
    match name {
        BROKEN => broken(reports),
        OTHERS => others(reports),
        PLACES => places(reports),
        _ => GROUPS
            .iter()
            .filter(|group| group.name == name)
            .map(|group| rows(group.promises, reports))
            .collect(),
    }
}

/// A row for each promise.
fn rows(promises: &[Promise], reports: &[Report]) -> String {
    let mut table = "| | promised | measured | held by |\n|---|---|---|---|\n".to_owned();
    for promise in promises {
        let (limit, by) = match &promise.held {
            Held::Measured { by, limit } => (limit.to_string(), format!("`hcs-bench {by}`")),
            Held::Tested { by, figure } => ((*figure).to_owned(), format!("`{by}`")),
        };
        let found = match (told(promise, reports), &promise.held) {
            (Some((values, true)), _) => values,
            (Some((values, false)), _) => format!("**{values}**"),
            (None, Held::Measured { .. }) => "**never**".to_owned(),
            (None, Held::Tested { .. }) => String::new(),
        };
        table += &format!("| {} | {limit} | {found} | {by} |\n", promise.text);
    }
    table
}

/// The promises that the last run did not keep.
fn broken(reports: &[Report]) -> String {
    let mut table = String::new();
    for promise in promises::all() {
        if let (Held::Measured { limit, .. }, Some((values, false))) = (&promise.held, told(promise, reports))
        {
            table += &format!("- {} (`{}`): {values}; promised is {limit}.\n", promise.text, promise.id);
        }
    }
    if table.is_empty() { "All are kept.\n".to_owned() } else { table }
}

/// Figures that nothing is promised of.
fn others(reports: &[Report]) -> String {
    let mut table = "| | measured | by |\n|---|---|---|\n".to_owned();
    for report in reports {
        for figure in report.figures.iter().filter(|figure| figure.promise.is_none()) {
            table +=
                &format!("| {} | {} | `hcs-bench {}` |\n", figure.name, figure.sides(), report.measurement);
        }
    }
    table
}

/// Where, of what and beside what it was measured.
fn places(reports: &[Report]) -> String {
    let mut table = "| | commit | others that ran | beside | left out |\n|---|---|---|---|---|\n".to_owned();
    for report in reports {
        let peers = report.peers.iter().map(|(name, version)| match version.starts_with(name.as_str()) {
            true => version.clone(),
            false => format!("{name}: {version}"),
        });
        let absent = report.absent.iter().map(|(name, why)| format!("{name}: {why}"));
        let row = [
            format!("`hcs-bench {}`", report.measurement),
            report.commit.clone(),
            digits(report.others_running),
            peers.collect::<Vec<_>>().join("; "),
            absent.collect::<Vec<_>>().join("; "),
        ];
        table += &format!("| {} |\n", row.join(" | "));
    }
    let machines: BTreeSet<String> = reports.iter().map(|report| report.machine.line()).collect();
    machines.into_iter().map(|line| line + ".\n").collect::<String>() + "\n" + &table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_specification_are_as_promised_and_measured() {
        let page = fs::read_to_string(facts::root().join(PAGE)).unwrap();
        let expected = with_tables(&page, &last().unwrap()).unwrap();
        assert!(page == expected, "{PAGE} is not up to date: cargo xtask specification");
    }

    #[test]
    #[ignore = "long: a new promise takes a run of its measurement, `cargo xtask bench --keep NAME`"]
    fn every_promise_that_is_measured_has_been() {
        let reports = last().unwrap();
        let never: Vec<_> = promises::all()
            .filter(|promise| {
                matches!(promise.held, Held::Measured { .. }) && told(promise, &reports).is_none()
            })
            .map(|promise| promise.id)
            .collect();
        assert!(never.is_empty(), "{never:?}: cargo xtask bench --keep");
    }

    #[test]
    fn what_was_measured_is_of_promises_that_are_there() {
        for report in last().unwrap() {
            for verdict in report.figures.iter().filter_map(|figure| figure.promise.as_ref()) {
                assert!(promises::limit(&verdict.id).is_ok(), "{}: {}", report.measurement, verdict.id);
            }
        }
    }

    #[test]
    fn a_table_without_a_place_and_a_place_without_a_table_are_told() {
        let error = |page: &str| with_tables(page, &[]).unwrap_err().to_string();
        assert!(error("nothing").contains("has no place for the table"));
        let strange = format!("{BEGIN}Strange -->\n{END}");
        assert!(error(&strange).contains("there is no table Strange"));
    }
}
