//! `hcs template`

use std::path::{Path, PathBuf};

use hcs::schema::{self, ComputeSystem};
use serde_json::{Map, Value, json};

use crate::{
    failure::{Failure, WRONG_USAGE},
    host_path,
    output::{self, Table},
    size,
};

/// What a value is called that is still to be filled in.
const TO_FILL_IN: &str = "FILL-IN";

/// Print a document to begin with; without a name, the list of them and what each needs.
///
/// What was not given stands as FILL-IN in the document. The files of virtual machines are opened as their user:
/// hcs access grant ID --file PATH.
#[derive(clap::Args)]
pub struct Template {
    /// Which.
    #[arg(value_enum)]
    name: Option<Name>,
    #[command(flatten)]
    values: Values,
}

#[derive(Clone, clap::Args)]
struct Values {
    /// A container's root file system; of one with layers, the folder for what it writes.
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// A layer, the nearest first. May be given several times.
    #[arg(long = "layer", value_name = "FOLDER")]
    layers: Vec<PathBuf>,
    /// The kernel that a machine boots.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Its first file system.
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// A machine's disk: raw, VHD, VHDX or qcow2.
    #[arg(long, value_name = "IMAGE")]
    disk: Option<PathBuf>,
    /// How much memory there is: bytes, or with K, M, G or T.
    #[arg(long, value_name = "SIZE", value_parser = size::megabytes)]
    memory: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    Container,
    LayeredContainer,
    LinuxVm,
    UefiVm,
    UtilityVm,
}

/// Every template, what it is, and what has to be given.
const ALL: &[(Name, &str, &str, &str)] = &[
    (Name::Container, "container", "a container of a folder with a root file system", "--path"),
    (
        Name::LayeredContainer,
        "layered-container",
        "a container that writes over read-only layers",
        "--path --layer",
    ),
    (Name::LinuxVm, "linux-vm", "a machine that boots a kernel", "--kernel; maybe --initrd, --disk"),
    (Name::UefiVm, "uefi-vm", "a machine that boots its disk by UEFI", "--disk"),
    (
        Name::UtilityVm,
        "utility-vm",
        "a machine with the agent, of hcs vm image build",
        "--kernel --initrd; maybe --disk",
    ),
];

impl Template {
    pub fn run(self) -> Result<(), Failure> {
        let Some(name) = self.name else {
            let mut table = Table::new(["NAME", "WHAT IT IS", "WHAT IT NEEDS"]);
            for (_, name, what, needs) in ALL {
                table.row([*name, *what, *needs].map(str::to_owned));
            }
            return table.print();
        };
        self.values.check_place_in(name)?;
        let document = document(name, &self.values)?;
        output::json(&super::text_of(&document)?)
    }
}

impl Values {
    /// Refuses what a template has no place for.
    fn check_place_in(&self, name: Name) -> Result<(), Failure> {
        let given = [
            ("--path", self.path.is_some()),
            ("--layer", !self.layers.is_empty()),
            ("--kernel", self.kernel.is_some()),
            ("--initrd", self.initrd.is_some()),
            ("--disk", self.disk.is_some()),
        ];
        let Some((_, listed, _, needs)) = ALL.iter().find(|(one, ..)| *one == name) else { return Ok(()) };
        match given.iter().find(|(option, is_given)| *is_given && !needs.contains(option)) {
            None => Ok(()),
            Some((option, _)) => Err(Failure::new(format!(
                "{option} has no place in the template {listed}; what has: {needs}; maybe --memory"
            ))
            .exit_with(WRONG_USAGE)),
        }
    }
}

/// The document. Its members are those of the schema in the schema's order.
fn document(name: Name, values: &Values) -> Result<ComputeSystem, Failure> {
    let path = |path: &Option<PathBuf>| path.as_deref().map_or_else(|| Ok(TO_FILL_IN.to_owned()), absolute);
    let body = match name {
        Name::Container => json!({ "Container": {
            "Storage": { "Path": path(&values.path)? },
            "Memory": { "SizeInMB": values.memory.unwrap_or(256) },
        } }),
        Name::LayeredContainer => {
            let layers = match values.layers.as_slice() {
                [] => vec![TO_FILL_IN.to_owned()],
                layers => layers.iter().map(|layer| absolute(layer)).collect::<Result<_, _>>()?,
            };
            let layers: Vec<Value> = layers.into_iter().map(|layer| json!({ "Path": layer })).collect();
            json!({ "Container": {
                "Storage": { "Path": path(&values.path)?, "Layers": layers },
                "Memory": { "SizeInMB": values.memory.unwrap_or(256) },
            } })
        }
        Name::LinuxVm => {
            let chipset = json!({ "LinuxKernelDirect": kernel(values, "console=ttyS0")? });
            machine(values, 512, chipset, Map::new())?
        }
        Name::UefiVm => {
            let mut values = values.clone();
            values.disk.get_or_insert(TO_FILL_IN.into());
            let boot = json!({ "DeviceType": "ScsiDrive", "DevicePath": "0", "DiskNumber": 0 });
            machine(&values, 1024, json!({ "Uefi": { "BootThis": boot } }), Map::new())?
        }
        Name::UtilityVm => {
            let mut values = values.clone();
            values.initrd.get_or_insert(TO_FILL_IN.into());
            let chipset = json!({ "LinuxKernelDirect": kernel(&values, "console=ttyS0 quiet")? });
            let agent = Map::from_iter([("GuestConnection".to_owned(), json!({}))]);
            machine(&values, 512, chipset, agent)?
        }
    };
    let mut whole = json!({ "SchemaVersion": { "Major": 2, "Minor": 1 }, "Owner": "hcs template" });
    if let (Value::Object(whole), Value::Object(body)) = (&mut whole, body) {
        whole.extend(body);
    }
    schema::read_strict(&whole.to_string()).map_err(|error| Failure::new(error.to_string()))
}

/// As the service will see it; what is to be filled in stays as it is.
fn absolute(path: &Path) -> Result<String, Failure> {
    if path == Path::new(TO_FILL_IN) {
        return Ok(TO_FILL_IN.to_owned());
    }
    host_path::text(path)
}

fn kernel(values: &Values, command_line: &str) -> Result<Value, Failure> {
    let kernel = values.kernel.as_deref().unwrap_or(Path::new(TO_FILL_IN));
    let mut boot = json!({ "KernelFilePath": absolute(kernel)?, "KernelCmdLine": command_line });
    if let Some(initrd) = &values.initrd {
        boot["InitRdPath"] = absolute(initrd)?.into();
    }
    Ok(boot)
}

fn machine(values: &Values, memory: u64, chipset: Value, more: Map<String, Value>) -> Result<Value, Failure> {
    let mut devices = json!({});
    if let Some(disk) = &values.disk {
        let disk = json!({ "Type": "VirtualDisk", "Path": absolute(disk)? });
        devices["Scsi"] = json!({ "0": { "Attachments": { "0": disk } } });
    }
    let mut machine = json!({
        "StopOnReset": true,
        "Chipset": chipset,
        "ComputeTopology": {
            "Memory": { "SizeInMB": values.memory.unwrap_or(memory) },
            "Processor": { "Count": 1 },
        },
        "Devices": devices,
    });
    if let Value::Object(machine) = &mut machine {
        machine.extend(more);
    }
    Ok(json!({ "VirtualMachine": machine }))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn nothing() -> Values {
        Values { path: None, layers: Vec::new(), kernel: None, initrd: None, disk: None, memory: None }
    }

    #[test]
    fn every_template_is_listed_and_valid_and_names_what_is_to_be_filled_in() {
        assert_eq!(ALL.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), Name::value_variants());
        for (name, listed, ..) in ALL {
            assert_eq!(name.to_possible_value().unwrap().get_name(), *listed);
            let text = crate::verbs::text_of(&document(*name, &nothing()).unwrap()).unwrap();
            assert!(schema::mistakes::<ComputeSystem>(&text).is_empty(), "{text}");
            assert!(text.contains(TO_FILL_IN), "{text}");
        }
    }

    #[test]
    fn what_a_template_has_no_place_for_is_refused() {
        let values = Values { disk: Some("/d".into()), ..nothing() };
        for (name, place) in [(Name::Container, false), (Name::LayeredContainer, false), (Name::UefiVm, true)]
        {
            assert_eq!(values.check_place_in(name).is_ok(), place, "{name:?}");
        }
        let values = Values { initrd: Some("/i".into()), memory: Some(64), ..nothing() };
        assert!(values.check_place_in(Name::UtilityVm).is_ok());
        assert!(values.check_place_in(Name::UefiVm).is_err());
    }

    #[test]
    fn what_is_given_is_filled_in() {
        let values = Values {
            path: Some("/srv/web".into()),
            layers: vec!["/srv/base".into()],
            kernel: Some("/k".into()),
            initrd: Some("/i".into()),
            disk: Some("/d".into()),
            memory: Some(128),
        };
        for (name, ..) in ALL {
            let text = crate::verbs::text_of(&document(*name, &values).unwrap()).unwrap();
            assert!(!text.contains(TO_FILL_IN) && text.contains("\"SizeInMB\":128"), "{text}");
        }
    }
}
