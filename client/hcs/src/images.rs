//! Images of containers, in this process: no service is asked.
//!
//! ```no_run
//! # fn main() -> Result<(), hcs::Error> {
//! use hcs::images::{self, Name};
//! use std::path::Path;
//!
//! let store = images::store()?;
//! store.import(Path::new("/tmp/web.tar"), Some(&Name::new("web")?), &|_| ())?;
//! // A container of it, as a document for `Client::create`.
//! let document = store.find("web")?.document(Path::new("/srv/scratch"), &[])?;
//! # Ok(())
//! # }
//! ```

mod image;
mod name;
mod store;

use std::path::{Path, PathBuf};

pub use hcs_images::{Compression, Defaults, Digest, Form, Progress, Pruned, Scratch, Watcher};
use hcs_layers::archive::Limits;

use crate::{Error, places};
pub use image::{Image, Listed};
pub use name::Name;
pub use store::Store;

/// The store of this host, or the one below `HCS_ROOT`.
pub fn store() -> Result<Store, Error> {
    Store::open(&places::state_folder().join("images"))
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
    let found = hcs_images::look_into(source, &std::env::temp_dir(), Limits::default())?;
    Ok(found.into_iter().map(Listed::from).collect())
}
