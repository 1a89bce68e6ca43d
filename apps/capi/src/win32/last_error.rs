//! `GetLastError`: why the last function failed in this thread.
#![expect(unsafe_code, reason = "exported names")]

use std::cell::Cell;

/// An `ERROR_` code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Win32Error(pub u32);

impl Win32Error {
    pub const ACCESS_DENIED: Win32Error = Win32Error(5);
    pub const INVALID_HANDLE: Win32Error = Win32Error(6);
    pub const NOT_ENOUGH_MEMORY: Win32Error = Win32Error(8);
    pub const GEN_FAILURE: Win32Error = Win32Error(31);
    pub const NOT_SUPPORTED: Win32Error = Win32Error(50);
    pub const INVALID_PARAMETER: Win32Error = Win32Error(87);
    pub const BROKEN_PIPE: Win32Error = Win32Error(109);
    pub const NO_DATA: Win32Error = Win32Error(232);
}

thread_local! {
    static LAST: Cell<u32> = const { Cell::new(0) };
}

/// `TRUE` or, after an error, `FALSE`.
pub fn succeed(result: Result<(), Win32Error>) -> i32 {
    value(result.map(|()| 1), 0)
}

/// The value or, after an error, the one that says so.
pub fn value<T>(result: Result<T, Win32Error>, failed: T) -> T {
    result.unwrap_or_else(|error| {
        LAST.set(error.0);
        failed
    })
}

#[unsafe(no_mangle)]
extern "C" fn GetLastError() -> u32 {
    LAST.get()
}
