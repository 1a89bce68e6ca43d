//! The error document of operations.
//!
//! Written for every failed operation; `ErrorEvents` carries the sentences users get to see.

use crate::macros::{choices, documents};
use crate::{AttributionRecord, Guid};

documents! {
    /// Error document of operations and service calls.
    pub struct ResultError {
        /// HRESULT as signed 32-bit number.
        "Error" 2.1 error: i32,
        /// Text, may be empty.
        "ErrorMessage" 2.1 error_message: String,
        /// Event details.
        "ErrorEvents" 2.4 error_events: Vec<ErrorEvent>,
        /// Cause records.
        "Attribution" 2.4 attribution: Vec<AttributionRecord>,
    }

    /// One trace event behind an error.
    pub struct ErrorEvent {
        /// Formatted text.
        "Message" 2.1 message: String,
        /// Stack as text.
        "StackTrace" 2.1 stack_trace: String,
        /// Event provider GUID.
        "Provider" 2.1 provider: Guid,
        /// Event number in that provider.
        "EventId" 2.1 event_id: u16,
        /// Flag bits.
        "Flags" 2.1 flags: u32,
        /// Origin.
        "Source" 2.1 source: String,
        /// Insertion values.
        "Data" 2.1 data: Vec<EventData>,
    }

    /// An insertion value of an event.
    pub struct EventData {
        /// Value kind (follows EVT_VARIANT_TYPE).
        "Type" 2.1 type_: EventDataType,
        /// Value as text.
        "Value" 2.1 value: String,
    }
}

choices! {
    /// Type of an insertion value.
    pub enum EventDataType {
        2.1:
            Empty, String, AnsiString, SByte, Byte, Int16, UInt16, Int32, UInt32, Int64, UInt64, Single,
            Double, Boolean, Binary, Guid;
    }
}
