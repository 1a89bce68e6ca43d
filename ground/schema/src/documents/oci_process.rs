//! Linux addition: the `process` object of an OCI runtime specification.
//!
//! Read by the container engine. Names, types and meaning are those of the OCI runtime specification 1.2.

use crate::macros::{choices, documents};

documents! {
    /// A process of a container, as OCI runtimes take it.
    pub struct OciProcess {
        /// Whether it has a terminal.
        "terminal" oci terminal: bool,
        /// The size of the terminal.
        "consoleSize" oci console_size: OciConsoleSize,
        /// Who it runs as.
        "user" oci user: OciUser,
        /// The program and its arguments.
        "args" oci args: Vec<String>,
        /// A command line; Windows only.
        "commandLine" oci command_line: String,
        /// The environment, as NAME=value.
        "env" oci env: Vec<String>,
        /// Initial directory.
        "cwd" oci cwd: String,
        /// Its capabilities.
        "capabilities" oci capabilities: OciCapabilities,
        /// Limits of its resources.
        "rlimits" oci rlimits: Vec<OciRlimit>,
        /// Whether programs that it runs can never have more privileges than it has.
        "noNewPrivileges" oci no_new_privileges: bool,
        /// Name of an AppArmor profile.
        "apparmorProfile" oci apparmor_profile: String,
        /// How readily it is killed when memory runs out, -1000 to 1000.
        "oomScoreAdj" oci oom_score_adj: i32,
        /// How it is scheduled.
        "scheduler" oci scheduler: OciScheduler,
        /// A SELinux label.
        "selinuxLabel" oci selinux_label: String,
        /// The priority of its input and output.
        "ioPriority" oci io_priority: OciIoPriority,
        /// Processors that it may run on.
        "execCPUAffinity" oci exec_cpu_affinity: OciCpuAffinity,
    }

    /// The size of a terminal, in characters.
    pub struct OciConsoleSize {
        /// Rows.
        "height" oci height: u16,
        /// Columns.
        "width" oci width: u16,
    }

    /// Who a process runs as.
    pub struct OciUser {
        /// User id.
        "uid" oci uid: u32,
        /// Group id.
        "gid" oci gid: u32,
        /// Bits that new files do not get.
        "umask" oci umask: u32,
        /// Supplementary groups.
        "additionalGids" oci additional_gids: Vec<u32>,
        /// A name or `uid:gid`, looked up in the container's own files, in place of the numbers.
        "username" oci username: String,
    }

    /// The five sets of capabilities.
    pub struct OciCapabilities {
        /// What the process and its descendants can ever have.
        "bounding" oci bounding: Vec<OciCapability>,
        /// What counts when rights are checked.
        "effective" oci effective: Vec<OciCapability>,
        /// What is kept when a program with such rights is run.
        "inheritable" oci inheritable: Vec<OciCapability>,
        /// What the process can make effective.
        "permitted" oci permitted: Vec<OciCapability>,
        /// What is kept when any program is run.
        "ambient" oci ambient: Vec<OciCapability>,
    }

    /// A limit of a resource.
    pub struct OciRlimit {
        /// Which.
        "type" oci type_: OciRlimitType => required,
        /// What the process cannot exceed.
        "hard" oci hard: u64 => required,
        /// What is in force.
        "soft" oci soft: u64 => required,
    }

    /// How a process is scheduled.
    pub struct OciScheduler {
        /// The policy.
        "policy" oci policy: OciSchedulerPolicy => required,
        /// Niceness, -20 to 19.
        "nice" oci nice: i32,
        /// Static priority of real-time policies.
        "priority" oci priority: i32,
        /// Flags.
        "flags" oci flags: Vec<OciSchedulerFlag>,
        /// Nanoseconds of running in a period, of the deadline policy.
        "runtime" oci runtime: u64,
        /// Nanoseconds to the deadline.
        "deadline" oci deadline: u64,
        /// Nanoseconds of a period.
        "period" oci period: u64,
    }

    /// The priority of input and output.
    pub struct OciIoPriority {
        /// The class.
        "class" oci class: OciIoPriorityClass => required,
        /// The level in it, 0 (most) to 7.
        "priority" oci priority: i32,
    }

    /// Processors that a process may run on, as lists like `0-3,7`.
    pub struct OciCpuAffinity {
        /// Until it is in its cgroup.
        "initial" oci initial: String,
        /// From then on.
        "final" oci final_: String,
    }
}

choices! {
    /// A capability.
    pub enum OciCapability {
        oci:
            Chown = "CAP_CHOWN", DacOverride = "CAP_DAC_OVERRIDE", DacReadSearch = "CAP_DAC_READ_SEARCH",
            Fowner = "CAP_FOWNER", Fsetid = "CAP_FSETID", Kill = "CAP_KILL", Setgid = "CAP_SETGID",
            Setuid = "CAP_SETUID", Setpcap = "CAP_SETPCAP", LinuxImmutable = "CAP_LINUX_IMMUTABLE",
            NetBindService = "CAP_NET_BIND_SERVICE", NetBroadcast = "CAP_NET_BROADCAST",
            NetAdmin = "CAP_NET_ADMIN", NetRaw = "CAP_NET_RAW", IpcLock = "CAP_IPC_LOCK",
            IpcOwner = "CAP_IPC_OWNER", SysModule = "CAP_SYS_MODULE", SysRawio = "CAP_SYS_RAWIO",
            SysChroot = "CAP_SYS_CHROOT", SysPtrace = "CAP_SYS_PTRACE", SysPacct = "CAP_SYS_PACCT",
            SysAdmin = "CAP_SYS_ADMIN", SysBoot = "CAP_SYS_BOOT", SysNice = "CAP_SYS_NICE",
            SysResource = "CAP_SYS_RESOURCE", SysTime = "CAP_SYS_TIME", SysTtyConfig = "CAP_SYS_TTY_CONFIG",
            Mknod = "CAP_MKNOD", Lease = "CAP_LEASE", AuditWrite = "CAP_AUDIT_WRITE",
            AuditControl = "CAP_AUDIT_CONTROL", Setfcap = "CAP_SETFCAP", MacOverride = "CAP_MAC_OVERRIDE",
            MacAdmin = "CAP_MAC_ADMIN", Syslog = "CAP_SYSLOG", WakeAlarm = "CAP_WAKE_ALARM",
            BlockSuspend = "CAP_BLOCK_SUSPEND", AuditRead = "CAP_AUDIT_READ", Perfmon = "CAP_PERFMON",
            Bpf = "CAP_BPF", CheckpointRestore = "CAP_CHECKPOINT_RESTORE";
    }

    /// A resource that has a limit.
    pub enum OciRlimitType {
        oci:
            Cpu = "RLIMIT_CPU", FileSize = "RLIMIT_FSIZE", Data = "RLIMIT_DATA", Stack = "RLIMIT_STACK",
            Core = "RLIMIT_CORE", Resident = "RLIMIT_RSS", Processes = "RLIMIT_NPROC",
            Files = "RLIMIT_NOFILE", LockedMemory = "RLIMIT_MEMLOCK", AddressSpace = "RLIMIT_AS",
            Locks = "RLIMIT_LOCKS", PendingSignals = "RLIMIT_SIGPENDING", MessageQueues = "RLIMIT_MSGQUEUE",
            Nice = "RLIMIT_NICE", RealTimePriority = "RLIMIT_RTPRIO", RealTimeTime = "RLIMIT_RTTIME";
    }

    /// A policy of the scheduler.
    pub enum OciSchedulerPolicy {
        oci:
            Other = "SCHED_OTHER", Fifo = "SCHED_FIFO", RoundRobin = "SCHED_RR", Batch = "SCHED_BATCH",
            Iso = "SCHED_ISO", Idle = "SCHED_IDLE", Deadline = "SCHED_DEADLINE";
    }

    /// A flag of the scheduler.
    pub enum OciSchedulerFlag {
        oci:
            ResetOnFork = "SCHED_FLAG_RESET_ON_FORK", Reclaim = "SCHED_FLAG_RECLAIM",
            DeadlineOverrun = "SCHED_FLAG_DL_OVERRUN", KeepPolicy = "SCHED_FLAG_KEEP_POLICY",
            KeepParameters = "SCHED_FLAG_KEEP_PARAMS", ClampMinimum = "SCHED_FLAG_UTIL_CLAMP_MIN",
            ClampMaximum = "SCHED_FLAG_UTIL_CLAMP_MAX";
    }

    /// A class of priorities of input and output.
    pub enum OciIoPriorityClass {
        oci: BestEffort = "IOPRIO_CLASS_BE", RealTime = "IOPRIO_CLASS_RT", Idle = "IOPRIO_CLASS_IDLE";
    }
}
