//! Network of containers and virtual machines.
//!
//! With the Linux additions that say what Windows leaves to its network service.

use crate::macros::{choices, documents};
use crate::{Guid, MacAddress};

documents! {
    /// Network of a container.
    pub struct Networking {
        /// Resolve single-label names.
        "AllowUnqualifiedDnsQuery" 2.0 allow_unqualified_dns_query: bool,
        /// Comma-separated suffixes.
        "DnsSearchList" 2.0 dns_search_list: String,
        /// Container whose network is shared.
        "NetworkSharedContainerName" 2.0 network_shared_container_name: String,
        /// Network namespace: a GUID on Windows, text on Linux.
        "Namespace" 2.0 namespace: String,
        /// Endpoint GUIDs.
        "NetworkAdapters" 2.0 network_adapters: Vec<Guid>,
        /// Linux addition: how the container is attached to the host network.
        "Linux" linux linux: NetworkLinux,
    }

    /// A network adapter of a VM.
    pub struct NetworkAdapter {
        /// HNS endpoint to connect.
        "EndpointId" 2.0 endpoint_id: Guid,
        /// MAC (AA-BB-CC-DD-EE-FF).
        "MacAddress" 2.0 mac_address: MacAddress,
        /// Device instance id override.
        "InstanceId" 2.4 instance_id: Guid,
        /// Lower latency at higher per-interrupt cost.
        "DisableInterruptBatching" 2.4 disable_interrupt_batching: bool,
        /// SR-IOV offload.
        "IovSettings" 2.4 iov_settings: IovSettings,
        /// On Update: connect, disconnect or change in place.
        "ConnectionState" 2.4 connection_state: StateOverride,
        /// Whether the adapter is connected (guest-side copy).
        "IsConnected" client is_connected: bool,
        /// Virtual switch (guest-side copy).
        "SwitchId" client switch_id: String,
        /// Port on the virtual switch (guest-side copy).
        "PortId" client port_id: String,
        /// Linux addition: how the adapter is attached to the host.
        "Linux" linux linux: NetworkLinux,
    }

    /// SR-IOV offload of a network adapter.
    pub struct IovSettings {
        /// IOV weight; 0 = off.
        "OffloadWeight" 2.4 offload_weight: u32,
        /// Queue pairs wanted.
        "QueuePairsRequested" 2.4 queue_pairs_requested: u32,
        /// Moderation mode.
        "InterruptModeration" 2.4 interrupt_moderation: InterruptModerationMode,
    }

    /// Linux addition: how a container or adapter is attached to the host network.
    pub struct NetworkLinux {
        /// Kind of attachment.
        "Mode" linux mode: NetworkMode,
        /// Name of the tap or bridge.
        "Name" linux name: String,
        /// Network namespace: a name, or a path such as /run/netns/web.
        "Namespace" linux namespace: String,
    }
}

choices! {
    /// How interrupts of an adapter are coalesced.
    pub enum InterruptModerationMode {
        2.4: Default, Adaptive, Off, Low, Medium, High;
    }

    /// A setting that may be left to the system.
    pub enum StateOverride {
        2.4:
            /// System default.
            Default,
            Disabled,
            Enabled;
    }

    /// Linux addition: ways to attach to the host network.
    pub enum NetworkMode {
        linux:
            /// The host's own network.
            Host,
            /// A tap device, given by name.
            Tap,
            /// A bridge, given by name.
            Bridge,
            /// An existing network namespace.
            Namespace,
            /// User-mode networking without privileges.
            User;
    }
}
