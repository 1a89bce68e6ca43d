//! `hcs cleanup`
//!
//! What systems leave is known by the service's program, which is run for each root (`hcsd --clean-up`); what is in the
//! store of images, by the store. This verb finds the roots, and removes the folders of those that were temporary. What
//! must hold: nothing is touched that lives, or that lived a minute ago, or that belongs to another user; the folder for
//! temporary files is everybody's.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use hcs::images;
use hcs_core::mountinfo;
use rustix::mount::UnmountFlags;

use crate::{failure::Failure, output, private};

/// What temporary folders are called, each the root of a service: those of `hcs --private`, and of the demo, whose name ends
/// with the process that has made it.
const TEMPORARY: &[&str] = &["hcs-private-", "hcs-demo-"];

/// A folder that has just been made may be about to get its service.
const UNTOUCHED: Duration = Duration::from_secs(60);

/// Remove what crashed runs have left on this host, where no service will start again to do it.
///
/// That is: systems whose worker is gone below a root without a service, cgroups and networks of nobody, folders of
/// `hcs --private`, layers of images that were half imported. What lives is left alone. It needs root.
#[derive(clap::Args)]
pub struct Cleanup {
    /// Only tell what would be removed, and why.
    #[arg(long)]
    dry_run: bool,
}

impl Cleanup {
    pub fn run(self) -> Result<(), Failure> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new("cleanup needs root: what is left on a host belongs to it"));
        }
        self.clean_up(None)?;
        self.sweep_images()?;
        let folder = std::env::temp_dir();
        for prefix in TEMPORARY {
            for path in temporary(&folder, prefix) {
                if self.clean_up(Some(&path))? {
                    self.remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Has the service's program clean up a root, or that of the environment; whether nothing of it stays.
    fn clean_up(&self, root: Option<&Path>) -> Result<bool, Failure> {
        let program = private::program();
        let mut command = Command::new(&program);
        command.arg("--clean-up").args(self.dry_run.then_some("--dry-run")).stdin(Stdio::null());
        if let Some(root) = root {
            // What the environment says is of another.
            command.arg("--root").arg(root).env_clear();
        }
        let status = command.status().map_err(|error| Failure::io(&error, &program.display().to_string()))?;
        match status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => {
                Err(Failure::new(format!("{} could not look for what is left: {status}", program.display())))
            }
        }
    }

    fn sweep_images(&self) -> Result<(), Failure> {
        // Looking for a store would make one.
        let Some(store) = images::existing_store()? else { return Ok(()) };
        for path in store.sweep(self.dry_run)? {
            self.tell(&path, "its import or removal was cut off")?;
        }
        Ok(())
    }

    /// Removes a temporary folder of which nothing lives, with what is mounted in it.
    fn remove(&self, folder: &Path) -> Result<(), Failure> {
        if !self.dry_run {
            for point in mountinfo::points_below(&fs::read("/proc/self/mountinfo")?, &folder.canonicalize()?)
            {
                rustix::mount::unmount(&point, UnmountFlags::DETACH).map_err(|errno| {
                    Failure::io(&errno.into(), &format!("unmounting {}", point.display()))
                })?;
            }
            let failed = |error| Failure::io(&error, &format!("removing {}", folder.display()));
            fs::remove_dir_all(folder).map_err(failed)?;
        }
        self.tell(folder, "the command that made it is gone")
    }

    fn tell(&self, what: &Path, why: &str) -> Result<(), Failure> {
        let done = if self.dry_run { "would remove" } else { "removed" };
        Ok(output::line(&format!("{done} {}: {why}", what.display()))?)
    }
}

/// Our temporary folders of this name, of which nobody is at the beginning.
fn temporary(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    ours.map(|entry| entry.path())
        .filter(|path| is_ours(path) && is_old(path) && !maker_lives(path))
        .collect()
}

/// A folder of root, and no link to one: what others put there is not ours to follow.
fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir() && about.uid() == 0)
}

fn is_old(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|about| about.modified()).ok();
    changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age >= UNTOUCHED)
}

/// Whether the process that a name ends with is there.
fn maker_lives(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // A number that begins with a zero is none to the kernel, so it is looked for as it is written.
    let number = name.rsplit('-').next().filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    number.is_some_and(|number| Path::new("/proc").join(number).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_living_process_is_left_alone() {
        let of = |pid: u32| maker_lives(Path::new(&format!("/tmp/hcs-demo-{pid}")));
        assert!(of(std::process::id()));
        assert!(!of(u32::MAX));
        for name in ["0123456789abcdef", "0000000000000001"] {
            assert!(!maker_lives(Path::new(&format!("/tmp/hcs-private-{name}"))), "{name}");
        }
    }
}
