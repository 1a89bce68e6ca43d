//! `cargo xtask package`: the Debian packages, in `target/debian`.
//!
//! What is in them stands in the manifests (`[package.metadata.deb]`), and packaging/README.md tells why.

use std::{fs, path::Path};

use crate::{Outcome, command::Line, workspace::Workspace};

/// The manifests and variants that describe a package each.
const PACKAGES: &[&str] =
    &["-p hcsd", "-p computecore", "-p computecore --variant dev", "-p hcs-cli --variant doc"];

/// Which programs are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// Those for users, built first.
    Release,
    /// Those of a release build, as they are there; to try what the packages do.
    Built,
    /// The same of a build for development.
    Development,
}

/// Makes the packages.
pub fn run(programs: Programs) -> Outcome {
    let workspace = Workspace::load()?;
    if programs == Programs::Release {
        Line::of("cargo build --release --locked").run(&workspace.root)?;
    }
    have_hcs_write(&workspace, programs)?;
    let folder = workspace.target.join("debian");
    // Those of an earlier version would be installed with the new ones.
    remove(&folder)?;
    for package in PACKAGES {
        line(&workspace, package, programs).run(&workspace.root)?;
    }
    Ok(())
}

/// The words of `hcs` for shells, and its manual, in `written` beside the programs.
fn have_hcs_write(workspace: &Workspace, programs: Programs) -> Outcome {
    let development = workspace.target.join("debug");
    let built = if programs == Programs::Development { development } else { workspace.release() };
    let hcs = built.join("hcs").display().to_string();
    let folder = built.join("written");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    remove(&folder)?;
    fs::create_dir(&folder).map_err(failed)?;
    for shell in ["bash", "zsh", "fish"] {
        let words = Line::new([hcs.as_str(), "completion", shell]).output(&workspace.root)?;
        fs::write(folder.join(shell), words).map_err(failed)?;
    }
    let manual = folder.join("man").display().to_string();
    Line::new([hcs.as_str(), "man", &manual]).run_quietly(&workspace.root)
}

fn remove(folder: &Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn line(workspace: &Workspace, package: &str, programs: Programs) -> Line {
    let tool = workspace.tools().join("bin/cargo-deb").display().to_string();
    let folder = workspace.target.join("debian").display().to_string();
    // Those that are tried and thrown away need not be small.
    let how = match programs {
        Programs::Release => "",
        Programs::Built => "--fast",
        Programs::Development => "--profile dev --fast",
    };
    let flags = format!("{package} --quiet --no-build --strip {how} --output");
    Line::new([tool.as_str()].into_iter().chain(flags.split_whitespace()).chain([folder.as_str()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_for_development_asks_for_the_library_of_its_own_version() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../apps/capi/Cargo.toml");
        let wanted = concat!("libcomputecore1 (= ", env!("CARGO_PKG_VERSION"), "-1)");
        assert!(fs::read_to_string(manifest).unwrap().contains(wanted), "{wanted}");
    }

    #[test]
    fn a_package_is_made_of_what_is_built() {
        let workspace = Workspace { root: "/tree".into(), target: "/tree/target".into(), crates: Vec::new() };
        let shown = |programs| line(&workspace, "-p hcsd", programs).to_string();
        let tool = "/tree/target/tools/bin/cargo-deb -p hcsd --quiet --no-build --strip";
        assert_eq!(shown(Programs::Release), format!("{tool} --output /tree/target/debian"));
        assert_eq!(shown(Programs::Built), format!("{tool} --fast --output /tree/target/debian"));
        assert_eq!(
            shown(Programs::Development),
            format!("{tool} --profile dev --fast --output /tree/target/debian")
        );
    }
}
