//! HRESULT as a value: a signed 32-bit number whose top bit says "failed".
//!
//! Documents carry it signed (`-2147024883`), people read it in hex (`0x8007000D`); both come from here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HResult(pub i32);

impl HResult {
    /// Success.
    pub const S_OK: HResult = HResult(0);

    /// From the unsigned spelling of the documentation, such as `0x8037010E`.
    pub const fn from_code(code: u32) -> HResult {
        HResult(code as i32)
    }

    /// The unsigned spelling.
    pub const fn code(self) -> u32 {
        self.0 as u32
    }

    /// Whether this is a failure.
    pub const fn is_failure(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.code())
    }
}

impl fmt::Debug for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
