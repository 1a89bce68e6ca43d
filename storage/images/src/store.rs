//! Images that are kept: each layer once, unpacked.
//!
//! ```text
//!   layers/<digits>/        a layer, named after the digest of its tar
//!   images/<digits>.json    the configuration of an image, named after its digest; it names the layers
//!   names/<name>            the digest of an image
//!   lock                    held by who changes something
//! ```
//!
//! [`import`] brings in, [`names`] are given and taken, [`pruned`] is what goes, [`scratch`] is what is on its way.
//!
//! What is put here is whole and named after its content, so a crash leaves nothing wrong; at most something that nothing
//! names, which [`Store::prune`] removes.

mod import;
mod names;
mod pruned;
mod scratch;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error, io_failure as io, lock};

use crate::{Digest, Name, documents::Config, source::invalid};

pub use import::look_into;
pub use pruned::Pruned;
pub use scratch::Scratch;

/// Images below a folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// An image that is there.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its configuration.
    pub id: Digest,
    /// Its configuration, byte by byte.
    pub config: Vec<u8>,
    /// What that says.
    pub(crate) read: Config,
    /// The folders of its layers, the nearest first, as `LayerData` has them. None comes twice.
    pub layers: Vec<PathBuf>,
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

impl Store {
    /// The store in a folder, which is made if it is missing.
    pub fn open(folder: &Path) -> Result<Store, Error> {
        // It is made last, so the others are there as well.
        if !folder.join("names").is_dir() {
            fs::create_dir_all(folder).map_err(io(folder, "making"))?;
            // Programs in images may run as their owners, and are nobody's business on the host.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io(folder, "closing"))?;
            for name in ["layers", "images", "names"] {
                let folder = folder.join(name);
                fs::create_dir_all(&folder).map_err(io(&folder, "making"))?;
            }
        }
        Ok(Store { folder: folder.to_owned() })
    }

    /// All images, by their first names.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let names = self.names()?;
        let mut listed = Vec::new();
        for id in self.ids()? {
            let image = match self.image(&id) {
                // One that is damaged is none, as is one that has just been removed. That one cannot be read now is told.
                Err(error) if matches!(error.cause, Cause::InvalidData | Cause::FileNotFound) => continue,
                image => image?,
            };
            let names =
                names.iter().filter(|(_, other)| **other == id).map(|(name, _)| name.clone()).collect();
            let layers = image.read.rootfs.diff_ids.len();
            listed.push(Listed { names, id, created: image.read.created, layers });
        }
        listed.sort_by(|left, right| (left.names.first(), &left.id).cmp(&(right.names.first(), &right.id)));
        Ok(listed)
    }

    /// The image with this name, or whose digest begins so.
    pub fn find(&self, text: &str) -> Result<Image, Error> {
        if let Ok(name) = Name::new(text)
            && let Some(id) = self.named(&name)?
        {
            return self.image(&id);
        }
        /// Fewer digits are too easily those of another.
        const FEWEST: usize = 4;
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let ids = self.ids()?;
        let mut found = ids.iter().filter(|id| digits.len() >= FEWEST && id.digits().starts_with(digits));
        match (found.next(), found.next()) {
            (Some(id), None) => self.image(id),
            (None, _) => Err(Error::new(Cause::NotFound, format!("there is no image {text:?}"))),
            _ => Err(Error::new(Cause::InvalidArgument, format!("more than one image begins with {text:?}"))),
        }
    }

    fn image(&self, id: &Digest) -> Result<Image, Error> {
        let file = self.image_file(id);
        let config = fs::read(&file).map_err(io(&file, "reading"))?;
        id.check("configuration of the image", Digest::of(&config).as_str())?;
        let read: Config = serde_json::from_slice(&config)
            .map_err(|error| invalid(format!("the configuration of {id} is damaged: {error}")))?;
        let mut layers = Vec::new();
        for diff_id in read.rootfs.diff_ids.iter().rev() {
            let layer = self.layer(&Digest::new(diff_id)?);
            // The same layer further down shows nothing that is not covered by this one.
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        Ok(Image { id: id.clone(), config, read, layers })
    }

    fn ids(&self) -> Result<Vec<Digest>, Error> {
        let files = files_in(&self.folder.join("images"))?;
        let digits = files.iter().filter_map(|file| file.strip_suffix(".json"));
        let mut ids: Vec<Digest> =
            digits.filter_map(|digits| Digest::new(&format!("sha256:{digits}")).ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// The names of the folders of whole layers.
    fn layer_names(&self) -> Result<BTreeSet<String>, Error> {
        let folders = files_in(&self.folder.join("layers"))?;
        Ok(folders.into_iter().filter(|name| !name.starts_with('.')).collect())
    }

    fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.folder.join("layers").join(diff_id.digits())
    }

    fn image_file(&self, id: &Digest) -> PathBuf {
        self.folder.join("images").join(format!("{}.json", id.digits()))
    }

    /// Waits for whoever changes something.
    fn lock(&self) -> Result<File, Error> {
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(io(&path, "opening"))?;
        match lock::take(&file) {
            Ok(()) => Ok(file),
            Err(errno) => Err(Error::from_errno(errno.raw_os_error(), "locking the store of images")),
        }
    }
}

/// What is in a folder, all of it or an error.
fn files_in(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(folder).map_err(io(folder, "reading"))?;
    let names = entries.map(|entry| Ok(entry.map_err(io(folder, "reading"))?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}
