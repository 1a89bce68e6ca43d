//! Base layers: the lowest of a stack, made of an operating system that is there already.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::{
    failure,
    layer::{FILES, Kind, MARK, Mark},
};

/// The kernel beside the mark, for booting it directly.
pub const KERNEL: &str = "kernel";
/// What the kernel begins with, if the system has such.
pub const INITRD: &str = "initrd";

/// Folders on which the kernel's file systems are mounted; a read-only layer must have them.
const MOUNT_POINTS: &[(&str, u16)] =
    &[("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777)];
/// What the kernel starts, in its order.
const INITS: &[&str] = &["sbin/init", "etc/init", "bin/init", "init"];

/// Makes a folder with an operating system in `fs/` a base layer of containers.
pub fn set_up(layer: &Path) -> Result<(), Error> {
    expect_no_mark(layer)?;
    let files = layer.join(FILES);
    let root = open_folder(&files)?;
    if fs::read_dir(&files).map_err(failure::io(&files, "reading"))?.next().is_none() {
        return Err(failure::invalid(format!("{} is empty, expected an operating system", files.display())));
    }
    make_mount_points(root.as_fd(), &files)?;
    // Last, because it makes a layer of it.
    Mark::new(Kind::ReadOnly, None).write(layer)
}

/// Makes the system in a mounted volume bootable, and a folder the layer that says how: with its kernel, if `boots`.
pub fn set_up_volume(layer: &Path, volume: &Path, boots: bool) -> Result<(), Error> {
    fs::create_dir_all(layer).map_err(failure::io(layer, "making"))?;
    expect_no_mark(layer)?;
    let root = open_folder(volume)?;
    let has_init = INITS.iter().any(|init| within(root.as_fd(), init).is_ok());
    if !has_init {
        let detail = format!("{} has no init, expected an operating system", volume.display());
        return Err(failure::invalid(detail).hint("Copy a system into it first."));
    }
    make_mount_points(root.as_fd(), volume)?;
    let made = || {
        if boots {
            let (kernel, initrd) = find_kernel(root.as_fd(), volume)?;
            copy(&kernel, &layer.join(KERNEL))?;
            if let Some(initrd) = initrd {
                copy(&initrd, &layer.join(INITRD))?;
            }
            forget_identity(root.as_fd()).map_err(failure::on(volume, "clearing the machine id in"))?;
        }
        rustix::fs::syncfs(&root).map_err(failure::on(volume, "making durable"))?;
        Mark::new(Kind::Vm, None).write(layer)
    };
    made().inspect_err(|_| {
        for file in [KERNEL, INITRD] {
            let _ = fs::remove_file(layer.join(file));
        }
    })
}

fn expect_no_mark(layer: &Path) -> Result<(), Error> {
    let mark = layer.join(MARK);
    match fs::symlink_metadata(&mark) {
        Ok(_) => Err(Error::new(Cause::AlreadyExists, format!("{} is a layer already", layer.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failure::io(&mark, "looking at")(error)),
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failure::on(path, "opening"))
}

/// Opens a file as the system itself would find it: its links lead nowhere else.
fn within(root: BorrowedFd<'_>, path: &str) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).map(File::from)
}

fn make_mount_points(root: BorrowedFd<'_>, place: &Path) -> Result<(), Error> {
    for (name, mode) in MOUNT_POINTS {
        match rustix::fs::mkdirat(root, *name, Mode::from_raw_mode(u32::from(*mode))) {
            // A umask may have taken some of it.
            Ok(()) => {
                rustix::fs::chmodat(
                    root,
                    *name,
                    Mode::from_raw_mode(u32::from(*mode)),
                    rustix::fs::AtFlags::empty(),
                )
                .map_err(failure::on(place, "making mount points in"))?;
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failure::on(place, "making mount points in")(errno)),
        }
    }
    Ok(())
}

/// The newest kernel of a system, and what belongs to it.
fn find_kernel(root: BorrowedFd<'_>, volume: &Path) -> Result<(File, Option<File>), Error> {
    let none = || {
        failure::invalid(format!("{} has no kernel in /boot", volume.display()))
            .hint("Install one in it, or set SkipUpdateBcdForBoot and bring your own.")
    };
    let folder = within(root, "boot").map_err(|_| none())?;
    let mut names: Vec<String> = rustix::fs::Dir::read_from(&folder)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .map_err(failure::on(volume, "reading /boot in"))?
        .iter()
        .filter_map(|entry| entry.file_name().to_str().ok()?.strip_prefix("vmlinuz").map(str::to_owned))
        .collect();
    names.sort_by_key(|name| numbers(name));
    let version = names.pop().ok_or_else(none)?;
    let open = |name: String| within(root, &format!("boot/{name}"));
    let kernel = open(format!("vmlinuz{version}")).map_err(failure::on(volume, "opening the kernel in"))?;
    let names =
        [format!("initrd.img{version}"), format!("initramfs{version}.img"), format!("initramfs{version}")];
    Ok((kernel, names.into_iter().find_map(|name| open(name).ok())))
}

/// The numbers in a name, so that 6.10 comes after 6.9.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn copy(from: &File, to: &Path) -> Result<(), Error> {
    let failed = failure::io(to, "writing");
    if !from.metadata().map_err(&failed)?.is_file() {
        return Err(failure::invalid(format!("what should become {} is no file", to.display())));
    }
    let mut target = File::create_new(to).map_err(&failed)?;
    io::copy(&mut &*from, &mut target).and_then(|_| target.sync_all()).map_err(failed)
}

/// Every machine that boots from it gets an id of its own at its first start.
fn forget_identity(root: BorrowedFd<'_>) -> Result<(), Errno> {
    // Without waiting for who reads, should it be a pipe.
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, "etc/machine-id", flags, Mode::empty(), resolve) {
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NXIO) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_the_machine_id_is_not_waited_for() {
        let folder = std::env::temp_dir().join(format!("hcs-layers-base-{}", std::process::id()));
        fs::create_dir_all(folder.join("etc")).unwrap();
        let pipe = folder.join("etc/machine-id");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        forget_identity(open_folder(&folder).unwrap().as_fd()).unwrap();
        fs::remove_file(&pipe).unwrap();
        fs::write(&pipe, "0123\n").unwrap();
        forget_identity(open_folder(&folder).unwrap().as_fd()).unwrap();
        assert_eq!(fs::read(&pipe).unwrap(), b"");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_newest_kernel_is_the_one_with_the_highest_numbers() {
        let mut names = ["-6.9.12-amd64", "-6.10.1-amd64", "", "-5.10.0-33-amd64", "-6.10.1-rc2"];
        names.sort_by_key(|name| numbers(name));
        assert_eq!(names[0], "");
        assert_eq!(names[4], "-6.10.1-amd64");
    }
}
