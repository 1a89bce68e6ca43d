//! A device for tests, which writes down what is called.

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use hdv::{Bar, Cause, Details, Device, DeviceHost, Error, Guid, PciDevice, PnpId};

pub const CLASS: Guid = Guid::from_bytes([0x11; 16]);
pub const INSTANCE: Guid = Guid::from_bytes([0x22; 16]);

/// What was called, and the device itself.
#[derive(Clone)]
pub struct Board {
    pub calls: Arc<Mutex<Vec<String>>>,
    pub own: Device,
    config: Arc<Mutex<[u32; 64]>>,
    /// What a read ends.
    pub host: Arc<Mutex<Option<DeviceHost>>>,
}

/// What a read at this offset copies from the guest, from there.
pub const COPIES: u64 = 0x100;
/// A read at this offset panics.
pub const PANICS: u64 = 0x200;
/// A read at this offset ends the host.
pub const ENDS: u64 = 0x300;

impl Board {
    pub fn new(own: Device) -> Board {
        let mut config = [0; 64];
        config[0] = 0x5e50_1234;
        config[1] = 0x0010_0000;
        config[13] = 0x40;
        config[16] = 0x0080_0005;
        Board { calls: Arc::default(), own, config: Arc::new(Mutex::new(config)), host: Arc::default() }
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl PciDevice for Board {
    fn initialize(&self) -> Result<(), Error> {
        self.note("initialize");
        Ok(())
    }
    fn teardown(&self) {
        self.note("teardown");
    }
    fn set_configuration(&self, values: &[String]) -> Result<(), Error> {
        self.note(format!("configuration {values:?}"));
        Ok(())
    }
    fn details(&self) -> Result<Details, Error> {
        self.note("details");
        let ids = PnpId { vendor: 0x1234, device: 0x5e50, ..PnpId::default() };
        Ok(Details { ids, probed_bars: [0xffff_0004, u32::MAX, 0xffff_e000, 0, 0, 0] })
    }
    fn start(&self) -> Result<(), Error> {
        self.note("start");
        Ok(())
    }
    fn stop(&self) {
        self.note("stop");
    }
    fn read_config(&self, offset: u32) -> Result<u32, Error> {
        let dword = self.config.lock().unwrap().get(offset as usize / 4).copied();
        dword.ok_or_else(|| Cause::InvalidArgument.into())
    }
    fn write_config(&self, offset: u32, value: u32) -> Result<(), Error> {
        self.note(format!("config {offset:#x} = {value:#x}"));
        Ok(())
    }
    fn read_memory(&self, bar: Bar, offset: u64, data: &mut [u8]) -> Result<(), Error> {
        match (bar.number(), offset) {
            // From within the function of an access: whatever is locked would stop here.
            (0, COPIES) => self.own.read_guest(0x1000, data),
            (0, ENDS) => {
                let host = self.host.lock().unwrap().take();
                host.unwrap().teardown();
                self.note("ended");
                Ok(())
            }
            (0, PANICS) => panic!("as it is to"),
            (0, 0xbad0) => Err(Cause::InvalidArgument.into()),
            (bar, offset) => {
                data.fill(offset as u8 + bar as u8);
                Ok(())
            }
        }
    }
    fn write_memory(&self, bar: Bar, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.note(format!("write {} {offset:#x} {data:x?}", bar.number()));
        Ok(())
    }
}

/// A board that somebody can connect to.
pub struct Served {
    pub host: DeviceHost,
    pub board: Board,
    pub path: PathBuf,
}

impl Served {
    pub fn start() -> Served {
        Served::start_with(|_| ())
    }

    /// What is to be done before a monitor comes.
    pub fn start_with(before: impl FnOnce(&Board)) -> Served {
        let host = DeviceHost::standalone();
        let mut board = None;
        host.create(CLASS, INSTANCE, |own| board.insert(Board::new(own)).clone()).unwrap();
        let board = board.unwrap();
        before(&board);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hdv-test-{}-{number}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        host.serve(INSTANCE, &["a".to_owned(), "b".to_owned()], OwnedFd::from(listener)).unwrap();
        Served { host, board, path }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
