//! Images of containers, in this process: no service is asked.
//!
//! ```no_run
//! # fn main() -> Result<(), hcs::Error> {
//! use hcs::images::{self, Name};
//! use std::path::Path;
//!
//! let store = images::store()?;
//! images::import(&store, Path::new("/tmp/web.tar"), Some(&Name::new("web")?), &|_| ())?;
//! // A container of it, as a document for `Client::create`.
//! let document = store.find("web")?.document(Path::new("/srv/scratch"), &[])?;
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

/// What a store, an image and a name tell, as they ask no service; with `?` it becomes an [`Error`].
pub use hcs_core::Error as StoreError;
pub use hcs_images::{Compression, Defaults, Form, Image, Listed, Name, Progress, Pruned, Store, Watcher};
use hcs_layers::archive::Limits;

use crate::{Error, places};

/// The store of this host, or the one below `HCS_ROOT`.
pub fn store() -> Result<Store, Error> {
    Ok(Store::open(&places::state_folder().join("images"))?)
}

/// Where programs of this host keep what containers of images write: a folder each. Whoever makes one removes it.
pub fn scratch_folder() -> PathBuf {
    places::state_folder().join("scratch")
}

/// The same if there is one; nothing is made.
pub fn existing_store() -> Result<Option<Store>, Error> {
    if places::state_folder().join("images").is_dir() { store().map(Some) } else { Ok(None) }
}

/// What images are in an OCI layout or a docker archive.
pub fn look_into(source: &Path) -> Result<Vec<Listed>, Error> {
    Ok(hcs_images::look_into(source, &std::env::temp_dir(), Limits::default())?)
}

/// Brings in the images of an OCI layout or a docker archive, a folder or a tar. With a name there must be one image, and
/// it is called so. All or nothing.
pub fn import(
    store: &Store,
    source: &Path,
    name: Option<&Name>,
    watcher: Watcher<'_>,
) -> Result<Vec<Listed>, Error> {
    Ok(store.import(source, name, Limits::default(), watcher)?)
}
