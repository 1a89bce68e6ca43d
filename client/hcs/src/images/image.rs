//! An image, and what is told of one in a list.

use std::path::Path;

use hcs_images::{Compression, Defaults, Digest, Form};
use hcs_schema::ComputeSystem;

use super::Name;
use crate::Error;

/// An image that is in a store.
#[derive(Clone, Debug)]
pub struct Image(pub(super) hcs_images::Image);

impl Image {
    /// The digest of its configuration.
    pub fn id(&self) -> &Digest {
        &self.0.id
    }

    /// Its configuration, byte by byte.
    pub fn config(&self) -> &[u8] {
        &self.0.config
    }

    /// What it says of how it is run.
    pub fn defaults(&self) -> Defaults {
        self.0.defaults()
    }

    /// A container of it, with what it writes in `scratch`, a folder. A process that says nothing of its own is the one
    /// of the image; `arguments`, if there are any, take the place of its command.
    pub fn document(&self, scratch: &Path, arguments: &[String]) -> Result<ComputeSystem, Error> {
        Ok(self.0.document(scratch, arguments)?)
    }

    /// Writes it to a place where nothing is. All or nothing.
    pub fn export(
        &self,
        target: &Path,
        form: Form,
        name: &Name,
        compression: Compression,
    ) -> Result<(), Error> {
        Ok(self.0.export(target, form, &name.0, compression)?)
    }
}

/// An image in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its names.
    pub names: Vec<Name>,
    /// The digest of its configuration.
    pub id: Digest,
    /// When it was made, as it says itself.
    pub created: Option<String>,
    /// How many layers it has.
    pub layers: usize,
}

impl From<hcs_images::Listed> for Listed {
    fn from(image: hcs_images::Listed) -> Listed {
        let hcs_images::Listed { names, id, created, layers } = image;
        Listed { names: names.into_iter().map(Name).collect(), id, created, layers }
    }
}
