//! A utility machine: what is in the archive that its kernel begins with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error, error::io_failure};

use crate::{Archive, Modules};

/// What is to be built.
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its modules: the folder `lib/modules/VERSION`.
    pub modules: PathBuf,
    /// The agent, linked statically.
    pub agent: PathBuf,
    /// Modules beside those that every machine of ours can need.
    pub more_modules: Vec<String>,
    /// Files beside: where they are, and where they will be.
    pub files: Vec<(PathBuf, String)>,
    /// Symbolic links beside: where they will be, and what they say.
    pub links: Vec<(String, String)>,
}

/// What was built.
pub struct Built {
    /// The kernel.
    pub kernel: PathBuf,
    /// What it begins with.
    pub initrd: PathBuf,
    /// The size of both.
    pub bytes: u64,
}

/// Modules for what a machine of ours can have: disks, adapters, persistent memory, memory that grows, folders of the host,
/// sockets; for what containers need; and for what tells of crashes.
const MODULES: &[&str] = &[
    "pvpanic_pci",
    "button",
    "virtio_console",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "isofs",
    "virtio_net",
    "virtio_balloon",
    "virtio_mem",
    "nfit",
    "nd_pmem",
    "virtiofs",
    "overlay",
    "vmw_vsock_virtio_transport",
];

/// Where the agent finds modules, and in which order it loads them.
const MODULE_FOLDER: &str = "lib/modules/hcs";

impl Image {
    /// Builds it in a folder, which then has `kernel` and `initrd`. What was there is replaced when all is done.
    pub fn build(&self, folder: &Path) -> Result<Built, Error> {
        let archive = self.archive()?;
        let kernel = fs::read(&self.kernel).map_err(io_failure(&self.kernel, "reading"))?;
        fs::create_dir_all(folder).map_err(io_failure(folder, "making"))?;
        let built = Built {
            kernel: folder.join("kernel"),
            initrd: folder.join("initrd"),
            bytes: (kernel.len() + archive.len()) as u64,
        };
        replace(&built.kernel, &kernel)?;
        replace(&built.initrd, &archive)?;
        Ok(built)
    }

    /// The archive.
    pub fn archive(&self) -> Result<Vec<u8>, Error> {
        let mut archive = Archive::default();
        for folder in ["dev", "proc", "sys", "run", "tmp", "mnt", "etc", "root", "bin", "sbin"] {
            archive.folder(folder);
        }
        let agent = fs::read(&self.agent).map_err(io_failure(&self.agent, "reading"))?;
        archive.file("init", 0o755, &agent);
        archive.file(
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        );
        archive.file("etc/group", 0o644, b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\n");
        let names: Vec<&str> =
            MODULES.iter().copied().chain(self.more_modules.iter().map(String::as_str)).collect();
        let mut list = String::new();
        for module in Modules::find(&self.modules)?.with_needs(&names)? {
            archive.file(&format!("{MODULE_FOLDER}/{}.ko", module.name), 0o644, &module.content);
            list += &format!("{}.ko\n", module.name);
        }
        archive.file(&format!("{MODULE_FOLDER}/list"), 0o644, list.as_bytes());
        for (file, place) in &self.files {
            if place.trim_matches('/').is_empty() || place.split('/').any(|part| part == "..") {
                let detail = format!("{place:?} is no place in the machine");
                return Err(Error::new(Cause::InvalidArgument, detail));
            }
            let content = fs::read(file).map_err(io_failure(file, "reading"))?;
            archive.file(place, 0o755, &content);
        }
        for (place, target) in &self.links {
            archive.link(place, target);
        }
        Ok(archive.finish())
    }
}

/// Whoever reads it finds the old one or the new one.
fn replace(file: &Path, content: &[u8]) -> Result<(), Error> {
    let partial = file.with_extension("partial");
    let written = fs::write(&partial, content).and_then(|()| fs::rename(&partial, file));
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        io_failure(file, "writing")(error)
    })
}
