//! The program that calls: it remembers every handle that it was given, also those that it has closed.

use std::{
    ffi::c_void,
    ptr::null_mut,
    sync::atomic::{AtomicUsize, Ordering},
};

use hcs_core::{Cause, HResult};

use super::library::*;

const GENERIC_ALL: u32 = 0x1000_0000;
const INVALID_ARGUMENT: i32 = 0x8007_0057u32 as i32;
/// What a place holds before it is written to; nothing that could be freed, and no handle.
const RUBBISH: usize = 0x5555_5555_5555_5555;

/// Which program runs, and how many callbacks of its operations have come. One of a program before it may come late.
static RUN: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

extern "C" fn completed(operation: Handle, context: usize) {
    if context >> 1 == RUN.load(Ordering::SeqCst) {
        TOLD.fetch_add(1, Ordering::SeqCst);
    }
    let mut document = null_mut();
    // SAFETY: the places are ours; a text is freed once.
    unsafe {
        HcsGetOperationResultAndProcessInfo(operation, null_mut(), &mut document);
        LocalFree(document.cast());
        // The usual place to close an operation; who made it closes it again, which nothing comes of.
        if context & 1 != 0 {
            HcsCloseOperation(operation);
        }
    }
}

extern "C" fn happened(event: *const c_void, _context: usize) {
    assert!(!event.is_null());
}

extern "C" fn notified(_kind: u32, _context: usize, _code: i32, _document: Text) {}

/// Handles of one kind, in the order in which they came.
#[derive(Default)]
struct Known {
    handles: Vec<Handle>,
    closed: Vec<Handle>,
}

impl Known {
    fn is_open(&self, handle: Handle) -> bool {
        self.handles.contains(&handle) && !self.closed.contains(&handle)
    }
}

/// The program.
pub struct Program<'a> {
    bytes: &'a [u8],
    operations: Known,
    systems: Known,
    processes: Known,
    registrations: Known,
    hosts: Known,
    events: Known,
    /// Calls that an operation tracks.
    accepted: usize,
}

impl<'a> Program<'a> {
    /// One that does what these bytes say.
    pub fn new(bytes: &'a [u8]) -> Program<'a> {
        let known = Known::default;
        RUN.fetch_add(1, Ordering::SeqCst);
        TOLD.store(0, Ordering::SeqCst);
        Program {
            bytes,
            operations: known(),
            systems: known(),
            processes: known(),
            registrations: known(),
            hosts: known(),
            events: known(),
            accepted: 0,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    /// A handle: mostly one of the kind, but also of another kind, NULL, or no handle at all.
    fn handle(&mut self, of: for<'p> fn(&'p Program<'a>) -> &'p Known) -> Option<Handle> {
        let byte = self.next()?;
        let from =
            |known: &Known| known.handles.get(usize::from(byte & 0x0F) % known.handles.len().max(1)).copied();
        Some(match byte >> 4 {
            0 => 0,
            1 => usize::from(byte) << 4,
            2 => usize::MAX,
            3 => from(&self.systems).unwrap_or(0),
            4 => from(&self.operations).unwrap_or(0),
            5 => from(of(self)).unwrap_or(0) + 1,
            _ => from(of(self)).unwrap_or(0),
        })
    }

    /// A text: none, an empty one, a document, or whatever the bytes are, half characters included.
    fn text(&mut self) -> Option<Option<Vec<u16>>> {
        const DOCUMENTS: [&str; 4] = ["{}", r#"{"Owner":"fuzz"}"#, "[", "x"];
        let byte = self.next()?;
        let mut units: Vec<u16> = match byte & 7 {
            0 => return Some(None),
            1 => Vec::new(),
            2..=5 => DOCUMENTS[usize::from(byte & 7) - 2].encode_utf16().collect(),
            _ => {
                let length = usize::from(byte >> 3).min(self.bytes.len() / 2) * 2;
                let (own, rest) = self.bytes.split_at(length);
                self.bytes = rest;
                own.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect()
            }
        };
        units.push(0);
        Some(Some(units))
    }

    /// Makes one call. `None` when the bytes are used up.
    pub fn call(&mut self) -> Option<()> {
        let which = self.next()?;
        let flags = self.next()?;
        // SAFETY: every pointer is NULL, or to a place or a text of ours that lives until the call returns.
        unsafe {
            match which % 40 {
                0..=2 => {
                    let callback: Option<Completion> = if flags & 1 != 0 { Some(completed) } else { None };
                    let operation = HcsCreateOperation(context(flags), callback);
                    assert!(operation != 0);
                    self.operations.handles.push(operation);
                }
                3 => {
                    let operation = self.handle(|it| &it.operations)?;
                    HcsCloseOperation(operation);
                    self.operations.closed.push(operation);
                }
                4 => {
                    let operation = self.handle(|it| &it.operations)?;
                    HcsGetOperationContext(operation);
                    HcsGetOperationType(operation);
                    let is_known = self.operations.handles.contains(&operation);
                    assert!(is_known || HcsGetOperationId(operation) == u64::MAX);
                    expect(HcsSetOperationContext(operation, 0), is_known);
                }
                5 => {
                    let operation = self.handle(|it| &it.operations)?;
                    let (system, process) =
                        (HcsGetComputeSystemFromOperation(operation), HcsGetProcessFromOperation(operation));
                    assert!(system == 0 || self.systems.is_open(system));
                    assert!(process == 0 || self.processes.is_open(process));
                }
                6 => {
                    let callback: Option<Completion> = if flags & 1 != 0 { Some(completed) } else { None };
                    let operation = self.handle(|it| &it.operations)?;
                    let is_known = self.operations.handles.contains(&operation) && callback.is_some();
                    expect(HcsSetOperationCallback(operation, context(flags), callback), is_known);
                }
                7..=9 => self.result(flags)?,
                10 => check(HcsCancelOperation(self.handle(|it| &it.operations)?)),
                11..=13 => {
                    let (id, document, operation) =
                        (self.text()?, self.text()?, self.handle(|it| &it.operations)?);
                    let mut system = RUBBISH;
                    let place = if flags & 7 == 0 { null_mut() } else { &mut system };
                    let code = HcsCreateComputeSystem(pointer(&id), pointer(&document), operation, 0, place);
                    self.accept(code);
                    made(&mut self.systems, code, system, !place.is_null());
                }
                14 => {
                    let (id, mut system) = (self.text()?, RUBBISH);
                    let code = HcsOpenComputeSystem(pointer(&id), GENERIC_ALL, &mut system);
                    check(code);
                    made(&mut self.systems, code, system, true);
                }
                15 => {
                    let system = self.handle(|it| &it.systems)?;
                    HcsCloseComputeSystem(system);
                    self.systems.closed.push(system);
                }
                16..=20 => {
                    let call = match which % 40 {
                        16 => HcsStartComputeSystem,
                        17 => HcsShutDownComputeSystem,
                        18 => HcsTerminateComputeSystem,
                        19 => HcsSaveComputeSystem,
                        _ => HcsGetComputeSystemProperties,
                    };
                    let system = self.handle(|it| &it.systems)?;
                    let (operation, options) = (self.handle(|it| &it.operations)?, self.text()?);
                    let code = call(system, operation, pointer(&options));
                    assert!(self.systems.is_open(system) || code == INVALID_ARGUMENT);
                    self.accept(code);
                }
                21 => {
                    let (system, operation) =
                        (self.handle(|it| &it.systems)?, self.handle(|it| &it.operations)?);
                    let request = self.text()?;
                    let code = HcsModifyComputeSystem(system, operation, pointer(&request), 0);
                    self.accept(code);
                }
                22 => {
                    let callback: Option<EventCallback> = if flags & 2 != 0 { Some(happened) } else { None };
                    let system = self.handle(|it| &it.systems)?;
                    check(HcsSetComputeSystemCallback(system, u32::from(flags & 1), 0, callback));
                }
                23 => {
                    let (query, operation) = (self.text()?, self.handle(|it| &it.operations)?);
                    let code = HcsEnumerateComputeSystems(pointer(&query), operation);
                    self.accept(code);
                }
                24 => {
                    let system = self.handle(|it| &it.systems)?;
                    self.exit(flags, |document| HcsWaitForComputeSystemExit(system, 0, document));
                }
                25..=26 => {
                    let (system, parameters) = (self.handle(|it| &it.systems)?, self.text()?);
                    let (operation, mut process) = (self.handle(|it| &it.operations)?, RUBBISH);
                    let place = if flags & 7 == 0 { null_mut() } else { &mut process };
                    let code = HcsCreateProcess(system, pointer(&parameters), operation, 0, place);
                    self.accept(code);
                    made(&mut self.processes, code, process, !place.is_null());
                }
                27 => {
                    let (system, mut process) = (self.handle(|it| &it.systems)?, RUBBISH);
                    let code = HcsOpenProcess(system, u32::from(flags), GENERIC_ALL, &mut process);
                    check(code);
                    made(&mut self.processes, code, process, true);
                }
                28 => {
                    let process = self.handle(|it| &it.processes)?;
                    HcsCloseProcess(process);
                    self.processes.closed.push(process);
                }
                29 => {
                    let (process, operation) =
                        (self.handle(|it| &it.processes)?, self.handle(|it| &it.operations)?);
                    let options = self.text()?;
                    let code = match flags & 1 {
                        0 => HcsSignalProcess(process, operation, pointer(&options)),
                        _ => HcsModifyProcess(process, operation, pointer(&options)),
                    };
                    self.accept(code);
                }
                30 => {
                    let (process, operation) =
                        (self.handle(|it| &it.processes)?, self.handle(|it| &it.operations)?);
                    let code = HcsGetProcessInfo(process, operation);
                    self.accept(code);
                }
                31 => {
                    let callback: Option<EventCallback> = if flags & 2 != 0 { Some(happened) } else { None };
                    let process = self.handle(|it| &it.processes)?;
                    check(HcsSetProcessCallback(process, u32::from(flags & 1), 0, callback));
                }
                32 => {
                    let process = self.handle(|it| &it.processes)?;
                    self.exit(flags, |document| HcsWaitForProcessExit(process, 0, document));
                }
                33 => {
                    let (process, mut registration) = (self.handle(|it| &it.processes)?, RUBBISH);
                    let code = HcsRegisterProcessCallback(process, Some(notified), 0, &mut registration);
                    check(code);
                    made(&mut self.registrations, code, registration, true);
                }
                34 => {
                    let registration = self.handle(|it| &it.registrations)?;
                    let was_open = self.registrations.is_open(registration);
                    expect(HcsUnregisterProcessCallback(registration), was_open);
                    self.registrations.closed.push(registration);
                }
                35 => {
                    let query = self.text()?;
                    self.exit(flags, |document| HcsGetServiceProperties(pointer(&query), document));
                    check(HcsSubmitWerReport(pointer(&query)));
                }
                36 => {
                    let (system, mut host) = (self.handle(|it| &it.systems)?, RUBBISH);
                    let code = HdvInitializeDeviceHostEx(system, u32::from(flags & 3), &mut host);
                    check(code);
                    made(&mut self.hosts, code, host, true);
                }
                37 => {
                    let host = self.handle(|it| &it.hosts)?;
                    let mut byte = 0u8;
                    assert_eq!(HdvReadGuestMemory(host, 0, 1, (&raw mut byte).cast()), INVALID_ARGUMENT);
                    let was_open = self.hosts.is_open(host);
                    expect(HdvTeardownDeviceHost(host), was_open);
                    self.hosts.closed.push(host);
                }
                38 => {
                    let event = CreateEventW(0, i32::from(flags & 1), i32::from(flags & 2), null_mut());
                    assert!(event != 0);
                    self.events.handles.push(event);
                }
                _ => self.event(flags)?,
            }
        }
        Some(())
    }

    /// Looks at an outcome, or waits for it a little.
    fn result(&mut self, flags: u8) -> Option<()> {
        let operation = self.handle(|it| &it.operations)?;
        let mut information = ProcessInformation { process_id: 1, reserved: 1, handles: [RUBBISH; 3] };
        let mut document = RUBBISH as *mut u16;
        let places = (if flags & 1 != 0 { &raw mut information } else { null_mut() }, &raw mut document);
        // SAFETY: the places are ours. Descriptors that come are closed once, and the text is freed once.
        unsafe {
            check(match flags & 2 {
                0 => HcsGetOperationResultAndProcessInfo(operation, places.0, places.1),
                _ => HcsWaitForOperationResultAndProcessInfo(operation, 1, places.0, places.1),
            });
            free(document);
            if flags & 1 != 0 {
                for handle in information.handles.into_iter().filter(|handle| *handle != 0) {
                    assert_eq!(CloseHandle(handle), 1, "{handle}");
                }
            }
        }
        Some(())
    }

    /// A synchronous call that tells a document.
    fn exit(&mut self, flags: u8, call: impl FnOnce(*mut *mut u16) -> i32) {
        let mut document = RUBBISH as *mut u16;
        let wanted = flags & 4 == 0;
        check(call(if wanted { &mut document } else { null_mut() }));
        if wanted {
            free(document);
        }
    }

    /// Does something with an event, or with what is none. What may be open elsewhere in the program is not touched.
    fn event(&mut self, flags: u8) -> Option<()> {
        let byte = usize::from(self.next()?);
        let index = byte % (self.events.handles.len() + 2);
        let handle = match self.events.handles.get(index) {
            Some(event) => *event,
            None => [0, usize::MAX, usize::MAX >> 1, 1 << 30][byte % 4],
        };
        // SAFETY: the handle is an event of ours, or none.
        unsafe {
            match flags % 4 {
                0 => assert!(SetEvent(handle) >= 0),
                1 => assert!(ResetEvent(handle) >= 0),
                2 => assert!([0, 0x102, u32::MAX].contains(&WaitForSingleObject(handle, 0))),
                _ => {
                    let is_open = self.events.handles.contains(&handle);
                    assert_eq!(CloseHandle(handle) != 0, is_open);
                    // The number may come again, for something else.
                    self.events.handles.retain(|event| *event != handle);
                }
            }
        }
        Some(())
    }

    fn accept(&mut self, code: i32) {
        check(code);
        self.accepted += usize::from(code == 0);
    }

    /// Closes everything, whether it was closed or not.
    pub fn end(self) {
        // SAFETY: the functions take any number.
        unsafe {
            // A host of devices belongs to nothing but itself.
            self.hosts.handles.iter().for_each(|host| check(HdvTeardownDeviceHost(*host)));
            self.systems.handles.iter().for_each(|system| HcsCloseComputeSystem(*system));
            self.processes.handles.iter().for_each(|process| HcsCloseProcess(*process));
            self.registrations.handles.iter().for_each(|one| check(HcsUnregisterProcessCallback(*one)));
            self.operations.handles.iter().for_each(|operation| HcsCloseOperation(*operation));
            self.events.handles.iter().for_each(|event| assert_eq!(CloseHandle(*event), 1));
        }
        // Nobody is told twice.
        assert!(TOLD.load(Ordering::SeqCst) <= self.accepted);
    }
}

/// A context that says whose callback it is, and whether it closes its operation.
fn context(flags: u8) -> usize {
    RUN.load(Ordering::SeqCst) << 1 | usize::from(flags >> 1 & 1)
}

fn pointer(text: &Option<Vec<u16>>) -> Text {
    text.as_ref().map_or(null_mut::<u16>().cast_const(), |units| units.as_ptr())
}

/// Every code is one of the table.
fn check(code: i32) {
    assert!(code == 0 || Cause::from_hresult(HResult(code)).is_some(), "{code:#x}");
}

/// The same of a call that fails with a handle that is none.
fn expect(code: i32, is_open: bool) {
    check(code);
    assert!(is_open || code == INVALID_ARGUMENT, "{code:#x}");
}

/// A place holds a handle after a success, and NULL after a failure.
fn made(known: &mut Known, code: i32, handle: Handle, given: bool) {
    assert!(given || code == INVALID_ARGUMENT);
    assert_eq!(given && code == 0, given && handle != 0, "{code:#x}: {handle:#x}");
    if given && code == 0 {
        assert!(handle != RUBBISH && !known.handles.contains(&handle));
        known.handles.push(handle);
    }
}

/// A place for a text holds one, or NULL.
fn free(document: *mut u16) {
    assert!(document as usize != RUBBISH);
    // SAFETY: NULL, or a text that the library has just handed out.
    unsafe { LocalFree(document.cast()) };
}
