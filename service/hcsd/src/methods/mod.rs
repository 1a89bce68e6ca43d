//! The methods of `io.hcs.Compute`, a file per group, and the one place that finds a method by its name.

mod cpu_group;
pub mod creation;
mod device_hosting;
pub mod host;
mod host_report;
mod hosted_system;
pub mod introspection;
pub mod modify;
mod output;
pub mod processes;
pub mod properties;
mod restoring;
pub mod sessions;
pub mod streams;
pub mod systems;

use std::{sync::Arc, time::Instant};

use hcs_core::{Cause, Error};
use hcs_ipc::{
    compute::{self, Done, Method},
    interface, varlink,
};
use hcs_schema::Any;
use serde_json::json;
use tracing::Instrument;

use crate::{
    operations::Entered,
    reply::{Answered, Encoded, Outcome, encode, encoded},
    service::Service,
    session::Session,
};

/// What every method gets.
#[derive(Clone)]
pub struct Context {
    /// What everybody shares.
    pub service: Arc<Service>,
    /// Whose handles are meant.
    pub session: Arc<Session>,
}

impl Context {
    /// Enters a call in the table of operations, under the span of the operation.
    pub fn operation(
        &self,
        operation: Option<u64>,
        method: &'static str,
        id: &str,
    ) -> (Entered, tracing::Span) {
        let entered = self.service.operations.enter(&self.session, operation, method, Some(id.to_owned()));
        (entered, tracing::info_span!("operation", method, id, operation))
    }
}

/// Has a call done and counted.
pub async fn dispatch(
    service: &Arc<Service>,
    session: &Arc<Session>,
    method: &str,
    parameters: &Any,
) -> Encoded {
    let began = Instant::now();
    let answered = answer(service, session, method, parameters).await;
    service.metrics.calls.count(method, answered.is_ok(), began.elapsed());
    match answered {
        Ok(answer) | Err(answer) => answer,
    }
}

/// Finds the method, reads its parameters, has it done.
async fn answer(service: &Arc<Service>, session: &Arc<Session>, method: &str, parameters: &Any) -> Answered {
    let context = Context { service: service.clone(), session: session.clone() };
    macro_rules! methods {
        ($( $name:ident => $function:path; )+) => {
            match method {
                $( compute::$name::NAME => match read::<compute::$name>(parameters) {
                    Ok(call) => encode::<<compute::$name as Method>::Reply>($function(context, call).await),
                    Err(refusal) => Err(refusal),
                }, )+
                other => introspection::answer(other, parameters),
            }
        };
    }
    methods! {
        GetComputeSystemProperties => properties::get;
        CreateComputeSystem => creation::create;
        OpenComputeSystem => systems::open;
        CloseComputeSystem => systems::close;
        StartComputeSystem => systems::start;
        ShutDownComputeSystem => systems::shut_down;
        TerminateComputeSystem => systems::terminate;
        CrashComputeSystem => systems::crash;
        PauseComputeSystem => systems::pause;
        ResumeComputeSystem => systems::resume;
        SaveComputeSystem => systems::save;
        ModifyComputeSystem => modify::modify;
        EnumerateComputeSystems => properties::enumerate;
        WaitForComputeSystemExit => systems::wait_for_exit;
        GetOutput => output::get;
        OpenSerialPort => output::open_serial_port;
        HostDevices => device_hosting::host_devices;
        CreateProcess => processes::create;
        OpenProcess => processes::open;
        CloseProcess => processes::close;
        TerminateProcess => processes::terminate;
        SignalProcess => processes::signal;
        GetProcessInfo => processes::info;
        GetProcessProperties => processes::properties;
        ModifyProcess => processes::modify;
        WaitForProcessExit => processes::wait_for_exit;
        GetServiceProperties => host::properties;
        ModifyServiceSettings => host::modify;
        SubmitWerReport => host::submit_crash;
        ListCrashReports => host::list_crashes;
        GetCrashReport => host::get_crash;
        GetMachineUser => host::machine_user;
        GetHostReport => host_report::report;
        ListOperations => systems::list_operations;
        CancelOperation => systems::cancel_operation;
        CancelPendingOperation => systems::cancel_pending_operation;
        WaitForPendingOperation => systems::wait_for_pending_operation;
    }
}

/// Reads the parameters of a method. What does not fit is answered as Varlink wants it.
pub fn read<M: Method>(parameters: &Any) -> Result<M, Encoded> {
    serde_json::from_str(parameters.get()).map_err(|error| {
        let text = error.to_string();
        let named = M::PARAMETERS.iter().find(|name| text.contains(&format!("`{name}`")));
        let parameter = named.map_or(text.as_str(), |name| name);
        let name = format!("{}.InvalidParameter", interface::SERVICE);
        (encoded(varlink::encode_named_error(&name, &json!({ "parameter": parameter }))), Vec::new())
    })
}

/// The text of optional options: absent, null, "" and {} all ask for nothing.
pub fn options(options: Option<&Any>) -> &str {
    match options.map(Any::get) {
        None | Some("null" | "\"\"") => "{}",
        Some(text) => text,
    }
}

/// Options that are reserved must ask for nothing.
pub fn reserved(given: Option<&Any>) -> Result<(), Error> {
    if options(given).trim_matches(|character: char| "{} \t\r\n".contains(character)).is_empty() {
        return Ok(());
    }
    Err(Error::new(Cause::InvalidArgument, "the options of this call are reserved").hint("Pass none."))
}

/// Runs a future under a span.
pub async fn within<T>(span: tracing::Span, future: impl Future<Output = T>) -> T {
    future.instrument(span).await
}

/// A reply without members.
pub fn done() -> Outcome<Done> {
    Done {}.into()
}
