//! Integration services of a virtual machine.
//!
//! Switches in the create document, and the properties that report on them.

use crate::StateOverride;
use crate::macros::{choices, documents};
use std::collections::BTreeMap;

documents! {
    /// Integration services; absent members are off.
    pub struct Services {
        /// Heartbeat.
        "Heartbeat" 2.5 heartbeat: Heartbeat,
        /// Needed for ShutdownMechanism IntegrationService.
        "Shutdown" 2.5 shutdown: Shutdown,
        /// Guest clock sync.
        "Timesync" 2.5 timesync: Timesync,
        /// Key-value pairs.
        "KvpExchange" 2.5 kvp_exchange: KvpExchange,
    }

    /// Heartbeat service. Has no members; present = on.
    pub struct Heartbeat {}

    /// Shutdown service. Has no members; present = on.
    pub struct Shutdown {}

    /// Clock synchronisation. Has no members; present = on.
    pub struct Timesync {}

    /// Exchange of key-value pairs with the guest.
    pub struct KvpExchange {
        /// Publish host OS facts to the guest.
        "EnableHostOSInfoKvpItems" 2.5 enable_host_os_info_kvp_items: StateOverride,
        /// Pairs to publish.
        "EntriesToBeAdded" 2.5 entries_to_be_added: BTreeMap<String, String>,
        /// Keys to withdraw.
        "EntriesToBeRemoved" 2.5 entries_to_be_removed: Vec<String>,
    }

    /// Query body for KVP.
    pub struct KvpQuery {
        /// Which pool to read.
        "Source" 2.5 source: KvpSource,
        /// Keys wanted.
        "Keys" 2.5 keys: Vec<String>,
    }

    /// Response for an integration-component property.
    pub struct IntegrationComponentStatus {
        /// Component is configured.
        "IsEnabled" 2.5 is_enabled: bool,
        /// Operational state.
        "State" 2.5 state: IntegrationComponentOperationalState,
        /// Why it is in that state.
        "Reason" 2.5 reason: IntegrationComponentOperatingStateReason,
    }

    /// A time zone and its daylight saving rules, as in the Win32 structure.
    pub struct TimeZoneInformation {
        /// Minutes west of UTC.
        "Bias" 2.1 bias: i32,
        /// Name.
        "StandardName" 2.1 standard_name: String,
        /// Change-over.
        "StandardDate" 2.1 standard_date: SystemTime,
        /// Extra minutes.
        "StandardBias" 2.1 standard_bias: i32,
        /// Name.
        "DaylightName" 2.1 daylight_name: String,
        /// Change-over.
        "DaylightDate" 2.1 daylight_date: SystemTime,
        /// Extra minutes.
        "DaylightBias" 2.1 daylight_bias: i32,
    }

    /// A date and time, or a yearly rule for one, as in the Win32 structure.
    pub struct SystemTime {
        /// Year (0 in recurring rules).
        "Year" 2.1 year: u16,
        /// 1–12.
        "Month" 2.1 month: u16,
        /// 0 = Sunday.
        "DayOfWeek" 2.1 day_of_week: u16,
        /// Day, or week number in recurring rules.
        "Day" 2.1 day: u16,
        /// Hour.
        "Hour" 2.1 hour: u16,
        /// Minute.
        "Minute" 2.1 minute: u16,
        /// Second.
        "Second" 2.1 second: u16,
        /// Milliseconds.
        "Milliseconds" 2.1 milliseconds: u16,
    }
}

choices! {
    /// Pool of key-value pairs.
    pub enum KvpSource {
        2.5:
            /// Pool written by host.
            KvpSetByHost,
            /// Pool written by guest.
            KvpSetByGuest,
            /// Guest OS facts.
            GuestOSInfo;
    }

    /// State of an integration service.
    pub enum IntegrationComponentOperationalState {
        2.5: Unknown, Degraded, Dormant, Error, LostCommunication, NonRecoverableError, NoContact, Ok;
    }

    /// Why an integration service is in its state.
    pub enum IntegrationComponentOperatingStateReason {
        2.5:
            Unknown, AppsInCriticalState, CommunicationTimedOut, FailedCommunication, HealthyApps,
            ProtocolMismatch;
    }
}
