//! A device that an application hosts for a virtual machine and that has failed, as errors and exits tell of it.

use hcs_schema::{AttributionRecord, Guid, VirtualDeviceFailure, VirtualDeviceFailureDetail};
use serde::{Deserialize, Serialize};

/// Such a device, and in which phase it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFailure {
    /// The phase.
    pub phase: VirtualDeviceFailureDetail,
    /// What kind of device it is.
    pub class: Guid,
    /// Which device.
    pub instance: Guid,
}

impl DeviceFailure {
    /// What documents say of it.
    pub fn attribution(&self) -> AttributionRecord {
        AttributionRecord {
            virtual_device_failure: Some(VirtualDeviceFailure {
                detail: Some(self.phase),
                name: Some("FlexibleIov".to_owned()),
                device_id: Some(self.class),
                instance_id: Some(self.instance),
            }),
            ..Default::default()
        }
    }
}
