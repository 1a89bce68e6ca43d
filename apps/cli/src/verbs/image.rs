//! `hcs image`

use std::path::{Path, PathBuf};

use hcs::images::{self, Name, Store};

use super::layer::Compression;
use crate::{
    failure::Failure,
    host_path,
    output::{self, Table},
    progress::{Bars, Busy},
};

/// Bring in, list, write and remove images of containers.
///
/// Everything happens here and now, without a service, and needs root. Images are kept in /var/lib/hcs/images.
#[derive(clap::Args)]
pub struct Image {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Bring in the images of an OCI layout or of a `docker save` archive: a folder or a tar.
    Import {
        /// The folder or the tar.
        source: PathBuf,
        /// What the image is called; there must be one.
        #[arg(long)]
        name: Option<String>,
    },
    /// Fetch an image from a registry.
    Pull(super::image_pull::Pull),
    /// Write an image to a place where nothing is.
    Export {
        /// Its name, or the beginning of its id.
        image: String,
        /// Where.
        target: PathBuf,
        /// As what.
        #[arg(long, value_enum, default_value_t)]
        form: Form,
        /// How layers are compressed.
        #[arg(long, value_enum, default_value = "gzip")]
        compression: Compression,
    },
    /// List the images.
    #[command(visible_alias = "ls")]
    List {
        /// Not those of the store, but those in this layout or archive.
        #[arg(long = "in", value_name = "SOURCE")]
        source: Option<PathBuf>,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration of an image.
    Inspect {
        /// Its name, or the beginning of its id.
        image: String,
    },
    /// Print a document for a container of an image.
    Document {
        /// Its name, or the beginning of its id.
        image: String,
        /// A folder for what the container writes.
        #[arg(long)]
        scratch: PathBuf,
        /// What it runs in the place of the image's command.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Give an image another name.
    Tag {
        /// Its name, or the beginning of its id.
        image: String,
        /// The other name.
        name: String,
    },
    /// Remove a name, and what nothing needs any more.
    #[command(visible_alias = "rm")]
    Remove {
        /// The name.
        name: String,
    },
    /// Remove images without a name and layers of no image. What containers use stays.
    Prune,
}

/// How an image is written.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Form {
    /// An OCI layout in a tar.
    #[default]
    Oci,
    /// An OCI layout in a folder.
    OciFolder,
    /// A tar for `docker load`.
    Docker,
}

impl Image {
    pub fn run(self) -> Result<(), Failure> {
        // Only what needs one opens it: opening makes one, which needs root.
        let store = images::store;
        match self.what {
            What::Import { source, name } => {
                let name = name.as_deref().map(Name::new).transpose()?;
                import(&store()?, &source, name.as_ref())?;
            }
            What::Pull(pull) => pull.run(&store()?)?,
            What::Export { image, target, form, compression } => {
                let form = match form {
                    Form::Oci => images::Form::Tar,
                    Form::OciFolder => images::Form::Folder,
                    Form::Docker => images::Form::Docker,
                };
                // What has no name of its own is called by what it was found by.
                let name = Name::new(&image)?;
                let target = host_path::absolute(&target)?;
                let found = store()?.find(&image)?;
                let _busy = Busy::with("writing the image");
                found.export(&target, form, &name, compression.into())?;
            }
            What::List { source, json } => list(
                match source {
                    Some(source) => images::look_into(&source)?,
                    None => store()?.list()?,
                },
                json,
            )?,
            What::Inspect { image } => {
                let found = store()?.find(&image)?;
                output::json(&String::from_utf8_lossy(found.config()))?;
            }
            What::Document { image, scratch, arguments } => {
                let found = store()?.find(&image)?;
                let scratch = host_path::absolute(&scratch)?;
                let document = found.document(&scratch, &arguments)?;
                output::json(&super::text_of(&document)?)?;
            }
            What::Tag { image, name } => {
                let name = Name::new(&name)?;
                let store = store()?;
                let found = store.find(&image)?;
                store.name(&found, &name)?;
            }
            What::Remove { name } => {
                let name = Name::new(&name)?;
                let store = store()?;
                store.remove_name(&name)?;
                store.prune()?;
            }
            What::Prune => {
                let pruned = store()?.prune()?;
                output::line(&format!(
                    "removed {} images and {} layers; {} layers are in use",
                    pruned.images, pruned.layers, pruned.in_use
                ))?;
            }
        }
        Ok(())
    }
}

/// Brings in the images of a layout or an archive, and prints what they are.
pub fn import(store: &Store, source: &Path, name: Option<&Name>) -> Result<(), Failure> {
    let bars = Bars::new();
    let imported = store.import(source, name, &|progress| {
        bars.show(progress.layer, progress.done, progress.total);
    })?;
    drop(bars);
    for image in imported {
        let names: Vec<String> = image.names.iter().map(Name::to_string).collect();
        output::line(format!("{} {}", image.id, names.join(" ")).trim_end())?;
    }
    Ok(())
}

fn list(listed: Vec<images::Listed>, json: bool) -> Result<(), Failure> {
    if json {
        let images: Vec<_> = listed
            .iter()
            .map(|image| {
                serde_json::json!({
                    "Names": image.names.iter().map(Name::to_string).collect::<Vec<_>>(),
                    "Id": image.id.as_str(),
                    "Created": image.created,
                    "Layers": image.layers,
                })
            })
            .collect();
        return output::json_array(images);
    }
    let mut table = Table::new(["NAME", "ID", "LAYERS", "CREATED"]);
    for image in listed {
        const SHOWN: usize = 12;
        let id = image.id.digits()[..SHOWN].to_owned();
        let created = image.created.unwrap_or_default();
        let names = if image.names.is_empty() {
            vec![String::new()]
        } else {
            image.names.iter().map(Name::to_string).collect()
        };
        for name in names {
            table.row([name, id.clone(), image.layers.to_string(), created.clone()]);
        }
    }
    table.print()
}
