//! Crashes of a guest: what to capture and what is reported.
//!
//! Settings come from the create document; reports go into the crash events.

use crate::Guid;
use crate::macros::{choices, documents};

documents! {
    /// What is captured when the guest crashes.
    pub struct GuestCrashReporting {
        /// Windows dump settings.
        "WindowsCrashSettings" 2.0 windows_crash_settings: WindowsCrashReporting,
    }

    /// Dump a Windows guest writes to the host when it crashes.
    pub struct WindowsCrashReporting {
        /// Where the guest's dump goes.
        "DumpFileName" 2.0 dump_file_name: String,
        /// Byte cap.
        "MaxDumpSize" 2.0 max_dump_size: i64,
        /// Kind of dump, such as Full.
        "DumpType" client dump_type: String,
    }

    /// EventData of CrashInitiated / CrashReport events; also input of HcsSubmitWerReport.
    pub struct CrashReport {
        /// System that crashed.
        "SystemId" 2.1 system_id: String,
        /// Trace correlation GUID.
        "ActivityId" 2.1 activity_id: Guid,
        /// Windows dump detail; only in CrashReport events and only when GuestCrashReporting is configured
        /// and the guest is Windows.
        "WindowsCrashInfo" 2.1 windows_crash_info: WindowsCrashReport,
        /// Guest-supplied codes (Windows: bugcheck code + 4 parameters); in both event kinds.
        "CrashParameters" 2.3 crash_parameters: Vec<u64>,
        /// Text from the guest (Linux guests with Hyper-V drivers).
        "CrashLog" 2.3 crash_log: String,
        /// HRESULT of the crash-report handling itself.
        "Status" 2.4 status: i32,
        /// Opaque id reported by the guest.
        "PreOSId" 2.4 pre_os_id: u32,
        /// Guest said its dump stack could not run.
        "CrashStackUnavailable" 2.4 crash_stack_unavailable: bool,
        /// State saved at the crash.
        "GuestCrashSaveInfo" client guest_crash_save_info: GuestCrashSaveInfo,
    }

    /// What a Windows guest said about its crash.
    pub struct WindowsCrashReport {
        /// Dump path (as configured); valid only with FinalPhase Complete.
        "DumpFile" 2.1 dump_file: String,
        /// OS version.
        "OsMajorVersion" 2.1 os_major_version: u32,
        /// OS version.
        "OsMinorVersion" 2.1 os_minor_version: u32,
        /// OS build.
        "OsBuildNumber" 2.1 os_build_number: u32,
        /// SP version.
        "OsServicePackMajorVersion" 2.1 os_service_pack_major_version: u32,
        /// SP version.
        "OsServicePackMinorVersion" 2.1 os_service_pack_minor_version: u32,
        /// Suite bits.
        "OsSuiteMask" 2.1 os_suite_mask: u32,
        /// Product type.
        "OsProductType" 2.1 os_product_type: u32,
        /// HRESULT of the dump.
        "Status" 2.1 status: i32,
        /// How far the dump got.
        "FinalPhase" 2.1 final_phase: WindowsCrashPhase,
    }

    /// State saved when a guest crashed. Part of CrashReport.
    pub struct GuestCrashSaveInfo {
        /// The file.
        "SaveStateFile" client save_state_file: String,
        /// HRESULT of saving.
        "Status" client status: i32,
    }
}

choices! {
    /// How far a crash dump has got.
    pub enum WindowsCrashPhase {
        2.1:
            /// No dump.
            Inactive,
            /// CrashParameters reported.
            CrashValues,
            /// Dump starting.
            Starting,
            /// Dump initialised.
            Started,
            /// Data being written.
            Writing,
            /// Dump written.
            Complete;
    }
}
