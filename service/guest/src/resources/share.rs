//! The resource MappedDirectory: a folder of the host at a path of the machine.
//!
//! Our hosts give a machine one virtiofs file system in which every share is a folder by its name, so that shares come and
//! go without a device of their own. It is mounted when the first share is added, and stays. A share is a file system of
//! its own there, which the kernel mounts when its folder is opened.
//!
//! Other hosts have a server of 9P for each share, at the port in the settings. We have no such port, so it is read and
//! changes nothing.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountFlags, UnmountFlags},
};
use serde::Deserialize;

use super::{
    device,
    folder::{Folder, absolute},
    member,
    mount_point::{self, MountPoint},
    mount_table,
};

/// What the host calls the file system of all shares.
const TAG: &str = "hcs";
/// Where it is mounted.
const ALL: &str = "/run/hcs/shares";

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MappedDirectory {
    mount_path: String,
    share_name: String,
    read_only: bool,
}

/// Shows the share there.
pub fn add(share: &MappedDirectory) -> Result<(), Error> {
    absolute(&share.mount_path, "MountPath")?;
    let name = name(share)?;
    mount_all()?;
    let failed = |errno: Errno| {
        Error::from_errno(errno.raw_os_error(), format!("opening {ALL}"))
            .hint("Other things must not be mounted there.")
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let all = rustix::fs::open(ALL, flags, Mode::empty()).map_err(failed)?;
    let folder = open(&all, name)?;
    let mut place = MountPoint::make(&share.mount_path, 0o755)?;
    place.bind(folder.as_fd(), share.read_only)?;
    place.keep();
    Ok(())
}

/// Takes it away, and what the kernel has mounted for it, so that nothing of the machine uses the share any more.
pub fn remove(share: &MappedDirectory) -> Result<(), Error> {
    mount_point::remove(&share.mount_path, "MountPath")?;
    let Ok(name) = name(share) else { return Ok(()) };
    let place = Path::new(ALL).join(name);
    if !mount_table::has(&place)? {
        return Ok(());
    }
    match rustix::mount::unmount(&place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // The kernel has been quicker: it removes it with the folder.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::from_errno(errno.raw_os_error(), format!("detaching {}", place.display()))),
    }
}

/// Its name, which is that of one folder.
fn name(share: &MappedDirectory) -> Result<&str, Error> {
    let name = share.share_name.as_str();
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(Error::new(Cause::InvalidArgument, format!("the share is called {name:?}"))
            .at(member("ShareName"))
            .hint("Say the name of one folder, without slashes."));
    }
    Ok(name)
}

/// Opens the folder of a share. It is really opened, because only then the kernel mounts it.
fn open(all: &OwnedFd, name: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(all, name, flags, Mode::empty(), below).map_err(|errno| match errno {
        Errno::NOENT => Error::new(Cause::NotFound, format!("the host has no share {name:?}"))
            .at(member("ShareName"))
            .hint("Add it to the shares of the machine first."),
        _ => Error::from_errno(errno.raw_os_error(), format!("opening the share {name:?}"))
            .at(member("ShareName")),
    })
}

/// Mounts the file system of all shares, unless it is.
fn mount_all() -> Result<(), Error> {
    if mount_table::has(Path::new(ALL))? {
        return Ok(());
    }
    let mut place = MountPoint::at(Folder::make(ALL, 0o700, "ShareName")?);
    // Its device comes with the first share, and the kernel takes a moment to find it.
    let not_there = Some(Errno::INVAL.raw_os_error());
    let mounted = device::wait("the device of shared folders", || {
        match place.mount(TAG, "virtiofs", MountFlags::empty(), "") {
            Err(error) if error.errno == not_there => None,
            outcome => Some(outcome),
        }
    });
    mounted.and_then(|mounted| mounted).map_err(|error| {
        Error { cause: Cause::NotConfigured, ..error }.hint(
            "The document of the machine must have Devices.Plan9, and the machine's kernel the module virtiofs.",
        )
    })?;
    place.keep();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    #[test]
    fn a_share_is_one_folder_and_no_link() {
        let host = Recorded::new("shares");
        host.folder("0/inner").file("file", "").link("link", "0");
        let all = rustix::fs::open(host.path(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        open(&all, "0").unwrap();
        let error = open(&all, "1").unwrap_err();
        assert_eq!((error.cause, error.path), (Cause::NotFound, Some(member("ShareName"))));
        assert!(error.detail.contains("\"1\""), "{}", error.detail);
        for name in ["file", "link"] {
            assert_eq!(open(&all, name).unwrap_err().cause, Cause::PathNotFound, "{name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "a/b", "/etc", "a\0b"] {
            let share = MappedDirectory {
                mount_path: "/run/a".into(),
                share_name: name.into(),
                ..MappedDirectory::default()
            };
            let error = add(&share).unwrap_err();
            assert_eq!((error.cause, error.path), (Cause::InvalidArgument, Some(member("ShareName"))));
        }
        let share = MappedDirectory { share_name: "a..b c".into(), ..MappedDirectory::default() };
        assert_eq!(name(&share).unwrap(), "a..b c");
    }

    #[test]
    fn settings_are_read_as_hosts_write_them() {
        let text = r#"{"MountPath":"/run/mounts/m0","Port":564,"ShareName":"0","ReadOnly":true}"#;
        let share: MappedDirectory = serde_json::from_str(text).unwrap();
        assert_eq!((share.mount_path.as_str(), share.share_name.as_str()), ("/run/mounts/m0", "0"));
        assert!(share.read_only);
    }
}
