//! A layer on the disk becomes one in transport.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::fd::AsFd,
    path::Path,
};

use hcs_core::{Cause, Error};

use crate::{
    failure,
    layer::{Kind, Layer},
    pack::Packer,
    stage,
    tree::{self, Deletions},
};

/// The name of the archive in the folder.
pub const ARCHIVE: &str = "layer.tar";

/// Writes a layer into a folder that is there, as one tar. Returns the digest of the tar. `is_writable` says what the
/// caller takes the layer for.
pub fn export(layer: &Layer, folder: &Path, is_writable: bool) -> Result<String, Error> {
    let kind = if is_writable { Kind::Writable } else { Kind::ReadOnly };
    if layer.mark.kind != kind {
        let detail =
            format!("{} is a {:?} layer, expected a {kind:?} one", layer.path.display(), layer.mark.kind);
        return Err(Error::new(Cause::InvalidData, detail).at("$.IsWritableLayer"));
    }
    let target = folder.join(ARCHIVE);
    if std::fs::symlink_metadata(&target).is_ok() {
        return Err(Error::new(Cause::AlreadyExists, format!("{} is there already", target.display())));
    }
    let partial = stage::beside(&target, "partial")?;
    let written = write(layer, &partial).and_then(|digest| {
        std::fs::rename(&partial, &target).map_err(failure::io(&target, "putting in its place"))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failure::io(folder, "making durable"))?;
        Ok(digest)
    });
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}

fn write(layer: &Layer, partial: &Path) -> Result<String, Error> {
    let file = File::create(partial).map_err(failure::io(partial, "making"))?;
    let mut packer = Packer::new(BufWriter::with_capacity(1 << 16, file));
    tree::read(layer.files()?.as_fd(), Deletions::ByOverlay, &mut packer)?;
    let (mut file, digest) = packer.finish()?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failure::io(partial, "writing"))?;
    Ok(digest)
}
