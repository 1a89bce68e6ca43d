//! The files of a plan, opened as the machine's own user, and its sockets, made.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use hcs_container::host_process::with_rights_of;
use hcs_core::{Cause, Error};
use hcs_disks::image::Image;
use rustix::{
    fs::{CWD, FileType, MemfdFlags, Mode, OFlags},
    io::Errno,
};

use crate::{
    command::{Medium, Numbers},
    devices::{Layout, Mapping},
    firmware, host_socket,
    memory::Memory,
    persistent::{self, Persistent},
    plan::{Boot, Disk, Host, Pipe, Plan, SharedRegion, disks},
};

/// Everything that QEMU is given open.
pub struct Files {
    kernel: Option<File>,
    initrd: Option<File>,
    firmware: Option<[File; 2]>,
    kvm: Option<File>,
    disks: Vec<Vec<(File, Layout)>>,
    adapters: Vec<Option<OwnedFd>>,
    serial_ports: [Option<OwnedFd>; 2],
    virtio_ports: Vec<OwnedFd>,
    memory: Memory,
    persistent: Vec<(Persistent, Mapping)>,
    shared: Vec<(File, Mapping)>,
    tpm: Option<OwnedFd>,
    folders: Option<OwnedFd>,
    sockets: Option<OwnedFd>,
    guest: Option<OwnedFd>,
    log: OwnedFd,
    /// Not for QEMU, but for us: where one waits who wants to look at the screen.
    viewers: Option<OwnedFd>,
}

/// What others are behind.
pub struct Conversations {
    /// Each adapter.
    pub adapters: Vec<Option<OwnedFd>>,
    /// The trusted platform module.
    pub tpm: Option<OwnedFd>,
    /// Folders of the host.
    pub folders: Option<OwnedFd>,
    /// Sockets to programs of the host.
    pub sockets: Option<OwnedFd>,
    /// The agent in the guest.
    pub guest: Option<OwnedFd>,
    /// The consoles of the guest.
    pub log: OwnedFd,
    /// Its memory.
    pub memory: Memory,
    /// Firmware, and the store of its variables.
    pub firmware: Option<[File; 2]>,
}

impl Files {
    /// Opens and makes them; what others are behind is there already. On failure no socket is left.
    pub fn open(plan: &Plan, conversations: Conversations) -> Result<Files, Error> {
        let Conversations { adapters, tpm, folders, sockets: carried, guest, log, memory, firmware } =
            conversations;
        let host = &plan.host;
        let (mut kernel, mut initrd) = (None, None);
        if let Some(files) = plan.boot.kernel() {
            kernel = Some(open(host, &files.kernel, OFlags::RDONLY, &files.blame[0])?);
            if let Some(path) = &files.initrd {
                initrd = Some(open(host, path, OFlags::RDONLY, &files.blame[1])?);
            }
        }
        // The machine's own user has no right to it, and needs none.
        let kvm = plan
            .host
            .kvm
            .then(|| open(&Host::default(), "/dev/kvm", OFlags::RDWR, "$.VirtualMachine"))
            .transpose()?;
        let disks = plan
            .controllers
            .iter()
            .map(|controller| controller.disks.iter().map(|disk| medium(host, disk)).collect())
            .collect::<Result<Vec<Vec<_>>, Error>>()?;
        let persistent = plan.persistent.iter().flat_map(|memory| &memory.devices);
        let persistent = persistent.map(|device| persistent::open(host, device)).collect::<Result<_, _>>()?;
        let shared = plan.shared.iter().map(|region| self::shared(host, region)).collect::<Result<_, _>>()?;
        let mut sockets = Sockets::default();
        let mut serial_ports = [None, None];
        for (port, pipe) in serial_ports.iter_mut().zip(&plan.serial_ports) {
            *port = pipe.as_ref().map(|pipe| sockets.make(pipe)).transpose()?;
        }
        let virtio_ports = plan.virtio_ports.iter().map(|port| sockets.make(&port.pipe));
        let virtio_ports = virtio_ports.collect::<Result<Vec<_>, Error>>()?;
        let screen = plan.display.as_ref().and_then(|display| display.pipe.as_ref());
        let viewers = screen.map(|pipe| sockets.make(pipe)).transpose()?;
        sockets.keep();
        Ok(Files {
            kernel,
            initrd,
            firmware,
            kvm,
            disks,
            adapters,
            serial_ports,
            virtio_ports,
            memory,
            persistent,
            shared,
            tpm,
            folders,
            sockets: carried,
            guest,
            log,
            viewers,
        })
    }

    /// The memory behind each device of persistent memory, for us: files are put into that of some.
    pub fn persistent(&self) -> Result<Vec<Persistent>, Error> {
        self.persistent.iter().map(|(persistent, _)| persistent.try_clone()).collect()
    }

    /// Its memory, for us.
    pub fn memory(&self) -> Result<Memory, Error> {
        self.memory.try_clone()
    }

    /// Where one waits who wants to look at the screen.
    pub fn viewers(&mut self) -> Option<OwnedFd> {
        self.viewers.take()
    }

    /// The numbers under which QEMU finds them.
    pub fn numbers(&self) -> Numbers {
        let number = |file: &Option<File>| file.as_ref().map(File::as_raw_fd);
        let medium = |(file, layout): &(File, Layout)| Medium { file: file.as_raw_fd(), layout: *layout };
        Numbers {
            kernel: number(&self.kernel),
            initrd: number(&self.initrd),
            firmware: self.firmware.as_ref().map(|files| files.each_ref().map(File::as_raw_fd)),
            kvm: number(&self.kvm),
            disks: self.disks.iter().map(|disks| disks.iter().map(medium).collect()).collect(),
            adapters: self.adapters.iter().map(|link| link.as_ref().map(OwnedFd::as_raw_fd)).collect(),
            serial_ports: self.serial_ports.each_ref().map(|port| port.as_ref().map(OwnedFd::as_raw_fd)),
            virtio_ports: self.virtio_ports.iter().map(OwnedFd::as_raw_fd).collect(),
            memory: [Some(self.memory.boot.as_raw_fd()), self.memory.more.as_ref().map(File::as_raw_fd)],
            memory_is_private: self.memory.is_private,
            persistent: self.persistent.iter().map(|(_, mapping)| *mapping).collect(),
            shared: self.shared.iter().map(|(_, mapping)| *mapping).collect(),
            tpm: self.tpm.as_ref().map(OwnedFd::as_raw_fd),
            folders: self.folders.as_ref().map(OwnedFd::as_raw_fd),
            sockets: self.sockets.as_ref().map(OwnedFd::as_raw_fd),
            guest: self.guest.as_ref().map(OwnedFd::as_raw_fd),
            log: self.log.as_raw_fd(),
        }
    }

    /// All of them.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let files = [&self.kernel, &self.initrd, &self.kvm].into_iter().flatten();
        let files =
            files.chain(self.firmware.iter().flatten()).chain([&self.memory.boot]).chain(&self.memory.more);
        let disks = self.disks.iter().flatten().map(|(file, _)| file);
        let sockets = self
            .serial_ports
            .iter()
            .flatten()
            .chain(&self.virtio_ports)
            .chain([&self.log])
            .chain(&self.tpm)
            .chain(&self.folders)
            .chain(&self.sockets)
            .chain(&self.guest);
        let adapters = self.adapters.iter().flatten();
        let persistent = self.persistent.iter().map(|(persistent, _)| &persistent.file);
        let mapped = persistent.chain(self.shared.iter().map(|(file, _)| file));
        files
            .chain(disks)
            .chain(mapped)
            .map(File::as_fd)
            .chain(sockets.chain(adapters).map(OwnedFd::as_fd))
            .collect()
    }
}

/// Opens what the machine's user may open.
pub fn open(host: &Host, path: &str, flags: OFlags, blame: &str) -> Result<File, Error> {
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

/// Firmware of the host, and the variables that it is delivered with, in memory.
pub fn firmware(plan: &Plan) -> Result<Option<[File; 2]>, Error> {
    let Boot::Uefi { secure, .. } = plan.boot else { return Ok(None) };
    let qemu = &plan.host.qemu;
    let found = firmware::find(crate::prefix(Path::new(qemu)), secure)?;
    let failed = |error: std::io::Error| Error::from_io(&error, "reading the firmware");
    let code = File::open(&found.code).map_err(failed)?;
    let mut bytes = Vec::new();
    File::open(&found.variables).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
    let variables = rustix::fs::memfd_create("hcs-variables", MemfdFlags::CLOEXEC).map_err(|errno| {
        Error::from_errno(errno.raw_os_error(), "making room for the firmware's variables")
    })?;
    let mut variables = File::from(variables);
    variables.write_all(&bytes).map_err(failed)?;
    Ok(Some([code, variables]))
}

/// Opens what a disk is.
pub fn medium(host: &Host, disk: &Disk) -> Result<(File, Layout), Error> {
    let flags = if disk.read_only { OFlags::RDONLY } else { OFlags::RDWR };
    let file = open(host, &disk.path, flags, &disk.blame)?;
    let kind = rustix::fs::fstat(&file).map(|about| FileType::from_raw_mode(about.st_mode));
    let is_device = kind == Ok(FileType::BlockDevice);
    if is_device != (disk.medium == disks::Medium::Device) {
        let (found, expected) =
            if is_device { ("a disk of the host", "an image") } else { ("no disk of the host", "one") };
        let detail = format!("found {found} at {}, expected {expected}", disk.path);
        return Err(Error::new(Cause::InvalidData, detail).at(&disk.blame));
    }
    // What a guest writes on a raw disk must not make it something else, so that format goes by its name.
    let layout = match Path::new(&disk.path).extension().and_then(|end| end.to_str()) {
        _ if is_device => Layout::Device,
        Some("qcow2") => Layout::Driver("qcow2"),
        _ => Layout::of(Image::of(&file).map_err(|error| error.at(&disk.blame))?),
    };
    Ok((file, layout))
}

/// Opens memory that host and guest share.
pub fn shared(host: &Host, region: &SharedRegion) -> Result<(File, Mapping), Error> {
    let flags = if region.writable { OFlags::RDWR } else { OFlags::RDONLY };
    let file = open(host, &region.path, flags, &format!("{}.SectionName", region.blame))?;
    let has = file.metadata().map(|about| about.len()).unwrap_or(0);
    if region.offset.checked_add(region.length).is_none_or(|end| end > has) {
        let detail =
            format!("found {} bytes from {} on, and {} has {has}", region.length, region.offset, region.path);
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{}.Length", region.blame)));
    }
    let mapping = Mapping {
        file: i64::from(file.as_raw_fd()),
        offset: region.offset,
        length: region.length,
        read_only: !region.writable,
    };
    Ok((file, mapping))
}

/// Sockets that were made, and go again unless they are kept.
#[derive(Default)]
struct Sockets<'a>(Vec<&'a str>);

impl<'a> Sockets<'a> {
    fn make(&mut self, pipe: &'a Pipe) -> Result<OwnedFd, Error> {
        let socket = host_socket::listen(pipe)?;
        self.0.push(&pipe.socket);
        Ok(socket)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Sockets<'_> {
    fn drop(&mut self) {
        host_socket::remove(self.0.drain(..));
    }
}
