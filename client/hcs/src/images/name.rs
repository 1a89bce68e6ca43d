//! The name of an image.

use std::fmt;

use crate::Error;

/// A name as people write it: a repository, and a tag. What docker.io has by default is left out, so one image has one
/// name however it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub(super) hcs_images::Name);

impl Name {
    /// Reads one; without a tag it is `latest`.
    pub fn new(text: &str) -> Result<Name, Error> {
        Ok(Name(hcs_images::Name::new(text)?))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
