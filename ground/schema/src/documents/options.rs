//! Options of the functions that change the state of a system.
//!
//! Each function takes its own; empty text instead of options is the caller's to handle.

use crate::macros::{choices, documents};

documents! {
    /// Options of HcsStartComputeSystem.
    pub struct StartOptions {
        /// Start as the target of a live migration.
        "DestinationMigrationOptions" client destination_migration_options: DestinationMigrationOptions,
    }

    /// How the target of a live migration gets its state. Part of StartOptions.
    pub struct DestinationMigrationOptions {
        /// Connection to the source.
        "NetworkSettings" client network_settings: MigrationNetworkSettings,
    }

    /// Connection between source and target of a live migration. Part of DestinationMigrationOptions.
    pub struct MigrationNetworkSettings {
        /// The same number on both sides.
        "SessionId" client session_id: u32,
    }

    /// Options of HcsShutDownComputeSystem (newer builds; older docs say pass NULL).
    pub struct ShutdownOptions {
        /// Guest service or integration service.
        "Mechanism" 2.5 mechanism: ShutdownMechanism,
        /// Shutdown, hibernate or reboot.
        "Type" 2.5 type_: ShutdownType,
        /// Do not let applications block it.
        "Force" 2.5 force: bool,
        /// Text.
        "Reason" 2.5 reason: String,
    }

    /// Options of HcsPauseComputeSystem.
    pub struct PauseOptions {
        /// How deep to suspend.
        "SuspensionLevel" 2.0 suspension_level: PauseSuspensionLevel,
        /// Notice for hosted components.
        "HostedNotification" 2.1 hosted_notification: PauseNotification,
    }

    /// What components inside are told about a pause.
    pub struct PauseNotification {
        /// Told to in-VM components.
        "Reason" 2.1 reason: PauseReason,
    }

    /// Options of HcsSaveComputeSystem.
    pub struct SaveOptions {
        /// File or template.
        "SaveType" 2.1 save_type: SaveType,
        /// Target .vmrs (create it first).
        "SaveStateFilePath" 2.1 save_state_file_path: String,
    }

    /// Options of HcsCrashComputeSystem.
    pub struct CrashOptions {
        /// How to crash the guest.
        "Type" 2.3 type_: CrashType,
    }
}

choices! {
    /// How a guest is asked to shut down.
    pub enum ShutdownMechanism {
        2.5:
            /// Through the guest service.
            GuestConnection,
            /// Through the shutdown integration service.
            IntegrationService;
    }

    /// What a guest is asked to do.
    pub enum ShutdownType {
        2.5: Shutdown, Hibernate, Reboot;
    }

    /// Why a system is paused.
    pub enum PauseReason {
        2.1: None, Save, Template;
    }

    /// How much a pause gives up.
    pub enum PauseSuspensionLevel {
        2.0: Suspend, MemoryLow, MemoryMedium, MemoryHigh;
    }

    /// What is saved.
    pub enum SaveType {
        2.1:
            /// Memory + device state to the runtime-state file.
            ToFile,
            /// Device state to file, system becomes a clone template.
            AsTemplate;
    }

    /// How a guest is crashed.
    pub enum CrashType {
        2.3:
            /// Architecture-defined (NMI).
            CrashGuest;
    }
}
