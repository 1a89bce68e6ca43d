//! Where the UEFI of this host is: what is installed says so in descriptions of a form that all distributions use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error};
use serde::Deserialize;

/// Firmware, and the variables that it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// What runs.
    pub code: PathBuf,
    /// The variables of a machine that was never started.
    pub variables: PathBuf,
}

/// The members of a description that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Description {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    executable: Option<File>,
    nvram_template: Option<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// Finds the best there is in a prefix, which `/usr` is too. A secure one starts nothing that is not signed, and has the
/// keys for that.
pub fn find(prefix: &Path, secure: bool) -> Result<Firmware, Error> {
    let folder = prefix.join("share/qemu/firmware");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    // Their names begin with numbers: the first is the best.
    files.sort();
    let described = files.iter().filter_map(|file| serde_json::from_slice(&fs::read(file).ok()?).ok());
    let found = described.filter(|one: &Description| one.fits(secure)).find_map(|one| one.firmware(prefix));
    found.ok_or_else(|| {
        let kind = if secure { "a UEFI for secure boot" } else { "a UEFI" };
        Error::new(
            Cause::NotSupported,
            format!("the host has no description of {kind} in {}", folder.display()),
        )
        .at("$.VirtualMachine.Chipset.Uefi")
        .hint("Install the package ovmf.")
    })
}

impl Description {
    fn fits(&self, secure: bool) -> bool {
        let has = |feature: &str| self.features.iter().any(|one| one == feature);
        let is_for = |target: &Target| {
            target.architecture == std::env::consts::ARCH
                && target.machines.iter().any(|machine| machine.starts_with("pc-q35"))
        };
        self.interface_types.iter().any(|kind| kind == "uefi")
            && self.targets.iter().any(is_for)
            && (has("secure-boot") && has("enrolled-keys")) == secure
            && has("requires-smm") == secure
    }

    fn firmware(&self, prefix: &Path) -> Option<Firmware> {
        let place = |file: &Option<File>| {
            let file = file.as_ref().filter(|file| file.format == "raw")?;
            // What is unpacked elsewhere still says where it would be installed.
            let inside = file.filename.strip_prefix("/usr").ok().map(|rest| prefix.join(rest));
            inside.into_iter().chain([file.filename.clone()]).find(|path| path.is_file())
        };
        Some(Firmware {
            code: place(&self.mapping.executable)?,
            variables: place(&self.mapping.nvram_template)?,
        })
    }
}
