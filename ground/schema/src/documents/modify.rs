//! Requests that change a running system, and those forwarded to its guest.
//!
//! `Settings` and `GuestRequest` stay unread here: their type follows from `ResourcePath`.

use crate::Any;
use crate::macros::{choices, documents};

documents! {
    /// Input of HcsModifyComputeSystem.
    pub struct ModifySettingRequest {
        /// What to change, such as `VirtualMachine/Devices/Plan9/Shares`; may be absent when only
        /// GuestRequest is used.
        "ResourcePath" 2.1 resource_path: String,
        /// Add / Remove / Update.
        "RequestType" 2.0 request_type: ModifyRequestType,
        /// Body determined by ResourcePath (any JSON, also a bare number).
        "Settings" 2.0 settings: Any,
        /// GuestModifySettingRequest forwarded to the guest service.
        "GuestRequest" 2.1 guest_request: Any,
    }

    /// Body of ModifySettingRequest.GuestRequest, forwarded to the guest service.
    pub struct GuestModifySettingRequest {
        /// Guest resource kind: one of ModifyResourceType or a newer one, passed on unread.
        "ResourceType" 2.1 resource_type: String,
        /// Add, Remove, Update or a newer one such as PreAdd, passed on unread.
        "RequestType" 2.1 request_type: String,
        /// Body for that resource.
        "Settings" 2.1 settings: Any,
    }

    /// Guest request: mount a disk.
    pub struct MappedVirtualDisk {
        /// Mount point in guest.
        "ContainerPath" 2.1 container_path: String,
        /// SCSI LUN that carries the disk.
        "Lun" 2.1 lun: u8,
    }
}

choices! {
    /// What to do with a resource.
    pub enum ModifyRequestType {
        2.0: Add, Remove, Update;
    }

    /// Guest resources that the schema names. Clients send newer ones too, so `GuestModifySettingRequest`
    /// takes any text.
    pub enum ModifyResourceType {
        2.0: Memory, MappedDirectory, MappedPipe, MappedVirtualDisk, CombinedLayers;
        2.1: NetworkNamespace;
        2.3: CimMount;
    }
}
