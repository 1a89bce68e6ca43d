//! Memory, processors and GPUs a virtual machine is given.
//!
//! Part of the create document, and as Settings of modify requests on the paths named.

use crate::macros::{choices, documents};
use crate::{Any, Guid, ProcessorFeature, XsaveProcessorFeature};
use std::collections::BTreeMap;

documents! {
    /// Memory and processors of a VM.
    pub struct Topology {
        /// RAM.
        "Memory" 2.0 memory: VirtualMachineMemory,
        /// CPUs.
        "Processor" 2.0 processor: VirtualMachineProcessor,
        /// Virtual NUMA layout.
        "Numa" client numa: Numa,
    }

    /// Memory of a VM.
    pub struct VirtualMachineMemory = "VirtualMachine_Memory" {
        /// RAM in MiB.
        "SizeInMB" 2.1 size_in_mb: u64,
        /// Back by pageable memory instead of pre-allocated physical.
        "AllowOvercommit" 2.1 allow_overcommit: bool,
        /// Preferred chunk.
        "BackingPageSize" 2.2 backing_page_size: MemoryBackingPageSize,
        /// Log2 fault cluster for RAM.
        "FaultClusterSizeShift" 2.4 fault_cluster_size_shift: u32,
        /// Log2 fault cluster for direct-mapped memory.
        "DirectMapFaultClusterSizeShift" 2.4 direct_map_fault_cluster_size_shift: u32,
        /// Pin each page at first touch.
        "PinBackingPages" 2.2 pin_backing_pages: bool,
        /// Never fall back below BackingPageSize except under severe pressure; forces Large.
        "ForbidSmallBackingPages" 2.2 forbid_small_backing_pages: bool,
        /// Guest may prefetch pages.
        "EnableHotHint" 2.0 enable_hot_hint: bool,
        /// Guest may give back zeroed pages.
        "EnableColdHint" 2.0 enable_cold_hint: bool,
        /// Guest may give back non-zero pages.
        "EnableColdDiscardHint" 2.2 enable_cold_discard_hint: bool,
        /// Charge commit at first touch.
        "EnableDeferredCommit" 2.1 enable_deferred_commit: bool,
        /// MMIO hole below 4 GiB.
        "LowMmioGapInMB" 2.3 low_mmio_gap_in_mb: u64,
        /// Start of MMIO hole above 4 GiB.
        "HighMmioBaseInMB" 2.3 high_mmio_base_in_mb: u64,
        /// Size of that hole.
        "HighMmioGapInMB" 2.3 high_mmio_gap_in_mb: u64,
        /// What guest memory is made of; the published VM samples set it.
        "Backing" client backing: MemoryBackingType,
        /// Name suffix of the process that holds the memory.
        "HostingProcessNameSuffix" client hosting_process_name_suffix: String,
        /// Which NUMA distance table the guest gets.
        "SlitType" client slit_type: SlitType,
    }

    /// Processors of a VM.
    pub struct VirtualMachineProcessor = "VirtualMachine_Processor" {
        /// Virtual CPUs.
        "Count" 2.0 count: u32,
        /// Upper bound (see ProcessorLimits).
        "Limit" 2.1 limit: u64,
        /// Relative priority.
        "Weight" 2.1 weight: u64,
        /// Guaranteed share.
        "Reservation" 2.4 reservation: u64,
        /// Frequency cap.
        "MaximumFrequencyMHz" 2.4 maximum_frequency_mhz: u32,
        /// Nested virtualisation.
        "ExposeVirtualizationExtensions" 2.0 expose_virtualization_extensions: bool,
        /// PMU.
        "EnablePerfmonPmu" 2.2 enable_perfmon_pmu: bool,
        /// PEBS.
        "EnablePerfmonPebs" 2.2 enable_perfmon_pebs: bool,
        /// LBR.
        "EnablePerfmonLbr" 2.2 enable_perfmon_lbr: bool,
        /// Intel PT.
        "EnablePerfmonIpt" 2.2 enable_perfmon_ipt: bool,
        /// CPU group to join.
        "CpuGroup" 2.5 cpu_group: CpuGroup,
        /// Architectural PMU.
        "EnablePerfmonArchPmu" 2.5 enable_perfmon_arch_pmu: bool,
        /// Mitigation for CVE-2018-12207 on affected Intel CPUs; off may be faster.
        "EnablePageShattering" 2.5 enable_page_shattering: bool,
        /// Hide speculation-control CPUID bits.
        "DisableSpeculationControls" 2.5 disable_speculation_controls: bool,
        /// Explicit feature list.
        "ProcessorFeatureSet" 2.5 processor_feature_set: ProcessorFeatureSet,
        /// Processors per NUMA node.
        "NumaProcessorsSettings" client numa_processors_settings: Any,
    }

    /// Wanted features for a VM.
    pub struct ProcessorFeatureSet {
        /// Feature names to expose.
        "ProcessorFeatures" 2.5 processor_features: Vec<ProcessorFeature>,
        /// XSAVE feature names to expose.
        "XsaveProcessorFeatures" 2.5 xsave_processor_features: Vec<XsaveProcessorFeature>,
        /// What to do with features the host lacks.
        "ProcessorFeatureSetMode" 2.5 processor_feature_set_mode: ProcessorFeatureSetMode,
    }

    /// Settings of …/Processor/Limits (runtime change of scheduler limits).
    pub struct ProcessorLimits {
        /// Upper bound on host CPU (percent × 1000, 0–100000).
        "Limit" 2.4 limit: u64,
        /// Relative priority (default 100, up to 10000).
        "Weight" 2.4 weight: u64,
        /// Guaranteed share (percent × 1000).
        "Reservation" 2.4 reservation: u64,
        /// Target frequency cap.
        "MaximumFrequencyMHz" 2.4 maximum_frequency_mhz: u32,
    }

    /// Settings of …/Processor/IdledProcessors.
    pub struct IdleProcessorsRequest {
        /// How many virtual processors to idle.
        "IdleProcessorCount" 2.3 idle_processor_count: u32,
    }

    /// CPU-group binding of a VM.
    pub struct CpuGroup {
        /// Group GUID; all-zero = leave any group.
        "Id" 2.1 id: Guid,
    }

    /// Virtual NUMA layout. Part of Topology.
    pub struct Numa {
        /// Number of virtual nodes.
        "VirtualNodeCount" client virtual_node_count: u8,
        /// Host nodes to use.
        "PreferredPhysicalNodes" client preferred_physical_nodes: Vec<i64>,
        /// One per virtual node.
        "Settings" client settings: Vec<NumaSetting>,
        /// Largest memory of a node in MiB.
        "MaxSizePerNode" client max_size_per_node: u64,
    }

    /// A virtual NUMA node. Part of Numa.
    pub struct NumaSetting {
        /// The node.
        "VirtualNodeNumber" client virtual_node_number: u32,
        /// Host node it is put on.
        "PhysicalNodeNumber" client physical_node_number: u32,
        /// Socket it belongs to.
        "VirtualSocketNumber" client virtual_socket_number: u32,
        /// Processors of the node.
        "CountOfProcessors" client count_of_processors: u32,
        /// Memory blocks of the node.
        "CountOfMemoryBlocks" client count_of_memory_blocks: u64,
        /// What its memory is made of.
        "MemoryBackingType" client memory_backing_type: MemoryBackingType,
    }

    /// Which host GPUs a VM sees. Settings of …/ComputeTopology/Gpu.
    pub struct GpuConfiguration {
        /// Assignment policy.
        "AssignmentMode" 2.0 assignment_mode: GpuAssignmentMode,
        /// List mode only: GPU device-interface path → partition id; 0xFFFF = any free partition
        /// (paravirtual).
        "AssignmentRequest" 2.0 assignment_request: BTreeMap<String, u16>,
        /// Permit the vendor extension driver path.
        "AllowVendorExtension" 2.0 allow_vendor_extension: bool,
        /// No GDI acceleration.
        "DisableGdiAcceleration" client disable_gdi_acceleration: bool,
        /// No presentation to a display.
        "DisablePresentation" client disable_presentation: bool,
    }
}

choices! {
    /// Size of the chunks guest memory is made of.
    pub enum MemoryBackingPageSize {
        2.2:
            /// 4 KiB.
            Small,
            /// 2 MiB.
            Large;
    }

    /// What guest memory is made of.
    pub enum MemoryBackingType {
        client:
            /// Memory of the host, never paged.
            Physical,
            /// Memory of a process, may be paged.
            Virtual,
            /// Both.
            Hybrid;
    }

    /// NUMA distance table a guest gets.
    pub enum SlitType {
        client:
            None,
            /// The host firmware's.
            Firmware,
            /// Measured on the host.
            Measured,
            /// Measured when the firmware has none.
            FirmwareFallbackMeasured;
    }

    /// What to do with wanted features the host lacks.
    pub enum ProcessorFeatureSetMode {
        2.5:
            /// Unsupported feature is an error.
            Strict,
            /// Unsupported features are dropped.
            Permissive;
    }

    /// Which host GPUs a VM gets.
    pub enum GpuAssignmentMode {
        2.0:
            /// None.
            Disabled,
            /// The default (POST) GPU.
            Default,
            /// Those in AssignmentRequest; empty list = none.
            List,
            /// All present and future GPUs.
            Mirror;
    }
}
