//! Firmware and boot of a virtual machine.
//!
//! Either `Uefi` or `LinuxKernelDirect` is set in practice; the engine checks.

use crate::Guid;
use crate::kind::Base64;
use crate::macros::{choices, documents};

documents! {
    /// Firmware and boot.
    pub struct Chipset {
        /// UEFI settings (mutually exclusive in practice with LinuxKernelDirect).
        "Uefi" 2.0 uefi: Uefi,
        /// Guest starts with NumLock off.
        "IsNumLockDisabled" 2.0 is_num_lock_disabled: bool,
        /// SMBIOS baseboard serial.
        "BaseBoardSerialNumber" 2.0 base_board_serial_number: String,
        /// SMBIOS chassis serial.
        "ChassisSerialNumber" 2.0 chassis_serial_number: String,
        /// SMBIOS chassis asset tag.
        "ChassisAssetTag" 2.0 chassis_asset_tag: String,
        /// Expose S4 to the guest.
        "EnableHibernation" 2.5 enable_hibernation: bool,
        /// Guest RTC runs in UTC instead of host local time.
        "UseUtc" 2.1 use_utc: bool,
        /// Boot a Linux kernel directly without UEFI.
        "LinuxKernelDirect" 2.2 linux_kernel_direct: LinuxKernelDirect,
        /// Firmware image in place of the built-in one.
        "FirmwareFile" client firmware_file: FirmwareFile,
    }

    /// UEFI firmware settings.
    pub struct Uefi {
        /// UEFI debugger.
        "EnableDebugger" 2.0 enable_debugger: bool,
        /// Secure-boot template GUID.
        "SecureBootTemplateId" 2.0 secure_boot_template_id: Guid,
        /// Apply or skip the template.
        "ApplySecureBootTemplate" 2.3 apply_secure_boot_template: ApplySecureBootTemplateType,
        /// One-entry boot order.
        "BootThis" 2.0 boot_this: UefiBootEntry,
        /// Firmware console.
        "Console" 2.0 console: SerialConsole,
        /// Stop instead of retrying when boot fails.
        "StopOnBootFailure" 2.2 stop_on_boot_failure: bool,
    }

    /// What the UEFI firmware boots.
    pub struct UefiBootEntry {
        /// Boot device kind.
        "DeviceType" 2.1 device_type: UefiBootDevice,
        /// Controller name / path (ScsiDrive: controller key; VmbFs/File: file path).
        "DevicePath" 2.1 device_path: String,
        /// LUN for ScsiDrive.
        "DiskNumber" 2.1 disk_number: u16,
        /// Load-option data (e.g. kernel command line).
        "OptionalData" 2.1 optional_data: String,
        /// Host directory served to firmware.
        "VmbFsRootPath" 2.1 vmbfs_root_path: String,
    }

    /// A Linux kernel booted without firmware.
    pub struct LinuxKernelDirect {
        /// Kernel image on host.
        "KernelFilePath" 2.2 kernel_file_path: String,
        /// Initrd on host.
        "InitRdPath" 2.2 init_rd_path: String,
        /// Kernel command line.
        "KernelCmdLine" 2.2 kernel_cmd_line: String,
    }

    /// A firmware image. Part of Chipset.
    pub struct FirmwareFile {
        /// Data handed to the firmware.
        "Parameters" client parameters: String as Base64,
    }
}

choices! {
    /// What to do with the secure-boot template.
    pub enum ApplySecureBootTemplateType {
        2.3:
            /// Leave variables as they are.
            Skip,
            /// Load the template.
            Apply;
    }

    /// Where the firmware shows its console.
    pub enum SerialConsole {
        2.0: Default, Disabled, ComPort1, ComPort2;
    }

    /// Kind of device the UEFI firmware boots from.
    pub enum UefiBootDevice {
        2.0: ScsiDrive, VmbFs, Network;
        2.1: File;
    }
}
