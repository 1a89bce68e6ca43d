//! A layer in transport becomes one on the disk.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use hcs_core::Error;
use rustix::fs::{CWD, Mode, OFlags};

use crate::{
    archive::{self, Limits},
    entry::Sink,
    failure,
    layer::{FILES, Kind, Mark},
    stage::Stage,
    tree::{self, Deletions},
    unpack::Unpacker,
};

/// Imports the layer in a folder: the archive that is alone there, or else everything in it. A file is taken for the
/// archive itself.
pub fn import(target: &Path, source: &Path, limits: Limits) -> Result<(), Error> {
    let found = fs::metadata(source).map_err(failure::io(source, "opening"))?;
    let archive = if found.is_file() { Some(source.to_owned()) } else { archive_alone_in(source)? };
    if let Some(path) = archive {
        let file = File::open(&path).map_err(failure::io(&path, "opening"))?;
        return build(target, |sink| Ok(Some(archive::read(file, limits, sink)?)));
    }
    build(target, |sink| {
        let folder =
            rustix::fs::openat(CWD, source, FOLDER, Mode::empty()).map_err(failure::on(source, "opening"))?;
        tree::read(folder.as_fd(), Deletions::ByName, sink)?;
        Ok(None)
    })
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Makes a layer of the entries that `bring` gives; it returns their digest if there is one. If it fails there is nothing.
pub fn build(
    target: &Path,
    bring: impl FnOnce(&mut dyn Sink) -> Result<Option<String>, Error>,
) -> Result<(), Error> {
    let stage = Stage::begin(target)?;
    let files = stage.place().join(FILES);
    fs::create_dir(&files).map_err(failure::io(&files, "making"))?;
    let root =
        rustix::fs::openat(CWD, &files, FOLDER, Mode::empty()).map_err(failure::on(&files, "opening"))?;
    let mut unpacker = Unpacker::new(root.as_fd())?;
    let brought = bring(&mut unpacker);
    // What failed first is told: a file that could not be written ends everything else.
    let diff_id = unpacker.finish().and(brought)?;
    Mark::new(Kind::ReadOnly, diff_id).write(stage.place())?;
    stage.put()
}

/// The one file of a folder, if it is an archive.
fn archive_alone_in(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let failed = failure::io(folder, "reading");
    let mut entries = fs::read_dir(folder).map_err(&failed)?;
    let (Some(first), None) = (entries.next(), entries.next()) else { return Ok(None) };
    let first = first.map_err(&failed)?;
    if !first.file_type().map_err(&failed)?.is_file() {
        return Ok(None);
    }
    let path = first.path();
    let mut beginning = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(512).read_to_end(&mut beginning))
        .map_err(failure::io(&path, "reading"))?;
    Ok(archive::form(&beginning).map(|_| path))
}
