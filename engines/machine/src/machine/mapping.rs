//! Files that a guest finds as memory: how they come, and where the guest has them.

use std::{fs::File, os::fd::AsFd};

use hcs_core::{Cause, Error};
use hcs_schema::SharedMemoryRegionInfo;
use serde_json::{Value, json};

use super::{Machine, Running};
use crate::{
    change::{PATH, SETTINGS},
    devices::{self, Mapping},
    files, persistent,
    plan::{Content, MappedFile, PersistentDevice, PersistentMemory, SharedRegion, hosted, mapped},
};

/// How large a device of several files is, and the files.
fn mapped_files(
    memory: &mut Option<PersistentMemory>,
    number: u32,
) -> Result<(u64, &mut Vec<MappedFile>), Error> {
    let mut devices = memory.iter_mut().flat_map(|memory| &mut memory.devices);
    match devices.find(|device| device.number == number).map(|device| &mut device.content) {
        Some(Content::Files { size, files }) => Ok((*size, files)),
        Some(Content::File { .. }) => {
            Err(Error::new(Cause::NotFound, format!("the device {number} is one file")).at(PATH))
        }
        None => Err(Error::new(Cause::NotFound, format!("the machine has no device {number}")).at(PATH)),
    }
}

impl Machine {
    /// Adds a device of persistent memory.
    pub(super) fn add_persistent(&mut self, device: &PersistentDevice) -> Result<(), Error> {
        let Some(memory) = &self.plan.persistent else {
            let detail = "the machine was made without a place for persistent memory";
            return Err(Error::new(Cause::NotSupported, detail)
                .at(PATH)
                .hint("Give it a VirtualPMem with a MaximumCount when it is made."));
        };
        if memory.devices.iter().any(|other| other.number == device.number) {
            let detail = format!("the machine has a device {} already", device.number);
            return Err(Error::new(Cause::AlreadyExists, detail).at(PATH));
        }
        if device.number >= memory.most {
            let detail = format!("the machine has {} places for persistent memory", memory.most);
            return Err(Error::new(Cause::NotSupported, detail).at(PATH));
        }
        hosted::check_persistent(&self.plan.hosted, device)?;
        if let Some(running) = &mut self.running {
            let (persistent, mapping) = persistent::open(&self.plan.host, device)?;
            let id = devices::persistent_id(device.number);
            let plugged = devices::persistent(device.number, device.read_only);
            running.map(&id, &persistent.file, mapping, plugged).map_err(|error| error.at(&device.blame))?;
            running.persistent.insert(device.number, persistent);
        }
        if let Some(memory) = &mut self.plan.persistent {
            memory.devices.push(device.clone());
        }
        Ok(())
    }

    /// Puts a file into a device of several.
    pub(super) fn map_persistent(&mut self, number: u32, file: &MappedFile) -> Result<(), Error> {
        let Self { plan, running, .. } = self;
        let (size, files) = mapped_files(&mut plan.persistent, number)?;
        if files.iter().any(|other| other.offset == file.offset) {
            let detail = format!("the device {number} has a file at {} already", file.offset);
            return Err(Error::new(Cause::AlreadyExists, detail).at(PATH));
        }
        if let Some(memory) = running.as_mut().and_then(|running| running.persistent.get_mut(&number)) {
            memory.map(&plan.host, file, size)?;
        }
        files.push(file.clone());
        Ok(())
    }

    /// Takes a file out of a device of several.
    pub(super) fn unmap_persistent(&mut self, number: u32, offset: u64) -> Result<(), Error> {
        let Self { plan, running, .. } = self;
        let (_, files) = mapped_files(&mut plan.persistent, number)?;
        let Some(index) = files.iter().position(|file| file.offset == offset) else {
            let detail = format!("the device {number} has no file at {offset}");
            return Err(Error::new(Cause::NotFound, detail).at(PATH));
        };
        if let Some(memory) = running.as_mut().and_then(|running| running.persistent.get_mut(&number)) {
            memory.unmap(offset)?;
        }
        files.remove(index);
        Ok(())
    }

    /// Shares memory with the guest.
    pub(super) fn add_shared(&mut self, region: &SharedRegion) -> Result<(), Error> {
        let same = |other: &SharedRegion| (&other.section, other.offset) == (&region.section, region.offset);
        if self.plan.shared.iter().any(same) {
            let detail = format!("{:?} is shared from {} on already", region.section, region.offset);
            return Err(Error::new(Cause::AlreadyExists, detail).at(SETTINGS));
        }
        let taken = |slot: &u32| self.plan.shared.iter().any(|other| other.slot == *slot);
        let Some(slot) = mapped::slots().find(|slot| !taken(slot)) else {
            let detail = format!("the machine shares {} regions, which is the most", mapped::slots().len());
            return Err(Error::new(Cause::NotSupported, detail).at(SETTINGS));
        };
        hosted::check_shared(&self.plan.hosted, region)?;
        let region = SharedRegion { slot, ..region.clone() };
        if let Some(running) = &mut self.running {
            let (file, mapping) = files::shared(&self.plan.host, &region)?;
            running.map(&devices::shared_id(slot), &file, mapping, devices::shared(slot))?;
        }
        self.plan.shared.push(region);
        Ok(())
    }

    /// Where the guest has the memory that is shared, as far as it has given it a place.
    pub fn shared_regions(&mut self) -> Result<Vec<SharedMemoryRegionInfo>, Error> {
        if self.plan.shared.is_empty() {
            return Ok(Vec::new());
        }
        let buses = self.running()?.qmp.run("query-pci", Value::Null)?;
        let told = self.plan.shared.iter().map(|region| {
            let mut info = SharedMemoryRegionInfo::default().section_name(&region.section);
            info.guest_physical_address = address(&buses, &devices::shared_id(region.slot));
            info
        });
        Ok(told.collect())
    }
}

/// Where the memory of a device is, which is below one of these buses or devices.
fn address(places: &Value, device: &str) -> Option<u64> {
    /// The memory; the others are the device's own.
    const MEMORY: u64 = 2;
    places.as_array()?.iter().find_map(|place| {
        if place["qdev_id"] == device {
            let regions = place["regions"].as_array()?;
            // Without a place it has an address of all ones.
            return regions.iter().find(|region| region["bar"] == MEMORY)?["address"]
                .as_i64()?
                .try_into()
                .ok();
        }
        address(&place["devices"], device).or_else(|| address(&place["pci_bridge"]["devices"], device))
    })
}

impl Running {
    fn map(&mut self, id: &str, file: &File, mapping: Mapping, device: Value) -> Result<(), Error> {
        let behind = devices::behind(id);
        // It opens the file once more.
        self.with_file(file.as_fd(), |running, given| {
            let mapping = Mapping { file: given.file, ..mapping };
            running.qmp.run("object-add", devices::memory(&behind, mapping))
        })?;
        self.qmp.run("device_add", device).map(|_| ()).inspect_err(|_| {
            let _ = self.qmp.run("object-del", json!({"id": behind}));
        })
    }
}
