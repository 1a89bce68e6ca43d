//! Brings images in: their layers, as many at a time as there are processors, then what they are, then their names. All or
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::{self, Read},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use hcs_core::{Cause, Error};
use hcs_layers::{
    archive::{self, Limits},
    destroy,
    digest::Hashed,
    import, stage,
};

use super::{Listed, Store};
use crate::{
    Digest, Name, Progress, Watcher,
    documents::Config,
    read::{self, Found, Layer},
    source::Source,
};

impl Store {
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
