//! Handles: numbers that look like pointers, are checked at every use and never given out again.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::PoisonError,
};

use crate::{
    abi::Handle,
    sync::{AtomicUsize, Ordering, RwLock},
};

/// What the handles stand for.
pub struct Handles<T> {
    objects: RwLock<HashMap<Handle, T>>,
    next: AtomicUsize,
}

impl<T> Handles<T> {
    /// None yet.
    pub fn new() -> Handles<T> {
        Handles { objects: RwLock::new(HashMap::new()), next: AtomicUsize::new(1) }
    }

    /// A new handle; it is valid once something is inserted. Multiples of 16, as pointers to structs are.
    pub fn reserve(&self) -> Handle {
        self.next.fetch_add(1, Ordering::Relaxed) << 4
    }

    /// Makes a handle valid.
    pub fn insert(&self, handle: Handle, object: T) {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).insert(handle, object);
    }

    /// What `of` finds in what a handle stands for.
    pub fn get<U>(&self, handle: Handle, of: impl FnOnce(&T) -> Option<U>) -> Option<U> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(&handle).and_then(of)
    }

    /// Ends a handle in which `of` finds something. Of two threads only one gets it.
    pub fn remove<U>(&self, handle: Handle, of: impl FnOnce(&T) -> Option<U>) -> Option<U> {
        let (found, removed) =
            match self.objects.write().unwrap_or_else(PoisonError::into_inner).entry(handle) {
                Entry::Occupied(entry) => (of(entry.get())?, entry.remove()),
                Entry::Vacant(_) => return None,
            };
        // What it takes to drop an object is not done under the lock.
        drop(removed);
        Some(found)
    }

    /// How many are valid.
    #[cfg(fuzzing)]
    pub fn count(&self) -> usize {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
