//! Reading documents: the way in for everything that comes from outside.
//!
//! The service and the engines read with [`read`], as the API must: unknown members are reported, not
//! refused, because clients send members of newer schema levels. Tools that write documents by hand read
//! with [`read_strict`].

use crate::check::Check;
use crate::error::{DocumentError, DocumentErrorKind};
use crate::kind::Document;
use crate::member::{PresentMember, UnknownMember};
use crate::node::Node;
use crate::path::Path;

/// A document and what was noticed while reading it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<T> {
    /// The document.
    pub value: T,
    /// Members no type has, in document order; they are ignored.
    pub unknown: Vec<UnknownMember>,
    /// Every known member that occurs and is not null, in document order, outer before inner.
    pub present: Vec<PresentMember>,
}

/// Reads a document; unknown members are reported in the result.
pub fn read<T: Document>(text: &str) -> Result<Reading<T>, DocumentError> {
    read_at("$", text)
}

/// Reads a document that stands at `root` of an outer one; paths in results and errors begin there.
pub(crate) fn read_at<T: Document>(root: &str, text: &str) -> Result<Reading<T>, DocumentError> {
    read_with(Check::new(false), root, text)
}

/// Reads a document; an unknown member is an error.
pub fn read_strict<T: Document>(text: &str) -> Result<T, DocumentError> {
    read_with(Check::new(true), "$", text).map(|reading| reading.value)
}

/// Every mistake in a document, in document order; unknown members are mistakes. For people who write documents.
pub fn mistakes<T: Document>(text: &str) -> Vec<DocumentError> {
    match Node::parse("$", text) {
        Ok(node) => Check::all_mistakes(T::kind(), &node, Path::Root("$")),
        // Past a mistake of syntax nothing can be known.
        Err(mistake) => vec![mistake],
    }
}

fn read_with<T: Document>(mut check: Check, root: &str, text: &str) -> Result<Reading<T>, DocumentError> {
    let node = Node::parse(root, text)?;
    check.value(T::kind(), &node, Path::Root(root))?;
    // The check is at least as strict as the types, so this cannot fail; were it to, refusing is still right.
    let value = serde_json::from_str(text).map_err(|error| {
        DocumentError::new(DocumentErrorKind::Syntax, root, error.to_string(), "a JSON document")
    })?;
    Ok(Reading { value, unknown: check.unknown, present: check.present })
}
