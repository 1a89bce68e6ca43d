//! A layer on the disk becomes one in transport.

use std::{
    io::{BufWriter, Write},
    os::fd::AsFd,
    path::Path,
};

use hcs_core::{Cause, Error};

use crate::{
    compress::{Compression, Compressor},
    layer::{Kind, Layer},
    pack::Packer,
    stage,
    tree::{self, Deletions},
};

/// The archive's name in the folder.
pub fn archive_name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "layer.tar",
        Compression::Gzip => "layer.tar.gz",
        Compression::Zstd => "layer.tar.zst",
    }
}

/// Writes a layer into a folder that is there, as one archive. Returns the digest of the tar. `is_writable` says what
/// the caller takes the layer for.
pub fn export(
    layer: &Layer,
    folder: &Path,
    is_writable: bool,
    compression: Compression,
) -> Result<String, Error> {
    let kind = if is_writable { Kind::Writable } else { Kind::ReadOnly };
    if layer.mark.kind != kind {
        let detail =
            format!("{} is a {:?} layer, expected a {kind:?} one", layer.path.display(), layer.mark.kind);
        return Err(Error::new(Cause::InvalidData, detail).at("$.IsWritableLayer"));
    }
    stage::write_file(&folder.join(archive_name(compression)), |file| {
        let (_, digest) = pack(layer, BufWriter::with_capacity(1 << 16, file), compression)?;
        Ok(digest)
    })
}

/// Writes a layer as an archive. Returns what was written to, and the digest of the tar.
pub fn pack<W: Write>(layer: &Layer, to: W, compression: Compression) -> Result<(W, String), Error> {
    let compressor = Compressor::new(to, compression);
    let compressor = compressor.map_err(|error| Error::from_io(&error, "starting a thread"))?;
    let mut packer = Packer::new(compressor);
    tree::read(layer.files()?.as_fd(), Deletions::ByOverlay, &mut packer)?;
    let (compressor, digest) = packer.finish()?;
    let to = compressor.finish().map_err(|error| Error::from_io(&error, "writing the archive"))?;
    Ok((to, digest))
}
