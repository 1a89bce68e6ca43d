//! The resource MappedDirectory: a folder of the host at a path of the machine.
//!
//! - **By virtiofs.** Our hosts give a machine one file system in which every share is a folder by its name, so that shares
//!   come and go without a device of their own. It is mounted when the first share is added, and stays. A share is a file
//!   system of its own there, which the kernel mounts when its folder is opened.
//! - **By 9P.** A host that is called by sockets has a server at the port in the settings, which is asked for the share by its
//!   name. Each mount is a connection, which the kernel has from then on.
//!
//! Where the machine has a port to its host, or nobody answers at that of the settings, it is the first.

mod asked;

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use hcs_core::{Cause, Error};
use rustix::{
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
use crate::{port, vsock};

pub use asked::{CALLED, answer};

/// What the host calls the file system of all shares.
const TAG: &str = "hcs";
/// How long a message of 9P may be; hosts of others ask for no more.
const LONGEST_MESSAGE: u32 = 64 << 10;
/// Where it is mounted.
const ALL: &str = "/run/hcs/shares";

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MappedDirectory {
    mount_path: String,
    share_name: String,
    read_only: bool,
    port: u32,
}

/// Shows the share there.
pub fn add(share: &MappedDirectory) -> Result<(), Error> {
    absolute(&share.mount_path, "MountPath")?;
    let name = name(share)?;
    if let Some(server) = call(share) {
        return add_by_9p(share, name, &server);
    }
    mount_all()?;
    let folder = match asked::open(name) {
        // Whoever has been refused once by its server stays so. By now that may serve it.
        Err(Errno::CONNREFUSED | Errno::NOTCONN) => {
            rustix::mount::unmount(ALL, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                .map_err(|errno| Error::from_errno(errno.raw_os_error(), format!("detaching {ALL}")))?;
            mount_all()?;
            asked::open(name)
        }
        opened => opened,
    };
    let folder = folder.map_err(|errno| failed(errno, "opening", name))?;
    let mut place = MountPoint::make(&share.mount_path, 0o755)?;
    place.bind(folder.as_fd(), share.read_only)?;
    place.keep();
    Ok(())
}

/// Who serves the share by 9P, if anybody does.
fn call(share: &MappedDirectory) -> Option<OwnedFd> {
    let is_named = share.port != 0 && !port::is_there();
    is_named.then(|| vsock::call(share.port).ok()).flatten()
}

/// Has the kernel mount what is served there.
fn add_by_9p(share: &MappedDirectory, name: &str, server: &OwnedFd) -> Result<(), Error> {
    let options = options(name, server.as_raw_fd())?;
    let mut place = MountPoint::make(&share.mount_path, 0o755)?;
    let flags = if share.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    place.mount(name, "9p", flags, &options).map_err(|error| match error.errno {
        // What the host says of it is what a kernel says of a folder.
        Some(errno) if errno == Errno::NOENT.raw_os_error() => no_share(name),
        Some(errno)
            if [Errno::NODEV, Errno::INVAL, Errno::SRCH].map(Errno::raw_os_error).contains(&errno) =>
        {
            error.hint("The machine's kernel needs the modules 9p and 9pnet_fd.")
        }
        _ => error,
    })?;
    place.keep();
    Ok(())
}

/// How the kernel is told.
fn options(name: &str, server: i32) -> Result<String, Error> {
    if name.contains(',') {
        return Err(Error::new(Cause::InvalidArgument, format!("the share is called {name:?}"))
            .at(member("ShareName"))
            .hint("Its name is an option of a mount, and must have no comma."));
    }
    Ok(format!(
        "trans=fd,rfdno={server},wfdno={server},version=9p2000.L,msize={LONGEST_MESSAGE},aname={name}"
    ))
}

fn no_share(name: &str) -> Error {
    Error::new(Cause::NotFound, format!("the host has no share {name:?}"))
        .at(member("ShareName"))
        .hint("Add it to the shares of the machine first.")
}

/// Takes it away, and what the kernel has mounted for it, so that nothing of the machine uses the share any more.
pub fn remove(share: &MappedDirectory) -> Result<(), Error> {
    mount_point::remove(&share.mount_path, "MountPath")?;
    let Ok(name) = name(share) else { return Ok(()) };
    let place = Path::new(ALL).join(name);
    if !mount_table::has(&place)? {
        return Ok(());
    }
    match asked::detach(name) {
        // The kernel has been quicker: it removes it with the folder.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(errno, "detaching", name)),
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

fn failed(errno: Errno, doing: &str, name: &str) -> Error {
    let error = Error::from_errno(errno.raw_os_error(), format!("{doing} the share {name:?} in {ALL}"))
        .at(member("ShareName"));
    match errno {
        Errno::NOENT => no_share(name),
        Errno::TIMEDOUT => Error { cause: Cause::DeadlineExceeded, ..error }
            .hint("The host's server of shared folders does not answer; start the machine anew."),
        _ => error,
    }
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
        assert_eq!(share.port, 564);
    }

    #[test]
    fn the_kernel_is_told_of_the_share_and_of_nothing_else() {
        let told = options("0", 7).unwrap();
        assert_eq!(told, "trans=fd,rfdno=7,wfdno=7,version=9p2000.L,msize=65536,aname=0");
        let error = options("a,access=any", 7).unwrap_err();
        assert_eq!((error.cause, error.path), (Cause::InvalidArgument, Some(member("ShareName"))));
    }
}
