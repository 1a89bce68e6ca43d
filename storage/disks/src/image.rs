//! What an image is: the format of a file, and how large its disk is.

use std::{fs::File, os::unix::fs::FileExt};

use hcs_core::Error;

use crate::{
    failure,
    vhd::{self, Footer},
    vhdx,
};

/// A format of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// The same, and a footer.
    FixedVhd,
    /// Blocks that come when they are written.
    DynamicVhd,
    /// The newer format with such blocks.
    Vhdx,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its format.
    pub format: Format,
    /// How many bytes of the file are those of the disk; `None` where the disk is not simply in the file.
    pub plain: Option<u64>,
}

impl Image {
    /// Looks at a file. What is in none of the other formats is raw: on a raw disk is what its user has written, and
    /// that must not be able to make it something else that leads to other files. None of these formats does.
    pub fn of(file: &File) -> Result<Image, Error> {
        let length = length(file)?;
        let failed = |error: std::io::Error| Error::from_io(&error, "reading the image");
        let mut beginning = [0; vhdx::MAGIC.len()];
        if length >= beginning.len() as u64 {
            file.read_exact_at(&mut beginning, 0).map_err(failed)?;
        }
        if beginning == *vhdx::MAGIC {
            return Ok(Image { format: Format::Vhdx, plain: None });
        }
        if length >= vhd::FOOTER {
            let mut footer = [0; vhd::FOOTER as usize];
            file.read_exact_at(&mut footer, length - vhd::FOOTER).map_err(failed)?;
            match vhd::read(&footer, length)? {
                Some(Footer::Fixed { size }) => {
                    return Ok(Image { format: Format::FixedVhd, plain: Some(size) });
                }
                Some(Footer::Dynamic { .. }) => return Ok(Image { format: Format::DynamicVhd, plain: None }),
                None => {}
            }
        }
        if beginning.starts_with(b"QFI\xfb") {
            return Err(failure::invalid("found an image in the format qcow2, expected raw, VHD or VHDX")
                .hint("qemu-img convert -O vhdx makes one of it."));
        }
        Ok(Image { format: Format::Raw, plain: Some(length) })
    }
}

/// How long a file is, or a disk of the host.
fn length(file: &File) -> Result<u64, Error> {
    // Of a device the length is known only by its end.
    rustix::fs::seek(file, rustix::fs::SeekFrom::End(0)).map_err(failure::on("looking at the image"))
}

impl Format {
    /// What `qemu-storage-daemon` calls it.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            Format::Raw | Format::FixedVhd => "raw",
            Format::DynamicVhd => "vpc",
            Format::Vhdx => "vhdx",
        }
    }
}
