//! A call that does nothing: what talking to the service costs.

use std::{env, path::Path, process::Command};

use hcs_ipc::{
    compute::{GetComputeSystemProperties, Method, PropertiesReply},
    varlink,
};
use hcs_schema::Any;

use crate::{
    Outcome,
    echo::Echo,
    figures::{Figures, heading},
    library::Library,
    placement::Placement,
    service::Service,
};

/// Rounds in which the two take turns, so that what disturbs the machine disturbs both.
const ROUNDS: usize = 60;
const CALLS: usize = 300;

/// Measures; more than `at_most` times the echo is an error.
pub fn measure(at_most: &str) -> Outcome {
    println!("{}", heading());
    for placement in Placement::all()? {
        let service = placement.as_server(Service::start)?;
        // The library takes the service's socket from its environment, so it gets a process of its own.
        let status = Command::new(env::current_exe()?)
            .arg("call-with-library")
            .arg(service.folder())
            .args([&placement.to_string(), at_most])
            .env("HCS_SOCKET", service.socket())
            .status()?;
        if !status.success() {
            return Err("the promise is not kept".into());
        }
    }
    Ok(())
}

/// The part that uses the library.
pub fn measure_with_library(folder: &Path, placement: &str, at_most: &str) -> Outcome {
    let (placement, at_most): (Placement, f64) = (placement.parse()?, at_most.parse()?);
    let (mut library_figures, mut echo_figures) = (Figures::default(), Figures::default());
    let library = Library::load()?;
    let document = format!(
        r#"{{"Owner":"bench","SchemaVersion":{{"Major":2,"Minor":1}},"ShouldTerminateOnLastHandleClosed":true,
            "Container":{{"Storage":{{"Path":{:?}}}}}}}"#,
        folder.join("rootfs")
    );
    let system = library.create("bench", &document)?;
    let properties = system.properties()?;
    let (request, reply) = sizes(&properties)?;
    let mut echo = placement.as_server(|| Echo::start(folder, request, reply))?;
    for round in 0..=ROUNDS {
        // The first round only warms up.
        let (mut of_library, mut of_echo) = (Figures::default(), Figures::default());
        let is_measured = round > 0;
        let library_figures = if is_measured { &mut library_figures } else { &mut of_library };
        let echo_figures = if is_measured { &mut echo_figures } else { &mut of_echo };
        for _ in 0..CALLS {
            echo_figures.time(|| echo.call())?;
        }
        for _ in 0..CALLS {
            library_figures.time(|| system.properties())?;
        }
    }
    let ratio = library_figures.percentile(0.5).as_secs_f64() / echo_figures.percentile(0.5).as_secs_f64();
    println!("{}", echo_figures.line(&format!("echo of {request} and {reply} bytes, {}", placement.name())));
    println!("{}", library_figures.line("HcsGetComputeSystemProperties"));
    println!("{:<44} {ratio:>9.2}", "times the echo");
    if ratio > at_most {
        return Err(
            format!("the call takes {ratio:.2} times as long as the echo; {at_most} are allowed").into()
        );
    }
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
