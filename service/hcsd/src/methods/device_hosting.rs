//! `HostDevices`: an application and the worker of a virtual machine are introduced to each other. What they say then passes
//! by here no more.

use hcs_core::{Call, Cause, Error};
use hcs_ipc::{
    compute::{DeviceChannel, HostDevices, Method},
    worker::{Answer, Request},
};

use super::{Context, Outcome, within};

/// Gives the caller a channel to the worker of a machine.
pub async fn host_devices(context: Context, call: HostDevices) -> Result<Outcome<DeviceChannel>, Error> {
    let system = context.session.system(call.handle)?;
    if !system.is_machine {
        return Err(Error::new(Cause::NotSupported, "a container has no devices of applications"));
    }
    let (_entered, span) = context.operation(None, HostDevices::NAME, system.id.as_str());
    let is_restricted = call.restricted == Some(true);
    within(span, async {
        let (answer, fds) = system.ask(Call::Modify, Request::HostDevices { is_restricted }).await?;
        if !matches!(answer, Answer::Channel) || fds.len() != 1 {
            return Err(Error::new(Cause::Unexpected, "the worker sent no channel"));
        }
        tracing::info!(is_restricted, "an application hosts devices");
        Ok(Outcome { reply: DeviceChannel { channel: 0 }, fds })
    })
    .await
}
