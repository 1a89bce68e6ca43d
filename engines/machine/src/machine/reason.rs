//! Why a machine ends by itself, read from what its QEMU says before it does.

use crate::{qmp::Event, tail::Tail};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The guest has switched it off.
    PowerOff,
    /// The guest has reset it.
    Reset,
    /// A processor of the guest could not even report a fault.
    TripleFault,
    /// The guest has said that it cannot go on.
    Panic,
}

/// What an event says of the end.
pub fn of(event: &Event, errors: &mut Tail) -> Option<Reason> {
    match (event.name.as_str(), event.data["reason"].as_str()) {
        ("GUEST_PANICKED", _) | ("SHUTDOWN", Some("guest-panic")) => Some(Reason::Panic),
        ("SHUTDOWN", Some("guest-shutdown")) => Some(Reason::PowerOff),
        // The event is the same for both.
        ("SHUTDOWN", Some("guest-reset")) if errors.text().contains("Triple fault") => {
            Some(Reason::TripleFault)
        }
        ("SHUTDOWN", Some("guest-reset")) => Some(Reason::Reset),
        _ => None,
    }
}
