//! Folders and sockets of the host that appear in the container: MappedDirectories and MappedPipes.
//!
//! Planned here from the document, or from a request to change a running container; [`crate::mounts::extra`] makes
//! the mounts.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::{Container, MappedDirectory, MappedPipe, MappedPipePathType, PathType};
use rustix::mount::MountAttrFlags;

use crate::mounts::extra::{ExtraMount, Kind, Source};

/// Where a pipe appears whose name is no path.
const PIPES: &str = "/run";
/// What the engine itself mounts; a mapping there would take protection away.
const RESERVED: &[&str] = &["/proc", "/sys"];

/// The mounts that a document asks for by its mappings, in its order.
pub(crate) fn plan(container: &Container) -> Result<Vec<ExtraMount>, Error> {
    let mut mounts: Vec<ExtraMount> = Vec::new();
    for (index, mapped) in container.mapped_directories.iter().flatten().enumerate() {
        mounts.push(directory(mapped, &format!("$.Container.MappedDirectories[{index}]"))?);
    }
    for (index, mapped) in container.mapped_pipes.iter().flatten().enumerate() {
        mounts.push(pipe(mapped, &format!("$.Container.MappedPipes[{index}]"))?);
    }
    for (index, mount) in mounts.iter().enumerate() {
        if mounts[..index].iter().any(|other| other.destination == mount.destination) {
            let detail = format!("something else is mapped to {:?} already", mount.destination);
            return Err(Error::new(Cause::InvalidData, detail).at(mount.blame.clone()));
        }
    }
    Ok(mounts)
}

/// A folder of the host. `at` is where the document says it.
pub(crate) fn directory(mapped: &MappedDirectory, at: &str) -> Result<ExtraMount, Error> {
    if mapped.host_path_type.is_some_and(|kind| kind != PathType::AbsolutePath) {
        return Err(only_absolute(at));
    }
    let path = of_host(mapped.host_path.as_deref(), &format!("{at}.HostPath"))?;
    Ok(mount(path, place_of_directory(mapped, at)?, Kind::Directory, mapped.read_only.unwrap_or(false), at))
}

/// A socket of the host.
pub(crate) fn pipe(mapped: &MappedPipe, at: &str) -> Result<ExtraMount, Error> {
    if mapped.host_path_type.is_some_and(|kind| kind != MappedPipePathType::AbsolutePath) {
        return Err(only_absolute(at));
    }
    let path = of_host(mapped.host_path.as_deref(), &format!("{at}.HostPath"))?;
    Ok(mount(path, place_of_pipe(mapped, at)?, Kind::Socket, false, at))
}

/// Where a folder appears.
pub(crate) fn place_of_directory(mapped: &MappedDirectory, at: &str) -> Result<String, Error> {
    inside(mapped.container_path.as_deref(), &format!("{at}.ContainerPath"))
}

/// Where a pipe appears.
pub(crate) fn place_of_pipe(mapped: &MappedPipe, at: &str) -> Result<String, Error> {
    let named = mapped.container_pipe_name.as_deref().map(|name| match name.contains('/') {
        false if !name.is_empty() => format!("{PIPES}/{name}"),
        _ => name.to_owned(),
    });
    inside(named.as_deref(), &format!("{at}.ContainerPipeName"))
}

fn mount(path: String, destination: String, kind: Kind, read_only: bool, at: &str) -> ExtraMount {
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    ExtraMount {
        destination,
        source: Source::Bind { path, recursive: true, wanted: Some(kind) },
        attributes: u64::from(attributes.bits()),
        cleared: 0,
        recursive: true,
        blame: format!("{at}.HostPath"),
    }
}

fn only_absolute(path: &str) -> Error {
    Error::new(Cause::NotSupported, "there are no shares of a virtual machine here")
        .at(format!("{path}.HostPathType"))
        .hint("Leave it out; HostPath is then a path of the host.")
}

fn of_host(given: Option<&str>, path: &str) -> Result<String, Error> {
    let given = given.unwrap_or_default();
    absolute(given, path)?;
    Ok(given.to_owned())
}

/// A path inside: below the root, not above it, and not where the engine keeps what protects the host.
fn inside(given: Option<&str>, path: &str) -> Result<String, Error> {
    let given = given.unwrap_or_default();
    absolute(given, path)?;
    let parts: Vec<&str> = given.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let place = format!("/{}", parts.join("/"));
    let is_below = |above: &str| place == above || place.starts_with(&format!("{above}/"));
    if parts.is_empty() || parts.contains(&"..") || RESERVED.iter().copied().any(is_below) {
        return Err(Error::new(Cause::InvalidData, format!("found {given:?}, where nothing can be mapped"))
            .at(path)
            .hint("Name a place below the root, without \"..\", and not in /proc or /sys."));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Vec<ExtraMount>, Error> {
        plan(&hcs_schema::read::<Container>(text).unwrap().value)
    }

    #[test]
    fn folders_and_pipes_become_mappings_in_order() {
        let mounts = planned(
            r#"{"MappedDirectories":[{"HostPath":"/srv/data","ContainerPath":"//data/./in/","ReadOnly":true}],
                "MappedPipes":[{"HostPath":"/run/a.sock","ContainerPipeName":"docker_engine"},
                               {"HostPath":"/run/b.sock","ContainerPipeName":"/var/run/b.sock"}]}"#,
        )
        .unwrap();
        let read_only = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
        let told: Vec<_> = mounts
            .iter()
            .map(|one| {
                let Source::Bind { path, wanted, .. } = &one.source else { panic!("{one:?}") };
                (path.as_str(), one.destination.as_str(), one.attributes & read_only != 0, *wanted)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("/srv/data", "/data/in", true, Some(Kind::Directory)),
                ("/run/a.sock", "/run/docker_engine", false, Some(Kind::Socket)),
                ("/run/b.sock", "/var/run/b.sock", false, Some(Kind::Socket)),
            ]
        );
    }

    #[test]
    fn places_that_protect_the_host_and_paths_that_are_none_are_refused_with_their_member() {
        for (members, blamed) in [
            (r#""HostPath":"data","ContainerPath":"/data""#, "HostPath"),
            (r#""ContainerPath":"/data""#, "HostPath"),
            (r#""HostPath":"/data","ContainerPath":"data""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/a/../../b""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/proc/sys""#, "ContainerPath"),
            (r#""HostPath":"/data","ContainerPath":"/./sys""#, "ContainerPath"),
        ] {
            let error = planned(&format!(r#"{{"MappedDirectories":[{{{members}}}]}}"#)).unwrap_err();
            assert_eq!(error.cause, Cause::InvalidData, "{members}");
            assert_eq!(error.path, Some(format!("$.Container.MappedDirectories[0].{blamed}")), "{members}");
        }
    }

    #[test]
    fn two_things_cannot_appear_at_one_place() {
        let error = planned(
            r#"{"MappedDirectories":[{"HostPath":"/a","ContainerPath":"/x"},{"HostPath":"/b","ContainerPath":"/x/"}]}"#,
        )
        .unwrap_err();
        assert_eq!(error.path.as_deref(), Some("$.Container.MappedDirectories[1].HostPath"));
    }
}
