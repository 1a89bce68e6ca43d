//! `hcs device`

use std::path::{Path, PathBuf};

use hcs::schema::{Any, ModifyRequestType, ModifySettingRequest};
use hcs_core::random;
use serde_json::{Value, json};

use crate::{
    Context,
    failure::Failure,
    host_path, output,
    target::{self, Target},
};

/// Add devices, folders and sockets to a running system, or remove them.
///
/// `hcs modify` does the same, and more, by documents.
#[derive(clap::Args)]
pub struct Device {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Add something.
    Add {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        device: Added,
    },
    /// Remove something.
    #[command(visible_alias = "rm")]
    Remove {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        device: Removed,
    },
}

/// Where a disk is.
#[derive(clap::Args)]
struct Place {
    /// Its number at the controller.
    #[arg(long)]
    lun: u32,
    /// The controller, by its name in the document of the machine.
    #[arg(long, default_value = "0")]
    controller: String,
}

#[derive(clap::Subcommand)]
enum Added {
    /// A disk of a virtual machine. `hcs access grant` lets the machine use its file.
    Disk {
        /// The image.
        image: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Nothing can be written to it.
        #[arg(long)]
        read_only: bool,
        /// It is the image of an optical disc.
        #[arg(long)]
        iso: bool,
    },
    /// A network adapter of a virtual machine; prints by what it is removed.
    #[command(group(clap::ArgGroup::new("network").required(true)))]
    Network {
        /// At this bridge of the host.
        #[arg(long, group = "network", value_name = "NAME")]
        bridge: Option<String>,
        /// At this tap device.
        #[arg(long, group = "network", value_name = "NAME")]
        tap: Option<String>,
        /// In user mode, without privileges.
        #[arg(long, group = "network")]
        user: bool,
        /// The key of the adapter [default: a new GUID].
        #[arg(long)]
        key: Option<String>,
    },
    /// A folder of the host: in a container at a path, in a virtual machine with an agent as a share that is mounted there.
    Folder {
        /// The folder of the host.
        folder: PathBuf,
        /// Where it appears.
        place: String,
        /// Nothing can be written to it.
        #[arg(long)]
        read_only: bool,
    },
    /// A device that a program of the host supplies to a virtual machine.
    Hosted {
        /// The GUID of the instance.
        instance: String,
        /// The GUID of the device's class, as its program knows it.
        class: String,
    },
}

#[derive(clap::Subcommand)]
enum Removed {
    /// A disk of a virtual machine.
    Disk {
        #[command(flatten)]
        place: Place,
    },
    /// A network adapter of a virtual machine.
    Network {
        /// Its key.
        key: String,
    },
    /// A folder of the host.
    Folder {
        /// The folder of the host.
        folder: PathBuf,
        /// Where it appears.
        place: String,
    },
    /// A device that a program of the host supplies.
    Hosted {
        /// The GUID of the instance.
        instance: String,
    },
}

impl Device {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let (target, kind) = match &self.what {
            What::Add { target, .. } => (target, ModifyRequestType::Add),
            What::Remove { target, .. } => (target, ModifyRequestType::Remove),
        };
        let system = target.open(context)?;
        let mut tell = None;
        let request = match &self.what {
            What::Add { device: Added::Disk { image, place, read_only, iso }, .. } => {
                let kind = if *iso { "Iso" } else { "VirtualDisk" };
                let settings =
                    json!({"Type": kind, "Path": host_path::text(image)?, "ReadOnly": *read_only || *iso});
                Request::new(place.path(), settings)
            }
            What::Remove { device: Removed::Disk { place }, .. } => Request::new(place.path(), Value::Null),
            What::Add { device: Added::Network { bridge, tap, key, .. }, .. } => {
                let settings = match (bridge, tap) {
                    (Some(name), _) => json!({"Linux": {"Mode": "Bridge", "Name": name}}),
                    (_, Some(name)) => json!({"Linux": {"Mode": "Tap", "Name": name}}),
                    _ => json!({"Linux": {"Mode": "User"}}),
                };
                let key = key.clone().unwrap_or_else(|| random::guid().to_string());
                tell = Some(key.clone());
                Request::new(adapter(&key), settings)
            }
            What::Remove { device: Removed::Network { key }, .. } => Request::new(adapter(key), Value::Null),
            What::Add { device: Added::Folder { folder, place, read_only }, .. } => {
                folder_request(&system, folder, place, *read_only)?
            }
            What::Remove { device: Removed::Folder { folder, place }, .. } => {
                folder_request(&system, folder, place, false)?
            }
            What::Add { device: Added::Hosted { instance, class }, .. } => {
                Request::new(hosted(instance), json!({"EmulatorId": class, "HostingModel": "External"}))
            }
            What::Remove { device: Removed::Hosted { instance }, .. } => {
                Request::new(hosted(instance), Value::Null)
            }
        };
        system.modify(&request.document(kind)?).wait()?;
        tell.map_or(Ok(()), |key| output::line(&key))
    }
}

/// A request of which only the kind is not said.
struct Request {
    path: String,
    settings: Value,
    /// What the guest is to do: the kind of thing and what is said of it.
    guest: Option<(&'static str, Value)>,
}

impl Request {
    fn new(path: String, settings: Value) -> Request {
        Request { path, settings, guest: None }
    }

    fn document(&self, kind: ModifyRequestType) -> Result<ModifySettingRequest, Failure> {
        let any = |value: &Value| {
            Any::from_value(value)
                .map_err(|error| Failure::new(format!("a document cannot be written: {error}")))
        };
        let mut request = ModifySettingRequest::default().request_type(kind).resource_path(self.path.clone());
        if !self.settings.is_null() {
            request = request.settings(any(&self.settings)?);
        }
        if let Some((what, settings)) = &self.guest {
            let guest = json!({"RequestType": kind.as_str(), "ResourceType": what, "Settings": settings});
            request = request.guest_request(any(&guest)?);
        }
        Ok(request)
    }
}

impl Place {
    fn path(&self) -> String {
        format!("VirtualMachine/Devices/Scsi/{}/Attachments/{}", self.controller, self.lun)
    }
}

fn adapter(key: &str) -> String {
    format!("VirtualMachine/Devices/NetworkAdapters/{key}")
}

fn hosted(instance: &str) -> String {
    format!("VirtualMachine/Devices/FlexibleIov/{instance}")
}

/// In a container a folder is mapped; in a virtual machine it is shared, and the agent mounts it.
fn folder_request(
    system: &hcs::System,
    folder: &Path,
    place: &str,
    is_read_only: bool,
) -> Result<Request, Failure> {
    let path = host_path::text(folder)?;
    if !target::is_machine(system)? {
        let settings = json!({"HostPath": path, "ContainerPath": place, "ReadOnly": is_read_only});
        return Ok(Request::new("Container/MappedDirectories".to_owned(), settings));
    }
    /// The bit of `Flags` that says so.
    const READ_ONLY: u32 = 1;
    // A share is called after the place where it is mounted. `/a/b` and `/a-b` have one name: a machine has one of them at a time.
    let name = place.trim_matches('/').replace('/', "-");
    let flags = if is_read_only { READ_ONLY } else { 0 };
    let settings = json!({"Name": name, "AccessName": name, "Path": path, "Flags": flags});
    let guest = json!({"MountPath": place, "ShareName": name, "ReadOnly": is_read_only});
    Ok(Request {
        path: "VirtualMachine/Devices/Plan9/Shares".to_owned(),
        settings,
        guest: Some(("MappedDirectory", guest)),
    })
}
