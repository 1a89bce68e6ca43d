//! `hcs disk`

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
};

use hcs::storage;

use crate::{failure::Failure, output, progress::Busy, size};

/// Make, format and mount disks in files: raw, VHD, VHDX.
///
/// Everything happens here and now, without a service, and needs root.
#[derive(clap::Args)]
pub struct Disk {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make an image with nothing on its disk.
    Create {
        /// Where; nothing may be there.
        image: PathBuf,
        /// How large the disk is: bytes, or with K, M, G or T.
        #[arg(value_parser = size::parse)]
        size: u64,
        /// The format of the image [default: that of the name's ending, else raw].
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// Make a partition with ext4 on a disk. What was on it is gone.
    Format {
        /// The image.
        image: PathBuf,
    },
    /// Mount a disk and print where. It stays mounted until `hcs disk unmount`.
    Mount {
        /// The image.
        image: PathBuf,
        /// So that nothing on it can be changed.
        #[arg(long)]
        read_only: bool,
    },
    /// Unmount a disk. One that is not mounted is fine.
    Unmount {
        /// The image.
        image: PathBuf,
    },
}

/// A format of images.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// The bytes of the disk.
    Raw,
    /// VHD that grows with what is written.
    Vhd,
    /// VHD that has its whole size.
    FixedVhd,
    /// VHDX.
    Vhdx,
}

impl Format {
    /// What the ending of a name says.
    fn of(image: &std::path::Path) -> Format {
        match image.extension().and_then(|ending| ending.to_str()) {
            Some("vhd") => Format::Vhd,
            Some("vhdx") => Format::Vhdx,
            _ => Format::Raw,
        }
    }
}

impl From<Format> for storage::DiskFormat {
    fn from(format: Format) -> storage::DiskFormat {
        match format {
            Format::Raw => storage::DiskFormat::Raw,
            Format::Vhd => storage::DiskFormat::DynamicVhd,
            Format::FixedVhd => storage::DiskFormat::FixedVhd,
            Format::Vhdx => storage::DiskFormat::Vhdx,
        }
    }
}

impl Disk {
    pub fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Create { image, size, format } => {
                let format = format.unwrap_or_else(|| Format::of(&image));
                let _busy = Busy::with("making the disk");
                storage::create_disk(&image, format.into(), size)?;
            }
            What::Format { image } => {
                let _busy = Busy::with("making a file system");
                storage::format_disk(&open(&image, true)?)?;
            }
            What::Mount { image, read_only } => {
                let point = storage::mount_disk(&open(&image, !read_only)?)?;
                output::line(&point.display().to_string())?;
            }
            What::Unmount { image } => storage::unmount_disk(&open(&image, false)?)?,
        }
        Ok(())
    }
}

pub fn open(image: &std::path::Path, writable: bool) -> Result<File, Failure> {
    let opened = OpenOptions::new().read(true).write(writable).open(image);
    opened.map_err(|error| Failure::io(&error, &image.display().to_string()))
}
