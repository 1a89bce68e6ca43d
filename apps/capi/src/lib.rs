//! `libcomputecore.so`: the functions of `ComputeCore.h` and its sisters, for C and C++ programs.
//!
//! ```text
//!   exports    operations.rs  systems.rs  processes.rs  host.rs  win32/     storage.rs: one function per export, all alike:
//!      │       devices/  saved.rs  vm_access.rs                             check, begin the operation, make a call
//!   objects    operation.rs   system.rs   process.rs    listener.rs         what handles stand for
//!      │                                                                    table.rs, handles.rs give out the handles
//!   machinery  call.rs  target.rs  strand.rs  pool.rs  link.rs  remote.rs   calls, events, threads, connection
//!      │       sync.rs
//!      │
//!   edge       abi.rs                                                       pointers and texts of the caller
//! ```
//!
//! What must hold: no pointer of the caller is used outside `abi`; no handle is a pointer, so a wrong one is an
//! error and never undefined behaviour; callbacks run on threads of the library with none of its locks held.
//! The headers document every function; they are not documented again here.

mod abi;
mod call;
mod devices;
mod handles;
mod host;
mod link;
mod listener;
mod operation;
mod operations;
mod pool;
mod process;
mod processes;
mod remote;
mod saved;
mod storage;
mod strand;
mod sync;
mod system;
mod systems;
mod table;
mod target;
mod vm_access;
mod win32;

/// How many handles a program has not closed, for the one that looks for leaks.
#[cfg(fuzzing)]
pub fn live_handles() -> usize {
    table::count()
}
