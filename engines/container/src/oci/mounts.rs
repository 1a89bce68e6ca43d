//! The `mounts` of an OCI runtime specification.
//!
//! Every container has /proc, /sys, /dev and what is in it. A mount of the specification that asks for the same
//! is met by them; one that asks for more is made on top, or refused where that would undo the engine's own.

use hcs_core::{Cause, Error, absolute};
use hcs_schema::OciMount;
use rustix::mount::MountAttrFlags;

use crate::mounts::extra::{ExtraMount, Source};

/// What every container has: place, kind, and the options that it has there.
const OWN: &[(&str, &str, &[&str])] = &[
    ("/proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "mode=620", "gid=5"],
    ),
    ("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
];

/// The mounts that are made beside the engine's own. `at` is the path of the list.
pub(crate) fn plan(mounts: &[OciMount], at: &str) -> Result<Vec<ExtraMount>, Error> {
    let mut planned = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        planned.extend(plan_one(mount, &format!("{at}[{index}]"))?);
    }
    Ok(planned)
}

fn plan_one(mount: &OciMount, at: &str) -> Result<Option<ExtraMount>, Error> {
    let destination = destination(mount, at)?;
    let options = mount.options.as_deref().unwrap_or_default();
    let mappings = [(&mount.uid_mappings, "uidMappings"), (&mount.gid_mappings, "gidMappings")];
    if let Some((_, name)) =
        mappings.iter().find(|(list, _)| list.as_ref().is_some_and(|list| !list.is_empty()))
    {
        return Err(refused("ids are not mapped by mounts in this version", &format!("{at}.{name}")));
    }
    let kind = match mount.type_.as_deref().unwrap_or_default() {
        "none" | "" => "bind",
        _ if options.iter().any(|option| option == "bind" || option == "rbind") => "bind",
        kind => kind,
    };
    let own = OWN.iter().find(|own| own.0 == destination);
    if let Some((_, _, has)) = own.filter(|own| own.1 == kind) {
        let strange = options.iter().position(|option| !has.contains(&option.as_str()) && option != "rw");
        let writable_sys = kind == "sysfs" && !options.iter().any(|option| option == "ro");
        match strange {
            None if !writable_sys => return Ok(None),
            Some(index) if matches!(destination.as_str(), "/proc" | "/sys" | "/dev") => {
                let detail = format!("found {:?}; {destination} is the engine's own", options[index]);
                return Err(refused(&detail, &format!("{at}.options[{index}]")));
            }
            None => return Err(refused("/sys is read-only", &format!("{at}.options")).hint("Add ro.")),
            Some(_) => {}
        }
    } else if own.is_some_and(|own| matches!(own.0, "/proc" | "/sys" | "/dev"))
        || destination.starts_with("/proc/")
    {
        let detail = format!("found {destination:?}, which is the engine's own");
        return Err(refused(&detail, &format!("{at}.destination")));
    }
    let mut made = ExtraMount {
        destination,
        source: Source::FileSystem { kind: kind.to_owned(), options: Vec::new() },
        attributes: 0,
        cleared: 0,
        recursive: false,
        blame: format!("{at}.source"),
    };
    match kind {
        "bind" => made.source = bind(mount, options, at)?,
        "cgroup" | "cgroup2" => made.source = Source::Cgroups,
        "tmpfs" | "proc" | "sysfs" | "devpts" | "mqueue" => {}
        other => return Err(refused(&format!("found the type {other:?}"), &format!("{at}.type"))),
    }
    for (index, option) in options.iter().enumerate() {
        apply(option, &mut made).map_err(|error| error.at(format!("{at}.options[{index}]")))?;
    }
    Ok(Some(made))
}

fn destination(mount: &OciMount, at: &str) -> Result<String, Error> {
    let path = mount.destination.clone().unwrap_or_default();
    let plain = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if path.starts_with('/') && plain && !path.contains('\0') {
        return Ok(path);
    }
    Err(Error::new(
        Cause::InvalidData,
        format!("found {path:?}, expected an absolute path without '.', '..' and doubled slashes"),
    )
    .at(format!("{at}.destination")))
}

fn bind(mount: &OciMount, options: &[String], at: &str) -> Result<Source, Error> {
    let path = mount.source.clone().unwrap_or_default();
    absolute(&path, &format!("{at}.source"))?;
    let recursive = options.iter().any(|option| option == "rbind");
    Ok(Source::Bind { path, recursive, wanted: None })
}

/// Options that set an attribute, and those that clear one.
const ATTRIBUTES: &[(&str, &str, MountAttrFlags)] = &[
    ("ro", "rw", MountAttrFlags::MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", MountAttrFlags::MOUNT_ATTR_NOSUID),
    ("nodev", "dev", MountAttrFlags::MOUNT_ATTR_NODEV),
    ("noexec", "exec", MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ("nodiratime", "diratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", "symfollow", MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
];

/// Options that other engines act on themselves.
const STRANGE: &[&str] = &["idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow"];

fn apply(option: &str, made: &mut ExtraMount) -> Result<(), Error> {
    let is_bind = matches!(made.source, Source::Bind { .. });
    // `rro` is `ro` for everything below, too.
    let (name, recursive) = match option.strip_prefix('r') {
        Some(rest) if ATTRIBUTES.iter().any(|line| line.0 == rest || line.1 == rest) => (rest, true),
        _ => (option, false),
    };
    if let Some(line) = ATTRIBUTES.iter().find(|line| line.0 == name || line.1 == name) {
        let bit = u64::from(line.2.bits());
        let sets = line.0 == name;
        made.attributes = if sets { made.attributes | bit } else { made.attributes & !bit };
        made.cleared = if sets { made.cleared & !bit } else { made.cleared | bit };
        made.recursive |= recursive;
        return Ok(());
    }
    match (option, &mut made.source) {
        ("bind" | "rbind" | "defaults" | "async" | "private" | "rprivate" | "relatime", _) => Ok(()),
        ("noatime" | "strictatime", _) => {
            let bit = match option {
                "noatime" => MountAttrFlags::MOUNT_ATTR_NOATIME,
                _ => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            };
            made.attributes |= u64::from(bit.bits());
            made.cleared |= u64::from(MountAttrFlags::MOUNT_ATTR__ATIME.bits());
            Ok(())
        }
        (other, _) if STRANGE.contains(&other) => Err(refused(&format!("found {other:?}"), "")),
        ("slave" | "rslave" | "shared" | "rshared" | "unbindable" | "runbindable", _) => {
            Err(refused(&format!("found {option:?}; mounts are private to the container"), ""))
        }
        (other, Source::FileSystem { options, .. }) if !is_bind => {
            let (name, value) = other.split_once('=').unwrap_or((other, ""));
            options.push((name.to_owned(), value.to_owned()));
            Ok(())
        }
        (other, _) => Err(refused(&format!("found {other:?}"), "")),
    }
}

fn refused(detail: &str, at: &str) -> Error {
    Error::new(Cause::NotSupported, format!("this is not supported: {detail}")).at(at)
}
