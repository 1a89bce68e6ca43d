//! The definition of a virtual machine, but for its devices and topology.
//!
//! Read by the engine that runs virtual machines.

use crate::kind::Base64;
use crate::macros::documents;
use crate::{Any, Chipset, Devices, Guid, RegistryChanges, Services, StorageQoS, Topology, Version};

documents! {
    /// A virtual machine.
    pub struct VirtualMachine {
        /// VM feature version; default newest.
        "Version" 2.5 version: Version,
        /// Treat a guest reset as stop.
        "StopOnReset" 2.0 stop_on_reset: bool,
        /// Firmware / boot.
        "Chipset" 2.0 chipset: Chipset,
        /// CPU and memory.
        "ComputeTopology" 2.0 compute_topology: Topology,
        /// Devices.
        "Devices" 2.0 devices: Devices,
        /// Integration services.
        "Services" 2.5 services: Services,
        /// State files.
        "GuestState" 2.1 guest_state: GuestState,
        /// Resume source.
        "RestoreState" 2.0 restore_state: RestoreState,
        /// Windows guest registry edits at boot.
        "RegistryChanges" 2.0 registry_changes: RegistryChanges,
        /// Storage limits.
        "StorageQoS" 2.1 storage_qos: StorageQoS,
        /// Guest service connection; when absent, start completes once the chipset is powered; when present,
        /// once the guest service connects.
        "GuestConnection" 2.1 guest_connection: GuestConnection,
        /// Where to save state when the guest crashes.
        "DebugOptions" client debug_options: DebugOptions,
        /// TPM and isolation.
        "SecuritySettings" client security_settings: SecuritySettings,
        /// Host resource partition the VM runs in.
        "ResourcePartitionId" client resource_partition_id: Guid,
        /// Role in a live migration.
        "MigrationOptions" client migration_options: MigrationOptions,
    }

    /// Omitted = all state in memory only.
    pub struct GuestState {
        /// Existing .vmgs; empty = fresh transient state.
        "GuestStateFilePath" 2.1 guest_state_file_path: String,
        /// Existing .vmrs; empty = fresh transient state.
        "RuntimeStateFilePath" 2.1 runtime_state_file_path: String,
        /// Use the files only as templates, never write back.
        "ForceTransientState" 2.1 force_transient_state: bool,
        /// How GuestStateFilePath is stored, such as FileMode.
        "GuestStateFileType" client guest_state_file_type: String,
    }

    /// Start resumes from saved state instead of booting.
    pub struct RestoreState {
        /// .vmrs to restore from.
        "SaveStateFilePath" 2.0 save_state_file_path: String,
        /// Template to clone; empty = none.
        "TemplateSystemId" 2.1 template_system_id: String,
    }

    /// Presence means: start completes only after the guest service has connected.
    pub struct GuestConnection {
        /// Talk to the guest service over vsock instead of hvsocket.
        "UseVsock" 2.1 use_vsock: bool,
        /// Keep the guest service connection open across pause.
        "UseConnectedSuspend" 2.1 use_connected_suspend: bool,
        /// Push the host time zone into the guest.
        "UseHostTimeZone" 2.4 use_host_time_zone: bool,
    }

    /// Property "GuestConnection".
    pub struct GuestConnectionInfo {
        /// Guest service's supported versions (x.y implies x.0…x.y).
        "SupportedSchemaVersions" 2.1 supported_schema_versions: Vec<Version>,
        /// Guest service protocol version.
        "ProtocolVersion" 2.1 protocol_version: u32,
        /// Free-form capabilities from the guest service.
        "GuestDefinedCapabilities" 2.1 guest_defined_capabilities: Any,
    }

    /// State files a VM writes on crashes, to be looked at with a debugger.
    pub struct DebugOptions {
        /// Saved state on a guest bugcheck.
        "BugcheckSavedStateFileName" client bugcheck_saved_state_file_name: String,
        /// Saved state on a bugcheck of which the guest wrote no dump.
        "BugcheckNoCrashdumpSavedStateFileName" client bugcheck_no_crashdump_saved_state_file_name: String,
        /// Saved state on a triple fault.
        "TripleFaultSavedStateFileName" client triple_fault_saved_state_file_name: String,
        /// Dump of the firmware.
        "FirmwareDumpFileName" client firmware_dump_file_name: String,
        /// Saved state on shutdown or reset.
        "ShutdownOrResetSavedStateFileName" client shutdown_or_reset_saved_state_file_name: String,
    }

    /// TPM and isolation of a VM.
    pub struct SecuritySettings {
        /// Give the guest a virtual TPM.
        "EnableTpm" client enable_tpm: bool,
        /// Isolation from the host.
        "Isolation" client isolation: Isolation,
    }

    /// Isolation of a confidential VM from its host. Part of SecuritySettings.
    pub struct Isolation {
        /// Hardware in use, such as SecureNestedPaging.
        "IsolationType" client isolation_type: String,
        /// Debugger host.
        "DebugHost" client debug_host: String,
        /// Debugger port.
        "DebugPort" client debug_port: i64,
        /// Data measured at launch.
        "LaunchData" client launch_data: String as Base64,
        /// Host compatibility layer in the VM.
        "HclEnabled" client hcl_enabled: bool,
    }

    /// Role of a new VM in a live migration.
    pub struct MigrationOptions {
        /// Destination = the VM waits for its state from a source.
        "Origin" client origin: String,
    }
}
