//! The logical processors of the host, as the kernel shows them in sysfs.
//!
//! The service property "ProcessorTopology" is made from this, and so is the check of a wanted processor set.
//! What must hold: only processors that are online are listed, in ascending order, and a tree that lacks the
//! topology files (containers and small virtual machines often do) still gives every processor, each as a
//! core of its own on package 0, node 0.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use super::cpu_list;

/// One logical processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalProcessor {
    /// The kernel's number of the processor.
    pub index: u32,
    /// The NUMA node. A node above 255 has no place in the document's byte and is shown as 255.
    pub node: u8,
    /// The socket.
    pub package: u32,
    /// The core, unique within its package.
    pub core: u32,
    /// Further levels the processor shares with others, in the order cluster, L3; unknown levels are absent.
    pub subnodes: Vec<Subnode>,
}

/// A level between the node and the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnode {
    /// Which level.
    pub kind: SubnodeKind,
    /// The number of this one among those of its level.
    pub id: u64,
}

/// The levels that can be told on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubnodeKind {
    /// Cores that share resources below the last-level cache.
    Cluster,
    /// Processors that share a level 3 cache.
    L3,
}

/// Reads the processors below a sysfs root, normally `/sys`.
///
/// Fails only if neither a list of online processors nor a single processor folder can be read.
pub fn read(sys: &Path) -> io::Result<Vec<LogicalProcessor>> {
    let cpus = sys.join("devices/system/cpu");
    let nodes = nodes_of_processors(&sys.join("devices/system/node"));
    let processors = online(&cpus)?
        .into_iter()
        .map(|index| {
            let folder = cpus.join(format!("cpu{index}"));
            let topology = folder.join("topology");
            let node = nodes.get(&index).copied().or_else(|| node_link(&folder)).unwrap_or(0);
            LogicalProcessor {
                index,
                node: u8::try_from(node).unwrap_or(u8::MAX),
                package: identifier(&topology.join("physical_package_id")).unwrap_or(0),
                core: identifier(&topology.join("core_id")).unwrap_or(index),
                subnodes: subnodes(&folder),
            }
        })
        .collect();
    Ok(processors)
}

/// The numbers of the processors that are online.
fn online(cpus: &Path) -> io::Result<Vec<u32>> {
    if let Ok(text) = fs::read_to_string(cpus.join("online")) {
        let listed = cpu_list::parse(&text)?;
        if !listed.is_empty() {
            return Ok(listed);
        }
    }
    let mut found: Vec<u32> = numbered_entries(cpus, "cpu")?
        .into_iter()
        // A processor that cannot be taken offline has no such file.
        .filter(|index| {
            fs::read_to_string(cpus.join(format!("cpu{index}/online")))
                .map_or(true, |text| text.trim() != "0")
        })
        .collect();
    found.sort_unstable();
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} names no processor", cpus.display()),
        ));
    }
    Ok(found)
}

/// Which node each processor belongs to, from the nodes' own lists.
fn nodes_of_processors(nodes: &Path) -> HashMap<u32, u32> {
    let mut map = HashMap::new();
    for node in numbered_entries(nodes, "node").unwrap_or_default() {
        let list = fs::read_to_string(nodes.join(format!("node{node}/cpulist"))).unwrap_or_default();
        for index in cpu_list::parse(&list).unwrap_or_default() {
            map.insert(index, node);
        }
    }
    map
}

/// The node a processor's folder links to, where the nodes have no lists.
fn node_link(folder: &Path) -> Option<u32> {
    numbered_entries(folder, "node").ok()?.into_iter().min()
}

fn subnodes(folder: &Path) -> Vec<Subnode> {
    // The kernel writes 65535 or a negative number where the firmware names no cluster.
    let cluster = identifier(&folder.join("topology/cluster_id"))
        .filter(|id| *id != 65_535)
        .map(|id| Subnode { kind: SubnodeKind::Cluster, id: u64::from(id) });
    let l3 = level_3(&folder.join("cache")).map(|id| Subnode { kind: SubnodeKind::L3, id: u64::from(id) });
    cluster.into_iter().chain(l3).collect()
}

/// The id of the level 3 cache; older kernels give none, then the first processor sharing it stands for it.
fn level_3(cache: &Path) -> Option<u32> {
    numbered_entries(cache, "index").ok()?.into_iter().find_map(|number| {
        let index = cache.join(format!("index{number}"));
        if identifier(&index.join("level"))? != 3 {
            return None;
        }
        identifier(&index.join("id")).or_else(|| {
            let shared = fs::read_to_string(index.join("shared_cpu_list")).ok()?;
            cpu_list::parse(&shared).ok()?.first().copied()
        })
    })
}

/// A file with one non-negative number. "Unknown" is a negative number in these files.
fn identifier(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The numbers of the entries named `<prefix><number>`.
fn numbered_entries(folder: &Path, prefix: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse::<u32>().ok()));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    /// Two packages on two nodes, two cores each; processor 3 is offline.
    fn recorded() -> Scratch {
        let tree = Scratch::new("topology");
        tree.put("devices/system/cpu/online", "0-2,4\n");
        tree.put("devices/system/node/node0/cpulist", "0-1\n");
        tree.put("devices/system/node/node1/cpulist", "2-4\n");
        for (index, package, core, cluster, l3) in
            [(0, 0, 0, "65535", "0"), (1, 0, 1, "65535", "0"), (2, 1, 0, "8", "1"), (4, 1, 2, "-1", "")]
        {
            let cpu = format!("devices/system/cpu/cpu{index}");
            tree.put(&format!("{cpu}/topology/physical_package_id"), &format!("{package}\n"));
            tree.put(&format!("{cpu}/topology/core_id"), &format!("{core}\n"));
            tree.put(&format!("{cpu}/topology/cluster_id"), &format!("{cluster}\n"));
            tree.put(&format!("{cpu}/cache/index0/level"), "1\n");
            tree.put(&format!("{cpu}/cache/index3/level"), "3\n");
            tree.put(&format!("{cpu}/cache/index3/shared_cpu_list"), "2-4\n");
            if !l3.is_empty() {
                tree.put(&format!("{cpu}/cache/index3/id"), &format!("{l3}\n"));
            }
        }
        tree
    }

    #[test]
    fn a_machine_with_two_nodes() {
        let tree = recorded();
        let read = read(tree.path()).unwrap();
        let l3 = |id| Subnode { kind: SubnodeKind::L3, id };
        let cluster = Subnode { kind: SubnodeKind::Cluster, id: 8 };
        let expected = [
            LogicalProcessor { index: 0, node: 0, package: 0, core: 0, subnodes: vec![l3(0)] },
            LogicalProcessor { index: 1, node: 0, package: 0, core: 1, subnodes: vec![l3(0)] },
            LogicalProcessor { index: 2, node: 1, package: 1, core: 0, subnodes: vec![cluster, l3(1)] },
            LogicalProcessor { index: 4, node: 1, package: 1, core: 2, subnodes: vec![l3(2)] },
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_tree_without_topology_files() {
        let tree = Scratch::new("bare");
        for index in [0, 1, 10, 2] {
            tree.put(&format!("devices/system/cpu/cpu{index}/uevent"), "");
        }
        tree.put("devices/system/cpu/cpu1/online", "0\n");
        tree.put("devices/system/cpu/cpu2/node1/uevent", "");
        tree.put("devices/system/cpu/cpufreq/x", "");
        let read = read(tree.path()).unwrap();
        let short: Vec<_> = read.iter().map(|lp| (lp.index, lp.node, lp.package, lp.core)).collect();
        assert_eq!(short, [(0, 0, 0, 0), (2, 1, 0, 2), (10, 0, 0, 10)]);
        assert!(read.iter().all(|lp| lp.subnodes.is_empty()));
    }

    #[test]
    fn no_processor_at_all_is_an_error() {
        let tree = Scratch::new("none");
        assert!(read(tree.path()).is_err());
        fs::create_dir_all(tree.path().join("devices/system/cpu")).unwrap();
        assert!(read(tree.path()).unwrap_err().to_string().contains("names no processor"));
    }

    #[test]
    fn this_machine_has_a_processor() {
        assert!(!read(Path::new("/sys")).unwrap().is_empty());
    }
}
