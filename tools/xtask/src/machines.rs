//! `cargo xtask machines`: what the tests of virtual machines need, below the target folder: QEMU and its helpers from
//! Debian's backports, and two kernels of Debian's: the one for clouds, and the one for all machines, which knows 9P. Nothing of
//! it is installed.
//!
//! apt checks the signatures, with a state of its own that knows Debian only; `data/machines.lock` has the digest of every
//! package, so everybody has the same ones. `--relock` writes it anew, for what Debian has now.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Outcome, command::Line, host, workspace::Workspace};

/// Where packages come from. What is newer there is taken only where it is asked for.
const SOURCES: &str = "\
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie trixie-updates trixie-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// Programs, with all that they need; the last is left out.
const PACKAGES: &str =
    "qemu-system-x86 qemu-utils seabios ovmf swtpm swtpm-tools virtiofsd qemu-block-extra-";
/// Kernels, and the folders that they come into. The names of their packages follow from these, which are empty.
const KERNELS: [(&str, &str); 2] = [("linux-image-cloud-amd64", "kernel"), ("linux-image-amd64", "generic")];

/// Programs that are made to find their libraries beside themselves.
const PROGRAMS: &[&str] = &[
    "usr/bin/qemu-system-x86_64",
    "usr/bin/qemu-img",
    "usr/bin/qemu-io",
    "usr/bin/qemu-storage-daemon",
    "usr/bin/swtpm",
    "usr/bin/swtpm_setup",
    "usr/libexec/virtiofsd",
];

/// Where modules of QEMU are looked for even if told otherwise. Those of the host belong to another QEMU.
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/qemu\0";
const NO_MODULES: &str = "/usr/lib/x86_64-linux-gnu/qXmu\0";

/// Fetches what is not there yet.
pub fn run(relock: bool) -> Outcome {
    get(&Workspace::load()?, relock).map(drop)
}

/// The same; where it is.
pub fn fetch(workspace: &Workspace) -> Outcome<PathBuf> {
    get(workspace, false)
}

/// QEMU, where it was fetched.
pub fn qemu(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("machines/usr/bin/qemu-system-x86_64")
}

fn get(workspace: &Workspace, relock: bool) -> Outcome<PathBuf> {
    let folder = workspace.tools().join("machines");
    let lock = workspace.root.join("tools/xtask/src/data/machines.lock");
    let locked = fs::read_to_string(&lock).unwrap_or_default();
    let stamp = folder.join("complete");
    if !relock && fs::read_to_string(&stamp).is_ok_and(|there| there == locked) {
        return Ok(folder);
    }
    if std::env::consts::ARCH != "x86_64" {
        return Err("the tests of virtual machines know x86-64 only".to_owned());
    }
    for program in ["apt-get", "dpkg", "patchelf"] {
        if host::program(program).is_none() {
            return Err(format!("{program} is missing"));
        }
    }
    let _ = fs::remove_dir_all(&folder);
    let apt = Apt::prepare(&folder.join("apt"))?;
    println!("fetching QEMU and two kernels, about 210 MB");
    apt.line("apt-get update -qq").run_quietly(&apt.folder)?;
    apt.line(&format!("apt-get install -qq -y --download-only -t trixie-backports {PACKAGES}"))
        .run_quietly(&apt.folder)?;
    let mut kernels = Vec::new();
    for (package, place) in KERNELS {
        let depends = apt.line(&format!("apt-cache depends {package}")).output(&apt.folder)?;
        let kernel = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        let kernel = format!("linux-image-{}", kernel.ok_or("the kernel's package depends on nothing")?);
        apt.line(&format!("apt-get download -qq {kernel}")).run_quietly(&apt.archives())?;
        kernels.push((kernel + "_", folder.join(place)));
    }
    let found = digests(&apt.archives())?;
    if relock {
        fs::write(&lock, &found).map_err(|error| format!("{}: {error}", lock.display()))?;
    } else if found != locked {
        return Err(format!(
            "the packages are others than those of {}; look at what has changed, and `cargo xtask machines --relock`",
            lock.display()
        ));
    }
    for package in packages(&apt.archives())? {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        let kernel = kernels.iter().find(|(kernel, _)| name.starts_with(kernel));
        let target = kernel.map_or(&folder, |(_, place)| place);
        let (package, target) = (package.display().to_string(), target.display().to_string());
        Line::new(["dpkg", "-x", &package, &target]).run_quietly(&folder)?;
    }
    for program in PROGRAMS {
        adopt(&folder, program)?;
    }
    fs::remove_dir_all(&apt.folder).map_err(|error| format!("{}: {error}", apt.folder.display()))?;
    fs::write(&stamp, found).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(folder)
}

/// A state of apt of our own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn prepare(folder: &Path) -> Outcome<Apt> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        for name in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/sources.list.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(folder.join(name)).map_err(failed)?;
        }
        fs::write(folder.join("status"), "").map_err(failed)?;
        fs::write(folder.join("etc/sources.list.d/debian.sources"), SOURCES).map_err(failed)?;
        let at = folder.display();
        let config = format!(
            "Dir::Etc \"{at}/etc\";
Dir::Etc::sourcelist \"/dev/null\";
Dir::Etc::sourceparts \"{at}/etc/sources.list.d\";
Dir::Etc::preferencesparts \"{at}/etc/preferences.d\";
Dir::State \"{at}/state\";
Dir::State::status \"{at}/status\";
Dir::Cache \"{at}/cache\";
APT::Architecture \"amd64\";
APT::Install-Recommends \"false\";
APT::Get::AllowUnauthenticated \"false\";
Acquire::AllowInsecureRepositories \"false\";
Acquire::Languages \"none\";
APT::Sandbox::User \"root\";
"
        );
        fs::write(folder.join("apt.conf"), config).map_err(failed)?;
        Ok(Apt { folder: folder.to_owned() })
    }

    fn line(&self, text: &str) -> Line {
        Line::of(text).with("APT_CONFIG", &self.folder.join("apt.conf"))
    }

    fn archives(&self) -> PathBuf {
        self.folder.join("cache/archives")
    }
}

fn packages(archives: &Path) -> Outcome<Vec<PathBuf>> {
    let entries =
        fs::read_dir(archives).map_err(|error| format!("{}: {error}", archives.display()))?.flatten();
    let mut packages: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    packages.sort();
    Ok(packages)
}

/// A line for each package, as sha256sum writes it.
fn digests(archives: &Path) -> Outcome<String> {
    let names = packages(archives)?;
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    Line::new(["sha256sum"].into_iter().chain(names)).output(archives)
}

/// Has a program use the libraries that came with it.
fn adopt(folder: &Path, program: &str) -> Outcome {
    let libraries = folder.join("usr/lib/x86_64-linux-gnu");
    let path = folder.join(program);
    let (interpreter, search) = (
        libraries.join("ld-linux-x86-64.so.2").display().to_string(),
        format!("{0}:{0}/swtpm", libraries.display()),
    );
    let at = path.display().to_string();
    Line::new(["patchelf", "--set-interpreter", &interpreter, "--force-rpath", "--set-rpath", &search, &at])
        .run_quietly(folder)?;
    let bytes = fs::read(&path).map_err(|error| format!("{at}: {error}"))?;
    let changed = replace(&bytes, MODULES.as_bytes(), NO_MODULES.as_bytes());
    // Written over it, so that it stays what can be run.
    if changed == bytes {
        Ok(())
    } else {
        fs::write(&path, changed).map_err(|error| format!("{at}: {error}"))
    }
}

/// Puts bytes of the same length in the place of others.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let mut at = 0;
    while at + from.len() <= changed.len() {
        if changed[at..].starts_with(from) {
            changed[at..at + to.len()].copy_from_slice(to);
            at += from.len();
        } else {
            at += 1;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_modules_is_replaced_wherever_it_stands() {
        assert_eq!(MODULES.len(), NO_MODULES.len());
        assert_eq!(replace(b"a-b-ab", b"b", b"x"), b"a-x-ax");
        assert_eq!(replace(b"aaa", b"aa", b"bb"), b"bba");
    }
}
