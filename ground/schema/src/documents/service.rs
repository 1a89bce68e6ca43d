//! Properties and settings of the service itself.
//!
//! Queries and requests come from clients; what they mean is the service's business.

use crate::macros::{choices, documents};
use crate::{Any, Guid, PropertyResponse, Version};
use std::collections::BTreeMap;

documents! {
    /// Input of HcsGetServiceProperties.
    pub struct ServicePropertyQuery = "Service_PropertyQuery" {
        /// Old-style list.
        "PropertyTypes" 2.1 property_types: Vec<GetPropertyType>,
        /// Name → query body (empty object when none).
        "PropertyQueries" 2.5 property_queries: BTreeMap<String, Any>,
    }

    /// Result of HcsGetServiceProperties.
    pub struct ServiceProperties {
        /// One element per requested PropertyTypes entry, in request order.
        "Properties" 2.1 properties: Vec<Any>,
        /// Name → PropertyResponse for PropertyQueries.
        "PropertyResponses" 2.5 property_responses: BTreeMap<String, PropertyResponse>,
    }

    /// Service property "Basic".
    pub struct BasicInformation {
        /// List of Version; an element A.X also implies A.0 … A.X.
        "SupportedSchemaVersions" 2.1 supported_schema_versions: Vec<Version>,
    }

    /// Service property "QoSCapabilities".
    pub struct QoSCapabilities {
        /// CPU QoS is available.
        "ProcessorQoSSupported" 2.1 processor_qos_supported: bool,
    }

    /// Service property "CpuGroup".
    pub struct CpuGroupConfigurations {
        /// All groups.
        "CpuGroups" 2.1 cpu_groups: Vec<CpuGroupConfig>,
    }

    /// A CPU group of the host.
    pub struct CpuGroupConfig {
        /// Group GUID.
        "GroupId" 2.1 group_id: Guid,
        /// LPs of the group.
        "Affinity" 2.1 affinity: CpuGroupAffinity,
        /// Property codes and values.
        "GroupProperties" 2.1 group_properties: Vec<CpuGroupProperty>,
        /// Numeric id the hypervisor uses.
        "HypervisorGroupId" 2.5 hypervisor_group_id: u64,
    }

    /// Logical processors of a CPU group.
    pub struct CpuGroupAffinity {
        /// Number of entries below.
        "LogicalProcessorCount" 2.1 logical_processor_count: u32,
        /// Host logical-processor indexes.
        "LogicalProcessors" 2.1 logical_processors: Vec<u32>,
    }

    /// Known codes: 0x00010000 CPU capacity, 0x00020000 scheduling priority, 0x00030000 idle-LP reserve.
    pub struct CpuGroupProperty {
        /// Which property.
        "PropertyCode" 2.1 property_code: u32,
        /// Its value.
        "PropertyValue" 2.1 property_value: u64,
    }

    /// Input of HcsModifyServiceSettings; one property per call.
    pub struct ModificationRequest {
        /// What to change.
        "PropertyType" 2.1 property_type: ModifyPropertyType,
        /// HostProcessorModificationRequest or ContainerCredentialGuardOperationRequest.
        "Settings" 2.1 settings: Any,
    }

    /// Settings for HcsModifyServiceSettings "CpuGroup".
    pub struct HostProcessorModificationRequest {
        /// Create / delete group or set property.
        "Operation" 2.1 operation: ModifyServiceOperation,
        /// CreateGroupOperation, DeleteGroupOperation or SetPropertyOperation.
        "OperationDetails" 2.1 operation_details: Any,
    }

    /// Binds a system to a CPU group.
    pub struct SystemProcessorModificationRequest {
        /// CPU group.
        "GroupId" 2.1 group_id: Guid,
    }

    /// OperationDetails for CreateGroup.
    pub struct CreateGroupOperation {
        /// GUID to create.
        "GroupId" 2.1 group_id: Guid,
        /// Number of LPs.
        "LogicalProcessorCount" 2.1 logical_processor_count: u32,
        /// LP indexes.
        "LogicalProcessors" 2.1 logical_processors: Vec<u32>,
    }

    /// OperationDetails for DeleteGroup.
    pub struct DeleteGroupOperation {
        /// GUID to delete.
        "GroupId" 2.1 group_id: Guid,
    }

    /// OperationDetails for SetProperty.
    pub struct SetPropertyOperation {
        /// Group GUID.
        "GroupId" 2.1 group_id: Guid,
        /// Property (see CpuGroupProperty).
        "PropertyCode" 2.1 property_code: u32,
        /// New value.
        "PropertyValue" 2.1 property_value: u64,
    }
}

choices! {
    /// Property of the service.
    pub enum GetPropertyType {
        2.1:
            /// BasicInformation.
            Basic,
            /// CpuGroupConfigurations.
            CpuGroup,
            /// ProcessorTopology.
            ProcessorTopology,
            /// ContainerCredentialGuardSystemInfo.
            ContainerCredentialGuard,
            /// QoSCapabilities.
            QoSCapabilities;
        client:
            /// Asked for by the published sample.
            Memory,
            /// ProcessorCapabilitiesInfo.
            ProcessorCapabilities;
    }

    /// Setting of the service.
    pub enum ModifyPropertyType {
        2.1:
            /// Settings: HostProcessorModificationRequest.
            CpuGroup,
            /// Settings: ContainerCredentialGuardOperationRequest.
            ContainerCredentialGuard;
    }

    /// What to do with a CPU group.
    pub enum ModifyServiceOperation {
        2.1:
            /// CreateGroupOperation.
            CreateGroup,
            /// DeleteGroupOperation.
            DeleteGroup,
            /// SetPropertyOperation.
            SetProperty;
    }
}
