//! The one error of this crate: where in a document, what was found, what was expected.
//!
//! Made by the parser and the checker; shown by every caller that takes documents, so the sentence has to
//! be good enough to end up unchanged in `ErrorEvents[].Message`.

/// Why a document was refused: the first thing wrong with it, in document order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: found {found}, expected {expected}")]
pub struct DocumentError {
    /// What sort of mistake it is.
    pub kind: DocumentErrorKind,
    /// Where: `$.VirtualMachine.Devices.Scsi["a-b"].Attachments["0"].Path`.
    pub path: String,
    /// What stands there, as JSON cut to a readable length, or a few words.
    pub found: String,
    /// What should stand there.
    pub expected: String,
}

/// The sorts of mistakes a document can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentErrorKind {
    /// Not JSON at all; `found` carries line and column.
    Syntax,
    /// JSON of another type than the member has.
    WrongType,
    /// An integer beyond the bounds of the member's type.
    OutOfRange,
    /// A string that is none of the values of the enumeration.
    NotAllowed,
    /// A string, key or array of the right type that does not have the member's form.
    Malformed,
    /// A member the reader cannot do without is absent.
    Missing,
    /// A member or key occurs twice in one object.
    Duplicate,
    /// A member the type does not have (strict reading only).
    Unknown,
    /// More nested objects and arrays, or longer names of members, than any real document has.
    TooDeep,
}

impl DocumentError {
    /// Makes an error at `path`.
    pub(crate) fn new(
        kind: DocumentErrorKind,
        path: impl ToString,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { kind, path: path.to_string(), found: found.into(), expected: expected.into() }
    }
}
