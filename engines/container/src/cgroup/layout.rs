//! Which cgroup hierarchies this host has.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hcs_core::{Cause, Error, mountinfo};

/// The controllers that a container's group uses.
pub(super) const CONTROLLERS: &[&str] = &["blkio", "cpu", "cpuacct", "devices", "freezer", "memory", "pids"];

/// What a v2 mount must offer to be preferred.
const NEEDED_OF_V2: &[&str] = &["cpu", "memory", "pids"];

/// What is handed down to groups in v2, as far as it is offered.
const USED_OF_V2: &[&str] = &["cpu", "io", "memory", "pids"];

/// Where groups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One folder for each controller.
    V1 {
        /// Controller → where its hierarchy is mounted. Controllers mounted together share a path.
        mounts: BTreeMap<String, PathBuf>,
    },
    /// One folder for everything.
    V2 {
        /// Where the hierarchy is mounted.
        mount: PathBuf,
        /// The controllers that it offers and we use.
        controllers: Vec<String>,
    },
}

impl Layout {
    /// Looks at this host.
    pub fn of_this_host() -> Result<Layout, Error> {
        Layout::from_mountinfo(&mountinfo::read()?, |mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        })
    }

    /// Decides from the text of a mountinfo file; `controllers_of` reads `cgroup.controllers` of a v2 mount.
    pub fn from_mountinfo(text: &[u8], controllers_of: impl Fn(&Path) -> String) -> Result<Layout, Error> {
        let (mut v1, mut weak) = (BTreeMap::new(), None);
        for found in mountinfo::cgroups(text) {
            let mount = found.point;
            if found.is_unified {
                let offered = controllers_of(&mount);
                let offers = |name: &&&str| offered.split_whitespace().any(|one| one == **name);
                let controllers = USED_OF_V2.iter().filter(offers).map(|name| (*name).to_owned());
                let layout = Layout::V2 { mount, controllers: controllers.collect() };
                if NEEDED_OF_V2.iter().all(|name| offers(&name)) {
                    return Ok(layout);
                }
                weak = Some(layout);
            } else if found.is_whole || !v1.contains_key("memory") {
                for controller in
                    found.controllers.into_iter().filter(|one| CONTROLLERS.contains(&one.as_str()))
                {
                    v1.entry(controller).or_insert_with(|| mount.clone());
                }
            }
        }
        if v1.contains_key("freezer") && v1.contains_key("memory") && v1.contains_key("pids") {
            return Ok(Layout::V1 { mounts: v1 });
        }
        // Containers can live there, but who asks for a limit that it does not offer is refused.
        if let Some(weak) = weak {
            return Ok(weak);
        }
        Err(Error::new(
            Cause::ServiceNotAvailable,
            format!("no usable cgroup hierarchy is mounted; found only {:?}", v1.keys().collect::<Vec<_>>()),
        )
        .hint("Mount cgroup2 with the controllers cpu, memory and pids at /sys/fs/cgroup."))
    }

    /// The folders of a group, each once.
    pub(super) fn folders(&self, parent: &str, name: &str) -> BTreeMap<PathBuf, Vec<String>> {
        let mut folders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        match self {
            Layout::V1 { mounts } => {
                for (controller, mount) in mounts {
                    folders.entry(mount.join(parent).join(name)).or_default().push(controller.clone());
                }
            }
            Layout::V2 { mount, .. } => {
                folders.insert(mount.join(parent).join(name), Vec::new());
            }
        }
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_host_is_used_through_v1() {
        let layout = Layout::from_mountinfo(HYBRID.as_bytes(), |_| "hugetlb\n".to_owned()).unwrap();
        let Layout::V1 { mounts } = &layout else { panic!("{layout:?}") };
        assert_eq!(mounts["cpu"], mounts["cpuacct"]);
        assert_eq!(mounts["memory"], Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(layout.folders("hcs", "x").len(), 5);
    }

    #[test]
    fn a_unified_host_is_used_through_v2() {
        let text = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let layout = Layout::from_mountinfo(text.as_bytes(), |_| {
            "cpuset cpu io memory hugetlb pids rdma\n".to_owned()
        });
        let Ok(Layout::V2 { mount, controllers }) = layout else { panic!("{layout:?}") };
        assert_eq!(mount, Path::new("/sys/fs/cgroup"));
        assert_eq!(controllers, ["cpu", "io", "memory", "pids"]);
    }

    #[test]
    fn a_hierarchy_that_offers_little_is_used_when_there_is_no_other() {
        let text = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let layout = Layout::from_mountinfo(text.as_bytes(), |_| "memory\n".to_owned()).unwrap();
        let Layout::V2 { controllers, .. } = layout else { panic!("{layout:?}") };
        assert_eq!(controllers, ["memory"]);
    }

    #[test]
    fn a_host_without_hierarchies_is_told_what_to_mount() {
        let error = Layout::from_mountinfo(b"", |_| String::new()).unwrap_err();
        assert_eq!(error.cause, Cause::ServiceNotAvailable);
        assert!(error.hint.unwrap().contains("cgroup2"));
    }
}
