//! The create document and what identifies a system.
//!
//! `ComputeSystem` is what create is given; exactly one of its three kinds of system must be set, which the
//! service checks.

use crate::macros::{choices, documents};
use crate::{Any, Container, Guid, OciSpecification, VirtualMachine};

documents! {
    /// Root document of HcsCreateComputeSystem. Exactly one of Container / VirtualMachine / HostedSystem.
    pub struct ComputeSystem {
        /// Free-form name of the creating client; filterable through SystemQuery.Owners.
        "Owner" 2.0 owner: String,
        /// Schema level the document is written against.
        "SchemaVersion" 2.0 schema_version: Version,
        /// Id of the existing system (VM) that will host HostedSystem.
        "HostingSystemId" 2.0 hosting_system_id: String,
        /// HostedSystem document for a container that runs inside another system.
        "HostedSystem" 2.0 hosted_system: Any,
        /// Container definition.
        "Container" 2.0 container: Container,
        /// VM definition.
        "VirtualMachine" 2.0 virtual_machine: VirtualMachine,
        /// Kill the system when its last HCS_SYSTEM handle is closed.
        "ShouldTerminateOnLastHandleClosed" 2.0 should_terminate_on_last_handle_closed: bool,
    }

    /// A container that runs inside another system.
    pub struct HostedSystem {
        /// Own schema version (may differ from host's).
        "SchemaVersion" 2.0 schema_version: Version,
        /// The container to run inside the hosting system.
        "Container" 2.0 container: Container,
        /// The folder in the machine that is the container's own.
        "OciBundlePath" linux oci_bundle_path: String,
        /// A folder in the machine that is the container's own.
        "ScratchDirPath" linux scratch_dir_path: String,
        /// What the container is, in the words of OCI; its paths are those of the machine.
        "OciSpecification" linux oci_specification: OciSpecification,
    }

    /// Level of the schema a document is written for, or a level that is supported.
    pub struct Version {
        /// Incompatible across values.
        "Major" 2.0 major: u32 => required,
        /// Lower is a compatible subset.
        "Minor" 2.0 minor: u32,
    }

    /// Input of HcsEnumerateComputeSystems. Lists are OR within, AND across; absent = no filter.
    pub struct SystemQuery {
        /// Ids.
        "Ids" 2.1 ids: Vec<String>,
        /// Names.
        "Names" 2.1 names: Vec<String>,
        /// Kinds.
        "Types" 2.1 types: Vec<SystemType>,
        /// Owners.
        "Owners" 2.1 owners: Vec<String>,
    }

    /// Basic properties block (newer form of the head of Properties).
    pub struct ComputeSystemProperties {
        /// System id.
        "Id" 2.5 id: String,
        /// Display name.
        "Name" 2.5 name: String,
        /// Container or VM.
        "SystemType" 2.5 system_type: SystemType,
        /// Life-cycle state.
        "State" 2.5 state: State,
        /// Owner string given at creation.
        "Owner" 2.5 owner: String,
        /// GUID form of the id (VM GUID, hvsocket VmId).
        "RuntimeId" 2.5 runtime_id: Guid,
        /// Guest OS family.
        "RuntimeOsType" 2.5 runtime_os_type: OsType,
        /// Hosting VM when hosted.
        "HostingSystemId" 2.5 hosting_system_id: String,
        /// Placeholder system with no real compute behind it.
        "IsDummy" 2.5 is_dummy: bool,
        /// Object-manager root directory of the silo.
        "ObRoot" 2.5 ob_root: String,
        /// Template the system was cloned from.
        "RuntimeTemplateId" 2.5 runtime_template_id: String,
    }
}

choices! {
    /// Kind of system.
    pub enum SystemType {
        2.1: Container, VirtualMachine;
    }

    /// Operating system family of a guest.
    pub enum OsType {
        2.1:
            /// Some clients write `""`.
            Unknown = "Unknown" or "",
            Windows,
            Linux;
    }

    /// State in the life of a system.
    pub enum State {
        2.1: Created, Running, Paused, Stopped, SavedAsTemplate, Unknown;
    }
}
