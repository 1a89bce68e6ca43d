//! Who may use which hvsocket service.
//!
//! Security descriptors are SDDL text; the engine judges them, this crate does not.

use crate::Guid;
use crate::kind::Keyed;
use crate::macros::documents;
use std::collections::BTreeMap;

documents! {
    /// hvsocket of a VM.
    pub struct VirtualMachineHvSocket = "VirtualMachine_HvSocket" {
        /// ACLs and service table.
        "HvSocketConfig" 2.1 hv_socket_config: HvSocketSystemConfig,
    }

    /// Access to the hvsocket services of a system.
    pub struct HvSocketSystemConfig {
        /// SDDL for binds to services not in the table (non-wildcard).
        "DefaultBindSecurityDescriptor" 2.0 default_bind_security_descriptor: String,
        /// SDDL for connects to services not in the table.
        "DefaultConnectSecurityDescriptor" 2.0 default_connect_security_descriptor: String,
        /// Service GUID → override.
        "ServiceTable" 2.0 service_table: BTreeMap<String, HvSocketServiceConfig>
            as Keyed<Guid, HvSocketServiceConfig>,
    }

    /// Per-service override.
    pub struct HvSocketServiceConfig {
        /// SDDL checked when a host process binds; default DefaultBindSecurityDescriptor.
        "BindSecurityDescriptor" 2.0 bind_security_descriptor: String,
        /// SDDL checked when a host process connects; default DefaultConnectSecurityDescriptor.
        "ConnectSecurityDescriptor" 2.0 connect_security_descriptor: String,
        /// Allow wildcard-VM binds (ACL'd by a host registry key).
        "AllowWildcardBinds" 2.0 allow_wildcard_binds: bool,
        /// The service is off; without descriptors: delete the entry.
        "Disabled" client disabled: bool,
    }

    /// Guest request body: addresses applied by the guest service at each start / restore.
    pub struct HvSocketAddress {
        /// Address of the guest itself.
        "LocalAddress" 2.1 local_address: Guid,
        /// Address of its parent.
        "ParentAddress" 2.1 parent_address: Guid,
    }
}
