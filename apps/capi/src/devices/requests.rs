//! The exports by which a device asks for something: memory of the guest, interrupts, doorbells, sections.
#![expect(unsafe_code, reason = "exported names")]

use std::{os::fd::AsFd, ptr::NonNull, sync::Arc};

use hcs_core::Cause;
use hdv::{Bar, Doorbell, Section, Size};

use crate::{
    abi::{Buffer, Code, Context, Handle, Out},
    call::tell,
    table, win32,
};

/// `HdvMmioMappingFlagWriteable`.
const WRITEABLE: u32 = 1;
/// `HdvMmioMappingFlagExecutable`: here a guest may always execute what it may read.
const EXECUTABLE: u32 = 2;

fn bar(index: u32) -> Result<Bar, Cause> {
    Bar::new(index).ok_or(Cause::InvalidArgument)
}

#[unsafe(no_mangle)]
extern "C" fn HdvReadGuestMemory(requestor: Handle, address: u64, count: u32, buffer: Buffer) -> Code {
    tell(|| {
        let device = table::device(requestor)?;
        if count == 0 {
            return Ok(());
        }
        let data = buffer.room(count).ok_or(Cause::InvalidArgument)?;
        Ok(device.read_guest(address, data)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvWriteGuestMemory(requestor: Handle, address: u64, count: u32, buffer: Buffer) -> Code {
    tell(|| {
        let device = table::device(requestor)?;
        if count == 0 {
            return Ok(());
        }
        let data = buffer.content(count).ok_or(Cause::InvalidArgument)?;
        Ok(device.write_guest(address, data)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvCreateGuestMemoryAperture(
    requestor: Handle,
    address: u64,
    count: u32,
    write_protected: i32,
    mapped: Out<Context>,
) -> Code {
    tell(|| {
        let mapped = mapped.required()?;
        let window = table::device(requestor)?.map_guest(address, count, write_protected == 0)?;
        mapped.set(window.as_ptr().expose_provenance());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvDestroyGuestMemoryAperture(requestor: Handle, mapped: Context) -> Code {
    tell(|| {
        let device = table::device(requestor)?;
        let window = NonNull::new(std::ptr::with_exposed_provenance_mut(mapped));
        Ok(device.unmap_guest(window.ok_or(Cause::InvalidArgument)?)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvDeliverGuestInterrupt(requestor: Handle, address: u64, data: u32) -> Code {
    tell(|| Ok(table::device(requestor)?.interrupt(address, data)?))
}

/// The doorbell that these parameters mean.
fn doorbell(index: u32, offset: u64, value: u64, flags: u64) -> Result<Doorbell, Cause> {
    const ANY_VALUE: u64 = 0x8000_0000;
    // Compilers for which enums are signed set all bits above that one too.
    let flags = if flags >> 31 == u64::MAX >> 31 { flags & 0xFFFF_FFFF } else { flags };
    let size = match flags & !ANY_VALUE {
        0 => None,
        1 => Some(Size::Byte),
        2 => Some(Size::Word),
        3 => Some(Size::Double),
        4 => Some(Size::Quad),
        _ => return Err(Cause::InvalidArgument),
    };
    let value = (flags & ANY_VALUE == 0).then_some(value);
    Ok(Doorbell { bar: bar(index)?, offset, size, value })
}

#[unsafe(no_mangle)]
extern "C" fn HdvRegisterDoorbell(
    requestor: Handle,
    index: u32,
    offset: u64,
    value: u64,
    flags: u64,
    event: Handle,
) -> Code {
    tell(|| {
        let device = table::device(requestor)?;
        let doorbell = doorbell(index, offset, value, flags)?;
        let event = win32::event_of(event).ok_or(Cause::InvalidHandle)?;
        let signal = move || {
            // It can only fail because the event has been signalled as often as it can be: it is signalled, then.
            let _ = rustix::io::write(&event, &1u64.to_ne_bytes());
        };
        Ok(device.add_doorbell(doorbell, Arc::new(signal))?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvUnregisterDoorbell(
    requestor: Handle,
    index: u32,
    offset: u64,
    value: u64,
    flags: u64,
) -> Code {
    tell(|| {
        let device = table::device(requestor)?;
        Ok(device.remove_doorbell(&doorbell(index, offset, value, flags)?)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvCreateSectionBackedMmioRange(
    requestor: Handle,
    index: u32,
    offset_pages: u64,
    pages: u64,
    flags: u32,
    section: Handle,
    file_offset_pages: u64,
) -> Code {
    tell(|| {
        let device = table::device(requestor)?;
        let bar = bar(index)?;
        if flags & !(WRITEABLE | EXECUTABLE) != 0 || pages == 0 {
            return Err(Cause::InvalidArgument.into());
        }
        let writable = flags & WRITEABLE != 0;
        let file = win32::file_of(section).ok_or(Cause::InvalidHandle)?;
        let file = file.as_fd();
        Ok(device.map_section(Section { bar, offset_pages, pages, writable, file, file_offset_pages })?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HdvDestroySectionBackedMmioRange(requestor: Handle, index: u32, offset_pages: u64) -> Code {
    tell(|| Ok(table::device(requestor)?.unmap_section(bar(index)?, offset_pages)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_doorbells_say_size_and_value() {
        let parts =
            |flags| doorbell(1, 0x20, 7, flags).map(|bell| (bell.size.map(|size| size as u8), bell.value));
        let size = |size: Size| Some(size as u8);
        assert_eq!(parts(0), Ok((None, Some(7))));
        assert_eq!(parts(3), Ok((size(Size::Double), Some(7))));
        assert_eq!(parts(0x8000_0000), Ok((None, None)));
        assert_eq!(parts(0x8000_0002), Ok((size(Size::Word), None)));
        assert_eq!(parts(0xFFFF_FFFF_8000_0004), Ok((size(Size::Quad), None)), "sign-extended");
        for flags in [5, 0x10, 0x8000_0005, 0x1_0000_0000, 0xFFFF_FFFF_0000_0001, 0x7FFF_FFFF_8000_0000] {
            assert_eq!(parts(flags), Err(Cause::InvalidArgument), "{flags:#x}");
        }
        assert!(doorbell(6, 0, 0, 0).is_err());
    }
}
