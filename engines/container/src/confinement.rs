//! What a container may do by default: at least as little as a Docker container.

use rustix::thread::CapabilitySet;

/// Paths that are hidden from the container.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that the container can read and not write.
pub const READ_ONLY_PATHS: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The capabilities of a process of user root in the container.
///
/// Docker's default set without MKNOD, which needs a device filter to be harmless, and a filter exists in this
/// engine only for cgroup v1.
pub const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// The highest capability that kernels of our time know; higher numbers are refused by them and skipped.
pub const LAST_CAPABILITY: u32 = 40;

/// A device node of the container's /dev.
pub struct DeviceNode {
    /// Its name below /dev.
    pub name: &'static std::ffi::CStr,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The device nodes of every container.
pub const DEVICES: &[DeviceNode] = &[
    DeviceNode { name: c"null", major: 1, minor: 3 },
    DeviceNode { name: c"zero", major: 1, minor: 5 },
    DeviceNode { name: c"full", major: 1, minor: 7 },
    DeviceNode { name: c"random", major: 1, minor: 8 },
    DeviceNode { name: c"urandom", major: 1, minor: 9 },
    DeviceNode { name: c"tty", major: 5, minor: 0 },
];

/// Links of the container's /dev: name, target.
pub const DEVICE_LINKS: &[(&std::ffi::CStr, &std::ffi::CStr)] = &[
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
    (c"core", c"/proc/kcore"),
];

/// The lines of the v1 device controller: everything is refused but the nodes above and pseudo terminals.
pub const DEVICE_RULES: &[&str] = &[
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];
