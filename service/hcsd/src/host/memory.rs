//! The memory of the host and of its NUMA nodes.
//!
//! The service property "Memory" is made from this. What must hold: the totals of the host come from
//! `meminfo`, not from the sum of the nodes, because the kernel's own share is counted differently there, and
//! a kernel without nodes gives an empty list.

use std::fs;
use std::io;
use std::path::Path;

/// What the host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// All memory the kernel manages.
    pub total_bytes: u64,
    /// What new systems could get without swapping, as the kernel estimates it.
    pub available_bytes: u64,
    /// The nodes that have memory, by number: (node, total bytes, free bytes).
    pub nodes: Vec<(u32, u64, u64)>,
}

/// Reads the memory below a proc root and a sysfs root, normally `/proc` and `/sys`.
pub fn read(proc_root: &Path, sys: &Path) -> io::Result<HostMemory> {
    let path = proc_root.join("meminfo");
    let text = fs::read_to_string(&path)?;
    let total_bytes = field(&text, "MemTotal:").ok_or_else(|| missing(&path, "MemTotal"))?;
    let available_bytes = field(&text, "MemAvailable:")
        // Kernels before 3.14 give no estimate; what is free is the lower bound of it.
        .or_else(|| field(&text, "MemFree:"))
        .ok_or_else(|| missing(&path, "MemAvailable"))?;
    Ok(HostMemory { total_bytes, available_bytes, nodes: nodes(&sys.join("devices/system/node")) })
}

fn nodes(folder: &Path) -> Vec<(u32, u64, u64)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut nodes: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let node = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
            let text = fs::read_to_string(entry.path().join("meminfo")).ok()?;
            let total = field(&text, "MemTotal:")?;
            Some((node, total, field(&text, "MemFree:")?))
        })
        .filter(|(_, total, _)| *total > 0)
        .collect();
    nodes.sort_unstable();
    nodes
}

/// The bytes of the line that holds `name`, written `name <count> kB` with or without words before it.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != name);
        words.next()?;
        words.next()?.parse::<u64>().ok()?.checked_mul(1024)
    })
}

fn missing(path: &Path, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} has no readable {name}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn a_host_with_two_nodes_and_one_without_memory() {
        let tree = Scratch::new("memory");
        tree.put("proc/meminfo", "MemTotal:       24684084 kB\nMemFree: 1 kB\nMemAvailable:   24372432 kB\n");
        let node = |n: u32, total: u64| format!("Node {n} MemTotal:  {total} kB\nNode {n} MemFree:  7 kB\n");
        tree.put("sys/devices/system/node/node1/meminfo", &node(1, 100));
        tree.put("sys/devices/system/node/node0/meminfo", &node(0, 200));
        tree.put("sys/devices/system/node/node2/meminfo", &node(2, 0));
        tree.put("sys/devices/system/node/online", "0-2\n");
        let memory = read(&tree.path().join("proc"), &tree.path().join("sys")).unwrap();
        assert_eq!(memory.total_bytes, 24_684_084 * 1024);
        assert_eq!(memory.available_bytes, 24_372_432 * 1024);
        assert_eq!(memory.nodes, [(0, 200 * 1024, 7 * 1024), (1, 100 * 1024, 7 * 1024)]);
    }

    #[test]
    fn an_old_kernel_without_estimate_and_nodes() {
        let tree = Scratch::new("old");
        tree.put("meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\n");
        let memory = read(tree.path(), tree.path()).unwrap();
        assert_eq!(memory, HostMemory { total_bytes: 10_240, available_bytes: 4096, nodes: Vec::new() });
    }

    #[test]
    fn a_damaged_file_is_named() {
        let tree = Scratch::new("damaged");
        assert_eq!(read(tree.path(), tree.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        tree.put("meminfo", "MemTotal: many kB\n");
        let error = read(tree.path(), tree.path()).unwrap_err();
        assert!(error.to_string().contains("meminfo has no readable MemTotal"), "{error}");
    }

    #[test]
    fn this_machine_has_memory() {
        let memory = read(Path::new("/proc"), Path::new("/sys")).unwrap();
        assert!(memory.available_bytes > 0 && memory.available_bytes <= memory.total_bytes);
    }
}
