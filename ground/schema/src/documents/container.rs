//! The definition of a container.
//!
//! Read by the container engine, which refuses by name what it cannot honour.

use crate::macros::{choices, documents};
use crate::{
    ContainerCredentialGuardState, ContainersDefDevice, Guid, HvSocketSystemConfig, Networking,
    OciSpecification, PathType, RegistryChanges, Storage,
};

documents! {
    /// A container: its file system, limits and what is mapped in.
    pub struct Container {
        /// Guest OS identity settings.
        "GuestOs" 2.0 guest_os: GuestOs,
        /// Layers + scratch.
        "Storage" 2.0 storage: Storage,
        /// Host directories mapped in at creation.
        "MappedDirectories" 2.0 mapped_directories: Vec<MappedDirectory>,
        /// Host pipes mapped in at creation.
        "MappedPipes" 2.0 mapped_pipes: Vec<MappedPipe>,
        /// Memory cap.
        "Memory" 2.0 memory: ContainerMemory,
        /// CPU cap.
        "Processor" 2.0 processor: ContainerProcessor,
        /// Network setup.
        "Networking" 2.0 networking: Networking,
        /// hvsocket ACLs (hosted containers inherit those of the host system).
        "HvSocket" 2.0 hv_socket: ContainerHvSocket,
        /// Credentials forwarded into the container.
        "ContainerCredentialGuard" 2.1 container_credential_guard: ContainerCredentialGuardState,
        /// Registry edits applied at creation.
        "RegistryChanges" 2.0 registry_changes: RegistryChanges,
        /// Devices assigned directly.
        "AssignedDevices" 2.1 assigned_devices: Vec<Device>,
        /// Device extensions to merge for device assignment.
        "AdditionalDeviceNamespace" 2.3 additional_device_namespace: ContainersDefDevice,
        /// HostProcess = runs without isolation from the host.
        "IsolationType" client isolation_type: String,
        /// Linux addition: OCI runtime specification (config.json) the container is made from.
        "OciSpecification" linux oci_specification: OciSpecification,
    }

    /// Identity of the operating system in a container.
    pub struct GuestOs {
        /// Computer name in the container.
        "HostName" 2.0 host_name: String,
    }

    /// Memory limit of a container.
    pub struct ContainerMemory = "Container_Memory" {
        /// Memory limit in MiB.
        "SizeInMB" 2.1 size_in_mb: u64,
    }

    /// CPU limits; Count, Maximum and Weight exclude one another.
    pub struct ContainerProcessor = "Container_Processor" {
        /// Number of host processors' worth of cycles the container gets.
        "Count" 2.0 count: u32,
        /// Relative share 0–10000.
        "Weight" 2.0 weight: i64,
        /// Hard cap in 1/10000 of total cycles (percent × 100).
        "Maximum" 2.0 maximum: i64,
    }

    /// Which hvsocket services a container may use.
    pub struct ContainerHvSocket = "Container_HvSocket" {
        /// Detailed hvsocket ACL configuration.
        "Config" 2.0 config: HvSocketSystemConfig,
        /// Let the in-guest PowerShell Direct service use hvsocket.
        "EnablePowerShellDirect" 2.0 enable_power_shell_direct: bool,
    }

    /// A host directory that appears in a container.
    pub struct MappedDirectory {
        /// Host directory.
        "HostPath" 2.0 host_path: String,
        /// How to read HostPath.
        "HostPathType" 2.1 host_path_type: PathType,
        /// Where it appears in the guest.
        "ContainerPath" 2.0 container_path: String,
        /// No guest writes.
        "ReadOnly" 2.0 read_only: bool,
        /// Allow cloud placeholder files.
        "SupportCloudFiles" 2.3 support_cloud_files: bool,
    }

    /// A host pipe that appears in a container.
    pub struct MappedPipe {
        /// Pipe name inside.
        "ContainerPipeName" 2.0 container_pipe_name: String,
        /// Host pipe path.
        "HostPath" 2.0 host_path: String,
        /// How to read HostPath.
        "HostPathType" 2.1 host_path_type: MappedPipePathType,
    }

    /// Container device assignment.
    pub struct Device {
        /// Selection method.
        "Type" 2.2 type_: DeviceType,
        /// Device-interface class (Type ClassGuid only).
        "InterfaceClassGuid" 2.1 interface_class_guid: Guid,
        /// PCI/PnP location path (Type DeviceInstance only).
        "LocationPath" 2.2 location_path: String,
    }
}

choices! {
    /// How the host path of a mapped pipe is read.
    pub enum MappedPipePathType {
        2.1:
            /// As is.
            AbsolutePath,
            /// Name under the VSMB object path.
            VirtualSmbPipeName;
    }

    /// How a device to assign is selected.
    pub enum DeviceType {
        2.2:
            ClassGuid,
            DeviceInstance,
            /// All host GPUs visible.
            GpuMirror;
    }
}
