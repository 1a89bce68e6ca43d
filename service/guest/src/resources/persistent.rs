//! The resource VPMemDevice: persistent memory of the machine with a file system that is only read.
//!
//! The numbers of /dev/pmem are given in no order that can be trusted. Our hosts give each NVDIMM the number of its device,
//! plus one, as its handle, and the kernel tells which region that is. Where no NVDIMM has a handle (virtio-pmem), the
//! numbers of /dev/pmem are all there is.

use std::path::Path;

use hcs_core::Error;
use rustix::mount::MountFlags;
use serde::Deserialize;
use serde_json::Value;

use super::{
    device::{self, names, said},
    filesystem,
    folder::absolute,
    member,
    mount_point::{self, MountPoint},
    refused,
};

/// All that is expected of persistent memory.
const FILESYSTEM: &str = "ext4";

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VPMemDevice {
    device_number: u32,
    mount_path: String,
    /// A part of it.
    mapping_info: Option<Value>,
    verity_info: Option<Value>,
}

/// Waits for the device and mounts it.
pub fn add(memory: &VPMemDevice) -> Result<(), Error> {
    // A part would be a device of its own, by a loop device or the device mapper. Neither can be made here yet.
    if memory.mapping_info.is_some() {
        return Err(refused("MappingInfo")
            .at(member("MappingInfo"))
            .hint("Give each file a device of its own."));
    }
    if memory.verity_info.is_some() {
        return Err(refused("VerityInfo").at(member("VerityInfo")));
    }
    absolute(&memory.mount_path, "MountPath")?;
    let node = device::wait(&format!("persistent memory {}", memory.device_number), || {
        block_device(Path::new(device::SYS), memory.device_number).and_then(|name| device::node(&name))
    })?;
    let mut place = MountPoint::make(&memory.mount_path, 0o700)?;
    place.mount(&node, FILESYSTEM, MountFlags::RDONLY, filesystem::as_it_is(FILESYSTEM))?;
    place.keep();
    Ok(())
}

/// Unmounts it.
pub fn remove(memory: &VPMemDevice) -> Result<(), Error> {
    mount_point::remove(&memory.mount_path, "MountPath")
}

/// The name of its block device.
fn block_device(sys: &Path, number: u32) -> Option<String> {
    let devices = sys.join("bus/nd/devices");
    let all = names(&devices);
    let handle = |name: &String| handle(&said(&devices.join(name).join("nfit/handle"))?);
    let mut handles = all.iter().filter_map(|name| Some((name, handle(name)?))).peekable();
    if handles.peek().is_none() {
        return Some(format!("pmem{number}"));
    }
    let (dimm, _) = handles.find(|(_, handle)| number.checked_add(1) == Some(*handle))?;
    let is_there = |region: &&String| {
        let mapping = said(&devices.join(region).join("mapping0")).unwrap_or_default();
        mapping.split(',').next() == Some(dimm)
    };
    let region = devices.join(all.iter().find(is_there)?);
    let namespaces = names(&region).into_iter().filter(|name| name.starts_with("namespace"));
    namespaces.flat_map(|namespace| names(&region.join(namespace).join("block"))).next()
}

/// A handle, as the kernel writes it.
fn handle(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;
    use hcs_core::Cause;

    #[test]
    fn memory_is_known_by_its_handle_and_not_by_the_number_that_it_was_given() {
        let sys = Recorded::new("nvdimms");
        for (dimm, handle, region, pmem) in
            [("nmem0", "0x10", "region1", "pmem1"), ("nmem1", "0x1", "region0", "pmem0")]
        {
            sys.file(&format!("bus/nd/devices/{dimm}/nfit/handle"), &format!("{handle}\n"));
            sys.file(&format!("bus/nd/devices/{region}/mapping0"), &format!("{dimm},0,4194304,0\n"));
            sys.folder(&format!("bus/nd/devices/{region}/namespace{}.0/block/{pmem}", &region[6..]));
        }
        sys.file("bus/nd/devices/nmem2/nfit/handle", "0x2\n").folder("bus/nd/devices/ndbus0");
        let found = |number| block_device(sys.path(), number);
        assert_eq!(found(0).as_deref(), Some("pmem0"));
        assert_eq!(found(15).as_deref(), Some("pmem1"));
        // That one has no region yet, and those are not there at all.
        assert_eq!(found(1), None);
        assert_eq!(found(2), None);
        assert_eq!(found(u32::MAX), None);
    }

    #[test]
    fn without_handles_there_are_only_numbers() {
        let sys = Recorded::new("virtio-pmem");
        sys.folder("bus/nd/devices/region0/namespace0.0/block/pmem0");
        assert_eq!(block_device(sys.path(), 3).as_deref(), Some("pmem3"));
    }

    #[test]
    fn parts_and_checked_memory_are_refused_by_name() {
        for (text, name) in [
            (r#"{"MountPath":"/m","MappingInfo":{"DeviceSizeInBytes":4096}}"#, "MappingInfo"),
            (r#"{"MountPath":"/m","VerityInfo":{"Version":1}}"#, "VerityInfo"),
        ] {
            let error = add(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert_eq!((error.cause, error.path), (Cause::NotSupported, Some(member(name))));
        }
        assert_eq!(add(&VPMemDevice::default()).unwrap_err().cause, Cause::InvalidArgument);
    }
}
