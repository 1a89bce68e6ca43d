//! What the host's processor can do, under the names the documents use.
//!
//! The service query "ProcessorCapabilities" is made from this. The names are those of the ProcessorFeature
//! and XsaveProcessorFeature enumerations; the tables give for each the CPUID bit that tells it. What must
//! hold: a feature is named only if the processor says so. Features that only a model-specific register tells
//! (UnrestrictedGuest, RdclNo, IbrsAll, SkipL1Df, RsbaNo, MbsNo, TaaNo, TsxCtrl, Mbec, VmxExceptionInject)
//! and those of the hypervisor itself (Npiep1) are left out: user space cannot read them. Whether the kernel
//! has a feature switched off is not looked at. On other architectures than x86_64 nothing is named.

use Register::{Eax, Ebx, Ecx, Edx};

/// The features of one processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessorCapabilities {
    /// Names of ProcessorFeature, in the order of that enumeration.
    pub features: Vec<&'static str>,
    /// Names of XsaveProcessorFeature, in the order of that enumeration.
    pub xsave_features: Vec<&'static str>,
    /// How many bytes one cache line flush writes back; 0 if unknown.
    pub cache_line_flush_size: u64,
    /// Width of a physical address; 0 if unknown.
    pub physical_address_bits: u64,
}

/// What CPUID answers: EAX, EBX, ECX, EDX.
pub type Registers = [u32; 4];

#[derive(Clone, Copy)]
enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// Name, leaf, subleaf, register, bit. A name may have several rows where vendors use different bits.
type Row = (&'static str, u32, u32, Register, u32);

#[rustfmt::skip]
const FEATURES: &[Row] = &[
    ("Sse3", 1, 0, Ecx, 0), ("LahfSahf", 0x8000_0001, 0, Ecx, 0), ("Ssse3", 1, 0, Ecx, 9),
    ("Sse4_1", 1, 0, Ecx, 19), ("Sse4_2", 1, 0, Ecx, 20), ("Sse4A", 0x8000_0001, 0, Ecx, 6),
    ("Xop", 0x8000_0001, 0, Ecx, 11), ("Popcnt", 1, 0, Ecx, 23), ("Cmpxchg16B", 1, 0, Ecx, 13),
    ("Altmovcr8", 0x8000_0001, 0, Ecx, 4), ("Lzcnt", 0x8000_0001, 0, Ecx, 5),
    ("Misalignsse", 0x8000_0001, 0, Ecx, 7), ("MmxExt", 0x8000_0001, 0, Edx, 22),
    ("Amd3Dnow", 0x8000_0001, 0, Edx, 31), ("ExtAmd3Dnow", 0x8000_0001, 0, Edx, 30),
    ("Page1Gb", 0x8000_0001, 0, Edx, 26), ("AmdAes", 1, 0, Ecx, 25), ("Pclmulqdq", 1, 0, Ecx, 1),
    ("Pcid", 1, 0, Ecx, 17), ("Fma4", 0x8000_0001, 0, Ecx, 16), ("F16C", 1, 0, Ecx, 29),
    ("Rdrand", 1, 0, Ecx, 30), ("Rdwrfsgs", 7, 0, Ebx, 0), ("Smep", 7, 0, Ebx, 7),
    ("EnhancedFastString", 7, 0, Ebx, 9), ("Bmi1", 7, 0, Ebx, 3), ("Bmi2", 7, 0, Ebx, 8),
    ("Movbe", 1, 0, Ecx, 22), ("DepX87FpuSave", 7, 0, Ebx, 13), ("Rdseed", 7, 0, Ebx, 18),
    ("Adx", 7, 0, Ebx, 19), ("IntelPrefetch", 0x8000_0001, 0, Ecx, 8), ("Smap", 7, 0, Ebx, 20),
    ("Hle", 7, 0, Ebx, 4), ("Rtm", 7, 0, Ebx, 11), ("Rdtscp", 0x8000_0001, 0, Edx, 27),
    ("Clflushopt", 7, 0, Ebx, 23), ("Clwb", 7, 0, Ebx, 24), ("Sha", 7, 0, Ebx, 29),
    ("X87PointersSaved", 0x8000_0008, 0, Ebx, 2), ("Invpcid", 7, 0, Ebx, 10),
    ("Ibrs", 7, 0, Edx, 26), ("Ibrs", 0x8000_0008, 0, Ebx, 14),
    ("Stibp", 7, 0, Edx, 27), ("Stibp", 0x8000_0008, 0, Ebx, 15),
    ("Ibpb", 7, 0, Edx, 26), ("Ibpb", 0x8000_0008, 0, Ebx, 12),
    // Memory disambiguation can be switched off: the SSBD control.
    ("Mdd", 7, 0, Edx, 31), ("Mdd", 0x8000_0008, 0, Ebx, 24),
    ("FastShortRepMov", 7, 0, Edx, 4), ("L1DCacheFlush", 7, 0, Edx, 28),
    // Intel tells this one in a register that user space cannot read; AMD tells it here.
    ("SsbNo", 0x8000_0008, 0, Ebx, 26),
    ("VirtSpecCtrl", 0x8000_0008, 0, Ebx, 25), ("Rdpid", 7, 0, Ecx, 22), ("Umip", 7, 0, Ecx, 2),
    ("MbClear", 7, 0, Edx, 10), ("AcountMcount", 6, 0, Ecx, 0), ("TscInvariant", 0x8000_0007, 0, Edx, 8),
    ("Clzero", 0x8000_0008, 0, Ebx, 0), ("Rdpru", 0x8000_0008, 0, Ebx, 4), ("La57", 7, 0, Ecx, 16),
    ("NestedVirt", 1, 0, Ecx, 5), ("NestedVirt", 0x8000_0001, 0, Ecx, 2),
    ("Psfd", 7, 2, Edx, 0), ("Psfd", 0x8000_0008, 0, Ebx, 28),
    ("CetSs", 7, 0, Ecx, 7), ("CetIbt", 7, 0, Edx, 20), ("UmwaitTpause", 7, 0, Ecx, 5),
    ("Movdiri", 7, 0, Ecx, 27), ("Movdir64b", 7, 0, Ecx, 28), ("Cldemote", 7, 0, Ecx, 25),
    ("Serialize", 7, 0, Edx, 14), ("TscDeadlineTmr", 1, 0, Ecx, 24), ("TscAdjust", 7, 0, Ebx, 1),
    ("FZLRepMovsb", 7, 1, Eax, 10), ("FSRepStosb", 7, 1, Eax, 11), ("FSRepCmpsb", 7, 1, Eax, 12),
];

#[rustfmt::skip]
const XSAVE_FEATURES: &[Row] = &[
    ("Xsave", 1, 0, Ecx, 26), ("Xsave_Opt", 0xd, 1, Eax, 0), ("Avx", 1, 0, Ecx, 28), ("Avx2", 7, 0, Ebx, 5),
    ("Fma", 1, 0, Ecx, 12), ("Mpx", 7, 0, Ebx, 14), ("Avx512", 7, 0, Ebx, 16), ("Avx512Dq", 7, 0, Ebx, 17),
    ("Avx512Cd", 7, 0, Ebx, 28), ("Avx512Bw", 7, 0, Ebx, 30), ("Avx512Vl", 7, 0, Ebx, 31),
    ("Xsave_Comp", 0xd, 1, Eax, 1), ("Xsave_Supervisor", 0xd, 1, Eax, 3), ("Xcr1", 0xd, 1, Eax, 2),
    ("Avx512_Bitalg", 7, 0, Ecx, 12), ("AVX512_Ifma", 7, 0, Ebx, 21), ("Avx512_Vbmi", 7, 0, Ecx, 1),
    ("Avx512_Vbmi2", 7, 0, Ecx, 6), ("Avx512_Vnni", 7, 0, Ecx, 11), ("Gfni", 7, 0, Ecx, 8),
    ("Vaes", 7, 0, Ecx, 9), ("Avx512_Vpopcntdq", 7, 0, Ecx, 14), ("Vpclmulqdq", 7, 0, Ecx, 10),
    ("Avx512_Bf16", 7, 1, Eax, 5), ("Avx512_Vp2Intersect", 7, 0, Edx, 8), ("Avx512Fp16", 7, 0, Edx, 23),
    ("Xfd", 0xd, 1, Eax, 4), ("AmxTile", 7, 0, Edx, 24), ("AmxBf16", 7, 0, Edx, 22),
    ("AmxInt8", 7, 0, Edx, 25), ("AvxVnni", 7, 1, Eax, 4),
];

/// The capabilities of the processor this runs on.
pub fn of_host() -> ProcessorCapabilities {
    #[cfg(target_arch = "x86_64")]
    return from_cpuid(cpuid);
    #[cfg(not(target_arch = "x86_64"))]
    ProcessorCapabilities::default()
}

/// The capabilities told by `cpuid(leaf, subleaf)`; tests give recorded answers.
pub fn from_cpuid(cpuid: impl Fn(u32, u32) -> Registers) -> ProcessorCapabilities {
    let ask = |leaf, subleaf| bounded(&cpuid, leaf, subleaf);
    let basic = ask(1, 0);
    // The flush size counts only with the CLFLUSH bit, in units of 8 bytes.
    let flushes = basic[Edx as usize] >> 19 & 1 == 1;
    let flush_size = if flushes { u64::from(basic[Ebx as usize] >> 8 & 0xff) * 8 } else { 0 };
    // Every 64-bit processor has this leaf; 0 tells the caller that this one hides it.
    let address_bits = u64::from(ask(0x8000_0008, 0)[Eax as usize] & 0xff);
    ProcessorCapabilities {
        features: named(FEATURES, &ask),
        xsave_features: named(XSAVE_FEATURES, &ask),
        cache_line_flush_size: flush_size,
        physical_address_bits: address_bits,
    }
}

fn named(table: &[Row], ask: &impl Fn(u32, u32) -> Registers) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, leaf, subleaf, register, bit) in table {
        let present = ask(*leaf, *subleaf)[*register as usize] >> bit & 1 == 1;
        if present && !names.contains(name) {
            names.push(*name);
        }
    }
    names
}

/// CPUID with leaves the processor does not have read as zero: some answer with the highest leaf instead.
fn bounded(cpuid: &impl Fn(u32, u32) -> Registers, leaf: u32, subleaf: u32) -> Registers {
    let highest = cpuid(leaf & 0x8000_0000, 0)[Eax as usize];
    let beyond_subleaf = leaf == 7 && leaf <= highest && subleaf > cpuid(7, 0)[Eax as usize];
    if leaf > highest || beyond_subleaf { [0; 4] } else { cpuid(leaf, subleaf) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the CPUID intrinsic is unsafe in the oldest toolchain supported")]
#[expect(clippy::allow_attributes, reason = "what is expected depends on the toolchain")]
#[allow(unused_unsafe, reason = "and safe in newer ones")]
fn cpuid(leaf: u32, subleaf: u32) -> Registers {
    // SAFETY: CPUID exists on every x86_64 processor, is allowed in user mode, and changes only the four
    // registers the intrinsic returns; any leaf and subleaf may be asked.
    let answer = unsafe { core::arch::x86_64::__cpuid_count(leaf, subleaf) };
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded on an AMD processor of family 25, model 17, seen through a hypervisor.
    fn recorded(leaf: u32, subleaf: u32) -> Registers {
        match (leaf, subleaf) {
            (0, _) => [0x1c, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
            (1, _) => [0x00a1_0f11, 0x0002_0800, 0xfffa_3203, 0x178b_fbff],
            (6, _) => [4, 0, 0, 0],
            (7, 0) => [1, 0xf1bf_07ab, 0x0040_5fc6, 0x10],
            (7, 1) => [0x20, 0, 0, 0],
            (0xd, 1) => [0xf, 0x9a8, 0x1800, 0],
            (0x8000_0000, _) => [0x8000_0021, 0, 0, 0],
            (0x8000_0001, _) => [0x00a1_0f11, 0x4000_0000, 0x0040_03f3, 0x2fd3_fbff],
            (0x8000_0007, _) => [0, 0, 0, 0x100],
            (0x8000_0008, _) => [0x0030_3030, 0x5002_0005, 0x7001, 0],
            // A processor may answer anything here; the bounds must keep it from being read.
            _ => [u32::MAX; 4],
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_recorded_processor() {
        let found = from_cpuid(recorded);
        assert_eq!(found.features, [
            "Sse3", "LahfSahf", "Ssse3", "Sse4_1", "Sse4_2", "Sse4A", "Popcnt", "Cmpxchg16B", "Altmovcr8",
            "Lzcnt", "Misalignsse", "MmxExt", "Page1Gb", "AmdAes", "Pclmulqdq", "Pcid", "F16C", "Rdrand",
            "Rdwrfsgs", "Smep", "EnhancedFastString", "Bmi1", "Bmi2", "Movbe", "Rdseed", "Adx",
            "IntelPrefetch", "Smap",
            "Rdtscp", "Clflushopt", "Clwb", "Sha", "X87PointersSaved", "Invpcid", "FastShortRepMov",
            "Rdpid", "Umip", "TscInvariant", "Clzero", "Psfd", "CetSs", "TscDeadlineTmr", "TscAdjust",
        ]);
        assert_eq!(found.xsave_features, [
            "Xsave", "Xsave_Opt", "Avx", "Avx2", "Fma", "Avx512", "Avx512Dq", "Avx512Cd", "Avx512Bw",
            "Avx512Vl", "Xsave_Comp",
            "Xsave_Supervisor", "Xcr1", "Avx512_Bitalg", "AVX512_Ifma", "Avx512_Vbmi",
            "Avx512_Vbmi2", "Avx512_Vnni", "Gfni", "Vaes", "Avx512_Vpopcntdq", "Vpclmulqdq", "Avx512_Bf16",
        ]);
        assert_eq!(found.cache_line_flush_size, 64);
        assert_eq!(found.physical_address_bits, 48);
    }

    #[test]
    fn leaves_beyond_the_highest_are_not_believed() {
        let old = |leaf, _| match leaf {
            0 => [1, 0, 0, 0],
            0x8000_0000 => [0x8000_0001, 0, 0, 0],
            1 => [0, 0, 1, 0],
            0x8000_0001 => [0; 4],
            _ => [u32::MAX; 4],
        };
        let found = from_cpuid(old);
        assert_eq!(found.features, ["Sse3"]);
        assert!(found.xsave_features.is_empty());
        assert_eq!((found.cache_line_flush_size, found.physical_address_bits), (0, 0));
    }

    #[test]
    fn a_name_with_two_rows_is_given_once() {
        let all = from_cpuid(
            |leaf, _| if leaf & 0x7fff_ffff == 0 { [leaf | 0xff, 0, 0, 0] } else { [u32::MAX; 4] },
        );
        for names in [&all.features, &all.xsave_features] {
            let mut unique = names.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), names.len());
        }
        assert!(all.features.contains(&"Ibrs") && all.features.contains(&"NestedVirt"));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn this_processor_has_what_every_current_one_has() {
        let found = of_host();
        assert!(found.features.contains(&"Sse3"), "{found:?}");
        assert!(found.cache_line_flush_size >= 16 && found.physical_address_bits >= 32, "{found:?}");
    }
}
