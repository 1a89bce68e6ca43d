//! JSON of any sort, kept letter for letter.
//!
//! For members whose type depends on something else (`Settings` on `ResourcePath`) and for what is passed on
//! to a guest unread: number spelling and member order survive, so the receiver sees what the client wrote.

use crate::DocumentError;
use crate::kind::Document;
use crate::read::{Reading, read_at};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value as text. Equal when the text is equal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Any(Box<RawValue>);

impl Any {
    /// The JSON that `value` is written as.
    pub fn from_value(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text, which has to be one JSON value.
    pub fn from_text(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.into()).map(Self)
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads the value as a document that stands at `path` (such as `$.Settings`) of an outer one.
    pub fn read_at<T: Document>(&self, path: &str) -> Result<Reading<T>, DocumentError> {
        read_at(path, self.get())
    }
}

impl Default for Any {
    /// `null`.
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for Any {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Any {}

impl fmt::Debug for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Any({})", self.get())
    }
}
