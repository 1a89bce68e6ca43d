//! The C library as a C program uses it: loaded at run time, called by its functions' names.
#![expect(unsafe_code, reason = "loads a shared library and calls its C functions")]

use std::{
    ffi::{CString, c_void},
    path::Path,
    ptr,
};

use hcs_tests::binaries;

use crate::Outcome;

type Handle = *mut c_void;

/// The document of a system that does nothing, and ends with this program.
pub fn document(folder: &Path) -> String {
    format!(
        r#"{{"Owner":"bench","SchemaVersion":{{"Major":2,"Minor":1}},"ShouldTerminateOnLastHandleClosed":true,
            "Container":{{"Storage":{{"Path":{:?}}}}}}}"#,
        folder.join("rootfs")
    )
}

/// The functions that are measured.
pub struct Library {
    create_operation: extern "C" fn(*const c_void, *const c_void) -> Handle,
    create_system: extern "C" fn(*const u16, *const u16, Handle, *const c_void, *mut Handle) -> i32,
    properties: extern "C" fn(Handle, Handle, *const u16) -> i32,
    wait: extern "C" fn(Handle, u32, *mut *mut u16) -> i32,
    free: extern "C" fn(*mut c_void) -> *mut c_void,
    close_system: extern "C" fn(Handle),
}

impl Library {
    /// Loads the library.
    pub fn load() -> Outcome<Library> {
        let path = binaries::find("libcomputecore.so");
        let path = CString::new(path.into_os_string().into_encoded_bytes())?;
        // SAFETY: the path is a C string; the library's initialisers are those of the Rust runtime.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return Err(format!("cannot load {path:?}").into());
        }
        let find = |name: &str| -> Outcome<*mut c_void> {
            let text = CString::new(name)?;
            // SAFETY: the handle is of a loaded library that is never unloaded, the name a C string.
            let symbol = unsafe { libc::dlsym(library, text.as_ptr()) };
            if symbol.is_null() { Err(format!("{name} is missing").into()) } else { Ok(symbol) }
        };
        // SAFETY: the types are those of the declarations in ComputeCore.h.
        unsafe {
            Ok(Library {
                create_operation: std::mem::transmute::<
                    *mut c_void,
                    extern "C" fn(*const c_void, *const c_void) -> Handle,
                >(find("HcsCreateOperation")?),
                create_system: std::mem::transmute::<
                    *mut c_void,
                    extern "C" fn(*const u16, *const u16, Handle, *const c_void, *mut Handle) -> i32,
                >(find("HcsCreateComputeSystem")?),
                properties: std::mem::transmute::<
                    *mut c_void,
                    extern "C" fn(Handle, Handle, *const u16) -> i32,
                >(find("HcsGetComputeSystemProperties")?),
                wait: std::mem::transmute::<*mut c_void, extern "C" fn(Handle, u32, *mut *mut u16) -> i32>(
                    find("HcsWaitForOperationResult")?,
                ),
                free: std::mem::transmute::<*mut c_void, extern "C" fn(*mut c_void) -> *mut c_void>(find(
                    "LocalFree",
                )?),
                close_system: std::mem::transmute::<*mut c_void, extern "C" fn(Handle)>(find(
                    "HcsCloseComputeSystem",
                )?),
            })
        }
    }

    /// Creates a system and an operation.
    pub fn create(&self, id: &str, document: &str) -> Outcome<System<'_>> {
        let operation = (self.create_operation)(ptr::null(), ptr::null());
        let mut handle = ptr::null_mut();
        let (id, document) = (utf16(id), utf16(document));
        let started =
            (self.create_system)(id.as_ptr(), document.as_ptr(), operation, ptr::null(), &mut handle);
        let system = System { library: self, handle, operation };
        system.finish(started)?;
        Ok(system)
    }
}

/// A system.
pub struct System<'a> {
    library: &'a Library,
    handle: Handle,
    operation: Handle,
}

impl System<'_> {
    /// Its basic properties, as a program asks for them.
    pub fn properties(&self) -> Outcome<String> {
        self.finish((self.library.properties)(self.handle, self.operation, ptr::null()))
    }

    fn finish(&self, started: i32) -> Outcome<String> {
        let mut document = ptr::null_mut();
        let code =
            if started < 0 { started } else { (self.library.wait)(self.operation, u32::MAX, &mut document) };
        let text = read(document);
        (self.library.free)(document.cast());
        if code < 0 { Err(format!("{code:#x}: {text}").into()) } else { Ok(text) }
    }
}

impl Drop for System<'_> {
    fn drop(&mut self) {
        (self.library.close_system)(self.handle);
    }
}

fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn read(text: *const u16) -> String {
    let mut units = Vec::new();
    if !text.is_null() {
        // SAFETY: the library's texts end with a zero unit, and reading stops there.
        while let unit @ 1.. = unsafe { *text.add(units.len()) } {
            units.push(unit);
        }
    }
    String::from_utf16_lossy(&units)
}
