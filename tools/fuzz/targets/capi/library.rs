//! The functions of the library, as its headers declare them.

use std::ffi::c_void;

pub type Handle = usize;
pub type Text = *const u16;
pub type Completion = extern "C" fn(Handle, usize);
pub type EventCallback = extern "C" fn(*const c_void, usize);
pub type Notification = extern "C" fn(u32, usize, i32, Text);

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ProcessInformation {
    pub process_id: u32,
    pub reserved: u32,
    pub handles: [Handle; 3],
}

unsafe extern "C" {
    pub fn HcsCreateOperation(context: usize, callback: Option<Completion>) -> Handle;
    pub fn HcsCloseOperation(operation: Handle);
    pub fn HcsGetOperationContext(operation: Handle) -> usize;
    pub fn HcsSetOperationContext(operation: Handle, context: usize) -> i32;
    pub fn HcsGetComputeSystemFromOperation(operation: Handle) -> Handle;
    pub fn HcsGetProcessFromOperation(operation: Handle) -> Handle;
    pub fn HcsGetOperationType(operation: Handle) -> i32;
    pub fn HcsGetOperationId(operation: Handle) -> u64;
    pub fn HcsGetOperationResultAndProcessInfo(
        operation: Handle,
        information: *mut ProcessInformation,
        document: *mut *mut u16,
    ) -> i32;
    pub fn HcsWaitForOperationResultAndProcessInfo(
        operation: Handle,
        milliseconds: u32,
        information: *mut ProcessInformation,
        document: *mut *mut u16,
    ) -> i32;
    pub fn HcsSetOperationCallback(operation: Handle, context: usize, callback: Option<Completion>) -> i32;
    pub fn HcsCancelOperation(operation: Handle) -> i32;

    pub fn HcsCreateComputeSystem(
        id: Text,
        configuration: Text,
        operation: Handle,
        security: usize,
        system: *mut Handle,
    ) -> i32;
    pub fn HcsOpenComputeSystem(id: Text, access: u32, system: *mut Handle) -> i32;
    pub fn HcsCloseComputeSystem(system: Handle);
    pub fn HcsStartComputeSystem(system: Handle, operation: Handle, options: Text) -> i32;
    pub fn HcsShutDownComputeSystem(system: Handle, operation: Handle, options: Text) -> i32;
    pub fn HcsTerminateComputeSystem(system: Handle, operation: Handle, options: Text) -> i32;
    pub fn HcsSaveComputeSystem(system: Handle, operation: Handle, options: Text) -> i32;
    pub fn HcsGetComputeSystemProperties(system: Handle, operation: Handle, query: Text) -> i32;
    pub fn HcsModifyComputeSystem(system: Handle, operation: Handle, request: Text, identity: usize) -> i32;
    pub fn HcsSetComputeSystemCallback(
        system: Handle,
        options: u32,
        context: usize,
        callback: Option<EventCallback>,
    ) -> i32;
    pub fn HcsEnumerateComputeSystems(query: Text, operation: Handle) -> i32;
    pub fn HcsWaitForComputeSystemExit(system: Handle, milliseconds: u32, document: *mut *mut u16) -> i32;

    pub fn HcsCreateProcess(
        system: Handle,
        parameters: Text,
        operation: Handle,
        security: usize,
        process: *mut Handle,
    ) -> i32;
    pub fn HcsOpenProcess(system: Handle, process_id: u32, access: u32, process: *mut Handle) -> i32;
    pub fn HcsCloseProcess(process: Handle);
    pub fn HcsSignalProcess(process: Handle, operation: Handle, options: Text) -> i32;
    pub fn HcsGetProcessInfo(process: Handle, operation: Handle) -> i32;
    pub fn HcsModifyProcess(process: Handle, operation: Handle, settings: Text) -> i32;
    pub fn HcsSetProcessCallback(
        process: Handle,
        options: u32,
        context: usize,
        callback: Option<EventCallback>,
    ) -> i32;
    pub fn HcsWaitForProcessExit(process: Handle, milliseconds: u32, document: *mut *mut u16) -> i32;
    pub fn HcsRegisterProcessCallback(
        process: Handle,
        callback: Option<Notification>,
        context: usize,
        registration: *mut Handle,
    ) -> i32;
    pub fn HcsUnregisterProcessCallback(registration: Handle) -> i32;
    pub fn HcsGetServiceProperties(query: Text, document: *mut *mut u16) -> i32;
    pub fn HcsSubmitWerReport(settings: Text) -> i32;

    pub fn HdvInitializeDeviceHostEx(system: Handle, flags: u32, host: *mut Handle) -> i32;
    pub fn HdvTeardownDeviceHost(host: Handle) -> i32;
    pub fn HdvReadGuestMemory(requestor: Handle, address: u64, count: u32, buffer: *mut c_void) -> i32;

    pub fn LocalFree(memory: *mut c_void) -> *mut c_void;
    pub fn CloseHandle(handle: Handle) -> i32;
    pub fn CreateEventW(attributes: usize, manual: i32, initial: i32, name: Text) -> Handle;
    pub fn SetEvent(handle: Handle) -> i32;
    pub fn ResetEvent(handle: Handle) -> i32;
    pub fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32;
}
