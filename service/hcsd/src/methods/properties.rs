//! Properties of systems: one by one, and listed.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt};

use base64::{Engine, engine::general_purpose::STANDARD};
use hcs_core::{Call, Cause, Error};
use hcs_ipc::{
    compute::{EnumerateComputeSystems, GetComputeSystemProperties, PropertiesReply, SystemsReply},
    worker::{Answer, Request},
};
use hcs_schema::{
    Any, ConsoleImage, ConsoleImageQuery, IntegrationComponentOperatingStateReason,
    IntegrationComponentOperationalState, IntegrationComponentStatus, OsType, Properties, PropertyResponse,
    SystemPropertyQuery, SystemPropertyType, SystemQuery,
};
use serde_json::json;

use super::{Context, Outcome, options};
use crate::{reading::read, system::System};

/// Properties of one system. The basic ones are answered from what is known here, without asking the worker.
pub async fn get(
    context: Context,
    call: GetComputeSystemProperties,
) -> Result<Outcome<PropertiesReply>, Error> {
    let system = context.session.system(call.handle)?;
    system.admits(Call::GetProperties)?;
    let mut properties = system.basic_properties();
    let text = options(call.query.as_ref());
    if text != "{}" {
        let query = read::<SystemPropertyQuery>(text)?;
        for (index, kind) in query.property_types.unwrap_or_default().into_iter().enumerate() {
            add(&system, kind, &mut properties)
                .await
                .map_err(|error| error.at(format!("$.PropertyTypes[{index}]")))?;
        }
        if let Some(queries) = query.queries {
            let mut responses = BTreeMap::new();
            for (name, query) in queries {
                let response = respond(&system, &name, &query).await;
                responses.insert(name, response);
            }
            properties.property_responses = Some(responses);
        }
    }
    let properties = Any::from_value(&properties).map_err(unwritable)?;
    Ok(PropertiesReply { properties }.into())
}

async fn add(system: &System, kind: SystemPropertyType, properties: &mut Properties) -> Result<(), Error> {
    match kind {
        SystemPropertyType::TerminateOnLastHandleClosed => {
            properties.terminate_on_last_handle_closed = Some(system.terminate_on_last_handle);
        }
        SystemPropertyType::SystemGUID => properties.system_guid = Some(system.runtime_id.0),
        SystemPropertyType::Statistics => {
            properties.statistics = ask(system, Request::Statistics).await?.statistics;
        }
        SystemPropertyType::Memory => {
            properties.memory = ask(system, Request::Memory).await?.memory;
        }
        SystemPropertyType::ProcessList => {
            properties.process_list = ask(system, Request::ProcessList).await?.process_list;
        }
        SystemPropertyType::SharedMemoryRegion if system.is_machine => {
            let answer = ask(system, Request::SharedRegions).await?;
            properties.shared_memory_region_info = answer.shared_memory_region_info;
        }
        SystemPropertyType::GuestConnection if system.is_machine => {
            properties.guest_connection_info =
                ask(system, Request::GuestConnection).await?.guest_connection_info;
            properties.runtime_os_type = Some(OsType::Linux);
        }
        SystemPropertyType::ICHeartbeatStatus if system.is_machine => {
            properties.ic_heartbeat_status = Any::from_value(&heartbeat(system).await?).ok();
        }
        other => {
            let what = if system.is_machine { "virtual machine" } else { "container" };
            return Err(Error::new(Cause::NotSupported, format!("a {what} has no property {other}")));
        }
    }
    Ok(())
}

/// Whether the guest's agent answers: one that hangs is told from one that has gone.
async fn heartbeat(system: &System) -> Result<IntegrationComponentStatus, Error> {
    use IntegrationComponentOperatingStateReason as Reason;
    use IntegrationComponentOperationalState as State;
    let (state, reason) = match system.ask(Call::GetProperties, Request::Heartbeat).await {
        Ok(_) => (State::Ok, None),
        Err(error) => match error.cause {
            Cause::DeadlineExceeded => (State::LostCommunication, Some(Reason::CommunicationTimedOut)),
            Cause::ConnectionClosed => (State::NoContact, Some(Reason::FailedCommunication)),
            _ => return Err(error),
        },
    };
    Ok(IntegrationComponentStatus { is_enabled: Some(true), state: Some(state), reason })
}

async fn ask(system: &System, request: Request) -> Result<Properties, Error> {
    match system.ask(Call::GetProperties, request).await? {
        (Answer::Document(document), _) => Ok(hcs_schema::read::<Properties>(document.get())?.value),
        _ => Err(Error::new(Cause::Unexpected, "the worker answered something else")),
    }
}

/// The answer to one named query; a failure of one does not fail the others.
async fn respond(system: &System, name: &str, query: &Any) -> PropertyResponse {
    let asked = async {
        if name == "Warnings" {
            return Any::from_value(&json!(system.warnings)).map_err(unwritable);
        }
        if name == "ConsoleImage" {
            let wanted = read::<ConsoleImageQuery>(options(Some(query)))?;
            return Any::from_value(&picture(system, &wanted).await?).map_err(unwritable);
        }
        let kind = SystemPropertyType::parse(name)
            .ok_or_else(|| Error::new(Cause::NotSupported, format!("there is no property {name:?}")))?;
        let mut properties = Properties::default();
        add(system, kind, &mut properties).await?;
        let whole = serde_json::to_value(&properties).unwrap_or_default();
        // The one member that was asked for, by itself.
        let member = whole.as_object().and_then(|members| members.values().next().cloned());
        Any::from_value(&member.unwrap_or_default()).map_err(unwritable)
    };
    match asked.await {
        Ok(response) => PropertyResponse { response: Some(response), error: None },
        Err(error) => PropertyResponse { response: None, error: Some(error.document()) },
    }
}

/// A picture of the screen, of the form PNG and as large as the screen.
async fn picture(system: &System, wanted: &ConsoleImageQuery) -> Result<ConsoleImage, Error> {
    /// Its length is in front of it.
    const WITH_LENGTH: u32 = 1;
    /// What is around it must have its place in an answer, in which four letters stand for three bytes.
    const LONGEST: u64 = 2 << 20;
    /// Where a PNG says how large it is.
    const SIZE: std::ops::Range<usize> = 16..24;
    let failed = |error: io::Error| Error::from_io(&error, "reading the picture");
    let (_, fds) = system.ask(Call::GetProperties, Request::Picture).await?;
    let file =
        fds.into_iter().next().ok_or_else(|| Error::new(Cause::Unexpected, "the worker sent no picture"))?;
    let file = File::from(file);
    let length = file.metadata().map_err(failed)?.len();
    if length > LONGEST {
        return Err(Error::new(
            Cause::NotSupported,
            format!("the picture has {length} bytes, which is too much"),
        ));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    let side = |at: usize| bytes.get(SIZE).map_or(0, |size| u16::from_be_bytes([size[at + 2], size[at + 3]]));
    let found = [side(0), side(4)];
    let wanted_size = [wanted.width, wanted.height].map(|side| side.filter(|side| *side > 0));
    if wanted_size.iter().zip(found).any(|(wanted, found)| wanted.is_some_and(|wanted| wanted != found)) {
        let detail = format!("the screen has {} times {} points, and its picture too", found[0], found[1]);
        return Err(Error::new(Cause::NotSupported, detail)
            .at("$.Width")
            .hint("Leave Width and Height out."));
    }
    if wanted.flags.unwrap_or(0) & WITH_LENGTH != 0 {
        let whole = (bytes.len() as u32 + 4).to_be_bytes();
        bytes.splice(..0, whole);
    }
    Ok(ConsoleImage::default().image(STANDARD.encode(bytes)))
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::new(Cause::Unexpected, format!("writing the properties: {error}"))
}

/// Lists the systems that a query selects.
pub async fn enumerate(
    context: Context,
    call: EnumerateComputeSystems,
) -> Result<Outcome<SystemsReply>, Error> {
    let query = read::<SystemQuery>(options(call.query.as_ref()))?;
    let systems = context
        .service
        .registry
        .all()
        .into_iter()
        .filter(|system| system.admits(Call::Open).is_ok())
        .map(|system| system.basic_properties())
        .filter(|properties| selects(&query, properties))
        .filter_map(|properties| Any::from_value(&properties).ok())
        .collect();
    Ok(SystemsReply { systems }.into())
}

/// Lists are OR within and AND across; an absent list selects everything.
fn selects(query: &SystemQuery, properties: &Properties) -> bool {
    let among = |wanted: &Option<Vec<String>>, value: &Option<String>, fold: bool| {
        wanted.as_ref().is_none_or(|wanted| {
            let value = value.as_deref().unwrap_or_default();
            wanted
                .iter()
                .any(|one| if fold { one.to_uppercase() == value.to_uppercase() } else { one == value })
        })
    };
    among(&query.ids, &properties.id, true)
        && among(&query.names, &properties.name, true)
        && among(&query.owners, &properties.owner, false)
        && query
            .types
            .as_ref()
            .is_none_or(|types| properties.system_type.is_some_and(|kind| types.contains(&kind)))
}
