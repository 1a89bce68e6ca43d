//! A call that does nothing: what talking to the service costs, beside a bare Unix socket echo of the same bytes.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use hcs_ipc::{
    compute::{GetComputeSystemProperties, Method, PropertiesReply},
    varlink,
};
use hcs_schema::Any;
use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    echo::Echo,
    figures::Figure,
    library::{self, Library},
    placement::Placement,
    report::Report,
    samples::{Samples, timed},
    service::Service,
};

/// Rounds in which the two take turns, so that what disturbs the machine disturbs both.
const ROUNDS: usize = 60;
const CALLS: usize = 300;

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    for placement in Placement::all()? {
        let service = placement.as_server(Service::start)?;
        // The library takes the service's socket from its environment, so it gets a process of its own.
        let output = Command::new(env::current_exe()?)
            .arg("call-with-library")
            .arg(service.folder())
            .arg(placement.to_string())
            .env("HCS_SOCKET", service.socket())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err("the part with the library failed".into());
        }
        let Taken { request, reply, echo, library } = serde_json::from_slice(&output.stdout)?;
        let echo = Samples::from_iter(echo.into_iter().map(Duration::from_nanos));
        let library = Samples::from_iter(library.into_iter().map(Duration::from_nanos));
        let name = format!("HcsGetComputeSystemProperties, {}", placement.name());
        let peer = format!("an echo of {request} and {reply} bytes");
        report.note(Figure::new(&name, &library).beside(peer, &echo).promised("call-echo")?);
        report.note(Figure::new(&name, &library).promised("call-median")?);
        report.note(
            Figure::new(format!("{name}, at 99 of 100"), library.percentile(0.99)).promised("call-late")?,
        );
    }
    Ok(())
}

/// What the part with the library says: sizes in bytes, durations in nanoseconds.
#[derive(Serialize, Deserialize)]
struct Taken {
    request: usize,
    reply: usize,
    echo: Vec<u64>,
    library: Vec<u64>,
}

/// The part that uses the library.
pub fn with_library(folder: &Path, placement: &str) -> Outcome {
    let placement: Placement = placement.parse()?;
    let library = Library::load()?;
    let system = library.create("bench", &library::document(folder))?;
    let (request, reply) = sizes(&system.properties()?)?;
    let mut taken = Taken { request, reply, echo: Vec::new(), library: Vec::new() };
    let mut echo = placement.as_server(|| Echo::start(folder, request, reply))?;
    for round in 0..=ROUNDS {
        for _ in 0..CALLS {
            taken.echo.push(timed(|| echo.call())?.as_nanos() as u64);
        }
        for _ in 0..CALLS {
            taken.library.push(timed(|| system.properties().map(drop))?.as_nanos() as u64);
        }
        if round == 0 {
            // It only warms up.
            taken.echo.clear();
            taken.library.clear();
        }
    }
    println!("{}", serde_json::to_string(&taken)?);
    Ok(())
}

/// How many bytes request and reply have on the wire, with their ends.
fn sizes(properties: &str) -> Outcome<(usize, usize)> {
    let call = GetComputeSystemProperties { handle: 1, query: None };
    let request = varlink::encode_call(GetComputeSystemProperties::NAME, &call, false)?;
    let reply = PropertiesReply { properties: Any::from_text(properties)? };
    let reply = varlink::encode_reply(&reply, false)?;
    Ok((request.len() + 1, reply.len() + 1))
}
