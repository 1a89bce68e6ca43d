//! Where in a document a walk is.
//!
//! Parser and checker carry a [`Path`] down their recursion as a chain of borrowed steps, so walking costs
//! nothing; text is made only for an error or a report.

use std::fmt;

/// One step of a walk and, through its parent, all steps before it.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The start: `$`, or the path at which an embedded document stands in its outer one.
    Root(&'a str),
    /// A member or map key.
    Member(&'a Path<'a>, &'a str),
    /// An array element.
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    /// The path of a member or map key below this one.
    pub(crate) fn member(&'a self, name: &'a str) -> Path<'a> {
        Path::Member(self, name)
    }

    /// The path of an array element below this one.
    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root(root) => f.write_str(root),
            Path::Member(parent, name) if is_identifier(name) => write!(f, "{parent}.{name}"),
            // A string never fails to become JSON; the quotes of `Debug` are close enough should it.
            Path::Member(parent, name) => match serde_json::to_string(name) {
                Ok(quoted) => write!(f, "{parent}[{quoted}]"),
                Err(_) => write!(f, "{parent}[{name:?}]"),
            },
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The path of a member or map key below a path, as in reports of this crate.
pub fn member_path(parent: &str, name: &str) -> String {
    Path::Root(parent).member(name).to_string()
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn keys_that_are_no_identifiers_are_quoted() {
        let root = Path::Root("$");
        let scsi = root.member("Scsi");
        let key = scsi.member("df6d-\"x\"");
        let item = key.index(3);
        assert_eq!(item.member("A_1").to_string(), r#"$.Scsi["df6d-\"x\""][3].A_1"#);
        assert_eq!(scsi.member("0").to_string(), r#"$.Scsi["0"]"#);
    }
}
