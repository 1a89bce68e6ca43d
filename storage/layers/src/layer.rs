//! What a layer is on the disk: a folder with a mark, which comes last when one is made and goes first when one is removed.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::{failure, tree};

pub use hcs_union::{FILES, MARK, UPPER, WORK};

/// Where the union of a writable layer and its parents is attached.
pub const UNION: &str = "rootfs";

/// What the mark says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Mark {
    /// Of the form of layers; 1.
    pub version: u32,
    /// What kind it is.
    pub kind: Kind,
    /// The digest of the tar that it was made of, if it was one.
    #[serde(default, rename = "DiffID", skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
}

/// The kinds of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It never changes.
    ReadOnly,
    /// What a container writes goes there.
    Writable,
    /// It has no files: they are on a disk from which a virtual machine boots. Its kernel may be here.
    Vm,
}

/// A layer that is there.
#[derive(Debug)]
pub struct Layer {
    /// Its folder.
    pub path: PathBuf,
    /// Stands for its folder.
    pub folder: OwnedFd,
    /// What it is.
    pub mark: Mark,
}

/// A path as a caller gives it: absolute, and maybe with a slash at its end.
pub fn path(text: &str) -> Result<PathBuf, Error> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(text.trim_end_matches('/').into())
            .map(|path: PathBuf| if path.as_os_str().is_empty() { PathBuf::from("/") } else { path });
    }
    Err(Error::new(Cause::InvalidArgument, format!("found {text:?}, expected an absolute path")))
}

/// Opens a layer. A folder that is none is told so.
pub fn open(path: &Path) -> Result<Layer, Error> {
    // The last part is no link: who follows one destroys or exports something else than was named.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(failure::on(path, "opening the layer"))?;
    let file =
        rustix::fs::openat(&folder, MARK, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let none = || {
        failure::invalid(format!("{} is no layer: it has no {MARK}", path.display()))
            .hint("HcsImportLayer and HcsInitializeWritableLayer make layers.")
    };
    let file = match file {
        Ok(file) => fs::File::from(file),
        Err(rustix::io::Errno::NOENT) => return Err(none()),
        Err(errno) => return Err(failure::on(path, "opening the mark of the layer")(errno)),
    };
    let mark: Mark = serde_json::from_reader(file)
        .map_err(|error| failure::invalid(format!("{} is no layer: {MARK}: {error}", path.display())))?;
    if mark.version != 1 {
        let detail = format!("{} has the form {} of layers, expected 1", path.display(), mark.version);
        return Err(failure::invalid(detail));
    }
    Ok(Layer { path: path.to_owned(), folder, mark })
}

impl Mark {
    /// A mark of this release.
    pub fn new(kind: Kind, diff_id: Option<String>) -> Mark {
        Mark { version: 1, kind, diff_id }
    }

    /// Writes it into the folder of a layer.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let file = folder.join(MARK);
        let text = serde_json::to_string(self).map_err(|error| failure::invalid(error.to_string()))?;
        fs::write(&file, text).map_err(failure::io(&file, "writing"))
    }
}

impl Layer {
    /// Opens the folder in which its own files are: those of a read-only layer, or what was written to a writable one.
    pub fn files(&self) -> Result<OwnedFd, Error> {
        let name = match self.mark.kind {
            Kind::ReadOnly => FILES,
            Kind::Writable => UPPER,
            Kind::Vm => {
                let detail = format!(
                    "{} is a layer of virtual machines, its files are on a disk",
                    self.path.display()
                );
                return Err(failure::invalid(detail));
            }
        };
        tree::open(self.folder.as_fd(), name).map_err(failure::on(&self.path.join(name), "opening"))
    }
}
