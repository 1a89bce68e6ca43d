//! A compiled filter, and loading it.

use std::fmt;

use libc::sock_filter;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::sys;

/// A filter that is ready to be loaded.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub struct Program {
    /// Flags of the system call `seccomp`.
    pub(super) flags: u32,
    /// What the kernel runs.
    pub(super) instructions: Vec<sock_filter>,
}

/// A filter as plans carry it: an instruction is one number, from its most significant part on the code, the two
/// jumps and the value.
#[derive(Serialize, Deserialize)]
struct Packed {
    flags: u32,
    instructions: Vec<u64>,
}

/// The most instructions that the kernel takes.
pub(super) const LONGEST: usize = 4096;

impl Program {
    /// How many instructions it has.
    pub fn length(&self) -> usize {
        self.instructions.len()
    }

    /// Puts the calling thread under the filter, for ever. It must have no_new_privs or CAP_SYS_ADMIN.
    /// Makes one system call and nothing else, so it can be used between clone and exec.
    pub fn load(&self) -> Result<(), Errno> {
        sys::load_filter(&self.instructions, self.flags)
    }
}

fn pack(sock_filter { code, jt, jf, k }: &sock_filter) -> u64 {
    u64::from(*code) << 48 | u64::from(*jt) << 40 | u64::from(*jf) << 32 | u64::from(*k)
}

impl From<Program> for Packed {
    fn from(program: Program) -> Packed {
        Packed { flags: program.flags, instructions: program.instructions.iter().map(pack).collect() }
    }
}

impl From<Packed> for Program {
    fn from(packed: Packed) -> Program {
        let unpack = |packed: u64| sock_filter {
            code: (packed >> 48) as u16,
            jt: (packed >> 40) as u8,
            jf: (packed >> 32) as u8,
            k: packed as u32,
        };
        Program { flags: packed.flags, instructions: packed.instructions.into_iter().map(unpack).collect() }
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Program) -> bool {
        self.flags == other.flags
            && self.instructions.iter().map(pack).eq(other.instructions.iter().map(pack))
    }
}

impl Eq for Program {}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} instructions)", self.length())
    }
}
