//! Linux addition: an OCI runtime specification (`config.json`).
//!
//! Read by the container engine. Names, types and meaning are those of the OCI runtime specification 1.2.

use crate::macros::{choices, documents};
use crate::{Any, OciProcess, OciSeccomp};
use std::collections::BTreeMap;

documents! {
    /// A whole container, as OCI runtimes take it.
    pub struct OciSpecification {
        /// Version of the OCI runtime specification.
        "ociVersion" oci oci_version: String,
        /// The process that the container is for.
        "process" oci process: OciProcess,
        /// The root file system.
        "root" oci root: OciRoot,
        /// The host name inside.
        "hostname" oci hostname: String,
        /// The domain name inside.
        "domainname" oci domainname: String,
        /// What is mounted, in this order.
        "mounts" oci mounts: Vec<OciMount>,
        /// Programs that a runtime runs on the way.
        "hooks" oci hooks: Any,
        /// Notes of the client.
        "annotations" oci annotations: BTreeMap<String, String>,
        /// What is particular to Linux.
        "linux" oci linux: OciLinux,
        /// What is particular to Windows.
        "windows" oci windows: Any,
        /// What is particular to Solaris.
        "solaris" oci solaris: Any,
        /// What is particular to FreeBSD.
        "freebsd" oci freebsd: Any,
        /// What is particular to z/OS.
        "zos" oci zos: Any,
        /// What is particular to virtual machines.
        "vm" oci vm: Any,
    }

    /// The root file system of a container.
    pub struct OciRoot {
        /// A folder of the host.
        "path" oci path: String,
        /// Whether it cannot be written.
        "readonly" oci readonly: bool,
    }

    /// A mount.
    pub struct OciMount {
        /// Where in the container.
        "destination" oci destination: String => required,
        /// The kind of file system.
        "type" oci type_: String,
        /// What is mounted.
        "source" oci source: String,
        /// Options, as `mount` takes them.
        "options" oci options: Vec<String>,
        /// Users of the source and who they are in the mount.
        "uidMappings" oci uid_mappings: Vec<OciIdMapping>,
        /// Groups of the source and who they are in the mount.
        "gidMappings" oci gid_mappings: Vec<OciIdMapping>,
    }

    /// A range of user or group ids.
    pub struct OciIdMapping {
        /// The first inside.
        "containerID" oci container_id: u32,
        /// The first outside.
        "hostID" oci host_id: u32,
        /// How many.
        "size" oci size: u32,
    }

    /// What is particular to Linux in a container.
    pub struct OciLinux {
        /// Users of the user namespace.
        "uidMappings" oci uid_mappings: Vec<OciIdMapping>,
        /// Groups of the user namespace.
        "gidMappings" oci gid_mappings: Vec<OciIdMapping>,
        /// Settings of the kernel, by dotted names.
        "sysctl" oci sysctl: BTreeMap<String, String>,
        /// Limits.
        "resources" oci resources: OciResources,
        /// Where the cgroup is.
        "cgroupsPath" oci cgroups_path: String,
        /// What the container has of its own.
        "namespaces" oci namespaces: Vec<OciNamespace>,
        /// Device nodes.
        "devices" oci devices: Vec<OciDevice>,
        /// Network devices that are moved in.
        "netDevices" oci net_devices: BTreeMap<String, Any>,
        /// The filter of system calls.
        "seccomp" oci seccomp: OciSeccomp,
        /// How mounts of the root travel.
        "rootfsPropagation" oci rootfs_propagation: String,
        /// Paths that are hidden.
        "maskedPaths" oci masked_paths: Vec<String>,
        /// Paths that cannot be written.
        "readonlyPaths" oci readonly_paths: Vec<String>,
        /// The SELinux label of mounts.
        "mountLabel" oci mount_label: String,
        /// Settings of Intel's resource director.
        "intelRdt" oci intel_rdt: Any,
        /// Where memory is allocated.
        "memoryPolicy" oci memory_policy: Any,
        /// The execution domain.
        "personality" oci personality: Any,
        /// Clocks of the time namespace.
        "timeOffsets" oci time_offsets: BTreeMap<String, Any>,
    }

    /// A device node.
    pub struct OciDevice {
        /// Its kind.
        "type" oci type_: OciDeviceType => required,
        /// Where in the container.
        "path" oci path: String => required,
        /// Major number.
        "major" oci major: i64,
        /// Minor number.
        "minor" oci minor: i64,
        /// Permissions.
        "fileMode" oci file_mode: u32,
        /// Owner.
        "uid" oci uid: u32,
        /// Group.
        "gid" oci gid: u32,
    }

    /// A namespace.
    pub struct OciNamespace {
        /// Its kind.
        "type" oci type_: OciNamespaceType => required,
        /// One that exists; without it a new one is made.
        "path" oci path: String,
    }

    /// Limits of a container.
    pub struct OciResources {
        /// Which devices may be used.
        "devices" oci devices: Vec<OciDeviceRule>,
        /// Memory.
        "memory" oci memory: OciMemory,
        /// Processors.
        "cpu" oci cpu: OciCpu,
        /// Processes.
        "pids" oci pids: OciPids,
        /// Disks.
        "blockIO" oci block_io: Any,
        /// Huge pages.
        "hugepageLimits" oci hugepage_limits: Vec<Any>,
        /// Classes and priorities of packets.
        "network" oci network: Any,
        /// Remote memory.
        "rdma" oci rdma: BTreeMap<String, Any>,
        /// Files of cgroup v2.
        "unified" oci unified: BTreeMap<String, String>,
    }

    /// A rule for devices.
    pub struct OciDeviceRule {
        /// Whether they may be used.
        "allow" oci allow: bool,
        /// `c`, `b` or `a`.
        "type" oci type_: String,
        /// Major number; all without it.
        "major" oci major: i64,
        /// Minor number; all without it.
        "minor" oci minor: i64,
        /// Of `r`, `w` and `m`.
        "access" oci access: String,
    }

    /// Limits of memory, in bytes.
    pub struct OciMemory {
        /// The limit; -1 is none.
        "limit" oci limit: i64,
        /// The limit when memory is short.
        "reservation" oci reservation: i64,
        /// The limit of memory and swap.
        "swap" oci swap: i64,
        /// The limit of the kernel's own.
        "kernel" oci kernel: i64,
        /// The limit of the kernel's own for TCP.
        "kernelTCP" oci kernel_tcp: i64,
        /// How readily memory is swapped.
        "swappiness" oci swappiness: u64,
        /// Whether processes wait instead of being killed.
        "disableOOMKiller" oci disable_oom_killer: bool,
        /// Whether what is below counts.
        "useHierarchy" oci use_hierarchy: bool,
        /// Whether a change is refused that is below what is in use.
        "checkBeforeUpdate" oci check_before_update: bool,
    }

    /// Limits of processors.
    pub struct OciCpu {
        /// Relative share; 1024 is what everybody has.
        "shares" oci shares: u64,
        /// Microseconds of running in a period; -1 is no limit.
        "quota" oci quota: i64,
        /// Microseconds that may be saved up.
        "burst" oci burst: u64,
        /// Microseconds of a period.
        "period" oci period: u64,
        /// Microseconds of running with real-time policies.
        "realtimeRuntime" oci realtime_runtime: i64,
        /// Microseconds of a period of those.
        "realtimePeriod" oci realtime_period: u64,
        /// Processors, as a list.
        "cpus" oci cpus: String,
        /// Memory nodes, as a list.
        "mems" oci mems: String,
        /// Whether it runs only when nobody else wants to.
        "idle" oci idle: i64,
    }

    /// A limit of processes.
    pub struct OciPids {
        /// The limit; -1 is none.
        "limit" oci limit: i64,
    }
}

choices! {
    /// A kind of device node.
    pub enum OciDeviceType {
        oci:
            Character = "c",
            Block = "b",
            /// Another name of a device of characters.
            Unbuffered = "u",
            Pipe = "p";
    }

    /// A kind of namespace.
    pub enum OciNamespaceType {
        oci:
            Pid = "pid", Network = "network", Mount = "mount", Ipc = "ipc", Uts = "uts", User = "user",
            Cgroup = "cgroup", Time = "time";
    }
}
