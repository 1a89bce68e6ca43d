//! `hcs layer`

use std::path::PathBuf;

use hcs::{
    schema::{ExportLayerOptions, Layer as Parent, LayerData, OsLayerOptions, OsLayerType},
    storage,
};

use crate::{failure::Failure, host_path::absolute, output, progress::Busy};

/// Make, unite, export and remove layers of container file systems.
///
/// Everything happens here and now, without a service, and needs root.
#[derive(clap::Args)]
pub struct Layer {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make a layer of an archive (tar, gzip, zstd), or of a folder with one archive or with the files.
    Import {
        /// Where the layer will be; nothing may be there.
        layer: PathBuf,
        /// The archive or the folder.
        source: PathBuf,
    },
    /// Write a layer as layer.tar (.gz, .zst) into a folder, and print the digest of the tar.
    Export {
        /// The layer.
        layer: PathBuf,
        /// A folder that is there.
        folder: PathBuf,
        /// It is a writable layer.
        #[arg(long)]
        writable: bool,
        /// How it is compressed.
        #[arg(long, value_enum, default_value_t)]
        compression: Compression,
    },
    /// Remove a layer, and nothing that is none.
    Remove {
        /// The layer.
        layer: PathBuf,
    },
    /// Make an empty folder, or one that is not there, a writable layer.
    Init {
        /// The folder.
        layer: PathBuf,
    },
    /// Make a base layer of an operating system: for containers of what is in fs/ of its folder.
    Base {
        /// The folder.
        layer: PathBuf,
        /// For virtual machines, of what is on the disk of this image. The kernel is copied into the folder.
        #[arg(long, value_name = "IMAGE", conflicts_with = "volume")]
        disk: Option<PathBuf>,
        /// The same of a mounted disk.
        #[arg(long, value_name = "FOLDER")]
        volume: Option<PathBuf>,
    },
    /// Unite a writable layer with its parents; print where, which is a container's Storage.Path.
    Attach {
        /// The writable layer.
        layer: PathBuf,
        /// The parents, the nearest first.
        #[arg(required = true)]
        parents: Vec<PathBuf>,
    },
    /// Take the union away. What was written stays.
    Detach {
        /// The writable layer.
        layer: PathBuf,
    },
}

/// How an archive is compressed.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As everybody can read it.
    Gzip,
    /// Smaller and quicker.
    Zstd,
}

impl From<Compression> for storage::Compression {
    fn from(compression: Compression) -> storage::Compression {
        match compression {
            Compression::None => storage::Compression::None,
            Compression::Gzip => storage::Compression::Gzip,
            Compression::Zstd => storage::Compression::Zstd,
        }
    }
}

impl Layer {
    pub fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Import { layer, source } => {
                let _busy = Busy::with("reading the layer");
                storage::import_layer(&absolute(&layer)?, &source)?;
            }
            What::Export { layer, folder, writable, compression } => {
                let options = ExportLayerOptions::default().is_writable_layer(writable);
                let busy = Busy::with("writing the layer");
                let file = storage::export_layer(&layer, &folder, &options, compression.into())?;
                drop(busy);
                output::line(&file)?;
            }
            What::Remove { layer } => storage::destroy_layer(&absolute(&layer)?)?,
            What::Init { layer } => storage::initialize_writable_layer(&layer)?,
            What::Base { layer, disk, volume } => base(&absolute(&layer)?, disk, volume)?,
            What::Attach { layer, parents } => {
                let parents = parents
                    .iter()
                    .map(|path| Ok(Parent::default().path(absolute(path)?.display().to_string())));
                let parents = parents.collect::<Result<Vec<_>, Failure>>()?;
                let layer = absolute(&layer)?;
                storage::attach_layers(&layer, &LayerData::default().layers(parents))?;
                output::line(&layer.join("rootfs").display().to_string())?;
            }
            What::Detach { layer } => storage::detach_layers(&absolute(&layer)?)?,
        }
        Ok(())
    }
}

fn base(layer: &std::path::Path, disk: Option<PathBuf>, volume: Option<PathBuf>) -> Result<(), Failure> {
    let options = |kind| OsLayerOptions::default().type_(kind);
    if let Some(volume) = volume {
        return Ok(storage::setup_base_volume(layer, &volume, &options(OsLayerType::Vm))?);
    }
    let Some(disk) = disk else {
        return Ok(storage::setup_base_layer(layer, None, &options(OsLayerType::Container))?);
    };
    let image = super::disk::open(&disk, true)?;
    Ok(storage::setup_base_layer(layer, Some(&image), &options(OsLayerType::Vm))?)
}
