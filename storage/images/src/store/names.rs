//! Names of images: each is a file that holds a digest.

use std::{collections::BTreeMap, fs, io};

use hcs_core::{Cause, Error, io_failure};
use hcs_layers::stage;

use super::{Image, Store, files_in};
use crate::{Digest, Name};

impl Store {
    /// Gives an image a name, which another has no more.
    pub fn name(&self, image: &Image, name: &Name) -> Result<(), Error> {
        let _lock = self.lock()?;
        self.put_name(name, &image.id)
    }

    /// Takes a name away. The image stays until [`Store::prune`].
    pub fn remove_name(&self, name: &Name) -> Result<(), Error> {
        let _lock = self.lock()?;
        self.remove_name_locked(name)
    }

    pub(super) fn remove_name_locked(&self, name: &Name) -> Result<(), Error> {
        let file = self.folder.join("names").join(name.as_file());
        match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::new(Cause::NotFound, format!("there is no image {name}")))
            }
            other => other.map_err(io_failure(&file, "removing")),
        }
    }

    pub(super) fn put_name(&self, name: &Name, id: &Digest) -> Result<(), Error> {
        stage::replace_file(&self.folder.join("names").join(name.as_file()), id.as_str().as_bytes())
    }

    /// Which image each name is of. A name that is there and cannot be read must not be taken for none: what nothing names is
    /// removed.
    pub(super) fn names(&self) -> Result<BTreeMap<Name, Digest>, Error> {
        let folder = self.folder.join("names");
        let mut names = BTreeMap::new();
        for file in files_in(&folder)? {
            let Some(name) = Name::of_file(&file) else { continue };
            // Somebody may have removed it meanwhile.
            if let Some(id) = self.named(&name)? {
                names.insert(name, id);
            }
        }
        Ok(names)
    }

    /// Which image a name is of.
    pub(super) fn named(&self, name: &Name) -> Result<Option<Digest>, Error> {
        let path = self.folder.join("names").join(name.as_file());
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_failure(&path, "reading")(error)),
            // What is no digest names nothing.
            Ok(text) => Ok(Digest::new(&String::from_utf8_lossy(&text)).ok()),
        }
    }
}
