//! Images that are kept.

use std::path::{Path, PathBuf};

use hcs_images::{Pruned, Scratch, Watcher};
use hcs_layers::archive::Limits;

use super::{Image, Listed, Name};
use crate::Error;

/// Images below a folder: each layer once, unpacked.
#[derive(Clone, Debug)]
pub struct Store(hcs_images::Store);

impl Store {
    /// The store in a folder, which is made if it is missing.
    pub fn open(folder: &Path) -> Result<Store, Error> {
        Ok(Store(hcs_images::Store::open(folder)?))
    }

    /// Brings in the images of an OCI layout or a docker archive, a folder or a tar. With a name there must be one image,
    /// and it is called so. All or nothing.
    pub fn import(
        &self,
        source: &Path,
        name: Option<&Name>,
        watcher: Watcher<'_>,
    ) -> Result<Vec<Listed>, Error> {
        let put = self.0.import(source, name.map(|name| &name.0), Limits::default(), watcher)?;
        Ok(put.into_iter().map(Listed::from).collect())
    }

    /// All images, by their first names.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        Ok(self.0.list()?.into_iter().map(Listed::from).collect())
    }

    /// The image with this name, or whose digest begins so.
    pub fn find(&self, text: &str) -> Result<Image, Error> {
        Ok(Image(self.0.find(text)?))
    }

    /// Gives an image a name, which another has no more.
    pub fn name(&self, image: &Image, name: &Name) -> Result<(), Error> {
        Ok(self.0.name(&image.0, &name.0)?)
    }

    /// Takes a name away. The image stays until [`Store::prune`].
    pub fn remove_name(&self, name: &Name) -> Result<(), Error> {
        Ok(self.0.remove_name(&name.0)?)
    }

    /// Removes images without a name, and layers of no image. What somebody uses stays.
    pub fn prune(&self) -> Result<Pruned, Error> {
        Ok(self.0.prune()?)
    }

    /// Removes what a crash has left of layers that were being unpacked or removed, or of what was fetched for them;
    /// what it was. With `only_look` nothing is removed.
    pub fn sweep(&self, only_look: bool) -> Result<Vec<PathBuf>, Error> {
        Ok(self.0.sweep(only_look)?)
    }

    /// A folder for what is fetched and then imported.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        Ok(self.0.scratch()?)
    }
}
