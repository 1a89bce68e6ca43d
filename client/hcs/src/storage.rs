//! Layers of container file systems and disks, in this process: no service is asked.
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

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use hcs_core::Cause;
pub use hcs_disks::image::Format as DiskFormat;
use hcs_disks::mount::Disks;
pub use hcs_layers::compress::Compression;
use hcs_layers::{archive::Limits, base, destroy, export, import, layer, union, writable};
use hcs_schema::{ExportLayerOptions, LayerData, OsLayerOptions, OsLayerType};

use crate::{Error, places};

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

/// Removes a layer. What is none, or in use, stays. Disks in its folder that are mounted are released before; if the path
/// is that of a mounted disk, it is the layer on the disk that is removed, and then the disk is released.
pub fn destroy_layer(layer: &Path) -> Result<(), Error> {
    let disks = disks();
    if disks.is_mounted_at(layer)? {
        destroy::destroy_content(layer)?;
        return Ok(disks.release_at(layer)?);
    }
    if fs::symlink_metadata(layer).is_err() {
        // A crash may have left something of it.
        return Ok(destroy::destroy(layer)?);
    }
    // Before anything is released: what is no layer stays as it is.
    layer::open(layer)?;
    for entry in fs::read_dir(layer).map_err(|error| io(&error, layer))?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(image) = File::open(entry.path())
        {
            disks.unmount(&image)?;
        }
    }
    Ok(destroy::destroy(layer)?)
}

/// Makes a base layer of an operating system. For containers it is in the layer's folder `fs/`, and there is no disk; for
/// virtual machines it is on a disk.
pub fn setup_base_layer(layer: &Path, disk: Option<&File>, options: &OsLayerOptions) -> Result<(), Error> {
    match (is_for_vm(options), disk) {
        (false, None) => Ok(base::set_up(layer)?),
        (true, Some(disk)) => {
            let disks = disks();
            let was_mounted = disks.find(disk)?.is_some();
            let volume = disks.mount(disk)?;
            let result = setup_base_volume(layer, &volume, options);
            if was_mounted {
                return result;
            }
            // What failed first is told.
            let unmounted = disks.unmount(disk);
            result?;
            Ok(unmounted?)
        }
        (false, Some(_)) => Err(wrong_disk("found a disk, expected none for a layer of containers")),
        (true, None) => Err(wrong_disk("found no disk, expected that of a layer of virtual machines")),
    }
}

/// Makes a base layer of the operating system in a mounted volume, or in any folder.
pub fn setup_base_volume(layer: &Path, volume: &Path, options: &OsLayerOptions) -> Result<(), Error> {
    if !is_for_vm(options) {
        let detail = "found the type Container, expected Vm for a volume";
        return Err(hcs_core::Error::new(Cause::InvalidArgument, detail).at("$.Type").into());
    }
    Ok(base::set_up_volume(layer, volume, !options.skip_update_bcd_for_boot.unwrap_or(false))?)
}

fn is_for_vm(options: &OsLayerOptions) -> bool {
    options.type_ == Some(OsLayerType::Vm)
}

fn wrong_disk(detail: &str) -> Error {
    hcs_core::Error::new(Cause::InvalidArgument, detail).into()
}

fn io(error: &std::io::Error, path: &Path) -> Error {
    hcs_core::Error::from_io(error, format!("reading {}", path.display())).into()
}

/// Makes an image of a disk, at a path where nothing is.
pub fn create_disk(path: &Path, format: DiskFormat, size: u64) -> Result<(), Error> {
    Ok(hcs_disks::create::create(path, format, size)?)
}

/// Makes a partition with ext4 on a disk that is not mounted. What was on it is gone.
pub fn format_disk(image: &File) -> Result<(), Error> {
    Ok(hcs_disks::format(&disks(), image)?)
}

/// Where a disk is mounted; it is mounted if it is not. It stays so until it is unmounted, also without this process.
pub fn mount_disk(image: &File) -> Result<PathBuf, Error> {
    Ok(disks().mount(image)?)
}

/// Unmounts a disk. One that is not mounted is fine.
pub fn unmount_disk(image: &File) -> Result<(), Error> {
    Ok(disks().unmount(image)?)
}

fn disks() -> Disks {
    Disks::at(&places::run_folder().join("disks"))
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
