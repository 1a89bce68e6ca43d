//! Images that are kept: each layer once, unpacked.
//!
//! ```text
//!   layers/<digits>/        a layer, named after the digest of its tar
//!   images/<digits>.json    the configuration of an image, named after its digest; it names the layers
//!   names/<name>            the digest of an image
//!   lock                    held by who changes something
//! ```
//!
//! What is put here is whole and named after its content, so a crash leaves nothing wrong; at most something that nothing
//! names, which [`Store::prune`] removes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use hcs_core::{Cause, Error, io_failure as io, lock};
use hcs_layers::{
    archive::{self, Limits},
    destroy,
    digest::Hashed,
    import, stage,
};

use crate::{
    Digest, Name, Progress, Watcher,
    documents::Config,
    read::{self, Found, Layer},
    source::{Source, invalid},
};

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

/// A folder that is gone with its end, or after a crash with the next [`Store::prune`].
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Images without a name.
    pub images: usize,
    /// Layers of no image.
    pub layers: usize,
    /// Layers of no image that somebody uses; they stay.
    pub in_use: usize,
}

impl Store {
    /// The store in a folder, which is made if it is missing.
    pub fn open(folder: &Path) -> Result<Store, Error> {
        for name in ["layers", "images", "names"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).map_err(io(&folder, "making"))?;
        }
        // Programs in images may run as their owners, and are nobody's business on the host.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io(folder, "closing"))?;
        Ok(Store { folder: folder.to_owned() })
    }

    /// Brings in the images of a layout or an archive. With a `name` there must be one image, and it is called so. Nothing
    /// is kept of an import that fails.
    pub fn import(
        &self,
        source: &Path,
        name: Option<&Name>,
        limits: Limits,
        watcher: Watcher<'_>,
    ) -> Result<Vec<Listed>, Error> {
        let (source, mut found) = open(source, &self.folder.join("layers"), limits)?;
        if let Some(name) = name {
            let [only] = &mut found[..] else {
                return Err(Error::new(
                    Cause::InvalidArgument,
                    format!("found {} images, expected one for the name {name}", found.len()),
                ));
            };
            only.names = vec![name.clone()];
        }
        let lock = self.lock()?;
        let (layers, ids, names) = (self.layer_names()?, self.ids()?, self.names()?);
        let mut put = Vec::new();
        let brought =
            self.unpack(&source, &found, limits, watcher).and_then(|()| self.note(&found, &mut put));
        if let Err(error) = brought {
            self.take_back(&found, put, &layers, &ids, &names);
            return Err(error);
        }
        drop(lock);
        Ok(found.into_iter().map(listed).collect())
    }

    /// Writes down images whose layers are there, the names last: they are of images that are whole. `put` has those that are
    /// there, also if another fails.
    fn note<'a>(&self, images: &'a [Found], put: &mut Vec<&'a Name>) -> Result<(), Error> {
        for image in images {
            stage::replace_file(&self.image_file(&image.id), &image.config)?;
        }
        let mut named = images.iter().flat_map(|image| image.names.iter().map(move |name| (name, &image.id)));
        named.try_for_each(|(name, id)| self.put_name(name, id).map(|()| put.push(name)))
    }

    /// Leaves what was there before an import that has failed. Why it has failed is told, so what resists here is not; the
    /// next [`Store::prune`] removes it. As long as a name is of an image that has come, the image stays with all that it needs.
    fn take_back(
        &self,
        found: &[Found],
        put: Vec<&Name>,
        layers: &BTreeSet<String>,
        ids: &[Digest],
        names: &BTreeMap<Name, Digest>,
    ) {
        let mut is_named = false;
        for name in put {
            let taken = match names.get(name) {
                Some(id) => self.put_name(name, id),
                None => self.remove_name_locked(name),
            };
            is_named |= taken.is_err();
        }
        if is_named {
            return;
        }
        for image in found.iter().filter(|image| !ids.contains(&image.id)) {
            let _ = fs::remove_file(self.image_file(&image.id));
        }
        for name in self.layer_names().unwrap_or_default().difference(layers) {
            let _ = destroy::destroy(&self.folder.join("layers").join(name));
        }
    }

    /// Unpacks what is missing, as many layers at a time as there are processors.
    fn unpack(
        &self,
        source: &Source,
        found: &[Found],
        limits: Limits,
        watcher: Watcher<'_>,
    ) -> Result<(), Error> {
        let all = found.iter().flat_map(|image| &image.layers);
        let missing: BTreeMap<&Digest, &Layer> = all
            .filter(|layer| !self.layer(&layer.diff_id).exists())
            .map(|layer| (&layer.diff_id, layer))
            .collect();
        let queue: Mutex<VecDeque<&Layer>> = Mutex::new(missing.into_values().collect());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let failed = AtomicBool::new(false);
        let work = || -> Result<(), Error> {
            while let Some(layer) = next() {
                if failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                self.unpack_layer(source, layer, limits, watcher)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, |number| number.get());
        thread::scope(|scope| {
            // Where there cannot be as many threads, fewer do it, at least this one.
            let begin = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let workers: Vec<_> = (1..threads).filter_map(begin).collect();
            let own = work();
            let ended = workers.into_iter().map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(Error::new(Cause::Unexpected, "unpacking a layer has failed")))
            });
            ended.fold(own, Result::and)
        })
    }

    fn unpack_layer(
        &self,
        source: &Source,
        layer: &Layer,
        limits: Limits,
        watcher: Watcher<'_>,
    ) -> Result<(), Error> {
        let blob = source.open_blob(&layer.file)?;
        let total = blob.size;
        let watched = Watched { from: Hashed::new(blob), layer: layer.diff_id.as_str(), total, watcher };
        import::build(&self.layer(&layer.diff_id), |sink| {
            let mut watched = watched;
            let diff_id = archive::read(&mut watched, limits, sink)?;
            layer.diff_id.check("layer", &diff_id)?;
            // What comes after the end of what is compressed belongs to the file, and nowhere else.
            io::copy(&mut watched, &mut io::sink())
                .map_err(|error| Error::from_io(&error, "reading the image"))?;
            let (_, digest, _) = watched.from.finish();
            if let Some(expected) = &layer.digest {
                expected.check("file of the layer", &digest)?;
            }
            Ok(Some(diff_id))
        })
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
            && let Some(id) = self.names()?.get(&name)
        {
            return self.image(id);
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

    fn remove_name_locked(&self, name: &Name) -> Result<(), Error> {
        let file = self.folder.join("names").join(name.as_file());
        match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::new(Cause::NotFound, format!("there is no image {name}")))
            }
            other => other.map_err(io(&file, "removing")),
        }
    }

    /// Removes images without a name, and layers of no image. What somebody uses stays.
    pub fn prune(&self) -> Result<Pruned, Error> {
        let _lock = self.lock()?;
        let mut pruned = Pruned::default();
        let named: BTreeSet<Digest> = self.names()?.into_values().collect();
        for id in self.ids()?.into_iter().filter(|id| !named.contains(id)) {
            let file = self.image_file(&id);
            fs::remove_file(&file).map_err(io(&file, "removing"))?;
            pruned.images += 1;
        }
        let mut needed = BTreeSet::new();
        for id in self.ids()? {
            needed.extend(self.image(&id)?.layers);
        }
        for name in self.layer_names()? {
            let layer = self.folder.join("layers").join(&name);
            if needed.contains(&layer) {
                continue;
            }
            match destroy::destroy(&layer) {
                Ok(()) => pruned.layers += 1,
                Err(error) if error.cause == Cause::InUse => pruned.in_use += 1,
                Err(error) => return Err(error),
            }
        }
        self.sweep_locked(false)?;
        Ok(pruned)
    }

    /// Removes what a crash has left of layers that were being unpacked or removed, or of what was fetched for them;
    /// what it was. With `only_look` nothing is removed.
    pub fn sweep(&self, only_look: bool) -> Result<Vec<PathBuf>, Error> {
        let _lock = self.lock()?;
        self.sweep_locked(only_look)
    }

    fn sweep_locked(&self, only_look: bool) -> Result<Vec<PathBuf>, Error> {
        let folder = self.folder.join("layers");
        let mut left = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io(&folder, "reading"))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                let path = entry.path();
                let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                let lock = match File::open(&path) {
                    // Who made it has removed it meanwhile.
                    Err(error) if is_gone(&error) => continue,
                    opened => opened.map_err(io(&path, "opening"))?,
                };
                // Somebody is at it.
                if lock::try_take(&lock) != Ok(true) {
                    continue;
                }
                if !only_look {
                    match fs::remove_dir_all(&path) {
                        Err(error) if is_gone(&error) => continue,
                        removed => removed.map_err(io(&path, "removing"))?,
                    }
                }
                left.push(path);
            }
        }
        Ok(left)
    }

    /// A folder for what is fetched and then imported.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("layers").join(format!(".fetched-{}-{number}", std::process::id()));
        let make = || loop {
            fs::create_dir(&path)?;
            match File::open(&path) {
                // Who sweeps has taken it for what a crash has left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        };
        let lock = lock::take_at(&path, make).map_err(io(&path, "making"))?;
        Ok(Scratch { path, _lock: lock })
    }

    fn put_name(&self, name: &Name, id: &Digest) -> Result<(), Error> {
        stage::replace_file(&self.folder.join("names").join(name.as_file()), id.as_str().as_bytes())
    }

    /// Which image each name is of. A name that is there and cannot be read must not be taken for none: what nothing names is
    /// removed.
    fn names(&self) -> Result<BTreeMap<Name, Digest>, Error> {
        let folder = self.folder.join("names");
        let mut names = BTreeMap::new();
        for file in files_in(&folder)? {
            let Some(name) = Name::of_file(&file) else { continue };
            let path = folder.join(&file);
            let id = match fs::read(&path) {
                // Somebody has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text.map_err(io(&path, "reading"))?,
            };
            if let Ok(id) = Digest::new(&String::from_utf8_lossy(&id)) {
                names.insert(name, id);
            }
        }
        Ok(names)
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

/// The images of a layout or an archive, which are not brought in. One that is compressed is unpacked into a file without
/// a name in `scratch`.
pub fn look_into(source: &Path, scratch: &Path, limits: Limits) -> Result<Vec<Listed>, Error> {
    Ok(open(source, scratch, limits)?.1.into_iter().map(listed).collect())
}

fn open(path: &Path, scratch: &Path, limits: Limits) -> Result<(Source, Vec<Found>), Error> {
    let source = Source::open(path, scratch, limits)?;
    let found = read::find(&source, path.file_name().and_then(|name| name.to_str()).map(stem))?;
    Ok((source, found))
}

fn listed(image: Found) -> Listed {
    Listed {
        created: serde_json::from_slice::<Config>(&image.config).ok().and_then(|config| config.created),
        layers: image.layers.len(),
        names: image.names,
        id: image.id,
    }
}

/// A file's name without what says how it is packed.
fn stem(name: &str) -> &str {
    let name = [".gz", ".zst", ".tgz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    name.strip_suffix(".tar").unwrap_or(name)
}

/// Tells how far reading has come.
struct Watched<'a, R> {
    from: Hashed<R>,
    layer: &'a str,
    total: u64,
    watcher: Watcher<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        if length > 0 {
            (self.watcher)(Progress { layer: self.layer, done: self.from.length(), total: self.total });
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, comment: &str) -> Found {
        let config = format!(r#"{{"comment":"{comment}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#);
        Found {
            id: Digest::of(config.as_bytes()),
            config: config.into_bytes(),
            names: vec![Name::new(name).unwrap()],
            layers: Vec::new(),
        }
    }

    #[test]
    fn an_import_that_fails_takes_no_name_from_another_image() {
        let folder = std::env::temp_dir().join(format!("hcs-images-store-{}", std::process::id()));
        let store = Store::open(&folder).unwrap();
        let old = found("web", "old");
        store.note(std::slice::from_ref(&old), &mut Vec::new()).unwrap();
        let (layers, ids, names) =
            (store.layer_names().unwrap(), store.ids().unwrap(), store.names().unwrap());
        let new = [found("web", "new"), found("other", "cannot be written")];
        // There is something in its place that no file takes.
        fs::create_dir(store.image_file(&new[1].id)).unwrap();
        let mut put = Vec::new();
        store.note(&new, &mut put).unwrap_err();
        assert!(put.is_empty());
        assert_eq!(store.names().unwrap(), names);
        // As if it had failed at the very last.
        store.put_name(&new[0].names[0], &new[0].id).unwrap();
        store.put_name(&new[1].names[0], &new[1].id).unwrap();
        put.extend(new.iter().map(|image| &image.names[0]));
        store.take_back(&new, put, &layers, &ids, &names);
        assert_eq!(store.names().unwrap(), names);
        assert_eq!(store.find("web").unwrap().id, old.id);
        assert!(!store.image_file(&new[0].id).exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
