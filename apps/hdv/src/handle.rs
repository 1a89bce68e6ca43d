//! What a device does by itself: it accesses the memory of the guest, interrupts it, and has doorbells and sections.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    ptr::NonNull,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use hcs_core::{Cause, Error};
use hcs_memory::{Mapping, PAGE};
use hcs_vfio::answer::Region;
use rustix::net::Shutdown;

use crate::{
    Bar, Doorbell, Section, Signal,
    doorbells::Doorbells,
    guest::{Come, Guest, NoWindow},
    link::Link,
    lock, reading,
    sections::Sections,
    writing,
};

/// The most windows of a device, and how much they show together.
const MOST_WINDOWS: usize = 1024;
const MOST_SHOWN: usize = 64 << 30;
/// Where the messages of processors begin that are interrupts, and where they end.
const INTERRUPTS: std::ops::Range<u64> = 0xfee0_0000..0xfef0_0000;

/// What the handle of a device and its thread share.
pub(crate) struct Core {
    pub guest: RwLock<Guest>,
    pub doorbells: Mutex<Doorbells>,
    pub sections: RwLock<Sections>,
    /// How long what is behind each base address is, when it has told.
    pub lengths: Mutex<Option<[u64; 6]>>,
    windows: Mutex<BTreeMap<usize, (Mapping, usize)>>,
    line: Mutex<Line>,
    is_dead: AtomicBool,
    is_restricted: bool,
}

/// How far the monitor is.
enum Line {
    /// Nobody wants the device.
    None,
    /// Somebody is waited for here.
    Listening(Arc<OwnedFd>),
    /// Somebody is there.
    Connected(Arc<Link>),
    /// It is being hung up.
    HungUp,
}

impl Core {
    pub fn new(is_restricted: bool) -> Core {
        Core {
            guest: RwLock::default(),
            doorbells: Mutex::default(),
            sections: RwLock::default(),
            lengths: Mutex::default(),
            windows: Mutex::default(),
            line: Mutex::new(Line::None),
            is_dead: AtomicBool::new(false),
            is_restricted,
        }
    }

    /// Somebody is waited for.
    pub fn listen(&self, listener: Arc<OwnedFd>) {
        *lock(&self.line) = Line::Listening(listener);
    }

    /// Whether somebody here has hung up.
    pub fn is_hung_up(&self) -> bool {
        matches!(*lock(&self.line), Line::HungUp)
    }

    /// Somebody is there; false if it is too late.
    pub fn connect(&self, link: &Arc<Link>) -> bool {
        let mut line = lock(&self.line);
        let is_waited_for = matches!(*line, Line::Listening(_));
        if is_waited_for {
            *line = Line::Connected(link.clone());
        }
        is_waited_for
    }

    /// Hangs up, whoever is there or waited for.
    pub fn hang_up(&self) {
        let mut line = lock(&self.line);
        match &*line {
            Line::Listening(listener) => drop(rustix::net::shutdown(listener.as_ref(), Shutdown::Both)),
            Line::Connected(link) => link.hang_up(),
            Line::None | Line::HungUp => {}
        }
        *line = Line::HungUp;
    }

    /// What a monitor may map of each base address, and the files.
    pub fn give_sections(&self, lengths: [u64; 6]) -> ([Region; 6], [Option<OwnedFd>; 6]) {
        writing(&self.sections).give(lengths)
    }

    /// Nobody has the device any more. Windows close, what they show is no machine's; doorbells and sections go.
    pub fn rest(&self) {
        *lock(&self.line) = Line::None;
        *lock(&self.lengths) = None;
        // What the program has put there is dropped when nothing is locked.
        let doorbells = std::mem::take(&mut *lock(&self.doorbells));
        drop(doorbells);
        writing(&self.sections).clear();
        // In this order: a window is made while the memory is locked.
        let mut guest = writing(&self.guest);
        guest.clear();
        lock(&self.windows).clear();
    }

    /// The host of the device has ended.
    pub fn die(&self) {
        self.is_dead.store(true, Ordering::Release);
    }

    fn link(&self) -> Result<Arc<Link>, Error> {
        match &*lock(&self.line) {
            Line::Connected(link) => Ok(link.clone()),
            _ => Err(Error::new(Cause::InvalidState, "no machine has the device")),
        }
    }
}

/// A device, for what it does by itself. Clones are the same device. When its host has ended everything fails.
#[derive(Clone)]
pub struct Device(pub(crate) Arc<Core>);

impl Device {
    fn alive(&self) -> Result<&Core, Error> {
        match self.0.is_dead.load(Ordering::Acquire) {
            false => Ok(&self.0),
            true => Err(Error::new(Cause::InvalidArgument, "the host of the device has ended")),
        }
    }

    fn unrestricted(&self, what: &str) -> Result<&Core, Error> {
        let core = self.alive()?;
        match core.is_restricted {
            false => Ok(core),
            true => {
                Err(Error::new(Cause::AccessDenied, format!("a restricted host of devices has no {what}")))
            }
        }
    }

    /// Reads memory of the guest.
    pub fn read_guest(&self, address: u64, data: &mut [u8]) -> Result<(), Error> {
        let core = self.alive()?;
        let mut at = 0;
        while at < data.len() {
            let from = after(address, at)?;
            let come = reading(&core.guest).read(from, &mut data[at..]);
            match come {
                Come::All => break,
                Come::Ends(come) => return Err(no_memory(from.saturating_add(come as u64))),
                Come::Asks(come, piece) => {
                    at += come;
                    let link = core.link()?;
                    let piece = piece.min(link.most_data());
                    link.read(after(address, at)?, &mut data[at..at + piece])?;
                    at += piece;
                }
            }
        }
        Ok(())
    }

    /// Writes memory of the guest.
    pub fn write_guest(&self, address: u64, data: &[u8]) -> Result<(), Error> {
        let core = self.alive()?;
        let mut at = 0;
        while at < data.len() {
            let to = after(address, at)?;
            let come = reading(&core.guest).write(to, &data[at..]);
            match come {
                Come::All => break,
                Come::Ends(come) => return Err(no_memory(to.saturating_add(come as u64))),
                Come::Asks(come, piece) => {
                    at += come;
                    let link = core.link()?;
                    let piece = piece.min(link.most_data());
                    link.write(after(address, at)?, &data[at..at + piece])?;
                    at += piece;
                }
            }
        }
        Ok(())
    }

    /// Shows pages of the guest's memory at an address of this process, until [`Device::unmap_guest`] or the device leaves the
    /// machine. The guest reads and writes there at the same time.
    pub fn map_guest(&self, address: u64, length: u32, writable: bool) -> Result<NonNull<u8>, Error> {
        let core = self.alive()?;
        if length == 0 || !address.is_multiple_of(PAGE) || !u64::from(length).is_multiple_of(PAGE) {
            let detail = format!("{length:#x} bytes at {address:#x} are not whole pages");
            return Err(Error::new(Cause::InvalidArgument, detail));
        }
        let guest = reading(&core.guest);
        let mut windows = lock(&core.windows);
        let shown: usize = windows.values().map(|(_, length)| length).sum();
        if windows.len() == MOST_WINDOWS || shown + length as usize > MOST_SHOWN {
            let detail = format!("a device has {MOST_WINDOWS} windows to the guest's memory at most");
            return Err(Error::new(Cause::NotEnoughQuota, detail).hint("Unmap one that is not needed."));
        }
        let window = guest.window(address, length, writable);
        let window = window.map_err(|why| match why {
            NoWindow::NoMemory => no_memory(address),
            NoWindow::ReadOnly => {
                Error::new(Cause::AccessDenied, format!("the memory at {address:#x} is not to be written"))
            }
            NoWindow::NotHere => {
                let detail = format!("the memory at {address:#x} cannot be mapped");
                Error::new(Cause::NotSupported, detail).hint("Read and write it instead.")
            }
            NoWindow::Failed(errno) => Error::from_errno(errno.raw_os_error(), "mapping memory of the guest"),
        })?;
        let base = window.base();
        windows.insert(base.as_ptr() as usize, (window, length as usize));
        Ok(base)
    }

    /// Closes a window.
    pub fn unmap_guest(&self, window: NonNull<u8>) -> Result<(), Error> {
        let closed = lock(&self.alive()?.windows).remove(&(window.as_ptr() as usize));
        closed.map(drop).ok_or_else(|| Error::new(Cause::InvalidArgument, "no window begins there"))
    }

    /// Interrupts the guest, with an address and a value that it has programmed.
    pub fn interrupt(&self, address: u64, data: u32) -> Result<(), Error> {
        let core = self.alive()?;
        if !INTERRUPTS.contains(&address) || !address.is_multiple_of(4) {
            let detail = format!("{address:#x} is not an address that interrupts a processor");
            return Err(Error::new(Cause::InvalidArgument, detail));
        }
        core.link()?.post(address, data)
    }

    /// From now on certain writes ring.
    pub fn add_doorbell(&self, doorbell: Doorbell, signal: Signal) -> Result<(), Error> {
        let core = self.unrestricted("doorbells")?;
        check(core, doorbell.bar, doorbell.offset)?;
        let mut doorbells = lock(&core.doorbells);
        self.alive()?;
        doorbells.add(doorbell, signal)
    }

    /// They ring no more.
    pub fn remove_doorbell(&self, doorbell: &Doorbell) -> Result<(), Error> {
        let removed = lock(&self.unrestricted("doorbells")?.doorbells).remove(doorbell);
        // Nothing is locked here: what goes may be the program's.
        removed.map(drop)
    }

    /// Puts memory of this process behind a base address.
    pub fn map_section(&self, section: Section<'_>) -> Result<(), Error> {
        let core = self.unrestricted("sections")?;
        let within = lock(&core.lengths).map(|lengths| lengths[section.bar.number()]);
        let mut sections = writing(&core.sections);
        self.alive()?;
        sections.add(section, within)
    }

    /// Takes it away again.
    pub fn unmap_section(&self, bar: Bar, offset_pages: u64) -> Result<(), Error> {
        let core = self.unrestricted("sections")?;
        writing(&core.sections).remove(bar, offset_pages)
    }
}

/// A place behind a base address, if it is known how long that is.
fn check(core: &Core, bar: Bar, offset: u64) -> Result<(), Error> {
    match *lock(&core.lengths) {
        Some(lengths) if offset >= lengths[bar.number()] => {
            let detail = format!("{offset:#x} is not behind base address {}", bar.number());
            Err(Error::new(Cause::InvalidArgument, detail))
        }
        _ => Ok(()),
    }
}

fn after(address: u64, at: usize) -> Result<u64, Error> {
    address.checked_add(at as u64).ok_or_else(|| no_memory(address))
}

fn no_memory(address: u64) -> Error {
    Error::new(Cause::InvalidArgument, format!("the guest has no memory at {address:#x} for that"))
}
