//! Where the kernel's cpuset controller is, among the mounts of this process.
//!
//! The service looks once at start and gives the answer to [`super::cpu_groups`]. A host may have the
//! controller on a hierarchy of its own (version 1), on the unified one (version 2), or, mixed, on either
//! side; a controller is on one side only. What must hold: a mount is named only if the controller is really
//! there and the mount is writable; without one the host has no CPU groups.

use std::fs;
use std::path::PathBuf;

use hcs_core::mountinfo::{self, Cgroups};

/// The two shapes of cgroup hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy per controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A mounted hierarchy that has the cpuset controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpusetMount {
    /// The mount point.
    pub path: PathBuf,
    /// Its version.
    pub version: CgroupVersion,
    /// The mount point with the cpu controller, in the same version, for capacity limits: on version 2 the
    /// same mount, on version 1 normally another one. Absent if there is none.
    pub cpu: Option<PathBuf>,
}

impl CpusetMount {
    /// Finds the mount in the text of `/proc/self/mountinfo`.
    ///
    /// Reads `cgroup.controllers` of the unified mounts the text names.
    pub fn find(text: &[u8]) -> Option<Self> {
        let writable = mountinfo::cgroups(text).filter(|mount| mount.is_writable);
        let mounts: Vec<Cgroups> = writable.map(with_controllers).collect();
        let has = |mount: &Cgroups, controller: &str| mount.controllers.iter().any(|name| name == controller);
        let on = |version, controller: &str| {
            let is_unified = version == CgroupVersion::V2;
            mounts.iter().find(|mount| mount.is_unified == is_unified && has(mount, controller))
        };
        [CgroupVersion::V1, CgroupVersion::V2].into_iter().find_map(|version| {
            let cpuset = on(version, "cpuset")?;
            let cpu = match version {
                CgroupVersion::V1 => on(version, "cpu").map(|mount| mount.point.clone()),
                // There is one unified hierarchy; another mount of it would only be another view.
                CgroupVersion::V2 => has(cpuset, "cpu").then(|| cpuset.point.clone()),
            };
            Some(Self { path: cpuset.point.clone(), version, cpu })
        })
    }
}

/// A mount with its controllers, of either version.
fn with_controllers(mount: Cgroups) -> Cgroups {
    if !mount.is_unified {
        return mount;
    }
    let text = fs::read_to_string(mount.point.join("cgroup.controllers")).unwrap_or_default();
    Cgroups { controllers: text.split_whitespace().map(str::to_owned).collect(), ..mount }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn version_1_beside_a_unified_mount_without_it() {
        let tree = Scratch::new("hybrid");
        tree.put("unified/cgroup.controllers", "hugetlb\n");
        let text = format!(
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n\
             41 31 0:38 / {} rw,relatime - cgroup2 cgroup2 rw\n",
            tree.path().join("unified").display()
        );
        let found = CpusetMount::find(text.as_bytes()).unwrap();
        assert_eq!(found.path, Path::new("/sys/fs/cgroup/cpuset"));
        assert_eq!(found.version, CgroupVersion::V1);
        assert_eq!(found.cpu.as_deref(), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
    }

    #[test]
    fn unified_only_with_the_controller() {
        let tree = Scratch::new("unified");
        let path = tree.path().display();
        let text = format!("30 23 0:26 / {path} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!(CpusetMount::find(text.as_bytes()), None);
        tree.put("cgroup.controllers", "cpuset io memory\n");
        let found = CpusetMount::find(text.as_bytes()).unwrap();
        assert_eq!((found.version, found.cpu), (CgroupVersion::V2, None));
        tree.put("cgroup.controllers", "cpuset cpu io memory\n");
        assert_eq!(CpusetMount::find(text.as_bytes()).unwrap().cpu.as_deref(), Some(tree.path()));
    }

    #[test]
    fn read_only_and_damaged_lines_are_passed_over() {
        let text = "34 31 0:31 / /a ro,relatime - cgroup cgroup rw,cpuset\n\
                    34 31 0:31 / /b rw - cgroup cgroup ro,cpuset\n\
                    34 31 0:31\n\n - \n\
                    35 31 0:31 / /c\\040d rw - cgroup cgroup rw,cpuset\n";
        assert_eq!(CpusetMount::find(text.as_bytes()).unwrap().path, Path::new("/c d"));
        assert_eq!(CpusetMount::find(b""), None);
    }
}
