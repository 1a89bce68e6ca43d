//! Which file system a disk has, and making one. Few are recognised: those whose mark is in a place that stays.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hcs_container::network::host_program;
use hcs_core::{Cause, Error};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};

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
    let program = host_program::find(&format!("mkfs.{wanted}"), kind.package, &member("EnsureFilesystem"))?;
    run(Command::new(program).arg(kind.force).arg(node))
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

/// Runs a program to its end, or puts an end to it. It has ended when nobody can say anything any more.
fn run(command: &mut Command) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error| Error::from_io(&error, format!("running {name}"));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut said = Vec::new();
    let until = Instant::now() + PATIENCE;
    let mut is_late = false;
    if let Some(mut stderr) = child.stderr.take() {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match rustix::event::poll(&mut [PollFd::new(&stderr, PollFlags::IN)], Some(&left)) {
                Ok(0) => {
                    is_late = true;
                    let _ = child.kill();
                    break;
                }
                Err(Errno::INTR) => continue,
                _ => {}
            }
            let mut buffer = [0; 1024];
            match stderr.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => said.extend_from_slice(&buffer[..length]),
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    if is_late {
        return Err(Error::new(Cause::DeadlineExceeded, format!("{name} has not ended in {PATIENCE:?}")));
    }
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(Error::new(Cause::Unexpected, format!("{name} failed ({status}): {}", said.trim())))
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

    #[test]
    fn what_a_program_complains_of_is_told() {
        run(Command::new("sh").args(["-c", "exit 0"])).unwrap();
        let error = run(Command::new("sh").args(["-c", "echo no such disk >&2; exit 3"])).unwrap_err();
        assert!(error.detail.contains("no such disk") && error.detail.contains('3'), "{error}");
    }
}
