//! What the engine asks of the applications that are devices: to have a device served, started, stopped and given up, with a
//! limit to each, and an error that says which device and which application is to blame.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use hcs_core::{Cause, Error};
use hcs_ipc::device_host::{Ask, Said};
use hcs_machine::{DeviceHosts, NotStarted, plan::HostedDevice};
use hcs_schema::{Guid, VirtualDeviceFailureDetail};

use super::{
    Shared,
    host::tamed,
    hosts::{Hosts, Silence},
};

/// How long it may take until a device is served: hcsd waits 45 s for a device that comes, and QEMU needs some of them.
pub const TO_SERVE: Duration = Duration::from_secs(20);
/// How long of that applications may take to say which of them has it.
const TO_FIND: Duration = Duration::from_secs(5);
/// How long they may take to start devices, all of a call together: hcsd waits 20 s for a machine to go on, and for QEMU's part
/// of that up to 10 s go by.
const TO_START: Duration = Duration::from_secs(8);
/// How long they may take to stop devices, or to give one up.
const TO_STOP: Duration = Duration::from_secs(4);

impl DeviceHosts for Shared {
    fn serve(&mut self, device: &HostedDevice, listener: OwnedFd) -> Result<(), Error> {
        use VirtualDeviceFailureDetail::{FinishReservingResources, Initialize};
        let hosts = &mut *self.0.borrow_mut();
        let (instance, class, configuration) = (device.instance, device.class, device.configuration.clone());
        let deadline = Instant::now() + TO_SERVE;
        let host = find(hosts, device)?;
        hosts.comes_anew(instance);
        let ask = Ask::Serve { instance, class, configuration };
        let asked = vec![(host, ask, vec![listener])];
        match hosts.ask(asked, deadline.saturating_duration_since(Instant::now())).pop() {
            Some(Ok(Said::Done)) if hosts.host_of(instance) == Some(host) => Ok(()),
            Some(Ok(Said::Failed(failure))) => {
                let error = tamed(&failure);
                let detail = format!("the device {instance} of class {class}: {}", error.detail);
                Err(Error { detail, ..error }.of_device(device.failure(Initialize)))
            }
            Some(Err(Silence::Late)) => {
                hosts.leave(host, Ask::Remove { instance });
                Err(silent(device).of_device(device.failure(Initialize)))
            }
            Some(Ok(Said::Done | Said::NotHere) | Err(Silence::Gone)) | None => {
                let detail =
                    format!("the application of the device {instance} of class {class} has given it up");
                Err(Error::new(Cause::Unexpected, detail).of_device(device.failure(FinishReservingResources)))
            }
        }
    }

    fn has(&mut self, instance: Guid) -> bool {
        self.0.borrow().host_of(instance).is_some()
    }

    fn start(&mut self, instances: &[Guid]) -> Vec<Result<(), NotStarted>> {
        let mut hosts = self.0.borrow_mut();
        let hosted: Vec<Option<u64>> = instances.iter().map(|instance| hosts.host_of(*instance)).collect();
        let asks = instances
            .iter()
            .zip(&hosted)
            .filter_map(|(instance, host)| Some(((*host)?, Ask::Start { instance: *instance }, Vec::new())));
        // It may be slow to stop, and is not to lose its device for that.
        let mut answers = hosts.ask_and_wait(asks.collect(), TO_START, true).into_iter();
        let silent = |cause, detail| Err(NotStarted { error: Error::new(cause, detail), is_silent: true });
        let each = instances.iter().zip(hosted).map(|(instance, host)| {
            match host.and_then(|_| answers.next()).unwrap_or(Err(Silence::Gone)) {
                Ok(Said::Done) => Ok(()),
                Ok(Said::NotHere) => {
                    silent(Cause::Unexpected, format!("the machine has hung up on the device {instance}"))
                }
                Err(Silence::Gone) => {
                    silent(Cause::Unexpected, format!("the application of the device {instance} is gone"))
                }
                Ok(Said::Failed(failure)) => {
                    let error = tamed(&failure);
                    let detail = format!("starting the device {instance}: {}", error.detail);
                    Err(NotStarted { error: Error { detail, ..error }, is_silent: false })
                }
                Err(Silence::Late) => {
                    let detail = format!("the application of the device {instance} does not start it");
                    silent(Cause::DeadlineExceeded, detail)
                }
            }
        });
        each.collect()
    }

    fn stop(&mut self, instances: &[Guid]) {
        let mut hosts = self.0.borrow_mut();
        let asks = instances
            .iter()
            .filter_map(|instance| Some((hosts.host_of(*instance)?, Ask::Stop { instance: *instance })));
        let asks = asks.collect();
        hosts.tell(asks, TO_STOP);
    }

    fn fail(&mut self, instance: Guid, why: &str) {
        let mut hosts = self.0.borrow_mut();
        let Some(host) = hosts.host_of(instance) else { return };
        hosts.fail(host, instance, why);
        hosts.leave(host, Ask::Remove { instance });
    }

    fn remove(&mut self, instance: Guid) {
        let mut hosts = self.0.borrow_mut();
        if let Some(host) = hosts.host_of(instance) {
            hosts.give_up(host, instance);
            hosts.tell(vec![(host, Ask::Remove { instance })], TO_STOP);
        }
        hosts.forget(instance);
    }
}

/// The host that has this device: all that might are asked at once. One that is late hinders nobody else.
fn find(hosts: &mut Hosts, device: &HostedDevice) -> Result<u64, Error> {
    use VirtualDeviceFailureDetail::{FinishReservingResources, Initialize};
    let HostedDevice { instance, class, is_restricted, .. } = device;
    let kind = if *is_restricted { "restricted device hosts" } else { "device hosts" };
    let candidates = hosts.of_kind(*is_restricted);
    let has = Ask::Has { instance: *instance, class: *class };
    let asks = candidates.iter().map(|id| (*id, has.clone(), Vec::new())).collect();
    let answers = hosts.ask(asks, TO_FIND);
    let is_late = answers.iter().any(|answer| matches!(answer, Err(Silence::Late)));
    let answers = candidates.into_iter().zip(answers);
    let claimants: Vec<u64> =
        answers.filter(|(_, answer)| matches!(answer, Ok(Said::Done))).map(|(id, _)| id).collect();
    match claimants[..] {
        [host] => Ok(host),
        [] if is_late => Err(silent(device).of_device(device.failure(Initialize))),
        [] => {
            let among = hosts.of_kind(*is_restricted).len();
            let detail = format!(
                "no application has the device {instance} of class {class}, which the machine needs to finish reserving resources; it has {among} {kind}"
            );
            Err(Error::new(Cause::Unexpected, detail)
                .hint("Create the device instance (HdvCreateDeviceInstance) before the machine starts or the device is added.")
                .of_device(device.failure(FinishReservingResources)))
        }
        _ => {
            let detail = format!("{} {kind} have the device {instance} of class {class}", claimants.len());
            Err(Error::new(Cause::Unexpected, detail)
                .hint("Give each device instance a GUID of its own.")
                .of_device(device.failure(FinishReservingResources)))
        }
    }
}

fn silent(HostedDevice { instance, class, .. }: &HostedDevice) -> Error {
    let detail = format!("the application that has the device {instance} of class {class} does not answer");
    Error::new(Cause::DeadlineExceeded, detail)
}
