//! Handles: numbers that look like pointers, are checked at every use and never given out again.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use hcs_core::Cause;
use hdv::Device;

use crate::{
    abi::Handle, devices::host::DeviceHost, operation::Operation, process::Process, system::System,
    target::Registration,
};

/// What a handle stands for.
pub enum Object {
    /// `HCS_OPERATION`.
    Operation(Arc<Operation>),
    /// `HCS_SYSTEM`.
    System(Arc<System>),
    /// `HCS_PROCESS`.
    Process(Arc<Process>),
    /// `HCS_CALLBACK`.
    Callback(Arc<Registration>),
    /// `HDV_HOST`.
    DeviceHost(Arc<DeviceHost>),
    /// `HDV_DEVICE`.
    Device(Arc<Device>),
}

static TABLE: LazyLock<RwLock<HashMap<Handle, Object>>> = LazyLock::new(RwLock::default);
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A new handle; it is valid once something is inserted. Multiples of 16, as pointers to structs are.
pub fn reserve() -> Handle {
    NEXT.fetch_add(1, Ordering::Relaxed) << 4
}

/// Makes a handle valid.
pub fn insert(handle: Handle, object: Object) {
    TABLE.write().unwrap_or_else(PoisonError::into_inner).insert(handle, object);
}

macro_rules! getters {
    ($( $get:ident $variant:ident; )+) => {
        $(
            /// What a handle of this kind stands for.
            pub fn $get(handle: Handle) -> Result<Arc<$variant>, Cause> {
                match TABLE.read().unwrap_or_else(PoisonError::into_inner).get(&handle) {
                    Some(Object::$variant(object)) => Ok(object.clone()),
                    _ => Err(Cause::InvalidArgument),
                }
            }
        )+
    };
}

macro_rules! removers {
    ($( $remove:ident $variant:ident $type:ident; )+) => {
        $(
            /// Ends a handle of this kind. Of two threads only one gets the object.
            pub fn $remove(handle: Handle) -> Result<Arc<$type>, Cause> {
                match TABLE.write().unwrap_or_else(PoisonError::into_inner).entry(handle) {
                    Entry::Occupied(entry) if matches!(entry.get(), Object::$variant(_)) => match entry.remove() {
                        Object::$variant(object) => Ok(object),
                        _ => Err(Cause::InvalidArgument),
                    },
                    _ => Err(Cause::InvalidArgument),
                }
            }
        )+
    };
}

getters! {
    operation Operation;
    system System;
    process Process;
    device_host DeviceHost;
    device Device;
}

removers! {
    remove_operation Operation Operation;
    remove_system System System;
    remove_process Process Process;
    remove_callback Callback Registration;
    remove_device_host DeviceHost DeviceHost;
    remove_device Device Device;
}
