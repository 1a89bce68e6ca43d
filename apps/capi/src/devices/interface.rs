//! A device whose behaviour is a table of C callbacks.
#![expect(unsafe_code, reason = "calls of functions that C callers pass")]

use std::ptr;

use hcs_core::{Cause, Error, HResult};
use hdv::{Bar, Details, PciDevice, PnpId};

use crate::abi::{Code, Context, utf16};

type Initialize = unsafe extern "C" fn(Context) -> Code;
type Teardown = unsafe extern "C" fn(Context);
type SetConfiguration = unsafe extern "C" fn(Context, u32, *const *const u16) -> Code;
type GetDetails = unsafe extern "C" fn(Context, *mut Ids, u32, *mut u32) -> Code;
type Start = unsafe extern "C" fn(Context) -> Code;
type Stop = unsafe extern "C" fn(Context);
type ReadConfigSpace = unsafe extern "C" fn(Context, u32, *mut u32) -> Code;
type WriteConfigSpace = unsafe extern "C" fn(Context, u32, u32) -> Code;
type ReadInterceptedMemory = unsafe extern "C" fn(Context, u32, u64, u64, *mut u8) -> Code;
type WriteInterceptedMemory = unsafe extern "C" fn(Context, u32, u64, u64, *const u8) -> Code;

/// `HDV_PCI_DEVICE_INTERFACE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Interface {
    version: u32,
    initialize: Option<Initialize>,
    teardown: Option<Teardown>,
    set_configuration: Option<SetConfiguration>,
    get_details: Option<GetDetails>,
    start: Option<Start>,
    stop: Option<Stop>,
    read_config_space: Option<ReadConfigSpace>,
    write_config_space: Option<WriteConfigSpace>,
    read_intercepted_memory: Option<ReadInterceptedMemory>,
    write_intercepted_memory: Option<WriteInterceptedMemory>,
}

/// `HDV_PCI_PNP_ID`.
#[repr(C)]
#[derive(Default)]
struct Ids {
    vendor: u16,
    device: u16,
    revision: u8,
    prog_if: u8,
    sub_class: u8,
    base_class: u8,
    sub_vendor: u16,
    sub_system: u16,
}

const _: () = assert!(size_of::<Interface>() == 88 && size_of::<Ids>() == 12);

/// A device of the program.
///
/// What the calls of its callbacks rely on: the header demands that each is a function of its type, that may be called
/// with this context from any thread until the host has ended, several at once, and that nothing is thrown out of it.
pub struct CDevice {
    context: Context,
    initialize: Initialize,
    teardown: Teardown,
    set_configuration: SetConfiguration,
    get_details: GetDetails,
    start: Start,
    stop: Stop,
    read_config_space: ReadConfigSpace,
    write_config_space: WriteConfigSpace,
    read_intercepted_memory: ReadInterceptedMemory,
    write_intercepted_memory: WriteInterceptedMemory,
}

impl CDevice {
    /// A device. None of its callbacks may be missing.
    pub fn new(interface: Interface, context: Context) -> Result<CDevice, Cause> {
        let missing = Cause::InvalidArgument;
        Ok(CDevice {
            context,
            initialize: interface.initialize.ok_or(missing)?,
            teardown: interface.teardown.ok_or(missing)?,
            set_configuration: interface.set_configuration.ok_or(missing)?,
            get_details: interface.get_details.ok_or(missing)?,
            start: interface.start.ok_or(missing)?,
            stop: interface.stop.ok_or(missing)?,
            read_config_space: interface.read_config_space.ok_or(missing)?,
            write_config_space: interface.write_config_space.ok_or(missing)?,
            read_intercepted_memory: interface.read_intercepted_memory.ok_or(missing)?,
            write_intercepted_memory: interface.write_intercepted_memory.ok_or(missing)?,
        })
    }
}

/// What a callback has answered.
fn answered(code: Code, callback: &str) -> Result<(), Error> {
    let result = HResult(code);
    if !result.is_failure() {
        return Ok(());
    }
    let cause = Cause::from_hresult(result).unwrap_or(Cause::Unexpected);
    Err(Error::new(cause, format!("the device's callback {callback} failed with {result}")))
}

impl PciDevice for CDevice {
    fn initialize(&self) -> Result<(), Error> {
        // SAFETY: see `CDevice`.
        answered(unsafe { (self.initialize)(self.context) }, "Initialize")
    }

    fn teardown(&self) {
        // SAFETY: see `CDevice`.
        unsafe { (self.teardown)(self.context) }
    }

    fn set_configuration(&self, values: &[String]) -> Result<(), Error> {
        let texts: Vec<Vec<u16>> = values.iter().map(|text| [utf16(text), vec![0]].concat()).collect();
        // A NULL behind the last, which is not counted: so there is a place to point to also for none.
        let pointers: Vec<*const u16> = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        let count = u32::try_from(texts.len()).map_err(|_| Cause::InvalidArgument)?;
        // SAFETY: see `CDevice`; the array has that many texts, each ended by a zero, and all live until it returns.
        let code = unsafe { (self.set_configuration)(self.context, count, pointers.as_ptr()) };
        answered(code, "SetConfiguration")
    }

    fn details(&self) -> Result<Details, Error> {
        let (mut ids, mut probed_bars) = (Ids::default(), [0u32; 6]);
        let count = probed_bars.len() as u32;
        // SAFETY: see `CDevice`; both places are ours, and the second has as many words as is said.
        let code = unsafe { (self.get_details)(self.context, &mut ids, count, probed_bars.as_mut_ptr()) };
        answered(code, "GetDetails")?;
        let Ids { vendor, device, revision, prog_if, sub_class, base_class, sub_vendor, sub_system } = ids;
        let ids = PnpId { vendor, device, revision, prog_if, sub_class, base_class, sub_vendor, sub_system };
        Ok(Details { ids, probed_bars })
    }

    fn start(&self) -> Result<(), Error> {
        // SAFETY: see `CDevice`.
        answered(unsafe { (self.start)(self.context) }, "Start")
    }

    fn stop(&self) {
        // SAFETY: see `CDevice`.
        unsafe { (self.stop)(self.context) }
    }

    fn read_config(&self, offset: u32) -> Result<u32, Error> {
        let mut value = 0;
        // SAFETY: see `CDevice`; the place is ours.
        let code = unsafe { (self.read_config_space)(self.context, offset, &mut value) };
        answered(code, "ReadConfigSpace").map(|()| value)
    }

    fn write_config(&self, offset: u32, value: u32) -> Result<(), Error> {
        // SAFETY: see `CDevice`.
        answered(unsafe { (self.write_config_space)(self.context, offset, value) }, "WriteConfigSpace")
    }

    fn read_memory(&self, bar: Bar, offset: u64, data: &mut [u8]) -> Result<(), Error> {
        let (bar, length) = (bar.number() as u32, data.len() as u64);
        // SAFETY: see `CDevice`; the place has as many bytes as is said.
        let code =
            unsafe { (self.read_intercepted_memory)(self.context, bar, offset, length, data.as_mut_ptr()) };
        answered(code, "ReadInterceptedMemory")
    }

    fn write_memory(&self, bar: Bar, offset: u64, data: &[u8]) -> Result<(), Error> {
        let (bar, length) = (bar.number() as u32, data.len() as u64);
        // SAFETY: see `CDevice`; there are as many bytes as is said.
        let code =
            unsafe { (self.write_intercepted_memory)(self.context, bar, offset, length, data.as_ptr()) };
        answered(code, "WriteInterceptedMemory")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const DENIED: Code = Cause::AccessDenied.hresult().0;
    const CONTEXT: Context = 0x1234;

    extern "C" fn ok(context: Context) -> Code {
        assert_eq!(context, CONTEXT);
        0
    }

    static ENDED: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn end(context: Context) {
        assert_eq!(context, CONTEXT);
        ENDED.fetch_add(1, Ordering::Relaxed);
    }

    extern "C" fn configure(_: Context, count: u32, values: *const *const u16) -> Code {
        // SAFETY: the test below passes as many texts as it says, or what a program gets for none.
        let texts: Vec<Vec<u16>> = unsafe {
            let pointers = std::slice::from_raw_parts(values, count as usize);
            assert!((*values.add(count as usize)).is_null());
            let read = |text: &*const u16| {
                (0..).map(|place| *text.add(place)).take_while(|unit| *unit != 0).collect()
            };
            pointers.iter().map(read).collect()
        };
        // A code that is in no table, and one that is.
        match texts.as_slice() {
            [] => 1,
            [first] if *first == utf16("a=ä") => DENIED,
            _ => -1,
        }
    }

    extern "C" fn details(_: Context, ids: *mut Ids, count: u32, bars: *mut u32) -> Code {
        // SAFETY: both are places of the caller.
        unsafe {
            ids.write(Ids { vendor: 0x1234, base_class: 0xFF, sub_system: 7, ..Ids::default() });
            bars.add(count as usize - 1).write(0xFFFF_F000);
        }
        0
    }

    extern "C" fn read_config(_: Context, offset: u32, value: *mut u32) -> Code {
        // SAFETY: a place of the caller.
        unsafe { value.write(offset + 1) };
        if offset == 0xFC { DENIED } else { 0 }
    }

    extern "C" fn write_config(_: Context, offset: u32, value: u32) -> Code {
        if (offset, value) == (4, 7) { 0 } else { DENIED }
    }

    extern "C" fn read_memory(_: Context, bar: u32, offset: u64, length: u64, value: *mut u8) -> Code {
        // SAFETY: a place of this length.
        unsafe { value.write_bytes(bar as u8 + offset as u8, length as usize) };
        0
    }

    extern "C" fn write_memory(_: Context, bar: u32, offset: u64, length: u64, value: *const u8) -> Code {
        // SAFETY: bytes of this length.
        let bytes = unsafe { std::slice::from_raw_parts(value, length as usize) };
        if (bar, offset, bytes) == (5, 0x10, &[1, 2, 3, 4]) { 0 } else { DENIED }
    }

    fn interface() -> Interface {
        Interface {
            version: 1,
            initialize: Some(ok),
            teardown: Some(end),
            set_configuration: Some(configure),
            get_details: Some(details),
            start: Some(ok),
            stop: Some(end),
            read_config_space: Some(read_config),
            write_config_space: Some(write_config),
            read_intercepted_memory: Some(read_memory),
            write_intercepted_memory: Some(write_memory),
        }
    }

    #[test]
    fn what_a_device_is_asked_reaches_its_callbacks() {
        let device = CDevice::new(interface(), CONTEXT).unwrap();
        device.initialize().unwrap();
        device.start().unwrap();
        let told = device.details().unwrap();
        assert_eq!((told.ids.vendor, told.ids.base_class, told.ids.sub_system), (0x1234, 0xFF, 7));
        assert_eq!(told.probed_bars, [0, 0, 0, 0, 0, 0xFFFF_F000]);
        assert_eq!(device.read_config(0x40).unwrap(), 0x41);
        device.write_config(4, 7).unwrap();
        let (mut data, bar) = ([0; 8], Bar::new(5).unwrap());
        device.read_memory(bar, 4, &mut data).unwrap();
        assert_eq!(data, [9; 8]);
        device.write_memory(bar, 0x10, &[1, 2, 3, 4]).unwrap();
        device.stop();
        device.teardown();
        assert_eq!(ENDED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_failure_keeps_its_cause_where_it_has_one_and_names_the_callback() {
        let device = CDevice::new(interface(), CONTEXT).unwrap();
        device.set_configuration(&[]).unwrap();
        let denied = device.set_configuration(&["a=ä".to_owned()]).unwrap_err();
        assert_eq!(denied.cause, Cause::AccessDenied);
        assert!(denied.detail.contains("SetConfiguration") && denied.detail.contains("0x80070005"));
        let strange = device.set_configuration(&["b".to_owned(), String::new()]).unwrap_err();
        assert_eq!(strange.cause, Cause::Unexpected);
        assert!(strange.detail.contains("0xFFFFFFFF"));
        assert!(device.read_config(0xFC).is_err() && device.write_config(0, 0).is_err());
    }

    #[test]
    fn a_table_with_a_gap_makes_no_device() {
        let gap = |change: fn(&mut Interface)| {
            let mut table = interface();
            change(&mut table);
            CDevice::new(table, CONTEXT).err()
        };
        let gaps: [fn(&mut Interface); 10] = [
            |table| table.initialize = None,
            |table| table.teardown = None,
            |table| table.set_configuration = None,
            |table| table.get_details = None,
            |table| table.start = None,
            |table| table.stop = None,
            |table| table.read_config_space = None,
            |table| table.write_config_space = None,
            |table| table.read_intercepted_memory = None,
            |table| table.write_intercepted_memory = None,
        ];
        for change in gaps {
            assert_eq!(gap(change), Some(Cause::InvalidArgument));
        }
        assert_eq!(gap(|_| ()), None);
    }
}
