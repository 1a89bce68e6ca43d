//! The resource MappedVirtualDisk: a disk of the host, or a part of one, at a path of the machine.

use std::{fs, io, path::Path};

use hcs_core::{Cause, Error};
use rustix::mount::{MountFlags, MountPropagationFlags};
use serde::Deserialize;
use serde_json::Value;

use super::{
    device, filesystem,
    folder::{Folder, absolute},
    member,
    mount_point::{self, MountPoint},
    refused,
    scsi::{self, Place},
};

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MappedVirtualDisk {
    /// Where it is to be. Without this it is only attached, for which nothing is to be done here.
    mount_path: String,
    controller: u8,
    lun: u8,
    /// 0 is the whole disk.
    partition: u64,
    read_only: bool,
    encrypted: bool,
    verity_info: Option<Value>,
    ensure_filesystem: bool,
    filesystem: String,
    /// Of these only how mounts below it are seen elsewhere counts.
    options: Vec<String>,
    /// The path is to be a link to the device.
    block_dev: bool,
}

/// Waits for the disk and puts it there.
pub fn add(disk: &MappedVirtualDisk) -> Result<(), Error> {
    if disk.encrypted {
        return Err(refused("Encrypted").at(member("Encrypted")));
    }
    if disk.verity_info.is_some() {
        return Err(refused("VerityInfo").at(member("VerityInfo")));
    }
    if disk.mount_path.is_empty() {
        return Ok(());
    }
    absolute(&disk.mount_path, "MountPath")?;
    let (controller, lun) = (disk.controller, disk.lun);
    let what = match disk.partition {
        0 => format!("the disk at controller {controller}, LUN {lun}"),
        partition => format!("partition {partition} of the disk at controller {controller}, LUN {lun}"),
    };
    let node = device::wait(&what, || {
        scsi::block_device(Path::new(device::SYS), Place { controller, lun }, disk.partition)
            .and_then(|name| device::node(&name))
    })?;
    if disk.block_dev { link(&node, &disk.mount_path) } else { mount(&node, disk) }
}

fn mount(node: &str, disk: &MappedVirtualDisk) -> Result<(), Error> {
    if disk.ensure_filesystem {
        filesystem::ensure(Path::new(node), &disk.filesystem)?;
    }
    let filesystem = filesystem::choose(Path::new(node), &disk.filesystem)?;
    let mut place = MountPoint::make(&disk.mount_path, 0o700)?;
    if disk.read_only {
        place.mount(node, &filesystem, MountFlags::RDONLY, filesystem::as_it_is(&filesystem))?;
    } else {
        place.mount(node, &filesystem, MountFlags::empty(), "")?;
    }
    for option in &disk.options {
        match propagation(option) {
            Some(how) => place.propagate(how)?,
            None => {
                hcs_core::complain!("hcs-guest: {}: the option {option:?} changes nothing", disk.mount_path)
            }
        }
    }
    place.keep();
    Ok(())
}

fn propagation(option: &str) -> Option<MountPropagationFlags> {
    let (kind, below) = match option.strip_prefix('r') {
        Some(kind) => (kind, MountPropagationFlags::REC),
        None => (option, MountPropagationFlags::empty()),
    };
    let kind = match kind {
        "shared" => MountPropagationFlags::SHARED,
        "private" => MountPropagationFlags::PRIVATE,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some(kind | below)
}

fn link(node: &str, path: &str) -> Result<(), Error> {
    let path = absolute(path, "MountPath")?;
    let above = path.parent().filter(|above| above.parent().is_some());
    let above = above.map(|above| Folder::make(&above.to_string_lossy(), 0o700, "MountPath")).transpose()?;
    std::os::unix::fs::symlink(node, &path).map_err(|error| {
        Error::from_io(&error, format!("making {} a link to {node}", path.display())).at(member("MountPath"))
    })?;
    if let Some(above) = above {
        above.keep();
    }
    Ok(())
}

/// Takes it away from there; the disk stays attached.
pub fn remove(disk: &MappedVirtualDisk) -> Result<(), Error> {
    if disk.mount_path.is_empty() {
        return Ok(());
    }
    if disk.block_dev { unlink(&disk.mount_path) } else { mount_point::remove(&disk.mount_path, "MountPath") }
}

fn unlink(path: &str) -> Result<(), Error> {
    let path = absolute(path, "MountPath")?;
    let failed = |error: &io::Error| Error::from_io(error, format!("removing the link {}", path.display()));
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() => fs::remove_file(&path).map_err(|error| failed(&error)),
        Ok(_) => Err(Error::new(Cause::InvalidArgument, format!("{} is no link", path.display()))
            .at(member("MountPath"))
            .hint("Leave BlockDev out to have a disk removed that is mounted.")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    fn read(text: &str) -> MappedVirtualDisk {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn settings_are_read_as_hosts_write_them() {
        let disk = read(
            r#"{"MountPath":"/run/mounts/scsi/m1","Lun":1,"Controller":2,"EnsureFilesystem":true,"Filesystem":"ext4",
                "Options":["rshared"],"ReadOnly":true,"Partition":3,"BlockDev":true}"#,
        );
        assert_eq!((disk.mount_path.as_str(), disk.filesystem.as_str()), ("/run/mounts/scsi/m1", "ext4"));
        assert_eq!((disk.controller, disk.lun, disk.partition), (2, 1, 3));
        assert_eq!(disk.options, ["rshared"]);
        assert!(disk.ensure_filesystem && disk.read_only && disk.block_dev && !disk.encrypted);
        let disk = read(r#"{"MountPath":"/m"}"#);
        assert_eq!((disk.controller, disk.lun, disk.partition, disk.read_only), (0, 0, 0, false));
    }

    #[test]
    fn what_would_be_less_than_was_asked_for_is_refused_by_name() {
        for (text, name) in [
            (r#"{"MountPath":"/m","Encrypted":true}"#, "Encrypted"),
            (r#"{"MountPath":"/m","VerityInfo":{"RootDigest":"x"}}"#, "VerityInfo"),
        ] {
            let error = add(&read(text)).unwrap_err();
            assert_eq!((error.cause, error.path), (Cause::NotSupported, Some(member(name))));
        }
        assert_eq!(add(&read(r#"{"MountPath":"m"}"#)).unwrap_err().cause, Cause::InvalidArgument);
    }

    #[test]
    fn a_disk_without_a_path_is_only_attached() {
        add(&read(r#"{"Lun":9}"#)).unwrap();
        remove(&read(r#"{"Lun":9}"#)).unwrap();
    }

    #[test]
    fn only_propagation_is_taken_from_options() {
        use MountPropagationFlags as Flags;
        assert_eq!(propagation("shared"), Some(Flags::SHARED));
        assert_eq!(propagation("rslave"), Some(Flags::DOWNSTREAM | Flags::REC));
        assert_eq!(propagation("runbindable"), Some(Flags::UNBINDABLE | Flags::REC));
        assert_eq!(propagation("ro"), None);
        assert_eq!(propagation("noatime"), None);
    }

    #[test]
    fn a_block_device_is_a_link_that_comes_and_goes() {
        let there = Recorded::new("block-device");
        let path = there.path().join("run/disk").display().to_string();
        link("/dev/null", &path).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/dev/null"));
        assert_eq!(link("/dev/zero", &path).unwrap_err().cause, Cause::FileExists);
        unlink(&path).unwrap();
        unlink(&path).unwrap();
        there.file("run/disk", "somebody's");
        assert_eq!(unlink(&path).unwrap_err().cause, Cause::InvalidArgument);
    }
}
