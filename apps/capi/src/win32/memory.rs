//! `LocalFree` and `CoTaskMemFree`: one function by two names.
#![expect(unsafe_code, reason = "exported names")]

use std::{ffi::c_void, ptr};

use crate::abi::free;

#[unsafe(no_mangle)]
extern "C" fn LocalFree(memory: *mut c_void) -> *mut c_void {
    free(memory);
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn CoTaskMemFree(memory: *mut c_void) {
    free(memory);
}
