//! Documents between their types and the wire.

use hcs_core::Cause;
use hcs_schema::{Any, Document};
use serde::Serialize;

use crate::Error;

/// A document as it travels.
pub fn to_any(document: &impl Serialize) -> Any {
    // The types of the schema always have a text.
    Any::from_value(document).unwrap_or_default()
}

/// A document of the service.
pub fn from_any<T: Document>(document: &Any) -> Result<T, Error> {
    hcs_schema::read::<T>(document.get()).map(|reading| reading.value).map_err(|error| {
        hcs_core::Error::new(Cause::Unexpected, format!("a document of the service: {error}")).into()
    })
}
