//! Properties of a system: query and answer.
//!
//! Queries come from clients; `Properties` is written by the service and always has id and type.

use crate::macros::{choices, documents};
use crate::{
    Any, GuestConnectionInfo, Guid, MemoryInformationForVm, NotificationType, OsType, ProcessDetails,
    ResultError, SharedMemoryRegionInfo, State, Statistics, SystemType,
};
use std::collections::BTreeMap;

documents! {
    /// Input of HcsGetComputeSystemProperties; none = basic properties.
    pub struct SystemPropertyQuery = "System_PropertyQuery" {
        /// Old-style list.
        "PropertyTypes" 2.1 property_types: Vec<SystemPropertyType>,
        /// Name → query body; answers land in Properties.PropertyResponses.
        "Queries" 2.5 queries: BTreeMap<String, Any>,
    }

    /// Result of HcsGetComputeSystemProperties; array element of HcsEnumerateComputeSystems.
    pub struct Properties {
        /// System id; always present.
        "Id" 2.1 id: String,
        /// Kind; always present.
        "SystemType" 2.1 system_type: SystemType,
        /// Guest OS family.
        "RuntimeOsType" 2.1 runtime_os_type: OsType,
        /// Name.
        "Name" 2.1 name: String,
        /// Owner string.
        "Owner" 2.1 owner: String,
        /// GUID of the system.
        "RuntimeId" 2.1 runtime_id: Guid,
        /// Template id.
        "RuntimeTemplateId" 2.1 runtime_template_id: String,
        /// State; omitted for a created, never-started VM.
        "State" 2.1 state: State,
        /// Already stopped.
        "Stopped" 2.1 stopped: bool,
        /// How it ended.
        "ExitType" 2.1 exit_type: NotificationType,
        /// For PropertyType Memory.
        "Memory" 2.1 memory: MemoryInformationForVm,
        /// For PropertyType Statistics.
        "Statistics" 2.1 statistics: Statistics,
        /// For PropertyType ProcessList.
        "ProcessList" 2.1 process_list: Vec<ProcessDetails>,
        /// For the same-named PropertyType.
        "TerminateOnLastHandleClosed" 2.1 terminate_on_last_handle_closed: bool,
        /// Hosting system.
        "HostingSystemId" 2.1 hosting_system_id: String,
        /// For PropertyType SharedMemoryRegion.
        "SharedMemoryRegionInfo" 2.1 shared_memory_region_info: Vec<SharedMemoryRegionInfo>,
        /// For PropertyType GuestConnection.
        "GuestConnectionInfo" 2.1 guest_connection_info: GuestConnectionInfo,
        /// Name → PropertyResponse for entries of System_PropertyQuery.Queries.
        "PropertyResponses" 2.5 property_responses: BTreeMap<String, PropertyResponse>,
        /// For the same-named PropertyType; hvsocket address of a hosted container.
        "SystemGUID" client system_guid: Guid,
        /// For the same-named PropertyType.
        "GuestMemory" client guest_memory: Any,
        /// For the same-named PropertyType.
        "ICHeartbeatStatus" client ic_heartbeat_status: Any,
        /// For the same-named PropertyType.
        "ContainerCredentialGuard" client container_credential_guard: Any,
        /// For the same-named PropertyType.
        "ProcessorTopology" client processor_topology: Any,
        /// For the same-named PropertyType.
        "CpuGroup" client cpu_group: Any,
        /// For the same-named PropertyType.
        "MappedVirtualDisk" client mapped_virtual_disk: Any,
    }

    /// Answer to one named query: exactly one member is set.
    pub struct PropertyResponse {
        /// Set when the property could not be read.
        "Error" 2.5 error: ResultError,
        /// Set on success; type depends on the property.
        "Response" 2.5 response: Any,
    }
}

choices! {
    /// Property of a system.
    pub enum SystemPropertyType = "System_PropertyType" {
        2.1:
            /// Fills Properties.Memory.
            Memory,
            /// Fills Properties.Statistics.
            Statistics,
            /// Fills Properties.ProcessList.
            ProcessList,
            /// Fills the same-named member.
            TerminateOnLastHandleClosed,
            /// Fills Properties.SharedMemoryRegionInfo.
            SharedMemoryRegion,
            /// Fills Properties.GuestConnectionInfo.
            GuestConnection;
        client:
            /// Fills the same-named member of Properties.
            SystemGUID,
            /// Fills the same-named member of Properties.
            GuestMemory,
            /// Fills the same-named member of Properties.
            ICHeartbeatStatus,
            /// Fills the same-named member of Properties.
            ContainerCredentialGuard,
            /// Fills the same-named member of Properties.
            ProcessorTopology,
            /// Fills the same-named member of Properties.
            CpuGroup,
            /// Fills the same-named member of Properties.
            MappedVirtualDisk;
    }
}
