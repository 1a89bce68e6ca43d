//! The files of the C library in which threads meet, on locks that can be taken in every order there is.
//!
//! `loom` runs a test once for each way in which its threads can take turns at locks, so what a test says holds for all of
//! them and not only for those that a busy machine happens to come to. The files are the library's own: they name locks and
//! threads by `crate::sync`, which here are loom's. What is around them is as small as it can be.
//!
//! The table in `tests/main/main.rs` says by what the library can be broken for each test.
#![expect(clippy::not_unsafe_ptr_arg_deref, reason = "the library shows these functions to nobody")]

#[path = "../../../apps/capi/src/abi.rs"]
pub mod abi;
#[path = "../../../apps/capi/src/handles.rs"]
pub mod handles;
#[path = "../../../apps/capi/src/listener.rs"]
pub mod listener;
#[path = "../../../apps/capi/src/operation.rs"]
pub mod operation;
pub mod pool;
#[path = "../../../apps/capi/src/remote.rs"]
pub mod remote;
#[path = "../../../apps/capi/src/strand.rs"]
pub mod strand;
#[path = "../../../apps/capi/src/target.rs"]
pub mod target;

/// What threads meet at.
pub mod sync {
    pub use loom::{
        sync::{
            Condvar, Mutex, MutexGuard, RwLock,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };
}

/// The handles of descriptors. None comes here.
pub mod win32 {
    use std::os::fd::{IntoRawFd, OwnedFd};

    /// The handle of a descriptor that becomes the caller's.
    pub fn handle_of(fd: OwnedFd) -> usize {
        fd.into_raw_fd() as usize
    }
}
