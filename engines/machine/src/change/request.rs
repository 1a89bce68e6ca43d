//! What a ModifySettingRequest asks of a machine, read: the path says of what, the kind and the settings say what is to be.
//! Nothing is looked at but the request.

use hcs_container::policy::{self, Notice};
use hcs_core::{Cause, Error, RuntimeId};
use hcs_schema::{
    Any, Attachment, ComPort, Document, FlexibleIoDevice, Guid, HvSocketServiceConfig, IdleProcessorsRequest,
    ModifyRequestType, NetworkAdapter, Plan9Share, ProcessorLimits, SharedMemoryRegion, StateOverride,
    VirtualPMemDevice, VirtualPMemMapping,
};

use super::{Change, PATH, SETTINGS};
use crate::{
    plan::{adapters, disks, hosted, mapped, ports, shares, sockets, topology},
    policy::MACHINE,
};

const KIND: &str = "$.RequestType";

/// Paths of the schema that no machine of this version has, behind `VirtualMachine/`, and why.
pub const REFUSED: &[(&str, &str)] = &[
    ("ComputeTopology/Gpu", "a host of Linux gives no part of its graphics processor away"),
    (
        "ComputeTopology/Processor/CpuFrequencyPowerCap",
        "Linux limits the frequency of processors, not of machines",
    ),
    ("Devices/VirtualPci", "this version gives no device of the host to a machine"),
    ("Devices/Licensing", "it is for guests of Windows"),
    ("Devices/VirtualSmb/Shares", "a guest of Linux has no such shares"),
];

/// The parts of a request.
struct Request<'a> {
    kind: Option<ModifyRequestType>,
    settings: Option<&'a Any>,
    /// What they say without effect, as far as they have been read.
    notices: Vec<Notice>,
}

impl Change {
    /// Plans a change; the notices are of what it says without effect. The path is what follows `VirtualMachine/`.
    pub fn new(
        path: &str,
        kind: Option<ModifyRequestType>,
        settings: Option<&Any>,
        system: RuntimeId,
    ) -> Result<(Change, Vec<Notice>), Error> {
        let mut request = Request { kind, settings, notices: Vec::new() };
        let change = request.change(path, system)?;
        Ok((change, request.notices))
    }
}

impl Request<'_> {
    fn change(&mut self, path: &str, system: RuntimeId) -> Result<Change, Error> {
        let parts: Vec<&str> = path.split('/').collect();
        if let Some(socket) = path.strip_prefix("Devices/MappedPipes/") {
            return self.pipe(socket);
        }
        match parts[..] {
            ["ComputeTopology", "Memory", "SizeInMB"] => self.memory(),
            ["ComputeTopology", "Processor", "Limits"] => {
                self.is_update()?;
                Ok(Change::Share(topology::later_share(&self.read::<ProcessorLimits>()?, SETTINGS)?))
            }
            ["ComputeTopology", "Processor", "IdledProcessors"] => {
                self.is_update()?;
                let wanted = self.read::<IdleProcessorsRequest>()?;
                Ok(Change::Idle { processors: wanted.idle_processor_count.unwrap_or(0) })
            }
            ["Devices", "Scsi", controller, "Attachments", lun] => self.disk(controller, lun),
            ["Devices", "NetworkAdapters", key] => self.adapter(key, system),
            ["Devices", "VirtualPMem", "Devices", number] => self.persistent(number),
            ["Devices", "VirtualPMem", "Devices", number, "Mappings", offset] => self.mapping(number, offset),
            ["Devices", "SharedMemory", "Regions"] => self.shared(),
            ["Devices", "Plan9", "Shares"] => self.share(),
            ["Devices", "FlexibleIov", instance] => self.hosted(instance),
            ["Devices", "HvSocket", "HvSocketConfig", "ServiceTable", service] => self.service(service),
            ["Devices", "ComPorts", number] => self.serial_port(number),
            _ => Err(refusal(path)),
        }
    }
}

fn refusal(path: &str) -> Error {
    let is_it = |refused: &str| {
        path.strip_prefix(refused).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match REFUSED.iter().find(|(refused, _)| is_it(refused)) {
        Some((_, why)) => {
            Error::new(Cause::NotSupported, format!("VirtualMachine/{path} is not supported: {why}")).at(PATH)
        }
        None => Error::new(
            Cause::NotSupported,
            format!("found VirtualMachine/{path}, which nothing of this version has"),
        )
        .at(PATH),
    }
}

fn unexpected(kind: ModifyRequestType, expected: &str) -> Error {
    Error::new(Cause::InvalidData, format!("found {kind}, expected {expected}")).at(KIND)
}

impl Request<'_> {
    fn needed(&self) -> Result<&Any, Error> {
        self.settings.ok_or_else(|| {
            Error::new(Cause::InvalidData, "found nothing, expected the new value").at(SETTINGS)
        })
    }

    fn read<T: Document>(&mut self) -> Result<T, Error> {
        let reading = self.needed()?.read_at::<T>(SETTINGS)?;
        self.notices.extend(policy::admit(MACHINE, &reading)?);
        Ok(reading.value)
    }

    /// Clients leave the kind out for what is always there.
    fn is_update(&self) -> Result<(), Error> {
        match self.kind {
            None | Some(ModifyRequestType::Update) => Ok(()),
            Some(kind) => Err(unexpected(kind, "Update")),
        }
    }

    fn memory(&self) -> Result<Change, Error> {
        // Any kind will do.
        let given = self.needed()?;
        let mib = serde_json::from_str::<u64>(given.get()).map_err(|_| {
            let detail = format!("found {}, expected a number of megabytes", given.get());
            Error::new(Cause::InvalidData, detail).at(SETTINGS)
        })?;
        topology::check_memory(mib, SETTINGS)?;
        Ok(Change::Memory { mib })
    }

    fn disk(&mut self, controller: &str, lun: &str) -> Result<Change, Error> {
        let (controller, lun) = (controller.to_owned(), disks::lun(lun, PATH)?);
        let replaces = match self.kind {
            Some(ModifyRequestType::Remove) => return Ok(Change::DetachDisk { controller, lun }),
            Some(ModifyRequestType::Add) | None => false,
            Some(ModifyRequestType::Update) => true,
        };
        let disk = disks::disk(lun, &self.read::<Attachment>()?, SETTINGS)?;
        Ok(Change::AttachDisk { controller, disk, replaces })
    }

    fn adapter(&mut self, key: &str, system: RuntimeId) -> Result<Change, Error> {
        let key = key.to_owned();
        match self.kind {
            Some(ModifyRequestType::Remove) => Ok(Change::RemoveAdapter { key }),
            Some(ModifyRequestType::Add) | None => Ok(Change::AddAdapter(adapters::adapter(
                &key,
                &self.read::<NetworkAdapter>()?,
                system,
                SETTINGS,
            )?)),
            Some(ModifyRequestType::Update) => {
                let wanted = self.read::<NetworkAdapter>()?;
                if wanted.linux.is_some() || wanted.endpoint_id.is_some_and(|id| id != Guid::NIL) {
                    let detail = "an adapter stays where it is attached";
                    return Err(Error::new(Cause::NotSupported, detail)
                        .at(SETTINGS)
                        .hint("Remove it and add it again."));
                }
                let connected = wanted.connection_state != Some(StateOverride::Disabled);
                Ok(Change::ConnectAdapter { key, connected })
            }
        }
    }

    fn persistent(&mut self, number: &str) -> Result<Change, Error> {
        let number = mapped::number(number, PATH)?;
        match self.kind {
            Some(ModifyRequestType::Add) | None => {
                let device = mapped::device(number, &self.read::<VirtualPMemDevice>()?, SETTINGS)?;
                Ok(Change::AddPersistent(device))
            }
            Some(kind) => {
                let detail = format!("found {kind}, and QEMU takes no persistent memory away from a guest");
                Err(Error::new(Cause::NotSupported, detail).at(KIND).hint("It goes with the machine."))
            }
        }
    }

    fn mapping(&mut self, number: &str, offset: &str) -> Result<Change, Error> {
        let number = mapped::number(number, PATH)?;
        match self.kind {
            Some(ModifyRequestType::Add) | None => {
                let file = mapped::file(offset, &self.read::<VirtualPMemMapping>()?, SETTINGS)?;
                Ok(Change::MapPersistent { number, file })
            }
            Some(ModifyRequestType::Remove) => {
                let offset = offset.parse().map_err(|_| {
                    Error::new(Cause::InvalidData, format!("found {offset:?}, expected a number of bytes"))
                        .at(PATH)
                })?;
                Ok(Change::UnmapPersistent { number, offset })
            }
            Some(kind) => Err(unexpected(kind, "Add or Remove")),
        }
    }

    fn shared(&mut self) -> Result<Change, Error> {
        let region = self.read::<SharedMemoryRegion>()?;
        match self.kind {
            Some(ModifyRequestType::Remove) => {
                let (section, offset) =
                    (region.section_name.unwrap_or_default(), region.start_offset.unwrap_or(0));
                Ok(Change::RemoveShared { section, offset })
            }
            Some(ModifyRequestType::Add) | None => Ok(Change::AddShared(mapped::region(&region, SETTINGS)?)),
            Some(ModifyRequestType::Update) => {
                Err(Error::new(Cause::NotSupported, "shared memory is added or removed")
                    .at(KIND)
                    .hint("Remove it and add it again."))
            }
        }
    }

    fn service(&mut self, service: &str) -> Result<Change, Error> {
        sockets::port(service, PATH)?;
        if self.kind != Some(ModifyRequestType::Remove) {
            sockets::check(service, &self.read::<HvSocketServiceConfig>()?, SETTINGS)?;
        }
        Ok(Change::Service)
    }

    fn share(&mut self) -> Result<Change, Error> {
        let share = self.read::<Plan9Share>()?;
        match self.kind {
            Some(ModifyRequestType::Add) | None => Ok(Change::AddShare(shares::share(&share, SETTINGS)?)),
            Some(ModifyRequestType::Remove) => {
                let port = share.port.filter(|port| *port != 0);
                Ok(Change::RemoveShare { name: shares::name(&share, SETTINGS)?, port })
            }
            Some(ModifyRequestType::Update) => {
                Err(Error::new(Cause::NotSupported, "a share is added or removed")
                    .at(KIND)
                    .hint("Remove it and add it again."))
            }
        }
    }

    fn hosted(&mut self, instance: &str) -> Result<Change, Error> {
        let instance = hosted::instance(instance, PATH)?;
        match self.kind {
            Some(ModifyRequestType::Remove) => Ok(Change::RemoveHosted { instance }),
            Some(ModifyRequestType::Add) | None => {
                let device = hosted::device(instance, &self.read::<FlexibleIoDevice>()?, SETTINGS)?;
                Ok(Change::AddHosted(device))
            }
            Some(ModifyRequestType::Update) => {
                Err(Error::new(Cause::NotSupported, "a device of an application is added or removed")
                    .at(KIND)
                    .hint("Remove it and add it again."))
            }
        }
    }

    fn pipe(&self, socket: &str) -> Result<Change, Error> {
        // The path of a socket begins with a slash, which may have been taken for the one before it.
        let socket = format!("/{}", socket.trim_start_matches('/'));
        match self.kind {
            Some(ModifyRequestType::Add) | None => Ok(Change::MapPipe { socket }),
            Some(ModifyRequestType::Remove) => Ok(Change::UnmapPipe { socket }),
            Some(kind) => Err(unexpected(kind, "Add or Remove")),
        }
    }

    fn serial_port(&mut self, number: &str) -> Result<Change, Error> {
        let number = ports::serial_number(number, PATH)?;
        if self.kind == Some(ModifyRequestType::Remove) {
            return Ok(Change::SerialPort { number, pipe: None });
        }
        let pipe = ports::pipe(self.read::<ComPort>()?.named_pipe, format!("{SETTINGS}.NamedPipe"))?;
        Ok(Change::SerialPort { number, pipe })
    }
}

#[cfg(test)]
mod tests {
    use hcs_core::SystemId;

    use super::*;
    use crate::plan::topology::Share;

    fn planned(path: &str, kind: Option<ModifyRequestType>, settings: &str) -> Result<Change, Error> {
        let settings = Any::from_text(settings).unwrap();
        let system = SystemId::new("vm").unwrap().runtime_id();
        Change::new(path, kind, Some(&settings), system).map(|(change, _)| change)
    }

    #[test]
    fn what_settings_say_without_effect_is_told() {
        let settings = Any::from_text(r#"{"Type":"VirtualDisk","Path":"/d","Readonly":true}"#).unwrap();
        let system = SystemId::new("vm").unwrap().runtime_id();
        let (_, notices) =
            Change::new("Devices/Scsi/one/Attachments/7", None, Some(&settings), system).unwrap();
        let paths: Vec<&str> = notices.iter().map(|notice| notice.path.as_str()).collect();
        assert_eq!(paths, ["$.Settings.Readonly"]);
    }

    #[test]
    fn requests_of_clients_are_understood() {
        use ModifyRequestType::{Add, Remove, Update};
        assert_eq!(
            planned("ComputeTopology/Memory/SizeInMB", None, "4096").unwrap(),
            Change::Memory { mib: 4096 }
        );
        let share = r#"{"Limit":50000,"Weight":100,"Reservation":0}"#;
        assert_eq!(
            planned("ComputeTopology/Processor/Limits", None, share).unwrap(),
            Change::Share(Share { limit: Some(50_000), weight: Some(100) })
        );
        let disk = r#"{"Type":"VirtualDisk","Path":"/d.vhdx","ReadOnly":true}"#;
        let Change::AttachDisk { disk, replaces: false, .. } =
            planned("Devices/Scsi/one/Attachments/7", Some(Add), disk).unwrap()
        else {
            panic!("it is something else");
        };
        assert_eq!((disk.lun, disk.read_only), (7, true));
        assert_eq!(
            planned("Devices/Scsi/one/Attachments/7", Some(Remove), "{}").unwrap(),
            Change::DetachDisk { controller: "one".into(), lun: 7 }
        );
        assert_eq!(
            planned("Devices/NetworkAdapters/x", Some(Update), r#"{"ConnectionState":"Disabled"}"#).unwrap(),
            Change::ConnectAdapter { key: "x".into(), connected: false }
        );
        let path = "Devices/FlexibleIov/3F2504E0-4F89-11D3-9A0C-0305E82C3301";
        let device = r#"{"EmulatorId":"872270e1-a899-4af6-b454-7193634435ad","HostingModel":"External"}"#;
        let Change::AddHosted(device) = planned(path, Some(Add), device).unwrap() else {
            panic!("it is something else");
        };
        assert_eq!(device.class.to_string(), "872270e1-a899-4af6-b454-7193634435ad");
        assert_eq!(device.blame, SETTINGS);
        let remove = planned(path, Some(Remove), "null").unwrap();
        assert_eq!(remove, Change::RemoveHosted { instance: device.instance });
        assert!(remove.needs_guest());
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        use ModifyRequestType::{Add, Update};
        for (path, kind, settings, at, cause) in [
            ("ComputeTopology/Memory/SizeInMB", None, "4095", SETTINGS, Cause::InvalidData),
            ("ComputeTopology/Memory/SizeInMB", None, "{}", SETTINGS, Cause::InvalidData),
            ("ComputeTopology/Processor/Limits", Some(Add), "{}", KIND, Cause::InvalidData),
            (
                "ComputeTopology/Processor/Limits",
                None,
                r#"{"Reservation":1}"#,
                "$.Settings.Reservation",
                Cause::NotSupported,
            ),
            ("ComputeTopology/Gpu", Some(Update), "{}", PATH, Cause::NotSupported),
            ("Devices/Scsi/a/Attachments/64", Some(Add), "{}", PATH, Cause::InvalidData),
            ("Devices/Scsi/a/Attachments/1", Some(Add), "{}", "$.Settings.Type", Cause::NotSupported),
            (
                "Devices/NetworkAdapters/a",
                Some(Add),
                r#"{"EndpointId":"f3b0c442-98fc-4c14-9afb-f4c8996fb924"}"#,
                "$.Settings.EndpointId",
                Cause::NotSupported,
            ),
            ("Devices/ComPorts/2", Some(Update), "{}", PATH, Cause::InvalidData),
            ("Devices/FlexibleIov/share", Some(Add), "{}", PATH, Cause::InvalidData),
            (
                "Devices/FlexibleIov/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
                Some(Update),
                "{}",
                KIND,
                Cause::NotSupported,
            ),
            (
                "Devices/FlexibleIov/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
                Some(Add),
                r#"{"HostingModel":"External"}"#,
                "$.Settings.EmulatorId",
                Cause::InvalidData,
            ),
            ("Nothing/At/All", None, "{}", PATH, Cause::NotSupported),
        ] {
            let error = planned(path, kind, settings).unwrap_err();
            assert_eq!((error.path.as_deref(), error.cause), (Some(at), cause), "{path}: {}", error.detail);
        }
    }
}
