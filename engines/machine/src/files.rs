//! The files of a plan, opened as the machine's own user, and its sockets, made.

use std::{
    fs::File,
    io::{Read, Write},
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use hcs_container::host_process::with_rights_of;
use hcs_core::{Cause, Error};
use hcs_disks::image::Image;
use hcs_state::runtime::copy_memory;
use rustix::{
    fs::{CWD, FallocateFlags, FileType, MemfdFlags, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::{
    command::{Medium, Numbers},
    devices::{Layout, Mapping},
    firmware,
    memory::{self, Memory},
    plan::{
        Boot, Content, Disk, Host, MappedFile, PersistentDevice, Pipe, Plan, SharedRegion, disks,
        mapped::PIECE,
    },
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
        let persistent = persistent.map(|device| self::persistent(host, device)).collect::<Result<_, _>>()?;
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

/// What a guest finds as persistent memory.
#[derive(Debug)]
pub struct Persistent {
    /// The memory: the file itself, or ours with what was copied into it.
    pub file: File,
    /// Where each file is in memory of ours.
    places: Vec<Range<u64>>,
}

impl Persistent {
    fn try_clone(&self) -> Result<Self, Error> {
        let file =
            self.file.try_clone().map_err(|error| Error::from_io(&error, "holding persistent memory"))?;
        Ok(Self { file, places: self.places.clone() })
    }

    /// Puts a file there. One memory cannot be made of several files, so it is copied.
    pub fn map(&mut self, host: &Host, file: &MappedFile, size: u64) -> Result<(), Error> {
        let image = open(host, &file.path, OFlags::RDONLY, &file.blame)?;
        let length = Image::of(&image).map_err(|error| error.at(&file.blame))?.plain;
        let length = length.filter(|length| *length > 0);
        let end = length.and_then(|length| file.offset.checked_add(length)).filter(|end| *end <= size);
        let is_free = |place: &Range<u64>| {
            self.places.iter().all(|other| place.end <= other.start || other.end <= place.start)
        };
        let Some(place) = end.map(|end| file.offset..end).filter(is_free) else {
            let detail = format!(
                "found {}, expected a fixed image that has room at {} of {size} bytes",
                file.path, file.offset
            );
            return Err(Error::new(Cause::InvalidData, detail).at(&file.blame));
        };
        copy_memory(&image, &self.file, &place).map_err(|error| {
            // What is half copied is no part of the device, and what comes there next takes it for zeros.
            let _ = self.clear(&place);
            Error::from_io(&error, format!("copying {} into memory", file.path)).at(&file.blame)
        })?;
        self.places.push(place);
        Ok(())
    }

    /// Takes away the file that begins at an offset: nothing is there then.
    pub fn unmap(&mut self, offset: u64) -> Result<(), Error> {
        let Some(index) = self.places.iter().position(|place| place.start == offset) else { return Ok(()) };
        self.clear(&self.places[index]).map_err(|errno| {
            Error::from_errno(errno.raw_os_error(), "taking a file out of persistent memory")
        })?;
        self.places.remove(index);
        Ok(())
    }

    /// Makes a place zero again.
    fn clear(&self, place: &Range<u64>) -> Result<(), Errno> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, how, place.start, place.end - place.start)
    }
}

/// Opens what a guest finds as persistent memory.
pub fn persistent(host: &Host, device: &PersistentDevice) -> Result<(Persistent, Mapping), Error> {
    let (persistent, length) = match &device.content {
        Content::File { path, size } => {
            let flags = if device.read_only { OFlags::RDONLY } else { OFlags::RDWR };
            let file = open(host, path, flags, &device.blame)?;
            let image = Image::of(&file).map_err(|error| error.at(&device.blame))?;
            let Some(length) = image.plain.filter(|length| *length > 0 && length % PIECE == 0) else {
                let detail = format!("found {path}, expected a fixed image of whole pieces of 2 MiB");
                return Err(Error::new(Cause::InvalidData, detail).at(&device.blame));
            };
            if let Some(size) = size.filter(|size| *size != length) {
                let detail = format!("found {path} of {length} bytes, expected {size} as SizeBytes says");
                return Err(Error::new(Cause::InvalidData, detail).at(&device.blame));
            }
            (Persistent { file, places: Vec::new() }, length)
        }
        Content::Files { size, files } => {
            let memory = memory::nameless("hcs-mappings", size >> 20)?;
            let mut persistent = Persistent { file: memory, places: Vec::new() };
            for one in files {
                persistent.map(host, one, *size)?;
            }
            (persistent, *size)
        }
    };
    let file = i64::from(persistent.file.as_raw_fd());
    Ok((persistent, Mapping { file, offset: 0, length, read_only: device.read_only }))
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
        let socket = listen(pipe)?;
        self.0.push(&pipe.socket);
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
pub fn listen(pipe: &Pipe) -> Result<OwnedFd, Error> {
    let path = pipe.socket.as_str();
    let make = || {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // Its mode is that of the socket it is made from; nobody else can connect at any moment.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, 1).inspect_err(|_| remove_sockets([path].into_iter()))?;
        Ok(socket)
    };
    make().map_err(|errno: Errno| {
        Error::from_errno(errno.raw_os_error(), format!("making the socket {path}")).at(&pipe.blame)
    })
}

/// Connects to a socket of somebody, as the machine's user.
pub fn connect(host: &Host, path: &str) -> Result<OwnedFd, Error> {
    let connected = with_rights_of(host.user, &[host.group], || connect_at_once(path));
    connected.and_then(|connected| connected).map_err(|errno| match errno {
        Errno::AGAIN => Error::new(Cause::InUse, format!("too many wait at {path} to be let in")),
        errno => Error::from_errno(errno.raw_os_error(), format!("connecting to {path}")),
    })
}

/// Connects to the socket at this path without waiting: `AGAIN` is that those who wait to be let in are too many.
pub fn connect_at_once(path: &str) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::fcntl_setfl(&socket, OFlags::empty())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_nobody_in_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("hcs-full-{}", std::process::id()));
        let path = path.to_str().unwrap();
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        let refused = loop {
            match connect_at_once(path) {
                Ok(socket) => waiting.push(socket),
                Err(errno) => break errno,
            }
        };
        remove_sockets([path].into_iter());
        assert_eq!((refused, waiting.is_empty()), (Errno::AGAIN, false));
    }
}
