//! Mounted disks.
//!
//! Each has a folder named after its file, with `mnt`, at which it is mounted, and what serves it. The folder is locked
//! while something changes in it. What a crash has left is taken away by the next who comes for the same disk.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::ErrorKind,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use hcs_core::{
    Cause, Error,
    lock::{self, Held},
    mountinfo,
};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{MountFlags, UnmountFlags},
};

use crate::{failure, gpt, loop_device, server::Server, view::View};

const POINT: &str = "mnt";

/// How long the loop device of one who was killed may take to go, and the pauses between looks at it.
const LETTING_GO: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Where mounted disks are.
#[derive(Clone, Debug)]
pub struct Disks {
    folder: PathBuf,
}

/// The folder of one disk, locked.
pub(crate) struct Place {
    pub folder: PathBuf,
    pub lock: Held<OwnedFd>,
}

impl Disks {
    /// Those below this folder, which is made when it is needed.
    pub fn at(folder: &Path) -> Disks {
        Disks { folder: folder.to_owned() }
    }

    /// Mounts the disk of an image. One that is mounted already stays where it is; the same disk always has the same
    /// place. An image that is open for reading only is mounted so.
    pub fn mount(&self, image: &File) -> Result<PathBuf, Error> {
        let place = self.place(image)?;
        let point = place.folder.join(POINT);
        let mut is_here = false;
        let mounted = (|| {
            is_here = is_mounted(&point)?;
            if is_here {
                return Ok(());
            }
            place.clear()?;
            expect_unused(image)?;
            let view = View::open(image, &place)?;
            let partition = gpt::find(&view.file, view.length)?;
            let device = loop_device::attach(&view, partition)?;
            fs::create_dir(&point).map_err(failure::io(&point, "making"))?;
            let flags = if view.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
            match rustix::mount::mount(&device.path, &point, "ext4", flags, None) {
                Err(Errno::INVAL) => Err(failure::invalid("the disk has no file system ext4")
                    .hint("HcsFormatWritableLayerVhd makes one.")),
                other => other.map_err(failure::on("mounting the disk")),
            }
        })();
        if mounted.is_err() && !is_here {
            // What resists is taken away by the next. A disk that is mounted does.
            let _ = place.clear().and_then(|()| place.remove());
        }
        mounted.map(|()| point)
    }

    /// Unmounts the disk of an image; one that is not mounted is fine. Whoever uses it keeps it: then this fails.
    pub fn unmount(&self, image: &File) -> Result<(), Error> {
        // Nothing is made where nothing is to be taken away.
        match self.folder.join(name(image)?).exists() {
            true => self.place(image)?.release(),
            false => Ok(()),
        }
    }

    /// Where the disk of an image is mounted, if it is.
    pub fn find(&self, image: &File) -> Result<Option<PathBuf>, Error> {
        let point = match fs::canonicalize(&self.folder) {
            Ok(base) => base.join(name(image)?).join(POINT),
            Err(_) => return Ok(None),
        };
        Ok(is_mounted(&point)?.then_some(point))
    }

    /// Whether a path is that of a mounted disk.
    pub fn is_mounted_at(&self, point: &Path) -> Result<bool, Error> {
        Ok(self.folder_of(point).is_some() && is_mounted(point)?)
    }

    /// Unmounts the disk that is mounted here.
    pub fn release_at(&self, point: &Path) -> Result<(), Error> {
        match self.folder_of(point) {
            Some(folder) => Place::lock(&folder)?.release(),
            None => Err(Error::new(Cause::NotFound, format!("no disk is mounted at {}", point.display()))),
        }
    }

    fn folder_of(&self, point: &Path) -> Option<PathBuf> {
        let base = fs::canonicalize(&self.folder).ok()?;
        let folder = point.parent().filter(|_| point.file_name().is_some_and(|name| name == POINT))?;
        (folder.parent() == Some(&base)).then(|| folder.to_owned())
    }

    /// The folder of an image's disk, locked. It is there afterwards.
    pub(crate) fn place(&self, image: &File) -> Result<Place, Error> {
        fs::create_dir_all(&self.folder).map_err(failure::io(&self.folder, "making"))?;
        // A disk is a stranger's: its programs may run as their owners, its devices be anybody's. Nobody on the host comes
        // to it by its place but root.
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))
            .map_err(failure::io(&self.folder, "closing"))?;
        let base = fs::canonicalize(&self.folder).map_err(failure::io(&self.folder, "looking at"))?;
        Place::lock(&base.join(name(image)?))
    }
}

impl Place {
    fn lock(folder: &Path) -> Result<Place, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = || loop {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match rustix::fs::openat(CWD, folder, flags, Mode::empty()) {
                // Who had it has just removed it.
                Err(Errno::NOENT) => {}
                opened => return Ok(opened?),
            }
        };
        let lock = lock::take_at(folder, make).map_err(failure::io(folder, "making and locking"))?;
        Ok(Place { folder: folder.to_owned(), lock })
    }

    /// Fails if the disk is mounted.
    pub fn expect_unmounted(&self) -> Result<(), Error> {
        let point = self.folder.join(POINT);
        if is_mounted(&point)? {
            return Err(Error::new(Cause::InUse, format!("the disk is mounted at {}", point.display())));
        }
        Ok(())
    }

    /// Takes away what serves a disk that is not mounted.
    pub fn clear(&self) -> Result<(), Error> {
        Server::of(&self.folder).end()?;
        match fs::remove_dir(self.folder.join(POINT)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failure::io(&self.folder, "clearing")(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the folder, in which nothing must be any more.
    pub fn remove(self) -> Result<(), Error> {
        fs::remove_dir(&self.folder).map_err(failure::io(&self.folder, "removing"))
    }

    fn release(self) -> Result<(), Error> {
        let point = self.folder.join(POINT);
        if is_mounted(&point)? {
            match rustix::mount::unmount(&point, UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) => {
                    let detail = format!("somebody uses the disk that is mounted at {}", point.display());
                    return Err(Error::new(Cause::InUse, detail));
                }
                other => other.map_err(failure::on("unmounting the disk"))?,
            }
        }
        self.clear()?;
        self.remove()
    }
}

/// A name for the disk that follows from which file it is in. The file is held by the mount, so its number is not given
/// to another.
fn name(image: &File) -> Result<String, Error> {
    let found = image.metadata().map_err(|error| Error::from_io(&error, "looking at the image"))?;
    if found.is_file() {
        Ok(format!("{:x}-{:x}", found.dev(), found.ino()))
    } else if found.file_type().is_block_device() {
        Ok(format!("disk-{:x}", found.rdev()))
    } else {
        Err(Error::new(Cause::InvalidArgument, "the handle is of no file and no disk"))
    }
}

fn is_mounted(point: &Path) -> Result<bool, Error> {
    Ok(mountinfo::points(&mountinfo::read()?).any(|mounted| mounted == point))
}

/// Fails if a loop device of somebody else is on the image. That of one who was killed over it goes by itself, when all have
/// closed it who look at devices; until then it is waited for, because nobody can be asked.
pub(crate) fn expect_unused(image: &File) -> Result<(), Error> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        let Some(device) = loop_device_on(image)? else { return Ok(()) };
        let goes_by_itself = fs::read(device.join("loop/autoclear")).is_ok_and(|said| said.starts_with(b"1"));
        if !goes_by_itself || Instant::now() > deadline {
            let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(Error::new(Cause::InUse, format!("the image is in use as /dev/{name}")));
        }
        thread::sleep(PAUSE);
    }
}

/// What the kernel tells of the loop device that is on an image, if there is one.
fn loop_device_on(image: &File) -> Result<Option<PathBuf>, Error> {
    let failed = |error: std::io::Error| Error::from_io(&error, "looking at the image");
    let own = image.metadata().map_err(failed)?;
    // Who cannot be seen must not be taken for nobody.
    for device in fs::read_dir("/sys/block").map_err(failed)? {
        let device = device.map_err(failed)?;
        let image = match fs::read(device.path().join("loop/backing_file")) {
            // No loop device, or one that has no image.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            image => image.map_err(failed)?,
        };
        if let Ok(other) = fs::metadata(OsStr::from_bytes(image.trim_ascii_end()))
            && (other.dev(), other.ino()) == (own.dev(), own.ino())
        {
            return Ok(Some(device.path()));
        }
    }
    Ok(None)
}
