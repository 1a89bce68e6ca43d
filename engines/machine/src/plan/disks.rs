//! SCSI controllers and what is attached to them.

use std::collections::BTreeMap;

use hcs_core::{
    Cause, Error, absolute,
    id::{COUNTED_SCSI_CONTROLLERS, scsi_controller_id},
};
use hcs_schema::{Attachment, AttachmentType, Devices};
use serde::{Deserialize, Serialize};

const MOST_CONTROLLERS: usize = 4;
const MOST_LUN: u32 = 63;

/// A controller with its disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// What the document calls it.
    pub key: String,
    /// Its disks.
    pub disks: Vec<Disk>,
}

impl Controller {
    /// Whether this is a name of it: its key, or the GUID that stands for that.
    pub fn is_called(&self, name: &str) -> bool {
        self.key == name || scsi_controller_id(&self.key).to_string().eq_ignore_ascii_case(name)
    }
}

/// A disk on a controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its number.
    pub lun: u32,
    /// The image, or the device of the host.
    pub path: String,
    /// What it is.
    pub medium: Medium,
    /// The guest cannot write.
    pub read_only: bool,
    /// The member that names it.
    pub blame: String,
}

/// What a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// An image of a disk.
    Disk,
    /// An image of a CD.
    Optical,
    /// A disk of the host.
    Device,
}

/// Plans them, in the order in which the guest finds them: its agent counts.
pub fn plan(devices: &Devices) -> Result<Vec<Controller>, Error> {
    let mut controllers = Vec::new();
    let given = devices.scsi.clone().unwrap_or_default();
    if given.len() > MOST_CONTROLLERS {
        let detail = format!("found {} controllers, expected at most {MOST_CONTROLLERS}", given.len());
        return Err(Error::new(Cause::InvalidData, detail).at("$.VirtualMachine.Devices.Scsi"));
    }
    for (key, controller) in given {
        let at = format!("$.VirtualMachine.Devices.Scsi[{key:?}].Attachments");
        let mut disks = BTreeMap::new();
        for (number, attachment) in controller.attachments.unwrap_or_default() {
            let at = format!("{at}[{number:?}]");
            let disk = disk(lun(&number, &at)?, &attachment, &at)?;
            disks.insert(disk.lun, disk);
        }
        controllers.push(Controller { key, disks: disks.into_values().collect() });
    }
    // Others come behind, by their names.
    controllers.sort_by_key(|controller: &Controller| {
        let id = scsi_controller_id(&controller.key).to_string();
        let place = COUNTED_SCSI_CONTROLLERS.iter().position(|counted| *counted == id);
        place.unwrap_or(COUNTED_SCSI_CONTROLLERS.len())
    });
    Ok(controllers)
}

/// The number of a disk.
pub fn lun(text: &str, at: &str) -> Result<u32, Error> {
    text.parse().ok().filter(|lun| *lun <= MOST_LUN).ok_or_else(|| {
        Error::new(Cause::InvalidData, format!("found {text:?}, expected a number up to {MOST_LUN}")).at(at)
    })
}

/// Plans a disk.
pub fn disk(lun: u32, attachment: &Attachment, at: &str) -> Result<Disk, Error> {
    let medium = match attachment.type_ {
        Some(AttachmentType::VirtualDisk) => Medium::Disk,
        Some(AttachmentType::Iso) => Medium::Optical,
        Some(AttachmentType::PassThru) => Medium::Device,
        other => {
            let found = other.map_or("none", |kind| kind.as_str());
            let detail = format!("found the type {found}, expected VirtualDisk, Iso or PassThru");
            return Err(Error::new(Cause::NotSupported, detail).at(format!("{at}.Type")));
        }
    };
    let blame = format!("{at}.Path");
    let path = attachment.path.clone().unwrap_or_default();
    absolute(&path, &blame)?;
    let read_only = medium == Medium::Optical || attachment.read_only.unwrap_or(false);
    Ok(Disk { lun, path, medium, read_only, blame })
}
