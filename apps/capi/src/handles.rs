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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sync::thread;

    #[test]
    fn a_handle_stands_for_one_thing_until_it_is_removed() {
        let handles = Handles::new();
        let handle = handles.reserve();
        assert_eq!((handle % 16, handle == 0), (0, false));
        assert_eq!(handles.get(handle, |text: &String| Some(text.len())), None, "it is not valid yet");
        handles.insert(handle, "three".to_owned());
        assert_eq!(handles.get(handle, |text| Some(text.len())), Some(5));
        assert_eq!(handles.get(handle + 1, |text| Some(text.len())), None);
        assert_eq!(handles.remove(handle, |_| None::<()>), None, "it is of another kind");
        assert_eq!(handles.remove(handle, |text| Some(text.clone())).as_deref(), Some("three"));
        assert_eq!(handles.remove(handle, |text| Some(text.clone())), None);
        assert_ne!(handles.reserve(), handle);
    }

    #[test]
    fn threads_that_make_use_and_close_handles_meet_only_their_own_objects() {
        const THREADS: usize = 4;
        const TURNS: usize = if cfg!(miri) { 20 } else { 2000 };
        let handles = Arc::new(Handles::new());
        let work = |of: usize| {
            let handles = handles.clone();
            move || {
                for turn in 0..TURNS {
                    let handle = handles.reserve();
                    handles.insert(handle, Arc::new((of, turn)));
                    let used = handles.get(handle, |object| Some(object.clone()));
                    assert_eq!(used.as_deref(), Some(&(of, turn)));
                    // That of somebody else, or none.
                    drop(handles.get(handle ^ 0x30, |object| Some(object.clone())));
                    let removed = handles.remove(handle, |object| Some(object.clone()));
                    assert_eq!(removed.as_deref(), Some(&(of, turn)));
                }
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|of| thread::spawn(work(of))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
