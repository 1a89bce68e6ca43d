//! Machines that go on where others were saved: what was saved is looked at before anything is made.

use std::{fs::File, io, os::fd::OwnedFd, time::Duration};

use hcs_core::{Call, Cause, Error, SystemId};
use hcs_ipc::worker::{Answer, Request};
use hcs_machine::{
    Plan, Saved,
    plan::{
        Restore,
        saved::{FILE, TEMPLATE},
    },
};
use hcs_schema::VmProcessorRequirements;
use rustix::fs::{Mode, OFlags};

use super::Context;
use crate::blocking;

/// How long the disk of a saved machine may take to give its first blocks.
const LOOK: Duration = Duration::from_secs(30);

/// Opens what a client has named: a file, and nothing at which an open waits for somebody else.
fn open(path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    Ok(file)
}

/// Fits a plan to what it is restored from. What a worker needs beside the plan.
pub async fn prepare(context: &Context, plan: &mut Plan) -> Result<Vec<OwnedFd>, Error> {
    match plan.restore.clone() {
        None => Ok(Vec::new()),
        Some(Restore::File { path }) => {
            // The worker opens it with the rights of the machine, when it starts.
            let look = move || {
                let file = open(&path).map_err(|error| Error::from_io(&error, format!("opening {path}")))?;
                Saved::open(file).map(|saved| saved.description)
            };
            let looked = tokio::time::timeout(LOOK, blocking::run(look)).await;
            let late =
                |_| Error::new(Cause::DeadlineExceeded, "what is at its beginning could not be read in time");
            let description =
                looked.map_err(late).and_then(|looked| looked?).map_err(|error| error.at(FILE))?;
            let saved: Plan = serde_json::from_value(description.plan).map_err(|error| {
                Error::new(Cause::InvalidData, format!("its plan is none of this release: {error}")).at(FILE)
            })?;
            check_processor(plan, &description.processor)?;
            plan.continue_as(&saved, FILE).map(|()| Vec::new())
        }
        Some(Restore::Template { id }) => {
            let unknown = || Error::new(Cause::NotFound, format!("there is no template {id:?}")).at(TEMPLATE);
            let template = context.service.registry.find(&SystemId::new(&id)?).ok_or_else(unknown)?;
            let asked = template.ask(Call::GetProperties, Request::Template).await;
            let (answer, files) = asked.map_err(|error| match error.cause {
                Cause::InvalidState | Cause::NotSupported => {
                    Error::new(Cause::InvalidState, format!("{id:?} is no template"))
                        .at(TEMPLATE)
                        .hint("Save it with the SaveType AsTemplate.")
                }
                _ => error.at(TEMPLATE),
            })?;
            let Answer::Template { plan: saved } = answer else {
                return Err(Error::new(Cause::Unexpected, "the worker answered something else"));
            };
            let saved: Plan = serde_json::from_str(saved.get()).map_err(|error| {
                Error::new(Cause::Unexpected, format!("the plan of the template: {error}"))
            })?;
            plan.continue_as(&saved, TEMPLATE).map(|()| files)
        }
    }
}

/// A guest goes on using what its processors could do.
fn check_processor(plan: &Plan, needed: &serde_json::Value) -> Result<(), Error> {
    let read = |value: &serde_json::Value| {
        hcs_schema::read::<VmProcessorRequirements>(&value.to_string()).map(|reading| reading.value)
    };
    let needed = read(needed)?;
    let has = plan.host.processor.as_ref().map(read).transpose()?.unwrap_or_default();
    let lacks = |needed: Option<Vec<String>>, has: Option<Vec<String>>| {
        let has = has.unwrap_or_default();
        needed.unwrap_or_default().into_iter().find(|one| !has.contains(one))
    };
    let names = |requirements: &VmProcessorRequirements| {
        let plain = requirements.processor_features.as_ref();
        let plain = plain.map(|all| all.iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>());
        let xsave = requirements.xsave_processor_features.as_ref();
        let xsave = xsave.map(|all| all.iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>());
        [plain, xsave]
    };
    let missing = names(&needed).into_iter().zip(names(&has)).find_map(|(needed, has)| lacks(needed, has));
    match missing {
        None => Ok(()),
        Some(feature) => {
            let detail = format!(
                "the machine that was saved needs the processor feature {feature}, which is not here"
            );
            Err(Error::new(Cause::NotSupported, detail).at(FILE).hint("Restore it on a host that has it."))
        }
    }
}
