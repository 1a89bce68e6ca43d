//! The device by the crate `hdv`: one register that says the same at any time, a doorbell, and a table that it counts in.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use hdv::{Bar, Details, Device, DeviceHost, Doorbell, Error, PciDevice, PnpId, Section, Size};

use super::{OURS, instance};
use crate::Outcome;

struct Register {
    own: Device,
    table: OwnedFd,
}

/// Makes it.
pub fn create(host: &DeviceHost) -> Outcome<Device> {
    let table = rustix::fs::memfd_create(
        "table",
        rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING,
    )?;
    rustix::fs::ftruncate(&table, 4096)?;
    Ok(host.create(instance(OURS), instance(OURS), |own| Register { own, table })?)
}

impl PciDevice for Register {
    fn initialize(&self) -> Result<(), Error> {
        let Some(bar) = Bar::new(1) else { return Ok(()) };
        let file = self.table.as_fd();
        self.own.map_section(Section {
            bar,
            offset_pages: 0,
            pages: 1,
            writable: true,
            file,
            file_offset_pages: 0,
        })
    }

    fn details(&self) -> Result<Details, Error> {
        let ids = PnpId { vendor: 0x1234, device: OURS, ..PnpId::default() };
        Ok(Details { ids, probed_bars: [0xffff_f000, 0xffff_e000, 0, 0, 0, 0] })
    }

    fn start(&self) -> Result<(), Error> {
        let (Some(bar), Ok(table)) = (Bar::new(0), self.table.try_clone()) else { return Ok(()) };
        let rung = AtomicU32::new(0);
        let signal = Arc::new(move || {
            let count = rung.fetch_add(1, Ordering::Relaxed) + 1;
            // A call of the kernel more than a program makes that has the page mapped.
            let _ = rustix::io::pwrite(&table, &count.to_le_bytes(), 0);
        });
        self.own.add_doorbell(Doorbell { bar, offset: 0x20, size: Some(Size::Double), value: None }, signal)
    }

    fn read_config(&self, offset: u32) -> Result<u32, Error> {
        Ok(match offset {
            0 => u32::from(OURS) << 16 | 0x1234,
            8 => 0x1180_0001,
            _ => 0,
        })
    }

    fn write_config(&self, _: u32, _: u32) -> Result<(), Error> {
        Ok(())
    }

    fn read_memory(&self, _: Bar, _: u64, data: &mut [u8]) -> Result<(), Error> {
        data.fill(0x5e);
        Ok(())
    }

    fn write_memory(&self, _: Bar, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}
