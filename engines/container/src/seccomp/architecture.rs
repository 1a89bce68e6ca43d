//! The kinds of system calls that a processor's kernel takes.

/// A set of system call numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit x86 with 32-bit pointers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

use Architecture::{Aarch64, Arm, X32, X86, X86_64};

/// The bit that tells an x32 number from an x86-64 one; the kernel calls both the same architecture.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Architecture {
    /// All of them, in the order of the columns of `calls.txt`.
    pub const ALL: [Architecture; 5] = [X86_64, X86, X32, Aarch64, Arm];

    /// The one that this program itself uses.
    pub const NATIVE: Architecture = if cfg!(target_arch = "aarch64") { Aarch64 } else { X86_64 };

    /// The one of its name in an OCI specification.
    pub fn from_oci(name: &str) -> Option<Architecture> {
        Some(match name {
            "SCMP_ARCH_X86_64" => X86_64,
            "SCMP_ARCH_X86" => X86,
            "SCMP_ARCH_X32" => X32,
            "SCMP_ARCH_AARCH64" => Aarch64,
            "SCMP_ARCH_ARM" => Arm,
            _ => return None,
        })
    }

    /// Those that a kernel for this one takes, itself first.
    pub fn family(self) -> &'static [Architecture] {
        match self {
            X86_64 | X86 | X32 => &[X86_64, X86, X32],
            Aarch64 | Arm => &[Aarch64, Arm],
        }
    }

    /// What the kernel tells a filter (`AUDIT_ARCH_…`).
    pub(super) fn audit_number(self) -> u32 {
        match self {
            X86_64 | X32 => 0xC000_003E,
            X86 => 0x4000_0003,
            Aarch64 => 0xC000_00B7,
            Arm => 0x4000_0028,
        }
    }

    /// What is added to the numbers of `calls.txt`.
    pub(super) fn first_number(self) -> u32 {
        if self == X32 { X32_BIT } else { 0 }
    }

    /// Where numbers begin that do not grow with the kernel: 32-bit ARM has a few calls of its own there.
    pub(super) fn first_private_number(self) -> u32 {
        match self {
            Arm => 0x000F_0000,
            X86_64 => X32_BIT,
            _ => u32::MAX,
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the numbers of this processor's system calls are missing in calls.txt");
