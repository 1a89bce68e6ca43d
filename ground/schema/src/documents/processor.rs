//! Processors of the host: features, topology.
//!
//! Produced by the service from what the host reports; feature names are those of Windows.

use crate::macros::{choices, documents};

documents! {
    /// Service property query "ProcessorCapabilities" (via PropertyQueries).
    pub struct ProcessorCapabilitiesInfo {
        /// Feature names supported by the host.
        "ProcessorFeatures" 2.5 processor_features: Vec<ProcessorFeature>,
        /// XSAVE feature names.
        "XsaveProcessorFeatures" 2.5 xsave_processor_features: Vec<XsaveProcessorFeature>,
        /// CLFLUSH size.
        "CacheLineFlushSize" 2.5 cache_line_flush_size: u64,
        /// Physical address width.
        "ImplementedPhysicalAddressBits" 2.5 implemented_physical_address_bits: u64,
        /// Core-sharing report.
        "NonArchitecturalCoreSharing" 2.5 non_architectural_core_sharing: NonArchitecturalCoreSharing,
    }

    /// Result of HcsGetProcessorCompatibilityFromSavedState.
    pub struct VmProcessorRequirements {
        /// Feature names the saved VM needs.
        "ProcessorFeatures" 2.5 processor_features: Vec<ProcessorFeature>,
        /// XSAVE feature names.
        "XsaveProcessorFeatures" 2.5 xsave_processor_features: Vec<XsaveProcessorFeature>,
        /// CLFLUSH size.
        "CacheLineFlushSize" 2.5 cache_line_flush_size: u64,
        /// Physical address width.
        "ImplementedPhysicalAddressBits" 2.5 implemented_physical_address_bits: u64,
        /// Core-sharing report.
        "NonArchitecturalCoreSharing" 2.5 non_architectural_core_sharing: NonArchitecturalCoreSharing,
    }

    /// Service property "ProcessorTopology".
    pub struct ProcessorTopology {
        /// Number of LPs.
        "LogicalProcessorCount" 2.1 logical_processor_count: u32,
        /// LP descriptions.
        "LogicalProcessors" 2.1 logical_processors: Vec<LogicalProcessor>,
    }

    /// A logical processor of the host.
    pub struct LogicalProcessor {
        /// Host LP index.
        "LpIndex" 2.1 lp_index: u32,
        /// NUMA node.
        "NodeNumber" 2.1 node_number: u8,
        /// Socket.
        "PackageId" 2.1 package_id: u32,
        /// Core.
        "CoreId" 2.1 core_id: u32,
        /// Root partition VP, -1 if none.
        "RootVpIndex" 2.1 root_vp_index: i32,
        /// Further topology levels.
        "Subnodes" 2.4 subnodes: Vec<Subnode>,
    }

    /// A further level of the topology a processor is on.
    pub struct Subnode {
        /// Level.
        "Type" 2.4 type_: SubnodeType,
        /// Id at that level.
        "Id" 2.4 id: u64,
    }
}

choices! {
    /// Level of processor topology.
    pub enum SubnodeType {
        2.4: Any, Socket, Cluster, L3;
    }

    /// Whether virtual processors may share a core in ways the architecture does not show.
    pub enum NonArchitecturalCoreSharing {
        2.5: Unreported, Off, On;
    }

    /// Changes to the enlightenments a guest is offered.
    pub enum EnlightenmentModifications {
        2.5: Unreported, FavorAutoEoi, RsvdZ1;
    }

    /// Processor feature, of x64 and ARM64.
    pub enum ProcessorFeature {
        2.5:
            Sse3, LahfSahf, Ssse3, Sse4_1, Sse4_2, Sse4A, Xop, Popcnt, Cmpxchg16B, Altmovcr8, Lzcnt,
            Misalignsse, MmxExt, Amd3Dnow, ExtAmd3Dnow, Page1Gb, AmdAes, Pclmulqdq, Pcid, Fma4, F16C,
            Rdrand, Rdwrfsgs, Smep, EnhancedFastString, Bmi1, Bmi2, Movbe, Npiep1, DepX87FpuSave, Rdseed,
            Adx, IntelPrefetch, Smap, Hle, Rtm, Rdtscp, Clflushopt, Clwb, Sha, X87PointersSaved, Invpcid,
            Ibrs, Stibp, Ibpb, UnrestrictedGuest, Mdd, FastShortRepMov, L1DCacheFlush, RdclNo, IbrsAll,
            SkipL1Df, SsbNo, RsbaNo, VirtSpecCtrl, Rdpid, Umip, MbsNo, MbClear, TaaNo, TsxCtrl,
            AcountMcount, TscInvariant, Clzero, Rdpru, La57, Mbec, NestedVirt, Psfd, CetSs, CetIbt,
            VmxExceptionInject, UmwaitTpause, Movdiri, Movdir64b, Cldemote, Serialize, TscDeadlineTmr,
            TscAdjust, FZLRepMovsb, FSRepStosb, FSRepCmpsb, SentinelAmd, Asid16, TGran16, TGran64, Haf,
            Hdbs, Pan, AtS1E1, Uao, El0Aarch32, Fp, FpHp, AdvSimd, AdvSimdHp, GicV3V4, PmuV3, PmuV3ArmV81,
            PmuV3ArmV84, ArmAes, PolyMul, Sha1, Sha256, Sha512, Crc32, Atomic, Rdm, Sha3, Sm3, Sm4, Dp, Fhm,
            DcCvap, DcCvadp, ApaBase, ApaEp, ApaEp2, ApaEp2Fp, ApaEp2Fpc, Jscvt, Fcma, RcpcV83, RcpcV84,
            Gpa, L1ipPipt, DzPermitted, SentinelArm;
    }

    /// Processor feature with XSAVE state.
    pub enum XsaveProcessorFeature {
        2.5:
            Xsave, XsaveOpt = "Xsave_Opt", Avx, Avx2, Fma, Mpx, Avx512, Avx512Dq, Avx512Cd, Avx512Bw,
            Avx512Vl, XsaveComp = "Xsave_Comp", XsaveSupervisor = "Xsave_Supervisor", Xcr1,
            Avx512Bitalg = "Avx512_Bitalg", AVX512Ifma = "AVX512_Ifma", Avx512Vbmi = "Avx512_Vbmi",
            Avx512Vbmi2 = "Avx512_Vbmi2", Avx512Vnni = "Avx512_Vnni", Gfni, Vaes,
            Avx512Vpopcntdq = "Avx512_Vpopcntdq", Vpclmulqdq, Avx512Bf16 = "Avx512_Bf16",
            Avx512Vp2Intersect = "Avx512_Vp2Intersect", Avx512Fp16, Xfd, AmxTile, AmxBf16, AmxInt8, AvxVnni,
            SentinelAmdXsave;
    }
}
