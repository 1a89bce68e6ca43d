//! Tests of [`super`]: on plain folders in both versions, and once on the kernel's own hierarchy.

use super::super::cpuset_mount::CgroupVersion;
use super::super::scratch::Scratch;
use super::*;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const A: &str = "36ab08cb-3a76-4b38-992e-00000000000a";
const B: &str = "36ab08cb-3a76-4b38-992e-00000000000b";

/// A plain folder in the place of a version 1 host with four processors and two memory nodes.
fn version_1(tree: &Scratch) -> CpusetMount {
    tree.put("cpuset/cpuset.cpus", "0-3\n");
    tree.put("cpuset/cpuset.mems", "0-1\n");
    tree.put("cpuset/cpuset.effective_cpus", "0-3\n");
    tree.put("cpu/cgroup.procs", "");
    let (path, cpu) = (tree.path().join("cpuset"), Some(tree.path().join("cpu")));
    CpusetMount { path, version: CgroupVersion::V1, cpu }
}

/// The same for version 2.
fn version_2(tree: &Scratch) -> CpusetMount {
    tree.put("unified/cpuset.cpus.effective", "0-3\n");
    tree.put("unified/cgroup.controllers", "cpuset cpu\n");
    let path = tree.path().join("unified");
    CpusetMount { path: path.clone(), version: CgroupVersion::V2, cpu: Some(path) }
}

fn open(tree: &Scratch, mount: CpusetMount) -> CpuGroups {
    CpuGroups::open(mount, Path::new("hcs/cpu-groups"), &tree.path().join("state")).unwrap()
}

#[test]
fn a_group_on_version_1() {
    let tree = Scratch::new("v1");
    let mut groups = open(&tree, version_1(&tree));
    groups.create(&A.to_uppercase(), 2, &[3, 1]).unwrap();
    assert_eq!(groups.list(), [CpuGroup { id: A.into(), processors: vec![1, 3], capacity: FULL_CAPACITY }]);
    for level in ["hcs", "hcs/cpu-groups"] {
        assert_eq!(tree.get(&format!("cpuset/{level}/cpuset.cpus")), "0-3");
        assert_eq!(tree.get(&format!("cpuset/{level}/cpuset.mems")), "0-1");
    }
    let dir = format!("cpuset/hcs/cpu-groups/{A}");
    assert_eq!(tree.get(&format!("{dir}/cpuset.cpus")), "1,3");
    assert_eq!(tree.get(&format!("{dir}/cpuset.mems")), "0-1");
    // No limit, no cgroup in the other hierarchy.
    assert!(!tree.path().join("cpu/hcs").exists());

    let pid = std::process::id();
    tree.put(&format!("{dir}/cgroup.procs"), &format!("{pid}\n"));
    groups.set_property(A, PROPERTY_CAPACITY, 32_768).unwrap();
    let limited = format!("cpu/hcs/cpu-groups/{A}");
    assert_eq!(tree.get(&format!("{limited}/cpu.cfs_quota_us")), "100000");
    assert_eq!(tree.get(&format!("{limited}/cgroup.procs")), pid.to_string());
    assert!(matches!(groups.delete(A), Err(CpuGroupError::InUse { processes, .. }) if processes == [pid]));

    // The member leaves.
    tree.put(&format!("{dir}/cgroup.procs"), "");
    tree.put(&format!("{limited}/cgroup.procs"), "");
    groups.set_property(A, PROPERTY_CAPACITY, 65_536).unwrap();
    assert_eq!(tree.get(&format!("{limited}/cpu.cfs_quota_us")), "-1");
    groups.delete(A).unwrap();
    assert!(!tree.path().join(&dir).exists() && !tree.path().join(&limited).exists());
    assert!(groups.list().is_empty());
    assert_eq!(fs::read_dir(tree.path().join("state")).unwrap().count(), 0);
    groups.leave();
    assert!(!tree.path().join("cpuset/hcs").exists() && !tree.path().join("cpu/hcs").exists());
}

#[test]
fn a_group_on_version_2() {
    let tree = Scratch::new("v2");
    let mut groups = open(&tree, version_2(&tree));
    groups.create(A, 3, &[0, 1, 2]).unwrap();
    for level in ["", "hcs/", "hcs/cpu-groups/"] {
        assert_eq!(tree.get(&format!("unified/{level}cgroup.subtree_control")), "+cpuset");
    }
    let dir = format!("unified/hcs/cpu-groups/{A}");
    assert_eq!(tree.get(&format!("{dir}/cpuset.cpus")), "0-2");
    groups.set_property(A, PROPERTY_CAPACITY, 16_384).unwrap();
    assert_eq!(tree.get("unified/hcs/cgroup.subtree_control"), "+cpu");
    assert_eq!(tree.get(&format!("{dir}/cpu.max")), "75000 100000");
    groups.set_property(A, PROPERTY_CAPACITY, 65_536).unwrap();
    assert_eq!(tree.get(&format!("{dir}/cpu.max")), "max 100000");
    groups.delete(A).unwrap();
    assert!(!tree.path().join(&dir).exists());
}

#[test]
fn version_2_says_when_the_levels_above_leave_less() {
    let tree = Scratch::new("narrow");
    let mut groups = open(&tree, version_2(&tree));
    let effective = format!("unified/hcs/cpu-groups/{A}/cpuset.cpus.effective");
    tree.put(&effective, "1\n");
    let error = groups.create(A, 2, &[0, 1]).unwrap_err().to_string();
    assert!(error.contains("use processors 0-1") && error.contains("only processors 1 are left"), "{error}");
    assert!(groups.list().is_empty() && !tree.path().join(effective).exists());
    assert_eq!(fs::read_dir(tree.path().join("state")).unwrap().count(), 0);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let tree = Scratch::new("refuse");
    let mut groups = open(&tree, version_1(&tree));
    // The host's own list bounds the set.
    assert!(matches!(groups.create(A, 1, &[4]), Err(CpuGroupError::UnusableProcessor { processor: 4, .. })));
    assert!(matches!(groups.create("x", 1, &[0]), Err(CpuGroupError::BadId { .. })));
    assert!(matches!(groups.delete(A), Err(CpuGroupError::NotFound { .. })));

    groups.create(A, 1, &[0]).unwrap();
    assert!(matches!(groups.create(A, 1, &[0]), Err(CpuGroupError::Exists { .. })));
    for code in [PROPERTY_PRIORITY, PROPERTY_IDLE_RESERVE] {
        assert!(matches!(groups.set_property(A, code, 1), Err(CpuGroupError::UnsupportedProperty { .. })));
    }
    assert!(matches!(groups.set_property(A, 5, 1), Err(CpuGroupError::UnknownProperty { code: 5 })));
    for value in [0, 65_537, u64::MAX] {
        assert!(matches!(
            groups.set_property(A, PROPERTY_CAPACITY, value),
            Err(CpuGroupError::BadCapacity { .. })
        ));
    }
    let mut mount = version_1(&tree);
    mount.cpu = None;
    let mut groups = open(&tree, mount);
    assert!(!groups.has_capacity());
    let error = groups.set_property(A, PROPERTY_CAPACITY, 1).unwrap_err();
    assert!(error.to_string().contains("CPU capacity (0x00010000) is not supported"), "{error}");
}

#[test]
fn a_start_after_a_crash_brings_back_what_is_recorded() {
    let tree = Scratch::new("crash");
    let mut groups = open(&tree, version_1(&tree));
    groups.create(A, 1, &[2]).unwrap();
    groups.set_property(A, PROPERTY_CAPACITY, 6_554).unwrap();
    fs::remove_dir_all(tree.path().join("cpuset/hcs")).unwrap();
    fs::remove_dir_all(tree.path().join("cpu/hcs")).unwrap();
    // Not recorded: one empty, one in use.
    let stray = format!("cpuset/hcs/cpu-groups/{B}");
    tree.put(&format!("{stray}/cgroup.procs"), "77\n");
    let empty = format!("cpu/hcs/cpu-groups/{}", B.replace('b', "c"));
    tree.put(&format!("{empty}/cgroup.procs"), "");
    tree.put("cpuset/hcs/cpu-groups/not-a-group/cgroup.procs", "");
    tree.put("state/bad.json", "{");

    let mut groups = open(&tree, version_1(&tree));
    assert_eq!(groups.list(), [CpuGroup { id: A.into(), processors: vec![2], capacity: 6_554 }]);
    assert_eq!(tree.get(&format!("cpuset/hcs/cpu-groups/{A}/cpuset.cpus")), "2");
    assert_eq!(tree.get(&format!("cpu/hcs/cpu-groups/{A}/cpu.cfs_quota_us")), "10000");
    assert!(!tree.path().join(empty).exists());
    assert!(tree.path().join("cpuset/hcs/cpu-groups/not-a-group").exists());
    let problems: Vec<String> = groups.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("bad.json") && problems[1].contains("in use by 1 process(es) (77)"));
    assert!(matches!(groups.create(B, 1, &[0]), Err(CpuGroupError::InUse { .. })));
}

#[test]
fn a_deletion_that_was_cut_off_is_finished_or_forgotten() {
    let tree = Scratch::new("deleting");
    let mut groups = open(&tree, version_1(&tree));
    groups.create(A, 1, &[1]).unwrap();
    groups.create(B, 1, &[1]).unwrap();
    for id in [A, B] {
        let record = tree.get(&format!("state/{id}.json")).replace("\"deleting\":false", "\"deleting\":true");
        tree.put(&format!("state/{id}.json"), &record);
    }
    tree.put(&format!("cpuset/hcs/cpu-groups/{B}/cgroup.procs"), "77\n");
    let groups = open(&tree, version_1(&tree));
    assert_eq!(groups.list().iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), [B]);
    assert!(!tree.path().join(format!("cpuset/hcs/cpu-groups/{A}")).exists());
    assert!(!tree.path().join(format!("state/{A}.json")).exists());
    assert!(tree.get(&format!("state/{B}.json")).contains("\"deleting\":false"));
}

#[test]
fn a_group_that_cannot_be_made_again_does_not_stop_the_start() {
    let tree = Scratch::new("problem");
    open(&tree, version_1(&tree)).create(A, 1, &[1]).unwrap();
    fs::remove_dir_all(tree.path().join("cpuset")).unwrap();
    let mount = version_1(&tree);
    tree.put("cpuset/hcs", "a file in the way");
    let groups = open(&tree, mount);
    assert_eq!(groups.list().len(), 1);
    assert!(!groups.problems().is_empty());
}

/// Ends the child and removes the test's cgroups, whatever the test came to.
struct Cleanup {
    child: Child,
    folders: Vec<PathBuf>,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for folder in &self.folders {
            for dir in [folder.join("cpu-groups").join(A), folder.join("cpu-groups"), folder.clone()] {
                let _ = fs::remove_dir(dir);
            }
        }
    }
}

#[test]
fn a_real_group_binds_its_member_and_is_not_removed_with_it() {
    let mountinfo = hcs_core::mountinfo::read().unwrap();
    let Some(mount) = CpusetMount::find(&mountinfo) else {
        eprintln!("not run: this host has no writable cgroup mount with the cpuset controller");
        return;
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: making cgroups in {} needs root", mount.path.display());
        return;
    }
    let state = Scratch::new("real");
    let folder = format!("hcsd-test-{}", std::process::id());
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let mut folders = vec![mount.path.join(&folder)];
    folders.extend(mount.cpu.iter().filter(|cpu| **cpu != mount.path).map(|cpu| cpu.join(&folder)));
    let cleanup = Cleanup { child, folders };
    let proc_file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let allowed = || {
        let status = proc_file("status");
        let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };

    let groups_folder = Path::new(&folder).join("cpu-groups");
    let mut groups = CpuGroups::open(mount.clone(), &groups_folder, state.path()).unwrap();
    groups.create(A, 1, &[0]).unwrap();
    let member = mount.path.join(&groups_folder).join(A).join("cgroup.procs");
    fs::write(member, pid.to_string()).unwrap();
    assert_eq!(allowed(), "0");
    assert!(proc_file("cpuset").trim_end().ends_with(&format!("{folder}/cpu-groups/{A}")));
    if groups.has_capacity() {
        groups.set_property(A, PROPERTY_CAPACITY, 32_768).unwrap();
        let cpu = mount.cpu.as_ref().unwrap().join(&groups_folder).join(A);
        let (file, text) = match mount.version {
            CgroupVersion::V1 => ("cpu.cfs_quota_us", "50000"),
            CgroupVersion::V2 => ("cpu.max", "50000 100000"),
        };
        assert_eq!(fs::read_to_string(cpu.join(file)).unwrap().trim_end(), text);
        assert!(fs::read_to_string(cpu.join("cgroup.procs")).unwrap().contains(&pid.to_string()));
    }
    assert!(matches!(groups.delete(A), Err(CpuGroupError::InUse { processes, .. }) if processes == [pid]));

    // A second service start finds the group, with its member, as it was.
    let again = CpuGroups::open(mount.clone(), &groups_folder, state.path()).unwrap();
    assert!(again.problems().is_empty(), "{:?}", again.problems());
    assert_eq!(again.list(), groups.list());
    assert_eq!(allowed(), "0");

    // The member leaves, in each hierarchy.
    for root in [Some(&mount.path), mount.cpu.as_ref()].into_iter().flatten() {
        fs::write(root.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    groups.delete(A).unwrap();
    let folders = cleanup.folders.clone();
    for dir in &folders {
        assert!(!dir.join("cpu-groups").join(A).exists());
    }
    drop(cleanup);
    assert!(folders.iter().all(|dir| !dir.exists()), "{folders:?}");
}
