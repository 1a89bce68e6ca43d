//! Devices of the host that the container may use: AssignedDevices, and `linux.devices` of an OCI specification.
//!
//! Planned by hcsd from the document; found by the worker when the container is created; their nodes are made by the
//! container's first process in its own /dev. In cgroup v1 the device controller lets them through. In v2 nothing
//! else can be reached, because no process of a container can make nodes.

use std::{
    ffi::CString,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
};

use hcs_core::{Cause, Error};
use hcs_schema::{Container, DeviceType, OciDevice, OciDeviceType};
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, Uid},
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags},
};
use serde::{Deserialize, Serialize};

use crate::{confinement::DEVICES, launch::c_string};

/// A device that is assigned to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where its node is in the container, below /dev.
    pub path: String,
    /// Which device.
    pub source: Source,
    /// Permissions of the node; without them those of the host's.
    pub mode: Option<u32>,
    /// Its owner and group.
    pub owner: [u32; 2],
    /// The member of the document.
    pub blame: String,
}

/// Which device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// That of a node of the host.
    Host(String),
    /// One by its number.
    Number {
        /// A block device, not one of characters.
        is_block: bool,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// A device with everything that its node takes.
pub struct Found {
    name: CString,
    folders: Vec<CString>,
    kind: FileType,
    major: u32,
    minor: u32,
    mode: Mode,
    owner: [u32; 2],
}

const USUAL_MODE: u32 = 0o666;

/// The devices that a document assigns.
pub(crate) fn plan(container: &Container) -> Result<Vec<Device>, Error> {
    let mut devices = Vec::new();
    for (index, device) in container.assigned_devices.iter().flatten().enumerate() {
        let at = format!("$.Container.AssignedDevices[{index}]");
        match device.type_.unwrap_or(DeviceType::DeviceInstance) {
            DeviceType::DeviceInstance => {}
            kind => {
                let detail = format!("found {kind}; there are no classes of devices on Linux");
                return Err(Error::new(Cause::NotSupported, detail)
                    .at(format!("{at}.Type"))
                    .hint("Use DeviceInstance, with the path of a device node as LocationPath."));
            }
        }
        let at = format!("{at}.LocationPath");
        let path = below_dev(device.location_path.as_deref(), &at)?;
        devices.push(Device {
            source: Source::Host(path.clone()),
            path,
            mode: None,
            owner: [0, 0],
            blame: at,
        });
    }
    Ok(devices)
}

/// A device of an OCI specification.
pub(crate) fn of_oci(device: &OciDevice, at: &str) -> Result<Device, Error> {
    let is_block = match device.type_.unwrap_or_default() {
        OciDeviceType::Character | OciDeviceType::Unbuffered => false,
        OciDeviceType::Block => true,
        OciDeviceType::Pipe => {
            return Err(Error::new(Cause::NotSupported, "a pipe is no device").at(format!("{at}.type")));
        }
    };
    let number = |value: Option<i64>, name: &str| {
        u32::try_from(value.unwrap_or(0)).map_err(|_| {
            let detail = format!("found {}, expected a device number", value.unwrap_or(0));
            Error::new(Cause::InvalidData, detail).at(format!("{at}.{name}"))
        })
    };
    Ok(Device {
        path: below_dev(device.path.as_deref(), &format!("{at}.path"))?,
        source: Source::Number {
            is_block,
            major: number(device.major, "major")?,
            minor: number(device.minor, "minor")?,
        },
        mode: Some(device.file_mode.unwrap_or(USUAL_MODE) & 0o777),
        owner: [device.uid.unwrap_or(0), device.gid.unwrap_or(0)],
        blame: at.to_owned(),
    })
}

fn below_dev(path: Option<&str>, at: &str) -> Result<String, Error> {
    let path = path.unwrap_or_default();
    let plain = |rest: &str| rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if path.strip_prefix("/dev/").is_some_and(plain) && !path.contains('\0') {
        return Ok(path.to_owned());
    }
    Err(Error::new(
        Cause::InvalidData,
        format!("found {path:?}, expected the path of a device node below /dev"),
    )
    .at(at))
}

/// Looks for a device on the host. Runs in the worker.
pub(crate) fn find(device: &Device) -> Result<Found, Error> {
    let (kind, major, minor, mode) = match &device.source {
        Source::Number { is_block, major, minor } => {
            let kind = if *is_block { FileType::BlockDevice } else { FileType::CharacterDevice };
            (kind, *major, *minor, USUAL_MODE)
        }
        Source::Host(path) => {
            let found = std::fs::metadata(path)
                .map_err(|error| Error::from_io(&error, format!("looking for {path:?}")).at(&device.blame))?;
            let kind = match found.file_type() {
                kind if kind.is_char_device() => FileType::CharacterDevice,
                kind if kind.is_block_device() => FileType::BlockDevice,
                _ => {
                    let detail = format!("{path:?} is no device");
                    return Err(Error::new(Cause::InvalidData, detail).at(&device.blame));
                }
            };
            (kind, rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()), found.mode() & 0o777)
        }
    };
    let relative = device.path.trim_start_matches('/');
    let folders = relative.match_indices('/').map(|(end, _)| c_string(&relative[..end]));
    Ok(Found {
        name: c_string(relative)?,
        folders: folders.collect::<Result<_, _>>()?,
        kind,
        major,
        minor,
        mode: Mode::from_raw_mode(device.mode.unwrap_or(mode)),
        owner: device.owner,
    })
}

/// A node of the host, to be mounted: where below /dev, and a detached mount of it.
pub(crate) struct Node {
    /// Relative to the root.
    pub name: CString,
    mount: OwnedFd,
}

/// Opens the nodes of every container and those that are assigned to this one.
pub(crate) fn open_nodes(assigned: &[Found]) -> Result<Vec<Node>, Error> {
    let usual = DEVICES.iter().map(|node| c_string(&format!("dev/{}", node.name.to_string_lossy())));
    let names = usual.chain(assigned.iter().map(|found| Ok(found.name.clone())));
    let open = |name: CString| {
        let path = c_string(&format!("/{}", name.to_string_lossy()))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = rustix::mount::open_tree(CWD, path.as_c_str(), flags).map_err(|errno| {
            Error::from_errno(errno.raw_os_error(), format!("opening the host's {path:?}"))
        })?;
        Ok(Node { name, mount })
    };
    names.map(|name| open(name?)).collect()
}

impl Node {
    /// Mounts it. Runs in the container's first process.
    pub(crate) fn attach(&self) -> Result<(), Errno> {
        let name = self.name.as_c_str();
        match rustix::fs::mknodat(CWD, name, FileType::RegularFile, Mode::empty(), 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&self.mount, c"", CWD, name, flags)
    }
}

impl Found {
    /// The line of the v1 device controller.
    pub fn rule(&self) -> String {
        let kind = if self.kind == FileType::BlockDevice { 'b' } else { 'c' };
        format!("{kind} {}:{} rwm", self.major, self.minor)
    }

    /// Makes the folders on the way to the node.
    pub(crate) fn make_folders(&self) -> Result<(), Errno> {
        for folder in &self.folders {
            match rustix::fs::mkdir(folder.as_c_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Makes the node. Runs in the container's first process, in a /dev that only it has seen so far.
    pub(crate) fn make(&self) -> Result<(), Errno> {
        self.make_folders()?;
        let number = rustix::fs::makedev(self.major, self.minor);
        let name = self.name.as_c_str();
        rustix::fs::mknodat(CWD, name, self.kind, self.mode, number)?;
        let [uid, gid] = self.owner;
        rustix::fs::chownat(CWD, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_below_dev_and_nowhere_else() {
        for path in ["/etc/passwd", "/dev", "/dev/", "/dev/../etc/x", "/dev//a", "fuse", ""] {
            assert!(below_dev(Some(path), "$").is_err(), "{path}");
        }
        assert_eq!(below_dev(Some("/dev/net/tun"), "$").unwrap(), "/dev/net/tun");
    }

    #[test]
    fn what_is_no_device_is_told() {
        let device = |path: &str| Device {
            path: path.to_owned(),
            source: Source::Host(path.to_owned()),
            mode: None,
            owner: [0, 0],
            blame: "$.Container.AssignedDevices[0].LocationPath".to_owned(),
        };
        assert_eq!(find(&device("/dev/null")).unwrap().rule(), "c 1:3 rwm");
        assert_eq!(find(&device("/dev/no-such-node")).err().unwrap().cause, Cause::FileNotFound);
        assert_eq!(find(&device("/dev/pts")).err().unwrap().cause, Cause::InvalidData);
    }
}
