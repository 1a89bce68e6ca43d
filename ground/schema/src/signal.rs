//! The signal of `SignalProcessOptions`: a name on Windows, a number on Linux.

use crate::ProcessSignal;
use crate::kind::{Kind, Typed};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Which signal to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A console event by its name.
    Name(ProcessSignal),
    /// A Linux signal by its number.
    Number(u32),
}

impl From<ProcessSignal> for Signal {
    fn from(name: ProcessSignal) -> Self {
        Self::Name(name)
    }
}

impl From<u32> for Signal {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl Typed for Signal {
    fn kind() -> Kind {
        Kind::Either(ProcessSignal::kind, u32::kind)
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => name.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SignalVisitor)
    }
}

struct SignalVisitor;

impl de::Visitor<'_> for SignalVisitor {
    type Value = Signal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signal name or number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Signal, E> {
        ProcessSignal::parse(text)
            .map(Signal::Name)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Signal, E> {
        u32::try_from(number)
            .map(Signal::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}
