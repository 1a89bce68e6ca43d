//! A utility machine: what is in the archive that its kernel begins with.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error, error::io_failure};
use hcs_layers::stage;

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
    /// Folders whose files are in it beside, over what is there.
    pub trees: Vec<PathBuf>,
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

/// Modules for what a machine of ours can have: disks, adapters, persistent memory, memory that grows, folders of the
/// host, sockets, folders by these; for what containers need; and for what tells of crashes.
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
    "9p",
    "9pnet_fd",
];

/// How hard it is packed.
const LEVEL: i32 = 19;

/// Where the agent finds modules, and in which order it loads them.
const MODULE_FOLDER: &str = "lib/modules/hcs";

impl Image {
    /// Builds it in a folder, which then has `kernel` and `initrd`. What was there is replaced when all is done.
    pub fn build(&self, folder: &Path) -> Result<Built, Error> {
        // A third of the size; a kernel unpacks it in no time that could be measured.
        let archive = zstd::bulk::compress(&self.archive()?, LEVEL)
            .map_err(|error| Error::from_io(&error, "packing the archive"))?;
        let kernel = fs::read(&self.kernel).map_err(io_failure(&self.kernel, "reading"))?;
        fs::create_dir_all(folder).map_err(io_failure(folder, "making"))?;
        let built = Built {
            kernel: folder.join("kernel"),
            initrd: folder.join("initrd"),
            bytes: (kernel.len() + archive.len()) as u64,
        };
        stage::replace_file(&built.kernel, &kernel)?;
        stage::replace_file(&built.initrd, &archive)?;
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
        for tree in &self.trees {
            add(&mut archive, tree, "")?;
        }
        Ok(archive.finish())
    }
}

/// Adds what is in a folder, in an order that does not depend on its file system.
fn add(archive: &mut Archive, folder: &Path, place: &str) -> Result<(), Error> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<fs::DirEntry> = entries.map_err(io_failure(folder, "reading"))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().ok_or_else(|| {
            Error::new(Cause::InvalidData, format!("the name of {} is no UTF-8", path.display()))
        })?;
        let place = if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") };
        let failed = io_failure(&path, "reading");
        let about = fs::symlink_metadata(&path).map_err(&failed)?;
        if about.is_dir() {
            archive.folder(&place);
            add(archive, &path, &place)?;
        } else if about.is_symlink() {
            let target = fs::read_link(&path).map_err(&failed)?;
            let target = target.to_str().ok_or_else(|| {
                let detail = format!("the target of the link {} is no UTF-8", path.display());
                Error::new(Cause::InvalidData, detail)
            })?;
            archive.link(&place, target);
        } else if about.is_file() {
            let rights = about.permissions().mode() & 0o7777;
            archive.file(&place, rights, &fs::read(&path).map_err(failed)?);
        } else {
            let detail = format!("{} is neither a file nor a folder nor a link", path.display());
            return Err(Error::new(Cause::InvalidData, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_has_the_same_bytes_and_what_is_beside_lies_over_it() {
        let folder = std::env::temp_dir().join(format!("hcs-initrd-image-{}", std::process::id()));
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("kernel", "kernel");
        write("agent", "agent");
        write("modules/overlay.ko", "\0depends=\0");
        write("tree/etc/passwd", "mine");
        write("tree/a", "1");
        let image = Image {
            kernel: folder.join("kernel"),
            modules: folder.join("modules"),
            agent: folder.join("agent"),
            more_modules: Vec::new(),
            trees: vec![folder.join("tree")],
        };
        let archive = image.archive().unwrap();
        let text = String::from_utf8_lossy(&archive).into_owned();
        assert!(text.contains("overlay.ko\n") && text.rfind("mine") > text.find("root:x:0:0"));
        // Another order on the disk, another time.
        fs::remove_file(folder.join("tree/a")).unwrap();
        write("tree/a", "1");
        assert!(image.archive().unwrap() == archive);
        let built = image.build(&folder.join("out")).unwrap();
        let packed = fs::read(built.initrd).unwrap();
        assert_eq!(built.bytes, 6 + packed.len() as u64);
        assert!(zstd::decode_all(&packed[..]).unwrap() == archive);
        fs::remove_dir_all(folder).unwrap();
    }
}
