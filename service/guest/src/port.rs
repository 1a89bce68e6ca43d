//! The port at which the host is.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// What the host calls it.
const NAME: &str = "io.hcs.guest";
/// Where the kernel says what its ports are called.
const PORTS: &str = "/sys/class/virtio-ports";

/// Whether the machine has it.
pub fn is_there() -> bool {
    find(Path::new(PORTS)).is_some()
}

/// Opens it. Only one process has it at a time, so nobody else speaks for the machine.
pub fn open() -> Result<OwnedFd, Error> {
    let found = find(Path::new(PORTS)).ok_or_else(|| {
        Error::new(Cause::NotFound, format!("this machine has no port {NAME:?}"))
            .hint("Say GuestConnection in the document of the machine, and load the module virtio_console, or vmw_vsock_virtio_transport for UseVsock.")
    })?;
    let path = Path::new("/dev").join(found);
    rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).map_err(
        |errno| {
            let error = Error::from_errno(errno.raw_os_error(), format!("opening {}", path.display()));
            if errno == Errno::BUSY { error.hint("Another agent has it.") } else { error }
        },
    )
}

fn find(ports: &Path) -> Option<PathBuf> {
    let called = |port: &fs::DirEntry| fs::read_to_string(port.path().join("name")).unwrap_or_default();
    let mut ports = fs::read_dir(ports).ok()?.flatten();
    ports.find(|port| called(port).trim() == NAME).map(|port| PathBuf::from(port.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let folder = std::env::temp_dir().join(format!("hcs-guest-ports-{}", std::process::id()));
        for (port, name) in [("vport1p1", "org.other\n"), ("vport2p1", "io.hcs.guest\n")] {
            fs::create_dir_all(folder.join(port)).unwrap();
            fs::write(folder.join(port).join("name"), name).unwrap();
        }
        assert_eq!(find(&folder), Some(PathBuf::from("vport2p1")));
        fs::remove_dir_all(folder.join("vport2p1")).unwrap();
        assert_eq!(find(&folder), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
