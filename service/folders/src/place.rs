//! Where the shares are: a folder with a folder for each, by its name.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags},
    io::Errno,
};

/// What is known of a file: what everybody asks for, and its mount.
const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// The shares, and what is needed for all of them.
#[derive(Debug)]
pub struct Place {
    root: OwnedFd,
    /// The descriptors of this process as files: a way to open again what is open as a path only.
    descriptors: OwnedFd,
    /// What is mounted where this process is.
    table: OwnedFd,
    /// The mount of the folder above the shares, which is nobody's share: a share of a few files is a folder in it. Nothing
    /// of it is changed for a guest.
    frame: Option<u64>,
    /// The devices that files are on, by the order in which they were seen.
    devices: RefCell<Vec<(u32, u32)>>,
}

/// A share that somebody has attached to.
#[derive(Debug)]
pub struct Share {
    pub name: Vec<u8>,
    mount: u64,
    inode: u64,
    /// Its root. As long as it is open the numbers above are nobody else's.
    pub root: OwnedFd,
    /// It is shared no more.
    pub is_gone: Cell<bool>,
}

impl Place {
    /// The place in a view of the host that has been made for it.
    pub fn of_shares(folder: &Path) -> Result<Place, Errno> {
        let mut place = Place::of_folder(folder)?;
        place.frame = Some(about(place.root.as_fd())?.stx_mnt_id);
        Ok(place)
    }

    /// The same where every folder is somebody's.
    pub fn of_folder(folder: &Path) -> Result<Place, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Place {
            root: rustix::fs::openat(CWD, folder, flags, Mode::empty())?,
            descriptors: rustix::fs::openat(CWD, c"/proc/self/fd", flags, Mode::empty())?,
            table: rustix::fs::openat(
                CWD,
                c"/proc/self/mountinfo",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
            frame: None,
            devices: RefCell::new(Vec::new()),
        })
    }

    /// The share of this name.
    pub fn attach(&self, name: &[u8]) -> Result<Rc<Share>, Errno> {
        let root = self.find(name)?;
        let about = about(root.as_fd())?;
        Ok(Rc::new(Share {
            name: name.to_vec(),
            mount: about.stx_mnt_id,
            inode: about.stx_ino,
            root,
            is_gone: Cell::new(false),
        }))
    }

    fn find(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        // What is no name of a folder is no name of a share.
        check_name(name).map_err(|_| Errno::NOENT)?;
        below(self.root.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    }

    /// Tells, by an exception, when something was mounted or is so no more.
    pub fn table(&self) -> BorrowedFd<'_> {
        self.table.as_fd()
    }

    /// The numbers of all that is mounted. Where something is open, its number is given to nothing else, also when it is not
    /// mounted any more. None can be known if the table cannot be read.
    pub fn mounts(&self) -> BTreeSet<u64> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match rustix::io::pread(&self.table, &mut piece, bytes.len() as u64) {
                Ok(0) => break,
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
                Err(Errno::INTR) => {}
                Err(_) => return BTreeSet::new(),
            }
        }
        let lines = bytes.split(|byte| *byte == b'\n');
        let first =
            |line: &[u8]| std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok();
        lines.filter_map(first).collect()
    }

    /// Looks whether a share is still what it was.
    pub fn look_again(&self, share: &Share) {
        let now = self.find(&share.name).and_then(|root| about(root.as_fd()));
        let is_same = now.is_ok_and(|now| (now.stx_mnt_id, now.stx_ino) == (share.mount, share.inode));
        share.is_gone.set(!is_same);
    }

    /// Whether this is the frame that shares hang in.
    pub fn is_frame(&self, about: &Statx) -> bool {
        self.frame == Some(about.stx_mnt_id)
    }

    /// Opens again what this stands for, which is no link.
    pub fn reopen(&self, file: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(&self.descriptors, number(file), flags, Mode::empty())
    }

    /// The folder, and the name in it, by which calls that take no descriptor find this.
    pub fn named(&self, file: BorrowedFd<'_>) -> (&OwnedFd, String) {
        (&self.descriptors, number(file))
    }

    /// A number that no other file has, on whatever device it is. Inodes of that size are rare enough that a guest which
    /// takes two files for one has chosen them.
    pub fn number(&self, device: (u32, u32), inode: u64) -> u64 {
        let mut devices = self.devices.borrow_mut();
        let index = devices.iter().position(|known| *known == device).unwrap_or_else(|| {
            devices.push(device);
            devices.len() - 1
        });
        inode ^ ((index as u64) << 48)
    }
}

fn number(file: BorrowedFd<'_>) -> String {
    file.as_raw_fd().to_string()
}

/// What is known of what is open.
pub fn about(file: BorrowedFd<'_>) -> Result<Statx, Errno> {
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, ASKED)
}

/// Opens what has this name in a folder, and is no link unless a path is asked for.
pub fn below(folder: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode, resolve)
}

/// Whether this is the name of something in a folder, and leads nowhere else.
pub fn check_name(name: &[u8]) -> Result<(), Errno> {
    const LONGEST: usize = 255;
    match name {
        b"" | b"." | b".." => Err(Errno::INVAL),
        name if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(Errno::INVAL),
        name if name.len() > LONGEST => Err(Errno::NAMETOOLONG),
        _ => Ok(()),
    }
}
