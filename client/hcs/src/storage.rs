//! Layers of container file systems, in this process: no service is asked.
//!
//! ```no_run
//! # fn main() -> Result<(), hcs::Error> {
//! use hcs::{schema::{Layer, LayerData}, storage};
//! use std::path::Path;
//!
//! storage::import_layer(Path::new("/srv/base"), Path::new("/tmp/downloaded"))?;
//! storage::initialize_writable_layer(Path::new("/srv/scratch"))?;
//! let parents = LayerData::default().layers(vec![Layer::default().path("/srv/base")]);
//! storage::attach_layers(Path::new("/srv/scratch"), &parents)?;
//! // A container's Storage.Path can be /srv/scratch/rootfs now.
//! storage::detach_layers(Path::new("/srv/scratch"))?;
//! # Ok(())
//! # }
//! ```

use std::path::Path;

pub use hcs_layers::compress::Compression;
use hcs_layers::{archive::Limits, destroy, export, import, layer, union, writable};
use hcs_schema::{ExportLayerOptions, LayerData};

use crate::Error;

/// Makes a layer of one in transport: a folder with one archive (tar, gzip, zstd) or with the files themselves, or the
/// archive. All or nothing.
pub fn import_layer(layer: &Path, source: &Path) -> Result<(), Error> {
    Ok(import::import(layer, source, Limits::default())?)
}

/// Writes a layer into a folder that is there, as `layer.tar`, `layer.tar.gz` or `layer.tar.zst`. Returns the digest of
/// the tar, the layer's DiffID.
pub fn export_layer(
    layer: &Path,
    folder: &Path,
    options: &ExportLayerOptions,
    compression: Compression,
) -> Result<String, Error> {
    let is_writable = options.is_writable_layer.unwrap_or(false);
    Ok(export::export(&layer::open(layer)?, folder, is_writable, compression)?)
}

/// Removes a layer. What is none, or in use, stays.
pub fn destroy_layer(layer: &Path) -> Result<(), Error> {
    Ok(destroy::destroy(layer)?)
}

/// Makes an empty folder, or one that is not there, a writable layer.
pub fn initialize_writable_layer(layer: &Path) -> Result<(), Error> {
    Ok(writable::initialize(layer)?)
}

/// Unites a writable layer with its parents, the nearest first, at `rootfs` in it.
pub fn attach_layers(writable: &Path, parents: &LayerData) -> Result<(), Error> {
    Ok(union::attach(&layer::open(writable)?, parents)?)
}

/// Takes the union away.
pub fn detach_layers(writable: &Path) -> Result<(), Error> {
    Ok(union::detach(&layer::open(writable)?)?)
}
