//! Devices that applications are for the guest.

use std::{collections::BTreeSet, slice};

use hcs_core::{Cause, DeviceFailure, Error};
use hcs_schema::{
    Devices, FlexibleIoDevice, FlexibleIoDeviceHostingModel as HostingModel, Guid, VirtualDeviceFailureDetail,
};
use serde::{Deserialize, Serialize};

use super::{PersistentDevice, Plan, SharedRegion};
use crate::devices::{MORE_SLOTS, SLOTS};

/// The first place of such devices, behind those of everything else.
pub const FIRST_SLOT: u32 = 14;

/// A device that an application is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedDevice {
    /// Which device.
    pub instance: Guid,
    /// What kind it is.
    pub class: Guid,
    /// It is of a host with fewer rights.
    pub is_restricted: bool,
    /// What it is told when it begins, in order.
    pub configuration: Vec<String>,
    /// The place that it is plugged into.
    pub slot: u32,
    /// The member that describes it.
    pub blame: String,
}

impl HostedDevice {
    /// That it has failed in this phase.
    pub fn failure(&self, phase: VirtualDeviceFailureDetail) -> DeviceFailure {
        DeviceFailure { phase, class: self.class, instance: self.instance }
    }
}

/// Plans them; nothing if the document does not say that there may be any.
pub fn plan(devices: &Devices) -> Result<Option<Vec<HostedDevice>>, Error> {
    const AT: &str = "$.VirtualMachine.Devices.FlexibleIov";
    let Some(wanted) = &devices.flexible_iov else { return Ok(None) };
    let (mut instances, mut hosted) = (BTreeSet::new(), Vec::new());
    for ((key, wanted), slot) in wanted.iter().zip(FIRST_SLOT..) {
        let at = format!("{AT}[{key:?}]");
        let instance = instance(key, &at)?;
        if !instances.insert(instance) {
            let detail = format!("found {instance} twice, in different writing");
            return Err(Error::new(Cause::InvalidData, detail).at(at));
        }
        hosted.push(HostedDevice { slot, ..device(instance, wanted, &at)? });
    }
    let most = slots(true).len();
    if hosted.len() > most {
        let detail = format!("found {} devices of applications, expected at most {most}", hosted.len());
        return Err(Error::new(Cause::InvalidData, detail).at(AT));
    }
    Ok(Some(hosted))
}

/// The instance that a key is.
pub fn instance(key: &str, at: &str) -> Result<Guid, Error> {
    key.parse().map_err(|_| {
        let detail = format!("found {key:?}, expected the GUID of the device's instance");
        Error::new(Cause::InvalidData, detail).at(at)
    })
}

/// Plans a device, for the first place.
pub fn device(instance: Guid, device: &FlexibleIoDevice, at: &str) -> Result<HostedDevice, Error> {
    let Some(class) = device.emulator_id else {
        let detail = "found no EmulatorId, expected the GUID of the device's class";
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.EmulatorId")));
    };
    let is_restricted = match device.hosting_model.unwrap_or_default() {
        HostingModel::External => false,
        HostingModel::ExternalRestricted => true,
        HostingModel::Internal => {
            let detail = "found the HostingModel Internal, which is also what a missing one stands for, and the worker has no devices of its own";
            return Err(Error::new(Cause::NotSupported, detail)
                .at(format!("{at}.HostingModel"))
                .hint("Say External, and host the device in an application."));
        }
    };
    let configuration = device.configuration.clone().unwrap_or_default();
    Ok(HostedDevice { instance, class, is_restricted, configuration, slot: FIRST_SLOT, blame: at.to_owned() })
}

/// The places for them; there are more where the document says that there may be such devices.
fn slots(is_prepared: bool) -> std::ops::Range<u32> {
    FIRST_SLOT..if is_prepared { SLOTS + MORE_SLOTS } else { SLOTS }
}

/// Refuses what cannot go on: nobody knows what an application's device was when the machine was saved.
pub fn check_not_restored(plan: &Plan, device: &HostedDevice) -> Result<(), Error> {
    if plan.restore.is_none() {
        return Ok(());
    }
    let detail = "a machine that goes on has no devices of applications when it begins";
    Err(Error::new(Cause::NotSupported, detail)
        .at(&device.blame)
        .hint("Add it when the machine has started."))
}

/// Refuses a device of a host with fewer rights where the guest writes to files of the host: such a device reads and writes all
/// that the guest has as memory.
pub fn check_rights(plan: &Plan, device: &HostedDevice) -> Result<(), Error> {
    if !device.is_restricted {
        return Ok(());
    }
    plan.shared.iter().try_for_each(|region| check_shared(slice::from_ref(device), region))?;
    let mut persistent = plan.persistent.iter().flat_map(|memory| &memory.devices);
    persistent.try_for_each(|memory| check_persistent(slice::from_ref(device), memory))
}

/// Refuses memory that is shared with the host, for the same reason.
pub fn check_shared(hosted: &[HostedDevice], region: &SharedRegion) -> Result<(), Error> {
    let what = format!("the shared memory {:?}", region.section);
    check_writable(hosted, region.writable, &what, &region.blame)
}

/// Refuses persistent memory, for the same reason.
pub fn check_persistent(hosted: &[HostedDevice], memory: &PersistentDevice) -> Result<(), Error> {
    let what = format!("the persistent memory {}", memory.number);
    check_writable(hosted, !memory.read_only, &what, &memory.blame)
}

fn check_writable(hosted: &[HostedDevice], is_writable: bool, what: &str, blame: &str) -> Result<(), Error> {
    let Some(device) = hosted.iter().find(|device| is_writable && device.is_restricted) else {
        return Ok(());
    };
    let detail = format!(
        "the guest may write to {what}, and so could the restricted host of the device {}",
        device.instance
    );
    Err(Error::new(Cause::NotSupported, detail)
        .at(blame)
        .hint("Let the guest only read it, or say External as the device's HostingModel."))
}

impl Plan {
    /// A place for one more device of an application, but for these.
    pub fn free_slot(&self, taken: &BTreeSet<u32>) -> Result<u32, Error> {
        let slots = slots(self.has_places_for_hosted);
        let most = slots.len();
        let is_free =
            |slot: &u32| !taken.contains(slot) && self.hosted.iter().all(|other| other.slot != *slot);
        slots.into_iter().find(is_free).ok_or_else(|| {
            let detail = format!("the machine has {most} devices of applications, which is the most");
            let error = Error::new(Cause::NotSupported, detail).at(crate::change::PATH);
            match self.has_places_for_hosted {
                true => error,
                false => error.hint("It has more places if its document says \"FlexibleIov\":{} in Devices."),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Content;

    const CLASS: &str = "872270E1-A899-4AF6-B454-7193634435AD";

    fn planned(entries: &str) -> Result<Option<Vec<HostedDevice>>, Error> {
        plan(&hcs_schema::read::<Devices>(&format!(r#"{{"FlexibleIov":{entries}}}"#)).unwrap().value)
    }

    fn entry(instance: u32, rest: &str) -> String {
        format!(r#""{instance:08x}-4f89-11d3-9a0c-0305e82c3301":{{"EmulatorId":"{CLASS}"{rest}}}"#)
    }

    #[test]
    fn entries_become_devices_at_places_of_their_own() {
        assert_eq!(plan(&Devices::default()), Ok(None));
        assert_eq!(planned("{}"), Ok(Some(Vec::new())));
        let first = entry(1, r#","HostingModel":"External","Configuration":["tag=share","queues=2"]"#);
        let second = entry(2, r#","HostingModel":"ExternalRestricted""#);
        let devices = planned(&format!("{{{first},{second}}}")).unwrap().unwrap();
        assert_eq!(devices[0].class, CLASS.parse().unwrap());
        assert_eq!(devices[0].instance.to_string(), "00000001-4f89-11d3-9a0c-0305e82c3301");
        assert_eq!(devices[0].configuration, ["tag=share", "queues=2"]);
        assert_eq!((devices[0].is_restricted, devices[0].slot), (false, 14));
        assert_eq!((devices[1].is_restricted, devices[1].slot), (true, 15));
        assert!(devices[1].configuration.is_empty());
    }

    #[test]
    fn restricted_hosts_are_not_beside_what_the_guest_writes_to() {
        let check = |model: &str, read_only: bool| {
            let entry = entry(1, &format!(r#","HostingModel":"{model}""#));
            let hosted = planned(&format!("{{{entry}}}")).unwrap().unwrap();
            let region = SharedRegion {
                section: "board".to_owned(),
                path: "/dev/shm/board".to_owned(),
                offset: 0,
                length: 4096,
                writable: !read_only,
                slot: 8,
                blame: "$.Regions[0]".to_owned(),
            };
            let content = Content::File { path: "/disk".to_owned(), size: None };
            let memory = PersistentDevice { number: 3, content, read_only, blame: "$.Devices[3]".to_owned() };
            [check_shared(&hosted, &region), check_persistent(&hosted, &memory)]
        };
        for allowed in [check("External", false), check("External", true), check("ExternalRestricted", true)]
        {
            assert_eq!(allowed, [Ok(()), Ok(())]);
        }
        let [shared, persistent] = check("ExternalRestricted", false).map(Result::unwrap_err);
        assert_eq!((shared.cause, persistent.cause), (Cause::NotSupported, Cause::NotSupported));
        assert!(shared.detail.contains("\"board\""), "{shared}");
        assert!(persistent.detail.contains("memory 3"), "{persistent}");
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        let upper = entry(0xa, r#","HostingModel":"External""#);
        let lower = upper.replace("0000000a", "{0000000A").replace("3301\":", "3301}\":");
        let eleven: Vec<String> = (0..11).map(|n| entry(n, r#","HostingModel":"External""#)).collect();
        for (entries, at, cause) in [
            (format!("{{{upper},{lower}}}"), "\"]", Cause::InvalidData),
            (format!("{{{}}}", eleven.join(",")), ".FlexibleIov", Cause::InvalidData),
            (format!("{{{}}}", entry(1, "")), ".HostingModel", Cause::NotSupported),
            (
                format!("{{{}}}", entry(1, r#","HostingModel":"Internal""#)),
                ".HostingModel",
                Cause::NotSupported,
            ),
            (r#"{"share":{"HostingModel":"External"}}"#.to_owned(), "[\"share\"]", Cause::InvalidData),
            (
                r#"{"3f2504e0-4f89-11d3-9a0c-0305e82c3301":{"HostingModel":"External"}}"#.to_owned(),
                ".EmulatorId",
                Cause::InvalidData,
            ),
        ] {
            let error = planned(&entries).unwrap_err();
            assert_eq!(error.cause, cause, "{error}");
            assert!(error.path.as_ref().unwrap().ends_with(at), "{error}");
        }
    }
}
