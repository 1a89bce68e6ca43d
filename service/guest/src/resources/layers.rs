//! The resource CombinedLayers: layers united at a path, under a folder that has what is written. It is the root of a
//! container.

use std::os::fd::{AsFd, OwnedFd};

use hcs_core::{Cause, Error};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::MountFlags,
};
use serde::Deserialize;

use super::{
    folder::{Folder, absolute},
    member,
    mount_point::{self, MountPoint, by_descriptor},
};

/// Options longer than this are not taken by the kernel.
const LONGEST: usize = 4095;

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CombinedLayers {
    container_root_path: String,
    /// The uppermost first.
    layers: Vec<Layer>,
    /// Without this nothing can be written.
    scratch_path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Layer {
    path: String,
}

/// Unites them.
pub fn add(layers: &CombinedLayers) -> Result<(), Error> {
    let root = &layers.container_root_path;
    absolute(root, "ContainerRootPath")?;
    if layers.layers.is_empty() {
        return Err(Error::new(Cause::InvalidArgument, "there are no layers to unite")
            .at(member("Layers"))
            .hint("Say at least one layer."));
    }
    let opened = layers.layers.iter().enumerate().map(|(index, layer)| {
        let member = format!("Layers[{index}].Path");
        absolute(&layer.path, &member)?;
        open(&layer.path, &member)
    });
    let opened: Vec<OwnedFd> = opened.collect::<Result<_, _>>()?;
    let mut place = MountPoint::at(Folder::make(root, 0o755, "ContainerRootPath")?);
    if layers.scratch_path.is_empty() {
        // One layer alone is no union.
        if let [only] = &opened[..] {
            place.bind(only.as_fd(), true)?;
        } else {
            place.mount("overlay", "overlay", MountFlags::RDONLY, &options(&opened, None)?)?;
        }
        place.keep();
        return Ok(());
    }
    absolute(&layers.scratch_path, "ScratchPath")?;
    let scratch = |name: &str| Folder::make(&format!("{}/{name}", layers.scratch_path), 0o755, "ScratchPath");
    let (upper, work) = (scratch("upper")?, scratch("work")?);
    let written = [&upper, &work].map(|folder| open(&folder.path.to_string_lossy(), "ScratchPath"));
    let [upper_folder, work_folder] = written;
    let written = (upper_folder?, work_folder?);
    place.mount("overlay", "overlay", MountFlags::empty(), &options(&opened, Some(&written))?)?;
    place.keep();
    upper.keep();
    work.keep();
    Ok(())
}

/// Takes the union away; the layers and what was written stay.
pub fn remove(layers: &CombinedLayers) -> Result<(), Error> {
    mount_point::remove(&layers.container_root_path, "ContainerRootPath")
}

fn open(path: &str, member_name: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
        Error::from_errno(errno.raw_os_error(), format!("opening the folder {path}")).at(member(member_name))
    })
}

/// The options of the union. Folders are told by their descriptors: those are short, and have nothing in them that would
/// have to be told apart from the marks between them.
fn options(layers: &[OwnedFd], written: Option<&(OwnedFd, OwnedFd)>) -> Result<String, Error> {
    let lower: Vec<String> = layers.iter().map(|layer| by_descriptor(layer.as_fd())).collect();
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = written {
        options +=
            &format!(",upperdir={},workdir={}", by_descriptor(upper.as_fd()), by_descriptor(work.as_fd()));
    }
    if options.len() > LONGEST {
        let detail = format!("{} layers are more than can be united", layers.len());
        return Err(Error::new(Cause::NotSupported, detail)
            .at(member("Layers"))
            .hint("Make one layer of several; two hundred are possible."));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn folders(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| open("/", "").unwrap()).collect()
    }

    #[test]
    fn the_uppermost_layer_is_the_first() {
        let layers = folders(2);
        let numbers: Vec<i32> = layers.iter().map(AsRawFd::as_raw_fd).collect();
        let lower = format!("lowerdir=/proc/self/fd/{}:/proc/self/fd/{}", numbers[0], numbers[1]);
        assert_eq!(options(&layers, None).unwrap(), lower);
        let written = (open("/", "").unwrap(), open("/", "").unwrap());
        let (upper, work) = (written.0.as_raw_fd(), written.1.as_raw_fd());
        assert_eq!(
            options(&layers, Some(&written)).unwrap(),
            format!("{lower},upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work}")
        );
    }

    #[test]
    fn more_layers_than_the_kernel_takes_are_an_error_of_its_own() {
        assert!(options(&folders(200), None).is_ok());
        assert_eq!(options(&folders(300), None).unwrap_err().cause, Cause::NotSupported);
    }

    #[test]
    fn what_cannot_be_united_is_named() {
        let add = |text| add(&serde_json::from_str(text).unwrap()).unwrap_err();
        let error = add(r#"{"ContainerRootPath":"/run/gcs/c/a/rootfs"}"#);
        assert_eq!((error.cause, error.path), (Cause::InvalidArgument, Some(member("Layers"))));
        let error = add(
            r#"{"ContainerRootPath":"/run/gcs/c/a/rootfs","Layers":[{"Id":"a","Path":"/proc"},{"Path":"/none"}]}"#,
        );
        assert_eq!((error.cause, error.path), (Cause::FileNotFound, Some(member("Layers[1].Path"))));
    }
}
