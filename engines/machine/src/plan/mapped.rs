//! Files of the host that a guest finds as memory: persistent memory, and memory that is shared with the host.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::{
    Devices, SharedMemoryRegion, VirtualPMemDevice, VirtualPMemImageFormat, VirtualPMemMapping,
};
use serde::{Deserialize, Serialize};

/// The first place of shared memory, behind those of network adapters.
pub const FIRST_SLOT: u32 = super::adapters::MOST;
/// As many as there are places for.
const MOST_REGIONS: usize = 4;
/// The most devices of persistent memory.
const MOST_DEVICES: u32 = 128;

/// What begins elsewhere than at a whole one cannot be mapped.
const PAGE: u64 = 4096;

/// The persistent memory of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentMemory {
    /// Its devices.
    pub devices: Vec<PersistentDevice>,
    /// How many places there are.
    pub most: u32,
    /// How large one may be that comes later, in bytes.
    pub most_bytes: u64,
}

/// A file that a guest finds as persistent memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentDevice {
    /// Its number.
    pub number: u32,
    /// What is in it.
    pub content: Content,
    /// The guest cannot write.
    pub read_only: bool,
    /// The member that says what is in it.
    pub blame: String,
}

/// What is in a device of persistent memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A file.
    File {
        /// Its path.
        path: String,
        /// How large it is, in bytes, if the document says so.
        size: Option<u64>,
    },
    /// Files behind one another, and nothing between them. They come and go.
    Files {
        /// How large the device is, in bytes.
        size: u64,
        /// The files.
        files: Vec<MappedFile>,
    },
}

/// A file in a device of persistent memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedFile {
    /// Where it begins there, in bytes.
    pub offset: u64,
    /// Its path.
    pub path: String,
    /// The member that names it.
    pub blame: String,
}

/// A part of a file that host and guest have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRegion {
    /// What the document calls it.
    pub section: String,
    /// The file.
    pub path: String,
    /// Where it begins there, in bytes.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// The guest may write.
    pub writable: bool,
    /// The place that it is plugged into.
    pub slot: u32,
    /// The member that describes it.
    pub blame: String,
}

/// Plans the persistent memory, if there is a controller for it.
pub fn persistent(devices: &Devices) -> Result<Option<PersistentMemory>, Error> {
    const AT: &str = "$.VirtualMachine.Devices.VirtualPMem";
    /// What the schema says a place is large that says nothing.
    const USUAL: u64 = 512 << 20;
    let Some(controller) = &devices.virtual_pmem else { return Ok(None) };
    let mut planned = Vec::new();
    for (key, one) in controller.devices.clone().unwrap_or_default() {
        let at = format!("{AT}.Devices[{key:?}]");
        planned.push(device(number(&key, &at)?, &one, &at)?);
    }
    let last = planned.iter().map(|device: &PersistentDevice| device.number + 1).max().unwrap_or(0);
    let most = u32::from(controller.maximum_count.unwrap_or(0)).max(last);
    if most > MOST_DEVICES {
        let detail = format!("found {most}, expected at most {MOST_DEVICES}");
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{AT}.MaximumCount")));
    }
    let most_bytes = controller.maximum_size_bytes.filter(|size| *size > 0).unwrap_or(USUAL);
    Ok(Some(PersistentMemory { devices: planned, most, most_bytes }))
}

/// The number of a device.
pub fn number(text: &str, at: &str) -> Result<u32, Error> {
    text.parse().ok().filter(|number| *number < MOST_DEVICES).ok_or_else(|| {
        let detail = format!("found {text:?}, expected a number below {MOST_DEVICES}");
        Error::new(Cause::InvalidData, detail).at(at)
    })
}

/// Plans a device.
pub fn device(number: u32, device: &VirtualPMemDevice, at: &str) -> Result<PersistentDevice, Error> {
    fixed(device.image_format, at)?;
    let read_only = device.read_only.unwrap_or(false);
    let path = device.host_path.clone().filter(|path| !path.is_empty());
    let size = device.size_bytes.filter(|size| *size > 0);
    let mappings = device.mappings.clone().unwrap_or_default();
    if mappings.is_empty() && (path.is_some() || size.is_none()) {
        let (path, blame) = (path.unwrap_or_default(), format!("{at}.HostPath"));
        absolute(&path, &blame)?;
        return Ok(PersistentDevice { number, content: Content::File { path, size }, read_only, blame });
    }
    if path.is_some() {
        let detail = "found both HostPath and Mappings";
        return Err(Error::new(Cause::InvalidData, detail).at(at).hint("Say one of them."));
    }
    if !read_only {
        let detail = "a device of several files is only read";
        return Err(Error::new(Cause::NotSupported, detail)
            .at(format!("{at}.ReadOnly"))
            .hint("Set ReadOnly."));
    }
    let size = size.unwrap_or(0);
    if size == 0 || !size.is_multiple_of(PIECE) {
        let detail = format!("found {size}, expected whole pieces of 2 MiB");
        return Err(Error::new(Cause::InvalidData, detail).at(format!("{at}.SizeBytes")));
    }
    let each = mappings.iter().map(|(offset, one)| {
        let at = format!("{at}.Mappings[{offset:?}]");
        file(offset, one, &at)
    });
    let content = Content::Files { size, files: each.collect::<Result<_, _>>()? };
    Ok(PersistentDevice { number, content, read_only, blame: at.to_owned() })
}

/// The smallest piece of memory that a guest takes.
pub const PIECE: u64 = 2 << 20;

fn fixed(format: Option<VirtualPMemImageFormat>, at: &str) -> Result<(), Error> {
    match format {
        Some(VirtualPMemImageFormat::Vhdx) => {
            let detail = "the bytes of a VHDX are not in the order of the disk, so they cannot be memory";
            Err(Error::new(Cause::NotSupported, detail)
                .at(format!("{at}.ImageFormat"))
                .hint("Use a fixed VHD, or the plain bytes of a disk."))
        }
        _ => Ok(()),
    }
}

/// Plans a file in a device.
pub fn file(offset: &str, mapping: &VirtualPMemMapping, at: &str) -> Result<MappedFile, Error> {
    let offset = offset.parse::<u64>().ok().filter(|offset| offset % PAGE == 0).ok_or_else(|| {
        let detail = format!("found {offset:?}, expected whole pages of {PAGE} bytes");
        Error::new(Cause::InvalidData, detail).at(at)
    })?;
    fixed(mapping.image_format, at)?;
    let blame = format!("{at}.HostPath");
    let path = mapping.host_path.clone().unwrap_or_default();
    absolute(&path, &blame)?;
    Ok(MappedFile { offset, path, blame })
}

/// Plans the memory that is shared.
pub fn shared(devices: &Devices) -> Result<Vec<SharedRegion>, Error> {
    const AT: &str = "$.VirtualMachine.Devices.SharedMemory.Regions";
    let regions = devices.shared_memory.clone().and_then(|shared| shared.regions).unwrap_or_default();
    if regions.len() > MOST_REGIONS {
        let detail = format!("found {} regions, expected at most {MOST_REGIONS}", regions.len());
        return Err(Error::new(Cause::InvalidData, detail).at(AT));
    }
    let each = regions.iter().zip(0..).map(|(one, index)| {
        let planned = region(one, &format!("{AT}[{index}]"))?;
        Ok(SharedRegion { slot: FIRST_SLOT + index, ..planned })
    });
    each.collect()
}

/// The places that shared memory may have.
pub fn slots() -> std::ops::Range<u32> {
    FIRST_SLOT..FIRST_SLOT + MOST_REGIONS as u32
}

/// Plans a region, for the first place.
pub fn region(region: &SharedMemoryRegion, at: &str) -> Result<SharedRegion, Error> {
    let wrong =
        |member: &str, detail: String| Error::new(Cause::InvalidData, detail).at(format!("{at}.{member}"));
    if region.hidden_from_guest == Some(true) {
        let detail = "a guest finds shared memory as a device, which cannot be hidden";
        return Err(Error::new(Cause::NotSupported, detail).at(format!("{at}.HiddenFromGuest")));
    }
    let section = region.section_name.clone().unwrap_or_default();
    let path = match section.strip_prefix('/') {
        Some(_) => section.clone(),
        None if !section.is_empty() && !section.contains(['/', '\0']) => format!("/dev/shm/{section}"),
        None => {
            let detail =
                format!("found {section:?}, expected the name of shared memory, or an absolute path");
            return Err(wrong("SectionName", detail));
        }
    };
    absolute(&path, &format!("{at}.SectionName"))?;
    let (offset, length) = (region.start_offset.unwrap_or(0), region.length.unwrap_or(0));
    if offset % PAGE != 0 {
        return Err(wrong("StartOffset", format!("found {offset}, expected whole pages of {PAGE} bytes")));
    }
    if length < PAGE || !length.is_power_of_two() {
        let detail = format!("found {length}, expected a power of two from {PAGE} on, as devices have it");
        return Err(wrong("Length", detail));
    }
    let writable = region.allow_guest_write.unwrap_or(false);
    Ok(SharedRegion { section, path, offset, length, writable, slot: FIRST_SLOT, blame: at.to_owned() })
}
