//! Resource use of a system.
//!
//! Written by the engines. Times count 100 ns, container memory bytes, VM memory pages of 4 KiB.

use crate::kind::DateTime;
use crate::macros::documents;

documents! {
    /// Property "Statistics".
    pub struct Statistics {
        /// Sample time.
        "Timestamp" 2.1 timestamp: String as DateTime,
        /// Start time.
        "ContainerStartTime" 2.1 container_start_time: String as DateTime,
        /// Uptime.
        "Uptime100ns" 2.1 uptime_100ns: u64,
        /// CPU numbers.
        "Processor" 2.1 processor: ProcessorStats,
        /// Memory numbers.
        "Memory" 2.1 memory: MemoryStats,
        /// I/O numbers.
        "Storage" 2.1 storage: StorageStats,
    }

    /// Processor time used.
    pub struct ProcessorStats {
        /// Total run time.
        "TotalRuntime100ns" 2.1 total_runtime_100ns: u64,
        /// User part.
        "RuntimeUser100ns" 2.1 runtime_user_100ns: u64,
        /// Kernel part.
        "RuntimeKernel100ns" 2.1 runtime_kernel_100ns: u64,
    }

    /// Memory used.
    pub struct MemoryStats {
        /// Commit charge.
        "MemoryUsageCommitBytes" 2.1 memory_usage_commit_bytes: u64,
        /// Peak commit.
        "MemoryUsageCommitPeakBytes" 2.1 memory_usage_commit_peak_bytes: u64,
        /// Private working set.
        "MemoryUsagePrivateWorkingSetBytes" 2.1 memory_usage_private_working_set_bytes: u64,
    }

    /// Storage traffic.
    pub struct StorageStats {
        /// Normalised reads.
        "ReadCountNormalized" 2.1 read_count_normalized: u64,
        /// Bytes read.
        "ReadSizeBytes" 2.1 read_size_bytes: u64,
        /// Normalised writes.
        "WriteCountNormalized" 2.1 write_count_normalized: u64,
        /// Bytes written.
        "WriteSizeBytes" 2.1 write_size_bytes: u64,
    }

    /// Property "Memory".
    pub struct MemoryInformationForVm {
        /// Number of virtual NUMA nodes.
        "VirtualNodeCount" 2.1 virtual_node_count: u8,
        /// Totals.
        "VirtualMachineMemory" 2.1 virtual_machine_memory: VmMemory,
        /// Per-node data.
        "VirtualNodes" 2.1 virtual_nodes: Vec<VirtualNodeInfo>,
    }

    /// Memory of a VM, in pages of 4 KiB.
    pub struct VmMemory {
        /// Available (percent).
        "AvailableMemory" 2.1 available_memory: i32,
        /// Buffer (percent).
        "AvailableMemoryBuffer" 2.1 available_memory_buffer: i32,
        /// Reserved pages.
        "ReservedMemory" 2.1 reserved_memory: u64,
        /// Assigned pages.
        "AssignedMemory" 2.1 assigned_memory: u64,
        /// Second-level paging active.
        "SlpActive" 2.1 slp_active: bool,
        /// Dynamic memory on.
        "BalancingEnabled" 2.1 balancing_enabled: bool,
        /// Balancing under way.
        "DmOperationInProgress" 2.1 dm_operation_in_progress: bool,
    }

    /// Memory and processors of a virtual NUMA node.
    pub struct VirtualNodeInfo {
        /// Virtual node.
        "VirtualNodeIndex" 2.1 virtual_node_index: u8,
        /// Host node.
        "PhysicalNodeNumber" 2.1 physical_node_number: u8,
        /// VPs in it.
        "VirtualProcessorCount" 2.1 virtual_processor_count: u32,
        /// Pages (4 KiB).
        "MemoryUsageInPages" 2.1 memory_usage_in_pages: u64,
    }
}
