//! What a machine boots.

use hcs_container::policy::Notice;
use hcs_core::{Cause, Error, absolute};
use hcs_schema::{
    ApplySecureBootTemplateType, Chipset, Guid, LinuxKernelDirect, SerialConsole, Uefi, UefiBootDevice,
    UefiBootEntry,
};
use serde::{Deserialize, Serialize};

use super::{Adapter, Controller, command_line};

const AT: &str = "$.VirtualMachine.Chipset";

/// What a machine boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Boot {
    /// A kernel of Linux, without firmware.
    Kernel(Kernel),
    /// What UEFI finds.
    Uefi {
        /// Where it looks first.
        first: Option<First>,
        /// It starts what Microsoft's keys have signed and nothing else.
        secure: bool,
    },
}

/// A kernel in files of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its file.
    pub kernel: String,
    /// What it begins with.
    pub initrd: Option<String>,
    /// Its command line.
    pub command_line: String,
    /// The members that name the two files.
    pub blame: [String; 2],
}

/// Where firmware looks first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum First {
    /// A disk.
    Disk {
        /// The number of its controller in the plan.
        controller: usize,
        /// Its number there.
        lun: u32,
    },
    /// A network adapter.
    Network {
        /// Its place.
        slot: u32,
    },
    /// A kernel in files of the host, which need not be on any disk.
    Kernel(Kernel),
}

impl Boot {
    /// The kernel that comes from files of the host.
    pub fn kernel(&self) -> Option<&Kernel> {
        match self {
            Boot::Kernel(kernel) | Boot::Uefi { first: Some(First::Kernel(kernel)), .. } => Some(kernel),
            Boot::Uefi { .. } => None,
        }
    }
}

/// Plans it.
pub fn plan(chipset: &Chipset, controllers: &[Controller], adapters: &[Adapter]) -> Result<Boot, Error> {
    match (&chipset.linux_kernel_direct, &chipset.uefi) {
        (Some(direct), None) => kernel(direct).map(Boot::Kernel),
        (None, Some(uefi)) => self::uefi(uefi, controllers, adapters),
        (None, None) => Err(Error::new(Cause::InvalidData, "the machine has nothing to boot")
            .at(AT)
            .hint("Give it Uefi, or a kernel of Linux in LinuxKernelDirect.")),
        (Some(_), Some(_)) => Err(Error::new(Cause::InvalidData, "found both Uefi and LinuxKernelDirect")
            .at(AT)
            .hint("Say one of them.")),
    }
}

/// What is left out of the command lines of kernels.
pub fn left_out(chipset: &Chipset) -> impl Iterator<Item = Notice> {
    let direct = chipset.linux_kernel_direct.as_ref().and_then(|direct| direct.kernel_cmd_line.as_deref());
    let entry = chipset.uefi.as_ref().and_then(|uefi| uefi.boot_this.as_ref());
    let loaded = entry.filter(|entry| entry.device_type == Some(UefiBootDevice::VmbFs));
    let lines = [
        ("LinuxKernelDirect.KernelCmdLine", direct),
        ("Uefi.BootThis.OptionalData", loaded.and_then(|entry| entry.optional_data.as_deref())),
    ];
    lines.into_iter().flat_map(|(member, line)| {
        let (_, reasons) = command_line::of_machine(line.unwrap_or_default());
        reasons.into_iter().map(move |message| Notice { path: format!("{AT}.{member}"), message })
    })
}

fn kernel(direct: &LinuxKernelDirect) -> Result<Kernel, Error> {
    let blame = ["KernelFilePath", "InitRdPath"].map(|member| format!("{AT}.LinuxKernelDirect.{member}"));
    let kernel = direct.kernel_file_path.clone().unwrap_or_default();
    let initrd = direct.init_rd_path.clone().filter(|path| !path.is_empty());
    absolute(&kernel, &blame[0])?;
    if let Some(initrd) = &initrd {
        absolute(initrd, &blame[1])?;
    }
    let line = direct.kernel_cmd_line.as_deref().unwrap_or_default();
    Ok(Kernel { kernel, initrd, command_line: command_line::of_machine(line).0, blame })
}

fn uefi(uefi: &Uefi, controllers: &[Controller], adapters: &[Adapter]) -> Result<Boot, Error> {
    let at = |member: &str| format!("{AT}.Uefi.{member}");
    let unsupported = |member: &str, why: &str| Err(Error::new(Cause::NotSupported, why).at(at(member)));
    if uefi.enable_debugger == Some(true) {
        return unsupported("EnableDebugger", "the firmware has no debugger");
    }
    if uefi.stop_on_boot_failure == Some(true) {
        return unsupported(
            "StopOnBootFailure",
            "the firmware does not tell that it has found nothing to boot",
        );
    }
    if uefi.console == Some(SerialConsole::ComPort2) {
        return unsupported("Console", "the console of the firmware is the first serial port");
    }
    let first =
        uefi.boot_this.as_ref().map(|entry| first(entry, controllers, adapters)).transpose()?.flatten();
    Ok(Boot::Uefi { first, secure: is_secure(uefi)? })
}

/// Microsoft's two templates have their keys in the variables that come with the firmware.
fn is_secure(uefi: &Uefi) -> Result<bool, Error> {
    const WINDOWS: &str = "1734c6e8-3154-4dda-ba5f-a874cc483422";
    const AUTHORITY: &str = "272e7447-90a4-4563-a4b9-8e4ab00526ce";
    let template = uefi.secure_boot_template_id.filter(|id| *id != Guid::NIL);
    let is_skipped = uefi.apply_secure_boot_template == Some(ApplySecureBootTemplateType::Skip);
    let Some(template) = template.filter(|_| !is_skipped) else { return Ok(false) };
    match template.to_string().to_lowercase().as_str() {
        WINDOWS | AUTHORITY => Ok(true),
        other => {
            Err(Error::new(Cause::NotSupported, format!("found the template {other}, which is not here"))
                .at(format!("{AT}.Uefi.SecureBootTemplateId"))
                .hint(format!("Use {WINDOWS} or {AUTHORITY}.")))
        }
    }
}

fn first(
    entry: &UefiBootEntry,
    controllers: &[Controller],
    adapters: &[Adapter],
) -> Result<Option<First>, Error> {
    let at = |member: &str| format!("{AT}.Uefi.BootThis.{member}");
    let wrong = |member: &str, detail: String| Err(Error::new(Cause::InvalidData, detail).at(at(member)));
    let path = entry.device_path.clone().unwrap_or_default();
    match entry.device_type {
        None => Ok(None),
        Some(UefiBootDevice::ScsiDrive) => {
            let Some(controller) = controllers.iter().position(|controller| controller.is_called(&path))
            else {
                return wrong(
                    "DevicePath",
                    format!("found {path:?}, which is no controller of Devices.Scsi"),
                );
            };
            let lun = u32::from(entry.disk_number.unwrap_or(0));
            if !controllers[controller].disks.iter().any(|disk| disk.lun == lun) {
                return wrong("DiskNumber", format!("found {lun}, where {path:?} has no disk"));
            }
            Ok(Some(First::Disk { controller, lun }))
        }
        Some(UefiBootDevice::Network) => match adapters.first() {
            Some(adapter) => Ok(Some(First::Network { slot: adapter.slot })),
            None => wrong("DeviceType", "found Network, but the machine has no NetworkAdapters".to_owned()),
        },
        Some(UefiBootDevice::VmbFs) => in_folder(entry, &path, &at).map(|kernel| Some(First::Kernel(kernel))),
        Some(UefiBootDevice::File) => {
            Err(Error::new(Cause::NotSupported, "the firmware starts no file that is on no disk")
                .at(at("DeviceType"))
                .hint("Use VmbFs for a kernel of Linux, or ScsiDrive."))
        }
    }
}

/// A kernel in a folder of the host, named as from inside the folder, like the initrd in its command line.
fn in_folder(entry: &UefiBootEntry, path: &str, at: &dyn Fn(&str) -> String) -> Result<Kernel, Error> {
    let root = entry.vmbfs_root_path.clone().unwrap_or_default();
    absolute(&root, &at("VmbFsRootPath"))?;
    let inside = |path: &str, member: &str| {
        let path = path.replace('\\', "/");
        let path = path.trim_start_matches('/');
        if path.is_empty() || path.split('/').any(|part| part == "..") {
            let detail = format!("found {path:?}, expected a file below VmbFsRootPath");
            return Err(Error::new(Cause::InvalidData, detail).at(at(member)));
        }
        Ok(format!("{}/{path}", root.trim_end_matches('/')))
    };
    let (command_line, _) = command_line::of_machine(entry.optional_data.as_deref().unwrap_or_default());
    let named = command_line.split_whitespace().find_map(|word| word.strip_prefix("initrd="));
    let initrd = named.map(|path| inside(path, "OptionalData")).transpose()?;
    let rest = command_line.split_whitespace().filter(|word| !word.starts_with("initrd="));
    Ok(Kernel {
        kernel: inside(path, "DevicePath")?,
        initrd,
        command_line: rest.collect::<Vec<_>>().join(" "),
        blame: [at("DevicePath"), at("OptionalData")],
    })
}
