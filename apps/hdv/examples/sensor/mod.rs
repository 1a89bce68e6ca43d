//! A sensor as a PCI device. It is the same one as that of `sensor_device.c` in the tests, register by register.
//!
//! Behind base address 0, registers of 32 bits:
//!
//! | | |
//! |---|---|
//! | 0x00 | `SENS` |
//! | 0x04 | how many samples were taken |
//! | 0x08 | reading it takes one; 0 while the sensor is off |
//! | 0x0c | bit 0 switches it on; bit 1 has 64 samples stored in memory, and then it interrupts |
//! | 0x10, 0x14 | where they are stored |
//! | 0x18 | bit 0: they were stored, bit 1: they were not; writing ones clears them |
//! | 0x20 | a doorbell |
//! | 0x24 | how often it has rung |
//!
//! Behind base address 1 there is a table in its first page, which guest and program share.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use hdv::{Bar, Details, Device, Doorbell, Error, PciDevice, PnpId, Section, Size};

const VENDOR: u16 = 0x1234;
const NUMBER: u16 = 0x5e50;
const ID: u32 = 0x534e_4553;
const SAMPLES: u32 = 64;
const PROBED: [u32; 6] = [0xffff_f000, 0xffff_e000, 0, 0, 0, 0];

const ON: u32 = 1;
const STORE: u32 = 2;
const STORED: u32 = 1;
const FAILED: u32 = 2;
const MASTER: u32 = 4;
const MSI_ENABLED: u32 = 1 << 16;

/// Where the capability of MSI lies.
const MSI: u32 = 0x40;

/// The sensor.
pub struct Sensor {
    own: Device,
    state: Mutex<State>,
    rung: Arc<AtomicU32>,
    table: OwnedFd,
    /// Is told of what becomes of it.
    told: Box<dyn Fn(String) + Send + Sync>,
}

#[derive(Default)]
struct State {
    count: u32,
    control: u32,
    status: u32,
    address: u64,
    /// Command, base addresses, line, and those of MSI: what the guest can change.
    command: u32,
    bars: [u32; 2],
    line: u32,
    msi: [u32; 4],
}

impl State {
    fn sample(&mut self) -> u32 {
        let sample = self.count.wrapping_mul(5).wrapping_add(1);
        self.count = self.count.wrapping_add(1);
        sample
    }
}

impl Sensor {
    /// One whose table is this file of a page.
    pub fn new(own: Device, table: OwnedFd, told: impl Fn(String) + Send + Sync + 'static) -> Sensor {
        Sensor { own, state: Mutex::default(), rung: Arc::default(), table, told: Box::new(told) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores samples in the memory of the guest, and interrupts it. Nothing is locked while the monitor is spoken to.
    fn store(&self) {
        let (samples, address, is_master) = {
            let mut state = self.state();
            let samples: Vec<u8> = (0..SAMPLES).flat_map(|_| state.sample().to_le_bytes()).collect();
            (samples, state.address, state.command & MASTER != 0)
        };
        let is_stored = is_master && self.own.write_guest(address, &samples).is_ok();
        let msi = {
            let mut state = self.state();
            state.status |= if is_stored { STORED } else { FAILED };
            state.msi
        };
        if is_master && msi[0] & MSI_ENABLED != 0 {
            let address = u64::from(msi[2]) << 32 | u64::from(msi[1]);
            if let Err(error) = self.own.interrupt(address, msi[3]) {
                (self.told)(format!("no interrupt: {error}"));
            }
        }
    }
}

fn bar(number: u32) -> Bar {
    Bar::new(number).unwrap_or_else(|| unreachable!())
}

impl PciDevice for Sensor {
    fn initialize(&self) -> Result<(), Error> {
        (self.told)("Initialize".to_owned());
        *self.state() = State::default();
        self.rung.store(0, Ordering::Relaxed);
        let section = Section {
            bar: bar(1),
            offset_pages: 0,
            pages: 1,
            writable: true,
            file: self.table.as_fd(),
            file_offset_pages: 0,
        };
        // What is there now the guest maps itself. A restricted host gets none.
        if let Err(error) = self.own.map_section(section) {
            (self.told)(format!("no table: {:?}", error.cause));
        }
        Ok(())
    }

    fn set_configuration(&self, values: &[String]) -> Result<(), Error> {
        (self.told)(format!("SetConfiguration {} {}", values.len(), values.join(" ")));
        Ok(())
    }

    fn details(&self) -> Result<Details, Error> {
        (self.told)("GetDetails".to_owned());
        let ids = PnpId {
            vendor: VENDOR,
            device: NUMBER,
            revision: 1,
            base_class: 0x11,
            sub_class: 0x80,
            sub_vendor: VENDOR,
            sub_system: 1,
            ..PnpId::default()
        };
        Ok(Details { ids, probed_bars: PROBED })
    }

    fn start(&self) -> Result<(), Error> {
        (self.told)("Start".to_owned());
        let doorbell = Doorbell { bar: bar(0), offset: 0x20, size: Some(Size::Double), value: None };
        let rung = self.rung.clone();
        let signal = Arc::new(move || {
            rung.fetch_add(1, Ordering::Relaxed);
        });
        // It is there already when the machine goes on after a pause, and a restricted host gets none.
        if let Err(error) = self.own.add_doorbell(doorbell, signal) {
            (self.told)(format!("no doorbell: {:?}", error.cause));
        }
        Ok(())
    }

    fn stop(&self) {
        (self.told)("Stop".to_owned());
    }

    fn teardown(&self) {
        (self.told)("Teardown".to_owned());
    }

    fn read_config(&self, offset: u32) -> Result<u32, Error> {
        let state = self.state();
        Ok(match offset {
            0x00 => u32::from(NUMBER) << 16 | u32::from(VENDOR),
            0x04 => 0x0010_0000 | state.command,
            0x08 => 0x1180_0001,
            0x10 => state.bars[0],
            0x14 => state.bars[1],
            0x2c => 1 << 16 | u32::from(VENDOR),
            0x34 => MSI,
            0x3c => state.line,
            // With addresses of 64 bits, and nothing behind it.
            MSI => state.msi[0] | 0x0080_0005,
            0x44..=0x4c => state.msi[((offset - MSI) / 4) as usize],
            _ => 0,
        })
    }

    fn write_config(&self, offset: u32, value: u32) -> Result<(), Error> {
        let mut state = self.state();
        match offset {
            0x04 => state.command = value & (MASTER | 2),
            0x10 => state.bars[0] = value & PROBED[0],
            0x14 => state.bars[1] = value & PROBED[1],
            0x3c => state.line = value & 0xff,
            MSI => state.msi[0] = value & MSI_ENABLED,
            0x44..=0x4c => state.msi[((offset - MSI) / 4) as usize] = value,
            _ => {}
        }
        Ok(())
    }

    fn read_memory(&self, bar: Bar, offset: u64, data: &mut [u8]) -> Result<(), Error> {
        let mut state = self.state();
        let value = match (bar.number(), offset) {
            (0, 0x00) => ID,
            (0, 0x04) => state.count,
            (0, 0x08) if state.control & ON != 0 => state.sample(),
            (0, 0x0c) => state.control,
            (0, 0x10) => state.address as u32,
            (0, 0x14) => (state.address >> 32) as u32,
            (0, 0x18) => state.status,
            (0, 0x24) => self.rung.load(Ordering::Relaxed),
            _ => 0,
        };
        data.fill(0);
        data.iter_mut().zip(value.to_le_bytes()).for_each(|(place, byte)| *place = byte);
        Ok(())
    }

    fn write_memory(&self, bar: Bar, offset: u64, data: &[u8]) -> Result<(), Error> {
        // Registers are written whole.
        let Ok(value) = <[u8; 4]>::try_from(data).map(u32::from_le_bytes) else { return Ok(()) };
        let mut state = self.state();
        match (bar.number(), offset) {
            (0, 0x0c) => {
                state.control = value & ON;
                drop(state);
                if value & (ON | STORE) == ON | STORE {
                    self.store();
                }
            }
            (0, 0x10) => state.address = state.address & !0xffff_ffff | u64::from(value),
            (0, 0x14) => state.address = state.address & 0xffff_ffff | u64::from(value) << 32,
            (0, 0x18) => state.status &= !value,
            (0, 0x20) => {
                self.rung.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    }
}
