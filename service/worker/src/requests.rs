//! What hcsd asks, turned into calls on the system, and what it gets back.

use std::{os::fd::OwnedFd, time::Duration};

use hcs_container::{Bare, Container, console::Size};
use hcs_core::{Cause, Error, Exit};
use hcs_gcs::records::NULL_ID;
use hcs_ipc::worker::{Answer, Request};
use hcs_machine::{Machine, machine::changes::Progress};
use hcs_schema::{Any, Properties};
use serde::{Serialize, de::DeserializeOwned};

use crate::{engine::Engine, guest::Guest, properties, system::System, tracked::Ends};

/// An answer.
pub enum Answered {
    /// It is given now, with its descriptors.
    Now(Answer, Vec<OwnedFd>),
    /// It is given when the system has ended.
    AtTheEnd,
    /// The system tells it under the number of the request.
    Later,
}

impl Answered {
    /// It is done, or it is not.
    pub fn outcome(outcome: Result<(), Error>) -> Answer {
        outcome.map_or_else(|error| Answer::Failed(error.into()), |()| Answer::Done)
    }
}

/// Does what is asked under this number.
pub fn handle(system: &mut System, number: u64, request: Request, fds: Vec<OwnedFd>) -> Answered {
    match act(system, number, request, fds) {
        Ok(answered) => answered,
        Err(error) => Answered::Now(Answer::Failed(error.into()), Vec::new()),
    }
}

fn act(system: &mut System, number: u64, request: Request, fds: Vec<OwnedFd>) -> Result<Answered, Error> {
    if let Some(answered) = in_guest(system, number, &request)? {
        return Ok(answered);
    }
    match request {
        Request::Create { plan } => {
            let plan = parse(&plan)?;
            system.create(|| Ok(Engine::Container(Container::create(plan)?)))?;
        }
        Request::CreateMachine { plan } => {
            let plan = parse(&plan)?;
            let hosts = Box::new(system.device_hosts().clone());
            hcs_machine::rights::keep_own()?;
            system.create(|| Ok(Engine::Machine(Machine::create(plan, fds, hosts)?)))?;
        }
        Request::CreateBare { cgroup_parent, name } => {
            system.create(|| Ok(Engine::Bare(Bare::create(&cgroup_parent, &name)?)))?;
        }
        Request::CreateHosted { .. } => {
            return Err(Error::new(Cause::Unexpected, "a container is made in a machine that runs"));
        }
        Request::Start => {
            system.start()?;
            let awaited = system.await_guest(number).inspect_err(|_| {
                // It runs, and is of no use to who wanted to reach it.
                if let Err(error) = system.terminate(Exit::TerminatedByService) {
                    hcs_core::complain!("hcs-worker: ending a machine that has not started: {error}");
                }
            });
            if awaited? {
                return Ok(Answered::Later);
            }
        }
        Request::ShutDown { grace_milliseconds } => {
            system.shut_down(Duration::from_millis(grace_milliseconds))?;
        }
        Request::Terminate { exit } => {
            system.terminate(exit)?;
            if system.init().is_some() {
                return Ok(Answered::AtTheEnd);
            }
        }
        Request::Pause => system.freeze(true)?,
        Request::Resume => system.freeze(false)?,
        Request::Change { change } => system.change(&parse(&change)?)?,
        Request::ChangeMachine { change } => {
            if system.change_machine(&parse(&change)?, number)? == Progress::Waits {
                return Ok(Answered::Later);
            }
        }
        Request::Crash => system.crash()?,
        Request::Save { path } => system.save(path.as_deref())?,
        Request::Template => {
            let template = system.template()?;
            let plan = Any::from_value(&template.plan).unwrap_or_default();
            return Ok(Answered::Now(Answer::Template { plan }, template.files));
        }
        Request::Picture => return Ok(Answered::Now(Answer::Picture, vec![system.picture()?])),
        Request::HostDevices { is_restricted } => {
            return Ok(Answered::Now(Answer::Channel, vec![system.host_devices(is_restricted)?]));
        }
        Request::Output { process_id, follow } => {
            let end = system.hand_out_output(process_id, follow)?;
            return Ok(Answered::Now(Answer::Output, vec![end]));
        }
        Request::SerialPort { number } => {
            return Ok(Answered::Now(Answer::SerialPort, vec![system.serial_port(number)?]));
        }
        Request::Statistics => return Ok(document(&properties::statistics(system)?)),
        Request::Memory => return Ok(document(&properties::memory(system)?)),
        Request::SharedRegions => return Ok(document(&properties::shared_regions(system)?)),
        Request::GuestConnection | Request::Heartbeat | Request::GuestChange { .. } => {
            let detail = "the virtual machine has no connection to its guest";
            return Err(Error::new(Cause::NotConfigured, detail));
        }
        Request::ProcessList => return Ok(document(&properties::process_list(system)?)),
        Request::CreateProcess { plan } => return Ok(started(system.start_process(&parse(&plan)?)?)),
        Request::Signal { process_id, signal } => system.processes_mut().signal(process_id, signal)?,
        Request::ProcessInfo { process_id } => return Ok(started(system.processes_mut().ends(process_id)?)),
        Request::CloseStdin { process_id } => system.processes_mut().close_stdin(process_id)?,
        Request::ResizeConsole { process_id, rows, columns } => {
            system.processes_mut().resize(process_id, Size { rows, columns })?;
        }
        // They are the worker's own business.
        Request::Own { .. } | Request::Twin | Request::Release => {}
    }
    Ok(Answered::Now(Answer::Done, Vec::new()))
}

/// What the agent in a machine does; nothing if it is not for it.
fn in_guest(system: &mut System, number: u64, request: &Request) -> Result<Option<Answered>, Error> {
    if system.guest().is_none() {
        return Ok(None);
    }
    if matches!(request, Request::CreateProcess { .. }) {
        system.runs()?;
    }
    let Some(guest) = system.guest() else { return Ok(None) };
    match request {
        Request::Heartbeat => guest.knock(number)?,
        Request::GuestChange { request } => guest.change(number, parse(request)?)?,
        Request::GuestConnection => {
            let info = Some(guest.info()?);
            return Ok(Some(document(&Properties { guest_connection_info: info, ..Properties::default() })));
        }
        _ => return of_place(guest, NULL_ID, number, request),
    }
    Ok(Some(Answered::Later))
}

/// What the agent does in the machine itself and in containers alike.
pub fn of_place(
    guest: &mut Guest,
    of: &str,
    number: u64,
    request: &Request,
) -> Result<Option<Answered>, Error> {
    match request {
        Request::CreateProcess { plan } => guest.start_process(of, number, &parse(plan)?)?,
        Request::Signal { process_id, signal } => guest.signal(of, number, *process_id, *signal)?,
        Request::ResizeConsole { process_id, rows, columns } => {
            guest.resize(of, number, *process_id, Size { rows: *rows, columns: *columns })?;
        }
        Request::ProcessList => guest.properties(of, number, "ProcessList")?,
        Request::ProcessInfo { process_id } => return Ok(Some(started(guest.ends(of, *process_id)?))),
        Request::CloseStdin { process_id } => {
            guest.close_stdin(of, *process_id)?;
            return Ok(Some(Answered::Now(Answer::Done, Vec::new())));
        }
        _ => return Ok(None),
    }
    Ok(Some(Answered::Later))
}

/// A document for this worker.
pub fn parse<T: DeserializeOwned>(plan: &Any) -> Result<T, Error> {
    serde_json::from_str(plan.get()).map_err(|error| {
        Error::new(Cause::Unexpected, format!("the worker does not understand the plan: {error}"))
    })
}

fn document(value: &impl Serialize) -> Answered {
    Answered::Now(Answer::Document(Any::from_value(value).unwrap_or_default()), Vec::new())
}

fn started(ends: Ends) -> Answered {
    let (answer, fds) = ends.into_answer();
    Answered::Now(answer, fds)
}
