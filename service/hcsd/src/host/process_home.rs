//! Where a process was before it joined a CPU group, so that it can go back there.
//!
//! [`super::group_cgroups`] asks before it moves a process. What must hold: a home is a cgroup that existed
//! when it was asked for and that is no CPU group itself; where none can be told it is the mount.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::cpuset_mount::{CgroupVersion, CpusetMount};

/// The cgroups of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// In the cpuset hierarchy.
    pub cpuset: PathBuf,
    /// In the cpu hierarchy, if there is one.
    pub cpu: Option<PathBuf>,
}

impl Home {
    /// Looks where a process is now. `folder` is where the groups are, below the mounts.
    pub fn of(pid: u32, mount: &CpusetMount, folder: &Path) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let place = |root: &Path, controller| {
            let inside = cgroup_path(&text, mount.version, controller).map(|path| root.join(path));
            // A member of a group, met again after a restart, has lost its home; a group is not one.
            inside
                .filter(|dir| dir.is_dir() && !dir.starts_with(root.join(folder)))
                .unwrap_or_else(|| root.to_owned())
        };
        Self { cpuset: place(&mount.path, "cpuset"), cpu: mount.cpu.as_ref().map(|cpu| place(cpu, "cpu")) }
    }
}

/// A process's cgroup from the lines `number:controllers:path`, relative to the hierarchy's root.
fn cgroup_path(text: &str, version: CgroupVersion, controller: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let wanted = match version {
            CgroupVersion::V1 => controllers.split(',').any(|name| name == controller),
            CgroupVersion::V2 => number == "0" && controllers.is_empty(),
        };
        let path = Path::new(path.trim_start_matches('/'));
        // A place outside this process's view of the hierarchy is written with "..".
        let inside = path.components().all(|component| matches!(component, Component::Normal(_)));
        (wanted && inside).then(|| path.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn the_place_of_a_process_is_read_per_version() {
        let text = "4:cpu,cpuacct:/a\n3:cpuset:/b/c\n1:name=systemd:/x\n0::/d:e\n";
        let path = |version, controller| cgroup_path(text, version, controller);
        assert_eq!(path(CgroupVersion::V1, "cpuset"), Some("b/c".into()));
        assert_eq!(path(CgroupVersion::V1, "cpu"), Some("a".into()));
        assert_eq!(path(CgroupVersion::V2, "cpuset"), Some("d:e".into()));
        assert_eq!(cgroup_path("3:cpuset:/../b", CgroupVersion::V1, "cpuset"), None);
    }

    #[test]
    fn a_process_that_is_gone_has_the_mount_for_home() {
        let tree = Scratch::new("home");
        let mount = CpusetMount { path: tree.path().to_owned(), version: CgroupVersion::V2, cpu: None };
        let home = Home::of(u32::MAX, &mount, Path::new("hcs"));
        assert_eq!(home, Home { cpuset: tree.path().to_owned(), cpu: None });
    }
}
