//! Members of a document that are told of beside its value: those that nobody knows, and those that are there.

use std::fmt;

/// A member that its type does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMember {
    /// Where it stands.
    pub path: String,
    /// The member that was perhaps meant.
    pub suggestion: Option<&'static str>,
}

/// A member that occurs in a document. An engine walks these to refuse by name what it cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentMember {
    /// Where it stands.
    pub path: String,
    /// Schema name of the type it belongs to, such as `Container`.
    pub owner: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Whether it holds what its absence means: false, zero, the first value of an enumeration, empty text,
    /// list or map. Some clients write every member. Never true of an object, whose mere presence may matter.
    pub is_default: bool,
}

impl UnknownMember {
    /// What is to be said of it, for who says where it stands.
    pub fn message(&self) -> String {
        let hint = self.suggestion.map(|suggestion| format!("; did you mean '{suggestion}'?"));
        format!("unknown member, ignored{}", hint.unwrap_or_default())
    }
}

impl fmt::Display for UnknownMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}
