//! The `process` object of an OCI runtime specification, added to what a document says of a process.
//!
//! Its members mean what the OCI specification says. Two things are filled in that it leaves to the runtime:
//! without `capabilities` a process has those of any other process here, and PATH is there. As the specification
//! has it, a process without `noNewPrivileges` may gain privileges by set-user-id programs, within its bounding set.

use hcs_core::{Cause, Error};
use hcs_schema::{
    OciCapabilities, OciCapability, OciIoPriority, OciIoPriorityClass, OciProcess, OciRlimit, OciScheduler,
    OciUser,
};

use crate::{
    attributes::{Capabilities, Limit},
    console,
    policy::Notice,
    process_plan::Wanted,
    said::say,
    sys::Scheduling,
};

/// Adds what stands at the path `at`.
pub(crate) fn add(
    wanted: &mut Wanted,
    process: &OciProcess,
    at: &str,
    notices: &mut Vec<Notice>,
) -> Result<(), Error> {
    let path = |member: &str| format!("{at}.{member}");
    if let Some(arguments) = process.args.clone().filter(|list| !list.is_empty()) {
        if let Some(program) = &wanted.program {
            let mut first = Some(program.clone());
            say(&mut first, arguments[0].clone(), &path("args[0]"))?;
        }
        say(&mut wanted.arguments, arguments, &path("args"))?;
    }
    add_environment(wanted, process.env.as_deref().unwrap_or_default(), &path("env"), notices)?;
    if let Some(directory) = process.cwd.clone().filter(|directory| !directory.is_empty()) {
        say(&mut wanted.working_directory, directory, &path("cwd"))?;
    }
    if let Some(terminal) = process.terminal {
        say(&mut wanted.console, terminal, &path("terminal"))?;
    }
    let size = process.console_size.as_ref().map(|size| (size.height.unwrap_or(0), size.width.unwrap_or(0)));
    if let Some((rows, columns)) = size.filter(|size| *size != (0, 0)) {
        say(&mut wanted.console_size, console::Size { rows, columns }, &path("consoleSize"))?;
    }
    if let Some(user) = &process.user {
        add_user(wanted, user, &path("user"))?;
    }
    wanted.oci = Some(at.to_owned());
    let attributes = &mut wanted.attributes;
    attributes.no_new_privileges = process.no_new_privileges.unwrap_or(false);
    if let Some(sets) = &process.capabilities {
        attributes.capabilities = Some(capabilities(sets, &path("capabilities"))?);
    }
    attributes.limits = limits(process.rlimits.as_deref().unwrap_or_default(), &path("rlimits"))?;
    attributes.apparmor_profile = match process.apparmor_profile.as_deref().unwrap_or_default() {
        "" | "unconfined" => None,
        profile if profile.len() > 4096 || profile.contains(['\0', '\n']) => {
            let detail = format!("found {profile:?}, expected the name of a profile");
            return Err(Error::new(Cause::InvalidData, detail).at(path("apparmorProfile")));
        }
        profile => Some(profile.to_owned()),
    };
    if let Some(score) = process.oom_score_adj {
        let score = i64::from(score);
        attributes.oom_score_adjustment = Some(ranged(score, -1000, 1000, &path("oomScoreAdj"))? as i32);
    }
    if let Some(scheduler) = &process.scheduler {
        attributes.scheduling = Some(scheduling(scheduler, &path("scheduler"))?);
    }
    if let Some(priority) = &process.io_priority {
        attributes.io_priority = Some(io_priority(priority, &path("ioPriority"))?);
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        let list = |text: &Option<String>, name: &str| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(|text| processors(text, &path(&format!("execCPUAffinity.{name}")))).transpose()
        };
        attributes.processors = [list(&affinity.initial, "initial")?, list(&affinity.final_, "final")?];
    }
    Ok(())
}

/// Of a name that occurs twice the last value counts, as in other runtimes.
fn add_environment(
    wanted: &mut Wanted,
    variables: &[String],
    at: &str,
    notices: &mut Vec<Notice>,
) -> Result<(), Error> {
    for (index, variable) in variables.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let Some((name, value)) = variable.split_once('=') else {
            return Err(
                Error::new(Cause::InvalidData, format!("found {variable:?}, expected NAME=value")).at(at)
            );
        };
        let again = |other: &&String| other.split_once('=').is_some_and(|other| other.0 == name);
        if variables[index + 1..].iter().any(|other| again(&other)) {
            let message = format!("{name} was accepted and has no effect: it is set again");
            notices.push(Notice { path: at, message });
            continue;
        }
        wanted.set_variable(name.to_owned(), value.to_owned(), &at)?;
    }
    Ok(())
}

fn add_user(wanted: &mut Wanted, user: &OciUser, at: &str) -> Result<(), Error> {
    let (uid, gid) = (user.uid.unwrap_or(0), user.gid.unwrap_or(0));
    match user.username.as_deref().filter(|name| !name.is_empty()) {
        Some(_) if (uid, gid) != (0, 0) => {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found a name beside the user {uid} and the group {gid}"),
            )
            .at(format!("{at}.username"))
            .hint("Name the user or number it."));
        }
        Some(name) => say(&mut wanted.user, name.to_owned(), &format!("{at}.username"))?,
        None => {
            say(&mut wanted.user, format!("{uid}:{gid}"), at)?;
            wanted.attributes.groups = Some(Vec::new());
        }
    }
    if let Some(groups) = &user.additional_gids {
        wanted.attributes.groups = Some(groups.clone());
    }
    if let Some(umask) = user.umask {
        let path = format!("{at}.umask");
        wanted.attributes.umask = ranged(i64::from(umask), 0, 0o777, &path)? as u32;
    }
    Ok(())
}

/// The sets as bits. What the kernel would refuse is told with the capability that is to blame.
pub(crate) fn capabilities(sets: &OciCapabilities, at: &str) -> Result<Capabilities, Error> {
    let bits = |list: &Option<Vec<OciCapability>>| -> u64 {
        list.iter().flatten().fold(0, |bits, capability| bits | 1 << (*capability as u32))
    };
    let made = Capabilities {
        bounding: bits(&sets.bounding),
        effective: bits(&sets.effective),
        permitted: bits(&sets.permitted),
        inheritable: bits(&sets.inheritable),
        ambient: bits(&sets.ambient),
    };
    let within = |name: &str, set: u64, outer_name: &str, outer: u64| match set & !outer {
        0 => Ok(()),
        missing => {
            let capability = OciCapability::ALL[missing.trailing_zeros() as usize];
            let detail = format!("found {capability}, which is not in {at}.{outer_name}");
            Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.{name}")))
        }
    };
    within("effective", made.effective, "permitted", made.permitted)?;
    within("ambient", made.ambient, "permitted", made.permitted)?;
    within("ambient", made.ambient, "inheritable", made.inheritable)?;
    within("inheritable", made.inheritable, "bounding", made.bounding | made.permitted)?;
    Ok(made)
}

fn limits(list: &[OciRlimit], at: &str) -> Result<Vec<Limit>, Error> {
    let mut limits: Vec<Limit> = Vec::with_capacity(list.len());
    for (index, one) in list.iter().enumerate() {
        let kind = one.type_.unwrap_or_default();
        let limit = Limit { resource: kind as u32, soft: one.soft.unwrap_or(0), hard: one.hard.unwrap_or(0) };
        if limits.iter().any(|other| other.resource == limit.resource) {
            return Err(Error::new(Cause::InvalidData, format!("found {kind} a second time"))
                .at(format!("{at}[{index}].type")));
        }
        if limit.soft > limit.hard {
            return Err(Error::new(
                Cause::InvalidData,
                format!("found {}, expected at most the hard limit {}", limit.soft, limit.hard),
            )
            .at(format!("{at}[{index}].soft")));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn scheduling(scheduler: &OciScheduler, at: &str) -> Result<Scheduling, Error> {
    let nice = i64::from(scheduler.nice.unwrap_or(0));
    let priority = i64::from(scheduler.priority.unwrap_or(0));
    let flags = scheduler.flags.iter().flatten().fold(0, |bits, flag| bits | 1u64 << (*flag as u32));
    Ok(Scheduling {
        policy: scheduler.policy.unwrap_or_default() as u32,
        flags,
        nice: ranged(nice, -20, 19, &format!("{at}.nice"))? as i32,
        priority: ranged(priority, 0, 99, &format!("{at}.priority"))? as u32,
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    })
}

fn io_priority(priority: &OciIoPriority, at: &str) -> Result<u16, Error> {
    let class = match priority.class.unwrap_or_default() {
        OciIoPriorityClass::RealTime => 1,
        OciIoPriorityClass::BestEffort => 2,
        OciIoPriorityClass::Idle => 3,
    };
    let level = i64::from(priority.priority.unwrap_or(0));
    Ok(class << 13 | ranged(level, 0, 7, &format!("{at}.priority"))? as u16)
}

/// A list like `0-3,7`.
fn processors(text: &str, at: &str) -> Result<Vec<u32>, Error> {
    const MOST: u32 = 1024;
    let number = |text: &str| text.trim().parse().ok().filter(|number| *number < MOST);
    let range = |part: &str| -> Option<(u32, u32)> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
    };
    let mut list = Vec::new();
    for part in text.split(',') {
        let (first, last) = range(part).ok_or_else(|| {
            Error::new(Cause::InvalidData, format!("found {text:?}, expected a list like 0-3,7")).at(at)
        })?;
        list.extend(first..=last);
    }
    Ok(list)
}

fn ranged(value: i64, least: i64, most: i64, at: &str) -> Result<i64, Error> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::new(Cause::InvalidData, format!("found {value}, expected {least} to {most}")).at(at))
}
