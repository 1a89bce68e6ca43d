//! How a compute system ended, and the SystemExitStatus document that tells it.

use hcs_schema::{
    AttributionRecord, ExitInitiator, GuestCrash, NotificationType, SystemExit, SystemExitDetail,
    SystemExitStatus, TripleFault, WorkerExit, WorkerExitDetail, WorkerExitType,
};
use serde::{Deserialize, Serialize};

use crate::{cause::Cause, device_failure::DeviceFailure, hresult::HResult};

/// Every way in which a compute system ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// A client asked for shutdown and the guest complied.
    ShutDownByClient,
    /// A client asked for shutdown, the guest did not comply in time and was killed.
    ShutDownForced,
    /// The guest shut itself down.
    ShutDownByGuest,
    /// A client terminated the system.
    TerminatedByClient,
    /// The service stopped the system on its own account.
    TerminatedByService,
    /// The memory limit of the system was hit and its first process was killed.
    OutOfMemory,
    /// The guest reset itself, and the document says that it ends then.
    StoppedOnReset,
    /// The guest crashed.
    GuestCrashed {
        /// Codes that the guest reported.
        parameters: Vec<u64>,
    },
    /// A processor of the guest met a fault while it reported a fault, and the document says that a reset is the end.
    TripleFault,
    /// The first process of the container was killed from outside or died of an error.
    InitDied {
        /// Its wait status: exit code, or 128 + signal.
        code: u32,
    },
    /// The virtual machine that it was in has ended.
    HostEnded,
    /// The worker vanished, and the system with it.
    WorkerDied {
        /// Its exit code where it is known: exit code, or 128 + signal.
        code: Option<u32>,
    },
    /// It ended in one of these ways, and devices that applications host for it had failed before.
    AfterDeviceFailures {
        /// How it ended.
        exit: Box<Exit>,
        /// The devices.
        failures: Vec<DeviceFailure>,
    },
}

impl Exit {
    /// The same end, after these devices had failed.
    pub fn after(self, failures: Vec<DeviceFailure>) -> Exit {
        match failures.is_empty() {
            true => self,
            false => Exit::AfterDeviceFailures { exit: Box::new(self), failures },
        }
    }

    /// Whether the end was asked for or orderly.
    pub fn is_expected(&self) -> bool {
        self.notification_type() != NotificationType::UnexpectedExit
    }

    /// The class that clients look at.
    pub fn notification_type(&self) -> NotificationType {
        match self {
            Exit::ShutDownByClient | Exit::ShutDownByGuest | Exit::StoppedOnReset => {
                NotificationType::GracefulExit
            }
            Exit::ShutDownForced | Exit::TerminatedByClient | Exit::TerminatedByService => {
                NotificationType::ForcedExit
            }
            Exit::OutOfMemory
            | Exit::GuestCrashed { .. }
            | Exit::TripleFault
            | Exit::InitDied { .. }
            | Exit::HostEnded
            | Exit::WorkerDied { .. } => NotificationType::UnexpectedExit,
            Exit::AfterDeviceFailures { exit, .. } => exit.notification_type(),
        }
    }

    /// What a call gets that was pending when the system ended.
    pub fn cause_for_pending(&self, starting: bool) -> Cause {
        match (starting, self.is_expected()) {
            (true, _) => Cause::TerminatedDuringStart,
            (false, true) => Cause::Terminated,
            (false, false) => Cause::UnexpectedExit,
        }
    }

    /// The document of the SystemExited event.
    pub fn status(&self) -> SystemExitStatus {
        let bare = match self {
            Exit::AfterDeviceFailures { exit, .. } => exit,
            exit => exit,
        };
        let status = match bare {
            Exit::OutOfMemory => Cause::OutOfMemory.hresult(),
            _ if self.is_expected() => HResult::S_OK,
            _ => Cause::UnexpectedExit.hresult(),
        };
        SystemExitStatus {
            status: Some(status.0),
            exit_type: Some(self.notification_type()),
            attribution: Some(self.attribution()),
        }
    }

    fn attribution(&self) -> Vec<AttributionRecord> {
        let system_exit = |detail, initiator| AttributionRecord {
            system_exit: Some(SystemExit { detail: Some(detail), initiator: Some(initiator) }),
            ..Default::default()
        };
        match self {
            Exit::ShutDownByClient | Exit::ShutDownForced => {
                vec![system_exit(SystemExitDetail::Shutdown, ExitInitiator::Client)]
            }
            Exit::ShutDownByGuest => vec![system_exit(SystemExitDetail::Shutdown, ExitInitiator::GuestOS)],
            Exit::TerminatedByClient => vec![system_exit(SystemExitDetail::Terminate, ExitInitiator::Client)],
            Exit::TerminatedByService => {
                vec![system_exit(SystemExitDetail::ServiceStop, ExitInitiator::Internal)]
            }
            Exit::OutOfMemory | Exit::InitDied { .. } => {
                vec![system_exit(SystemExitDetail::UnexpectedExit, ExitInitiator::GuestOS)]
            }
            Exit::HostEnded => vec![system_exit(SystemExitDetail::UnexpectedExit, ExitInitiator::Internal)],
            Exit::StoppedOnReset => vec![
                AttributionRecord {
                    worker_exit: Some(WorkerExit {
                        exit_code: Some(0),
                        type_: Some(WorkerExitType::StoppedOnReset),
                        detail: None,
                        initiator: Some(ExitInitiator::GuestOS),
                    }),
                    ..Default::default()
                },
                system_exit(SystemExitDetail::Shutdown, ExitInitiator::GuestOS),
            ],
            Exit::GuestCrashed { parameters } => vec![
                AttributionRecord {
                    guest_crash: Some(GuestCrash { crash_parameters: Some(parameters.clone()) }),
                    ..Default::default()
                },
                system_exit(SystemExitDetail::UnexpectedExit, ExitInitiator::GuestOS),
            ],
            Exit::TripleFault => vec![
                AttributionRecord { triple_fault: Some(TripleFault::default()), ..Default::default() },
                system_exit(SystemExitDetail::UnexpectedExit, ExitInitiator::GuestOS),
            ],
            Exit::WorkerDied { code } => vec![
                AttributionRecord {
                    worker_exit: Some(WorkerExit {
                        exit_code: *code,
                        type_: Some(WorkerExitType::UnexpectedStop),
                        detail: Some(WorkerExitDetail::ProcessUnexpectedExit),
                        initiator: Some(ExitInitiator::Unknown),
                    }),
                    ..Default::default()
                },
                system_exit(SystemExitDetail::UnexpectedExit, ExitInitiator::Internal),
            ],
            Exit::AfterDeviceFailures { exit, failures } => {
                let failed = failures.iter().map(DeviceFailure::attribution);
                failed.chain(exit.attribution()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminated_system_reports_a_forced_exit_by_the_client() {
        let text = serde_json::to_string(&Exit::TerminatedByClient.status()).unwrap();
        assert_eq!(
            text,
            r#"{"Status":0,"ExitType":"ForcedExit","Attribution":[{"SystemExit":{"Detail":"Terminate","Initiator":"Client"}}]}"#
        );
    }

    #[test]
    fn every_end_has_its_class_its_status_and_its_author() {
        use ExitInitiator::{Client, GuestOS, Internal};
        use NotificationType::{ForcedExit, GracefulExit, UnexpectedExit};
        use SystemExitDetail as Detail;
        let unexpected = Cause::UnexpectedExit.hresult().0;
        let no_memory = Cause::OutOfMemory.hresult().0;
        let crashed = Exit::GuestCrashed { parameters: vec![1, 2] };
        let expected = [
            (Exit::ShutDownByClient, GracefulExit, 0, Detail::Shutdown, Client),
            (Exit::ShutDownForced, ForcedExit, 0, Detail::Shutdown, Client),
            (Exit::ShutDownByGuest, GracefulExit, 0, Detail::Shutdown, GuestOS),
            (Exit::TerminatedByClient, ForcedExit, 0, Detail::Terminate, Client),
            (Exit::TerminatedByService, ForcedExit, 0, Detail::ServiceStop, Internal),
            (Exit::StoppedOnReset, GracefulExit, 0, Detail::Shutdown, GuestOS),
            (Exit::OutOfMemory, UnexpectedExit, no_memory, Detail::UnexpectedExit, GuestOS),
            (crashed, UnexpectedExit, unexpected, Detail::UnexpectedExit, GuestOS),
            (Exit::TripleFault, UnexpectedExit, unexpected, Detail::UnexpectedExit, GuestOS),
            (Exit::InitDied { code: 1 }, UnexpectedExit, unexpected, Detail::UnexpectedExit, GuestOS),
            (Exit::HostEnded, UnexpectedExit, unexpected, Detail::UnexpectedExit, Internal),
            (Exit::WorkerDied { code: None }, UnexpectedExit, unexpected, Detail::UnexpectedExit, Internal),
        ];
        for (exit, class, code, detail, initiator) in expected {
            let status = exit.status();
            assert_eq!((status.exit_type, status.status), (Some(class), Some(code)), "{exit:?}");
            let author = SystemExit { detail: Some(detail), initiator: Some(initiator) };
            let told: Vec<_> =
                status.attribution.unwrap().into_iter().filter_map(|one| one.system_exit).collect();
            assert_eq!(told, [author], "{exit:?}");
        }
    }

    #[test]
    fn what_was_the_guests_own_doing_is_told_beside_its_end() {
        let first = |exit: Exit| exit.status().attribution.unwrap().remove(0);
        let crash = first(Exit::GuestCrashed { parameters: vec![1, 2] }).guest_crash.unwrap();
        assert_eq!(crash.crash_parameters, Some(vec![1, 2]));
        assert!(first(Exit::TripleFault).triple_fault.is_some());
        let reset = first(Exit::StoppedOnReset).worker_exit.unwrap();
        assert_eq!((reset.exit_code, reset.type_), (Some(0), Some(WorkerExitType::StoppedOnReset)));
    }

    #[test]
    fn a_call_that_was_pending_learns_how_the_system_ended() {
        assert_eq!(Exit::TerminatedByClient.cause_for_pending(true), Cause::TerminatedDuringStart);
        assert_eq!(Exit::TerminatedByClient.cause_for_pending(false), Cause::Terminated);
        assert_eq!(Exit::OutOfMemory.cause_for_pending(false), Cause::UnexpectedExit);
    }

    #[test]
    fn a_vanished_worker_is_never_a_success() {
        let status = Exit::WorkerDied { code: Some(137) }.status();
        assert_eq!(status.exit_type, Some(NotificationType::UnexpectedExit));
        assert_eq!(status.status, Some(Cause::UnexpectedExit.hresult().0));
        let worker = status.attribution.unwrap()[0].worker_exit.clone().unwrap();
        assert_eq!(worker.exit_code, Some(137));
    }

    #[test]
    fn devices_that_failed_before_are_told_beside_the_end() {
        use hcs_schema::{Guid, VirtualDeviceFailureDetail};
        let failure = DeviceFailure {
            phase: VirtualDeviceFailureDetail::None,
            class: Guid::from_bytes([1; 16]),
            instance: Guid::from_bytes([2; 16]),
        };
        assert_eq!(Exit::OutOfMemory.after(Vec::new()), Exit::OutOfMemory);
        let exit = Exit::TerminatedByClient.after(vec![failure]);
        let status = exit.status();
        assert_eq!(status.exit_type, Some(NotificationType::ForcedExit));
        assert_eq!(status.status, Some(0));
        let attribution = status.attribution.unwrap();
        let device = attribution[0].virtual_device_failure.clone().unwrap();
        assert_eq!((device.device_id, device.instance_id), (Some(failure.class), Some(failure.instance)));
        assert!(attribution[1].system_exit.is_some());
        assert_eq!(Exit::OutOfMemory.after(vec![failure]).status().status, Exit::OutOfMemory.status().status);
        let text = serde_json::to_string(&exit).unwrap();
        assert_eq!(serde_json::from_str::<Exit>(&text).unwrap(), exit);
    }
}
