//! Which file system a disk has, and making one. Few are recognised: those whose mark is in a place that stays.

use std::{fs::File, os::unix::fs::FileExt, path::Path, process::Command, time::Duration};

use hcs_core::{Cause, Error, host_program};

use super::member;

/// A file system that is recognised.
struct Kind {
    name: &'static str,
    mark: &'static [u8],
    at: u64,
    /// The package with the program that makes one.
    package: &'static str,
    /// What tells that program that the disk is meant, whatever is on it.
    force: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind { name: "ext4", mark: &[0x53, 0xEF], at: 1024 + 56, package: "e2fsprogs", force: "-F" },
    Kind { name: "xfs", mark: b"XFSB", at: 0, package: "xfsprogs", force: "-f" },
    Kind { name: "btrfs", mark: b"_BHRfS_M", at: 0x1_0040, package: "btrfs-progs", force: "-f" },
];

/// How long making one may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The file system with which a disk is to be mounted: the one that is asked for, else the one that it has.
pub fn choose(node: &Path, wanted: &str) -> Result<String, Error> {
    if !wanted.is_empty() {
        return Ok(wanted.to_owned());
    }
    let found = detect(node)?.map(str::to_owned);
    found.ok_or_else(|| {
        let known = KINDS.map(|kind| kind.name).join(", ");
        Error::new(Cause::InvalidData, format!("{} has none of the file systems {known}", node.display()))
            .at(member("Filesystem"))
            .hint("Say Filesystem if it has another, or EnsureFilesystem and Filesystem to have one made.")
    })
}

/// Options with which a file system that is read only is mounted without writing what it still has to: the disk may
/// refuse that.
pub fn as_it_is(filesystem: &str) -> &'static str {
    if filesystem == "ext4" { "noload" } else { "" }
}

/// Sees that a disk has this file system; one with another, or with none, is formatted.
///
/// One that is not recognised is refused: it would be taken for another, and emptied each time.
pub fn ensure(node: &Path, wanted: &str) -> Result<(), Error> {
    let kind = KINDS.iter().find(|kind| kind.name == wanted).ok_or_else(|| {
        let known = KINDS.map(|kind| kind.name).join(", ");
        Error::new(
            Cause::NotSupported,
            format!("EnsureFilesystem was asked for with the file system {wanted:?}"),
        )
        .at(member("Filesystem"))
        .hint(format!("Say one of {known}."))
    })?;
    if detect(node)? == Some(kind.name) {
        return Ok(());
    }
    let program = host_program::find(&format!("mkfs.{wanted}"), kind.package)
        .map_err(|error| error.at(member("EnsureFilesystem")))?;
    host_program::run_with("", Command::new(program).arg(kind.force).arg(node), PATIENCE)
}

/// What the disk has.
fn detect(node: &Path) -> Result<Option<&'static str>, Error> {
    let failed = |error| Error::from_io(&error, format!("looking for the file system of {}", node.display()));
    let disk = File::open(node).map_err(failed)?;
    for kind in &KINDS {
        let mut found = vec![0; kind.mark.len()];
        match disk.read_exact_at(&mut found, kind.at) {
            Ok(()) if found == kind.mark => return Ok(Some(kind.name)),
            Ok(()) => {}
            // It is too small to have that one.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::device::recorded::Recorded;

    #[test]
    fn a_disk_is_recognised_by_its_superblock() {
        let disks = Recorded::new("superblocks");
        for kind in &KINDS {
            let disk = disks.path().join(kind.name);
            let file = File::create(&disk).unwrap();
            file.set_len(1 << 20).unwrap();
            assert_eq!(detect(&disk).unwrap(), None);
            file.write_all_at(kind.mark, kind.at).unwrap();
            assert_eq!(detect(&disk).unwrap(), Some(kind.name));
            assert_eq!(choose(&disk, "").unwrap(), kind.name);
            assert_eq!(choose(&disk, "vfat").unwrap(), "vfat");
            // What is there already is not made again, so no program is needed.
            ensure(&disk, kind.name).unwrap();
        }
    }

    #[test]
    fn who_has_an_unknown_one_is_told_what_to_say() {
        let disks = Recorded::new("unknown-disk");
        disks.file("disk", "too small for anything");
        let error = choose(&disks.path().join("disk"), "").unwrap_err();
        assert_eq!(error.cause, Cause::InvalidData);
        assert!(error.hint.unwrap().contains("Say Filesystem"));
        let error = ensure(&disks.path().join("disk"), "vfat").unwrap_err();
        assert_eq!(error.cause, Cause::NotSupported);
        assert_eq!(choose(&disks.path().join("none"), "").unwrap_err().cause, Cause::FileNotFound);
    }
}
