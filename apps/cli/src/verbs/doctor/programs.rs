//! The programs of the host: for networks, for disks, for virtual machines.

use std::path::{Path, PathBuf};

use hcs::compute::HostReport;

use super::{
    check::Check,
    host::{Host, version_of},
};

/// The oldest QEMU that machines run on, and the oldest that programs host devices in.
const OLDEST: (u32, u32) = (9, 0);
const OLDEST_FOR_DEVICES: (u32, u32) = (10, 1);

/// Programs, their packages, and what cannot be had without them.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("nft", "nftables", "networks of the mode bridge"),
    ("pasta", "passt", "networks of containers of the mode user"),
    ("mke2fs", "e2fsprogs", "disks that are formatted"),
    ("qemu-storage-daemon", "qemu-utils", "disks in dynamic VHD and in VHDX"),
];

/// The same of virtual machines; they may lie beside QEMU.
const OF_MACHINES: &[(&str, &str, &str)] = &[
    ("virtiofsd", "virtiofsd", "folders of the host in machines"),
    ("swtpm", "swtpm", "trusted platform modules"),
    ("passt", "passt", "networks of machines of the mode user"),
];

/// Where else than among the programs a helper may be, below the prefix of QEMU.
const HIDDEN: &[&str] = &["bin", "libexec", "lib/qemu", "lib"];

/// Looks for them all.
pub fn checks(host: &Host, report: Option<&HostReport>) -> Vec<Check> {
    let mut checks: Vec<Check> = PROGRAMS
        .iter()
        .map(|(name, package, purpose)| installed(name, package, purpose, host.program(name)))
        .collect();
    let told = report.and_then(|report| report.qemu.as_ref()).map(PathBuf::from);
    let path = told.or_else(|| host.program(&format!("qemu-system-{}", std::env::consts::ARCH)));
    checks.push(qemu(path.as_deref().map(|path| (path, version_of(path)))));
    // What goes with a QEMU lies below the same prefix.
    let beside = path.as_deref().and_then(Path::parent).and_then(Path::parent);
    let prefixes: Vec<PathBuf> = beside.map(PathBuf::from).into_iter().chain([host.path("usr")]).collect();
    checks.push(firmware(&prefixes));
    for (name, package, purpose) in OF_MACHINES {
        let places = prefixes
            .iter()
            .flat_map(|prefix| HIDDEN.iter().map(move |folder| prefix.join(folder).join(name)));
        let path = places.into_iter().find(|place| place.is_file()).or_else(|| host.program(name));
        checks.push(installed(name, package, purpose, path));
    }
    checks
}

fn installed(name: &'static str, package: &str, purpose: &str, path: Option<PathBuf>) -> Check {
    match path {
        Some(path) => Check::ok(name, path.display().to_string()),
        None => Check::missing(name, "not installed", format!("Install {package} for {purpose}.")),
    }
}

/// Where it is and what it says of its version.
fn qemu(found: Option<(&Path, Option<String>)>) -> Check {
    const NAME: &str = "qemu";
    let Some((path, said)) = found else {
        return Check::missing(
            NAME,
            "not installed",
            "Install qemu-system-x86, 9.0 or newer, for virtual machines.",
        );
    };
    let path = path.display();
    let Some(version) = said.as_deref().and_then(qemu_version) else {
        return Check::missing(NAME, format!("{path} does not tell its version"), "Install it anew.");
    };
    let found = format!("{}.{} at {path}", version.0, version.1);
    if version < OLDEST {
        Check::missing(NAME, found, "Virtual machines need QEMU 9.0 or newer.")
    } else if version < OLDEST_FOR_DEVICES {
        Check::warning(
            NAME,
            found,
            "Machines run; devices of programs (FlexibleIov) need QEMU 10.1 or newer.",
        )
    } else {
        Check::ok(NAME, found)
    }
}

/// The numbers of "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)".
fn qemu_version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.lines().next()?.split_once("version ")?;
    let mut numbers =
        version.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// What is installed describes itself.
fn firmware(prefixes: &[PathBuf]) -> Check {
    const NAME: &str = "uefi";
    let folders = prefixes.iter().map(|prefix| prefix.join("share/qemu/firmware"));
    for folder in folders {
        let descriptions = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let has_one = descriptions.map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default());
        if has_one.into_iter().any(|text| text.contains("\"uefi\"") && text.contains(std::env::consts::ARCH))
        {
            return Check::ok(NAME, folder.display().to_string());
        }
    }
    Check::missing(NAME, "not installed", "Install ovmf for machines that boot by UEFI.")
}

#[cfg(test)]
mod tests {
    use super::{super::check::State, *};

    fn of(said: &str) -> Check {
        qemu(Some((Path::new("/usr/bin/qemu"), Some(said.to_owned()))))
    }

    #[test]
    fn what_a_qemu_is_good_for_follows_from_its_version() {
        let old = of("QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)\nCopyright (c) 2003-2023\n");
        assert_eq!((old.state, old.found.as_str()), (State::Missing, "8.2 at /usr/bin/qemu"));
        let debian = of("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n");
        assert!(debian.state == State::Warning && debian.advice.contains("10.1"), "{debian:?}");
        assert_eq!(of("QEMU emulator version 10.1.0\n").state, State::Ok);
        assert_eq!(of("QEMU emulator version 11.0.50 (v11.0.0-1-gabc)\n").state, State::Ok);
        assert_eq!(of("hello\n").state, State::Missing);
        assert_eq!(qemu(None).state, State::Missing);
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        let root = std::env::temp_dir().join(format!("hcs-doctor-programs-{}", std::process::id()));
        std::fs::create_dir_all(root.join("usr/sbin")).unwrap();
        std::fs::write(root.join("usr/sbin/nft"), "").unwrap();
        let checks = checks(&Host::recorded(&root), None);
        let find = |name: &str| checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(find("nft").state, State::Ok);
        assert!(find("pasta").state == State::Missing && find("pasta").advice.contains("passt"));
        assert!(find("swtpm").advice.contains("trusted platform"));
        assert_eq!(find("uefi").state, State::Missing);
        std::fs::remove_dir_all(root).unwrap();
    }
}
