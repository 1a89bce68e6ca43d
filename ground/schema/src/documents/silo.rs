//! Silo definitions: how Windows virtualises the namespaces of a container.
//!
//! Accepted in containers for the sake of completeness; nothing on Linux reads them.

use crate::macros::{choices, documents};
use crate::{Guid, RegistryNamespace};

documents! {
    /// Silo definition root.
    pub struct ContainersDefContainer = "ContainersDef_Container" {
        /// Namespace virtualisation rules.
        "namespace" 2.3 namespace: Namespace,
    }

    /// Silo definition: what device assignment merges into a container.
    pub struct ContainersDefDevice = "ContainersDef_Device" {
        /// Device extensions.
        "device_extension" 2.3 device_extension: Vec<DeviceExtension>,
    }

    /// Silo definition: one file bound under several roots.
    pub struct ContainersDefBatchedBinding = "ContainersDef_BatchedBinding" {
        /// Backing path.
        "filepath" 2.3 filepath: String,
        /// Roots under which it appears.
        "bindingroots" 2.3 bindingroots: Vec<String>,
    }

    /// Silo definition: one member per virtualised namespace.
    pub struct Namespace {
        /// Job object.
        "job" 2.3 job: JobNamespace,
        /// File system.
        "filesystem" 2.3 filesystem: FilesystemNamespace,
        /// Mount manager.
        "mountmgr" 2.3 mountmgr: MountManagerNamespace,
        /// Pipes.
        "namedpipe" 2.3 namedpipe: NamedPipeNamespace,
        /// Object manager.
        "ob" 2.3 ob: ObjectNamespace,
        /// Registry.
        "registry" 2.3 registry: RegistryNamespace,
        /// Network.
        "network" 2.3 network: NetworkNamespace,
        /// Devices.
        "device" 2.3 device: DeviceNamespace,
        /// Host files.
        "hostfiles" 2.3 hostfiles: HostFiles,
    }

    /// Silo definition: job object.
    pub struct JobNamespace {
        /// CPU limits.
        "cpu" 2.3 cpu: JobCpu,
        /// Memory limit.
        "memory" 2.3 memory: JobMemory,
        /// System root mapping.
        "systemroot" 2.3 systemroot: JobSystemRoot,
        /// What happens at end of job.
        "terminationpolicy" 2.3 terminationpolicy: JobTerminationPolicy,
        /// Allow impersonation.
        "threadimpersonation" 2.3 threadimpersonation: bool,
    }

    /// Silo definition: processor limits of a job.
    pub struct JobCpu {
        /// CPU rate.
        "rate" 2.3 rate: u32,
        /// CPU weight.
        "weight" 2.3 weight: u32,
    }

    /// Silo definition: memory limit of a job.
    pub struct JobMemory {
        /// Byte limit.
        "limit" 2.3 limit: u64,
    }

    /// Silo definition: system root of a job.
    pub struct JobSystemRoot {
        /// System root path.
        "path" 2.3 path: String,
    }

    /// Silo definition: file system.
    pub struct FilesystemNamespace {
        /// Root path.
        "path" 2.3 path: String,
        /// Isolation strength.
        "isolation" 2.3 isolation: FilesystemIsolationMode,
        /// Nesting side.
        "nesting" 2.3 nesting: FilesystemNestingMode,
        /// Layers.
        "layer" 2.3 layer: Vec<FilesystemLayer>,
        /// File bindings.
        "bindings" 2.3 bindings: Vec<ContainersDefBatchedBinding>,
    }

    /// Silo definition: layer of a file system.
    pub struct FilesystemLayer {
        /// Layer GUID.
        "identifier" 2.3 identifier: Guid,
        /// Layer path.
        "path" 2.3 path: String,
    }

    /// Silo definition: mount manager.
    pub struct MountManagerNamespace {
        /// Mount points.
        "mount_point" 2.3 mount_point: Vec<MountManagerMountPoint>,
    }

    /// Silo definition: mount point.
    pub struct MountManagerMountPoint {
        /// Mount point.
        "name" 2.3 name: String,
        /// Target.
        "path" 2.3 path: String,
    }

    /// Silo definition: named pipes.
    pub struct NamedPipeNamespace {
        /// Pipe links.
        "symlink" 2.3 symlink: Vec<NamedPipeSymlink>,
    }

    /// Silo definition: link to a named pipe.
    pub struct NamedPipeSymlink {
        /// Name inside.
        "name" 2.3 name: String,
        /// Target.
        "path" 2.3 path: String,
    }

    /// Silo definition: object manager.
    pub struct ObjectNamespace {
        /// Shadow policy.
        "shadow" 2.3 shadow: ObjectDirectoryShadow,
        /// Links.
        "symlink" 2.3 symlink: Vec<ObjectSymlink>,
        /// Directories.
        "objdir" 2.3 objdir: Vec<ObjectDirectory>,
    }

    /// Silo definition: directory of the object manager.
    pub struct ObjectDirectory {
        /// Directory name.
        "name" 2.3 name: String,
        /// Object whose security is copied.
        "clonesd" 2.3 clonesd: String,
        /// Shadow policy.
        "shadow" 2.3 shadow: ObjectDirectoryShadow,
        /// Links inside.
        "symlink" 2.3 symlink: Vec<ObjectSymlink>,
        /// Sub-directories.
        "objdir" 2.3 objdir: Vec<ObjectDirectory>,
    }

    /// Silo definition: link of the object manager.
    pub struct ObjectSymlink {
        /// Link name.
        "name" 2.3 name: String,
        /// Target.
        "path" 2.3 path: String,
        /// Where it resolves.
        "scope" 2.3 scope: ObjectSymlinkScope,
        /// Existing link to copy.
        "pathtoclone" 2.3 pathtoclone: String,
        /// Access.
        "access_mask" 2.3 access_mask: u32,
    }

    /// Silo definition: network.
    pub struct NetworkNamespace {
        /// Compartment.
        "compartment" 2.3 compartment: String,
    }

    /// Silo definition: devices.
    pub struct DeviceNamespace {
        /// Container needs the host driver store.
        "requires_driverstore" 2.3 requires_driverstore: bool,
        /// Categories.
        "device_category" 2.3 device_category: Vec<DeviceCategory>,
        /// Explicit instances.
        "device_instance" 2.3 device_instance: Vec<DeviceInstance>,
    }

    /// Silo definition: category of devices.
    pub struct DeviceCategory {
        /// Category name.
        "name" 2.3 name: String,
        /// Interface classes in it.
        "interface_class" 2.3 interface_class: Vec<InterfaceClass>,
    }

    /// Silo definition: a device.
    pub struct DeviceInstance {
        /// Device instance id.
        "id" 2.3 id: String,
        /// Location path.
        "location_path" 2.3 location_path: String,
        /// Port name.
        "port_name" 2.3 port_name: String,
        /// Interface classes exposed.
        "interface_class" 2.3 interface_class: Vec<InterfaceClass>,
    }

    /// Silo definition: what a category of devices adds to a container.
    pub struct DeviceExtension {
        /// Category that triggers the extension.
        "device_category" 2.3 device_category: DeviceCategory,
        /// What to merge into the container definition.
        "namespace" 2.3 namespace: Namespace,
    }

    /// Silo definition: class of device interfaces.
    pub struct InterfaceClass {
        /// Merge behaviour.
        "type" 2.3 type_: InterfaceClassType,
        /// Class GUID.
        "identifier" 2.3 identifier: Guid,
        /// Apply to children.
        "recurse" 2.3 recurse: bool,
    }

    /// Silo definition: files of the host.
    pub struct HostFiles {
        /// Base image.
        "base_image_path" 2.3 base_image_path: String,
        /// Scratch.
        "sandbox_path" 2.3 sandbox_path: String,
        /// Files.
        "file" 2.3 file: Vec<String>,
    }
}

choices! {
    /// How strictly a file system is isolated.
    pub enum FilesystemIsolationMode {
        2.3: Hard = "hard", Soft = "soft";
    }

    /// On which side of a nested file system a layer is.
    pub enum FilesystemNestingMode {
        2.3: Inner = "inner", Outer = "outer";
    }

    /// What the end of a job does.
    pub enum JobTerminationPolicy {
        2.3: PermanentQuiescent, KillOnHandleClose;
    }

    /// Whether a directory shadows that of the host.
    pub enum ObjectDirectoryShadow {
        2.3: False = "false", True = "true", Ifexists = "ifexists";
    }

    /// Where a link resolves.
    pub enum ObjectSymlinkScope {
        2.3: Local, Global, GlobalDropSilo;
    }

    /// Order matters: merging two entries of one class keeps the larger value.
    pub enum InterfaceClassType {
        2.3:
            /// Placeholder, takes the type of the class that triggered the merge.
            Inherit,
            /// One instance.
            DeviceInstance,
            /// All interfaces of the class.
            ClassGuid;
    }
}
