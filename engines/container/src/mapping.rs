//! Folders and sockets of the host that appear in the container: MappedDirectories and MappedPipes.
//!
//! Planned by hcsd from the document; opened by the worker when the container is created, as detached copies of the
//! mounts with their attributes set; attached by the container's first process, below the root and nowhere else.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, OwnedFd},
};

use hcs_core::{Cause, Error};
use hcs_schema::{Container, MappedPipePathType, PathType};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags},
};
use serde::{Deserialize, Serialize};

use crate::{launch::c_string, sys};

/// Something of the host that is to appear in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Where it is on the host.
    pub host_path: String,
    /// Where it appears inside.
    pub container_path: String,
    /// It cannot be written there.
    pub read_only: bool,
    /// What it has to be.
    pub kind: Kind,
    /// The member that names the host path, to be blamed for it.
    pub blame: String,
}

/// What can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A folder with everything in it.
    Directory,
    /// A socket.
    Pipe,
}

/// Where a pipe appears whose name is no path.
const PIPES: &str = "/run";
/// What the engine itself mounts; a mapping there would take protection away.
const RESERVED: &[&str] = &["/proc", "/sys"];

/// The mappings that a document asks for, in its order.
pub fn plan(container: &Container) -> Result<Vec<Mapping>, Error> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for (index, directory) in container.mapped_directories.iter().flatten().enumerate() {
        let path = format!("$.Container.MappedDirectories[{index}]");
        if directory.host_path_type.is_some_and(|kind| kind != PathType::AbsolutePath) {
            return Err(only_absolute(&path));
        }
        mappings.push(Mapping {
            host_path: absolute(directory.host_path.as_deref(), &format!("{path}.HostPath"))?,
            container_path: inside(directory.container_path.as_deref(), &format!("{path}.ContainerPath"))?,
            read_only: directory.read_only.unwrap_or(false),
            kind: Kind::Directory,
            blame: format!("{path}.HostPath"),
        });
    }
    for (index, pipe) in container.mapped_pipes.iter().flatten().enumerate() {
        let path = format!("$.Container.MappedPipes[{index}]");
        if pipe.host_path_type.is_some_and(|kind| kind != MappedPipePathType::AbsolutePath) {
            return Err(only_absolute(&path));
        }
        let named = pipe.container_pipe_name.as_deref().map(|name| match name.contains('/') {
            false if !name.is_empty() => format!("{PIPES}/{name}"),
            _ => name.to_owned(),
        });
        mappings.push(Mapping {
            host_path: absolute(pipe.host_path.as_deref(), &format!("{path}.HostPath"))?,
            container_path: inside(named.as_deref(), &format!("{path}.ContainerPipeName"))?,
            read_only: false,
            kind: Kind::Pipe,
            blame: format!("{path}.HostPath"),
        });
    }
    for (index, mapping) in mappings.iter().enumerate() {
        if let Some(other) =
            mappings[..index].iter().find(|other| other.container_path == mapping.container_path)
        {
            return Err(Error::new(
                Cause::InvalidData,
                format!("{:?} and {:?} appear at the same place", other.host_path, mapping.host_path),
            )
            .at(mapping.blame.clone()));
        }
    }
    Ok(mappings)
}

fn only_absolute(path: &str) -> Error {
    Error::new(Cause::NotSupported, "there are no shares of a virtual machine here")
        .at(format!("{path}.HostPathType"))
        .hint("Leave it out; HostPath is then a path of the host.")
}

fn absolute(given: Option<&str>, path: &str) -> Result<String, Error> {
    let given = given.unwrap_or_default();
    if !given.starts_with('/') || given.contains('\0') {
        let detail = format!("found {given:?}, expected an absolute path");
        return Err(Error::new(Cause::InvalidData, detail).at(path));
    }
    Ok(given.to_owned())
}

/// A path inside: below the root, not above it, and not where the engine keeps what protects the host.
fn inside(given: Option<&str>, path: &str) -> Result<String, Error> {
    let given = absolute(given, path)?;
    let parts: Vec<&str> = given.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let place = format!("/{}", parts.join("/"));
    let is_below = |above: &str| place == above || place.starts_with(&format!("{above}/"));
    if parts.is_empty() || parts.contains(&"..") || RESERVED.iter().copied().any(is_below) {
        return Err(Error::new(Cause::InvalidData, format!("found {given:?}, where nothing can be mapped"))
            .at(path)
            .hint("Name a place below the root, without \"..\", and not in /proc or /sys."));
    }
    Ok(place)
}

/// A mapping that is ready to be attached.
pub struct Opened {
    /// A detached copy of the host's mounts.
    mount: OwnedFd,
    is_folder: bool,
    /// The place, and the folders on the way to it, outermost first; without the leading slash.
    way: Vec<CString>,
}

/// Opens what is to be mapped. What is missing or something else is told now, when nothing has been made.
pub fn open(mapping: &Mapping) -> Result<Opened, Error> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let opened = || -> Result<(OwnedFd, FileType), Errno> {
        let mount = rustix::mount::open_tree(CWD, &mapping.host_path, flags)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&mount)?.st_mode);
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, mapping.read_only);
        sys::set_mount_attributes(mount.as_fd(), c"", u64::from(attributes.bits()), true)?;
        Ok((mount, kind))
    };
    let (mount, kind) = opened().map_err(|errno| {
        Error::from_errno(errno.raw_os_error(), format!("opening {:?}", mapping.host_path)).at(&mapping.blame)
    })?;
    let wanted = match mapping.kind {
        Kind::Directory => FileType::Directory,
        Kind::Pipe => FileType::Socket,
    };
    if kind != wanted {
        let detail = format!("{:?} is a {kind:?}, expected a {wanted:?}", mapping.host_path);
        return Err(Error::new(Cause::InvalidData, detail).at(&mapping.blame));
    }
    let parts: Vec<&str> = mapping.container_path.trim_start_matches('/').split('/').collect();
    let way =
        (1..=parts.len()).map(|length| c_string(&parts[..length].join("/"))).collect::<Result<_, _>>()?;
    Ok(Opened { mount, is_folder: wanted == FileType::Directory, way })
}

/// Attaches a mapping, in the container's first process. Makes what is missing on the way.
pub fn attach(opened: &Opened) -> Result<(), Errno> {
    let (last, folders) = opened.way.split_last().ok_or(Errno::INVAL)?;
    for (index, folder) in folders.iter().enumerate() {
        make(folder, index.checked_sub(1).map(|above| &folders[above]), true)?;
    }
    make(last, folders.last(), opened.is_folder)?;
    let place = find(last)?;
    rustix::mount::move_mount(
        opened.mount.as_fd(),
        c"",
        place.as_fd(),
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// Finds a path below the root. Links of the image are followed, as every path in it is; they cannot lead out, and
/// those of /proc, which could, are not.
fn find(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)
}

/// Makes a folder, or an empty file, if there is nothing.
fn make(path: &CString, above: Option<&CString>, is_folder: bool) -> Result<(), Errno> {
    match find(path) {
        Err(Errno::NOENT) => {}
        other => return other.map(|_| ()),
    }
    let bytes = path.as_bytes_with_nul();
    let name = bytes.iter().rposition(|byte| *byte == b'/').map_or(bytes, |slash| &bytes[slash + 1..]);
    // What follows the last slash of a C string is a C string.
    let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
    let folder = find(above.map_or(c".", CString::as_c_str))?;
    if is_folder {
        rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755))
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o600)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Vec<Mapping>, Error> {
        plan(&hcs_schema::read::<Container>(text).unwrap().value)
    }

    #[test]
    fn folders_and_pipes_become_mappings_in_order() {
        let mappings = planned(
            r#"{"MappedDirectories":[{"HostPath":"/srv/data","ContainerPath":"//data/./in/","ReadOnly":true}],
                "MappedPipes":[{"HostPath":"/run/a.sock","ContainerPipeName":"docker_engine"},
                               {"HostPath":"/run/b.sock","ContainerPipeName":"/var/run/b.sock"}]}"#,
        )
        .unwrap();
        let told: Vec<_> = mappings
            .iter()
            .map(|one| (one.host_path.as_str(), one.container_path.as_str(), one.read_only, one.kind))
            .collect();
        assert_eq!(
            told,
            [
                ("/srv/data", "/data/in", true, Kind::Directory),
                ("/run/a.sock", "/run/docker_engine", false, Kind::Pipe),
                ("/run/b.sock", "/var/run/b.sock", false, Kind::Pipe),
            ]
        );
    }

    #[test]
    fn places_that_protect_the_host_and_paths_that_are_none_are_refused_with_their_member() {
        for (members, blamed) in [
            (r#""HostPath":"data","ContainerPath":"/data""#, "HostPath"),
            (r#""ContainerPath":"/data""#, "HostPath"),
            (r#""HostPath":"/data","ContainerPath":"data""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/a/../../b""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/proc/sys""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/./sys""#, "ContainerPath"),
        ] {
            let error = planned(&format!(r#"{{"MappedDirectories":[{{{members}}}]}}"#)).unwrap_err();
            assert_eq!(error.cause, Cause::InvalidData, "{members}");
            assert_eq!(error.path, Some(format!("$.Container.MappedDirectories[0].{blamed}")), "{members}");
        }
    }

    #[test]
    fn two_things_cannot_appear_at_one_place() {
        let error = planned(
            r#"{"MappedDirectories":[{"HostPath":"/a","ContainerPath":"/x"},{"HostPath":"/b","ContainerPath":"/x/"}]}"#,
        )
        .unwrap_err();
        assert_eq!(error.path.as_deref(), Some("$.Container.MappedDirectories[1].HostPath"));
    }
}
