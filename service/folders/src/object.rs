//! A file, a folder or whatever else there is in a share, and what can be done with it. It is open as a path only: that gives no
//! right to it and touches no device.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use hcs_container::file_owner;
use hcs_p9::{About, Qid, kind, known, open, set};
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Statx, StatxFlags, Timespec, Timestamps, Uid},
    io::Errno,
};

use crate::place::{Place, Share, about, below, check_name};

/// The bits of a mode that are no type.
const MODE: u32 = 0o7777;

/// Something in a share, as a user of the guest has come by it.
#[derive(Debug)]
pub struct Object {
    place: Rc<Place>,
    pub share: Rc<Share>,
    /// To whom belongs what is made below it.
    user: u32,
    file: OwnedFd,
}

/// What is to be known of one.
pub struct Known {
    pub qid: Qid,
    pub about: About,
    pub valid: u64,
}

/// What is to be changed.
pub struct Changes {
    pub valid: u32,
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub size: u64,
    pub accessed: [u64; 2],
    pub modified: [u64; 2],
}

impl Object {
    /// The root of a share, for this user.
    pub fn root(place: Rc<Place>, share: Rc<Share>, user: u32) -> Result<Object, Errno> {
        let file = rustix::io::fcntl_dupfd_cloexec(&share.root, 0)?;
        Ok(Object { place, share, user, file })
    }

    fn with(&self, file: OwnedFd) -> Object {
        Object { place: self.place.clone(), share: self.share.clone(), user: self.user, file }
    }

    /// The same once more.
    pub fn again(&self) -> Result<Object, Errno> {
        Ok(self.with(rustix::io::fcntl_dupfd_cloexec(&self.file, 0)?))
    }

    /// What has this name in it.
    pub fn step(&self, name: &[u8]) -> Result<Object, Errno> {
        check_name(name)?;
        below(self.fd(), name, OFlags::PATH, Mode::empty()).map(|file| self.with(file))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn about(&self) -> Result<Statx, Errno> {
        about(self.fd())
    }

    /// Whether it is still shared.
    pub fn is_there(&self, mounts: &BTreeSet<u64>) -> bool {
        !self.share.is_gone.get() && self.about().is_ok_and(|about| mounts.contains(&about.stx_mnt_id))
    }

    /// By what it is known from others.
    pub fn qid(&self) -> Result<Qid, Errno> {
        self.about().map(|about| self.qid_of(&about))
    }

    fn qid_of(&self, about: &Statx) -> Qid {
        let kind = kind_of(type_of(about));
        let written = about.stx_mtime.tv_nsec ^ about.stx_mtime.tv_sec as u32;
        let version = written ^ (about.stx_size as u32).rotate_left(8);
        let device = (about.stx_dev_major, about.stx_dev_minor);
        Qid { kind, version, path: self.place.number(device, about.stx_ino) }
    }

    /// That of what is called so by the folder that this is.
    pub fn qid_in(&self, of_folder: &Statx, inode: u64, kind: FileType) -> Qid {
        let device = (of_folder.stx_dev_major, of_folder.stx_dev_minor);
        Qid { kind: kind_of(kind), version: 0, path: self.place.number(device, inode) }
    }

    /// All that is known of it.
    pub fn known(&self) -> Result<Known, Errno> {
        let about = self.about()?;
        let time = |time: rustix::fs::StatxTimestamp| [time.tv_sec as u64, u64::from(time.tv_nsec)];
        let has_birth = about.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(Known {
            qid: self.qid_of(&about),
            valid: known::BASIC | if has_birth { known::BIRTH } else { 0 },
            about: About {
                mode: u32::from(about.stx_mode),
                user: about.stx_uid,
                group: about.stx_gid,
                links: u64::from(about.stx_nlink),
                device: device_number(about.stx_rdev_major, about.stx_rdev_minor),
                size: about.stx_size,
                block_size: u64::from(about.stx_blksize),
                blocks: about.stx_blocks,
                accessed: time(about.stx_atime),
                modified: time(about.stx_mtime),
                changed: time(about.stx_ctime),
                born: if has_birth { time(about.stx_btime) } else { [0; 2] },
                generation: 0,
                data_version: 0,
            },
        })
    }

    /// What is known of the file system that it is in.
    pub fn file_system(&self) -> Result<rustix::fs::StatFs, Errno> {
        rustix::fs::fstatfs(&self.file)
    }

    /// Where it leads, if it is a link. Nobody here follows it.
    pub fn target(&self) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.file, c"", Vec::new()).map(std::ffi::CString::into_bytes).map_err(
            |errno| match errno {
                // What the kernel says of what is no link.
                Errno::NOENT => Errno::INVAL,
                errno => errno,
            },
        )
    }

    /// Opens it, as flags of the protocol say. Only files and folders can be: what a pipe or a device does is done by the
    /// kernel of the guest.
    pub fn open(&self, flags: u32) -> Result<OwnedFd, Errno> {
        let about = self.about()?;
        match type_of(&about) {
            FileType::Directory if flags & (open::ACCESS | open::TRUNCATE) != 0 => Err(Errno::ISDIR),
            FileType::Directory => self.place.reopen(self.fd(), OFlags::RDONLY | OFlags::DIRECTORY),
            FileType::RegularFile => self.place.reopen(self.fd(), flags_of(flags)?),
            FileType::Symlink => Err(Errno::LOOP),
            _ => Err(Errno::NXIO),
        }
    }

    /// What may be changed here: nothing of the frame, whose rights are not those of a share.
    fn changeable(&self) -> Result<(), Errno> {
        if self.place.is_frame(&self.about()?) { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// A name in this folder, at which something is to be changed.
    fn place_of(&self, name: &[u8]) -> Result<(), Errno> {
        check_name(name)?;
        self.changeable()
    }

    /// Makes something in this folder, which belongs to the user and this group.
    fn make<T>(&self, name: &[u8], group: u32, make: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        self.place_of(name)?;
        file_owner::making_for(self.user, group, make)?
    }

    /// Makes a file and opens it; the file, and what it is opened as.
    pub fn create(&self, name: &[u8], flags: u32, mode: u32, group: u32) -> Result<(Object, OwnedFd), Errno> {
        let how = flags_of(flags)? | OFlags::NONBLOCK | OFlags::NOCTTY;
        let permissions = Mode::from_raw_mode(mode & MODE);
        let new = || below(self.fd(), name, how | OFlags::CREATE | OFlags::EXCL, permissions);
        let opened = match self.make(name, group, new) {
            Err(Errno::EXIST) if flags & open::EXCLUSIVE == 0 => self.step(name)?.open(flags)?,
            opened => opened?,
        };
        Ok((self.with(rustix::io::fcntl_dupfd_cloexec(&opened, 0)?), opened))
    }

    /// Makes a folder.
    pub fn make_folder(&self, name: &[u8], mode: u32, group: u32) -> Result<Qid, Errno> {
        self.make(name, group, || rustix::fs::mkdirat(&self.file, name, Mode::from_raw_mode(mode & MODE)))?;
        self.step(name)?.qid()
    }

    /// Makes a symbolic link. What it says is the guest's.
    pub fn make_link(&self, name: &[u8], target: &[u8], group: u32) -> Result<Qid, Errno> {
        self.make(name, group, || rustix::fs::symlinkat(target, &self.file, name))?;
        self.step(name)?.qid()
    }

    /// Makes a pipe, a socket or a file. A device of the host is not the guest's to make.
    pub fn make_node(&self, name: &[u8], mode: u32, group: u32) -> Result<Qid, Errno> {
        let kind = FileType::from_raw_mode(mode);
        if !matches!(kind, FileType::Fifo | FileType::Socket | FileType::RegularFile) {
            return Err(Errno::PERM);
        }
        let permissions = Mode::from_raw_mode(mode & MODE);
        self.make(name, group, || rustix::fs::mknodat(&self.file, name, kind, permissions, 0))?;
        self.step(name)?.qid()
    }

    /// Gives what another is a name in this folder.
    pub fn link(&self, other: &Object, name: &[u8]) -> Result<(), Errno> {
        self.place_of(name)?;
        let (descriptors, number) = self.place.named(other.fd());
        rustix::fs::linkat(descriptors, number, &self.file, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Moves what has a name in this folder to another, or to another name.
    pub fn rename(&self, old: &[u8], to: &Object, new: &[u8]) -> Result<(), Errno> {
        self.place_of(old)?;
        to.place_of(new)?;
        rustix::fs::renameat_with(&self.file, old, &to.file, new, RenameFlags::empty())
    }

    /// Removes what has a name in this folder.
    pub fn remove(&self, name: &[u8], is_folder: bool) -> Result<(), Errno> {
        self.place_of(name)?;
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(&self.file, name, flags)
    }

    /// Changes what is known of it. What it is opened as, if it is, has rights that it may have lost since.
    pub fn change(&self, changes: &Changes, opened: Option<&OwnedFd>) -> Result<(), Errno> {
        self.changeable()?;
        let wants = |bit: u32| changes.valid & bit != 0;
        let (descriptors, number) = self.place.named(self.fd());
        let number = number.as_str();
        if wants(set::SIZE) {
            self.cut(changes.size, opened)?;
        }
        if wants(set::USER) || wants(set::GROUP) {
            let user = wants(set::USER).then(|| owner(changes.user)).transpose()?;
            let group = wants(set::GROUP).then(|| owner(changes.group)).transpose()?;
            rustix::fs::chownat(
                &self.file,
                c"",
                user.map(Uid::from_raw),
                group.map(Gid::from_raw),
                AtFlags::EMPTY_PATH,
            )?;
        }
        // Behind the owner, whose change takes bits away.
        if wants(set::MODE) {
            let mode = Mode::from_raw_mode(changes.mode & MODE);
            rustix::fs::chmodat(descriptors, number, mode, AtFlags::empty())?;
        }
        if wants(set::ACCESSED) || wants(set::MODIFIED) {
            let time = |wanted: bool, is_given: bool, given: [u64; 2]| match (wanted, is_given) {
                (false, _) => Ok(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT }),
                (true, false) => Ok(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW }),
                (true, true) if given[1] < 1_000_000_000 => {
                    Ok(Timespec { tv_sec: given[0] as i64, tv_nsec: given[1] as _ })
                }
                (true, true) => Err(Errno::INVAL),
            };
            let times = Timestamps {
                last_access: time(wants(set::ACCESSED), wants(set::ACCESSED_AT), changes.accessed)?,
                last_modification: time(wants(set::MODIFIED), wants(set::MODIFIED_AT), changes.modified)?,
            };
            rustix::fs::utimensat(descriptors, number, &times, AtFlags::empty())?;
        }
        Ok(())
    }

    fn cut(&self, size: u64, opened: Option<&OwnedFd>) -> Result<(), Errno> {
        if let Some(opened) = opened
            && rustix::fs::ftruncate(opened, size).is_ok()
        {
            return Ok(());
        }
        rustix::fs::ftruncate(self.open(1)?, size)
    }
}

/// A user or a group that there can be; the last number is how the kernel says that there is none.
fn owner(number: u32) -> Result<u32, Errno> {
    if number == u32::MAX { Err(Errno::INVAL) } else { Ok(number) }
}

fn type_of(about: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(about.stx_mode))
}

fn kind_of(kind: FileType) -> u8 {
    match kind {
        FileType::Directory => kind::FOLDER,
        FileType::Symlink => kind::LINK,
        _ => kind::FILE,
    }
}

/// The number of a device, as the kernel of a guest reads it.
fn device_number(major: u32, minor: u32) -> u64 {
    u64::from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// How a file is opened. What else a client says is its own kernel's business.
fn flags_of(flags: u32) -> Result<OFlags, Errno> {
    let mut how = match flags & open::ACCESS {
        0 => OFlags::RDONLY,
        1 => OFlags::WRONLY,
        2 => OFlags::RDWR,
        _ => return Err(Errno::INVAL),
    };
    for (bit, flag) in [
        (open::TRUNCATE, OFlags::TRUNC),
        (open::APPEND, OFlags::APPEND),
        (open::DATA_SYNC, OFlags::DSYNC),
        (open::SYNC, OFlags::SYNC),
    ] {
        if flags & bit != 0 {
            how |= flag;
        }
    }
    Ok(how)
}
