//! What threads of the library meet at. `tools/races` builds the same files on other locks, which try every order.

pub use std::{
    sync::{
        Condvar, Mutex, MutexGuard, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
