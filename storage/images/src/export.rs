//! Writes an image for others: as an OCI layout, which is an archive of docker at the same time if that is asked for.
//!
//! Layers are packed anew from their files, so a digest may be another than where the image came from; the same image is
//! always written as the same bytes.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::Path,
};

use hcs_core::{Cause, Error, io_failure};
use hcs_layers::{
    archive_of_files,
    compress::Compression,
    digest::Hashed,
    export, layer,
    stage::{self, Stage},
};
use serde_json::json;

use crate::{
    Digest, Image, Name,
    documents::{CONFIG, DockerImage, FULL_NAME, INDEX, LAYER, MANIFEST, REF_NAME},
    source::invalid,
};

/// How an image is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout in a folder.
    Folder,
    /// The same as a tar.
    Tar,
    /// A tar that docker loads, which is an OCI layout too.
    Docker,
}

impl Image {
    /// Writes it to a place where nothing is. All or nothing.
    pub fn export(
        &self,
        target: &Path,
        form: Form,
        name: &Name,
        compression: Compression,
    ) -> Result<(), Error> {
        if form == Form::Folder {
            let stage = Stage::begin(target)?;
            self.write(stage.place(), false, name, compression)?;
            return stage.put();
        }
        // The layout is beside the archive until that is made of it.
        let mut beside = target.file_name().map(|name| name.to_os_string()).ok_or_else(|| {
            Error::new(Cause::InvalidArgument, format!("{} is no place for an image", target.display()))
        })?;
        beside.push(".layout");
        let stage = Stage::begin(&target.with_file_name(beside))?;
        let files = self.write(stage.place(), form == Form::Docker, name, compression)?;
        stage::write_file(target, move |file| {
            let to = BufWriter::with_capacity(1 << 16, file);
            archive_of_files::write(to, stage.place(), &files)?;
            // Before the archive has its name: who is killed over this, or cannot do it, does all of it again.
            stage.discard()
        })
    }

    /// Writes the files of a layout, and tells their names in order.
    fn write(
        &self,
        folder: &Path,
        for_docker: bool,
        name: &Name,
        compression: Compression,
    ) -> Result<Vec<String>, Error> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(io_failure(&blobs, "making"))?;
        let mut config: serde_json::Value = serde_json::from_slice(&self.config)
            .map_err(|error| invalid(format!("the configuration of {} is damaged: {error}", self.id)))?;
        let (mut layers, mut diff_ids, mut files) = (Vec::new(), Vec::new(), vec!["oci-layout".to_owned()]);
        for path in self.layers_from_the_lowest()? {
            let packed = folder.join("packing");
            let file = File::create_new(&packed).map_err(io_failure(&packed, "making"))?;
            let to = Hashed::new(BufWriter::with_capacity(1 << 16, file));
            let (to, diff_id) = export::pack(&layer::open(&path)?, to, compression)?;
            let (file, digest, size) = to.finish();
            file.into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .map_err(io_failure(&packed, "writing"))?;
            let digest = Digest::new(&digest)?;
            let place = folder.join(digest.in_layout());
            fs::rename(&packed, &place).map_err(io_failure(&place, "writing"))?;
            let media_type = match compression {
                Compression::None => LAYER.to_owned(),
                Compression::Gzip => format!("{LAYER}+gzip"),
                Compression::Zstd => format!("{LAYER}+zstd"),
            };
            layers.push(json!({"mediaType": media_type, "digest": digest.as_str(), "size": size}));
            diff_ids.push(diff_id);
            files.push(digest.in_layout());
        }
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        let mut put = |value: &serde_json::Value| -> Result<(Digest, usize), Error> {
            let bytes = value.to_string().into_bytes();
            let digest = Digest::of(&bytes);
            write(folder, &digest.in_layout(), &bytes)?;
            files.push(digest.in_layout());
            Ok((digest, bytes.len()))
        };
        let (config, config_size) = put(&config)?;
        let (manifest, manifest_size) = put(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config.as_str(), "size": config_size},
            "layers": layers,
        }))?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": manifest.as_str(),
                "size": manifest_size,
                "annotations": {REF_NAME: name.tag(), FULL_NAME: name.full()},
            }],
        });
        write(folder, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        write(folder, "index.json", index.to_string().as_bytes())?;
        files.push("index.json".to_owned());
        if for_docker {
            let image = DockerImage {
                config: config.in_layout(),
                repo_tags: Some(vec![name.to_string()]),
                layers: files.iter().skip(1).take(layers.len()).cloned().collect(),
            };
            write(folder, "manifest.json", json!([image]).to_string().as_bytes())?;
            files.push("manifest.json".to_owned());
        }
        // Layers of nothing are the same file.
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// All of them, as the configuration has them.
    fn layers_from_the_lowest(&self) -> Result<Vec<std::path::PathBuf>, Error> {
        let folder = self.layers.first().and_then(|layer| layer.parent()).unwrap_or(Path::new("/"));
        let diff_ids = self.read.rootfs.diff_ids.iter();
        diff_ids.map(|diff_id| Ok(folder.join(Digest::new(diff_id)?.digits()))).collect()
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(io_failure(&path, "writing"))
}
