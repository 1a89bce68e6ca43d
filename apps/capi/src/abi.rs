//! What crosses the border to C: pointers, UTF-16 texts, structs, callbacks.
//!
//! The wrappers have the layout of the pointer they hold, so that exported functions take them as parameters and
//! need no unsafe code of their own. What the header demands of callers is relied on here and nowhere else.
#![expect(unsafe_code, reason = "reads and writes through pointers that C callers pass")]

use std::{ffi::c_void, ptr};

use hcs_core::{Cause, Error, HResult};
use hcs_schema::{Any, Guid};

/// A value that the caller gets back and that is never looked at.
pub type Context = usize;
/// A handle as the caller sees it.
pub type Handle = usize;
/// `HRESULT`.
pub type Code = i32;

/// `HCS_OPERATION_COMPLETION`.
pub type Completion = extern "C" fn(Handle, Context);
/// `HCS_EVENT_CALLBACK`.
pub type EventCallback = extern "C" fn(*const Event, Context);
/// `HCS_NOTIFICATION_CALLBACK`.
pub type NotificationCallback = extern "C" fn(u32, Context, Code, *const u16);

/// `HCS_EVENT`.
#[repr(C)]
pub struct Event {
    /// What happened.
    pub kind: u32,
    /// Its document or NULL.
    pub data: *const u16,
    /// The completed operation or NULL.
    pub operation: Handle,
}

/// `HCS_PROCESS_INFORMATION`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ProcessInformation {
    /// As the guest numbers it.
    pub process_id: u32,
    /// 0.
    pub reserved: u32,
    /// Descriptors, 0 for none.
    pub std_handles: [usize; 3],
}

/// `GUID`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CGuid {
    data1: u32,
    data2: u16,
    data3: u16,
    data4: [u8; 8],
}

impl From<CGuid> for Guid {
    fn from(guid: CGuid) -> Guid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&guid.data1.to_be_bytes());
        bytes[4..6].copy_from_slice(&guid.data2.to_be_bytes());
        bytes[6..8].copy_from_slice(&guid.data3.to_be_bytes());
        bytes[8..].copy_from_slice(&guid.data4);
        Guid::from_bytes(bytes)
    }
}

/// The code of a cause.
pub fn code(cause: Cause) -> Code {
    cause.hresult().0
}

/// The code of a plain outcome.
pub fn outcome(result: Result<(), Cause>) -> Code {
    result.map_or_else(code, |()| HResult::S_OK.0)
}

/// Text of the caller: UTF-16, ended by a zero unit, or NULL.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Text(*const u16);

impl Text {
    /// Whether there is none at all.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The text; `None` for NULL; an error for half a character.
    fn read(self) -> Result<Option<String>, Error> {
        if self.0.is_null() {
            return Ok(None);
        }
        let mut length = 0;
        // SAFETY: the header demands a text that ends with a zero unit; the reads stop there.
        while unsafe { *self.0.add(length) } != 0 {
            length += 1;
        }
        // SAFETY: the units up to there were just read.
        let units = unsafe { std::slice::from_raw_parts(self.0, length) };
        String::from_utf16(units).map(Some).map_err(|_| {
            let place = char::decode_utf16(units.iter().copied()).take_while(Result::is_ok).count();
            Error::new(
                Cause::InvalidJson,
                format!("the text has half a character (a lone surrogate) at {place}"),
            )
        })
    }

    /// An id: present, and text.
    pub fn id(self) -> Result<String, Cause> {
        match self.read() {
            Ok(Some(id)) if !id.is_empty() => Ok(id),
            _ => Err(Cause::InvalidArgument),
        }
    }

    /// A document that must be there.
    pub fn document(self) -> Result<Any, Error> {
        parse(self.read()?.unwrap_or_default())
    }

    /// Options: none if NULL or empty.
    pub fn options(self) -> Result<Option<Any>, Error> {
        self.read()?.filter(|text| !text.is_empty()).map(parse).transpose()
    }
}

fn parse(text: String) -> Result<Any, Error> {
    Any::from_text(text)
        .map_err(|error| Error::new(Cause::InvalidJson, format!("the document: {error}")).at("$"))
}

/// A value of the caller, or NULL.
#[repr(transparent)]
pub struct In<T>(*const T);

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T: Copy> In<T> {
    /// The value, which must be there.
    pub fn get(self) -> Result<T, Cause> {
        if self.0.is_null() {
            return Err(Cause::InvalidArgument);
        }
        // SAFETY: not NULL, and the header demands a value of this type. It is copied at once.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// The value of which this one is the beginning.
    pub fn cast<U>(self) -> In<U> {
        In(self.0.cast())
    }
}

/// A place of the caller for a result, or NULL.
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Out<T> {
    /// For a caller that wants none.
    pub fn none() -> Out<T> {
        Out(ptr::null_mut())
    }

    /// Whether the caller gave none.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Writes, if the caller gave a place.
    pub fn set(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not NULL, and the header demands a place that can be written.
            unsafe { self.0.write(value) };
        }
    }
}

impl<T: Default> Out<T> {
    /// Writes the empty value, before anything else is done.
    pub fn clear(self) {
        self.set(T::default());
    }

    /// Clears a place that must be there.
    pub fn required(self) -> Result<Self, Cause> {
        self.clear();
        if self.0.is_null() { Err(Cause::InvalidArgument) } else { Ok(self) }
    }
}

/// Text for the caller to free, or NULL.
#[repr(transparent)]
pub struct Owned(*mut u16);

impl Default for Owned {
    fn default() -> Owned {
        Owned(ptr::null_mut())
    }
}

impl Owned {
    /// A copy in the allocator of `LocalFree`.
    pub fn copy(units: &[u16]) -> Result<Owned, Cause> {
        let bytes = (units.len() + 1) * size_of::<u16>();
        // SAFETY: malloc may be called with any size; what it returns is checked.
        let memory = unsafe { libc::malloc(bytes) }.cast::<u16>();
        if memory.is_null() {
            return Err(Cause::ResultAllocationFailed);
        }
        // SAFETY: the memory has room for the units and the zero behind them, and is nobody else's.
        unsafe {
            ptr::copy_nonoverlapping(units.as_ptr(), memory, units.len());
            memory.add(units.len()).write(0);
        }
        Ok(Owned(memory))
    }
}

/// Frees what [`Owned::copy`] made.
pub fn free(memory: *mut c_void) {
    // SAFETY: the header demands a text of this library or NULL, and that it is freed once.
    unsafe { libc::free(memory) };
}

/// The units of a text, without the zero.
pub fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Bytes of the caller, to be read or written.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Buffer(*mut c_void);

impl Buffer {
    /// The bytes; `None` for NULL.
    pub fn bytes<'a>(self, length: u32) -> Option<&'a mut [std::mem::MaybeUninit<u8>]> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: the header demands a buffer of this length that nobody else uses during the call.
        Some(unsafe { std::slice::from_raw_parts_mut(self.0.cast(), length as usize) })
    }

    /// The bytes, to be filled by what can only do so with bytes that have a value; `None` for NULL.
    pub fn room<'a>(self, length: u32) -> Option<&'a mut [u8]> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: the header demands a buffer of this length that nobody else uses during the call. What the caller, which
        // is not Rust, has left in it are bytes of whatever value.
        Some(unsafe { std::slice::from_raw_parts_mut(self.0.cast(), length as usize) })
    }

    /// The bytes to be written out; `None` for NULL.
    pub fn content<'a>(self, length: u32) -> Option<&'a [u8]> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: the header demands a buffer of this length, filled by the caller.
        Some(unsafe { std::slice::from_raw_parts(self.0.cast_const().cast(), length as usize) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminated(units: &[u16]) -> Vec<u16> {
        [units, &[0]].concat()
    }

    #[test]
    fn a_text_ends_at_its_zero() {
        let units = terminated(&[utf16("web"), vec![0], utf16("behind")].concat());
        assert_eq!(Text(units.as_ptr()).id().as_deref(), Ok("web"));
        let alone = terminated(&[]);
        assert_eq!(Text(alone.as_ptr()).id(), Err(Cause::InvalidArgument));
        assert_eq!(Text(alone.as_ptr()).options(), Ok(None));
        assert_eq!(Text(ptr::null()).options(), Ok(None));
    }

    #[test]
    fn half_a_character_is_no_text_and_is_found() {
        for (units, place) in
            [(&[0xD800, 0x61][..], 0), (&[0x61, 0x62, 0xDC00], 2), (&[0xD83D, 0xDE00, 0xD83D], 1)]
        {
            let units = terminated(units);
            let text = Text(units.as_ptr());
            assert_eq!(text.id(), Err(Cause::InvalidArgument));
            let error = text.document().unwrap_err();
            assert_eq!(error.cause, Cause::InvalidJson);
            assert!(error.detail.ends_with(&format!("at {place}")), "{error}");
        }
    }

    #[test]
    fn a_document_that_must_be_there_is_no_json_when_it_is_not() {
        for units in [None, Some(terminated(&[])), Some(terminated(&utf16("{")))] {
            let text = Text(units.as_ref().map_or(ptr::null(), |units| units.as_ptr()));
            assert_eq!(text.document().unwrap_err().cause, Cause::InvalidJson);
        }
        let units = terminated(&utf16("{}"));
        assert_eq!(Text(units.as_ptr()).document().unwrap().get(), "{}");
    }

    #[test]
    fn a_place_is_written_if_there_is_one() {
        let mut place = 7usize;
        let out = Out(&raw mut place);
        out.required().unwrap().set(9);
        assert_eq!(place, 9);
        Out(&raw mut place).clear();
        assert_eq!(place, 0);
        Out::<usize>::none().set(9);
        assert!(Out::<usize>::none().required().is_err());
    }

    #[test]
    fn a_text_for_the_caller_ends_with_a_zero_and_is_freed() {
        for text in ["", "web"] {
            let owned = Owned::copy(&utf16(text)).unwrap();
            assert_eq!(Text(owned.0).read(), Ok(Some(text.to_owned())));
            free(owned.0.cast());
        }
        free(ptr::null_mut());
    }

    #[test]
    fn a_value_of_the_caller_may_lie_anywhere() {
        let bytes = [0u8, 1, 0, 0, 0];
        let value: In<u32> = In(bytes[1..].as_ptr().cast());
        assert_eq!(value.get(), Ok(1));
        assert_eq!(value.cast::<[u8; 4]>().get(), Ok([1, 0, 0, 0]));
        assert_eq!(In::<u32>(ptr::null()).get(), Err(Cause::InvalidArgument));
    }

    #[test]
    fn a_buffer_is_as_long_as_the_caller_says() {
        let mut bytes = [1u8, 2, 3];
        let buffer = Buffer((&raw mut bytes).cast());
        buffer.room(2).unwrap().fill(9);
        assert_eq!(buffer.content(3), Some(&[9, 9, 3][..]));
        buffer.bytes(3).unwrap()[2].write(4);
        assert_eq!(bytes, [9, 9, 4]);
        let none = Buffer(ptr::null_mut());
        assert!(none.room(1).is_none() && none.content(1).is_none() && none.bytes(1).is_none());
    }

    #[test]
    fn a_guid_of_c_is_the_one_that_its_text_shows() {
        let guid = CGuid {
            data1: 0x3F25_04E0,
            data2: 0x4F89,
            data3: 0x11D3,
            data4: *b"\x9a\x0c\x03\x05\xe8\x2c\x33\x01",
        };
        assert_eq!(Guid::from(guid).to_string(), "3f2504e0-4f89-11d3-9a0c-0305e82c3301");
    }
}
