//! The files of a plan, opened as the machine's own user, and its sockets, made.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use hcs_container::host_process::with_rights_of;
use hcs_core::{Cause, Error};
use hcs_disks::image::Image;
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::{
    command::{Layout, Medium, Numbers},
    plan::{Boot, Disk, Host, Plan},
};

/// Everything that QEMU is given open.
pub struct Files {
    kernel: File,
    initrd: Option<File>,
    kvm: Option<File>,
    disks: Vec<Vec<(File, Layout)>>,
    serial_ports: Vec<OwnedFd>,
    virtio_ports: Vec<OwnedFd>,
}

impl Files {
    /// Opens and makes them. On failure no socket is left.
    pub fn open(plan: &Plan) -> Result<Files, Error> {
        let Boot::Kernel { kernel, initrd, .. } = &plan.boot;
        let at = |member: &str| format!("$.VirtualMachine.Chipset.LinuxKernelDirect.{member}");
        let host = &plan.host;
        let kernel = open(host, kernel, OFlags::RDONLY, &at("KernelFilePath"))?;
        let initrd =
            initrd.as_ref().map(|path| open(host, path, OFlags::RDONLY, &at("InitRdPath"))).transpose()?;
        // The machine's own user has no right to it, and needs none.
        let kvm = plan
            .host
            .kvm
            .then(|| open(&Host::default(), "/dev/kvm", OFlags::RDWR, "$.VirtualMachine"))
            .transpose()?;
        let disks = plan
            .controllers
            .iter()
            .map(|disks| disks.iter().map(|disk| medium(host, disk)).collect())
            .collect::<Result<Vec<Vec<_>>, Error>>()?;
        let mut sockets = Sockets::default();
        let serial_ports = plan.serial_ports.iter().map(|port| sockets.make(&port.socket, &port.blame));
        let serial_ports = serial_ports.collect::<Result<Vec<_>, Error>>()?;
        let virtio_ports = plan.virtio_ports.iter().map(|port| sockets.make(&port.socket, &port.blame));
        let virtio_ports = virtio_ports.collect::<Result<Vec<_>, Error>>()?;
        sockets.keep();
        Ok(Files { kernel, initrd, kvm, disks, serial_ports, virtio_ports })
    }

    /// The numbers under which QEMU finds them.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            kernel: self.kernel.as_raw_fd(),
            initrd: self.initrd.as_ref().map(File::as_raw_fd),
            kvm: self.kvm.as_ref().map(File::as_raw_fd),
            disks: self
                .disks
                .iter()
                .map(|disks| {
                    disks
                        .iter()
                        .map(|(file, layout)| Medium { file: file.as_raw_fd(), layout: *layout })
                        .collect()
                })
                .collect(),
            serial_ports: self.serial_ports.iter().map(OwnedFd::as_raw_fd).collect(),
            virtio_ports: self.virtio_ports.iter().map(OwnedFd::as_raw_fd).collect(),
        }
    }

    /// All of them.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let files = [Some(&self.kernel), self.initrd.as_ref(), self.kvm.as_ref()]
            .into_iter()
            .flatten()
            .map(File::as_fd);
        let disks = self.disks.iter().flatten().map(|(file, _)| file.as_fd());
        let sockets = self.serial_ports.iter().chain(&self.virtio_ports).map(OwnedFd::as_fd);
        files.chain(disks).chain(sockets).collect()
    }
}

fn open(host: &Host, path: &str, flags: OFlags, blame: &str) -> Result<File, Error> {
    let opened = with_rights_of(host.user, &[host.group], || {
        rustix::fs::openat(CWD, path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
    });
    let file = opened.and_then(|opened| opened).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM => {
            Error::new(Cause::AccessDenied, format!("the machine may not open {path}")).at(blame).hint(
                "HcsGrantVmAccess gives it the right; it must also be allowed to search the folders above.",
            )
        }
        errno => Error::from_errno(errno.raw_os_error(), format!("opening {path}")).at(blame),
    })?;
    Ok(File::from(file))
}

fn medium(host: &Host, disk: &Disk) -> Result<(File, Layout), Error> {
    let flags = if disk.read_only { OFlags::RDONLY } else { OFlags::RDWR };
    let file = open(host, &disk.path, flags, &disk.blame)?;
    // What a guest writes on a raw disk must not make it something else, so that format goes by its name.
    let layout = match Path::new(&disk.path).extension().and_then(|end| end.to_str()) {
        Some("qcow2") => Layout::Driver("qcow2"),
        _ => Layout::of(Image::of(&file).map_err(|error| error.at(&disk.blame))?),
    };
    Ok((file, layout))
}

/// Sockets that were made, and go again unless they are kept.
#[derive(Default)]
struct Sockets<'a>(Vec<&'a str>);

impl<'a> Sockets<'a> {
    fn make(&mut self, path: &'a str, blame: &str) -> Result<OwnedFd, Error> {
        let socket = listen(path).map_err(|errno| {
            Error::from_errno(errno.raw_os_error(), format!("making the socket {path}")).at(blame)
        })?;
        self.0.push(path);
        Ok(socket)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Sockets<'_> {
    fn drop(&mut self) {
        remove_sockets(self.0.drain(..));
    }
}

/// Makes a socket at which one is waited for, for root.
fn listen(path: &str) -> Result<OwnedFd, Errno> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Its mode is that of the socket it is made from; nobody else can connect at any moment.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 1).inspect_err(|_| remove_sockets([path].into_iter()))?;
    Ok(socket)
}

/// Removes sockets that were made. What is something else stays.
pub fn remove_sockets<'a>(paths: impl Iterator<Item = &'a str>) {
    use std::os::unix::fs::FileTypeExt;
    for path in paths {
        if std::fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket()) {
            let _ = std::fs::remove_file(path);
        }
    }
}
