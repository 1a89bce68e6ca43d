//! A tar of plain files, which depends on their names and bytes alone.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use hcs_core::Error;

use crate::{
    entry::{Content, Entry, Kind, Sink, Time},
    failure,
    pack::Packer,
};

/// Writes the files of these names in a folder.
pub fn write(to: impl Write, folder: &Path, names: &[String]) -> Result<(), Error> {
    let mut packer = Packer::new(to);
    let entry = |name: &str, kind, mode| Entry {
        path: name.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        changed: Time::default(),
        attributes: Vec::new(),
    };
    let mut folders: Vec<&str> = Vec::new();
    for name in names {
        let above = name.match_indices('/').map(|(slash, _)| &name[..slash]);
        for above in above {
            if !folders.contains(&above) {
                packer.take(&entry(above, Kind::Directory, 0o755), &mut io::empty())?;
                folders.push(above);
            }
        }
        let path = folder.join(name);
        let file = File::open(&path).map_err(failure::io(&path, "opening"))?;
        let size = file.metadata().map_err(failure::io(&path, "looking at"))?.len();
        packer.take(&entry(name, Kind::File(size), 0o644), &mut Bytes(file))?;
    }
    let (mut to, _) = packer.finish()?;
    to.flush().map_err(|error| Error::from_io(&error, "writing the archive"))
}

/// A file in which holes are not looked for.
struct Bytes(File);

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Content for Bytes {}
