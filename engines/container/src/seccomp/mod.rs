//! The filter of system calls that every process of a container gets.
//!
//! [`profile`] says what is allowed, in names. [`compile`] turns a set of rules into a classic BPF program: a
//! binary search over ranges of numbers, which the kernel checks and loads eight times as fast as the long list
//! that is usual. [`load`] is called between clone and exec.

mod assembler;
mod compile;
mod numbers;
mod profile;
mod rules;

use std::sync::OnceLock;

use rustix::io::Errno;

pub use compile::Program;

/// The default filter. It is compiled once in the life of a worker.
pub fn default_program() -> &'static Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| compile::compile(&profile::default()))
}

/// Puts the calling thread under a filter, for ever. It must have given up new privileges before.
pub(crate) fn load(program: &Program) -> Result<(), Errno> {
    crate::sys::load_filter(program.instructions())
}
