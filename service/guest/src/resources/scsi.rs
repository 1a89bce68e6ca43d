//! Where SCSI disks are, and the resource SCSIDevice, by which a host says that it will take one away.
//!
//! A host counts controllers. Under Hyper-V each has a device of vmbus with an id that follows from its number. Our own
//! hosts have virtio-scsi on the PCI bus instead, one after the other, so the number is the place in the order of addresses.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hcs_core::{Error, id::COUNTED_SCSI_CONTROLLERS};
use serde::Deserialize;

use super::device;

/// What virtio calls a controller.
const VIRTIO_SCSI: &str = "0x0008";

/// A place at a controller; in a request, the settings of SCSIDevice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Place {
    /// Which controller.
    pub controller: u8,
    /// Which place there.
    pub lun: u8,
}

/// The kernel forgets a device that the host is about to detach. One that is not there is forgotten already.
pub fn drop_device(place: &Place) -> Result<(), Error> {
    let Some(device) = device_at(Path::new(device::SYS), *place) else { return Ok(()) };
    match fs::write(device.join("delete"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let what = format!("dropping the disk at controller {}, LUN {}", place.controller, place.lun);
            Err(Error::from_io(&error, what))
        }
        _ => Ok(()),
    }
}

/// The name of the block device that is there, or of one of its partitions; partition 0 is all of it.
pub fn block_device(sys: &Path, place: Place, partition: u64) -> Option<String> {
    let block = device_at(sys, place)?.join("block");
    let disk = device::names(&block).into_iter().next()?;
    if partition == 0 {
        return Some(disk);
    }
    let disk = block.join(disk);
    let is_it = |name: &String| {
        device::said(&disk.join(name).join("partition")).is_some_and(|number| number == partition.to_string())
    };
    device::names(&disk).into_iter().find(is_it)
}

fn device_at(sys: &Path, place: Place) -> Option<PathBuf> {
    let host = host_of(&controller(sys, place.controller)?)?;
    let device = sys.join(format!("bus/scsi/devices/{host}:0:0:{}", place.lun));
    device.exists().then_some(device)
}

/// The device that a controller is.
fn controller(sys: &Path, number: u8) -> Option<PathBuf> {
    let number = usize::from(number);
    let by_vmbus = COUNTED_SCSI_CONTROLLERS.get(number).map(|id| sys.join("bus/vmbus/devices").join(id));
    if let Some(device) = by_vmbus.filter(|device| device.exists()) {
        return Some(device);
    }
    let devices = sys.join("bus/virtio/devices");
    let is_controller =
        |device: &PathBuf| device::said(&device.join("device")).is_some_and(|kind| kind == VIRTIO_SCSI);
    // Each is a link to its place, which begins with the address.
    let mut controllers: Vec<PathBuf> = device::names(&devices)
        .into_iter()
        .filter_map(|name| devices.join(name).canonicalize().ok())
        .filter(is_controller)
        .collect();
    controllers.sort();
    controllers.into_iter().nth(number)
}

/// The number that the SCSI layer has given to a controller.
fn host_of(controller: &Path) -> Option<u32> {
    device::names(controller).iter().find_map(|name| name.strip_prefix("host")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    const fn at(controller: u8, lun: u8) -> Place {
        Place { controller, lun }
    }

    /// A machine of ours with a port and two controllers, of which the kernel has met the second first.
    fn two_controllers(test: &str) -> Recorded {
        let sys = Recorded::new(test);
        for (virtio, address, kind, host) in [
            ("virtio0", "0000:00:05.0", "0x0008", "host1"),
            ("virtio1", "0000:00:04.0", "0x0008", "host12"),
            ("virtio2", "0000:00:03.0", "0x0003", "vport2p1"),
        ] {
            let place = format!("devices/pci0000:00/{address}/{virtio}");
            sys.file(&format!("{place}/device"), &format!("{kind}\n"));
            sys.folder(&format!("{place}/{host}"));
            sys.link(&format!("bus/virtio/devices/{virtio}"), &place);
        }
        sys.folder("bus/scsi/devices/12:0:0:0/block/sda");
        sys.folder("bus/scsi/devices/1:0:0:0/block/sdb");
        sys.folder("bus/scsi/devices/1:0:0:63/block/sdc");
        sys
    }

    #[test]
    fn controllers_are_counted_by_their_address() {
        let sys = two_controllers("controllers");
        let found = |controller, lun| block_device(sys.path(), at(controller, lun), 0);
        assert_eq!(found(0, 0).as_deref(), Some("sda"));
        assert_eq!(found(1, 0).as_deref(), Some("sdb"));
        assert_eq!(found(1, 63).as_deref(), Some("sdc"));
        assert_eq!(found(0, 63), None);
        assert_eq!(found(2, 0), None);
    }

    #[test]
    fn vmbus_knows_controllers_by_their_id() {
        let sys = two_controllers("vmbus");
        sys.folder(&format!("bus/vmbus/devices/{}/host1", COUNTED_SCSI_CONTROLLERS[0]));
        assert_eq!(block_device(sys.path(), at(0, 0), 0).as_deref(), Some("sdb"));
    }

    #[test]
    fn a_partition_is_known_by_its_number_and_not_by_its_name() {
        let sys = two_controllers("partitions");
        let disk = "bus/scsi/devices/12:0:0:0/block/sda";
        sys.file(&format!("{disk}/sda1/partition"), "11\n").file(&format!("{disk}/sda2/partition"), "1\n");
        sys.file(&format!("{disk}/queue/rotational"), "1\n");
        let found = |partition| block_device(sys.path(), at(0, 0), partition);
        assert_eq!(found(1).as_deref(), Some("sda2"));
        assert_eq!(found(11).as_deref(), Some("sda1"));
        assert_eq!(found(2), None);
    }

    #[test]
    fn members_that_are_zero_are_left_out() {
        let read = |text| serde_json::from_str::<Place>(text).unwrap();
        assert_eq!(read("{}"), at(0, 0));
        assert_eq!(read(r#"{"Lun":5,"Controller":3}"#), at(3, 5));
    }
}
