//! Credentials forwarded into containers.
//!
//! Windows accounts only: kept complete so that documents that carry them are understood and refused by name.

use crate::kind::Binary;
use crate::macros::{choices, documents};
use crate::{Any, Guid, HvSocketServiceConfig};

documents! {
    /// Credentials in use by a container and how it reaches them.
    pub struct ContainerCredentialGuardState {
        /// Authentication cookie (binary as string).
        "Cookie" 2.1 cookie: String as Binary,
        /// RPC endpoint name.
        "RpcEndpoint" 2.1 rpc_endpoint: String,
        /// Transport in use.
        "Transport" 2.1 transport: ContainerCredentialGuardTransport,
        /// Credential spec in use.
        "CredentialSpec" 2.1 credential_spec: String,
    }

    /// A running credential-guard instance.
    pub struct ContainerCredentialGuardInstance {
        /// Unique id.
        "Id" 2.1 id: String,
        /// State block to paste into Container.ContainerCredentialGuard.
        "CredentialGuard" 2.1 credential_guard: ContainerCredentialGuardState,
        /// Needed service table entry when transport is HvSocket.
        "HvSocketConfig" 2.1 hv_socket_config: ContainerCredentialGuardHvSocketServiceConfig,
    }

    /// Entry of the hvsocket service table that a credential-guard instance needs.
    pub struct ContainerCredentialGuardHvSocketServiceConfig {
        /// hvsocket service GUID to configure.
        "ServiceId" 2.1 service_id: Guid,
        /// ACLs to set for that service.
        "ServiceConfig" 2.1 service_config: HvSocketServiceConfig,
    }

    /// Service property "ContainerCredentialGuard".
    pub struct ContainerCredentialGuardSystemInfo {
        /// Running instances.
        "Instances" 2.1 instances: Vec<ContainerCredentialGuardInstance>,
    }

    /// Settings for HcsModifyServiceSettings "ContainerCredentialGuard".
    pub struct ContainerCredentialGuardOperationRequest {
        /// Add or remove an instance.
        "Operation" 2.1 operation: ContainerCredentialGuardModifyOperation,
        /// …AddInstanceRequest or …RemoveInstanceRequest.
        "OperationDetails" 2.1 operation_details: Any,
    }

    /// OperationDetails for AddInstance.
    pub struct ContainerCredentialGuardAddInstanceRequest {
        /// Unique id to give the instance.
        "Id" 2.1 id: String,
        /// Credential spec (JSON kept as a string).
        "CredentialSpec" 2.1 credential_spec: String,
        /// RPC transport to use.
        "Transport" 2.1 transport: ContainerCredentialGuardTransport,
    }

    /// OperationDetails for RemoveInstance.
    pub struct ContainerCredentialGuardRemoveInstanceRequest {
        /// Instance to remove.
        "Id" 2.1 id: String,
    }
}

choices! {
    /// What to do with a credential-guard instance.
    pub enum ContainerCredentialGuardModifyOperation {
        2.1: AddInstance, RemoveInstance;
    }

    /// How a container reaches its credentials.
    pub enum ContainerCredentialGuardTransport {
        2.1:
            /// Local RPC.
            LRPC,
            /// RPC over hvsocket.
            HvSocket;
    }
}
